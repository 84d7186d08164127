"""Seeds and contact points through the whole controller, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube.resources import ENDPOINT_SLICES, PODS, SERVICES
from tests.unit.cassandra.rig import NAMESPACE, Rig, eventually, rig

pytestmark = pytest.mark.looptime

DC1, DC2 = "kind-dc1", "kind-dc2"
SEEDS = "demo-demo-dc1-additional-seed-service-ipv4"  # the seeds that dc1 has of dc2
CONTACTS = "demo-dc2-contact-points-service"


class VirtualClock:
    """A wall clock that goes with the loop's time."""

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=asyncio.get_running_loop().time())


@asynccontextmanager
async def converged(**cassandra: Any) -> AsyncIterator[Rig]:
    async with rig(started=False) as one:
        one.clock = VirtualClock()
        one.start()
        one.apply(one.demo(**cassandra))
        await one.ready()
        await asyncio.sleep(30.0)
        yield one


def addresses_in(slice_: dict[str, Any]) -> list[str]:
    return [address for endpoint in slice_.get("endpoints", []) for address in endpoint["addresses"]]


async def seeds(one: Rig) -> list[str]:
    """Those of dc2 that dc1 knows."""
    return addresses_in(await one.get(ENDPOINT_SLICES, SEEDS, DC1))


async def marks(one: Rig) -> dict[str, Any]:
    found = await one.get(ENDPOINT_SLICES, SEEDS, DC1)
    text = (found.get("metadata", {}).get("annotations") or {}).get(labels.SEEDS_STALE_SINCE, "{}")
    return dict(msgspec.json.decode(text))


async def contacts(one: Rig) -> list[str]:
    """The contact points of dc2."""
    return addresses_in(await one.get(ENDPOINT_SLICES, f"{CONTACTS}-ipv4"))


async def policy(one: Rig, text: str) -> None:
    await one.patch(K8SSANDRA_CLUSTERS, "demo", {"metadata": {"annotations": {labels.STALE_SEEDS: text}}})


async def until(expected: Any, look: Callable[[Rig], Awaitable[Any]], one: Rig) -> None:
    async def so() -> bool:
        return bool(await look(one) == expected)

    await eventually(so, f"{look.__name__} is {expected}")


# ── contact points ──────────────────────────────────────────────────────────────────────────────────


async def test_contact_points_of_a_datacenter_cost_two_requests() -> None:
    async with converged() as one:
        made = [seen.method for seen in one.requests() if "contact-points" in str(seen.body)]
        assert made == ["POST"] * 4  # a Service and a slice for each of two datacenters
        assert await contacts(one) == ["10.2.0.2"]
        assert await one.quiet() == []


async def test_contact_points_begin_when_the_datacenter_is_initialised() -> None:
    async with rig() as one:
        one.apply(one.demo())
        await eventually(lambda: _is_there(one, PODS, "demo-dc1-default-sts-0", DC1), "the pod is there")
        await asyncio.sleep(2.0)
        assert await one.names(SERVICES) == []
        await one.ready()
        assert await one.names(SERVICES) == [f"demo-{name}-contact-points-service" for name in ("dc1", "dc2")]


async def test_contact_points_follow_the_pods_with_one_write_for_a_burst() -> None:
    async with converged() as one:
        since = len(one.seen)
        for number in range(3):
            endpoints = [{"addresses": [f"10.2.0.{host}"]} for host in range(2, 4 + number)]
            await one.patch(ENDPOINT_SLICES, "demo-dc2-all-pods-service-sim", {"endpoints": endpoints}, DC2)
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)
        assert await contacts(one) == ["10.2.0.2", "10.2.0.3", "10.2.0.4", "10.2.0.5"]
        assert len(one.writes(since)) == 1


