"""The shape of core types, which our definitions let pass: what a definition with their schemas would refuse."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cassandra.render.core_types import TABLE, check, fields
from tests.unit.cassandra.samples import cluster, datacenter, rendered

DC = "spec.cassandra.datacenters[0]"
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def container(**given: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", **given}]}


WRONG: dict[str, dict[str, Any]] = {
    "containers[0].name": {"containers": [{}]},
    "containers[0].image": container(image=1),
    "containers[0].command[0]": container(command=[1]),
    "containers[0].tty": container(tty="true"),
    "containers[0].env[0].value": container(env=[{"name": "A", "value": 1}]),
    "containers[0].env[0].valueFrom.secretKeyRef.key": container(
        env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]
    ),
    "containers[0].envFrom[0].configMapRef": container(envFrom=[{"configMapRef": "x"}]),
    "containers[0].ports[0].containerPort": container(ports=[{"containerPort": 2**31}]),
    "containers[0].ports[1].containerPort": container(
        ports=[{"containerPort": 1}, {"containerPort": 1, "protocol": "TCP"}]
    ),
    "containers[0].livenessProbe.httpGet.port": container(livenessProbe={"httpGet": {"port": 1.5}}),
    "containers[0].readinessProbe.periodSeconds": container(readinessProbe={"periodSeconds": "10"}),
    "containers[0].lifecycle.preStop.exec.command": container(lifecycle={"preStop": {"exec": {"command": "sh"}}}),
    "containers[0].securityContext.capabilities.drop": container(securityContext={"capabilities": {"drop": "ALL"}}),
    "containers[0].securityContext.seccompProfile.type": container(securityContext={"seccompProfile": {}}),
    "containers[0].volumeMounts[0].name": container(volumeMounts=[{"mountPath": "/a"}]),
    "containers[0].resources.claims[1].name": container(resources={"claims": [{"name": "a"}, {"name": "a"}]}),
    "initContainers[0].resources.limits.cpu": {"initContainers": [{"name": "i", "resources": {"limits": {"cpu": []}}}]},
    "tolerations[0].key": {"tolerations": [{"key": 1}]},
    "containers[0].args[1]": container(args=["a", None]),
    "podSecurityContext.runAsUser": {"podSecurityContext": {"runAsUser": "0"}},
    "podSecurityContext.sysctls[0].value": {"podSecurityContext": {"sysctls": [{"name": "a"}]}},
    "resources.requests": {"resources": {"requests": "1Gi"}},
    "racks[0].affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey": {
        "racks": [
            {
                "name": "r1",
                "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}},
            }
        ]
    },
    "extraVolumes.volumes[0].emptyDir.sizeLimit": {
        "extraVolumes": {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "big"}}]}
    },
    "extraVolumes.volumes[0].projected.sources[0].secret.items[0].path": {
        "extraVolumes": {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"items": [{"key": "k"}]}}]}}]}
    },
    "extraVolumes.pvcs[0].pvcSpec.accessModes": {
        "extraVolumes": {"pvcs": [{"name": "p", "mountPath": "/p", "pvcSpec": {**CLAIM, "accessModes": "all"}}]}
    },
    "extraVolumes.pvcs[0].volumeSource.nfs.server": {
        "extraVolumes": {"pvcs": [{"name": "p", "mountPath": "/p", "volumeSource": {"nfs": {"path": "/"}}}]}
    },
    "storageConfig.cassandraDataVolumeClaimSpec.dataSource.kind": {
        "storageConfig": {"cassandraDataVolumeClaimSpec": {**CLAIM, "dataSource": {"name": "snapshot"}}}
    },
}


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_shape_is_named_at_the_level_where_it_is_written(field: str) -> None:
    of_datacenter = rendered(cluster(datacenter(**WRONG[field]), datacenter("dc2")))
    of_cluster = rendered(cluster(datacenter(), **WRONG[field]))
    assert [error.field for error in of_datacenter.errors] == [f"{DC}.{field}"]
    assert [error.field for error in of_cluster.errors] == [f"spec.cassandra.{field}"]
    assert [entry.name for entry in of_datacenter.datacenters] == ["dc2"]
    assert all(error.remedy for error in of_cluster.errors)


def test_what_newer_kubernetes_versions_add_is_let_through() -> None:
    given = container(novelty={"a": [1]}, resources={"claims": [{"name": "a", "novelty": 1}]}, stdin=True)
    assert rendered(cluster(datacenter(**given))).errors == ()


def test_null_is_absent_as_it_is_for_the_api() -> None:
    given = container(image=None, env=None, resources={"limits": {"cpu": None}}, livenessProbe={"exec": None})
    assert rendered(cluster(datacenter(**given))).errors == ()


def test_two_ports_of_one_number_differ_by_their_protocol() -> None:
    ports = [{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]
    assert list(check(ports, "[ContainerPort]@containerPort,protocol", "ports")) == []


def test_the_table_is_closed() -> None:
    """Every type that a field names is in it."""
    for line in TABLE.strip().replace("\n  ", " ").split("\n"):
        for kind, _ in fields(line.split()[0]).values():
            list(check({}, kind, "x"))  # a type that is not there would raise
