"""The lines of a watch response as typed events."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from controller.kube import errors
from controller.kube.objects import Head, Object, parse
from controller.kube.transport import LineStream

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"  # annotation of the bookmark that ends a streaming list


class Change(msgspec.Struct, frozen=True, gc=False):
    """An object was added, modified or deleted; of a deleted one the last version."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Object


class Bookmark(msgspec.Struct, frozen=True):
    """Everything up to ``resource_version`` has been sent."""

    resource_version: str
    initial_events_end: bool = False


class Failure(msgspec.Struct, frozen=True):
    """The stream is of no use after this: an ERROR event, or a line that is no event."""

    error: errors.KubeError


class Unreadable(msgspec.Struct, frozen=True):
    """One object could not be read; the stream goes on."""

    error: errors.Malformed


Event: TypeAlias = Change | Bookmark | Failure | Unreadable


class _Line(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class _KnownObject(msgspec.Struct, gc=False):
    metadata: Head


class _KnownLine(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    type: str
    object: _KnownObject


class _BookmarkMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class _BookmarkObject(msgspec.Struct):
    metadata: _BookmarkMetadata


# How API servers write events. Of such a line one pass gives the head, and the object's bytes are a slice of it.
_KNOWN_STARTS: Final[tuple[tuple[Literal["MODIFIED", "ADDED", "DELETED"], bytes], ...]] = (
    ("MODIFIED", b'{"type":"MODIFIED","object":{'),
    ("ADDED", b'{"type":"ADDED","object":{'),
    ("DELETED", b'{"type":"DELETED","object":{'),
)

_decode_known_line = msgspec.json.Decoder(_KnownLine).decode
_decode_line = msgspec.json.Decoder(_Line).decode
_decode_bookmark = msgspec.json.Decoder(_BookmarkObject).decode


def decode_line(line: bytes) -> Event:
    """One event; never raises: what is wrong with a line is an event too."""
    if line.endswith(b"}}"):
        for known, start in _KNOWN_STARTS:
            if line.startswith(start):
                try:
                    found = _decode_known_line(line)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    break  # it is judged in full below
                if found.type == known:
                    return Change(known, Object(found.object.metadata, line[len(start) - 1 : -1]))
    try:
        event = _decode_line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Failure(errors.Malformed("a line of the watch is not an event"))
    kind = event.type
    if kind == "MODIFIED" or kind == "ADDED" or kind == "DELETED":
        try:
            return Change(kind, parse(event.object))  # type: ignore[arg-type]  # narrowed above
        except errors.Malformed as error:
            return Unreadable(error)
    if kind == "BOOKMARK":
        try:
            metadata = _decode_bookmark(event.object).metadata
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Unreadable(errors.Malformed("a bookmark without metadata"))
        ends = (metadata.annotations or {}).get(INITIAL_EVENTS_END) == "true"
        return Bookmark(metadata.resource_version, ends)
    if kind == "ERROR":
        return Failure(errors.from_status(bytes(event.object)))
    return Unreadable(errors.Malformed("an event of an unknown type"))


class EventStream:
    """An open watch: events in batches, as they arrive."""

    def __init__(self, lines: LineStream) -> None:
        self._lines = lines

    async def read(self) -> list[Event]:
        """Every event that has arrived: at least one, ``[]`` only at the end. Raises as ``LineStream.read``."""
        return [decode_line(line) for line in await self._lines.read()]

    async def close(self) -> None:
        await self._lines.close()
