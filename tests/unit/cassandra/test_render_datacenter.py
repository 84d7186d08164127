"""A CassandraDatacenter's fields, one after the other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cassandra.samples import STORAGE, cluster, datacenter, only, rendered, spec_of

SKIP = "cassandra.datastax.com/skip-user-creation"
HASH = "k8ssandra.io/resource-hash"


# ── fields that pass straight ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"serverImage": "i:1"}, {"serverImage": "i:1"}),
        ({"tolerations": [{"key": "a", "operator": "Exists"}]}, {"tolerations": [{"key": "a", "operator": "Exists"}]}),
        ({"resources": {"limits": {"cpu": 2}}}, {"resources": {"limits": {"cpu": 2}}}),
        ({"serviceAccount": "sa"}, {"serviceAccountName": "sa"}),
        ({"readOnlyRootFilesystem": True}, {"readOnlyRootFilesystem": True}),
        ({"readOnlyRootFilesystem": False}, {"readOnlyRootFilesystem": False}),
        ({"networking": {"hostNetwork": True}}, {"networking": {"hostNetwork": True}}),
        (
            {"networking": {"hostNetwork": False, "nodePort": {"native": 1, "internodeSSL": 2}}},
            {"networking": {"nodePort": {"native": 1, "internodeSSL": 2}}},
        ),
        ({"softPodAntiAffinity": True, "resources": {"limits": {"cpu": 1}}}, {"allowMultipleNodesPerWorker": True}),
        ({"dseWorkloads": {"graphEnabled": True}}, {"dseWorkloads": {"graphEnabled": True}}),
        ({"managementApiAuth": {"insecure": {}}}, {"managementApiAuth": {"insecure": {}}}),
        (
            {"managementApiAuth": {"manual": {"clientSecretName": "c", "serverSecretName": "s"}}},
            {"managementApiAuth": {"manual": {"clientSecretName": "c", "serverSecretName": "s"}}},
        ),
        (
            {"racks": [{"name": "r1", "zone": "z", "nodeAffinityLabels": {"a": "b"}, "affinity": {"podAffinity": {}}}]},
            {"racks": [{"name": "r1", "zone": "z", "nodeAffinityLabels": {"a": "b"}, "affinity": {"podAffinity": {}}}]},
        ),
        (
            {"containers": [{"name": "server-system-logger", "resources": {"limits": {"cpu": "1"}}}]},
            {"systemLoggerResources": {"limits": {"cpu": "1"}}},
        ),
        (
            {"initContainers": [{"name": "server-config-init", "resources": {"requests": {"cpu": "1"}}}]},
            {"configBuilderResources": {"requests": {"cpu": "1"}}},
        ),
        ({"superuserSecretRef": {"name": "mine"}}, {"superuserSecretName": "mine"}),
        ({"clusterName": "My Cluster"}, {"clusterName": "My Cluster", "superuserSecretName": "mycluster-superuser"}),
        ({"serverVersion": "v4.0.17"}, {"serverVersion": "4.0.17"}),
        (
            {"metadata": {"commonLabels": {"a": "1"}, "commonAnnotations": {"b": "2"}}},
            {"additionalLabels": {"a": "1"}, "additionalAnnotations": {"b": "2"}},
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_a_field_of_the_cluster(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert expected == {key: spec_of(cluster(**given)).get(key) for key in expected}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"stopped": True}, {"stopped": True}),
        ({"stopped": False}, {"stopped": None}),
        ({"size": 5}, {"size": 5}),
        ({"cdc": {"pulsarServiceUrl": "u", "sslProvider": ""}}, {"cdc": {"pulsarServiceUrl": "u", "sslProvider": ""}}),
        ({"datacenterName": "DC One"}, {"datacenterName": "DC One"}),
        ({"serverImage": "dc"}, {"serverImage": "dc"}),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_a_field_of_the_datacenter(given: dict[str, Any], expected: dict[str, Any]) -> None:
    made = spec_of(cluster(datacenter(**given), serverImage="cluster"))
    assert expected == {key: made.get(key) for key in expected}


def test_cdc_and_datacenter_name_have_no_effect_on_the_cluster_and_that_is_said() -> None:
    given = cluster(cdc={"topicPrefix": "a"}, datacenterName="x")
    assert {"cdc", "datacenterName"}.isdisjoint(spec_of(given))
    assert [entry.field for entry in rendered(given).warnings] == [
        "spec.cassandra.cdc",
        "spec.cassandra.datacenterName",
    ]


def test_nothing_is_said_that_is_not_asked_for() -> None:
    assert {
        "additionalServiceConfig",
        "clusterName",
        "config",
        "podTemplateSpec",
        "serverType",
        "serverVersion",
        "size",
        "storageConfig",
        "superuserSecretName",
    } == spec_of(cluster()).keys()


def test_nulls_inside_of_core_types_are_left_out() -> None:
    made = spec_of(cluster(resources={"limits": None, "requests": {"cpu": 1.0}}))
    assert made["resources"] == {"requests": {"cpu": 1}}


def test_with_external_secrets_no_superuser_is_named() -> None:
    assert "superuserSecretName" not in spec_of(cluster(spec={"secretsProvider": "external"}))


# ── storage ─────────────────────────────────────────────────────────────────────────────────────────


def test_volumes_stand_in_order_with_the_metrics_agents_last() -> None:
    storage = {**STORAGE, "additionalVolumes": [{"name": "a", "mountPath": "/a", "pvcSpec": {"storageClassName": "x"}}]}
    pvcs = [{"name": "b", "mountPath": "/b", "volumeSource": {"emptyDir": {}}}]
    made = spec_of(cluster(storageConfig=storage, extraVolumes={"pvcs": pvcs}))["storageConfig"]["additionalVolumes"]
    assert [volume["name"] for volume in made] == ["a", "b", "metrics-agent-config"]
    assert made[1] == {"name": "b", "mountPath": "/b", "volumeSource": {"emptyDir": {}}}


# ── pods ────────────────────────────────────────────────────────────────────────────────────────────


def pods_of(**cassandra: Any) -> dict[str, Any]:
    template: dict[str, Any] = spec_of(cluster(**cassandra))["podTemplateSpec"]
    return template


def environment_of(**cassandra: Any) -> dict[str, str]:
    containers = {container["name"]: container for container in pods_of(**cassandra)["spec"]["containers"]}
    return {variable["name"]: variable.get("value", "") for variable in containers["cassandra"].get("env", [])}


def test_users_containers_come_first_and_cassandra_is_added() -> None:
    made = pods_of(containers=[{"name": "side", "image": "s"}], initContainers=[{"name": "init", "image": "i"}])
    assert [container["name"] for container in made["spec"]["containers"]] == ["side", "cassandra"]
    assert made["spec"]["initContainers"] == [{"name": "init", "image": "i"}]


def test_a_users_cassandra_container_keeps_its_place_and_its_variables() -> None:
    mine = {"name": "cassandra", "env": [{"name": "A", "value": "1"}]}
    made = pods_of(containers=[mine, {"name": "side"}])["spec"]["containers"]
    expected = [{"name": "A", "value": "1"}, {"name": "MGMT_API_DISABLE_MCAC", "value": "true"}]
    assert [{"name": "cassandra", "env": expected}, {"name": "side"}] == made


def test_labels_security_priority_and_volumes_of_pods() -> None:
    made = pods_of(
        metadata={"pods": {"labels": {"a": "1"}, "annotations": {"b": "2"}}},
        podSecurityContext={"fsGroup": 999},
        podPriorityClassName="high",
        extraVolumes={"volumes": [{"name": "v", "emptyDir": {}}]},
    )
    assert made["metadata"] == {"labels": {"a": "1"}, "annotations": {"b": "2"}}
    assert (made["spec"]["securityContext"], made["spec"]["priorityClassName"]) == ({"fsGroup": 999}, "high")
    assert made["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]


@pytest.mark.parametrize(("given", "expected"), [("64Mi", "67108864"), ("0", "0"), (100, "100")])
def test_the_management_apis_heap_is_in_bytes_and_comes_first(given: Any, expected: str) -> None:
    wanted = [("MANAGEMENT_API_HEAP_SIZE", expected), ("MGMT_API_DISABLE_MCAC", "true")]
    assert wanted == list(environment_of(mgmtAPIHeap=given).items())


def test_the_former_collector_takes_its_filters_from_the_specification() -> None:
    mcac: dict[str, Any] = {"enabled": True, "metricFilters": ["deny:a", "allow:b"]}
    assert environment_of(telemetry={"mcac": mcac}) == {"METRIC_FILTERS": "deny:a allow:b"}
    assert environment_of(telemetry={"mcac": {**mcac, "metricFilters": []}}) == {"METRIC_FILTERS": ""}
    assert len(environment_of(telemetry={"mcac": {"enabled": True}})["METRIC_FILTERS"].split()) == 14


def test_a_users_variable_of_our_name_is_kept_once_and_said() -> None:
    given = cluster(containers=[{"name": "cassandra", "env": [{"name": "MGMT_API_DISABLE_MCAC", "value": "false"}]}])
    (container,) = spec_of(given)["podTemplateSpec"]["spec"]["containers"]
    assert container["env"] == [{"name": "MGMT_API_DISABLE_MCAC", "value": "false"}]
    assert [entry.field for entry in rendered(given).warnings] == ["spec.cassandra.datacenters[0].containers"]


# ── metadata ────────────────────────────────────────────────────────────────────────────────────────


def test_labels_of_the_cluster_win_and_ownership_wins_over_all() -> None:
    own = {"a": "dc", "b": "dc", "k8ssandra.io/cluster-name": "other", "app.kubernetes.io/component": "mine"}
    given = cluster(datacenter(metadata={"labels": own}), metadata={"labels": {"a": "cluster"}})
    labels = only(given)["metadata"]["labels"]
    expected = ("cluster", "dc", "demo", "mine")
    keys = ("a", "b", "k8ssandra.io/cluster-name", "app.kubernetes.io/component")
    assert expected == tuple(labels[key] for key in keys)


def test_annotations_of_the_cluster_win() -> None:
    given = cluster(datacenter(metadata={"annotations": {"a": "dc", "b": "dc"}}), metadata={"annotations": {"a": "c"}})
    annotations = only(given)["metadata"]["annotations"]
    assert (annotations["a"], annotations["b"], SKIP in annotations) == ("c", "dc", False)


def test_common_labels_are_not_on_the_datacenter_itself() -> None:
    assert "x" not in only(cluster(metadata={"commonLabels": {"x": "1"}}))["metadata"]["labels"]


def test_external_datacenters_replace_the_datacenters_annotations() -> None:
    given = cluster(
        datacenter(metadata={"annotations": {"lost": "1"}}),
        metadata={"annotations": {"kept": "1"}},
        spec={"externalDatacenters": ["old"]},
    )
    annotations = only(given)["metadata"]["annotations"]
    assert {key: value for key, value in annotations.items() if key != HASH} == {SKIP: "true", "kept": "1"}


def test_a_datacenter_of_another_namespace() -> None:
    made = only(cluster(datacenter(metadata={"namespace": "other"})))
    assert (
        made["metadata"]["namespace"],
        made["metadata"]["labels"]["k8ssandra.io/cluster-namespace"],
    ) == ("other", "ns")


def test_services_get_labels_and_all_pods_always_ours() -> None:
    services = {
        "dcService": {"labels": {"a": "1"}},
        "allPodsService": {"annotations": {"b": "2"}, "labels": {"c": "3"}},
    }
    made = spec_of(cluster(metadata={"services": services}))["additionalServiceConfig"]
    owner = {"k8ssandra.io/cluster-name": "demo", "k8ssandra.io/cluster-namespace": "ns"}
    assert made == {
        "dcService": {"additionalLabels": {"a": "1"}},
        "allpodsService": {"additionalLabels": {"c": "3", **owner}, "additionalAnnotations": {"b": "2"}},
    }


# ── order ───────────────────────────────────────────────────────────────────────────────────────────


def workload(name: str, *kinds: str) -> dict[str, Any]:
    return datacenter(name, dseWorkloads={f"{kind}Enabled": True for kind in kinds})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([datacenter("a"), datacenter("b"), datacenter("c")], ("a", "b", "c")),
        ([workload("a", "search"), datacenter("b")], ("b", "a")),
        ([datacenter("a"), workload("b", "analytics")], ("b", "a")),
        ([workload("a", "search"), workload("b", "search", "analytics"), workload("c", "graph")], ("b", "c", "a")),
        ([workload("a", "search", "graph"), workload("b", "graph")], ("b", "a")),
    ],
)
def test_analytics_first_and_search_alone_last(given: list[dict[str, Any]], expected: tuple[str, ...]) -> None:
    made = rendered(cluster(*given, serverType="dse", serverVersion="6.8.25"))
    assert expected == made.order == tuple(entry.name for entry in made.datacenters)
    assert [name == expected[0] for name in expected] == [entry.founds for entry in made.datacenters]
    assert [name != expected[0] for name in expected] == [
        SKIP in entry.object["metadata"]["annotations"] for entry in made.datacenters
    ]


# ── what is not done ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (cluster(spec={"reaper": {}}), "spec.reaper"),
        (cluster(spec={"medusa": {"a": 1}}), "spec.medusa"),
        (cluster(spec={"stargate": {}}), "spec.stargate"),
        (cluster(datacenter(stargate={"size": 1})), "spec.cassandra.datacenters[0].stargate"),
        (cluster(telemetry={"vector": {"enabled": True}}), "spec.cassandra.datacenters[0].telemetry.vector"),
        (cluster(telemetry={"prometheus": {"enabled": True}}), "spec.cassandra.datacenters[0].telemetry.prometheus"),
    ],
)
def test_what_is_out_of_scope_is_named(given: Any, path: str) -> None:
    made = rendered(given)
    assert ([path], (), 1) == ([entry.field for entry in made.unsupported], made.errors, len(made.datacenters))


def test_telemetry_that_is_off_is_not_asked_for() -> None:
    off = {"vector": {"enabled": False}, "prometheus": {"enabled": False}}
    assert rendered(cluster(telemetry=off)).unsupported == ()
