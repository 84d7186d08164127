from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from controller.cassandra.secrets import replicated_secret, superuser_secret, superuser_secret_name
from tests.unit.cassandra.samples import cluster, datacenter

OWNER = {
    "apiVersion": "k8ssandra.io/v1alpha1",
    "kind": "K8ssandraCluster",
    "name": "demo",
    "uid": "uid-1",
    "controller": True,
    "blockOwnerDeletion": True,
}
NAMES = {"k8ssandra.io/cluster-name": "demo", "k8ssandra.io/cluster-namespace": "ns"}
REPLICATED = {"k8ssandra.io/replicated-by": "k8ssandracluster-controller", **NAMES}


@pytest.mark.parametrize(
    ("expected", "cassandra"),
    [
        ("demo-superuser", {}),
        ("mycluster-superuser", {"clusterName": "My Cluster"}),
        ("mine", {"superuserSecretRef": {"name": "mine"}, "clusterName": "My Cluster"}),
        ("demo-superuser", {"superuserSecretRef": {}}),
    ],
)
def test_the_superusers_secret_is_called(expected: str, cassandra: dict[str, Any]) -> None:
    assert superuser_secret_name(cluster(**cassandra)) == expected


def test_the_superuser_is_called_as_its_secret() -> None:
    made = superuser_secret(cluster(), "p-4")
    data = {key: b64decode(value) for key, value in made["data"].items()}
    assert data == {"username": b"demo-superuser", "password": b"p-4"}
    assert (made["apiVersion"], made["kind"], made["type"]) == ("v1", "Secret", "Opaque")


def test_labels_and_owner_of_the_superusers_secret() -> None:
    common = {"commonLabels": {"a": "1", **dict.fromkeys(NAMES, "x")}, "commonAnnotations": {"b": "2"}}
    assert superuser_secret(cluster(metadata=common), "p")["metadata"] == {
        "name": "demo-superuser",
        "namespace": "ns",
        "labels": {"a": "1", **REPLICATED},
        "annotations": {"b": "2"},
        "ownerReferences": [OWNER],
    }


def test_a_replicated_secret_has_a_target_for_each_cluster() -> None:
    given = cluster(datacenter("dc1"), datacenter("dc2", metadata={"namespace": "other"}))
    assert replicated_secret(given) == {
        "apiVersion": "replication.k8ssandra.io/v1alpha1",
        "kind": "ReplicatedSecret",
        "metadata": {"name": "demo", "namespace": "ns", "labels": NAMES, "ownerReferences": [OWNER]},
        "spec": {
            "selector": {"matchLabels": REPLICATED},
            "replicationTargets": [
                {"k8sContextName": "kind-dc1"},
                {"k8sContextName": "kind-dc2", "namespace": "other"},
            ],
        },
    }


@pytest.mark.parametrize(
    ("datacenters", "expected"),
    [
        ([{"k8sContext": ""}], []),
        ([{"k8sContext": "", "metadata": {"namespace": "ns"}}], []),
        ([{"k8sContext": "", "metadata": {"namespace": "other"}}], [{"namespace": "other"}]),
        ([{"k8sContext": "a"}, {"k8sContext": "a"}], [{"k8sContextName": "a"}]),
        ([{"k8sContext": "a"}, {"k8sContext": "a", "metadata": {"namespace": "ns"}}], [{"k8sContextName": "a"}]),
        ([{"k8sContext": "b"}, {"k8sContext": "a"}], [{"k8sContextName": "b"}, {"k8sContextName": "a"}]),
    ],
)
def test_targets_are_those_that_are_not_the_source_each_once(
    datacenters: list[dict[str, Any]], expected: list[dict[str, str]]
) -> None:
    given = cluster(*(datacenter(f"dc{index}", **fields) for index, fields in enumerate(datacenters)))
    made = replicated_secret(given)
    assert made is not None
    assert made["spec"]["replicationTargets"] == expected


def test_nothing_is_replicated_with_external_secrets() -> None:
    assert replicated_secret(cluster(spec={"secretsProvider": "external"})) is None
