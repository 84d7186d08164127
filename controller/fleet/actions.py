"""Writes as values: what a plan asks for, each with its precondition, and the one place that carries them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from controller.fleet import former
from controller.kube import errors, ownership
from controller.kube.client import Client
from controller.kube.objects import Head, Object
from controller.kube.resources import Resource

FIELD_MANAGER: Final = "k8ssandra-controller"
_UNTOUCHED: Final = object()


class Create(msgspec.Struct, frozen=True):
    """POST. When the name is taken: by an object of ours → observe again, by another's → ``NameConflict``."""

    resource: Resource
    object: dict[str, Any]


class Apply(msgspec.Struct, frozen=True):
    """Server-side apply onto ``live`` and no other: its UID goes along, its resourceVersion if ``exactly``.

    ``removes``: something goes for good with it, as the nodes of a datacenter that is made smaller.
    """

    resource: Resource
    object: dict[str, Any]
    live: Object
    exactly: bool = False
    removes: bool = False


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


class Adopt(msgspec.Struct, frozen=True):
    """One JSON patch onto ``live`` in that very version: the reference operator's fields become applied by us.

    ``patch``: labels, annotations and finalizers that are missing, as a merge patch of the metadata; nothing else is
    changed. ``object``: what would be applied, which tells what of the metadata is ours.
    """

    resource: Resource
    object: dict[str, Any]
    patch: dict[str, Any]
    live: Object


class Delete(msgspec.Struct, frozen=True):
    """DELETE of ``live`` and no other (UID)."""

    resource: Resource
    live: Object


class _Metadata(msgspec.Struct):
    finalizers: list[str] = []


class _Finalized(msgspec.Struct):
    metadata: _Metadata


Action: TypeAlias = Create | Apply | Replace | Merge | Adopt | Delete


class NameConflict(Exception):
    """An object that is not ours has the name that ours needs; it is left as it is.

    ``found``: that object, if it was read.
    """

    def __init__(self, resource: Resource, namespace: str, name: str, found: Object | None = None) -> None:
        self.resource: Final = resource
        self.place: Final = (namespace, name)
        self.found: Final = found
        super().__init__(
            f"{resource.kind} {namespace}/{name} exists and belongs to somebody else: "
            "delete or rename it, or choose another name"
        )


class ObserveAgain(Exception):
    """The object is not what was observed (created meanwhile, replaced, gone): plan anew from a fresh look."""


class Ground(Protocol):
    """What destructive steps in one cluster stand on: nothing is removed on a view that may be out of date."""

    async def allow(self, resource: Resource, live: Object, owned: Callable[[Object], bool]) -> Object:
        """The object as a live read shows it now. Raises ``MustWait``, ``ObserveAgain`` and what the client raises."""
        ...

    def created(self, resource: Resource, made: Object) -> None:
        """An object was made by us."""
        ...


class MustWait(errors.KubeError):
    """A destructive step has to wait; nothing was sent. The text says for what.

    ``brief``: the cluster's own state tells about it, or will within seconds.
    """

    def __init__(self, why: str, *, brief: bool = False) -> None:
        super().__init__(why)
        self.brief = brief


class Caches(Protocol):
    """Where answers to our own writes go at once, so that no later plan is older than they are."""

    def write_through(self, resource: Resource, obj: Object) -> None: ...

    def write_deleted(self, resource: Resource, head: Head) -> None: ...


def destroys(action: Action) -> bool:
    """Whether something may be gone for good after it: a deletion, a finalizer's end, whatever says so itself."""
    match action:
        case Delete():
            return True
        case Apply():
            return action.removes
        case Merge(patch=patch, live=live):
            kept = (patch.get("metadata") or {}).get("finalizers", _UNTOUCHED)
            return kept is not _UNTOUCHED and not set(_finalizers(live)) <= set(kept or ())
        case _:
            return False


