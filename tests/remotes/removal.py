"""A K8ssandraCluster that is deleted while one of its clusters is away: what goes, what waits, and that it ends."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube import errors
from controller.kube.client import Client
from controller.kube.resources import Resource
from tests.bench import stage
from tests.bench.report import Figure
from tests.remotes.fleet import NAMESPACE, Fleet, fleet, names
from tests.remotes.proxy import Proxy
from tests.remotes.seen import asked
from tests.remotes.verdicts import Findings, at_most

WITHIN: Final = 60.0  # s
GROUP: Final = "a K8ssandraCluster is deleted while one of its two clusters is away"


async def removal(found: Findings, *, quick: bool) -> None:
    """Once with a black hole, once with a server that takes what it is sent and answers later."""
    here, away = names(2)
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(fleet([here, away]))
        for context in (here, away):
            await world.register(context)
        running = await stack.enter_async_context(world.controller())
        await stack.enter_async_context(world.operated([here, away]))
        await running.ready(within=WITHIN)
        await world.connected([here, away])
        await found.measure("removal during a black hole", _removal(world, here, away, "black hole"))
        if not quick:
            await found.measure("removal while frozen", _removal(world, here, away, "frozen"))
        assert not running.exited


async def _removal(world: Fleet, here: str, away: str, kind: str) -> list[Figure]:
    loop, control = asyncio.get_running_loop(), world.control.client
    name = "pair-" + kind.replace(" ", "-")
    await world.create(name, here, away)
    await world.ready([name])
    plane = world.planes[away]
    begun = loop.time()
    (Proxy.black_hole if kind == "black hole" else Proxy.freeze)(plane.proxy)
    await world.said(away, begun, "False", WITHIN)
    with asked(plane.server) as requests:
        found = await control.get(K8SSANDRA_CLUSTERS, NAMESPACE, name)
        await control.delete(K8SSANDRA_CLUSTERS, NAMESPACE, name, uid=found.head.uid)
        deleted = loop.time()
        await _gone(world.planes[here].client, CASSANDRA_DATACENTERS, f"{name}-dc1")
        first = loop.time() - deleted
        still = await _exists(control, K8SSANDRA_CLUSTERS, name)
        back = loop.time()
        plane.proxy.heal()
        connected = back + await world.said(away, back, "True", WITHIN)
        await _gone(plane.client, CASSANDRA_DATACENTERS, f"{name}-dc2")
        second = loop.time() - back
        await _gone(control, K8SSANDRA_CLUSTERS, name)
        last = loop.time() - back
    early = [each for each in requests if each.verb.startswith("delete") and each.at < connected - 0.5]
    return [
        at_most(GROUP, f"{kind}: its datacenter in the other one is gone after", (first,), 5),
        at_most(GROUP, f"{kind}: it ends before the lost one has answered", (float(not still),), 0, ""),
        at_most(GROUP, f"G20 {kind}: deletions there before it was Ready again", (float(len(early)),), 0, ""),
        at_most(GROUP, f"{kind}: back → its datacenter there is gone after", (second,), 15),
        at_most(GROUP, f"{kind}: back → it is gone after", (last,), 15),
    ]


async def _gone(client: Client, resource: Resource, name: str) -> None:
    async def is_gone() -> bool:
        return not await _exists(client, resource, name)

    await stage.until(is_gone, f"{resource} {name} is gone", WITHIN)


async def _exists(client: Client, resource: Resource, name: str) -> bool:
    try:
        await client.get(resource, NAMESPACE, name, metadata_only=True)
    except errors.NotFound:
        return False
    return True
