"""Figures that are judged by their worst, where a goal is about the 99th of a hundred."""

from __future__ import annotations

from collections.abc import Iterable

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