async def test_the_order_of_pods_causes_no_write() -> None:
    async with converged() as one:
        pair = [{"addresses": ["10.2.0.3"]}, {"addresses": ["10.2.0.2"]}]
        await one.patch(ENDPOINT_SLICES, "demo-dc2-all-pods-service-sim", {"endpoints": pair}, DC2)
        await until(["10.2.0.2", "10.2.0.3"], contacts, one)
        since = len(one.seen)
        change = {"endpoints": pair[::-1], "metadata": {"annotations": {"x": "y"}}}
        await one.patch(ENDPOINT_SLICES, "demo-dc2-all-pods-service-sim", change, DC2)
        await asyncio.sleep(30.0)
        assert one.requests(since) == []


async def test_slices_of_a_same_named_cluster_in_another_namespace_do_not_mix() -> None:
    async with converged() as one:
        other = await one.get(ENDPOINT_SLICES, "demo-dc2-all-pods-service-sim", DC2)
        one.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}}, DC2)
        metadata = {"name": "theirs", "namespace": "other", "labels": other["metadata"]["labels"]}
        theirs = {**other, "metadata": metadata, "endpoints": [{"addresses": ["10.9.9.9"]}]}
        since = len(one.seen)
        one.apply(theirs, DC2)
        await asyncio.sleep(30.0)
        assert await contacts(one) == ["10.2.0.2"]
        assert one.requests(since) == []


async def test_a_stopped_datacenter_keeps_its_service_and_has_no_contact_points() -> None:
    async with converged() as one:
        found = await one.get(K8SSANDRA_CLUSTERS, "demo")
        found["spec"]["cassandra"]["datacenters"][1]["stopped"] = True
        await one.patch(K8SSANDRA_CLUSTERS, "demo", {"spec": found["spec"]})
        await until([], contacts, one)
        assert CONTACTS in await one.names(SERVICES)
        assert await one.quiet() == []
        found["spec"]["cassandra"]["datacenters"][1]["stopped"] = False
        await one.patch(K8SSANDRA_CLUSTERS, "demo", {"spec": found["spec"]})
        await until(["10.2.0.2"], contacts, one)


async def test_contact_points_of_a_datacenter_that_cannot_be_seen_stay_over_a_restart() -> None:
    async with converged() as one:
        one.links[DC2].refuse()
        await asyncio.sleep(600.0)
        await one.stop()
        one.start()
        await asyncio.sleep(600.0)
        assert await contacts(one) == ["10.2.0.2"]
        assert CONTACTS in await one.names(SERVICES)


@pytest.mark.parametrize("what", [(SERVICES, CONTACTS), (ENDPOINT_SLICES, f"{CONTACTS}-ipv4")])
async def test_contact_points_that_somebody_deletes_come_back(what: tuple[Any, str]) -> None:
    async with converged() as one:
        await one.delete(*what)
        await eventually(lambda: _is_there(one, *what, ""), "it is there again")
        assert await one.quiet() == []


async def test_a_foreign_service_is_left_alone_and_told() -> None:
    async with rig() as one:
        metadata = {"name": CONTACTS, "namespace": NAMESPACE}
        one.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"clusterIP": "None"}})
        one.apply(one.demo())
        said = await one.says("NameConflict")
        assert f"Service ns/{CONTACTS} exists" in said["message"]
        assert "labels" not in (await one.get(SERVICES, CONTACTS))["metadata"]


async def test_everything_goes_with_a_datacenter_that_is_gone() -> None:
    async with converged() as one:
        found = await one.get(K8SSANDRA_CLUSTERS, "demo")
        del found["spec"]["cassandra"]["datacenters"][1]
        await one.patch(K8SSANDRA_CLUSTERS, "demo", {"spec": found["spec"]})
        await asyncio.sleep(30.0)
        assert CONTACTS in await one.names(SERVICES)  # it is still there
        finalizers = {"metadata": {"finalizers": []}}
        await one.delete(CASSANDRA_DATACENTERS, "dc2", DC2)
        await one.patch(CASSANDRA_DATACENTERS, "dc2", finalizers, DC2)
        await until([], contacts, one)

        async def gone() -> bool:
            left = [name for name in await one.names(ENDPOINT_SLICES, DC2) if "additional-seed" in name]
            status = (await one.get(K8SSANDRA_CLUSTERS, "demo"))["status"]["datacenters"]
            return not left and CONTACTS not in await one.names(SERVICES) and list(status) == ["dc1"]

        await eventually(gone, "nothing is left of dc2")
        assert await one.quiet() == []


