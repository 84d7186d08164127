"""With the CRDs of the reference operator installed, which drop much of what ours keep: it converges, then 0 writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.resources import EVENTS
from controller.replication.types import REPLICATED_SECRETS
from tests.integration.rig import CONTEXTS, Rig, converged, eventually, quiet, rig
from tests.servers import Server


@pytest_asyncio.fixture(loop_scope="session")
async def one(their_servers: list[Server], namespace: str) -> AsyncIterator[Rig]:
    """On servers of their own: definitions are of a whole cluster."""
    async with rig(namespace, their_servers, published=True) as made:
        yield made


async def test_it_converges_and_then_writes_nothing(one: Rig) -> None:
    await converged(one)
    since = len(one.seen)
    await asyncio.sleep(1.0)  # what would be written for ever would be written now
    assert one.writes(since=since) == []
    assert await one.datacenters() == {context: [f"dc{n}"] for n, context in enumerate(CONTEXTS, 1)}


async def test_conditions_have_only_what_the_definitions_keep(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    for resource, keys in (
        (K8SSANDRA_CLUSTERS, {"type", "status", "lastTransitionTime"}),
        (REPLICATED_SECRETS, {"cluster", "type", "status", "lastTransitionTime"}),
    ):
        found = await one.get(resource, "demo") or {}
        assert {key for entry in found["status"]["conditions"] for key in entry} == keys


async def test_client_configs_without_a_status_speak_through_events(one: Rig) -> None:
    await one.start()

    async def said() -> bool:
        events = [event.decode(dict) for event in await one.client().list_all(EVENTS, one.namespace)]
        return {
            event["involvedObject"]["name"]
            for event in events
            if event["involvedObject"]["kind"] == CLIENT_CONFIGS.kind and event["reason"] == "Connected"
        } == set(CONTEXTS)

    await eventually(said, "an event for each ClientConfig")
    assert "status" not in (await one.get(CLIENT_CONFIGS, CONTEXTS[0]) or {})


async def test_a_restart_writes_each_status_at_most_once(one: Rig) -> None:
    await converged(one)
    await one.stop()
    since = len(one.seen)
    await one.start()
    await eventually(lambda: _visited(one, since), "all clusters are watched again")
    await quiet(one)
    # What the definitions drop is learnt from the answer to a first write, which changes nothing.
    paths = [seen.path for seen in one.writes(since=since)]
    assert len(paths) == len(set(paths))
    assert all(path.endswith("/status") for path in paths)


async def _visited(one: Rig, since: int) -> bool:
    watched = {seen.context for seen in one.seen[since:] if seen.method == "WATCH"}
    return watched == {"", *CONTEXTS}
