"""What a K8ssandraCluster may not say: the field is named, and what is right goes on where that is safe."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cassandra.render import Facts, Rendered, render
from controller.kube.errors import Malformed
from tests.unit.cassandra.samples import STORAGE, cluster, datacenter, manifest, rendered, typed

DC = "spec.cassandra.datacenters[0]"


def fields(made: Rendered) -> list[str]:
    return [error.field for error in made.errors]


# ── the whole cluster ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"spec": {"cassandra": None}}, ["spec.cassandra"]),
        ({"spec": {}}, ["spec.cassandra"]),
        ({"spec": {"cassandra": {}}}, ["spec.cassandra.datacenters"]),
        ({"spec": {"cassandra": {"datacenters": None}}}, ["spec.cassandra.datacenters"]),
        ({"metadata": {"name": "a" * 64, "namespace": "ns"}}, ["metadata.name", "metadata.name"]),
        ({"metadata": {"name": "1", "namespace": "ns"}}, ["metadata.name"]),
        ({"metadata": {"name": "123", "namespace": "ns"}}, ["metadata.name"]),
    ],
)
def test_a_cluster_that_is_wrong_as_a_whole_renders_nothing(change: dict[str, Any], expected: list[str]) -> None:
    made = render(typed({**manifest(), **change}), Facts())
    assert fields(made) == expected
    assert made.datacenters == ()


@pytest.mark.parametrize(
    ("cassandra", "spec", "expected"),
    [
        ({"serverType": "scylla"}, {}, "spec.cassandra.serverType"),
        ({}, {"secretsProvider": "vault"}, "spec.secretsProvider"),
        ({"superuserSecretRef": {"name": "../a"}}, {}, "spec.cassandra.superuserSecretRef.name"),
        ({"clusterName": "x"}, {}, "spec.cassandra.clusterName"),
        ({"clusterName": "日本"}, {}, "spec.cassandra.clusterName"),
        ({"clusterName": "a" * 60}, {}, "spec.cassandra.clusterName"),
        ({"metadata": {"commonLabels": {"a": "b c"}}}, {}, "spec.cassandra.metadata.commonLabels[a]"),
        ({"metadata": {"labels": {"a": "é"}}}, {}, "spec.cassandra.metadata.labels[a]"),
        ({"metadata": {"pods": {"labels": {"a/b/c": ""}}}}, {}, "spec.cassandra.metadata.pods.labels[a/b/c]"),
        (
            {"metadata": {"services": {"dcService": {"annotations": {"a b": "x"}}}}},
            {},
            "spec.cassandra.metadata.services.dcService.annotations[a b]",
        ),
        ({"metadata": {"annotations": {"a": "x" * 2**18}}}, {}, "spec.cassandra.metadata.annotations"),
        (
            {"racks": [{"name": "r1", "nodeAffinityLabels": {"zone": "a b"}}]},
            {},
            "spec.cassandra.racks[0].nodeAffinityLabels[zone]",
        ),
        ({"containers": [{"name": "c", "env": "A=1"}]}, {}, "spec.cassandra.containers[0].env"),
        ({"tolerations": [{"tolerationSeconds": "5"}]}, {}, "spec.cassandra.tolerations[0].tolerationSeconds"),
        (
            {"datacenters": [datacenter(f"dc{number}") for number in range(65)]},
            {},
            "spec.cassandra.datacenters",
        ),
    ],
)
def test_a_field_of_the_cluster_that_is_wrong(cassandra: dict[str, Any], spec: dict[str, Any], expected: str) -> None:
    made = rendered(cluster(spec=spec, **cassandra))
    assert fields(made) == [expected]
    assert made.datacenters == ()


def test_two_datacenters_of_one_name_are_both_named() -> None:
    made = rendered(cluster(datacenter("dc1"), datacenter("dc2"), datacenter("dc1", k8sContext="other")))
    assert fields(made) == [f"{DC}.metadata.name", "spec.cassandra.datacenters[2].metadata.name"]
    assert made.datacenters == ()


def test_two_datacenters_of_one_name_inside_cassandra() -> None:
    made = rendered(cluster(datacenter("dc1", datacenterName="dc2"), datacenter("dc2")))
    assert fields(made) == [f"{DC}.datacenterName", "spec.cassandra.datacenters[1].datacenterName"]


def test_a_cluster_name_with_odd_characters_is_data() -> None:
    made = rendered(cluster(clusterName='My "${x}" Cluster\n'))
    assert made.errors == ()
    assert made.datacenters[0].object["spec"]["clusterName"] == 'My "${x}" Cluster\n'


# ── one datacenter ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"metadata": {"name": ""}}, [f"{DC}.metadata.name"]),
        ({"metadata": {"name": "DC1"}}, [f"{DC}.metadata.name"]),
        ({"metadata": {"name": "dc.1"}}, [f"{DC}.metadata.name"]),
        ({"metadata": {"namespace": "a/b"}}, [f"{DC}.metadata.namespace"]),
        ({"size": 0}, [f"{DC}.size"]),
        ({"size": -1}, [f"{DC}.size"]),
        ({"size": 2**31}, [f"{DC}.size"]),
        ({"serverVersion": "abc"}, [f"{DC}.serverVersion"]),
        ({"serverVersion": "4.0"}, [f"{DC}.serverVersion"]),
        ({"serverVersion": "999.0"}, [f"{DC}.serverVersion"]),
        ({"serverVersion": "4.0.1.2"}, [f"{DC}.serverVersion"]),
        ({"serverVersion": "4.0.1+build"}, [f"{DC}.serverVersion"]),
        ({"softPodAntiAffinity": True}, [f"{DC}.softPodAntiAffinity"]),
        ({"racks": [{"name": "a"}]}, [f"{DC}.racks[0].name"]),
        ({"racks": [{"name": "r1"}, {"name": "r1"}]}, [f"{DC}.racks"]),
        ({"racks": [{"name": "r1"}, {"name": "R1"}]}, [f"{DC}.racks"]),
        ({"racks": [{"name": "__"}]}, [f"{DC}.racks[0].name"]),
        ({"metadata": {"name": "d" * 37}}, [f"{DC}.metadata.name"]),  # its Service would be called too long
        ({"containers": [{"name": "c", "env": "A=1"}]}, [f"{DC}.containers[0].env"]),
        ({"containers": [{"name": "c", "env": [{"value": "1"}]}]}, [f"{DC}.containers[0].env[0].name"]),
        ({"containers": [{"name": "c", "env": [{"name": "A"}] * 2}]}, [f"{DC}.containers[0].env[1].name"]),
        ({"containers": [{"name": "c"}, {"name": "c"}]}, [f"{DC}.containers[1].name"]),
        (
            {"initContainers": [{"name": "c", "ports": [{"containerPort": "1"}]}]},
            [f"{DC}.initContainers[0].ports[0].containerPort"],
        ),
        ({"containers": [{"name": "c", "livenessProbe": []}]}, [f"{DC}.containers[0].livenessProbe"]),
        (
            {"containers": [{"name": "c", "resources": {"limits": {"cpu": "x"}}}]},
            [f"{DC}.containers[0].resources.limits.cpu"],
        ),
        ({"resources": {"limits": [1]}}, [f"{DC}.resources.limits"]),
        ({"racks": [{"name": f"r{index}"} for index in range(4)]}, [f"{DC}.racks"]),
        ({"racks": [{"name": "r" * 60}]}, [f"{DC}.racks"]),
        ({"mgmtAPIHeap": "64 MB"}, [f"{DC}.mgmtAPIHeap"]),
        ({"config": {"jvmOptions": {"heap_max_size": "big"}}}, [f"{DC}.config.jvmOptions.heap_max_size"]),
        ({"resources": {"limits": {"cpu": "two"}}}, [f"{DC}.resources.limits.cpu"]),
        ({"resources": {"limits": {"cpu": True}}}, [f"{DC}.resources.limits.cpu"]),
        (
            {
                "config": {
                    "cassandraYaml": {"commitlog_sync_period_in_ms": 1, "commitlog_sync_batch_window_in_ms": 1},
                }
            },
            [f"{DC}.config.cassandraYaml"],
        ),
        (
            {"managementApiAuth": {"insecure": {}, "manual": {"clientSecretName": "c", "serverSecretName": "s"}}},
            [f"{DC}.managementApiAuth"],
        ),
        ({"containers": [{"image": "x"}]}, [f"{DC}.containers[0].name"]),
        ({"initContainers": [{"name": 1}]}, [f"{DC}.initContainers[0].name"]),
        ({"extraVolumes": {"volumes": [{"emptyDir": {}}]}}, [f"{DC}.extraVolumes.volumes[0].name"]),
        ({"extraVolumes": {"pvcs": [{"name": "a", "mountPath": "/a"}]}}, [f"{DC}.extraVolumes.pvcs[0]"]),
        ({"perNodeConfigMapRef": {"name": "mine"}}, [f"{DC}.perNodeConfigMapRef.name"]),
    ],
)
def test_a_datacenter_that_is_wrong_leaves_the_others(given: dict[str, Any], expected: list[str]) -> None:
    made = rendered(cluster(datacenter("dc1", **given), datacenter("dc2")))
    assert fields(made) == expected
    assert [entry.name for entry in made.datacenters] == ["dc2"]
    assert len(made.order) == 2  # so that the one that is wrong still has its place in the order


def test_a_datacenter_is_rendered_alike_whether_its_neighbour_is_wrong_or_not() -> None:
    good, bad = (
        rendered(cluster(datacenter("dc1", serverVersion=version), datacenter("dc2")), initial_system_replication={})
        for version in ("4.0.17", "x")
    )
    assert good.datacenters[1] == bad.datacenters[0]


@pytest.mark.parametrize(
    ("cassandra", "expected"),
    [
        ({"serverVersion": None}, f"{DC}.serverVersion"),
        ({"serverVersion": "4.x"}, "spec.cassandra.serverVersion"),
        ({"storageConfig": None}, f"{DC}.storageConfig.cassandraDataVolumeClaimSpec"),
        ({"storageConfig": {"additionalVolumes": []}}, f"{DC}.storageConfig.cassandraDataVolumeClaimSpec"),
    ],
)
def test_what_must_be_said_for_the_cluster_or_for_the_datacenter(cassandra: dict[str, Any], expected: str) -> None:
    assert fields(rendered(cluster(**cassandra))) == [expected]


def test_what_is_said_for_the_datacenter_alone_is_enough() -> None:
    given = cluster(datacenter(serverVersion="4.0.17", storageConfig=STORAGE), serverVersion=None, storageConfig=None)
    assert rendered(given).errors == ()


def test_resources_of_the_cluster_are_enough_for_several_pods_on_a_node() -> None:
    given = cluster(datacenter(softPodAntiAffinity=True), resources={"limits": {"cpu": 1}})
    assert rendered(given).errors == ()


def test_a_message_names_the_datacenter_and_the_way_out() -> None:
    (error,) = rendered(cluster(datacenter(size=0))).errors
    assert str(error) == f"{DC}.size: is out of range; use 1 or more; to take pods away use stopped"
    assert (error.datacenter, error.reason) == ("dc1", "InvalidSpec")


@pytest.mark.parametrize("field", ["rebuild", "jmxInitContainerImage"])
def test_what_has_no_effect_on_a_datacenter_is_said(field: str) -> None:
    made = rendered(cluster(datacenter(**{field: {"name": "x"}})))
    assert [warning.field for warning in made.warnings] == [f"{DC}.{field}"]


def test_additional_seeds_that_cannot_be_used_are_said() -> None:
    made = rendered(cluster(additionalSeeds=["10.0.0.1", "seed.example.org", "127.0.0.1"]))
    expected = ["spec.cassandra.additionalSeeds[2]"]
    assert [(warning.field, warning.reason) for warning in made.warnings] == [
        (path, "UnusableSeed") for path in expected
    ]
    assert len(made.datacenters) == 1


@pytest.mark.parametrize(("value", "expected"), [("once", 0), ("always", 0), ("yes", 1)])
def test_an_annotation_that_allows_updates_has_two_values(value: str, expected: int) -> None:
    given = manifest()
    given["metadata"]["annotations"] = {"k8ssandra.io/autoupdate-spec": value}
    assert len(rendered(typed(given)).warnings) == expected


# ── what is not even of the right type ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", ["3", 3.5, True, [3]])
def test_a_wrong_type_names_its_path(size: Any) -> None:
    with pytest.raises(Malformed, match=r"spec\.cassandra\.datacenters\[0\]\.size"):
        typed(manifest(datacenter(size=size)))


def test_null_is_absent_wherever_go_reads_it_so() -> None:
    given = manifest(datacenter(stopped=None, racks=None, metadata={"labels": None}), clusterName=None)
    given["metadata"]["annotations"] = None
    assert rendered(typed(given)).datacenters == rendered(cluster()).datacenters


def test_unknown_fields_are_passed_over() -> None:
    given = manifest(datacenter(unknown={"a": 1}))
    given["status"] = {"conditions": [{"type": "Ready", "status": "True", "other": 1}], "more": []}
    assert rendered(typed(given)).datacenters == rendered(cluster()).datacenters
