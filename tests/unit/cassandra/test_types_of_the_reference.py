"""What the reference tests of its types: networking, the metadata of datacenters, what counts as a change."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cassandra.changes import Place, forbidden_moves
from controller.cassandra.plan.rollout import allows_update
from controller.cassandra.render import check
from controller.cassandra.snapshot import Snapshot
from controller.kube.objects import encode, parse
from tests.unit.cassandra.samples import cluster, datacenter, manifest, rendered, spec_of, typed

HERE = Place("kind-dc1", "ns")
THERE = Place("kind-dc2", "ns")


def test_k8ssandra_cluster_knows_what_it_asks_for_that_is_not_done() -> None:
    of_cluster, of_datacenter = cluster(spec={"stargate": {}}), cluster(datacenter(stargate={}))
    assert [each.field for each in check(of_cluster).unsupported] == ["spec.stargate"]
    assert [each.field for each in check(of_datacenter).unsupported] == ["spec.cassandra.datacenters[0].stargate"]
    assert check(cluster()).unsupported == ()


@pytest.mark.parametrize(
    ("networking", "expected"),
    [
        (None, None),
        ({"hostNetwork": True}, {"hostNetwork": True}),
        ({"hostNetwork": False, "nodePort": {"native": 9042}}, {"nodePort": {"native": 9042}}),
        (
            {"nodePort": {"native": 1, "nativeSSL": 2, "internode": 3, "internodeSSL": 4}},
            {"nodePort": {"native": 1, "nativeSSL": 2, "internode": 3, "internodeSSL": 4}},
        ),
    ],
)
def test_networking_config_to_cass_networking_config(networking: Any, expected: Any) -> None:
    given = cluster(datacenter(networking=networking))
    found = spec_of(given).get("networking")
    assert (found and {key: value for key, value in found.items() if value}) == expected


def test_unmarshall_datacenter_meta() -> None:
    """Name and place stand among labels, annotations and what is handed down, in one ``metadata``."""
    metadata = {
        "name": "dc1",
        "namespace": "elsewhere",
        "labels": {"a": "1"},
        "annotations": {"b": "2"},
        "commonLabels": {"c": "3"},
        "pods": {"labels": {"d": "4"}, "annotations": {"e": "5"}},
        "services": {"dcService": {"labels": {"f": "6"}}},
    }
    (made,) = rendered(cluster(datacenter(metadata=metadata))).datacenters
    assert (made.name, made.namespace) == ("dc1", "elsewhere")
    assert made.object["metadata"]["labels"]["a"] == "1"
    assert made.object["metadata"]["annotations"]["b"] == "2"
    spec = made.object["spec"]
    assert spec["additionalLabels"] == {"c": "3"}
    assert spec["podTemplateSpec"]["metadata"] == {"labels": {"d": "4"}, "annotations": {"e": "5"}}
    assert spec["additionalServiceConfig"]["dcService"]["additionalLabels"] == {"f": "6"}


@pytest.mark.parametrize(("observed", "changed"), [(0, True), (1, True), (2, False), (3, False)])
def test_generation_changed(observed: int, changed: bool) -> None:
    obj = manifest()
    obj["metadata"]["generation"] = 2
    obj["status"] = {"observedGeneration": observed}
    given = typed(obj)
    snapshot = Snapshot(cluster=given, object=parse(encode(obj)), rendered=rendered(given), views=())
    assert allows_update(snapshot) is changed


@pytest.mark.parametrize(
    ("names", "fields"),
    [
        (["dc1"], []),
        (["dc1", "dc2"], []),
        (["dc1", "dc2", "dc3"], []),
        (["dc1", "dc3"], ["spec.cassandra.datacenters[1].metadata.name"]),
    ],
    ids=["dc_removed", "neither", "dc_added", "both"],
)
def test_dc_removed_and_dc_added(names: list[str], fields: list[str]) -> None:
    given = cluster(*map(datacenter, names))
    assert [each.field for each in forbidden_moves(given, {"dc1": HERE, "dc2": THERE})] == fields
