from __future__ import annotations

from typing import Any

import pytest

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS, CONTACT_SLICES, K8SSANDRA_CLUSTERS
from controller.cassandra.routing import Router
from controller.engine.store import Delta
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, PODS, SECRETS, SERVICES, Resource
from controller.replication.types import REPLICATED_SECRETS
from tests.unit.cassandra.caches import Fleet, bare, stored
from tests.unit.cassandra.samples import datacenter, manifest

OURS = labels.owner("demo", "ns")
DONE = {"cassandraOperatorProgress": "Ready", "observedGeneration": 1}
EVERYWHERE = ["", "kind-dc1", "kind-dc2"]


class Routed:
    """A router that knows ``ns/demo``, and what it queued since."""

    def __init__(self) -> None:
        self.fleet = Fleet("kind-dc1", "kind-dc2", "kind-dc3")
        self.router = Router(self.fleet.pool)
        self.demo = edited(manifest(datacenter("dc1"), datacenter("dc2")), finalizers=[labels.FINALIZER])
        self.cluster(None, self.demo)
        self.drain()

    def cluster(self, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        delta = Delta(stored(old) if old else None, stored(new, 6) if new else None)
        self.router.route(self.fleet.cluster(""), K8SSANDRA_CLUSTERS, [delta])

    def change(self, context: str, resource: Resource, marks: dict[str, str], **content: Any) -> None:
        self.changes(context, resource, stored(bare(resource, "x", marks, **content)))

    def changes(self, context: str, resource: Resource, new: Object | None, old: Object | None = None) -> None:
        self.router.route(self.fleet.cluster(context), resource, [Delta(old, new)])

    def drain(self) -> list[str]:
        """The contexts with an item of ns/demo, now or soon, and of nobody else."""
        found = []
        for cluster in self.fleet.pool:
            items = list({**dict.fromkeys(vars(cluster.queue)["_dirty"]), **vars(cluster.queue)["_due"]})
            assert [(item.namespace, item.name) for item in items] in ([], [("ns", "demo")])
            found += [item.context for item in items]
            vars(cluster.queue)["_dirty"].clear()
            vars(cluster.queue)["_ready"].clear()
            vars(cluster.queue)["_due"].clear()
        return found


def edited(of: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {**of, "metadata": {**of["metadata"], **metadata}}


async def test_a_new_cluster_is_looked_at_everywhere() -> None:
    routed = Routed()
    routed.cluster(None, routed.demo)
    routed.router.queue_all()
    assert routed.drain() == EVERYWHERE


@pytest.mark.parametrize(
    "metadata",
    [
        {"generation": 2},
        {"annotations": {"x": "y"}},
        {"finalizers": ["x"]},
        {"deletionTimestamp": "2026-11-23T00:00:00Z"},
    ],
)
async def test_a_change_that_is_acted_on_is_looked_at_everywhere(metadata: dict[str, Any]) -> None:
    routed = Routed()
    routed.cluster(routed.demo, edited(routed.demo, **metadata))
    assert routed.drain() == EVERYWHERE


async def test_a_new_cluster_without_its_finalizer_concerns_the_control_plane() -> None:
    routed = Routed()
    routed.cluster(None, edited(routed.demo, name="new", finalizers=[]))
    assert [item.name for cluster in routed.fleet.pool for item in vars(cluster.queue)["_dirty"]] == ["new"]


async def test_whatever_else_comes_before_the_finalizer_concerns_the_control_plane() -> None:
    routed = Routed()
    routed.cluster(routed.demo, edited(routed.demo, finalizers=[]))
    routed.drain()
    routed.change("", SECRETS, OURS)
    routed.router.queue_all()
    assert routed.drain() == [""]
    routed.cluster(edited(routed.demo, finalizers=[]), routed.demo)
    assert routed.drain() == EVERYWHERE


async def test_some_contexts_can_be_woken() -> None:
    routed = Routed()
    routed.router.wake("ns", "demo", ["kind-dc2", "kind-gone", "kind-dc2"])
    assert routed.drain() == ["", "kind-dc2"]
    routed.router.wake("ns", "demo")
    assert routed.drain() == EVERYWHERE


async def test_a_generation_that_was_done_concerns_the_control_plane() -> None:
    routed = Routed()
    begun = edited(routed.demo, generation=2)
    routed.cluster(None, begun)
    routed.drain()
    routed.cluster(begun, {**begun, "status": {"observedGeneration": 2}})
    assert routed.drain() == [""]
    routed.cluster(begun, {**begun, "status": {"observedGeneration": 1}})
    assert routed.drain() == EVERYWHERE


async def test_a_change_of_the_status_alone_concerns_the_control_plane() -> None:
    routed = Routed()
    routed.cluster(routed.demo, {**routed.demo, "status": {"error": "None"}})
    assert routed.drain() == [""]


async def test_a_context_that_was_left_is_looked_at_once_more() -> None:
    routed = Routed()
    routed.cluster(
        routed.demo, edited(manifest(datacenter("dc1"), datacenter("dc3")), generation=2, finalizers=[labels.FINALIZER])
    )
    assert routed.drain() == ["", "kind-dc1", "kind-dc2", "kind-dc3"]
    routed.change("kind-dc2", CASSANDRA_DATACENTERS, OURS)
    assert routed.drain() == []


async def test_a_datacenter_that_was_made_concerns_its_own_context() -> None:
    routed = Routed()
    routed.change("kind-dc1", CASSANDRA_DATACENTERS, OURS)
    assert routed.drain() == ["", "kind-dc1"]


async def test_a_datacenter_of_the_control_plane_concerns_all_contexts_for_one_may_lead_there() -> None:
    routed = Routed()
    routed.change("", CASSANDRA_DATACENTERS, OURS)
    assert routed.drain() == EVERYWHERE


async def test_a_datacenter_that_is_gone_concerns_all_contexts() -> None:
    routed = Routed()
    routed.changes("kind-dc1", CASSANDRA_DATACENTERS, None, stored(bare(CASSANDRA_DATACENTERS, "x", OURS)))
    assert routed.drain() == EVERYWHERE


@pytest.mark.parametrize("resource", [CONFIG_MAPS, ENDPOINT_SLICES])
async def test_what_serves_a_datacenter_concerns_its_own_context(resource: Resource) -> None:
    routed = Routed()
    routed.change("kind-dc2", resource, OURS)
    assert routed.drain() == ["kind-dc2"]


async def test_a_deletion_concerns_the_same_as_a_change() -> None:
    routed = Routed()
    routed.changes("kind-dc2", CONFIG_MAPS, None, stored(bare(CONFIG_MAPS, "x", OURS)))
    assert routed.drain() == ["kind-dc2"]


async def test_a_label_that_was_removed_concerns_its_former_owner() -> None:
    routed = Routed()
    routed.changes(
        "kind-dc1",
        CASSANDRA_DATACENTERS,
        stored(bare(CASSANDRA_DATACENTERS, "x")),
        stored(bare(CASSANDRA_DATACENTERS, "x", OURS)),
    )
    assert routed.drain() == EVERYWHERE


async def test_secrets_and_replication_of_the_control_plane() -> None:
    routed = Routed()
    routed.change("", SECRETS, OURS)
    assert routed.drain() == EVERYWHERE
    routed.change("", REPLICATED_SECRETS, OURS)
    assert routed.drain() == [""]


async def test_a_copy_of_a_secret_concerns_its_context() -> None:
    routed = Routed()
    routed.change("kind-dc1", SECRETS, OURS)
    assert routed.drain() == ["kind-dc1"]


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ({labels.CASS_CLUSTER: "demo", labels.CASS_DATACENTER: "dc1"}, ["kind-dc2"]),
        ({labels.CASS_CLUSTER: "demo", labels.CASS_DATACENTER: "dc2"}, []),
        ({labels.CASS_CLUSTER: "other", labels.CASS_DATACENTER: "dc1"}, []),
        ({}, []),
    ],
)
async def test_a_seed_pod_concerns_the_others_of_its_ring(marks: dict[str, str], expected: list[str]) -> None:
    routed = Routed()
    routed.change("kind-dc1", PODS, marks, status={"podIP": "10.1.0.1"})
    assert routed.drain() == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"podIP": "10.1.0.1"}, ["kind-dc2"]),
        ({"podIP": "10.1.0.1"}, {"podIP": "10.1.0.2"}, ["kind-dc2"]),
        ({"podIP": "10.1.0.1"}, {"podIP": "10.1.0.1", "phase": "Running"}, []),
        ({"phase": "Pending"}, {"phase": "Running"}, []),
    ],
)
async def test_a_seed_pod_concerns_others_when_its_address_changes(
    before: dict[str, Any], after: dict[str, Any], expected: list[str]
) -> None:
    routed = Routed()
    marks = {labels.CASS_CLUSTER: "demo", labels.CASS_DATACENTER: "dc1"}
    old, new = (stored(bare(PODS, "x", marks, status=status)) for status in (before, after))
    routed.changes("kind-dc1", PODS, new, old)
    assert routed.drain() == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"lastServerNodeStarted": "2026-11-23T00:00:00Z"}, [""]),
        ({"cassandraOperatorProgress": "Updating"}, [""]),
        ({"conditions": [{"type": "Updating", "status": "True"}]}, [""]),
        ({"cassandraOperatorProgress": "Ready", "observedGeneration": 1}, [""]),
        ({"conditions": [{"type": "Ready", "status": "True"}]}, [""]),
        ({**DONE, "conditions": [{"type": "Ready", "status": "True"}]}, EVERYWHERE),
        ({**DONE, "conditions": [{"type": "Stopped", "status": "True"}]}, EVERYWHERE),
        ({"datacenterName": "legacy"}, EVERYWHERE),
    ],
)
async def test_a_datacenters_status_concerns_others_only_when_they_may_go_on(
    status: dict[str, Any], expected: list[str]
) -> None:
    routed = Routed()
    old, new = (stored(bare(CASSANDRA_DATACENTERS, "dc1", OURS, status=shown), generation=1) for shown in ({}, status))
    routed.changes("kind-dc1", CASSANDRA_DATACENTERS, new, old)
    assert routed.drain() == expected


