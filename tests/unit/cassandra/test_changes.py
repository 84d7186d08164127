from __future__ import annotations

import copy
from typing import Any

import pytest

from controller.cassandra.changes import Adjusted, Place, adjust, forbidden_moves
from controller.cassandra.compare import canonical_hash
from controller.cassandra.types import K8ssandraCluster
from tests.unit.cassandra.samples import cluster, datacenter, rendered, spec_of

DC = "spec.cassandra.datacenters[0]"


def over(live: dict[str, Any], given: K8ssandraCluster) -> Adjusted:
    """``given`` written over a live specification."""
    return adjust(given, rendered(given).datacenters[0], live)


def test_what_is_live_already_is_written_unchanged() -> None:
    given = cluster(racks=[{"name": "r1"}])
    made = over(spec_of(given), given)
    assert made == Adjusted(rendered(given).datacenters[0].object)


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ({"clusterName": "One"}, {"clusterName": "Two"}, "spec.cassandra.clusterName"),
        ({"racks": [{"name": "r1"}, {"name": "r2"}]}, {"racks": [{"name": "r1"}]}, f"{DC}.racks"),
        ({"racks": [{"name": "r1"}, {"name": "r2"}]}, {"racks": [{"name": "r2"}, {"name": "r1"}]}, f"{DC}.racks"),
        ({}, {"racks": [{"name": "r1"}]}, f"{DC}.racks"),
        (
            {},
            {"storageConfig": {"cassandraDataVolumeClaimSpec": {"resources": {"requests": {"storage": "4Gi"}}}}},
            f"{DC}.storageConfig.cassandraDataVolumeClaimSpec.resources.requests.storage",
        ),
        (
            {"config": {"cassandraYaml": {"num_tokens": 16}}},
            {"config": {"cassandraYaml": {"num_tokens": 32}}},
            f"{DC}.config.cassandraYaml.num_tokens",
        ),
        (
            {"serverVersion": "3.11.14"},
            {"config": {"cassandraYaml": {"num_tokens": 16}}},
            f"{DC}.config.cassandraYaml.num_tokens",
        ),
    ],
)
def test_what_cannot_change_is_named(before: dict[str, Any], after: dict[str, Any], path: str) -> None:
    made = over(
        spec_of(cluster(superuserSecretRef={"name": "s"}, **before)), cluster(superuserSecretRef={"name": "s"}, **after)
    )
    assert [problem.field for problem in made.problems] == [path]


def test_a_datacenters_name_inside_cassandra_cannot_change() -> None:
    made = over(spec_of(cluster(datacenter(datacenterName="One"))), cluster(datacenter(datacenterName="Two")))
    assert [problem.field for problem in made.problems] == [f"{DC}.datacenterName"]


def test_racks_may_be_added_at_the_end() -> None:
    before = spec_of(cluster(racks=[{"name": "r1"}]))
    assert over(before, cluster(racks=[{"name": "r1"}, {"name": "r2"}])).problems == ()
    assert over(spec_of(cluster()), cluster(racks=[{"name": "default"}, {"name": "r2"}])).problems == ()


def test_a_superuser_stays_who_it_is() -> None:
    given = cluster(superuserSecretRef={"name": "new"})
    before = copy.deepcopy(given)
    made = over(spec_of(cluster(superuserSecretRef={"name": "old"})), given)
    assert made.object["spec"]["superuserSecretName"] == "old"
    assert [note.field for note in made.kept] == ["spec.cassandra.superuserSecretRef"]
    assert made.object["metadata"]["annotations"]["k8ssandra.io/resource-hash"] == canonical_hash(made.object)
    assert given == before


def test_an_upgrade_from_cassandra_3_keeps_the_number_of_tokens() -> None:
    made = over(spec_of(cluster(serverVersion="3.11.14")), cluster(serverVersion="4.0.17"))
    assert made.object["spec"]["config"]["cassandra-yaml"]["num_tokens"] == 256
    assert (made.problems, [note.reason for note in made.kept]) == ((), ["Immutable"])


def test_a_live_specification_of_any_shape_is_compared() -> None:
    for odd in ({}, {"config": None, "racks": None}, {"config": {"cassandra-yaml": []}, "clusterName": "demo"}):
        assert isinstance(over(odd, cluster()), Adjusted)


# ── names and places ────────────────────────────────────────────────────────────────────────────────

HERE = {"dc1": Place("kind-dc1", "ns"), "dc2": Place("kind-dc2", "ns")}


@pytest.mark.parametrize(
    ("datacenters", "expected"),
    [
        ([datacenter("dc1"), datacenter("dc2")], []),
        ([datacenter("dc1")], []),
        ([datacenter("dc1"), datacenter("dc2"), datacenter("dc3")], []),
        ([datacenter("dc1"), datacenter("dc3")], ["spec.cassandra.datacenters[1].metadata.name"]),
        ([datacenter("dc1", k8sContext="other"), datacenter("dc2")], [f"{DC}.k8sContext"]),
        ([datacenter("dc1", k8sContext=""), datacenter("dc2")], [f"{DC}.k8sContext"]),
        ([datacenter("dc1", metadata={"namespace": "other"}), datacenter("dc2")], [f"{DC}.metadata.namespace"]),
        ([datacenter("dc1", metadata={"namespace": "ns"}), datacenter("dc2")], []),
    ],
)
def test_datacenters_come_or_go_but_do_not_move(datacenters: list[dict[str, Any]], expected: list[str]) -> None:
    assert [problem.field for problem in forbidden_moves(cluster(*datacenters), HERE)] == expected


def test_a_cluster_without_a_specification_moves_nothing() -> None:
    assert forbidden_moves(K8ssandraCluster(), HERE) == ()
