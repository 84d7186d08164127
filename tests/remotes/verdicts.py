"""Figures that are judged by their worst, and what was found of all that was to be measured."""

from __future__ import annotations

import traceback
from collections.abc import Coroutine, Iterable
from typing import Any

from tests.bench.report import Figure, Goal, Verdict
from tests.bench.stage import percentile


class Worst(Figure, frozen=True):
    """Judged by its p99: with fewer than a hundred rounds that is the worst of them."""

    @property
    def verdict(self) -> Verdict:
        if self.goal is None:
            return ""
        bound = percentile(self.values, 99) if self.goal.way == "<=" else min(self.values)
        return "met" if self.goal.holds(bound) else "missed"


def at_most(
    group: str, name: str, values: Iterable[float], bound: float | None, unit: str = "s", note: str = ""
) -> Figure:
    """A figure whose p99 must not be above ``bound``; None: it is for orientation."""
    found = tuple(values)
    counted = f"n={len(found)}" if len(found) > 1 else ""
    goal = None if bound is None else Goal("<=", bound, unit)
    return Worst(group, name, unit, found, goal, ", ".join(filter(None, (counted, note))))


class Findings:
    """The figures so far. ``failed``: parts that could not be measured."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self.failed: list[str] = []

    async def measure(self, name: str, part: Coroutine[Any, Any, Iterable[Figure]]) -> None:
        """Add what ``part`` finds; when it fails say so, and the other figures are worth having."""
        try:
            self.figures += await part
        except Exception:
            traceback.print_exc()
            self.failed.append(name)
