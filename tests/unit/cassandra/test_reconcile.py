from __future__ import annotations

import asyncio
import copy
from collections import Counter
from typing import Any

import pytest

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.definitions import definitions
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, PODS, SECRETS, SERVICES, Resource
from controller.replication.types import REPLICATED_SECRETS
from controller.sandbox.apiserver import Fault
from controller.sandbox.apiserver.faults import Subject
from controller.sandbox.crds import data_plane_crds, published_crds
from tests.unit.cassandra.rig import CONTEXTS, NAMESPACE, Rig, eventually, rig
from tests.unit.cassandra.samples import datacenter, manifest

pytestmark = pytest.mark.looptime

# Every object that the demo of two datacenters needs, each created once.
CREATED = {
    ("", "secrets/demo-superuser"): 1,
    ("", "replicatedsecrets/demo"): 1,
    **{(f"kind-{name}", f"configmaps/demo-{name}-metrics-agent-config"): 1 for name in ("dc1", "dc2")},
    **{(f"kind-{name}", "secrets/demo-superuser"): 1 for name in ("dc1", "dc2")},
    **{(f"kind-{name}", f"endpointslices/demo-demo-{name}-additional-seed-service-ipv4"): 1 for name in ("dc1", "dc2")},
    **{(f"kind-{name}", f"cassandradatacenters/{name}"): 1 for name in ("dc1", "dc2")},
    **{("", f"services/demo-{name}-contact-points-service"): 1 for name in ("dc1", "dc2")},
    **{("", f"endpointslices/demo-{name}-contact-points-service-ipv4"): 1 for name in ("dc1", "dc2")},
}
WRITES = 25  # of the demo of two datacenters


# ── what it costs ───────────────────────────────────────────────────────────────────────────────────


async def test_three_datacenters_take_at_most_36_requests_and_then_no_write() -> None:
    async with rig("kind-dc1", "kind-dc2", "kind-dc3") as one:
        await asyncio.sleep(30.0)
        since = len(one.seen)
        one.apply(manifest_of("dc1", "dc2", "dc3"))
        await one.ready()
        assert len(one.requests(since)) <= 36
        assert await one.quiet() == []


async def test_crds_that_prune_conditions_converge_and_then_no_write() -> None:
    async with rig(crds=published_crds()) as one:
        one.apply(one.demo())
        await one.ready()
        assert set(await one.condition()) == {"type", "status", "lastTransitionTime"}
        assert await one.quiet() == []


async def test_a_status_event_costs_one_write() -> None:
    async with converged() as one:
        since = len(one.seen)
        await one.patch(
            CASSANDRA_DATACENTERS, "dc2", {"status": {"quietPeriod": "2026-01-01T00:00:00Z"}}, "kind-dc2", "status"
        )
        await asyncio.sleep(60.0)
        assert [seen.path.rpartition("/")[2] for seen in one.requests(since)] == ["status"]
        shown = (await one.get(K8SSANDRA_CLUSTERS, "demo"))["status"]["datacenters"]["dc2"]["cassandra"]
        assert shown["quietPeriod"] == "2026-01-01T00:00:00Z"


async def test_a_restart_writes_nothing() -> None:
    async with converged() as one:
        await one.stop()
        since = len(one.seen)
        one.start()
        assert await one.quiet() == []
        assert one.writes(since) == []


# ── dying, and answers that are lost ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("write", range(1, WRITES + 1))
async def test_after_a_crash_at_any_write_a_restart_makes_every_object_once(write: int) -> None:
    async with rig(started=False) as one:
        one.kill_after = write
        one.start()
        one.apply(one.demo())
        await asyncio.wait_for(one.killed.wait(), 300.0)
        await one.stop()
        one.start()
        await one.ready()
        assert await one.quiet() == []
        # What was in flight in another context when it died was carried out, and nobody saw the answer.
        assert one.created() <= Counter(CREATED)


