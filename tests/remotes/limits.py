"""How fast a cluster is spoken to: its own rate, and the server's wish for a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from controller.sandbox.apiserver.faults import Fault
from tests.bench.report import Figure, Goal
from tests.remotes.fleet import Fleet, datacenters, fleet, names, shows_size
from tests.remotes.seen import Asked, asked
from tests.remotes.verdicts import Findings, at_most

WITHIN: Final = 60.0  # s
QPS: Final = 10
BURST: Final = 10
CLUSTERS: Final = 12  # K8ssandraClusters that want to be written at once
PAUSE: Final = 3  # s that the server asks for


async def limits(found: Findings, *, quick: bool) -> None:
    """One cluster with a low rate, one with the default."""
    slow, other = names(2)
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(fleet([slow, other]))
        await world.register(slow, client_qps=str(QPS), client_burst=str(BURST))
        await world.register(other)
        running = await stack.enter_async_context(world.controller())
        await stack.enter_async_context(world.operated([slow, other]))
        await running.ready(within=WITHIN)
        await world.connected([slow, other])
        await found.measure("rate of one cluster", _rate(world, slow, other, 4 if quick else CLUSTERS))
        await found.measure("Retry-After", _pause(world, other))
        assert not running.exited


async def _rate(world: Fleet, slow: str, other: str, count: int) -> list[Figure]:
    loop = asyncio.get_running_loop()
    crowd = [f"slow-{number}" for number in range(count)]
    with asked(world.planes[slow].server) as requests:
        began = loop.time()
        for name in crowd:
            await world.create(name, slow)
        await world.create("beside", other)
        await world.ready(["beside"], WITHIN)
        beside = loop.time() - began
        await world.ready(crowd, WITHIN)
        slowly = loop.time() - began
    limited = [each for each in requests if each.limited]
    group = f"{count} new K8ssandraClusters in a cluster with client-qps {QPS} and client-burst {BURST}"
    return [
        at_most(
            group, "G19 requests above rate and burst, in any span", (excess(limited),), 1, "", f"of {len(limited)}"
        ),
        at_most(group, "all of them are Ready after", (slowly,), None),
        at_most(group, "one in another cluster is Ready after", (beside,), None),
    ]


def excess(requests: Sequence[Asked]) -> float:
    """How many requests there were more than a bucket lets through, in the worst span of time."""
    times = [each.at for each in requests]
    return max(
        (
            last - first + 1 - BURST - QPS * (times[last] - times[first])
            for first in range(len(times))
            for last in range(first, len(times))
        ),
        default=0.0,
    )


async def _pause(world: Fleet, context: str) -> list[Figure]:
    """The server answers a write with 429 and Retry-After: nothing comes until then, and then it comes."""
    plane = world.planes[context]
    async with datacenters(plane) as history:
        with asked(plane.server) as requests:
            for verb in ("apply", "update"):  # in one of these ways; the simulated operator patches
                plane.server.faults.add(
                    Fault(
                        resource="cassandradatacenters",
                        verb=verb,
                        status=429,
                        reason="TooManyRequests",
                        retry_after=PAUSE,
                    )
                )
            loop = asyncio.get_running_loop()
            began = loop.time()
            await world.resize("beside", 5)
            await history.first(
                shows_size(5, "beside-dc1"), since=began, within=WITHIN, what="the change is written after all"
            )
        plane.server.faults.clear()
        refused = next(each for each in requests if each.status == 429)
        following = [each.at - refused.at for each in requests if each.limited and each.at > refused.at]
    group = f"an answer 429 with Retry-After: {PAUSE}"
    return [
        Figure(group, "G19 the next request comes after", "s", (min(following),), Goal(">=", PAUSE - 0.05, "s")),
        at_most(group, "and then the change is written, after", (following[-1],), PAUSE + 2),
    ]