@pytest.mark.parametrize("resource", [CASSANDRA_DATACENTERS, CONFIG_MAPS, SECRETS])
async def test_labels_in_a_context_that_is_not_named_concern_nobody(resource: Resource) -> None:
    routed = Routed()
    routed.change("kind-dc3", resource, OURS)
    assert routed.drain() == []


@pytest.mark.parametrize(
    "marks", [labels.owner("other", "ns"), labels.owner("demo", "other"), {labels.CLUSTER_NAME: "demo"}]
)
async def test_labels_that_name_nobody_known_concern_nobody(marks: dict[str, str]) -> None:
    routed = Routed()
    routed.change("kind-dc1", CASSANDRA_DATACENTERS, marks)
    assert routed.drain() == []


async def test_a_cluster_that_is_gone_is_forgotten() -> None:
    routed = Routed()
    routed.cluster(routed.demo, None)
    assert routed.drain() == EVERYWHERE
    routed.change("kind-dc1", CASSANDRA_DATACENTERS, OURS)
    routed.change("kind-dc1", PODS, {labels.CASS_CLUSTER: "demo", labels.CASS_DATACENTER: "dc1"})
    routed.router.queue_all()
    assert routed.drain() == []


async def test_a_context_that_came_or_went_concerns_who_names_it() -> None:
    routed = Routed()
    routed.router.revisit(routed.fleet.cluster("kind-dc1"))
    assert routed.drain() == EVERYWHERE
    routed.router.revisit(routed.fleet.cluster("kind-dc3"))
    assert routed.drain() == []


