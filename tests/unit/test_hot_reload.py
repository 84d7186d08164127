"""With --hot-reload clusters come and go while the controller runs."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator
from random import Random

import pytest

from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.definitions import definitions
from controller.engine.reflector import Reflector
from controller.engine.store import Store
from controller.engine.worker import Item
from controller.engine.workqueue import WorkQueue
from controller.fleet.cluster import Cluster
from controller.fleet.connection import Connection
from controller.fleet.member import Member
from controller.fleet.throttle import Bucket
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.client import Client
from controller.kube.conditions import find
from controller.kube.resources import CONFIG_MAPS, CRDS
from controller.sandbox.apiserver import ApiServer, Link
from tests.unit.fleet.world import AUTHORITY, FIRST, NAMESPACE, Fleet, eventually
from tests.unit.fleet.world import fleet as make_fleet
from tests.unit.test_supervisor import Run, kubeconfig, running, two_members

pytestmark = pytest.mark.looptime

THIRD = "https://10.0.0.3:6443"


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with make_fleet() as made:
        for name, definition in definitions().items():
            if not name.startswith("clientconfigs"):
                await made.client.create(CRDS, "", definition)
        made.servers[THIRD] = ApiServer(name=THIRD, rng=Random(THIRD), authority=AUTHORITY)
        made.links[THIRD] = Link()
        yield made


async def hot(fleet: Fleet) -> Run:
    await two_members(fleet)
    run = await running(fleet, hot_reload=True)
    await run.until("east", "CRDMissing")  # no cass-operator there
    await run.until("west", "CRDMissing")
    return run


async def add(fleet: Fleet, name: str, url: str = THIRD, context: str = "") -> None:
    await fleet.put_secret(kubeconfig(fleet, url, context or name), name)
    await fleet.put_config(name, secret=name, context=context or name)


def tasks_of(context: str) -> list[str]:
    names = [task.get_name() for task in asyncio.all_tasks()]
    return [name for name in names if name.endswith((f" of {context}", f" in {context}", f"remote {context}"))]


def series(run: Run, context: str) -> list[str]:
    return [
        line
        for line in b"".join(run.controller.metrics.render()).decode().splitlines()
        if f'context="{context}"' in line
    ]


async def test_one_that_is_added_is_connected_and_synced_within_5_s(fleet: Fleet) -> None:
    run = await hot(fleet)
    await add(fleet, "north")
    await run.until("north", "CRDMissing", within=5.0)
    cluster = run.controller.pool.get("north")
    assert cluster is not None
    await eventually(lambda: cluster.cache.synced(CONFIG_MAPS), "it is cached", within=5.0)


async def test_of_one_that_is_deleted_nothing_is_left_after_5_s(fleet: Fleet) -> None:
    run = await hot(fleet)
    ways, tasks = fleet.open_ways, len(asyncio.all_tasks())
    await add(fleet, "north")
    await run.until("north", "CRDMissing")
    await eventually(lambda: bool(series(run, "north")), "there are figures of it")
    assert tasks_of("north")
    writes = len(fleet.servers[THIRD].record.writes)
    await fleet.delete(CLIENT_CONFIGS, "north")
    await eventually(lambda: run.controller.pool.get("north") is None, "the pool knows it no more", within=5.0)
    await eventually(lambda: not tasks_of("north"), "no task of it runs", within=5.0)
    assert fleet.open_ways == ways
    assert len(asyncio.all_tasks()) == tasks
    assert series(run, "north") == []
    assert len(fleet.servers[THIRD].record.writes) == writes


async def test_what_has_gone_is_swept_up_once_for_all_that_went_together(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await hot(fleet)
    sweeps: list[float] = []
    monkeypatch.setattr("controller.engine.sweep.gc.collect", lambda: sweeps.append(asyncio.get_running_loop().time()))
    await fleet.delete(CLIENT_CONFIGS, "west")
    await fleet.delete(CLIENT_CONFIGS, "east")
    await eventually(lambda: not tasks_of("west") + tasks_of("east"), "they are gone")
    gone = asyncio.get_running_loop().time()
    await eventually(lambda: bool(sweeps), "they are swept up")
    await asyncio.sleep(10)
    assert sweeps == [pytest.approx(gone + 1.0, abs=0.5)]
    assert run.controller.pool.get("west") is None


async def test_what_goes_is_swept_up_while_others_go(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await hot(fleet)
    sweeps: list[float] = []
    monkeypatch.setattr("controller.engine.sweep.gc.collect", lambda: sweeps.append(asyncio.get_running_loop().time()))
    for _ in range(20):
        await add(fleet, "north")
        await eventually(lambda: run.controller.pool.get("north") is not None, "it is there")
        await fleet.delete(CLIENT_CONFIGS, "north")
        await eventually(lambda: not tasks_of("north"), "it is gone")
        await asyncio.sleep(0.3)
    assert len(sweeps) >= 4


async def test_what_comes_and_goes_disturbs_no_other(fleet: Fleet) -> None:
    run = await hot(fleet)
    west = run.controller.pool.get("west")
    made = len(fleet.ways)
    await add(fleet, "north")
    await run.until("north", "CRDMissing")
    await fleet.delete(CLIENT_CONFIGS, "north")
    await eventually(lambda: not tasks_of("north"), "it is gone")
    assert run.controller.pool.get("west") is west
    assert {way.credentials.access.server for way in fleet.ways[made:]} == {THIRD}


async def test_a_context_passes_to_the_one_that_waited_for_it(fleet: Fleet) -> None:
    run = await hot(fleet)
    former = run.controller.pool.get("east")
    await asyncio.sleep(1.0)  # creation times have whole seconds
    await add(fleet, "twin", context="east")
    await run.until("twin", "DuplicateContext", within=5.0)
    await fleet.delete(CLIENT_CONFIGS, "east")
    await run.until("twin", "CRDMissing", within=10.0)
    assert run.controller.pool.get("east") is not former
    assert series(run, "east")


async def test_one_that_names_another_secret_goes_over_to_it_and_drops_no_watch(fleet: Fleet) -> None:
    run = await hot(fleet)
    cluster = run.controller.pool.get("east")
    token = await fleet.token(FIRST)
    await fleet.put_secret(kubeconfig(fleet, FIRST, "east", token), "other")
    watches = fleet.servers[FIRST].record.requests(verb="watch")
    await fleet.client.patch(
        CLIENT_CONFIGS, NAMESPACE, "east", {"spec": {"kubeConfigSecret": {"name": "other"}}}, kind="merge"
    )

    def in_use() -> bool:
        found = run.controller.pool.member(NAMESPACE, "east")
        assert found is not None
        assert found.connection is not None
        return found.connection.access is not None and found.connection.access.token == token

    await eventually(in_use, "it is connected with the other token", within=2.0)
    assert run.controller.pool.get("east") is cluster
    assert fleet.servers[FIRST].record.requests(verb="watch") == watches


async def test_what_waits_for_a_deleted_context_waits_no_more(fleet: Fleet) -> None:
    run = await hot(fleet)
    fleet.links[FIRST].refuse()
    await run.until("east", "Unreachable")
    local, remote = run.controller.local.queue, run.controller.pool.get("east")
    assert remote is not None
    item = Item("Nothing", "ns", "name")
    local.park(item, "east", since=local.returns)
    remote.queue.add(Item("Nothing", "ns", "name", "east"))
    await fleet.delete(CLIENT_CONFIGS, "east")
    await eventually(lambda: local.parked == 0, "it is looked at again", within=5.0)
    assert remote.queue.is_shut_down


async def test_a_bad_one_that_is_added_is_said_and_costs_no_cluster(fleet: Fleet) -> None:
    run = await hot(fleet)
    await fleet.put_config("bad", secret="../x", context="bad")
    await run.until("bad", "InvalidSpec", within=5.0)
    assert run.controller.pool.get("bad") is None


async def test_nothing_asks_for_a_restart(fleet: Fleet) -> None:
    run = await hot(fleet)
    await add(fleet, "north")
    await run.until("north", "CRDMissing")
    await fleet.delete(CLIENT_CONFIGS, "north")
    await eventually(lambda: run.controller.pool.get("north") is None, "it is gone")
    assert run.metric("client_configs_restart_required") == 0.0


async def test_the_end_comes_while_one_is_being_added(fleet: Fleet) -> None:
    before = asyncio.all_tasks()
    run = await hot(fleet)
    fleet.links[THIRD].blacken()
    await add(fleet, "north")
    await eventually(lambda: bool(tasks_of("north")), "it is begun")
    await run.stop()
    assert asyncio.all_tasks() - before == set()
    assert fleet.open_ways == 0


async def placed(fleet: Fleet, run: Run, context: str) -> None:
    """A K8ssandraCluster with a datacenter in ``context``."""
    datacenter = {"metadata": {"name": "dc1"}, "k8sContext": context, "size": 1}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    storage = {"cassandraDataVolumeClaimSpec": claim}
    cassandra = {"serverVersion": "4.1.5", "datacenters": [datacenter], "storageConfig": storage}
    manifest = {
        "apiVersion": K8SSANDRA_CLUSTERS.api_version,
        "kind": K8SSANDRA_CLUSTERS.kind,
        "metadata": {"name": "demo"},
        "spec": {"cassandra": cassandra},
    }
    await fleet.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, manifest)
    await until_condition(fleet, "DatacenterReady.dc1", "DatacenterUnreachable")  # no cass-operator there


async def until_condition(fleet: Fleet, kind: str, reason: str) -> str:
    """Wait until the K8ssandraCluster has a condition; its message."""
    async with asyncio.timeout(10.0):
        while True:
            found = await fleet.client.get(K8SSANDRA_CLUSTERS, NAMESPACE, "demo")
            entry = find((found.decode(dict).get("status") or {}).get("conditions"), kind)
            if entry.get("reason", "") == reason:
                return str(entry.get("message", ""))
            await asyncio.sleep(0.01)


async def test_what_uses_a_deleted_one_says_that_there_is_none(fleet: Fleet) -> None:
    run = await hot(fleet)
    await placed(fleet, run, "east")
    await fleet.delete(CLIENT_CONFIGS, "east")
    message = await until_condition(fleet, "DatacenterReady.dc1", "ContextNotFound")
    assert "no ClientConfig names context east" in message
    await add(fleet, "east", FIRST)
    await until_condition(fleet, "DatacenterReady.dc1", "DatacenterUnreachable")


async def test_without_it_what_uses_a_deleted_one_says_that_a_restart_is_required(fleet: Fleet) -> None:
    await two_members(fleet)
    run = await running(fleet)
    await run.until("east", "CRDMissing")
    await placed(fleet, run, "east")
    await fleet.delete(CLIENT_CONFIGS, "east")
    message = await until_condition(fleet, "RestartRequired", "ClientConfigDeleted")
    assert "of context east was deleted; its cluster stays connected until the controller restarts" in message
    cluster = run.controller.pool.get("east")
    assert cluster is not None
    assert cluster.state.usable
    assert run.metric("client_configs_restart_required") == 1.0


async def test_many_that_come_and_go_leave_nothing(fleet: Fleet) -> None:
    run = await hot(fleet)
    await fleet.put_secret(kubeconfig(fleet, THIRD, "north"), "north")

    async def come_and_go(times: int) -> None:
        for _ in range(times):
            await fleet.put_config("north", secret="north", context="north")
            await eventually(lambda: run.controller.pool.get("north") is not None, "it is there")
            cluster = run.controller.pool.get("north")
            assert cluster is not None
            await eventually(lambda found=cluster: found.cache.synced(CONFIG_MAPS), "it is cached")
            await fleet.delete(CLIENT_CONFIGS, "north")
            await eventually(lambda: not tasks_of("north"), "it is gone")

    await come_and_go(2)
    before = (len(asyncio.all_tasks()), fleet.open_ways, alive())
    await come_and_go(200)
    assert (len(asyncio.all_tasks()), fleet.open_ways, alive()) == before
    assert series(run, "north") == []


def alive() -> dict[str, int]:
    """How many there are of what a cluster is made of."""
    gc.collect()
    kinds = (Cluster, Connection, Client, Store, Reflector, WorkQueue, Bucket, Member)
    return Counter(type(obj).__name__ for obj in gc.get_objects() if type(obj) in kinds)
