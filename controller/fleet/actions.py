"""Writes as values: what a plan asks for, each with its precondition, and the one place that carries them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from controller.kube import errors, ownership
from controller.kube.client import Client
from controller.kube.objects import Head, Object
from controller.kube.resources import Resource

FIELD_MANAGER: Final = "k8ssandra-controller"


class Create(msgspec.Struct, frozen=True):
    """POST. When the name is taken: by an object of ours → observe again, by another's → ``NameConflict``."""

    resource: Resource
    object: dict[str, Any]


class Apply(msgspec.Struct, frozen=True):
    """Server-side apply onto ``live`` and no other: its UID goes along, its resourceVersion if ``exactly``."""

    resource: Resource
    object: dict[str, Any]
    live: Object
    exactly: bool = False


class Replace(msgspec.Struct, frozen=True):
    """PUT over ``live``, guarded by UID and resourceVersion: whatever is not in ``object`` is gone after it."""

    resource: Resource
    object: dict[str, Any]
    live: Object


class Merge(msgspec.Struct, frozen=True):
    """Merge patch of some keys of ``live`` and no other (UID); of that version too, if ``exactly`` or a subresource."""

    resource: Resource
    patch: dict[str, Any]
    live: Object
    subresource: str = ""
    exactly: bool = False


class Delete(msgspec.Struct, frozen=True):
    """DELETE of ``live`` and no other (UID)."""

    resource: Resource
    live: Object


Action: TypeAlias = Create | Apply | Replace | Merge | Delete


class NameConflict(Exception):
    """An object that is not ours has the name that ours needs; it is left as it is."""

    def __init__(self, resource: Resource, namespace: str, name: str) -> None:
        super().__init__(
            f"{resource.kind} {namespace}/{name} exists and belongs to somebody else: "
            "delete or rename it, or choose another name"
        )


class ObserveAgain(Exception):
    """The object is not what was observed (created meanwhile, replaced, gone): plan anew from a fresh look."""


class Caches(Protocol):
    """Where answers to our own writes go at once, so that no later plan is older than they are."""

    def write_through(self, resource: Resource, obj: Object) -> None: ...

    def write_deleted(self, resource: Resource, head: Head) -> None: ...


async def perform(action: Action, client: Client, caches: Caches, owned: Callable[[Object], bool]) -> Object | None:
    """Carry out one action; return the object as the server has it now (None after a delete).

    ``owned`` judges an object found under the name of one to create. Raises ``NameConflict``, ``ObserveAgain``
    and what the client raises.
    """
    match action:
        case Create(resource, obj):
            written = await _create(resource, obj, client, caches, owned)
        case Apply(resource, obj, live, exactly):
            try:
                written = await _apply(resource, obj, live, exactly, client)
            except (errors.Conflict, errors.NotFound) as error:
                raise ObserveAgain from error
            except errors.Invalid as error:
                await _refuse_replaced(resource, live, client, error)
                raise
        case Replace(resource, obj, live):
            head = live.head
            guarded = _with_metadata(obj, uid=head.uid, resourceVersion=head.resource_version)
            try:
                written = await client.replace(
                    resource, head.namespace, head.name, guarded, field_manager=FIELD_MANAGER
                )
            except (errors.Conflict, errors.NotFound) as error:
                raise ObserveAgain from error
        case Merge(resource, patch, live, subresource, exactly):
            written = await _merge(resource, patch, live, subresource, exactly, client)
        case Delete(resource, live):
            await _delete(resource, live, client, caches)
            return None
    caches.write_through(action.resource, written)
    return written


async def _create(
    resource: Resource,
    obj: Mapping[str, Any],
    client: Client,
    caches: Caches,
    owned: Callable[[Object], bool],
) -> Object:
    metadata = obj["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    try:
        return await client.create(resource, namespace, obj, field_manager=FIELD_MANAGER)
    except errors.AlreadyExists as error:
        try:
            found = await client.get(resource, namespace, name)
        except errors.NotFound:
            raise ObserveAgain from error
        if not owned(found):
            raise NameConflict(resource, namespace, name) from error
        caches.write_through(resource, found)
        raise ObserveAgain from error


async def _apply(resource: Resource, obj: Mapping[str, Any], live: Object, exactly: bool, client: Client) -> Object:
    head = live.head
    adoption = ownership.adoption_patch(live.decode(dict), FIELD_MANAGER, obj)
    if adoption is not None:
        adopted = await client.patch(
            resource, head.namespace, head.name, adoption, kind="json", field_manager=FIELD_MANAGER
        )
        if adopted.head.uid != head.uid:
            raise ObserveAgain
        head = adopted.head
    preconditions = {"uid": head.uid}
    if exactly:
        preconditions["resourceVersion"] = head.resource_version
    guarded = _with_metadata(obj, **preconditions)
    return await client.apply(resource, head.namespace, head.name, guarded, field_manager=FIELD_MANAGER)


async def _refuse_replaced(resource: Resource, live: Object, client: Client, error: errors.Invalid) -> None:
    """Raise ``ObserveAgain`` when ``live`` is not there any more.

    422 is also how the server says that the UID differs; only a look tells that from a refused content.
    """
    try:
        now = await client.get(resource, live.head.namespace, live.head.name, metadata_only=True)
    except errors.NotFound:
        raise ObserveAgain from error
    if now.head.uid != live.head.uid:
        raise ObserveAgain from error


async def _merge(
    resource: Resource,
    patch: Mapping[str, Any],
    live: Object,
    subresource: str,
    exactly: bool,
    client: Client,
) -> Object:
    head = live.head
    preconditions = {"uid": head.uid}
    if exactly or subresource:  # of a subresource the server ignores the UID, but never the version
        preconditions["resourceVersion"] = head.resource_version
    try:
        return await client.patch(
            resource,
            head.namespace,
            head.name,
            _with_metadata(patch, **preconditions),
            kind="merge",
            subresource=subresource,
            field_manager=FIELD_MANAGER,
        )
    except errors.Conflict as error:
        raise ObserveAgain from error
    except errors.Invalid as error:
        await _refuse_replaced(resource, live, client, error)
        raise
    except errors.NotFound as error:
        if subresource:
            raise  # perhaps only the subresource is not served; the caller knows what that means
        raise ObserveAgain from error


async def _delete(resource: Resource, live: Object, client: Client, caches: Caches) -> None:
    head = live.head
    try:
        await client.delete(resource, head.namespace, head.name, uid=head.uid)
    except errors.NotFound:
        caches.write_deleted(resource, head)
    except errors.Conflict as error:
        raise ObserveAgain from error


def _with_metadata(obj: Mapping[str, Any], **preconditions: str) -> dict[str, Any]:
    return {**obj, "metadata": {**obj.get("metadata", {}), **preconditions}}
