"""The sample manifest, whole: three datacenters in three clusters."""

from __future__ import annotations

import copy
import time
from typing import Any

import msgspec
import yaml

from controller.cassandra.compare import canonical_hash
from controller.cassandra.render import Facts, render
from controller.cassandra.types import K8ssandraCluster
from tests.unit.cassandra.samples import cluster, datacenter, rendered, typed

SAMPLE = """
apiVersion: k8ssandra.io/v1alpha1
kind: K8ssandraCluster
metadata: {name: demo, namespace: k8ssandra-operator}
spec:
  cassandra:
    serverVersion: "4.0.1"
    storageConfig:
      cassandraDataVolumeClaimSpec:
        storageClassName: standard
        accessModes: [ReadWriteOnce]
        resources: {requests: {storage: 5Gi}}
    datacenters:
      - metadata: {name: dc1}
        k8sContext: kind-k8ssandra-1
        size: 3
      - metadata: {name: dc2}
        k8sContext: kind-k8ssandra-2
        size: 3
      - metadata: {name: dc3}
        k8sContext: kind-k8ssandra-3
        size: 3
"""


def expected(name: str, *, first: bool) -> dict[str, Any]:
    """The CassandraDatacenter without its hash."""
    options = ["-Dcassandra.allow_alter_rf_during_range_movement=true"]
    if first:
        options.append("-Dcassandra.system_distributed_replication=dc1:3")
    return {
        "apiVersion": "cassandra.datastax.com/v1beta1",
        "kind": "CassandraDatacenter",
        "metadata": {
            "name": name,
            "namespace": "k8ssandra-operator",
            "labels": {
                "app.kubernetes.io/name": "k8ssandra-operator",
                "app.kubernetes.io/part-of": "k8ssandra",
                "app.kubernetes.io/component": "cassandra",
                "k8ssandra.io/cleaned-up-by": "k8ssandracluster-controller",
                "k8ssandra.io/cluster-name": "demo",
                "k8ssandra.io/cluster-namespace": "k8ssandra-operator",
            },
            "annotations": {} if first else {"cassandra.datastax.com/skip-user-creation": "true"},
            "finalizers": ["k8ssandracluster.k8ssandra.io/finalizer"],
        },
        "spec": {
            "size": 3,
            "serverVersion": "4.0.1",
            "serverType": "cassandra",
            "clusterName": "demo",
            "superuserSecretName": "demo-superuser",
            "config": {
                "cassandra-yaml": {
                    "authenticator": "PasswordAuthenticator",
                    "authorizer": "CassandraAuthorizer",
                    "role_manager": "CassandraRoleManager",
                    "num_tokens": 16,
                },
                "cassandra-env-sh": {"additional-jvm-opts": options},
            },
            "storageConfig": {
                "cassandraDataVolumeClaimSpec": {
                    "storageClassName": "standard",
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "5Gi"}},
                },
                "additionalVolumes": [
                    {
                        "name": "metrics-agent-config",
                        "mountPath": "/opt/management-api/configs",
                        "volumeSource": {
                            "configMap": {
                                "name": f"demo-{name}-metrics-agent-config",
                                "items": [{"key": "metrics-collector.yaml", "path": "metrics-collector.yaml"}],
                            }
                        },
                    }
                ],
            },
            "podTemplateSpec": {
                "spec": {
                    "containers": [{"name": "cassandra", "env": [{"name": "MGMT_API_DISABLE_MCAC", "value": "true"}]}]
                }
            },
            "additionalServiceConfig": {
                "allpodsService": {
                    "additionalLabels": {
                        "k8ssandra.io/cluster-name": "demo",
                        "k8ssandra.io/cluster-namespace": "k8ssandra-operator",
                    }
                }
            },
        },
    }


def test_the_sample_becomes_three_complete_datacenters() -> None:
    made = rendered(typed(yaml.safe_load(SAMPLE)))
    for name, entry in zip(("dc1", "dc2", "dc3"), made.datacenters, strict=True):
        obj = copy.deepcopy(entry.object)
        assert obj["metadata"]["annotations"].pop("k8ssandra.io/resource-hash") == canonical_hash(obj)
        assert expected(name, first=name == "dc1") == obj
    assert (made.errors, made.unsupported) == ((), ())


def test_what_else_is_known_of_the_samples_datacenters() -> None:
    made = rendered(typed(yaml.safe_load(SAMPLE)))
    assert made.order == ("dc1", "dc2", "dc3")
    second = made.datacenters[1]
    assert (
        second.name,
        second.cass_name,
        second.namespace,
        second.context,
    ) == ("dc2", "dc2", "k8ssandra-operator", "kind-k8ssandra-2")
    assert (second.size, second.stopped, second.version, second.founds) == (3, False, "4.0.1", False)
    assert [entry["metadata"]["name"] for entry in second.config_maps] == ["demo-dc2-metrics-agent-config"]


def test_an_old_version_has_no_metrics_and_is_rendered_all_the_same() -> None:
    made = rendered(typed(yaml.safe_load(SAMPLE)))
    assert [(warning.reason, warning.field) for warning in made.warnings] == [
        ("NoMetrics", "spec.cassandra.serverVersion")
    ]
    assert len(made.datacenters) == 3


def test_rendering_twice_gives_the_same_bytes() -> None:
    facts = Facts(initial_system_replication={"dc1": 3})
    once, twice = (msgspec.json.encode(render(typed(yaml.safe_load(SAMPLE)), facts)) for _ in range(2))
    assert once == twice


def test_the_order_of_keys_in_the_manifest_changes_no_hash() -> None:
    def reverse(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reverse(value[key]) for key in reversed(value)}
        return [reverse(item) for item in value] if isinstance(value, list) else value

    given = yaml.safe_load(SAMPLE)
    given["spec"]["cassandra"]["config"] = {"cassandraYaml": {"a": 1, "b": {"c": 1, "d": 2}}}
    hashes = [
        [
            entry.object["metadata"]["annotations"]["k8ssandra.io/resource-hash"]
            for entry in rendered(typed(obj)).datacenters
        ]
        for obj in (given, reverse(given))
    ]
    assert hashes[0] == hashes[1]


def test_what_is_rendered_shares_nothing_that_a_reader_could_spoil() -> None:
    given = cluster(datacenter("dc1"), datacenter("dc2"))
    first = rendered(given).datacenters[0].object
    first["spec"]["config"]["cassandra-yaml"]["num_tokens"] = 1
    first["spec"]["storageConfig"]["cassandraDataVolumeClaimSpec"]["accessModes"].append("x")
    assert rendered(given).datacenters[0].object["spec"]["config"]["cassandra-yaml"]["num_tokens"] == 16
    claim = rendered(given).datacenters[0].object["spec"]["storageConfig"]["cassandraDataVolumeClaimSpec"]
    assert claim["accessModes"] == ["ReadWriteOnce"]


def test_three_datacenters_are_rendered_within_three_milliseconds() -> None:
    given, facts = typed(yaml.safe_load(SAMPLE)), Facts(initial_system_replication={"dc1": 3})
    render(given, facts)
    best = min(_seconds(given, facts) for _ in range(20))
    assert best < 3e-3


def _seconds(given: K8ssandraCluster, facts: Facts) -> float:
    started = time.perf_counter()
    render(given, facts)
    return time.perf_counter() - started
