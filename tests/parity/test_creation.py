"""The reference operator's tests of new clusters: CreateSingleDcCluster, CreateMultiDcCluster and their like."""

from __future__ import annotations

import base64
import json

import pytest

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, SECRETS
from controller.replication.types import REPLICATED_SECRETS
from tests.integration.rig import CONTEXTS, Rig, eventually, quiet
from tests.parity import stage
from tests.parity.stage import cluster, datacenter, made, made_so_far, progress_is_shown, set_progress, set_ready

OURS = {
    labels.CLUSTER_NAME: "test",
    labels.CLEANED_UP_BY: "k8ssandracluster-controller",
    "app.kubernetes.io/name": "k8ssandra-operator",
    "app.kubernetes.io/part-of": "k8ssandra",
    "app.kubernetes.io/component": "cassandra",
}


async def test_create_single_dc_cluster(by_hand: Rig) -> None:
    one = by_hand
    context = {"runAsUser": 999, "fsGroup": 999}
    await one.apply(
        cluster(
            datacenter(
                1,
                metadata={"labels": {"team": "a"}},
                podSecurityContext=context,
                managementApiAuth={"insecure": {}},
                readOnlyRootFilesystem=True,
            ),
            clusterName="Not K8s_Compliant",
        )
    )
    live = await made(one, 1)
    assert live["metadata"]["labels"] == {**OURS, labels.CLUSTER_NAMESPACE: one.namespace, "team": "a"}
    assert "k8ssandracluster.k8ssandra.io/finalizer" in live["metadata"]["finalizers"]
    assert live["spec"]["clusterName"] == "Not K8s_Compliant"
    assert live["spec"]["superuserSecretName"] == "notk8s-compliant-superuser"
    assert live["spec"]["podTemplateSpec"]["spec"]["securityContext"] == context
    assert live["spec"]["managementApiAuth"] == {"insecure": {}}
    assert live["spec"]["readOnlyRootFilesystem"] is True
    own = await stage.found(one, K8SSANDRA_CLUSTERS, "test")
    assert own["metadata"]["finalizers"] == ["k8ssandracluster.k8ssandra.io/finalizer"]
    assert json.loads(own["metadata"]["annotations"]["k8ssandra.io/initial-system-replication"]) == {"dc1": 1}
    secret = await stage.found(one, SECRETS, "notk8s-compliant-superuser")
    assert base64.b64decode(secret["data"]["username"]) == b"notk8s-compliant-superuser"
    assert len(base64.b64decode(secret["data"]["password"])) == 20
    replicated = await stage.found(one, REPLICATED_SECRETS, "test")
    assert replicated["spec"]["replicationTargets"] == [{"k8sContextName": CONTEXTS[0]}]
    await set_progress(one, 1, "Updating", Ready=False)
    await progress_is_shown(one, 1, "Updating")
    assert (await one.condition(K8SSANDRA_CLUSTERS, "test", "CassandraInitialized")) == {}
    await set_ready(one, 1)
    await progress_is_shown(one, 1, "Ready")
    await stage.said(one, "CassandraInitialized", "True")
    assert await one.cluster_is_ready("test")
    await stage.delete(one)
    assert await made_so_far(one) == []


async def test_create_multi_dc_cluster(by_hand: Rig) -> None:
    one = by_hand
    await one.apply(cluster(datacenter(1), datacenter(2)))
    await made(one, 1)
    await quiet(one)
    assert await made_so_far(one) == ["dc1"]
    waits = await one.condition(K8SSANDRA_CLUSTERS, "test", "DatacenterReady.dc2")
    assert (waits["reason"], waits["message"]) == ("WaitingForDatacenter", "dc2 waits for dc1")
    await set_ready(one, 1)
    second = await made(one, 2)
    assert second["metadata"]["annotations"]["cassandra.datastax.com/skip-user-creation"] == "true"
    await set_progress(one, 2, "Updating", Ready=False)
    await progress_is_shown(one, 2, "Updating")
    await progress_is_shown(one, 1, "Ready")
    await set_ready(one, 2)
    await stage.said(one, "CassandraInitialized", "True")
    await one.ready("test")


async def test_create_multi_dc_cluster_with_replicated_secrets(by_hand: Rig) -> None:
    """The Secrets of a datacenter come before it, and everywhere, also where its turn comes later."""
    one = by_hand
    await one.apply(cluster(datacenter(1), datacenter(2)))
    await made(one, 1)
    source = await stage.found(one, SECRETS, "test-superuser")
    for context in CONTEXTS[:2]:
        copy = await stage.found(one, SECRETS, "test-superuser", context)
        assert copy["data"] == source["data"]
    assert await one.get(SECRETS, "test-superuser", CONTEXTS[2]) is None  # of which the cluster says nothing
    replicated = await stage.found(one, REPLICATED_SECRETS, "test")
    assert [entry["k8sContextName"] for entry in replicated["spec"]["replicationTargets"]] == list(CONTEXTS[:2])
    written = [(seen.context, seen.path.rpartition("/")[2]) for seen in one.writes() if seen.context == CONTEXTS[0]]
    assert written.index((CONTEXTS[0], "secrets")) < written.index((CONTEXTS[0], "cassandradatacenters"))


