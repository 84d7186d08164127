from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cassandra.compare import canonical_hash
from controller.cassandra.contact_points import Pods, Port, contact_points, is_of_all_pods, pods
from controller.cassandra.secrets import owner_reference
from controller.cassandra.types import K8ssandraCluster
from controller.kube.objects import Object, encode, parse
from controller.kube.resources import ENDPOINT_SLICES
from tests.unit.cassandra.caches import bare, stored
from tests.unit.cassandra.samples import cluster, datacenter, rendered

CQL = Port("native", 9042, "TCP")
TWO = Pods(("10.1.0.1", "10.1.0.2"), (), (CQL,))


def endpoint(address: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions}


def all_pods(*endpoints: dict[str, Any], name: str = "x", **content: Any) -> Object:
    ports = [{"name": "native", "port": 9042, "protocol": "TCP"}]
    return stored(bare(ENDPOINT_SLICES, name, **{"endpoints": list(endpoints), "ports": ports, **content}))


def made(
    found: Pods, of: K8ssandraCluster | None = None, **options: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    owner = of or cluster()
    return contact_points(owner, rendered(owner).datacenters[0], found, **options)


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_slices_of_a_service_are_read_as_one() -> None:
    found = pods([all_pods(endpoint("10.1.0.2")), all_pods(endpoint("10.1.0.1"), endpoint("fd00::1"), name="y")])
    assert found == Pods(("10.1.0.1", "10.1.0.2", "fd00::1"), (), (CQL,))


@pytest.mark.parametrize(
    ("conditions", "serves"),
    [
        ({}, True),
        ({"ready": True}, True),
        ({"ready": False}, False),
        ({"ready": True, "serving": False}, False),  # published although it is not ready
        ({"ready": True, "serving": True, "terminating": True}, False),
        ({"ready": False, "serving": True}, True),
    ],
)
def test_a_pod_serves_when_it_takes_requests_and_is_going_to(conditions: dict[str, bool], serves: bool) -> None:
    found = pods([all_pods(endpoint("10.1.0.1", **conditions))])
    assert (found.serving, found.waiting) == ((("10.1.0.1",), ()) if serves else ((), ("10.1.0.1",)))


def test_an_endpoint_on_its_way_between_two_slices_serves() -> None:
    found = pods([all_pods(endpoint("10.1.0.1", ready=False)), all_pods(endpoint("10.1.0.1", ready=True), name="y")])
    assert (found.serving, found.waiting) == (("10.1.0.1",), ())


@given(st.permutations([endpoint("10.1.0.1"), endpoint("10.1.0.2"), endpoint("fd00::1")]), st.booleans())
def test_the_order_of_pods_and_slices_does_not_matter(order: list[dict[str, Any]], swapped: bool) -> None:
    one, other = all_pods(*order[:2]), all_pods(*order[2:], name="y")
    assert pods([other, one] if swapped else [one, other]).serving == ("10.1.0.1", "10.1.0.2", "fd00::1")


@pytest.mark.parametrize(
    "broken",
    [
        all_pods(addressType=4, ports="none"),
        all_pods({"addresses": "10.1.0.1"}),
        all_pods(endpoint("127.0.0.1"), endpoint("169.254.169.254"), endpoint("name.example.org")),
        all_pods(endpoints=None),
    ],
)
def test_what_cannot_be_read_or_reached_leads_nowhere(broken: Object) -> None:
    assert not pods([broken])


def test_ports_that_no_service_may_have_are_left_out() -> None:
    ports = [
        {"name": "native", "port": 9042},
        {"name": "native", "port": 1},
        {"name": "Not A Name", "port": 2},
        {"name": "zero", "port": 0},
        {"name": "odd", "port": 3, "protocol": "QUIC"},
        {"name": "", "port": 4},
    ]
    assert pods([all_pods(endpoint("10.1.0.1"), ports=ports)]).ports == (CQL,)


def test_a_placeholder_without_pods_says_nothing_of_ports() -> None:
    empty = all_pods(name="a", ports=[{"name": "native", "port": 1}])
    assert pods([empty, all_pods(endpoint("10.1.0.1"))]).ports == (CQL,)


def test_only_the_service_of_all_pods_counts() -> None:
    def of(service: str) -> Object:
        return parse(encode({"metadata": {"name": "x", "labels": {"kubernetes.io/service-name": service}}}))

    assert is_of_all_pods(of("demo-dc1-all-pods-service"))
    assert not is_of_all_pods(of("demo-dc1-additional-seed-service"))


# ── rendering ───────────────────────────────────────────────────────────────────────────────────────


def test_the_service_is_headless_and_leads_to_no_pods_of_its_own() -> None:
    given = cluster(clusterName="My Cluster", metadata={"commonLabels": {"a": "b"}, "commonAnnotations": {"c": "d"}})
    service, _ = made(TWO, given)
    stamp = service["metadata"]["annotations"].pop("k8ssandra.io/resource-hash")
    ownerless = {key: value for key, value in service["metadata"].items() if key != "ownerReferences"}
    assert stamp == canonical_hash({**service, "metadata": ownerless})  # it says the same for whichever UID
    assert service == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "mycluster-dc1-contact-points-service",
            "namespace": "ns",
            "labels": {
                "a": "b",
                "app.kubernetes.io/component": "cassandra",
                "app.kubernetes.io/name": "k8ssandra-operator",
                "app.kubernetes.io/part-of": "k8ssandra",
                "k8ssandra.io/cluster-name": "demo",
                "k8ssandra.io/cluster-namespace": "ns",
                "k8ssandra.io/datacenter": "dc1",
            },
            "annotations": {"c": "d"},
            "ownerReferences": [owner_reference(given)],
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "ports": [{"name": "native", "port": 9042, "protocol": "TCP"}],
        },
    }


