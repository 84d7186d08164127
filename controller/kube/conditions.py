"""Conditions as the API conventions want them: one per type, and a time that moves only when the status does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from controller.kube.errors import clean


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said. ``reason`` is CamelCase, ``message`` a sentence for people, at most 1 KiB."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    observed_generation: int = 0


def merge(live: Sequence[dict[str, Any]], wanted: Iterable[Condition], now: str) -> list[dict[str, Any]]:
    """``live`` conditions with the ``wanted`` ones put in; others stay as they are.

    ``now`` (RFC 3339) becomes ``lastTransitionTime`` where the status changed; else the live time is kept.
    """
    merged = {str(entry.get("type", "")): entry for entry in live}
    for condition in wanted:
        before = merged.get(condition.type, {})
        same = before.get("status") == condition.status and before.get("lastTransitionTime")
        entry: dict[str, Any] = {
            "type": condition.type,
            "status": condition.status,
            "reason": condition.reason,
            "message": clean(condition.message),
            "lastTransitionTime": before["lastTransitionTime"] if same else now,
        }
        if condition.observed_generation:
            entry["observedGeneration"] = condition.observed_generation
        merged[condition.type] = entry
    return list(merged.values())


def find(conditions: Sequence[dict[str, Any]] | None, kind: str) -> dict[str, Any]:
    """The condition of a type, {} when there is none."""
    return next((entry for entry in conditions or () if entry.get("type") == kind), {})


def is_true(conditions: Sequence[dict[str, Any]] | None, kind: str) -> bool:
    return find(conditions, kind).get("status") == "True"
