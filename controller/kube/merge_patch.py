"""JSON merge patches (RFC 7386): the smallest one that turns one object into another, and what a patch makes of one."""

from __future__ import annotations

from typing import Any


def difference(before: Any, after: dict[str, Any]) -> dict[str, Any]:
    """The merge patch from ``before`` to ``after``; {} when there is nothing to change. Lists are replaced whole."""
    live = before if isinstance(before, dict) else {}
    patch: dict[str, Any] = {key: None for key in live if key not in after}
    for key, value in after.items():
        old = live.get(key)
        if old == value and key in live:
            continue
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := difference(old, value):
                patch[key] = inner
        else:
            patch[key] = value
    return patch


def merge(target: Any, patch: Any) -> Any:
    """``target`` with ``patch`` applied; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged
