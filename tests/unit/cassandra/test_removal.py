from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.fleet.identity import ANNOTATION
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.resources import CONFIG_MAPS
from controller.sandbox.apiserver import Fault
from tests.unit.cassandra.rig import NAMESPACE, Rig, Seen, eventually, rig

pytestmark = pytest.mark.looptime

DC1 = "kind-dc1"


@asynccontextmanager
async def converged() -> AsyncIterator[Rig]:
    async with rig() as one:
        one.apply(one.demo())
        await one.ready()
        yield one


async def gone(one: Rig) -> None:
    async def is_gone() -> bool:
        return not await one.get(K8SSANDRA_CLUSTERS, "demo")

    await eventually(is_gone, "the K8ssandraCluster is gone")


async def reason(one: Rig, name: str = DC1) -> str:
    return str((await one.condition("Ready", name, CLIENT_CONFIGS)).get("reason", ""))


async def until_reason(one: Rig, wanted: str, name: str = DC1) -> None:
    async def is_said() -> bool:
        return await reason(one, name) == wanted

    await eventually(is_said, f"ClientConfig {name} says {wanted}")


async def alike(one: Rig) -> dict[str, Any]:
    """A datacenter that looks like ours of the first data plane."""
    ours = await one.get(CASSANDRA_DATACENTERS, "dc1", DC1)
    kept = ("name", "namespace", "labels", "annotations", "finalizers")
    return {**ours, "metadata": {key: ours["metadata"][key] for key in kept}, "status": {}}


async def with_an_alike_datacenter(one: Rig) -> None:
    """Put another cluster behind the address of the first data plane, with a datacenter that looks like ours."""
    found = await alike(one)
    one.replace(DC1)
    one.apply(found, DC1)


def removals(one: Rig, since: int) -> list[Seen]:
    return [seen for seen in one.writes(since) if seen.method == "DELETE" and seen.context == DC1]


async def finalizers(one: Rig) -> list[str]:
    found: list[str] = (await one.get(K8SSANDRA_CLUSTERS, "demo"))["metadata"]["finalizers"]
    return found


# ── another cluster behind the same address ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("noticed", [True, False])
async def test_another_cluster_at_the_same_address_loses_nothing(noticed: bool) -> None:
    async with converged() as one:
        await with_an_alike_datacenter(one)
        if noticed:
            one.links[DC1].cut()
            await until_reason(one, "IdentityChanged")
        since = len(one.seen)
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await one.says("ContextUnavailable")
        await asyncio.sleep(600.0)
        assert await reason(one) == "IdentityChanged"
        assert removals(one, since) == []
        assert await one.datacenters() == {"kind-dc1": ["dc1"], "kind-dc2": []}
        assert labels.FINALIZER in await finalizers(one)
        events = await one.events("IdentityChanged")
        [event] = [each for each in events if each["involvedObject"]["kind"] == "ClientConfig"]
        assert "nothing is written there" in event["message"]


async def test_an_empty_cluster_at_the_same_address_proves_nothing() -> None:
    async with converged() as one:
        one.replace(DC1)
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await one.says("ContextUnavailable")
        await asyncio.sleep(600.0)
        assert labels.FINALIZER in await finalizers(one)


async def test_nothing_is_written_to_another_cluster() -> None:
    async with converged() as one:
        one.replace(DC1)
        one.links[DC1].cut()
        since = len(one.seen)
        await until_reason(one, "IdentityChanged")
        await one.patch(K8SSANDRA_CLUSTERS, "demo", {"spec": {"cassandra": {"serverVersion": "4.0.18"}}})
        await asyncio.sleep(600.0)
        assert [seen for seen in one.writes(since) if seen.context == DC1] == []
        assert await one.names(CONFIG_MAPS, DC1) == []


async def test_an_acknowledged_cluster_is_listed_anew_and_worked_in() -> None:
    async with converged() as one:
        one.replace(DC1)
        one.links[DC1].cut()
        await until_reason(one, "IdentityChanged")
        started = asyncio.get_running_loop().time()
        await one.patch(CLIENT_CONFIGS, DC1, {"metadata": {"annotations": {ANNOTATION: None}}})
        await until_reason(one, "Connected")
        assert asyncio.get_running_loop().time() - started < 5.0
        async with one.operating(DC1):
            await one.ready()
            assert await one.datacenters() == {"kind-dc1": ["dc1"], "kind-dc2": ["dc2"]}
            await one.delete(K8SSANDRA_CLUSTERS, "demo")
            await gone(one)
        assert await one.datacenters() == {"kind-dc1": [], "kind-dc2": []}


async def test_a_proof_that_nothing_is_left_ends_with_the_cluster_that_it_is_about() -> None:
    async with converged() as one:
        found = await alike(one)
        one.links["kind-dc2"].refuse()
        await asyncio.sleep(60.0)
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await asyncio.sleep(60.0)
        assert await one.datacenters() == {"kind-dc1": [], "kind-dc2": ["dc2"]}  # the first is proven empty
        one.replace(DC1)
        one.apply(found, DC1)
        one.links[DC1].cut()
        await until_reason(one, "IdentityChanged")
        await one.patch(CLIENT_CONFIGS, DC1, {"metadata": {"annotations": {ANNOTATION: None}}})
        await until_reason(one, "Connected")
        one.links["kind-dc2"].restore()
        async with one.operating(DC1):
            await gone(one)
        assert await one.datacenters() == {"kind-dc1": [], "kind-dc2": []}


