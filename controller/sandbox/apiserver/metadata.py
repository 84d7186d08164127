"""The ``metadata`` of a request's object: its types, and what the server owns in it."""

from __future__ import annotations

from typing import Any

import msgspec

from controller.sandbox.apiserver.failures import Failure, bad_request, invalid, invalid_value
from controller.sandbox.apiserver.kinds import Kind

Json = dict[str, Any]


class _Owner(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class _ObjectMeta(msgspec.Struct, rename="camel"):
    name: str | None = None
    generate_name: str | None = None
    namespace: str | None = None
    self_link: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str | None] | None = None
    annotations: dict[str, str | None] | None = None
    owner_references: list[_Owner] | None = None
    finalizers: list[str] | None = None
    managed_fields: list[dict[str, Any]] | None = None


SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


def identify(kind: Kind, obj: Any, *, patch: bool = False) -> Json:
    """``obj`` as an object of ``kind`` with checked metadata; raises 400, or 422 when a ``patch`` changed the kind."""
    resource = kind.resource
    if not isinstance(obj, dict):
        raise malformed(kind, "json: cannot unmarshal a value that is no object")
    for key, value in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        if kind.custom and not obj.get(key):
            raise bad_request(f"Object '{key[0].upper()}{key[1:]}' is missing in the data")
        if not obj.get(key):
            obj[key] = value
        if patch and obj[key] != value:
            fault = invalid_value(key, obj[key], f"must be {value}")
            raise invalid(resource.group, resource.kind, _name(obj), [fault])
    api_version = obj["apiVersion"]
    if api_version != resource.api_version:
        raise bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    if obj["kind"] != resource.kind:
        raise bad_request(
            f"{obj['kind']} in version {resource.version!r} cannot be handled as a {resource.kind}: the kind in the "
            f"data does not match the expected kind"
        )
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    try:
        msgspec.convert(metadata, _ObjectMeta)
    except msgspec.ValidationError as error:
        raise malformed(kind, f"metadata: {error}") from None
    _drop_empty(metadata)
    return obj


def _name(obj: Json) -> str:
    metadata = obj.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""


def malformed(kind: Kind, why: str) -> Failure:
    """400: the object cannot be read as its kind."""
    resource = kind.resource
    return bad_request(f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {why}')


def _drop_empty(metadata: Json) -> None:
    """Metadata is a struct of the server: what is empty in it is not there."""
    for key in [key for key, value in metadata.items() if value in (None, "", [], {}) and value is not False]:
        if key != "managedFields":  # an empty list of managers is a request to forget them
            del metadata[key]
    metadata.pop("selfLink", None)
    for key in ("labels", "annotations"):
        if key in metadata:
            metadata[key] = {name: value or "" for name, value in metadata[key].items()}
    for owner in metadata.get("ownerReferences", ()):
        for key in [key for key, value in owner.items() if value is None]:
            del owner[key]


def ordered(obj: Json) -> Json:
    """The object with its head first, as servers write it."""
    head = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": obj["metadata"]}
    return head | obj


def without_times(obj: Json) -> Json:
    """The object without what differs between two writes of the same content."""
    metadata = {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}
    if managed := metadata.get("managedFields"):
        metadata["managedFields"] = [{k: v for k, v in entry.items() if k != "time"} for entry in managed]
    return obj | {"metadata": metadata}