@pytest.mark.parametrize(
    ("context", "resource"),
    [
        ("", "secrets"),
        ("", "replicatedsecrets"),
        ("kind-dc2", "secrets"),
        ("kind-dc2", "configmaps"),
        ("kind-dc2", "endpointslices"),
        ("kind-dc2", "cassandradatacenters"),
    ],
)
async def test_a_creation_whose_answer_is_lost_is_found_to_be_ours(context: str, resource: str) -> None:
    async with rig() as one:
        fault = Fault(verb="create", resource=resource, namespace=NAMESPACE, effect="lose")
        one.servers[context].faults.add(fault)
        one.apply(one.demo())
        await one.ready()
        assert one.servers[context].faults.take(Subject("create", resource, NAMESPACE)) is None  # it struck
        assert await one.quiet() == []
        assert (await one.condition())["reason"] == "AllDatacentersReady"


@pytest.mark.parametrize(
    ("status", "reason"), [(409, "Conflict"), (404, "NotFound"), (500, "InternalError"), (429, "TooManyRequests")]
)
async def test_a_change_that_is_answered_by_an_error_once_is_made_again(status: int, reason: str) -> None:
    async with converged() as one:
        fault = Fault(verb="apply", resource="cassandradatacenters", status=status, reason=reason)
        one.servers["kind-dc1"].faults.add(fault)
        await one.patch(K8SSANDRA_CLUSTERS, "demo", {"spec": {"cassandra": {"serverVersion": "4.0.18"}}})
        await one.ready()
        for context, name in zip(CONTEXTS, ("dc1", "dc2"), strict=True):
            assert (await one.get(CASSANDRA_DATACENTERS, name, context))["spec"]["serverVersion"] == "4.0.18"
        assert status in {seen.status for seen in one.writes() if seen.context == "kind-dc1"}


# ── what others have ────────────────────────────────────────────────────────────────────────────────


def foreign(resource: Resource, name: str, **content: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"theirs": "x"}}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **content}


THEIRS = {
    "dc1": foreign(
        CASSANDRA_DATACENTERS,
        "dc1",
        spec={
            "clusterName": "theirs",
            "serverType": "cassandra",
            "serverVersion": "4.0.1",
            "size": 1,
            "storageConfig": {},
        },
    ),
    "map": foreign(CONFIG_MAPS, "demo-dc1-metrics-agent-config", data={"theirs": "x"}),
}


@pytest.mark.parametrize(("what", "resource"), [("dc1", CASSANDRA_DATACENTERS), ("map", CONFIG_MAPS)])
async def test_a_foreign_object_under_our_name_stays_as_it_is_and_is_named(what: str, resource: Resource) -> None:
    async with rig() as one:
        name = THEIRS[what]["metadata"]["name"]
        one.apply(THEIRS[what], "kind-dc1")
        await asyncio.sleep(20.0)  # cass-operator has finished with it
        before = await one.get(resource, name, "kind-dc1")
        one.apply(one.demo())
        said = await one.says("NameConflict", "DatacenterReady.dc1")
        assert name in said["message"]
        assert len(await one.events("NameConflict")) == 1
        since = len(one.seen)
        await asyncio.sleep(600.0)
        assert await one.get(resource, name, "kind-dc1") == before
        assert len([seen for seen in one.requests(since) if seen.context == "kind-dc1"]) <= 20  # 2 a minute
        await one.delete(resource, name, "kind-dc1")
        await one.ready()


async def test_a_label_in_a_cluster_that_is_not_named_has_no_effect() -> None:
    async with rig("kind-dc1", "kind-dc2", "kind-dc3") as one:
        spoof = copy.deepcopy(THEIRS["dc1"])
        spoof["metadata"] |= {"name": "dc9", "labels": labels.cleaned_up("demo", NAMESPACE)}
        one.apply(spoof, "kind-dc3")
        one.apply(one.demo())
        await one.ready()
        await asyncio.sleep(20.0)
        before = await one.get(CASSANDRA_DATACENTERS, "dc9", "kind-dc3")
        since = len(one.seen)
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await gone(one)
        assert await one.get(CASSANDRA_DATACENTERS, "dc9", "kind-dc3") == before
        assert [seen for seen in one.requests(since) if seen.context == "kind-dc3"] == []


