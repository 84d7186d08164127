"""An object as it travels: its head decoded, the rest as bytes until somebody needs it."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from controller.kube.errors import Malformed

T = TypeVar("T")


class Head(msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True):
    """The part of ``metadata`` that caches and queues need."""

    name: str = ""  # bookmarks have none
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class _Metadata(msgspec.Struct, gc=False):
    metadata: Head


_decode_metadata = msgspec.json.Decoder(_Metadata).decode


class Object(msgspec.Struct, frozen=True, gc=False):
    """One version of one object: its head, and the whole of it as JSON bytes."""

    head: Head
    raw: bytes

    def decode(self, kind: type[T]) -> T:
        """The object as ``kind``; raises ``Malformed`` naming the field path, never a value."""
        return decode(self.raw, kind)

    def __repr__(self) -> str:
        # The bytes may be a Secret's.
        head = self.head
        return f"Object({head.namespace}/{head.name} uid={head.uid} rv={head.resource_version})"


def parse(raw: bytes | msgspec.Raw) -> Object:
    """An ``Object`` with bytes of its own (not a view that would pin a larger buffer); raises ``Malformed``."""
    try:
        return Object(_decode_metadata(raw).metadata, bytes(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a Kubernetes object: {_where(error)}") from None


def decode(raw: bytes | msgspec.Raw, kind: type[T]) -> T:
    """JSON as ``kind``, null as absent; raises ``Malformed`` naming the field path, never a value."""
    try:
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.ValidationError:
            # Go reads null as absent, whatever the type; so it is tried once more without any.
            return msgspec.convert(_without_nulls(msgspec.json.decode(raw)), kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(_where(error)) from None


def encode(value: Any) -> bytes:
    """JSON bytes of a struct, dict or list."""
    return msgspec.json.encode(value)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _where(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return str(error)  # msgspec names types and the path, not the value
    return f"{type(error).__name__}: not valid JSON"
