"""Events that go on in a data plane while something is done to the connection: is each of them shown in the end?"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from tests.bench.latency import Arrivals
from tests.remotes.fleet import NAMESPACE, Fleet
from tests.remotes.watching import inside

FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
PAUSE: Final = 0.03  # s between an answer and the next event
SHOWN_WITHIN: Final = 45.0  # s; an event that takes longer counts as lost


class Shown(msgspec.Struct):
    """How long each event took to be shown, in seconds; ``lost``: how many never were."""

    seconds: list[float] = []
    lost: int = 0

    @property
    def longest(self) -> float:
        """Seconds; of one that was lost, as long as it was waited for."""
        return max([*self.seconds, *[SHOWN_WITHIN] * self.lost])


@asynccontextmanager
async def events(world: Fleet, context: str, datacenter: str) -> AsyncIterator[Shown]:
    """Status events of a datacenter one after the other, each waited for, as long as the block runs."""
    found, arrivals, ending = Shown(), Arrivals(), asyncio.Event()
    client = world.planes[context].client
    loop = asyncio.get_running_loop()
    # Markers are dates: others have theirs in other centuries, and nobody has the same twice.
    serial = zlib.crc32(context.encode()) % 500 * 10_000_000 + int(loop.time() * 10) % 10_000_000

    async def go_on() -> None:
        nonlocal serial
        while not ending.is_set():
            serial += 1
            marker = (FIRST + timedelta(seconds=serial)).strftime("%Y-%m-%dT%H:%M:%SZ")
            shown, began = arrivals.expect(marker), loop.time()
            status = {"status": {"lastServerNodeStarted": marker}}
            await client.patch(CASSANDRA_DATACENTERS, NAMESPACE, datacenter, status, kind="merge", subresource="status")
            try:
                async with asyncio.timeout(SHOWN_WITHIN):
                    found.seconds.append(await shown - began)
            except TimeoutError:
                found.lost += 1
            await asyncio.sleep(PAUSE)

    with inside(world.control.server, K8SSANDRA_CLUSTERS, arrivals.see):
        task = asyncio.create_task(go_on())
        try:
            yield found
        finally:
            ending.set()
            await task