async def test_clusters_of_one_name_in_two_namespaces_do_not_mix() -> None:
    async with rig() as one:
        for context in ("", *CONTEXTS):
            one.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns2"}}, context)
        other = one.demo()
        other["metadata"]["namespace"] = "ns2"
        one.apply(one.demo())
        one.apply(other)
        await one.ready()
        await eventually(lambda: ready_in(one, "ns2"), "the other one is Ready")
        assert await one.quiet() == []
        before = await one.get(CASSANDRA_DATACENTERS, "dc1", "kind-dc1", "ns2")
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await gone(one)
        assert await one.get(CASSANDRA_DATACENTERS, "dc1", "kind-dc1", "ns2") == before
        assert await one.names(SECRETS, "kind-dc1", "ns2") == ["demo-superuser"]
        assert await ready_in(one, "ns2")


async def test_two_clusters_that_want_one_name_in_one_place_do_not_fight() -> None:
    async with converged() as one:
        before = await one.get(CASSANDRA_DATACENTERS, "dc1", "kind-dc1")
        second = one.demo()
        second["metadata"]["name"] = "second"
        one.apply(second)
        said = await one.says("NameConflict", name="second")
        assert "kind-dc1: CassandraDatacenter ns/dc1 is that of K8ssandraCluster ns/demo" in said["message"]
        assert [seen for seen in await one.quiet() if seen.status < 300] == []
        assert await one.get(CASSANDRA_DATACENTERS, "dc1", "kind-dc1") == before
        assert await one.is_ready()


# ── what a server refuses ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "server_says", "reason"),
    [(403, "Forbidden", "Forbidden"), (422, "Invalid", "Rejected"), (500, "InternalError", "Rejected")],
)
async def test_a_refusal_is_shown_on_the_datacenter_and_goes_when_it_is_mended(
    status: int, server_says: str, reason: str
) -> None:
    async with rig() as one:
        fault = Fault(verb="create", resource="cassandradatacenters", status=status, reason=server_says, times=None)
        one.servers["kind-dc2"].faults.add(fault)
        one.apply(one.demo())
        said = await one.says(reason, "DatacenterReady.dc2")
        assert said["message"].startswith("kind-dc2: ")
        assert (await one.condition("DatacenterReady.dc1"))["status"] == "True"
        one.servers["kind-dc2"].faults.remove(fault)
        await one.ready()
        assert (await one.get(K8SSANDRA_CLUSTERS, "demo"))["status"]["error"] == "None"


async def test_a_namespace_that_is_missing_is_named_and_not_made() -> None:
    async with rig() as one:
        found = one.demo()
        found["spec"]["cassandra"]["datacenters"][1]["metadata"]["namespace"] = "missing"
        one.apply(found)
        said = await one.says("NotFound", "DatacenterReady.dc2")
        assert "missing" in said["message"]
        one.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "missing"}}, "kind-dc2")
        await one.ready()
        assert await one.names(CASSANDRA_DATACENTERS, "kind-dc2", "missing") == ["dc2"]


@pytest.mark.parametrize("way", ["refuse", "blacken"])
async def test_a_cluster_that_cannot_be_reached_holds_up_nobody_else(way: str) -> None:
    async with rig(started=False) as one:
        getattr(one.links["kind-dc2"], way)()
        one.start()
        one.apply(one.demo())
        await eventually(lambda: is_true(one, "DatacenterReady.dc1"), "dc1 is Ready", within=60.0)
        said = await one.says("DatacenterUnreachable", "DatacenterReady.dc2")
        assert "kind-dc2" in said["message"]
        one.links["kind-dc2"].restore()
        await one.ready()
        assert one.created() == CREATED