def test_the_slice_has_all_addresses_in_one_endpoint_as_the_reference_writes_it() -> None:
    given = cluster(metadata={"commonLabels": {"a": "b"}})
    _, (slice_,) = made(TWO, given)
    slice_["metadata"].pop("annotations")
    assert slice_ == {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "demo-dc1-contact-points-service-ipv4",
            "namespace": "ns",
            "labels": {
                "app.kubernetes.io/component": "cassandra",
                "app.kubernetes.io/name": "k8ssandra-operator",
                "app.kubernetes.io/part-of": "k8ssandra",
                "endpointslice.kubernetes.io/managed-by": "k8ssandra-operator",
                "k8ssandra.io/cluster-name": "demo",
                "k8ssandra.io/cluster-namespace": "ns",
                "k8ssandra.io/datacenter": "dc1",
                "kubernetes.io/service-name": "demo-dc1-contact-points-service",
            },
            "ownerReferences": [owner_reference(given)],
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.0.1", "10.1.0.2"]}],
        "ports": [{"name": "native", "port": 9042, "protocol": "TCP"}],
    }


def test_who_takes_no_requests_is_not_published() -> None:
    _, (slice_,) = made(Pods(("10.1.0.1",), ("10.1.0.2",), (CQL,)))
    assert slice_["endpoints"] == [
        {"addresses": ["10.1.0.1"]},
        {"addresses": ["10.1.0.2"], "conditions": {"ready": False, "serving": False}},
    ]


def test_each_family_has_a_slice_and_an_endpoint_at_most_a_hundred_addresses() -> None:
    many = tuple(f"10.1.{index // 250}.{index % 250}" for index in range(250))
    _, slices = made(Pods((*many, "fd00::1"), (), (CQL,)))
    assert [(each["addressType"], [len(one["addresses"]) for one in each["endpoints"]]) for each in slices] == [
        ("IPv4", [100, 100, 50]),
        ("IPv6", [1]),
    ]


def test_an_old_datacenters_service_is_called_by_its_status() -> None:
    service, _ = made(TWO, cluster(datacenter("dc1")), status_name="DC_One")
    assert service["metadata"]["name"] == "demo-dc-one-contact-points-service"
