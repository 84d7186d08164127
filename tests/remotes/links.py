"""Links that are bad without being dead: half open, lossy, slow, buffering, cut when idle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from tests.bench.report import Figure
from tests.remotes.events import Shown, events
from tests.remotes.fleet import Fleet, fleet, names
from tests.remotes.proxy import Proxy
from tests.remotes.verdicts import Findings, at_most

WITHIN: Final = 60.0  # s
GROUP: Final = "links that are bad without being dead"


class Weather(msgspec.Struct, frozen=True):
    """One kind of bad link, and how late an event may be shown over it, in seconds. ``slow``: takes a while to show."""

    name: str
    begin: Callable[[Proxy], None]
    bound: float | None
    slow: bool = False


WEATHERS: Final = (
    Weather("G12 half open", Proxy.half_open, 31, slow=True),
    Weather("30 % of the packets lost", lambda way: way.lose(0.3), None),
    Weather("20 kB a second", lambda way: way.trickle(20_000), None),
    Weather("held back for 1 s by a proxy that buffers", lambda way: way.buffer(16_384, 1.0), 8),
    Weather("new connections hang in the handshake", Proxy.hang_handshakes, 8),
    Weather("cut after 5 idle seconds", lambda way: way.cut_idle(5), 8),
)


class Result(msgspec.Struct):
    """``flips``: changes of the condition meanwhile."""

    flips: int
    shown: Shown


async def links(found: Findings, *, quick: bool) -> None:
    """Every kind of link at the same time, each to a cluster of its own in which events happen."""
    chosen = [each for each in WEATHERS if not (quick and each.slow)]
    await found.measure("bad links", _links(chosen, 8.0 if quick else 40.0))


async def _links(weathers: Sequence[Weather], seconds: float) -> list[Figure]:
    contexts = names(len(weathers))
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(fleet(contexts))
        for context in contexts:
            await world.register(context)
            await world.create(f"{context}-k", context)
        running = await stack.enter_async_context(world.controller())
        await stack.enter_async_context(world.operated(contexts))
        await running.ready(within=WITHIN)
        await world.connected(contexts)
        await world.ready([f"{context}-k" for context in contexts])
        results = await asyncio.gather(
            *(_under(world, context, each, seconds) for context, each in zip(contexts, weathers, strict=True))
        )
        assert not running.exited
    figures = []
    for weather, result in zip(weathers, results, strict=True):
        figures += [
            at_most(GROUP, f"{weather.name}: condition changes", (float(result.flips),), 0, ""),
            at_most(GROUP, f"{weather.name}: an event is shown after, at most", (result.shown.longest,), weather.bound),
            at_most(GROUP, f"{weather.name}: events lost", (float(result.shown.lost),), 0, ""),
        ]
    return figures


async def _under(world: Fleet, context: str, weather: Weather, seconds: float) -> Result:
    plane, loop = world.planes[context], asyncio.get_running_loop()
    begun = loop.time()
    weather.begin(plane.proxy)
    if not plane.proxy.packets_vanish:
        raise RuntimeError("this kernel does not let packets vanish: half open links and loss cannot be measured")
    async with events(world, context, f"{context}-k-dc1") as shown:
        await asyncio.sleep(seconds)
    flips = world.flips(context, begun)
    plane.proxy.heal()
    return Result(flips, shown)
