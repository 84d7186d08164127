"""Copies of JSON values, and whether two are written alike."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def clone(value: T) -> T:
    """A copy of a JSON value that shares no dict or list with it.

    By way of JSON, which is more than twice as fast as going through it in Python: no cycles, shared parts or classes.
    """
    if isinstance(value, dict | list):
        return msgspec.json.decode(msgspec.json.encode(value))  # type: ignore[no-any-return]  # of the same type
    return value


def identical(left: Any, right: Any) -> bool:
    """Whether two maps or lists are the same down to the order of their keys and the types of their numbers.

    False says nothing: values may be the same for all that.
    """
    return left == right and msgspec.json.encode(left) == msgspec.json.encode(right)