async def test_without_its_secrets_a_datacenter_is_not_made(by_hand: Rig) -> None:
    one = by_hand
    foreign = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "test-superuser"}, "data": {"theirs": "eA=="}}
    await one.client(CONTEXTS[0]).create(SECRETS, one.namespace, foreign)
    await one.apply(cluster())

    async def waits() -> bool:
        condition = await one.condition(K8SSANDRA_CLUSTERS, "test", "DatacenterReady.dc1")
        return condition.get("reason") == "SecretsNotReplicated"

    await eventually(waits, "it waits for the Secrets")
    await quiet(one)
    assert await made_so_far(one) == []


async def test_create_multi_dc_dse_cluster(by_hand: Rig) -> None:
    """A datacenter for search is made last although it is named first."""
    one = by_hand
    search = datacenter(1, dseWorkloads={"searchEnabled": True})
    await one.apply(cluster(search, datacenter(2), serverType="dse", serverVersion="6.8.25"))
    await made(one, 2)
    await quiet(one)
    assert await made_so_far(one) == ["dc2"]
    await set_ready(one, 2)
    last = await made(one, 1)
    assert last["spec"]["dseWorkloads"] == {"searchEnabled": True}
    assert last["metadata"]["annotations"]["cassandra.datastax.com/skip-user-creation"] == "true"
    await set_ready(one, 1)
    await one.ready("test")


async def test_create_single_dc_cluster_with_metrics_agent(one: Rig) -> None:
    rule = {"sourceLabels": ["table"], "regex": ".+", "action": "drop"}
    await one.apply(cluster(telemetry={"cassandra": {"endpoint": {"port": "9999"}, "relabels": [rule]}}))
    live = await made(one, 1)
    name = "test-dc1-metrics-agent-config"
    text = (await stage.found(one, CONFIG_MAPS, name, CONTEXTS[0]))["data"]["metrics-collector.yaml"]
    assert text.splitlines() == [
        "endpoint:",
        '  port: "9999"',
        "relabels:",
        "- action: drop",
        "  regex: .+",
        "  sourceLabels:",
        "  - table",
    ]
    assert live["spec"]["storageConfig"]["additionalVolumes"] == [
        {
            "name": "metrics-agent-config",
            "mountPath": "/opt/management-api/configs",
            "volumeSource": {
                "configMap": {
                    "name": name,
                    "items": [{"key": "metrics-collector.yaml", "path": "metrics-collector.yaml"}],
                }
            },
        }
    ]


async def test_convert_system_replication_annotation(one: Rig) -> None:
    old = {"k8ssandra.io/initial-system-replication": '{"datacenters":["dc1","dc2"],"replicationFactor":3}'}
    await one.apply(cluster(datacenter(1), datacenter(2), annotations=old))

    async def converted() -> bool:
        found = await one.get(K8SSANDRA_CLUSTERS, "test") or {}
        text = found["metadata"]["annotations"]["k8ssandra.io/initial-system-replication"]
        return bool(text == '{"dc1":3,"dc2":3}')

    await eventually(converted, "the annotation is a map")
    live = await made(one, 1)
    options = live["spec"]["config"]["cassandra-env-sh"]["additional-jvm-opts"]
    assert "-Dcassandra.system_distributed_replication=dc1:3,dc2:3" in options


@pytest.mark.timeout(120)
async def test_check_deletion(one: Rig) -> None:
    """Everything that was made for any datacenter goes; what others made there stays."""
    await one.apply(cluster(datacenter(1), datacenter(2), datacenter(3), clusterName="Other Name"))
    await one.ready("test")
    for context in CONTEXTS:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "labels": {"app": "x"}}}
        await one.client(context).create(CONFIG_MAPS, one.namespace, body)
    await stage.delete(one)
    assert await made_so_far(one) == []
    # Secrets go when the garbage collector takes their owner, whose kind it may have to find out about first.
    await eventually(lambda: nothing_is_left(one), "nothing is left of it", 90)
    for context in CONTEXTS:
        assert "theirs" in await one.names(CONFIG_MAPS, context)


async def nothing_is_left(one: Rig) -> bool:
    """Whether no data plane has an object that is labelled for a cluster."""
    names = []
    for context in CONTEXTS:
        for resource in (SECRETS, CONFIG_MAPS, ENDPOINT_SLICES, CASSANDRA_DATACENTERS):
            found = await one.client(context).list_all(resource, one.namespace)
            names += [obj.head.name for obj in found if labels.CLUSTER_NAME in (obj.head.labels or {})]
    return names == []