# ── seeds that come and go ──────────────────────────────────────────────────────────────────────────


async def test_a_new_address_of_a_seed_is_known_elsewhere_within_a_second() -> None:
    async with converged() as one:
        since = len(one.seen)
        await one.patch(PODS, "demo-dc2-default-sts-0", {"status": {"podIP": "10.2.7.7"}}, DC2, "status")
        await asyncio.sleep(1.0)
        assert await seeds(one) == ["10.2.7.7"]
        assert [seen.context for seen in one.writes(since)] == [DC1]


async def test_seeds_that_start_together_are_one_write() -> None:
    async with converged() as one:
        pod = await one.get(PODS, "demo-dc2-default-sts-0", DC2)
        since = len(one.seen)
        for number in range(1, 4):
            metadata = {"name": f"seed-{number}", "namespace": NAMESPACE, "labels": pod["metadata"]["labels"]}
            one.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]}, DC2)
            await one.patch(PODS, f"seed-{number}", {"status": {"podIP": f"10.2.8.{number}"}}, DC2, "status")
            await asyncio.sleep(0.08)
        await asyncio.sleep(1.0)
        assert await seeds(one) == ["10.2.0.2", "10.2.8.1", "10.2.8.2", "10.2.8.3"]
        assert len(one.writes(since)) == 1


async def test_host_names_are_resolved_into_addresses_and_followed() -> None:
    async with rig() as one:
        one.dns["seed.example.org"] = ["192.0.2.7", "127.0.0.1"]
        one.apply(one.demo(additionalSeeds=["seed.example.org", "192.0.2.1"]))
        await one.ready()
        assert await seeds(one) == ["10.2.0.2", "192.0.2.1", "192.0.2.7"]
        one.dns["seed.example.org"] = ["192.0.2.8"]
        await until(["10.2.0.2", "192.0.2.1", "192.0.2.8"], seeds, one)
        assert await one.quiet() == []


async def test_a_name_that_is_not_resolved_any_more_keeps_its_addresses_over_a_restart() -> None:
    async with rig() as one:
        one.dns["seed.example.org"] = ["192.0.2.7"]
        one.apply(one.demo(additionalSeeds=["seed.example.org"]))
        await one.ready()
        one.dns.clear()
        said = await one.says("SeedNotResolved")
        assert "its last addresses stay" in said["message"]
        await one.stop()
        one.start()
        await asyncio.sleep(120.0)
        assert await seeds(one) == ["10.2.0.2", "192.0.2.7"]
        assert (await one.condition())["reason"] == "SeedNotResolved"


async def test_no_ring_is_founded_while_the_only_seed_is_a_name_that_is_not_known() -> None:
    async with rig() as one:
        one.apply(one.demo(additionalSeeds=["seed.example.org"]))
        said = await one.says("SeedNotResolved")
        assert "spec.cassandra.additionalSeeds[0]: seed.example.org: the name cannot be resolved" in said["message"]
        await asyncio.sleep(60.0)
        assert await one.datacenters() == {DC1: [], DC2: []}
        one.dns["seed.example.org"] = ["192.0.2.7"]
        await one.ready()
        assert await seeds(one) == ["10.2.0.2", "192.0.2.7"]


# ── datacenters that are lost ───────────────────────────────────────────────────────────────────────