async def test_a_cluster_that_cannot_be_read_any_more_keeps_its_contexts() -> None:
    routed = Routed()
    routed.cluster(routed.demo, edited(manifest(datacenter("dc1", size="three")), generation=2))
    routed.drain()
    routed.changes("kind-dc2", CASSANDRA_DATACENTERS, None, stored(bare(CASSANDRA_DATACENTERS, "x", OURS)))
    assert routed.drain() == EVERYWHERE


@pytest.mark.parametrize(
    ("context", "namespace", "expected"),
    [("kind-dc1", "ns", [""]), ("kind-dc1", "other", []), ("kind-dc3", "ns", [])],
)
async def test_a_slice_of_all_pods_concerns_the_control_plane(
    context: str, namespace: str, expected: list[str]
) -> None:
    routed = Routed()
    found = slice_of_all_pods("10.1.0.1")
    found["metadata"]["namespace"] = namespace
    routed.changes(context, ENDPOINT_SLICES, stored(found))
    assert routed.drain() == expected


async def test_a_slice_with_the_same_pods_concerns_nobody() -> None:
    routed = Routed()
    one, other = slice_of_all_pods("10.1.0.1", "10.1.0.2"), slice_of_all_pods("10.1.0.2", "10.1.0.1")
    routed.changes("kind-dc1", ENDPOINT_SLICES, stored(other, 6), stored(one))
    assert routed.drain() == []


async def test_the_control_planes_own_cluster_concerns_contact_points() -> None:
    routed = Routed()
    routed.router.revisit(routed.fleet.cluster(""))
    assert routed.drain() == [""]


@pytest.mark.parametrize("resource", [SERVICES, CONTACT_SLICES])
async def test_contact_points_concern_the_control_plane(resource: Resource) -> None:
    routed = Routed()
    routed.change("", resource, OURS)
    assert routed.drain() == [""]


def slice_of_all_pods(*addresses: str) -> dict[str, Any]:
    marks = {
        labels.CASS_CLUSTER: "demo",
        labels.CASS_DATACENTER: "dc1",
        labels.SERVICE_NAME: "demo-dc1-all-pods-service",
        **OURS,  # as the Service has them
    }
    return bare(ENDPOINT_SLICES, "x", marks, endpoints=[{"addresses": [address]} for address in addresses])
