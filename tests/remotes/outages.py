"""Outages of single clusters: how soon they are noticed and over, what they cost, and blips that are none."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from random import Random
from typing import Any, Final

import msgspec

from tests.bench.report import Figure
from tests.remotes.fleet import Fleet, Plane, datacenters, fleet, names, shows_size
from tests.remotes.process import RunningController
from tests.remotes.proxy import Proxy
from tests.remotes.verdicts import Findings, at_most
from tests.remotes.watching import History

GROUP: Final = "outages of single clusters"
WITHIN: Final = 45.0  # s for anything to be noticed or over
PROBE: Final = 3.0  # s between two looks: a fault begins anywhere in between
MANY: Final = 5  # K8ssandraClusters of the clusters called crowded
BLIP: Final = 2.0  # s

_LOSING: Final = re.compile(r'"cluster is (Suspect|Unreachable)"')

Begin = Callable[[Proxy], None]

# What happens to which cluster: refused and black-holed ones are the measurement, of the next two connections can be
# counted, then blips, and the last are left alone.
LOSSES: Final[Sequence[tuple[str, Begin, int]]] = (
    ("refused", Proxy.refuse, 5),
    ("black hole", Proxy.black_hole, 5),
    ("reset at once", Proxy.reset, 1),
    ("accepted, no answer", Proxy.freeze, 1),
)
BLIPS: Final[Sequence[tuple[str, Begin]]] = (
    ("refused", Proxy.refuse),
    ("black hole", Proxy.black_hole),
    ("frozen", Proxy.freeze),
)
LEFT_ALONE: Final = 2


class Outage(msgspec.Struct, kw_only=True):
    """What was measured of one outage of one cluster; seconds from its begin or from its end."""

    kind: str
    suspected: float | None = None
    noticed: float
    connected: float
    first: float  # until the first pending change was written there
    last: float
    attempts: float  # connections a second while it was dead, by the count of the proxy; 0 when it cannot count
    counted: float  # the same by the controller's metrics
    lines: int  # of the log about it while it was dead and known to be
    seconds: float  # for which that was


class Watched(msgspec.Struct):
    """The fleet under measurement."""

    fleet: Fleet
    running: RunningController
    histories: dict[str, History]


async def outages(found: Findings, *, quick: bool) -> None:
    """Several outages at the same time, each of a cluster of its own, then the same again."""
    await found.measure("outages", _outages(quick=quick))


async def _outages(*, quick: bool) -> list[Figure]:
    rounds, rng = (1 if quick else 3), Random(7)
    losses = [(kind, begin) for kind, begin, count in LOSSES for _ in range(2 if quick and count > 2 else count)]
    contexts = names(len(losses) + len(BLIPS) + LEFT_ALONE)
    found: list[Outage] = []
    blips: list[tuple[str, int, float]] = []
    flips_elsewhere = 0
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(fleet(contexts))
        for context in contexts:
            await world.register(context)
        running = await stack.enter_async_context(world.controller())
        await stack.enter_async_context(world.operated(contexts))
        await running.ready(within=WITHIN)
        await world.connected(contexts)
        histories = {c: await stack.enter_async_context(datacenters(world.planes[c])) for c in contexts}
        watched = Watched(world, running, histories)
        crowded = {contexts[0], contexts[len(losses) // 2 - 1]}
        clusters = {c: [f"{c}-k{n}" for n in range(MANY if c in crowded else 1)] for c in contexts}
        for context, own in clusters.items():
            for name in own:
                await world.create(name, context)
        await world.ready([name for own in clusters.values() for name in own])
        for number in range(rounds):
            size, begun = 4 + number, asyncio.get_running_loop().time()
            dead = contexts[: len(losses)]
            blinking = contexts[len(losses) : len(losses) + len(BLIPS)]
            alone = contexts[-LEFT_ALONE:]
            work: list[Awaitable[Any]] = [
                _outage(watched, context, kind, begin, clusters[context], size, rng)
                for context, (kind, begin) in zip(dead, losses, strict=True)
            ]
            short: list[Awaitable[Any]] = [
                _blip(watched, context, begin, clusters[context], size, rng)
                for context, (_, begin) in zip(blinking, BLIPS, strict=True)
            ]
            results = await asyncio.gather(*work, *short)
            found += results[: len(losses)]
            blips += [
                (kind, world.flips(context, begun), late)
                for context, (kind, _), late in zip(blinking, BLIPS, results[len(losses) :], strict=True)
            ]
            flips_elsewhere += sum(world.flips(context, begun) for context in alone)
    return _figures(found, blips, flips_elsewhere)


async def _outage(
    watched: Watched, context: str, kind: str, begin: Begin, clusters: Sequence[str], size: int, rng: Random
) -> Outage:
    """One cluster is lost, has work that waits, and comes back."""
    loop, world = asyncio.get_running_loop(), watched.fleet
    plane = world.planes[context]
    await asyncio.sleep(rng.uniform(0, PROBE))
    begun = loop.time()
    begin(plane.proxy)
    noticed = await world.said(context, begun, "False", WITHIN)
    for name in clusters:
        await world.resize(name, size)
    accepted, counted, since = plane.proxy.accepted, await _attempts(watched, context), loop.time()
    await asyncio.sleep(rng.uniform(4, 8))  # anywhere in its backoff
    seconds = loop.time() - since
    attempts = _rate(plane.proxy.accepted - accepted, seconds)
    tried = _rate(await _attempts(watched, context) - counted, seconds)
    lines = sum(since <= line.at and f'"{context}"' in line.text for line in watched.running.log)
    healed = loop.time()
    plane.proxy.heal()
    connected = await world.said(context, healed, "True", WITHIN)
    written = await _written(watched, plane, clusters, size, healed)
    return Outage(
        kind=kind,
        suspected=_suspected(watched, context, begun),
        noticed=noticed,
        connected=connected,
        first=min(written),
        last=max(written),
        attempts=attempts,
        counted=tried,
        lines=lines,
        seconds=seconds,
    )


async def _blip(watched: Watched, context: str, begin: Begin, clusters: Sequence[str], size: int, rng: Random) -> float:
    """A cluster is away for a moment, in which something changes; seconds until that was written there."""
    loop, world = asyncio.get_running_loop(), watched.fleet
    plane = world.planes[context]
    await asyncio.sleep(rng.uniform(0, PROBE))
    begin(plane.proxy)
    await asyncio.sleep(BLIP / 2)
    for name in clusters:
        await world.resize(name, size)
    await asyncio.sleep(BLIP / 2)
    healed = loop.time()
    plane.proxy.heal()
    late = max(await _written(watched, plane, clusters, size, healed))
    await asyncio.sleep(4 * PROBE)  # in which a delayed verdict would show
    return late


async def _written(watched: Watched, plane: Plane, clusters: Sequence[str], size: int, since: float) -> list[float]:
    """For each of these K8ssandraClusters the seconds until its datacenter has the new size."""
    seen = await asyncio.gather(
        *(
            watched.histories[plane.context].first(
                shows_size(size, f"{name}-dc1"), since=since, within=WITHIN, what=f"{name} is resized"
            )
            for name in clusters
        )
    )
    return [each.at - since for each in seen]


def _rate(count: float, seconds: float) -> float:
    """Of so many moments within a span: between n of them are n - 1 intervals."""
    return max(0.0, count - 1) / seconds


async def _attempts(watched: Watched, context: str) -> float:
    return await watched.running.total("remote_cluster_connect_attempts_total", context=context)


def _suspected(watched: Watched, context: str, since: float) -> float | None:
    """Seconds until the controller said that it suspects the cluster, or that it is lost; None when it has not."""
    for line in watched.running.log:
        if line.at >= since and f'"{context}"' in line.text and _LOSING.search(line.text):
            return line.at - since
    return None


def _figures(found: Sequence[Outage], blips: Sequence[tuple[str, int, float]], flips_elsewhere: int) -> list[Figure]:
    of = {kind: [each for each in found if each.kind == kind] for kind, _, _ in LOSSES}
    suspected = [each.suspected for each in found if each.suspected is not None]
    figures = [at_most(GROUP, "G1 lost → no new changes there (Suspect)", suspected, 6)]
    figures += [
        at_most(GROUP, f"G2 {kind} → condition says so", (each.noticed for each in of[kind]), bound)
        for kind, bound in (("refused", 4), ("black hole", 13), ("reset at once", 4), ("accepted, no answer", 13))
    ]
    figures += [
        at_most(GROUP, "G3 condition changes by a blip of 2 s", (float(flips) for _, flips, _ in blips), 0, ""),
        at_most(GROUP, "G3 a change in a blip is written after", (late for *_, late in blips), 15),
        at_most(GROUP, "condition changes of clusters left alone", (float(flips_elsewhere),), 0, ""),
        at_most(GROUP, "G4 back → condition says Connected", (each.connected for each in found), 6),
        at_most(GROUP, "G5 back → first waiting change is written", (each.first for each in found), 8),
        at_most(GROUP, "G5 back → all waiting changes are written", (each.last for each in found), 15),
        at_most(
            GROUP,
            "G10 connections a second to a dead cluster",
            [max(each.attempts, each.counted) for each in found],
            1,
            "/s",
        ),
        at_most(
            GROUP,
            "G10 log lines a minute about a dead cluster",
            [60 * sum(each.lines for each in found) / sum(each.seconds for each in found)],
            1,
            "/min",
        ),
    ]
    return figures
