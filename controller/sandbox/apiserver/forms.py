"""The forms an object can be sent in: itself, its metadata only, or a row of a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, Protocol

from controller.sandbox.apiserver import failures
from controller.sandbox.apiserver.core import Core
from controller.sandbox.apiserver.kinds import Kind
from controller.sandbox.apiserver.storage import Event, EventType, Version, encode
from controller.sandbox.apiserver.table import column_definitions, row_cells

Json = dict[str, Any]

JSON: Final = "application/json"
_META: Final = "meta.k8s.io"


class Form(Protocol):
    """How versions of one kind are written for one request."""

    def one(self, version: Version) -> bytes:
        """One object."""
        ...

    def many(self, versions: Sequence[Version], metadata: Json) -> bytes:
        """A list; ``metadata`` is the list's own."""
        ...

    def added(self, version: Version) -> bytes:
        """The line of a synthetic ADDED event."""
        ...

    def event(self, type: EventType, event: Event) -> bytes:
        """The line of an event."""
        ...

    def bookmark(self, metadata: Json) -> Json:
        """The object of a bookmark."""
        ...


def _line(type: str, raw: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (type.encode(), raw)


class _Base(ABC):
    """Events out of ``one``, which is made once for each version: a line costs a copy, and no memory that stays."""

    def __init__(self, core: Core, kind: Kind) -> None:
        self._core = core
        self._kind = kind
        self._key: object = (type(self), kind)

    @abstractmethod
    def one(self, version: Version) -> bytes:
        """The object in this form."""

    def added(self, version: Version) -> bytes:
        return _line("ADDED", self.one(version))

    def event(self, type: EventType, event: Event) -> bytes:
        version, previous = event.version, event.previous
        if type == "DELETED" and event.type != "DELETED" and previous is not None:
            # it left the selector: the last state that was in it, at the time it left
            return version.rendered(
                (self._key, "LEFT"), lambda _: _line("DELETED", self.one(_at(previous, version.rv)))
            )
        return _line(type, self.one(version))


class WholeForm(_Base):
    """The object itself."""

    def one(self, version: Version) -> bytes:
        return self._core.view_bytes(self._kind, version)

    def many(self, versions: Sequence[Version], metadata: Json) -> bytes:
        resource = self._kind.resource
        items = [self.one(version) for version in versions]
        if not self._kind.custom:
            # of a built-in kind the list says for all items what they are
            same = encode({"apiVersion": resource.api_version, "kind": resource.kind})[:-1] + b","
            items = [b"{" + item.removeprefix(same) if item.startswith(same) else item for item in items]
        head = {"kind": self._kind.list_kind, "apiVersion": resource.api_version, "metadata": metadata}
        return _with_items(head, items)

    def bookmark(self, metadata: Json) -> Json:
        resource = self._kind.resource
        return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}


class MetadataForm(_Base):
    """PartialObjectMetadata."""

    def one(self, version: Version) -> bytes:
        return version.rendered(self._key, lambda obj: encode(partial(obj)))

    def many(self, versions: Sequence[Version], metadata: Json) -> bytes:
        head = {"kind": "PartialObjectMetadataList", "apiVersion": f"{_META}/v1", "metadata": metadata}
        return _with_items(head, [self.one(version) for version in versions])

    def bookmark(self, metadata: Json) -> Json:
        return {"kind": "PartialObjectMetadata", "apiVersion": f"{_META}/v1", "metadata": metadata}


class TableForm:
    """A table; ``include``: what of the object goes with each row, ``Metadata``, ``Object`` or ``None``."""

    def __init__(self, core: Core, kind: Kind, include: str) -> None:
        if include not in ("Metadata", "Object", "None"):
            raise failures.bad_request(f"unrecognized includeObject value: {include!r}")
        self._core = core
        self._kind = kind
        self._include = include
        self._titled = False  # of a watch only the first table names its columns

    def one(self, version: Version) -> bytes:
        return encode(self._table([version], {"resourceVersion": str(version.rv)}))

    def many(self, versions: Sequence[Version], metadata: Json) -> bytes:
        return encode(self._table(versions, metadata))

    def added(self, version: Version) -> bytes:
        return self._event_line("ADDED", version)

    def event(self, type: EventType, event: Event) -> bytes:
        version = event.version
        if type == "DELETED" and event.type != "DELETED" and event.previous is not None:
            version = _at(event.previous, version.rv)
        return self._event_line(type, version)

    def bookmark(self, metadata: Json) -> Json:
        table = self._table([], {"resourceVersion": metadata["resourceVersion"]})
        partial_object = {"kind": "PartialObjectMetadata", "apiVersion": f"{_META}/v1", "metadata": metadata}
        table["rows"] = [{"cells": [None] * len(self._columns()), "object": partial_object}]
        return table

    def _columns(self) -> list[Json]:
        return column_definitions(self._kind)

    def _event_line(self, type: str, version: Version) -> bytes:
        table = self._table([version], {"resourceVersion": str(version.rv)})
        if self._titled:
            table["columnDefinitions"] = []
        self._titled = True
        return _line(type, encode(table))

    def _table(self, versions: Sequence[Version], metadata: Json) -> Json:
        rows = []
        for version in versions:
            obj = self._core.view(self._kind, version)
            row: Json = {"cells": row_cells(self._kind, obj, self._core.clock.now())}
            if self._include == "Metadata":
                row["object"] = partial(obj)
            elif self._include == "Object":
                row["object"] = obj
            rows.append(row)
        return {
            "kind": "Table",
            "apiVersion": f"{_META}/v1",
            "metadata": metadata,
            "columnDefinitions": self._columns(),
            "rows": rows,
        }


def partial(obj: Json) -> Json:
    """The object's metadata, as a kind of its own."""
    return {"kind": "PartialObjectMetadata", "apiVersion": f"{_META}/v1", "metadata": obj["metadata"]}


def _at(version: Version, rv: int) -> Version:
    """The same content under another resourceVersion."""
    return Version(version.decode(), rv, version.fields, version.origin)


def _with_items(head: Json, items: list[bytes]) -> bytes:
    return encode(head)[:-1] + b',"items":[' + b",".join(items) + b"]}"


def negotiate(core: Core, kind: Kind, accept: str, include: str, *, listing: bool) -> tuple[Form, str]:
    """The form that an Accept header asks for, and its content type; raises 406."""
    for offer in accept.split(",") if accept else ["*/*"]:
        media, *parameters = [part.strip() for part in offer.split(";")]
        asked = dict(part.partition("=")[::2] for part in parameters)
        if media not in (JSON, "*/*", "application/*"):
            continue
        shape = asked.get("as", "")
        if not shape:
            return WholeForm(core, kind), JSON
        if asked.get("g") != _META or asked.get("v") != "v1":
            continue
        if shape == "Table":
            return TableForm(core, kind, include or "Metadata"), JSON
        if shape == ("PartialObjectMetadataList" if listing else "PartialObjectMetadata"):
            return MetadataForm(core, kind), JSON
    raise failures.not_acceptable()
