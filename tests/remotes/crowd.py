"""A hundred clusters of which twenty are away: the start, and what the other eighty notice of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

import msgspec

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from tests.bench.latency import Arrivals
from tests.bench.report import Figure, Goal, ratios
from tests.bench.stage import percentile
from tests.remotes.fleet import NAMESPACE, Fleet, datacenters, fleet, names
from tests.remotes.process import RunningController
from tests.remotes.verdicts import Findings, at_most
from tests.remotes.watching import History, inside

DEAD: Final = 20  # of a hundred
WITHIN: Final = 120.0  # s
ANSWER_WITHIN: Final = 10.0  # s for one event
PAUSE: Final = (0.020, 0.040)  # s between an answer and the next event
FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
HEALTHZ_EVERY: Final = 0.05  # s
USED: Final = 3  # healthy clusters in which events happen


class Block(msgspec.Struct):
    """Events one after the other, in healthy clusters. ``lag``: how long /healthz took, in ms."""

    latencies: list[float]
    lag: list[float]
    seconds: float
    cpu: float


async def crowd(found: Findings, *, quick: bool) -> None:
    """``quick``: 20 clusters instead of 100."""
    count, dead_count = (20, 4) if quick else (100, DEAD)
    contexts = names(count)
    dead, healthy = contexts[:dead_count], contexts[dead_count:]
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(fleet(contexts))
        for context in contexts:
            await world.register(context)
        for context in dead:
            world.planes[context].proxy.black_hole()
        used = [healthy[0], healthy[len(healthy) // 2], healthy[-1]]
        await world.create("demo", *used)
        await stack.enter_async_context(world.operated(used))
        history = await stack.enter_async_context(datacenters(world.planes[used[0]]))
        running = await stack.enter_async_context(world.controller())
        await found.measure("start of the crowd", _start(world, running, healthy, dead, history))
        await world.ready(["demo"], WITHIN)
        for context in dead:
            world.planes[context].proxy.heal()
        await world.connected(contexts, WITHIN)
        bench = _Bench(world, running, used, Random(3))
        with inside(world.control.server, K8SSANDRA_CLUSTERS, bench.arrivals.see):
            plan = (2, 60) if quick else (5, 200)
            await found.measure("neighbours", _interleaved(world, bench, contexts, dead, *plan))


async def _start(
    world: Fleet, running: RunningController, healthy: Sequence[str], dead: Sequence[str], history: History
) -> list[Figure]:
    ready = await running.ready(within=WITHIN)
    connected = [await world.said(context, running.started, "True", WITHIN) for context in healthy]
    cpu = running.cpu()
    first = await history.first(lambda _: True, since=running.started, within=WITHIN, what="a first datacenter")
    group = f"start with {len(dead)} of {len(healthy) + len(dead)} clusters black-holed"
    return [
        at_most(group, "G6 /readyz after the start of the process", [ready], 5),
        at_most(group, "G6 healthy clusters are connected", connected, 5),
        at_most(group, "CPU of the controller until then", [cpu], None),
        at_most(group, "G6 first datacenter is written after", [first.at - running.started], 5),
    ]


class _Bench:
    """Status events in healthy clusters, and when the control plane shows them."""

    def __init__(self, world: Fleet, running: RunningController, used: Sequence[str], rng: Random) -> None:
        self.arrivals = Arrivals()
        self._world = world
        self._running = running
        self._used = used
        self._rng = rng
        self._serial = 0

    async def block(self, events: int) -> Block:
        loop = asyncio.get_running_loop()
        lag: list[float] = []
        looking = asyncio.create_task(self._look(lag))
        began, cpu = loop.time(), self._running.cpu()
        latencies = [await self._event(number % len(self._used)) for number in range(events)]
        seconds, used = loop.time() - began, self._running.cpu() - cpu
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        return Block(latencies, lag, seconds, used)

    async def _event(self, place: int) -> float:
        """Milliseconds from the begin of a datacenter's status patch until the K8ssandraCluster shows it."""
        self._serial += 1
        marker = (FIRST + timedelta(seconds=self._serial)).strftime("%Y-%m-%dT%H:%M:%SZ")
        shown = self.arrivals.expect(marker)
        client = self._world.planes[self._used[place]].client
        status = {"status": {"lastServerNodeStarted": marker}}
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(ANSWER_WITHIN):
            await client.patch(
                CASSANDRA_DATACENTERS, NAMESPACE, f"demo-dc{place + 1}", status, kind="merge", subresource="status"
            )
            milliseconds = (await shown - began) * 1000
        await asyncio.sleep(self._rng.uniform(*PAUSE))
        return milliseconds

    async def _look(self, lag: list[float]) -> None:
        while True:
            lag.append(await self._running.answers() * 1000)
            await asyncio.sleep(HEALTHZ_EVERY)


async def _interleaved(
    world: Fleet, bench: _Bench, contexts: Sequence[str], dead: Sequence[str], runs: int, events: int
) -> list[Figure]:
    """Blocks without and with the outage in turn; the first of each run alternates."""
    without: list[Block] = []
    during: list[Block] = []

    async def healthy_block() -> None:
        without.append(await bench.block(events))

    async def outage_block() -> None:
        for context in dead:
            world.planes[context].proxy.black_hole()
        during.append(await bench.block(events))  # the first seconds, when it is noticed, belong to it
        for context in dead:
            world.planes[context].proxy.heal()
        await world.connected(contexts, WITHIN)

    await bench.block(events // 4)  # warms everything up
    for number in range(runs):
        for measure in (healthy_block, outage_block) if number % 2 == 0 else (outage_block, healthy_block):
            await measure()
    return _figures(len(contexts), len(dead), without, during)


def _figures(count: int, dead: int, without: Sequence[Block], during: Sequence[Block]) -> list[Figure]:
    group = f"healthy clusters while {dead} of {count} are black-holed, on sockets"
    figures: list[Figure] = []
    for name, percent in (("p50", 50), ("p99", 99)):
        alone = [percentile(block.latencies, percent) for block in without]
        beside = [percentile(block.latencies, percent) for block in during]
        # Not more than what the same measurement differs from itself when nothing is wrong, its worst run left out.
        spread = sorted(alone)[-2] / percentile(alone, 50)
        bound = Goal("<=", max(1.05, spread), "×")
        figures += [
            Figure(group, f"status event to write, {name} of each run: all well", "ms", tuple(alone)),
            Figure(group, f"status event to write, {name}: during the outage", "ms", tuple(beside)),
            ratios(
                group, f"G8 {name}: during by all well, run by run", beside, alone, bound, "or the spread of all well"
            ),
        ]
    events = len(without[0].latencies)
    figures += [
        Figure(group, "CPU per event: all well", "ms", tuple(block.cpu * 1000 / events for block in without)),
        Figure(group, "CPU per event: during the outage", "ms", tuple(block.cpu * 1000 / events for block in during)),
        at_most(
            group, "answer of /healthz, p99: all well", [percentile(block.lag, 99) for block in without], None, "ms"
        ),
        Figure(
            group,
            "G8 answer of /healthz, p99: during the outage (lag of the loop)",
            "ms",
            tuple(percentile(block.lag, 99) for block in during),
            Goal("<=", 50, "ms"),
        ),
    ]
    return figures
