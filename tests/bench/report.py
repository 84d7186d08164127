"""Figures beside their goals: how they are judged, printed and written to a file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from rich.console import Console
from rich.table import Table

Verdict = Literal["met", "missed", ""]
DIGITS: Final = 3  # significant ones; nothing here is more exact


class Goal(msgspec.Struct, frozen=True):
    """A bound on the median. ``way``: at most or at least."""

    way: Literal["<=", ">="]
    bound: float
    unit: str = ""

    def holds(self, value: float) -> bool:
        return value <= self.bound if self.way == "<=" else value >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.way == '<=' else '≥'} {number(self.bound)} {self.unit}".rstrip()


class Figure(msgspec.Struct, frozen=True):
    """One line: what was measured in each round. ``goal`` None: it stands beside another, or is for orientation."""

    group: str
    name: str
    unit: str
    values: tuple[float, ...]
    goal: Goal | None = None
    note: str = ""

    @property
    def median(self) -> float:
        ordered = sorted(self.values)
        half = len(ordered) // 2
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2

    @property
    def verdict(self) -> Verdict:
        if self.goal is None:
            return ""
        return "met" if self.goal.holds(self.median) else "missed"

    def plain(self) -> dict[str, Any]:
        return {
            "group": self.group,
            "name": self.name,
            "unit": self.unit,
            "min": min(self.values),
            "median": self.median,
            "max": max(self.values),
            "rounds": list(self.values),
            "goal": str(self.goal) if self.goal is not None else None,
            "verdict": self.verdict or None,
            "note": self.note,
        }


def ratios(group: str, name: str, ours: Sequence[float], theirs: Sequence[float], goal: Goal, note: str = "") -> Figure:
    """Ours by theirs, round by round: what disturbed one of a pair has most likely disturbed the other."""
    return Figure(group, name, "×", tuple(a / b for a, b in zip(ours, theirs, strict=True)), goal, note)


def number(value: float) -> str:
    """``value`` with three significant digits, thousands apart."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.{max(0, DIGITS - 1 - _magnitude(value))}f}"


def _magnitude(value: float) -> int:
    return int(f"{abs(value):e}".partition("e")[2])


def show(figures: Sequence[Figure]) -> None:
    """The table on stdout."""
    table = Table(title=f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for heading, justify in (
        ("figure", "left"),
        ("min", "right"),
        ("median", "right"),
        ("max", "right"),
        ("unit", "left"),
        ("goal", "left"),
        ("", "left"),
    ):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    group = ""
    for figure in figures:
        if figure.group != group:
            group = figure.group
            table.add_section()
            table.add_row(f"[bold]{group}[/bold]")
        colour = {"met": "green", "missed": "red", "": ""}[figure.verdict]
        table.add_row(
            f"  {figure.name}" + (f" [dim]({figure.note})[/dim]" if figure.note else ""),
            *(number(value) for value in (min(figure.values), figure.median, max(figure.values))),
            figure.unit,
            str(figure.goal or ""),
            f"[{colour}]{figure.verdict}[/{colour}]" if colour else "",
        )
    width = None if Console().is_terminal else 150
    Console(width=width).print(table)


def write(path: Path, figures: Sequence[Figure], load: Sequence[float]) -> None:
    """The same as JSON; ``load``: the machine's load averages before the first round."""
    document = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": list(load),
        "python": platform.python_version(),
        "figures": [figure.plain() for figure in figures],
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
