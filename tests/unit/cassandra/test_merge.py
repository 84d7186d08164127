"""The rules of inheritance, one by one: what the cluster says, what the datacenter says, what comes of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cassandra.merge import merge, merge_free
from controller.cassandra.types import ClusterMetadata, DatacenterOptions

_TABLE: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    # name, cluster, datacenter, expected
    ("absent inherits", {"serverVersion": "4.0.1"}, {}, {"serverVersion": "4.0.1"}),
    ("datacenter wins", {"serverVersion": "4.0.1"}, {"serverVersion": "4.1.0"}, {"serverVersion": "4.1.0"}),
    ("empty text inherits", {"serverImage": "a"}, {"serverImage": ""}, {"serverImage": "a"}),
    ("cluster may be silent", {}, {"serverImage": "b"}, {"serverImage": "b"}),
    (
        "objects merge field by field",
        {"networking": {"hostNetwork": True}},
        {"networking": {"nodePort": {"native": 30001}}},
        {"networking": {"hostNetwork": True, "nodePort": {"native": 30001}}},
    ),
    (
        "false overrides true",
        {"networking": {"hostNetwork": True}},
        {"networking": {"hostNetwork": False}},
        {"networking": {"hostNetwork": False}},
    ),
    (
        "false overrides at the top too",
        {"softPodAntiAffinity": True},
        {"softPodAntiAffinity": False},
        {"softPodAntiAffinity": False},
    ),
    (
        "a plain boolean cannot be switched off",
        {"dseWorkloads": {"searchEnabled": True}},
        {"dseWorkloads": {"searchEnabled": False, "graphEnabled": True}},
        {"dseWorkloads": {"searchEnabled": True, "graphEnabled": True}},
    ),
    ("a quantity wins", {"mgmtAPIHeap": "64Mi"}, {"mgmtAPIHeap": "128Mi"}, {"mgmtAPIHeap": "128Mi"}),
    ("a quantity of zero wins", {"mgmtAPIHeap": "64Mi"}, {"mgmtAPIHeap": "0"}, {"mgmtAPIHeap": "0"}),
    (
        "a number of zero inherits",
        {"config": {"jvmOptions": {"gc_g1_max_gc_pause_ms": 300}}},
        {"config": {"jvmOptions": {"gc_g1_max_gc_pause_ms": 0}}},
        {"config": {"jvmOptions": {"gc_g1_max_gc_pause_ms": 300}}},
    ),
    (
        "zero stays where nothing is inherited",
        {},
        {"config": {"jvmOptions": {"gc_g1_max_gc_pause_ms": 0}}},
        {"config": {"jvmOptions": {"gc_g1_max_gc_pause_ms": 0}}},
    ),
    (
        "a datacenter's JVM options without gc reset it to the default",
        {"config": {"jvmOptions": {"gc": "ZGC"}}},
        {"config": {"jvmOptions": {"vm_use_numa": True}}},
        {"config": {"jvmOptions": {"vm_use_numa": True}}},  # G1GC is the default and is not written
    ),
    (
        "gc is inherited where there are no JVM options",
        {"config": {"jvmOptions": {"gc": "ZGC"}}},
        {"config": {"cassandraYaml": {"a": 1}}},
        {"config": {"jvmOptions": {"gc": "ZGC"}, "cassandraYaml": {"a": 1}}},
    ),
    (
        "a list replaces a list",
        {"tolerations": [{"key": "a"}, {"key": "b"}]},
        {"tolerations": [{"key": "c"}]},
        {"tolerations": [{"key": "c"}]},
    ),
    ("an empty list replaces a list", {"tolerations": [{"key": "a"}]}, {"tolerations": []}, {"tolerations": []}),
    (
        "an empty list of additional options replaces",
        {"config": {"jvmOptions": {"additionalOptions": ["-Da"]}}},
        {"config": {"jvmOptions": {"additionalOptions": []}}},
        {"config": {"jvmOptions": {"additionalOptions": []}}},
    ),
    (
        "racks merge by name, the cluster's order first",
        {"racks": [{"name": "r1", "nodeAffinityLabels": {"zone": "a"}}, {"name": "r2"}]},
        {"racks": [{"name": "r3"}, {"name": "r1", "nodeAffinityLabels": {"disk": "ssd"}}]},
        {"racks": [{"name": "r1", "nodeAffinityLabels": {"zone": "a", "disk": "ssd"}}, {"name": "r2"}, {"name": "r3"}]},
    ),
    (
        "limits and requests are united, a zero wins",
        {"resources": {"requests": {"cpu": 1, "memory": "4Gi"}, "limits": {"memory": "4Gi"}}},
        {"resources": {"requests": {"cpu": 0}}},
        {"resources": {"requests": {"cpu": 0, "memory": "4Gi"}, "limits": {"memory": "4Gi"}}},
    ),
    (
        "a claim merges deeply, its access modes do not",
        {
            "storageConfig": {
                "cassandraDataVolumeClaimSpec": {"storageClassName": "a", "accessModes": ["ReadWriteOnce"]}
            }
        },
        {"storageConfig": {"cassandraDataVolumeClaimSpec": {"accessModes": ["ReadWriteMany"]}}},
        {
            "storageConfig": {
                "cassandraDataVolumeClaimSpec": {"storageClassName": "a", "accessModes": ["ReadWriteMany"]}
            }
        },
    ),
    (
        "additional volumes of the storage replace",
        {"storageConfig": {"additionalVolumes": [{"name": "a", "mountPath": "/a"}]}},
        {"storageConfig": {"additionalVolumes": [{"name": "b", "mountPath": "/b"}]}},
        {"storageConfig": {"additionalVolumes": [{"name": "b", "mountPath": "/b"}]}},
    ),
    (
        "extra claims merge by name",
        {"extraVolumes": {"pvcs": [{"name": "a", "mountPath": "/a", "pvcSpec": {"storageClassName": "x"}}]}},
        {"extraVolumes": {"pvcs": [{"name": "a", "mountPath": "/b"}, {"name": "c", "mountPath": "/c"}]}},
        {
            "extraVolumes": {
                "pvcs": [
                    {"name": "a", "mountPath": "/b", "pvcSpec": {"storageClassName": "x"}},
                    {"name": "c", "mountPath": "/c"},
                ]
            }
        },
    ),
    (
        "the source of an extra claim is one whole",
        {"extraVolumes": {"pvcs": [{"name": "a", "mountPath": "/a", "volumeSource": {"secret": {"secretName": "s"}}}]}},
        {"extraVolumes": {"pvcs": [{"name": "a", "mountPath": "/a", "volumeSource": {"configMap": {"name": "m"}}}]}},
        {"extraVolumes": {"pvcs": [{"name": "a", "mountPath": "/a", "volumeSource": {"configMap": {"name": "m"}}}]}},
    ),
    (
        "the source of a pod's volume is one whole",
        {"extraVolumes": {"volumes": [{"name": "a", "secret": {"secretName": "s", "optional": True}}]}},
        {"extraVolumes": {"volumes": [{"name": "a", "secret": {"secretName": "t"}}, {"name": "b", "emptyDir": {}}]}},
        {"extraVolumes": {"volumes": [{"name": "a", "secret": {"secretName": "t"}}, {"name": "b", "emptyDir": {}}]}},
    ),
    (
        "containers merge by name",
        {"containers": [{"name": "cassandra", "image": "x"}, {"name": "side", "image": "s"}]},
        {"containers": [{"name": "more", "image": "m"}, {"name": "cassandra", "command": ["a"]}]},
        {
            "containers": [
                {"name": "cassandra", "image": "x", "command": ["a"]},
                {"name": "side", "image": "s"},
                {"name": "more", "image": "m"},
            ]
        },
    ),
    (
        "init containers merge by name",
        {"initContainers": [{"name": "server-config-init"}]},
        {"initContainers": [{"name": "mine", "image": "i"}]},
        {"initContainers": [{"name": "server-config-init"}, {"name": "mine", "image": "i"}]},
    ),
    (
        "ports merge by number",
        {"containers": [{"name": "c", "ports": [{"containerPort": 1, "protocol": "UDP"}]}]},
        {"containers": [{"name": "c", "ports": [{"containerPort": 1, "name": "one"}, {"containerPort": 2}]}]},
        {
            "containers": [
                {"name": "c", "ports": [{"containerPort": 1, "protocol": "UDP", "name": "one"}, {"containerPort": 2}]}
            ]
        },
    ),
    (
        "variables merge by name, the datacenter's kind wins",
        {"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"x": {}}}]}]},
        {"containers": [{"name": "c", "env": [{"name": "B", "value": "2"}, {"name": "A", "valueFrom": {"y": {}}}]}]},
        {"containers": [{"name": "c", "env": [{"name": "A", "valueFrom": {"y": {}}}, {"name": "B", "value": "2"}]}]},
    ),
    (
        "mounts merge by path, devices by path",
        {"containers": [{"name": "c", "volumeMounts": [{"mountPath": "/a", "name": "x", "readOnly": True}]}]},
        {
            "containers": [
                {
                    "name": "c",
                    "volumeMounts": [{"mountPath": "/a", "name": "y", "readOnly": False}],
                    "volumeDevices": [{"devicePath": "/d", "name": "z"}],
                }
            ]
        },
        {
            "containers": [
                {
                    "name": "c",
                    "volumeMounts": [{"mountPath": "/a", "name": "y", "readOnly": True}],
                    "volumeDevices": [{"devicePath": "/d", "name": "z"}],
                }
            ]
        },
    ),
    (
        "a container's security context merges deeply, false overrides, a user of zero does not",
        {"containers": [{"name": "c", "securityContext": {"privileged": True, "runAsUser": 999}}]},
        {"containers": [{"name": "c", "securityContext": {"privileged": False, "runAsUser": 0}}]},
        {"containers": [{"name": "c", "securityContext": {"privileged": False, "runAsUser": 999}}]},
    ),
    (
        "a pod's user of zero does not override",
        {"podSecurityContext": {"runAsUser": 999, "fsGroup": 999}},
        {"podSecurityContext": {"runAsUser": 0, "fsGroup": 1}},
        {"podSecurityContext": {"runAsUser": 999, "fsGroup": 1}},
    ),
    (
        "a probe has one handler, the datacenter's",
        {"containers": [{"name": "c", "readinessProbe": {"httpGet": {"port": 1}, "periodSeconds": 5}}]},
        {"containers": [{"name": "c", "readinessProbe": {"tcpSocket": {"port": 2}}}]},
        {"containers": [{"name": "c", "readinessProbe": {"tcpSocket": {"port": 2}, "periodSeconds": 5}}]},
    ),
    (
        "a handler of one kind merges",
        {"containers": [{"name": "c", "livenessProbe": {"httpGet": {"port": 1, "path": "/a"}}}]},
        {"containers": [{"name": "c", "livenessProbe": {"httpGet": {"port": 2}}}]},
        {"containers": [{"name": "c", "livenessProbe": {"httpGet": {"port": 2, "path": "/a"}}}]},
    ),
    (
        "the kind of authentication is the datacenter's choice",
        {"managementApiAuth": {"insecure": {}}},
        {"managementApiAuth": {"manual": {"clientSecretName": "c", "serverSecretName": "s"}}},
        {"managementApiAuth": {"manual": {"clientSecretName": "c", "serverSecretName": "s"}}},
    ),
    (
        "relabelling rules replace, also by none",
        {"telemetry": {"cassandra": {"relabels": [{"regex": "a"}]}, "mcac": {"enabled": True}}},
        {"telemetry": {"cassandra": {"relabels": []}}},
        {"telemetry": {"cassandra": {"relabels": []}, "mcac": {"enabled": True}}},
    ),
    (
        "metric filters replace, also by none",
        {"telemetry": {"mcac": {"enabled": True, "metricFilters": ["deny:a"]}}},
        {"telemetry": {"mcac": {"metricFilters": []}}},
        {"telemetry": {"mcac": {"enabled": True, "metricFilters": []}}},
    ),
    (
        "a null inherits",
        {"resources": {"limits": {"cpu": 1}}},
        {"resources": {"limits": None}},
        {"resources": {"limits": {"cpu": 1}}},
    ),
]


@pytest.mark.parametrize(
    ("cluster", "datacenter", "expected"), [row[1:] for row in _TABLE], ids=[row[0] for row in _TABLE]
)
def test_merge(cluster: dict[str, Any], datacenter: dict[str, Any], expected: dict[str, Any]) -> None:
    one, other = (msgspec.convert(value, DatacenterOptions) for value in (cluster, datacenter))
    before = msgspec.json.encode([one, other])
    assert expected == msgspec.to_builtins(merge(one, other, DatacenterOptions))
    assert before == msgspec.json.encode([one, other])  # what was merged is untouched


_YAML: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("keys are united", {"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
    ("the datacenter wins", {"a": 1}, {"a": 2}, {"a": 2}),
    ("false does not override true", {"a": True}, {"a": False}, {"a": True}),
    ("zero does not override a number", {"a": 5, "b": 2.5}, {"a": 0, "b": 0.0}, {"a": 5, "b": 2.5}),
    ("empty text does not override text", {"a": "x"}, {"a": ""}, {"a": "x"}),
    (
        "another type wins, zero or not",
        {"a": "x", "b": True, "c": 1},
        {"a": 0, "b": 0, "c": False},
        {"a": 0, "b": 0, "c": False},
    ),
    ("zero stays where nothing is inherited", {}, {"a": 0, "b": False}, {"a": 0, "b": False}),
    ("a null does not override", {"a": 1}, {"a": None}, {"a": 1}),
    ("a null is overridden", {"a": None}, {"a": 0}, {"a": 0}),
    (
        "maps merge deeply",
        {"a": {"b": 1, "c": {"d": 1}}},
        {"a": {"c": {"e": 2}}},
        {"a": {"b": 1, "c": {"d": 1, "e": 2}}},
    ),
    ("lists replace, also by none", {"a": [1, 2], "b": [1]}, {"a": [3], "b": []}, {"a": [3], "b": []}),
]


@pytest.mark.parametrize(
    ("cluster", "datacenter", "expected"), [row[1:] for row in _YAML], ids=[row[0] for row in _YAML]
)
def test_merge_of_configuration_files(
    cluster: dict[str, Any], datacenter: dict[str, Any], expected: dict[str, Any]
) -> None:
    merged = merge_free(cluster, datacenter)
    assert msgspec.json.encode(expected, order="sorted") == msgspec.json.encode(
        merged, order="sorted"
    )  # 0 is not false


def test_labels_and_annotations_merge_at_every_place() -> None:
    cluster = msgspec.convert(
        {
            "labels": {"a": "1", "b": "1"},
            "pods": {"labels": {"p": "1"}},
            "services": {"dcService": {"labels": {"s": "1"}}},
        },
        ClusterMetadata,
    )
    datacenter = msgspec.convert(
        {"labels": {"b": "2"}, "pods": {"annotations": {"q": "2"}}, "services": {"dcService": {"labels": {"s": "2"}}}},
        ClusterMetadata,
    )
    assert msgspec.to_builtins(merge(cluster, datacenter, ClusterMetadata)) == {
        "labels": {"a": "1", "b": "2"},
        "pods": {"labels": {"p": "1"}, "annotations": {"q": "2"}},
        "services": {"dcService": {"labels": {"s": "2"}}},
    }


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=3), _json, max_size=4))
def test_a_file_merged_with_itself_or_with_nothing_stays(content: dict[str, Any]) -> None:
    assert merge_free(content, content) == content
    assert merge_free(content, {}) == content
    assert merge_free({}, content) == content