async def test_a_forged_pin_keeps_everything_out_from_the_start() -> None:
    async with rig(started=False) as one:
        await one.patch(CLIENT_CONFIGS, DC1, {"metadata": {"annotations": {ANNOTATION: "forged"}}})
        one.start()
        one.apply(one.demo())
        await until_reason(one, "IdentityChanged")
        await asyncio.sleep(60.0)
        assert [seen for seen in one.writes() if seen.context == DC1] == []
        await one.patch(CLIENT_CONFIGS, DC1, {"metadata": {"annotations": {ANNOTATION: None}}})
        await one.ready()


async def test_pins_are_written_once_and_never_again() -> None:
    async with converged() as one:
        pins = [
            seen for seen in one.seen if seen.method == "PATCH" and "annotations" in (seen.body.get("metadata") or {})
        ]
        assert sorted(seen.path.rpartition("/")[2] for seen in pins if "clientconfigs" in seen.path) == [
            "kind-dc1",
            "kind-dc2",
        ]
        assert await one.quiet(3600.0) == []


# ── two contexts, one cluster ───────────────────────────────────────────────────────────────────────


async def test_of_two_contexts_of_one_cluster_only_the_older_is_used_until_it_moves_away() -> None:
    async with rig("kind-dc1", "kind-dc2", started=False) as one:
        one.register("kind-dc2", server="kind-dc1")
        configs = {name: (await one.get(CLIENT_CONFIGS, name))["metadata"] for name in ("kind-dc1", "kind-dc2")}
        older, newer = sorted(configs, key=lambda name: (configs[name]["creationTimestamp"], configs[name]["uid"]))
        one.start()
        await until_reason(one, "SameCluster", newer)
        assert await reason(one, older) == "Connected"
        one.register(older, server="kind-dc2")
        await until_reason(one, "RotationFailed", older)
        await one.patch(CLIENT_CONFIGS, older, {"metadata": {"annotations": {ANNOTATION: None}}})
        await until_reason(one, "Connected", newer)
        await until_reason(one, "Connected", older)


# ── an identity out of sight ────────────────────────────────────────────────────────────────────────


def hide(one: Rig) -> None:
    """The credentials may not read namespace kube-system of the first data plane."""
    one.servers[DC1].faults.add(Fault(verb="get", resource="namespaces", status=403, reason="Forbidden", times=None))


async def test_a_cluster_whose_identity_is_out_of_sight_is_used_and_says_so() -> None:
    async with rig(started=False) as one:
        hide(one)
        one.start()
        one.apply(one.demo())
        await one.ready()
        condition = await one.condition("Ready", DC1, CLIENT_CONFIGS)
        assert (condition["status"], condition["reason"]) == ("True", "Connected")
        assert "IdentityUnverified" in condition["message"]
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await gone(one)
        assert await one.datacenters() == {"kind-dc1": [], "kind-dc2": []}


@pytest.mark.parametrize("alike", [True, False])
async def test_where_the_identity_is_out_of_sight_the_datacenters_tell_another_cluster(alike: bool) -> None:
    async with rig(started=False) as one:
        hide(one)
        one.start()
        one.apply(one.demo())
        await one.ready()
        if alike:
            await with_an_alike_datacenter(one)
        else:
            one.replace(DC1)
        hide(one)
        one.links[DC1].cut()
        since = len(one.seen)
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        said = await one.says("RemovalWaits")
        assert (
            f"nothing is removed in {DC1} now: context {DC1}: CassandraDatacenter {NAMESPACE}/dc1 " in said["message"]
        )
        assert "restart the controller to accept what is there now" in said["message"]
        await asyncio.sleep(600.0)
        assert removals(one, since) == []
        assert len(await one.events("RemovalWaits")) == 1
        assert labels.FINALIZER in await finalizers(one)


# ── at the moment of the step ───────────────────────────────────────────────────────────────────────


async def test_a_blip_at_the_moment_of_a_deletion_delays_it_and_is_not_worth_a_word() -> None:
    async with converged() as one:
        one.links[DC1].blacken()
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await asyncio.sleep(2.0)
        one.links[DC1].restore()
        await gone(one)
        assert await one.events("RemovalWaits") == []


async def shrink(one: Rig, size: int) -> Seen:
    """Give the first datacenter another size; returns the request that did it."""
    since = len(one.seen)
    found = await one.get(K8SSANDRA_CLUSTERS, "demo")
    entries = found["spec"]["cassandra"]["datacenters"]
    entries[0]["size"] = size
    await one.patch(K8SSANDRA_CLUSTERS, "demo", {"spec": {"cassandra": {"datacenters": entries}}})

    def writes() -> list[Seen]:
        return [seen for seen in one.writes(since) if seen.path.endswith("/cassandradatacenters/dc1")]

    async def is_written() -> bool:
        return bool(writes())

    await eventually(is_written, "the size is written")
    return writes()[0]


async def test_a_datacenter_shrinks_after_a_live_read_and_onto_that_very_version() -> None:
    async with converged() as one:
        larger = await shrink(one, 3)
        await one.ready()
        smaller = await shrink(one, 2)
        assert "resourceVersion" not in larger.body["metadata"]
        assert smaller.body["metadata"]["resourceVersion"]
        before = [seen for seen in one.seen[: one.seen.index(smaller)] if seen.context == DC1]
        assert (before[-1].method, before[-1].path) == ("GET", smaller.path)


async def test_where_no_bookmarks_come_what_is_concerned_is_listed_before_it_is_removed() -> None:
    async with converged() as one:
        for server in one.servers.values():
            server.reader.bookmark_every = 1e9
            server.drop_watches()
        await asyncio.sleep(600.0)
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await gone(one)
        assert await one.datacenters() == {"kind-dc1": [], "kind-dc2": []}
        assert await one.events("RemovalWaits") == []
