from __future__ import annotations

import msgspec
import pytest

from controller.cassandra.types import CassandraDatacenter, K8ssandraCluster
from controller.fleet.types import ClientConfig
from controller.kube.objects import decode
from tests.unit.cassandra.samples import STORAGE, datacenter, manifest, typed

OBSERVED = b"""{"metadata": {"name": "dc1", "uid": "u"}, "spec": {"size": 3},
  "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "", "message": "",
                             "lastTransitionTime": "2026-01-01T00:00:00Z"}],
             "cassandraOperatorProgress": "Ready", "observedGeneration": 2, "quietPeriod": null, "other": {},
             "nodeStatuses": {"demo-dc1-default-sts-0": {"hostID": "h", "ip": "10.0.0.1", "rack": "default"}}}}"""


def test_a_datacenters_status_is_read_as_cass_operator_writes_it() -> None:
    status = decode(OBSERVED, CassandraDatacenter).status
    assert (status.is_true("Ready"), status.is_true("Stopped")) == (True, False)
    assert status.condition("Stopped") is None
    assert (status.cassandra_operator_progress, status.observed_generation) == ("Ready", 2)
    assert status.node_statuses["demo-dc1-default-sts-0"].host_id == "h"


def test_a_copied_status_keeps_what_the_published_schema_requires() -> None:
    status = decode(OBSERVED, CassandraDatacenter).status
    assert msgspec.to_builtins(status)["conditions"] == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ]


def test_a_condition_without_a_time_is_written_without_one() -> None:
    raw = b'{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}'
    (condition,) = msgspec.to_builtins(decode(raw, CassandraDatacenter).status)["conditions"]
    assert condition == {"type": "Ready", "status": "True", "reason": "", "message": ""}


def test_names_of_a_cluster_and_of_its_datacenters() -> None:
    given = typed(manifest(datacenter("dc1", datacenterName="DC One"), datacenter("dc2"), clusterName="My Cluster"))
    assert given.spec.cassandra is not None
    assert (given.name, given.namespace, given.cass_name) == ("demo", "ns", "My Cluster")
    assert [entry.cass_name for entry in given.spec.cassandra.datacenters] == ["DC One", "dc2"]
    assert K8ssandraCluster().cass_name == ""


def test_a_specification_is_written_as_it_was_read() -> None:
    given = manifest(datacenter(config={"jvmOptions": {"gc": "ZGC", "heapSize": "1Gi"}}, mgmtAPIHeap=1))
    written = msgspec.to_builtins(typed(given))
    assert written["spec"] == given["spec"]
    assert written["spec"]["cassandra"]["storageConfig"] == STORAGE


def test_what_is_read_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        typed(manifest()).spec.auth = False  # type: ignore[misc]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"metadata": {"name": "a"}, "spec": {"contextName": "kind-1"}}', "kind-1"),
        (b'{"metadata": {"name": "a"}, "spec": {"contextName": ""}}', "a"),
        (b'{"metadata": {"name": "a"}, "spec": {"contextName": null}}', "a"),
        (b'{"metadata": {"name": "a"}, "spec": null}', "a"),
    ],
)
def test_a_client_config_without_a_context_name_is_its_own(raw: bytes, expected: str) -> None:
    assert decode(raw, ClientConfig).context_name == expected
