"""Copies of JSON values, several times faster than ``copy.deepcopy``: no cycles, no shared parts, no classes."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")


def clone(value: T) -> T:
    """A copy of a JSON value that shares no dict or list with it."""
    return _clone(value)  # type: ignore[no-any-return]  # of the same type


def _clone(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clone(item) if isinstance(item, dict | list) else item for key, item in value.items()}
    if isinstance(value, list):
        return [_clone(item) if isinstance(item, dict | list) else item for item in value]
    return value
