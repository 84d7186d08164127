from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controller.cassandra import labels
from controller.cassandra.observe import Renderings, contexts, observe, read
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.cassandra.snapshot import DatacenterView, Snapshot
from controller.cassandra.sources import Sources
from controller.kube.errors import Malformed
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, PODS, SECRETS
from controller.replication.contents import Contents
from controller.replication.types import REPLICATED_FROM
from tests.unit.cassandra.caches import DOWN, Fleet, bare, stored
from tests.unit.cassandra.samples import datacenter, manifest, typed

OURS = labels.owner("demo", "ns")
WHEN = "2026-11-23T00:00:00Z"


def fleet() -> Fleet:
    return Fleet("kind-dc1", "kind-dc2")


def no_renderings(given: Fleet | None = None) -> Renderings:
    pool = (given or fleet()).pool
    return Renderings(Sources(pool, Contents(pool.local)))


def seen(given: Fleet, found: dict[str, Any] | None = None) -> Snapshot:
    manifests = stored(found or manifest(datacenter("dc1"), datacenter("dc2")))
    return observe(given.pool, manifests, no_renderings(given), ())


def dc1(given: Fleet, found: dict[str, Any] | None = None) -> DatacenterView:
    return seen(given, found).views[0]


def pod(name: str, address: str, cluster: str = "demo", dc: str = "dc1", seed: str = "true") -> Any:
    marks = {labels.CASS_CLUSTER: cluster, labels.CASS_DATACENTER: dc, labels.SEED_NODE: seed}
    return stored(bare(PODS, name, marks, status={"podIP": address}))


def superuser(**changed: str) -> Any:
    return stored(bare(SECRETS, "demo-superuser", {**labels.replicated("demo", "ns"), **changed}))


def copied(of: str = "ns.demo") -> Any:
    return stored(bare(SECRETS, "demo-superuser", {REPLICATED_FROM: of}))


async def test_an_empty_fleet_is_known_and_empty() -> None:
    snapshot = seen(fleet())
    assert [(view.name, view.known, view.away, view.live) for view in snapshot.views] == [
        ("dc1", True, None, None),
        ("dc2", True, None, None),
    ]
    assert (snapshot.datacenters, snapshot.away, snapshot.unseen, snapshot.superuser) == ((), (), (), None)


async def test_a_datacenter_is_found_in_its_context_and_namespace_only() -> None:
    given = fleet()
    given.put("kind-dc1", CASSANDRA_DATACENTERS, [stored(bare(CASSANDRA_DATACENTERS, "dc1", OURS))])
    given.put("kind-dc2", CASSANDRA_DATACENTERS, [stored(bare(CASSANDRA_DATACENTERS, "dc2", OURS), namespace="other")])
    snapshot = seen(given)
    assert [view.live is not None for view in snapshot.views] == [True, False]
    assert [left.object.head.namespace for left in snapshot.datacenters] == ["ns", "other"]


@pytest.mark.parametrize("marks", [labels.owner("demo", "elsewhere"), labels.owner("other", "ns"), {}])
async def test_what_belongs_to_somebody_else_is_not_seen(marks: dict[str, str]) -> None:
    given = fleet()
    given.put("kind-dc1", CASSANDRA_DATACENTERS, [stored(bare(CASSANDRA_DATACENTERS, "dc1", marks))])
    assert (dc1(given).live, seen(given).datacenters) == (None, ())


async def test_labels_in_a_context_that_the_cluster_does_not_name_are_not_seen() -> None:
    given = Fleet("kind-dc1", "kind-dc2", "kind-dc3")
    given.put("kind-dc3", CASSANDRA_DATACENTERS, [stored(bare(CASSANDRA_DATACENTERS, "dc3", OURS))])
    assert seen(given).datacenters == ()


async def test_contexts_are_those_of_specification_and_status() -> None:
    found = manifest(datacenter("dc1"), datacenter("dc0", k8sContext=""))
    found["status"] = {"datacenters": {"dc9": {"contextName": "kind-dc9"}, "dc1": {"contextName": "kind-dc1"}}}
    assert contexts(typed(found)) == ["kind-dc1", "", "kind-dc9"]


async def test_seeds_are_the_addresses_of_the_rings_own_pods() -> None:
    given = fleet()
    given.put(
        "kind-dc1",
        PODS,
        [
            pod("a", "10.0.0.1"),
            pod("b", ""),
            pod("c", "10.0.0.3", cluster="other"),
            pod("d", "10.0.0.4", dc="dc2"),
            pod("e", "10.0.0.5", seed="false"),
        ],
    )
    assert dc1(given).seeds == ("10.0.0.1",)