async def perform(
    action: Action,
    client: Client,
    caches: Caches,
    owned: Callable[[Object], bool],
    *,
    ground: Ground | None = None,
) -> Object | None:
    """Carry out one action; return the object as the server has it now (None after a delete).

    ``owned`` judges an object found under the name of one to create, and the one to be removed. ``ground`` is asked
    before each destructive step, and there is none without it. Raises ``NameConflict``, ``ObserveAgain``,
    ``MustWait`` and what the client raises.
    """
    if destroys(action):
        if ground is None:
            raise TypeError(f"{type(action).__name__} of {action.resource} is destructive and stands on no ground")
        confirmed = await _confirmed(action, ground, caches, owned)
        if confirmed is None:
            return None
        action = confirmed
    match action:
        case Create(resource, obj):
            written = await _create(resource, obj, client, caches, owned)
            if ground is not None:
                ground.created(resource, written)
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
        case Adopt(resource, obj, patch, live):
            written = await _adopt(resource, obj, patch, live, client)
        case Delete(resource, live):
            await _delete(resource, live, client, caches)
            return None
    caches.write_through(action.resource, written)
    return written


async def _confirmed(action: Action, ground: Ground, caches: Caches, owned: Callable[[Object], bool]) -> Action | None:
    """``action`` onto exactly what a live read shows, if that is still what it was decided for.

    None when what is to be deleted is gone already.
    """
    assert not isinstance(action, Create)
    resource, seen = action.resource, action.live.head
    try:
        now = await ground.allow(resource, action.live, owned)
    except errors.KindNotFound:
        raise
    except errors.NotFound as error:
        caches.write_deleted(resource, seen)
        if isinstance(action, Delete):
            return None
        raise ObserveAgain from error
    if now.head.uid != seen.uid or not owned(now):
        raise ObserveAgain
    if isinstance(action, Delete):
        return action
    if now.head.resource_version != seen.resource_version:
        raise ObserveAgain  # what was decided rested on the content
    return action if isinstance(action, Replace) else msgspec.structs.replace(action, exactly=True)


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
            raise NameConflict(resource, namespace, name, found) from error
        caches.write_through(resource, found)
        raise ObserveAgain from error


async def _apply(resource: Resource, obj: Mapping[str, Any], live: Object, exactly: bool, client: Client) -> Object:
    head = live.head
    whole = live.decode(dict)
    share = former.share_of(whole, obj, FIELD_MANAGER)
    adoption = ownership.adoption_patch(whole, FIELD_MANAGER, obj, share)
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


async def _adopt(
    resource: Resource, obj: Mapping[str, Any], patch: Mapping[str, Any], live: Object, client: Client
) -> Object:
    whole, head = live.decode(dict), live.head
    found = ownership.adopt(whole, FIELD_MANAGER, former.share_of(whole, obj, FIELD_MANAGER))
    operations = [*(ownership.replacing(whole, found) if found else []), *_additions(whole["metadata"], patch)]
    try:
        return await client.patch(
            resource, head.namespace, head.name, operations, kind="json", field_manager=FIELD_MANAGER
        )
    except (errors.Conflict, errors.NotFound) as error:
        raise ObserveAgain from error


def _additions(metadata: Mapping[str, Any], patch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The operations of a JSON patch for what a merge patch of the metadata adds."""
    operations: list[dict[str, Any]] = []
    for key, wanted in (patch.get("metadata") or {}).items():
        path = f"/metadata/{key}"
        if isinstance(wanted, Mapping) and metadata.get(key):
            for name, value in wanted.items():
                escaped = name.replace("~", "~0").replace("/", "~1")
                operations.append({"op": "add", "path": f"{path}/{escaped}", "value": value})
        else:
            operations.append({"op": "add", "path": path, "value": wanted})
    return operations


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
    except errors.KindNotFound:
        raise
    except errors.NotFound:
        caches.write_deleted(resource, head)
    except errors.Conflict as error:
        raise ObserveAgain from error


def _finalizers(live: Object) -> list[str]:
    return live.decode(_Finalized).metadata.finalizers


def _with_metadata(obj: Mapping[str, Any], **preconditions: str) -> dict[str, Any]:
    return {**obj, "metadata": {**obj.get("metadata", {}), **preconditions}}
