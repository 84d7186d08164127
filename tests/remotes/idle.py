"""What idle remote clusters cost: the measurement of its own module, beside the goals that it is about."""

from __future__ import annotations

import msgspec

from tests.bench.report import Figure
from tests.remotes import memory
from tests.remotes.verdicts import Findings


async def idle(found: Findings, *, quick: bool) -> None:
    """Memory and CPU without a remote cluster and with many."""
    await found.measure("idle remote clusters", _idle(quick=quick))


async def _idle(*, quick: bool) -> list[Figure]:
    return [_named(figure) for figure in await memory.figures(quick=quick)]


def _named(figure: Figure) -> Figure:
    """With the goal's number, as all others have it."""
    if figure.goal is None:
        return figure
    goal = "G17" if figure.unit == "MiB" else "G18"
    return msgspec.structs.replace(figure, name=f"{goal} {figure.name}")
