"""Whatever happens in whatever order: strangers lose nothing, and in the end nothing of ours is left."""

from __future__ import annotations

import asyncio
import copy
from random import Random
from typing import Any

import pytest

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES
from controller.sandbox.apiserver import ApiServer
from tests.unit.cassandra.rig import CONTEXTS, Rig, Seen, eventually, rig

pytestmark = pytest.mark.looptime

STEPS = 30


class Chaos:
    """Outages, and strangers that look like ours behind the addresses of the data planes; what is said of each step."""

    def __init__(self, one: Rig, rng: Random) -> None:
        self._one = one
        self._rng = rng
        self._ours: dict[str, ApiServer] = {context: one.servers[context] for context in CONTEXTS}
        self._alike: dict[str, dict[str, Any]] = {}
        self.wrong: list[Seen] = []
        self.removed = 0
        self._judge = one.on_answer
        one.on_answer = self._on_answer  # type: ignore[method-assign]

    async def remember(self) -> None:
        """What the datacenters look like."""
        for context, name in zip(CONTEXTS, ("dc1", "dc2"), strict=True):
            found = await self._one.get(CASSANDRA_DATACENTERS, name, context)
            kept = ("name", "namespace", "labels", "annotations", "finalizers")
            metadata = {key: found["metadata"][key] for key in kept}
            self._alike[context] = {**found, "metadata": metadata, "status": {}}

    async def step(self) -> None:
        context = self._rng.choice(CONTEXTS)
        link, server = self._one.links[context], self._one.servers[context]
        match self._rng.randrange(7):
            case 0:
                link.cut()
            case 1:
                link.blacken()
                await asyncio.sleep(self._rng.uniform(0.5, 20.0))
                link.restore()
            case 2:
                link.refuse()
                await asyncio.sleep(self._rng.uniform(0.5, 20.0))
                link.restore()
            case 3:
                server.reader.bookmark_every = self._rng.choice((60.0, 1e9))
                server.drop_watches()
            case 4:
                self._come_and_go(context)
            case 5:
                self._come_and_go(context)
                link.cut()
            case _:
                await asyncio.sleep(self._rng.uniform(1.0, 200.0))

    def surprise(self) -> None:
        """Of half of the data planes another one is there now or back, and no connection broke."""
        for context in CONTEXTS:
            if self._rng.random() < 0.5:
                self._come_and_go(context)

    def _come_and_go(self, context: str) -> None:
        if self._one.servers[context] is self._ours[context]:
            self._one.replace(context)
            if self._rng.random() < 0.7:
                self._one.apply(copy.deepcopy(self._alike[context]), context)
        else:
            self._one.servers[context] = self._ours[context]

    def calm(self) -> None:
        """Everybody is back where he was, and bookmarks come."""
        for context in CONTEXTS:
            self._one.servers[context] = self._ours[context]
            self._ours[context].reader.bookmark_every = 60.0
            self._one.links[context].restore()
            self._one.links[context].cut()

    async def _on_answer(self, seen: Seen) -> None:
        if seen.method == "DELETE" and seen.context:
            if self._one.servers[seen.context] is self._ours[seen.context]:
                self.removed += 1
            elif seen.status < 300:
                self.wrong.append(seen)
        await self._judge(seen)


@pytest.mark.parametrize("seed", range(8))
async def test_strangers_lose_nothing_and_in_the_end_everything_of_ours_is_gone(seed: int) -> None:
    async with rig() as one:
        rng = Random(seed)
        one.apply(one.demo())
        await one.ready()
        chaos = Chaos(one, rng)
        await chaos.remember()
        begins = rng.randrange(STEPS // 2)
        for number in range(STEPS):
            if number == begins:
                chaos.surprise()
                await one.delete(K8SSANDRA_CLUSTERS, "demo")
            await chaos.step()
        chaos.calm()

        async def is_gone() -> bool:
            return not await one.get(K8SSANDRA_CLUSTERS, "demo")

        await eventually(is_gone, "the K8ssandraCluster is gone", within=900.0)
        assert chaos.wrong == []
        assert chaos.removed >= len(CONTEXTS)
        assert await one.datacenters() == {"kind-dc1": [], "kind-dc2": []}
        left = [await one.names(kind, context) for context in CONTEXTS for kind in (CONFIG_MAPS, ENDPOINT_SLICES)]
        assert left == [[], [], [], []]
