"""The system keyspaces of a Cassandra cluster are extended to each of its datacenters, through the pod proxy."""

from __future__ import annotations

import asyncio
from typing import Any

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.sandbox.management_api import NETWORK_TOPOLOGY, SHARED, Trouble
from tests.integration.rig import CONTEXTS, Rig, eventually, quiet

SIZES = {"dc1": "3", "dc2": "3", "dc3": "3"}


def replication(one: Rig) -> list[dict[str, str]]:
    keyspaces = one.ring().keyspaces
    return [keyspaces[name] for name in SHARED]


def everywhere(**replicas: str) -> list[dict[str, str]]:
    return [{"class": NETWORK_TOPOLOGY, **replicas}] * len(SHARED)


async def test_the_system_keyspaces_are_extended_to_every_datacenter(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    assert replication(one) == everywhere(**SIZES)


async def test_a_cluster_is_ready_after_few_calls_and_then_there_are_none(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    await quiet(one)
    since = len(one.seen)
    await asyncio.sleep(1.0)
    # Three keyspaces: read once, and for two more datacenters agreement and change of each.
    assert len(one.calls()) <= 15
    assert one.calls(since=since) == []


async def test_a_restart_reads_once_and_changes_nothing(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    await quiet(one)
    await one.stop()
    since = len(one.seen)
    await one.start()

    async def read() -> bool:
        return len(one.calls(since=since)) == len(SHARED)

    await eventually(read, "every keyspace is read")
    await quiet(one)
    assert {seen.method for seen in one.calls(since=since)} == {"GET"}
    assert len(one.calls(since=since)) == len(SHARED)
    assert one.writes(since=since) == []


async def says(one: Rig, reason: str, kind: str = "Ready") -> dict[str, Any]:
    async def said() -> bool:
        return (await one.condition(K8SSANDRA_CLUSTERS, "demo", kind)).get("reason") == reason

    await eventually(said, f"{kind} says {reason}")
    return await one.condition(K8SSANDRA_CLUSTERS, "demo", kind)


async def first_is_there(one: Rig) -> None:
    async def there() -> bool:
        found = await one.get(CASSANDRA_DATACENTERS, "dc2", CONTEXTS[1])
        return found is not None

    await eventually(there, "the second datacenter is made")


async def test_add_dc_fail_system_keyspace_update(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await first_is_there(one)
    trouble = Trouble("/keyspace/alter")
    one.ring().troubles.append(trouble)
    found = await says(one, "ManagementApiUnreachable", "DatacenterReady.dc2")
    assert "POST /api/v0/ops/keyspace/alter" in found["message"]
    assert "pod " in found["message"]
    assert (await one.datacenters())[CONTEXTS[2]] == []  # none is made while the one before cannot be used
    one.ring().troubles.remove(trouble)
    await one.ready()
    assert replication(one) == everywhere(**SIZES)


async def test_add_dc_schema_disagreement_on_system_keyspaces(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await first_is_there(one)
    one.ring().disagreement["another"] = ["10.9.9.9"]
    await says(one, "SchemaDisagreement", "DatacenterReady.dc2")
    assert replication(one) == everywhere(dc1="3")
    one.ring().disagreement = {"UNREACHABLE": ["10.9.9.9"]}  # a node that is down keeps nobody from changing
    await one.ready()
    assert replication(one) == everywhere(**SIZES)