async def test_a_pod_that_cannot_be_read_has_no_address() -> None:
    given = fleet()
    broken = bare(PODS, "a", {labels.CASS_CLUSTER: "demo", labels.CASS_DATACENTER: "dc1", labels.SEED_NODE: "true"})
    given.put("kind-dc1", PODS, [stored({**broken, "status": {"podIP": 7}})])
    assert dc1(given).seeds == ()


async def test_a_datacenter_that_cannot_be_read_is_there_and_not_ready() -> None:
    given = fleet()
    broken = bare(CASSANDRA_DATACENTERS, "dc1", OURS, status={"conditions": "all fine"})
    given.put("kind-dc1", CASSANDRA_DATACENTERS, [stored(broken)])
    view = dc1(given)
    assert view.live is not None
    assert not view.reached


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ({**OURS, labels.ENDPOINT_SLICE_MANAGED_BY: "k8ssandra-operator"}, True),
        ({labels.ENDPOINT_SLICE_MANAGED_BY: "k8ssandra-operator", labels.SERVICE_NAME: "svc"}, True),
        ({**labels.owner("other", "ns"), labels.ENDPOINT_SLICE_MANAGED_BY: "k8ssandra-operator"}, False),
        ({labels.ENDPOINT_SLICE_MANAGED_BY: "k8ssandra-operator", labels.SERVICE_NAME: "other"}, False),
        ({**OURS, labels.ENDPOINT_SLICE_MANAGED_BY: "cass-operator"}, False),
    ],
)
async def test_slices_are_ours_by_label_or_made_by_the_reference_by_name(marks: dict[str, str], expected: bool) -> None:
    given = fleet()
    ring = {labels.CASS_CLUSTER: "demo", labels.CASS_DATACENTER: "dc1"}
    given.put("kind-dc1", ENDPOINT_SLICES, [stored(bare(ENDPOINT_SLICES, "demo-svc-ipv4", {**ring, **marks}))])
    assert bool(dc1(given).slices) is expected


# ── away and unknown ────────────────────────────────────────────────────────────────────────────────


async def test_a_context_without_a_client_config_is_named() -> None:
    view = dc1(Fleet("kind-dc2"))
    assert view.away is not None
    assert (view.away.reason, view.known) == ("ContextNotFound", False)
    assert "kind-dc1" in view.away.message
    assert seen(Fleet("kind-dc2")).unseen == ("kind-dc1",)


async def test_a_cluster_that_went_away_is_still_known() -> None:
    given = fleet()
    given.put("kind-dc1", PODS, [pod("a", "10.0.0.1")])
    given.cluster("kind-dc1").update(DOWN)
    view = dc1(given)
    assert view.away is not None
    assert (view.away.reason, view.known, view.seeds) == ("DatacenterUnreachable", True, ("10.0.0.1",))
    assert "connection refused" in view.away.message


async def test_a_namespace_that_is_not_watched_is_named() -> None:
    given = Fleet("kind-dc1", "kind-dc2", namespaces=("ns",))
    found = manifest(datacenter("dc1", metadata={"namespace": "other"}), datacenter("dc2"))
    view = dc1(given, found)
    assert view.away is not None
    assert view.away.reason == "NamespaceNotWatched"
    assert "WATCH_NAMESPACE" in view.away.message


async def test_datacenters_with_errors_are_looked_at_too() -> None:
    given = fleet()
    given.put("kind-dc1", PODS, [pod("a", "10.0.0.1")])
    view = dc1(given, manifest(datacenter("dc1", size=0), datacenter("dc2")))
    assert (view.rendered, view.seeds) == (None, ("10.0.0.1",))


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("source", "copy", "expected"),
    [
        (superuser(), copied(), True),
        (superuser(), copied("ns.other"), False),
        (superuser(), None, False),
        (None, copied(), False),
        (superuser(**{labels.CLUSTER_NAME: "other"}), copied(), False),
    ],
)
async def test_secrets_are_ready_when_source_and_copy_are_ours(source: Any, copy: Any, expected: bool) -> None:
    given = fleet()
    given.put("", SECRETS, [source] if source else [])
    given.put("kind-dc1", SECRETS, [copy] if copy else [])
    assert dc1(given).secrets_ready is expected


