from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cassandra.compare import canonical_hash
from controller.cassandra.seeds import host_names, seed_slices, with_addresses
from controller.cassandra.types import K8ssandraCluster
from tests.unit.cassandra.samples import cluster, datacenter, rendered


def slices(addresses: list[str], of: K8ssandraCluster | None = None, **options: Any) -> list[dict[str, Any]]:
    owner = of or cluster()
    return seed_slices(owner, rendered(owner).datacenters[0], addresses, **options)


def addresses_in(made: dict[str, Any]) -> list[str]:
    return [address for endpoint in made["endpoints"] for address in endpoint["addresses"]]


def test_a_slice_is_what_cass_operators_service_looks_for() -> None:
    (made,) = slices(
        ["10.0.0.2", "10.0.0.1"],
        cluster(datacenter(metadata={"commonLabels": {"a": "b c"}}), clusterName="My Cluster"),
    )
    assert canonical_hash(made) == made["metadata"]["annotations"].pop("k8ssandra.io/resource-hash")
    assert made == {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "demo-mycluster-dc1-additional-seed-service-ipv4",
            "namespace": "ns",
            "labels": {
                "a": "bc",
                "app.kubernetes.io/created-by": "cass-operator",
                "app.kubernetes.io/instance": "cassandra-MyCluster",
                "app.kubernetes.io/managed-by": "cass-operator",
                "app.kubernetes.io/name": "cassandra",
                "app.kubernetes.io/version": "4.0.17",
                "cassandra.datastax.com/cluster": "MyCluster",
                "cassandra.datastax.com/datacenter": "dc1",
                "endpointslice.kubernetes.io/managed-by": "k8ssandra-operator",
                "k8ssandra.io/cluster-name": "demo",
                "k8ssandra.io/cluster-namespace": "ns",
                "kubernetes.io/service-name": "mycluster-dc1-additional-seed-service",
            },
            "annotations": {},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1", "10.0.0.2"]}],
    }


def test_each_kind_of_address_has_a_slice() -> None:
    made = slices(["fd00::1", "10.0.0.1"])
    assert [(entry["addressType"], addresses_in(entry)) for entry in made] == [
        ("IPv4", ["10.0.0.1"]),
        ("IPv6", ["fd00::1"]),
    ]
    assert made[1]["metadata"]["name"] == "demo-demo-dc1-additional-seed-service-ipv6"


def test_without_addresses_there_is_no_slice() -> None:
    assert slices([]) == []
    assert slices(["cassandra.example.org", ""]) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["2001:DB8:0:0::1", "2001:db8::1"], ["2001:db8::1"]),
        (["::ffff:10.0.0.1", "10.0.0.1"], ["10.0.0.1"]),
        (["10.0.0.10", "10.0.0.9"], ["10.0.0.9", "10.0.0.10"]),
        (["fe80::1%eth0", "127.0.0.1", "::1", "169.254.0.1", "0.0.0.0", "224.0.0.1", "10.0.0.1"], ["10.0.0.1"]),
        (["010.0.0.1", "10.0.0.1/32", " 10.0.0.2", "10.0.0.1"], ["10.0.0.1"]),
    ],
)
def test_addresses_are_canonical_and_only_those_that_a_server_takes(given: list[str], expected: list[str]) -> None:
    assert [address for made in slices(given) for address in addresses_in(made)] == expected


@given(st.permutations(["10.0.0.1", "10.0.0.2", "fd00::1", "10.0.0.1", "fd00::2"]))
def test_the_order_of_addresses_causes_no_write(order: list[str]) -> None:
    assert slices(order) == slices(sorted(order))


def test_an_endpoint_has_at_most_a_hundred_addresses() -> None:
    (made,) = slices([f"10.0.{index // 250}.{index % 250}" for index in range(250)])
    assert [len(endpoint["addresses"]) for endpoint in made["endpoints"]] == [100, 100, 50]


def test_an_old_datacenters_service_is_called_by_its_status() -> None:
    (made,) = slices(["10.0.0.1"], status_name="DC_One")
    assert made["metadata"]["labels"]["kubernetes.io/service-name"] == "demo-dc-one-additional-seed-service"
    assert made["metadata"]["name"] == "demo-demo-dc1-additional-seed-service-ipv4"


def test_a_users_common_label_cannot_hide_whose_slice_it_is() -> None:
    common = dict.fromkeys(("k8ssandra.io/cluster-name", "kubernetes.io/service-name"), "other")
    (made,) = slices(["10.0.0.1"], cluster(datacenter(metadata={"commonLabels": common})))
    assert "other" not in made["metadata"]["labels"].values()


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        ("seed.example.org", True),
        ("Seed.Example.Org.", True),
        ("cassandra-1", True),
        ("10.0.0.1", False),
        ("fd00::1", False),
        ("010.0.0.1", False),  # a resolver would take it for the address 8.0.0.1
        ("1", False),
        ("10.0x7f", False),
        ("fe80::1%eth0", False),
        ("10.0.0.1/32", False),
        ("-", False),
        ("", False),
    ],
)
def test_what_dns_may_know_is_a_host_name(seed: str, expected: bool) -> None:
    assert host_names(cluster(additionalSeeds=[seed, seed])) == [seed] * expected


def test_a_live_slice_gets_other_addresses_and_keeps_the_rest() -> None:
    (live,) = slices(["10.0.0.1"])
    (wanted,) = slices(["10.0.0.2", "10.0.0.3"])
    assert with_addresses(live, ["10.0.0.3", "fd00::1", "10.0.0.2"]) == wanted


def test_a_live_slice_with_the_right_addresses_or_none_to_have_stays() -> None:
    (live,) = slices(["10.0.0.2", "10.0.0.1"])
    assert with_addresses(live, ["10.0.0.1", "10.0.0.2"]) is None
    assert with_addresses(live, ["fd00::1"]) is None
    assert with_addresses({**live, "addressType": "FQDN"}, ["10.0.0.3"]) is None