# ── deletion ────────────────────────────────────────────────────────────────────────────────────────


async def test_deletion_leaves_nothing_and_forgets_everything() -> None:
    async with converged() as one:
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await gone(one)
        await asyncio.sleep(30.0)
        for context in ("", *CONTEXTS):
            for resource in (PODS, SERVICES, CONFIG_MAPS, ENDPOINT_SLICES):
                assert await one.names(resource, context) == []
        assert [await one.names(SECRETS, context) for context in CONTEXTS] == [[], []]
        assert await one.names(REPLICATED_SECRETS) == []
        assert one.controller is not None
        assert not vars(one.controller._clusters)["_absent"]
        assert one.controller._clusters._announcer._announced == {}


async def test_a_live_read_comes_before_every_deletion_of_a_datacenter() -> None:
    async with converged() as one:
        since = len(one.seen)
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await gone(one)
        seen = one.requests(since)
        deletions = [entry for entry in seen if entry.method == "DELETE" and "cassandradatacenters" in entry.path]
        assert sorted(entry.context for entry in deletions) == list(CONTEXTS)
        for deletion in deletions:
            before = seen[: seen.index(deletion)]
            own = [entry for entry in before if entry.context == deletion.context]
            assert (own[-1].method, own[-1].path) == ("GET", deletion.path)
            assert ("", "GET") in {
                (entry.context, entry.method) for entry in before if "k8ssandraclusters" in entry.path
            }
            assert deletion.body["preconditions"]["uid"]


async def test_a_users_own_config_map_outlives_the_cluster_that_it_is_labelled_for() -> None:
    async with converged() as one:
        theirs = {"name": "nodes", "namespace": NAMESPACE, "labels": labels.owner("demo", NAMESPACE)}
        one.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": theirs, "data": {"a": "b"}}, "kind-dc1")
        await asyncio.sleep(1.0)
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await gone(one)
        assert (await one.get(CONFIG_MAPS, "nodes", "kind-dc1"))["data"] == {"a": "b"}


async def test_the_finalizer_goes_after_live_lists_of_every_context() -> None:
    async with converged() as one:
        since = len(one.seen)
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await gone(one)
        seen = one.requests(since)
        last = next(
            entry for entry in seen if entry.path.endswith("k8ssandraclusters/demo") and entry.method == "PATCH"
        )
        lists = [entry for entry in seen[: seen.index(last)] if entry.path.endswith("/cassandradatacenters")]
        assert sorted(entry.context for entry in lists) == list(CONTEXTS)


@pytest.mark.parametrize("way", ["refuse", "blacken"])
async def test_deletion_waits_for_a_cluster_that_is_away_and_says_so(way: str) -> None:
    async with converged() as one:
        getattr(one.links["kind-dc1"], way)()
        await asyncio.sleep(120.0)
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        said = await one.says("ContextUnavailable")
        assert "deletion waits for kind-dc1" in said["message"]
        await asyncio.sleep(60.0)
        assert await one.datacenters() == {"kind-dc1": ["dc1"], "kind-dc2": []}
        assert labels.FINALIZER in (await one.get(K8SSANDRA_CLUSTERS, "demo"))["metadata"]["finalizers"]
        one.links["kind-dc1"].restore()
        await gone(one)
        assert await one.datacenters() == {"kind-dc1": [], "kind-dc2": []}


async def test_a_datacenter_that_somebody_deletes_is_made_again() -> None:
    async with converged() as one:
        await one.delete(CASSANDRA_DATACENTERS, "dc2", "kind-dc2")
        await asyncio.sleep(1.0)
        await one.ready()
        assert one.created()["kind-dc2", "cassandradatacenters/dc2"] == 2


