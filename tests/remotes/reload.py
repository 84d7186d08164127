"""ClientConfigs that come and go while the controller runs with ``--hot-reload``: how soon, and what is left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from tests.bench.report import Figure
from tests.remotes.fleet import Fleet, fleet, names
from tests.remotes.process import RunningController
from tests.remotes.verdicts import Findings, at_most

WITHIN: Final = 60.0  # s
AT_ONCE: Final = 10  # clusters that come and go together
WARM: Final = 3  # rounds before anything is counted: caches, pools and the allocator have their size then
REST: Final = 3.0  # s for what ends a moment later
POLL: Final = 0.02  # s


class Round(msgspec.Struct):
    """Seconds for each cluster until it was connected, and until its last connection was gone."""

    added: list[float]
    removed: list[float]


async def reload(found: Findings, *, quick: bool) -> None:
    """1000 cycles, 10 at a time; ``quick``: 50."""
    await found.measure("clusters that come and go", _reload(50 if quick else 1000))


async def _reload(cycles: int) -> list[Figure]:
    stays, *come_and_go = names(1 + AT_ONCE)
    rounds: list[Round] = []
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(fleet([stays, *come_and_go]))
        await world.register(stays)
        running = await stack.enter_async_context(world.controller("--hot-reload", level="error"))
        await running.ready(within=WITHIN)
        await world.connected([stays])
        begun = asyncio.get_running_loop().time()
        for _ in range(WARM):
            await _round(world, come_and_go)
        before = await _held(running)
        for _ in range(cycles // AT_ONCE):
            rounds.append(await _round(world, come_and_go))
        after = await _held(running)
        series = {labels["context"] for labels, _ in await running.samples("remote_cluster_up")}
        flips = world.flips(stays, begun)
        assert not running.exited
    group = f"--hot-reload: {cycles} times added and removed, {AT_ONCE} at a time"
    return [
        at_most(group, "G15 added → connected", (s for each in rounds for s in each.added), 5),
        at_most(group, "G15 removed → no connection is left", (s for each in rounds for s in each.removed), 5),
        at_most(group, "G15 file descriptors more than before", (after[0] - before[0],), 0, ""),
        at_most(group, "G15 memory more than before", (after[1] - before[1],), 5, "MiB"),
        at_most(group, "metrics of clusters that are gone", (float(len(series - {stays})),), 0, ""),
        at_most(group, "condition changes of the cluster that stays", (float(flips),), 0, ""),
    ]


async def _round(world: Fleet, contexts: Sequence[str]) -> Round:
    results = await asyncio.gather(*(_cycle(world, context) for context in contexts))
    return Round([added for added, _ in results], [removed for _, removed in results])


async def _cycle(world: Fleet, context: str) -> tuple[float, float]:
    loop, plane = asyncio.get_running_loop(), world.planes[context]
    begun = loop.time()
    await world.register(context)
    added = await world.said(context, begun, "True", WITHIN)
    gone = await world.remove(context)
    async with asyncio.timeout(WITHIN):
        while plane.proxy.open:
            await asyncio.sleep(POLL)
    return added, loop.time() - gone


async def _held(running: RunningController) -> tuple[float, float]:
    """File descriptors and MiB of memory, once the process is at rest."""
    await asyncio.sleep(REST)
    return float(running.descriptors()), running.resident()
