"""A Management API that hangs, fails or cannot be reached harms nobody, and is said; on virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube.resources import SECRETS
from controller.sandbox.management_api import SHARED, Ring, Trouble, rings
from controller.sandbox.pod_network import pod_network
from tests.faults import faults
from tests.faults.virtual import simulate
from tests.faults.world import World, k8ssandra_cluster, until, world

EAST, WEST = "east", "west"
OWN_TIME = 10.0  # s that two datacenters take, one after the other


def ring(name: str = "wide") -> Ring:
    return rings(pod_network()).find(name)


def reason(one: World, name: str = "wide", kind: str = "Ready") -> str:
    return str(one.condition(name, kind, K8SSANDRA_CLUSTERS).get("reason"))


def registered(one: World) -> World:
    for context in (EAST, WEST):
        one.register(context)
    return one


async def made(one: World, name: str, context: str) -> None:
    await until(lambda: one.get(CASSANDRA_DATACENTERS, name, context) is not None, f"{name} is made", 60.0)


def calls(one: World) -> list[Any]:
    return [seen for seen in one.seen if "/proxy/" in seen.path]


def extended(name: str = "wide") -> bool:
    return all(len(ring(name).keyspaces[each]) == 3 for each in SHARED)  # class and two datacenters


def test_both_datacenters_get_the_system_keyspaces_in_hardly_more_than_their_own_time() -> None:
    async def run() -> float:
        async with world([EAST, WEST]) as one:
            registered(one).apply(k8ssandra_cluster("wide", {EAST: 1, WEST: 1}))
            one.start()
            ready = await until(lambda: one.ready("wide"), "it is Ready", 60.0, every=0.01)
            assert extended()
            return ready

    assert simulate(run) <= OWN_TIME + 0.5


@pytest.mark.parametrize("effect", ["hang", "status", "unreachable", "garbage"])
def test_one_that_does_not_work_holds_up_only_its_own_cluster(effect: Any) -> None:
    async def run() -> None:
        async with world([EAST, WEST]) as one:
            registered(one)
            for number in range(8):  # more than a context has workers
                one.apply(k8ssandra_cluster(f"bad{number}", {EAST: 1, WEST: 1}))
            one.start()
            for number in range(8):
                await made(one, f"bad{number}-west", WEST)
                ring(f"bad{number}").troubles.append(Trouble(effect=effect))
            await asyncio.sleep(30.0)
            began = asyncio.get_running_loop().time()
            one.apply(k8ssandra_cluster("good", {EAST: 1, WEST: 1}))
            ready = await until(lambda: one.ready("good"), "the other is Ready", 30.0, every=0.01)
            assert ready - began <= OWN_TIME + 0.5
            password = one.get(SECRETS, "bad0-superuser", EAST) or {}
            patch = {"data": {"password": "d3Jvbmc="}}
            await one.client(EAST).patch(SECRETS, "k8ssandra-operator", "bad0-superuser", patch, kind="merge")
            await until(
                lambda: (one.get(SECRETS, "bad0-superuser", EAST) or {})["data"] == password["data"], "repaired", 1.0
            )
            await until(lambda: reason(one, "bad0") == "ManagementApiUnreachable", "it is said", 120.0)
            for number in range(8):
                ring(f"bad{number}").troubles.clear()
            await until(lambda: all(one.ready(f"bad{number}") for number in range(8)), "they are Ready", 120.0)
            assert extended("bad0")

    simulate(run)


def test_the_way_to_the_cluster_is_not_suspected() -> None:
    async def run() -> None:
        async with world([EAST, WEST]) as one:
            registered(one).apply(k8ssandra_cluster("wide", {EAST: 1, WEST: 1}))
            one.start()
            await made(one, "wide-west", WEST)
            ring().troubles.append(Trouble(effect="hang"))
            since = len(one.shown)
            await asyncio.sleep(120.0)
            assert one.shown[since:] == []

    simulate(run)


def test_nobody_is_asked_more_and_more_often() -> None:
    async def run() -> int:
        async with world([EAST, WEST]) as one:
            registered(one).apply(k8ssandra_cluster("wide", {EAST: 1, WEST: 1}))
            one.start()
            await made(one, "wide-west", WEST)
            ring().troubles.append(Trouble("/keyspace/alter"))
            await asyncio.sleep(120.0)
            since, written = len(calls(one)), len(one.writes())
            await asyncio.sleep(600.0)
            assert len(one.writes()) == written  # what is said stays the same
            return len(calls(one)) - since

    assert 10 <= simulate(run) <= 150


def test_what_was_changed_by_hand_since_is_not_lost() -> None:
    async def run() -> dict[str, str]:
        async with world([EAST, WEST]) as one:
            registered(one).apply(k8ssandra_cluster("wide", {EAST: 1}))
            one.start()
            await until(lambda: one.ready("wide") and len(calls(one)) == 3, "it is Ready and was read", 60.0)
            await asyncio.sleep(90.0)
            ring().keyspaces["system_auth"]["elsewhere"] = "2"
            one.apply(k8ssandra_cluster("wide", {EAST: 1, WEST: 1}))
            await until(lambda: one.ready("wide") and extended_to_west(), "it is Ready again", 60.0)
            return ring().keyspaces["system_auth"]

    def extended_to_west() -> bool:
        return "wide-west" in ring().keyspaces["system_auth"]

    found = simulate(run)
    assert {key: found[key] for key in ("elsewhere", "wide-east", "wide-west")} == {
        "elsewhere": "2",
        "wide-east": "1",
        "wide-west": "1",
    }


def test_nothing_is_altered_while_a_datacenter_of_the_ring_is_out_of_sight() -> None:
    async def run() -> None:
        async with world([EAST, WEST, "north"]) as one:
            registered(one).register("north")
            one.apply(k8ssandra_cluster("wide", {EAST: 1, "north": 1}))
            one.start()
            await until(lambda: one.ready("wide"), "it is Ready", 60.0)
            one.apply(k8ssandra_cluster("wide", {EAST: 1, "north": 1, WEST: 1}))
            await made(one, "wide-west", WEST)
            one.paths["north"].begin(faults.Refused())
            await asyncio.sleep(60.0)
            assert "wide-west" not in ring().keyspaces["system_auth"]
            assert reason(one, kind="DatacenterReady.wide-west") == "SystemKeyspacesNotReplicated"
            one.paths["north"].end()
            await until(lambda: one.ready("wide"), "it is Ready again", 60.0)
            assert "wide-west" in ring().keyspaces["system_auth"]

    simulate(run)


def test_after_a_restart_a_cluster_stays_ready_although_nobody_answers() -> None:
    async def run() -> None:
        async with world([EAST, WEST]) as one:
            registered(one).apply(k8ssandra_cluster("wide", {EAST: 1, WEST: 1}))
            one.start()
            await until(lambda: one.ready("wide"), "it is Ready", 60.0)
            await one.stop()
            ring().troubles.append(Trouble(effect="unreachable"))
            one.start()
            kind = "SystemKeyspacesReplicated"
            await until(lambda: reason(one, kind=kind) == "ManagementApiUnreachable", "it is said", 60.0)
            assert one.ready("wide")
            ring().troubles.clear()
            await until(lambda: reason(one, kind=kind) == "None", "it is said no more", 60.0)

    simulate(run)


def test_a_quiet_cluster_is_never_asked() -> None:
    async def run() -> int:
        async with world([EAST, WEST]) as one:
            registered(one).apply(k8ssandra_cluster("wide", {EAST: 1, WEST: 1}))
            one.start()
            await until(lambda: one.ready("wide"), "it is Ready", 60.0)
            await asyncio.sleep(60.0)
            since = len(calls(one))
            await asyncio.sleep(3600.0)
            return len(calls(one)) - since

    assert simulate(run) == 0
