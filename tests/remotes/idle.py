"""What idle remote clusters cost: the measurement of its own module, in this one's form."""

from __future__ import annotations

from tests.remotes import memory
from tests.remotes.verdicts import Findings


async def idle(found: Findings, *, quick: bool) -> None:
    """Memory and CPU without a remote cluster and with many."""
    await found.measure("idle remote clusters", memory.figures(quick=quick))