# ── objects that cannot be read ─────────────────────────────────────────────────────────────────────


def without_schema() -> list[dict[str, Any]]:
    """Our definitions, but of K8ssandraCluster one that lets everything pass."""
    found = copy.deepcopy(definitions())
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    found[K8SSANDRA_CLUSTERS.name]["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = free
    return list(found.values())


async def test_a_cluster_that_cannot_be_read_says_so_and_hurts_nobody() -> None:
    async with rig(crds=without_schema()) as one:
        bad = one.demo()
        bad["metadata"]["name"] = "bad"
        bad["spec"]["cassandra"]["datacenters"][0]["size"] = "three"
        one.apply(bad)
        one.apply(one.demo())
        await one.ready()
        said = await one.says("InvalidSpec", name="bad")
        assert ".size" in said["message"]
        assert await one.quiet() == []


async def test_a_cluster_that_cannot_be_read_any_more_can_still_be_deleted() -> None:
    async with rig(crds=without_schema()) as one:
        one.apply(one.demo())
        await one.ready()
        await one.patch(K8SSANDRA_CLUSTERS, "demo", {"spec": {"auth": "perhaps"}})
        await one.says("InvalidSpec")
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await gone(one)
        assert await one.datacenters() == {"kind-dc1": [], "kind-dc2": []}


# ── a control plane that is a data plane too ────────────────────────────────────────────────────────


@pytest.mark.parametrize("namespace", [NAMESPACE, "elsewhere"])
async def test_a_context_may_lead_to_the_control_planes_own_cluster(namespace: str) -> None:
    async with rig("kind-dc1", started=False) as one:
        for crd in data_plane_crds():
            one.apply(crd)
        one.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere"}})
        one.register("kind-here", server="")
        async with one.operating(""):
            one.start()
            one.apply(manifest_at(("dc1", "kind-here", namespace), ("dc2", "kind-dc1", NAMESPACE)))
            await one.ready()
            assert await one.quiet() == []
            assert await one.names(CASSANDRA_DATACENTERS, "", namespace) == ["dc1"]
            assert "demo-superuser" in await one.names(SECRETS, "", namespace)
            await one.delete(K8SSANDRA_CLUSTERS, "demo")
            await gone(one)
            assert await one.names(CASSANDRA_DATACENTERS, "", namespace) == []


# ── helpers ─────────────────────────────────────────────────────────────────────────────────────────


class converged:
    """A rig whose demo is Ready and quiet."""

    async def __aenter__(self) -> Rig:
        self._rig = rig()
        one = await self._rig.__aenter__()
        one.apply(one.demo())
        await one.ready()
        await asyncio.sleep(30.0)
        return one

    async def __aexit__(self, *error: Any) -> None:
        await self._rig.__aexit__(*error)


def manifest_of(*names: str) -> dict[str, Any]:
    return manifest_at(*((name, f"kind-{name}", NAMESPACE) for name in names))


def manifest_at(*places: tuple[str, str, str]) -> dict[str, Any]:
    """Datacenters of one node each, by name, context and namespace."""
    entries = [
        datacenter(name, k8sContext=context, size=1, metadata={"name": name, "namespace": namespace})
        for name, context, namespace in places
    ]
    found = manifest(*entries)
    found["metadata"] = {"name": "demo", "namespace": NAMESPACE}
    return found


async def gone(one: Rig) -> None:
    async def is_gone() -> bool:
        return not await one.get(K8SSANDRA_CLUSTERS, "demo")

    await eventually(is_gone, "the K8ssandraCluster is gone")


async def is_true(one: Rig, kind: str) -> bool:
    return (await one.condition(kind)).get("status") == "True"


async def ready_in(one: Rig, namespace: str) -> bool:
    found = await one.get(K8SSANDRA_CLUSTERS, "demo", namespace=namespace)
    conditions = (found.get("status") or {}).get("conditions") or []
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)