async def test_every_secret_of_the_cluster_has_to_be_there() -> None:
    given = fleet()
    given.put("", SECRETS, [superuser(), stored(bare(SECRETS, "more", labels.replicated("demo", "ns")))])
    given.put("kind-dc1", SECRETS, [copied()])
    assert dc1(given).secrets_ready is False


async def test_beside_their_sources_secrets_are_ready() -> None:
    given = fleet()
    given.put("", SECRETS, [superuser()])
    assert dc1(given, manifest(datacenter("dc1", k8sContext=""))).secrets_ready is True


async def test_a_context_that_leads_to_the_control_plane_is_recognised() -> None:
    given = fleet()
    given.put("", SECRETS, [superuser()])
    config_map = stored(bare(CONFIG_MAPS, "demo-dc1-metrics-agent-config", OURS))
    given.put("kind-dc1", CONFIG_MAPS, [config_map])
    assert dc1(given).secrets_ready is False
    given.put("", CONFIG_MAPS, [config_map])
    assert dc1(given).secrets_ready is True


@pytest.mark.parametrize(("there", "expected"), [(True, "ns/other"), (False, "")])
async def test_a_superuser_secret_belongs_to_another_cluster_only_while_that_is_there(
    there: bool, expected: str
) -> None:
    given = fleet()
    given.put("", SECRETS, [superuser(**{labels.CLUSTER_NAME: "other"})])
    given.put("", K8SSANDRA_CLUSTERS, [stored(bare(K8SSANDRA_CLUSTERS, "other"))] if there else [])
    assert seen(given).superuser_of == expected


async def test_one_object_seen_through_two_contexts_counts_once() -> None:
    given = fleet()
    found = stored(bare(CASSANDRA_DATACENTERS, "dc1", OURS))
    for context in ("", "kind-dc1"):
        given.put(context, CASSANDRA_DATACENTERS, [found])
    snapshot = seen(given, manifest(datacenter("dc1"), datacenter("dc2", k8sContext="")))
    assert [(left.context, left.object.head.name) for left in snapshot.datacenters] == [("kind-dc1", "dc1")]


# ── reading and rendering ───────────────────────────────────────────────────────────────────────────


async def test_a_cluster_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(Malformed, match="size"):
        seen(fleet(), manifest(datacenter("dc1", size="three")))


@pytest.mark.parametrize(
    "spec",
    [{"cassandra": {"datacenters": [{"k8sContext": "kind-dc1", "size": "three"}, 7]}}, {"cassandra": []}, "none", None],
)
async def test_one_that_is_being_deleted_is_read_whatever_it_says(spec: Any) -> None:
    found = manifest()
    found["metadata"] |= {"deletionTimestamp": WHEN, "finalizers": [labels.FINALIZER]}
    found |= {"spec": spec, "status": {"datacenters": {"dc2": {"contextName": "kind-dc2"}, "dc3": 7}}}
    cluster = read(stored(found))
    assert cluster.metadata.finalizers == [labels.FINALIZER]
    expected = ["kind-dc1", "kind-dc2"] if isinstance(spec, dict) and spec["cassandra"] else ["kind-dc2"]
    assert [context for context in contexts(cluster) if context] == expected
    # The next status says it again: from there it has to be read in the next pass.
    assert {name: entry.context_name for name, entry in cluster.status.datacenters.items()}["dc2"] == "kind-dc2"


async def test_a_rendering_is_made_once_for_a_specification() -> None:
    renderings = no_renderings()
    first = renderings.get(typed(manifest()))
    again = manifest()
    again["status"] = {"observedGeneration": 1}
    assert renderings.get(typed(again)) is first


async def test_a_generation_that_comes_again_with_another_specification_is_rendered_anew() -> None:
    renderings = no_renderings()
    first = renderings.get(typed(manifest()))
    assert renderings.get(typed(manifest(datacenter(size=6)))) != first


async def test_the_annotation_decides_what_is_rendered() -> None:
    renderings, found = no_renderings(), manifest()
    first = renderings.get(typed(found))
    found["metadata"]["annotations"] = {labels.INITIAL_SYSTEM_REPLICATION: '{"dc1":1}'}
    assert b"dc1:1" in msgspec.json.encode(renderings.get(typed(found)).datacenters[0].object)
    assert b"dc1:3" in msgspec.json.encode(first.datacenters[0].object)