async def test_stale_seeds_are_kept_and_marked_with_since_when() -> None:
    async with converged() as one:
        since = len(one.seen)
        one.links[DC2].refuse()
        said = await one.says("SeedsKept", "StaleSeeds")
        assert await seeds(one) == ["10.2.0.2"]
        assert (await marks(one))["dc2"]["addresses"] == ["10.2.0.2"]
        assert (await marks(one))["dc2"]["since"] in said["message"]
        assert [seen.context for seen in one.writes(since) if seen.context] == [DC1]
        labelled = (await one.get(ENDPOINT_SLICES, SEEDS, DC1))["metadata"]["labels"]
        assert labelled[labels.STALE_SEEDS] == "true"
        assert await nothing_but_probes(one)
        one.links[DC2].restore()
        await until({}, marks, one)
        await one.ready()
        assert await one.condition("StaleSeeds") == {}
        assert await one.quiet() == []


async def test_a_short_absence_is_not_marked() -> None:
    async with converged() as one:
        since = len(one.seen)
        one.links[DC2].refuse()
        await asyncio.sleep(45.0)
        one.links[DC2].restore()
        await one.ready()
        await asyncio.sleep(120.0)
        assert [seen for seen in one.writes(since) if seen.context] == []


async def test_stale_seeds_are_dropped_after_a_while_if_people_say_so_and_come_back() -> None:
    async with converged() as one:
        await policy(one, "drop-after=1h30m")
        one.links[DC2].refuse()
        await asyncio.sleep(5390.0)
        assert await seeds(one) == ["10.2.0.2"]
        await asyncio.sleep(30.0)
        assert await seeds(one) == []
        assert (await marks(one))["dc2"]["addresses"] == ["10.2.0.2"]
        assert (await one.condition("StaleSeeds"))["reason"] == "SeedsDropped"
        assert await nothing_but_probes(one)
        one.links[DC2].restore()
        await until(["10.2.0.2"], seeds, one)
        await until({}, marks, one)


async def test_since_when_seeds_are_stale_survives_a_restart() -> None:
    async with converged() as one:
        await policy(one, "drop-after=1h")
        one.links[DC2].refuse()
        await asyncio.sleep(1800.0)
        before = await marks(one)
        await one.stop()
        one.start()
        await asyncio.sleep(1700.0)
        assert (await seeds(one), await marks(one)) == (["10.2.0.2"], before)
        await asyncio.sleep(200.0)
        assert (await seeds(one), await marks(one)) == ([], before)
        await one.stop()
        one.start()
        await asyncio.sleep(300.0)
        assert (await seeds(one), await marks(one)) == ([], before)
        await policy(one, "keep")
        await until(["10.2.0.2"], seeds, one)


async def test_a_restart_long_after_the_mark_drops_nothing_of_what_is_there_again() -> None:
    async with converged() as one:
        await policy(one, "drop-after=10m")
        one.links[DC2].refuse()
        await asyncio.sleep(120.0)
        await one.stop()
        await asyncio.sleep(7200.0)
        one.links[DC2].restore()
        since = len(one.seen)
        one.start()
        await until({}, marks, one)
        changed = [seen.body for seen in one.writes(since) if seen.context == DC1]
        assert [addresses_in(body) for body in changed] == [["10.2.0.2"]]


async def test_a_policy_that_cannot_be_read_is_told_and_keeps() -> None:
    async with converged() as one:
        await policy(one, "drop-after=soon")
        said = await one.says("InvalidAnnotation")
        assert "k8ssandra.io/stale-seeds" in said["message"]
        one.links[DC2].refuse()
        await asyncio.sleep(7200.0)
        assert await seeds(one) == ["10.2.0.2"]


async def nothing_but_probes(one: Rig) -> bool:
    """Whether nothing is written but when a lost cluster was looked at last."""
    return {seen.path.partition("/clientconfigs/")[2] for seen in await one.quiet()} <= {f"{DC2}/status"}


async def _is_there(one: Rig, resource: Any, name: str, context: str) -> bool:
    return bool(await one.get(resource, name, context))
