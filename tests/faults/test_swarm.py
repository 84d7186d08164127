"""Random faults on every way, random changes and deletions, one seed a run: in the end all is as it should be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from random import Random

import pytest

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, Resource
from controller.kube.transport import Request
from controller.sandbox.apiserver.storage import Collection, Event
from tests.faults import faults
from tests.faults.faults import Fault
from tests.faults.script import Json, state
from tests.faults.virtual import simulate
from tests.faults.world import NAMESPACE, World, k8ssandra_cluster, world

SEEDS = range(6)
CONTEXTS = ("east", "north", "west")
CLUSTERS = {"one": ("east", "north", "west"), "two": ("west", "east"), "three": ("north",)}
FINAL = 3  # nodes in every datacenter in the end
STORM = 300.0  # s of faults and changes
CALM = 200.0  # s until all is repaired
QUIET = 120.0  # s for which then nothing may be written

FAULTS: tuple[Callable[[], Fault], ...] = (
    faults.Refused,
    faults.Reset,
    faults.Lost,
    faults.BlackHole,
    faults.HalfOpen,
    faults.NoSuchName,
    faults.HandshakeHangs,
    faults.WrongAuthority,
    faults.Lossy,
    faults.Flaky,
    faults.Trickle,
    faults.Buffering,
    faults.Unauthorized,
    faults.Forbidden,
    faults.NotServed,
    faults.Expired,
    faults.ExpiredAgain,
    faults.RefusesStreamingLists,
    faults.MarkerMissing,
    faults.Throttling,
    faults.InternalError,
    faults.Unavailable,
    faults.Truncated,
    faults.Duplicated,
    faults.TimeTravel,
    faults.Rotated,
)


async def weather(one: World, context: str, rng: Random) -> None:
    """One fault after the other on the way to a cluster."""
    while True:
        await asyncio.sleep(rng.expovariate(1 / 20.0))
        one.paths[context].begin(rng.choice(FAULTS)())
        try:
            await asyncio.sleep(rng.expovariate(1 / 25.0))
        finally:
            one.paths[context].end()


async def people(one: World, rng: Random) -> None:
    """Clusters grow, a node at a time; and things that are ours are deleted by somebody."""
    sizes = {(name, context): 1 for name, contexts in CLUSTERS.items() for context in contexts}
    while True:
        await asyncio.sleep(rng.expovariate(1 / 15.0))
        if rng.random() < 0.6:
            name, context = rng.choice(sorted(sizes))
            sizes[name, context] = min(FINAL, sizes[name, context] + 1)
            one.apply(k8ssandra_cluster(name, {place: sizes[name, place] for place in CLUSTERS[name]}))
        else:
            context = rng.choice(CONTEXTS)
            resource = rng.choice((CONFIG_MAPS, ENDPOINT_SLICES))
            ours = [key for key in objects(one, context, resource) if "agent-config" in key or "additional-seed" in key]
            if ours:
                delete(one, resource, rng.choice(ours).partition("/")[2], context)


def objects(one: World, context: str, resource: Resource) -> list[str]:
    return sorted(one.servers[context].core.storage.collection(resource.name).objects)


def delete(one: World, resource: Resource, name: str, context: str = "") -> None:
    server = one.servers[context]
    server.handle(Request(method="DELETE", path=resource.path(NAMESPACE, name)), token=server.admin_token)


async def run(seed: int | None) -> dict[str, Json]:
    """The end of a run; None: of one in which nothing ever goes wrong."""
    rng = Random(seed)
    async with world(CONTEXTS, seed=seed or 0) as one:
        too_early: list[str] = []
        one.servers[""].core.storage.observers.append(lambda *what: too_early.extend(orphans(one, *what)))
        for context in CONTEXTS:
            one.register(context)
        for name, contexts in CLUSTERS.items():
            one.apply(k8ssandra_cluster(name, dict.fromkeys(contexts, 1)))
        one.apply(k8ssandra_cluster("gone", dict.fromkeys(CONTEXTS, 1)))
        one.start()
        if seed is not None:
            async with asyncio.TaskGroup() as group:
                storm = [group.create_task(weather(one, context, rng)) for context in CONTEXTS]
                storm.append(group.create_task(people(one, rng)))
                await asyncio.sleep(rng.uniform(0.0, STORM))
                delete(one, K8SSANDRA_CLUSTERS, "gone")
                await asyncio.sleep(STORM - asyncio.get_running_loop().time())
                for task in storm:
                    task.cancel()
        else:
            await asyncio.sleep(1.0)  # what is decided once is decided at the beginning
            delete(one, K8SSANDRA_CLUSTERS, "gone")
        for name, contexts in CLUSTERS.items():
            one.apply(k8ssandra_cluster(name, dict.fromkeys(contexts, FINAL)))
        await asyncio.sleep(CALM)
        written = len(one.writes())
        await asyncio.sleep(QUIET)
        # The figures in a ClientConfig's status, when credentials expire among them, may be five minutes late.
        late = [seen for seen in one.writes()[written:] if "/clientconfigs/" not in seen.path]
        assert late == [], "there is still something to write"
        assert too_early == [], "a K8ssandraCluster went before its datacenters"
        errors = [entry for entry in one.logs if entry.get("exc_info")]
        assert errors == []
        await one.stop()
        return state(one)


def orphans(one: World, collection: Collection, event: Event) -> list[str]:
    """Datacenters that are left at the moment at which their K8ssandraCluster goes."""
    if collection.name != K8SSANDRA_CLUSTERS.name or event.type != "DELETED":
        return []
    prefix = f"{NAMESPACE}/{event.version.name}-"
    return [
        key for context in CONTEXTS for key in objects(one, context, CASSANDRA_DATACENTERS) if key.startswith(prefix)
    ]


@cache
def fair_weather() -> dict[str, Json]:
    return simulate(lambda: run(None))


@pytest.mark.parametrize("seed", SEEDS)
def test_after_any_storm_all_is_as_if_there_had_been_none(seed: int) -> None:
    found, wanted = simulate(lambda: run(seed)), fair_weather()
    assert sorted(found) == sorted(wanted)
    differing = [key for key in wanted if found[key] != wanted[key]]
    assert differing == []
