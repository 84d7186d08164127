"""Many clusters, some of them dead: the others do not notice, in virtual time not even by a microsecond."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise

import pytest

from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from tests.faults import faults
from tests.faults.faults import Fault
from tests.faults.path import Seen
from tests.faults.virtual import simulate
from tests.faults.world import World, k8ssandra_cluster, until, world

HUNDRED = tuple(f"c{number:02}" for number in range(100))
SICK = HUNDRED[2::5]  # twenty
HEALTHY = [context for context in HUNDRED if context not in SICK]
OUTAGE = (20.0, 70.0)  # s
END = 100.0  # s
WAY = 0.005  # s to a remote cluster, and as much back


def grouped(contexts: Sequence[str]) -> list[tuple[str, str]]:
    return list(pairwise(contexts))[::2]


async def hundred(fault: Callable[[], Fault] | None) -> dict[str, list[Seen]]:
    """What 100 clusters saw of a controller while 20 of them may have been away; by context."""
    pairs = grouped(HEALTHY[:8])
    operated = {context for pair in pairs for context in pair} | set(SICK[:3])
    async with world(HUNDRED, operated=sorted(operated), light=True) as one:
        for context in HUNDRED:
            one.register(context)
            one.paths[context].latency = WAY
        clusters = [(f"k{number}", pair) for number, pair in enumerate(pairs)]
        clusters += [(f"s{number}", (context,)) for number, context in enumerate(SICK[:3])]
        for name, contexts in clusters:
            one.apply(k8ssandra_cluster(name, dict.fromkeys(contexts, 1)))
        one.start()
        loop = asyncio.get_running_loop()
        if fault is not None:
            for context in SICK:
                loop.call_at(OUTAGE[0], one.paths[context].begin, fault())
                loop.call_at(OUTAGE[1], one.paths[context].end)
        await asyncio.sleep(OUTAGE[0] + 10.0)
        for name, contexts in clusters:
            one.apply(k8ssandra_cluster(name, dict.fromkeys(contexts, 2)))
        one.apply(k8ssandra_cluster("new", dict.fromkeys(HEALTHY[:3], 1)))
        await asyncio.sleep(END - OUTAGE[0] - 10.0)
        assert all(one.ready(name) for name, _ in [*clusters, ("new", ())])
        away = {context for context in HUNDRED if any(entry.reason == "Unreachable" for entry in one.shown_of(context))}
        assert away == (set(SICK) if fault is not None else set())
        await one.stop()
        return {context: [seen for seen in one.seen if seen.context == context] for context in HUNDRED}


def test_what_80_healthy_clusters_see_is_the_same_while_20_are_black_holed() -> None:
    plain, told = simulate(lambda: hundred(None)), simulate(lambda: hundred(faults.BlackHole))
    writes = [seen for context in HEALTHY for seen in plain[context] if seen.writes]
    assert len(writes) > 30
    differing = [context for context in HEALTHY if told[context] != plain[context]]
    assert differing == []  # not only the writes: every request, every look and every watch


# ── at the start ────────────────────────────────────────────────────────────────────────────────────

FIFTY = HUNDRED[:50]
ALIVE = FIFTY[17]


@pytest.mark.parametrize("fault", [faults.BlackHole, faults.Refused, faults.NameHangs, faults.HandshakeHangs])
def test_with_49_of_50_dead_at_the_start_the_one_is_worked_on_at_once(fault: Callable[[], Fault]) -> None:
    async def start() -> tuple[float, float, float]:
        async with world(FIFTY, operated=[ALIVE], light=True) as one:
            for context in FIFTY:
                one.register(context)
                if context != ALIVE:
                    one.paths[context].begin(fault())
            one.apply(k8ssandra_cluster("only", {ALIVE: 1}))
            controller = one.start()
            ready = await until(lambda: not controller.waiting_for(), "the controller is ready", 5.0)
            synced = await until(lambda: synced_in(one, ALIVE), "the one that lives is synced", 5.0)
            written = await until(lambda: bool(one.writes(ALIVE)), "something is written there", 5.0)
            await until(lambda: one.ready("only"), "its cluster is Ready", 10.0)
            await until(lambda: say(one, FIFTY, "Unreachable") == set(FIFTY) - {ALIVE}, "the dead are named", 13.0)
            return ready, synced, written

    assert max(simulate(start)) <= 0.2


def synced_in(one: World, context: str) -> bool:
    assert one.controller is not None
    cluster = one.controller.pool.get(context)
    return cluster is not None and cluster.state.usable and not cluster.cache.unsynced()


def say(one: World, contexts: Collection[str], reason: str) -> set[str]:
    """The contexts whose ClientConfig gives this reason now."""
    return {context for context in contexts if one.condition(context).get("reason") == reason}


# ── in mid-run ──────────────────────────────────────────────────────────────────────────────────────


def test_one_that_hangs_in_mid_run_delays_nobody_who_does_not_use_it() -> None:
    async def run(hangs: bool) -> list[float]:
        async with world(["east", "north", "west"]) as one:
            for context in ("east", "north", "west"):
                one.register(context)
            for number in range(5):
                one.apply(k8ssandra_cluster(f"w{number}", {"west": 1}))
            one.start()
            await asyncio.sleep(30.0)
            if hangs:
                one.paths["west"].begin(faults.BlackHole())
            for number in range(5):  # what holds the only worker of others
                one.apply(k8ssandra_cluster(f"w{number}", {"west": 2}))
            names = [f"n{number}" for number in range(5)]
            for name in names:
                one.apply(k8ssandra_cluster(name, {"east": 1, "north": 1}))
            moments = {}
            while len(moments) < len(names):
                moments |= {name: asyncio.get_running_loop().time() for name in names if one.ready(name)} | moments
                await asyncio.sleep(0.01)
                assert asyncio.get_running_loop().time() < 60.0
            return [moments[name] for name in names]

    assert simulate(lambda: run(False)) == simulate(lambda: run(True))


def test_one_dead_datacenter_holds_up_only_itself() -> None:
    """What can be done of a cluster that spans a dead one is done, and it says which datacenter is missing."""

    async def run() -> None:
        async with world(["east", "north", "west"]) as one:
            for context in ("east", "north", "west"):
                one.register(context)
            one.paths["west"].begin(faults.BlackHole())
            one.apply(k8ssandra_cluster("wide", {"east": 1, "north": 1, "west": 1}))
            one.start()
            await until(lambda: ready_in(one, "wide") == ["wide-east", "wide-north"], "two of three are Ready", 30.0)
            third = one.condition("wide", "DatacenterReady.wide-west", K8SSANDRA_CLUSTERS)
            assert (third["status"], third["reason"]) == ("False", "DatacenterUnreachable")
            one.paths["west"].end()
            await until(lambda: one.ready("wide"), "all are Ready", 20.0)

    simulate(run)


def ready_in(one: World, name: str) -> list[str]:
    """Names of the datacenters that are Ready."""
    found = one.get(K8SSANDRA_CLUSTERS, name) or {}
    conditions = (found.get("status") or {}).get("conditions") or []
    prefix = "DatacenterReady."
    return sorted(
        entry["type"].removeprefix(prefix)
        for entry in conditions
        if entry["type"].startswith(prefix) and entry["status"] == "True"
    )
