"""What is surprising in the reference operator but visible in a remote object: kept on purpose, each by a test."""

from __future__ import annotations

from typing import Any

from controller.cassandra.render import StorePasswords
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.kube.resources import CONFIG_MAPS
from tests.integration.rig import CONTEXTS, Rig, eventually
from tests.parity import stage
from tests.unit.cassandra.samples import STORAGE, cluster, datacenter, only, rendered, spec_of

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def volume(name: str) -> dict[str, Any]:
    return {"name": name, "mountPath": f"/{name}", "pvcSpec": CLAIM}


def volumes(spec: dict[str, Any]) -> list[str]:
    return [entry["name"] for entry in spec["storageConfig"]["additionalVolumes"]]


def test_a_datacenters_zero_does_not_override_the_clusters_number() -> None:
    given = cluster(datacenter(podSecurityContext={"runAsUser": 0}), podSecurityContext={"runAsUser": 999})
    assert spec_of(given)["podTemplateSpec"]["spec"]["securityContext"] == {"runAsUser": 999}


def test_a_datacenters_false_overrides_the_clusters_true() -> None:
    resources = {"limits": {"cpu": "1", "memory": "4Gi"}, "requests": {"cpu": "1", "memory": "4Gi"}}
    given = cluster(datacenter(softPodAntiAffinity=False), softPodAntiAffinity=True, resources=resources)
    assert not spec_of(given).get("allowMultipleNodesPerWorker", False)


def test_a_workload_of_the_cluster_cannot_be_switched_off_for_a_datacenter() -> None:
    workloads = {"searchEnabled": True}
    given = cluster(
        datacenter(dseWorkloads={"searchEnabled": False}),
        serverType="dse",
        serverVersion="6.8.25",
        dseWorkloads=workloads,
    )
    assert spec_of(given)["dseWorkloads"] == workloads


def test_additional_volumes_of_a_datacenters_storage_replace_those_of_the_cluster() -> None:
    given = cluster(
        datacenter(storageConfig={"additionalVolumes": [volume("two")]}),
        storageConfig={**STORAGE, "additionalVolumes": [volume("one")]},
    )
    assert volumes(spec_of(given)) == ["two", "metrics-agent-config"]


def test_extra_claims_of_a_datacenter_come_beside_those_of_the_cluster() -> None:
    given = cluster(
        datacenter(extraVolumes={"pvcs": [volume("two")]}),
        extraVolumes={"pvcs": [volume("one")]},
    )
    assert volumes(spec_of(given)) == ["one", "two", "metrics-agent-config"]


def test_jvm_options_of_a_datacenter_reset_the_garbage_collector() -> None:
    options = {"config": {"jvmOptions": {"heapSize": "1Gi"}}}
    given = cluster(datacenter(**options), config={"jvmOptions": {"gc": "ZGC"}})
    assert spec_of(given)["config"]["jvm11-server-options"]["garbage_collector"] == "G1GC"


def test_the_agents_config_map_is_made_for_every_datacenter() -> None:
    made = rendered(cluster(datacenter("dc1"), datacenter("dc2"))).datacenters
    assert [[entry["metadata"]["name"] for entry in each.config_maps] for each in made] == [
        ["demo-dc1-metrics-agent-config"],
        ["demo-dc2-metrics-agent-config"],
    ]


def test_users_are_made_by_the_first_datacenter_in_the_order_of_deployment() -> None:
    search = datacenter("dc1", dseWorkloads={"searchEnabled": True})
    made = rendered(cluster(search, datacenter("dc2"), serverType="dse", serverVersion="6.8.25")).datacenters
    key = "cassandra.datastax.com/skip-user-creation"
    skip = {each.name: each.object["metadata"]["annotations"].get(key) for each in made}
    assert skip == {"dc2": None, "dc1": "true"}


def test_rebuild_counts_for_the_cluster_only_and_that_is_said() -> None:
    given = cluster(datacenter(rebuild={"maxConcurrentRebuilds": 1}))
    assert [problem.field for problem in rendered(given).warnings] == ["spec.cassandra.datacenters[0].rebuild"]


def test_passwords_of_stores_stand_in_the_datacenters_specification() -> None:
    """In a Secret they would be safer; cass-operator reads them from there."""
    stores = {"keystoreSecretRef": {"name": "stores"}, "truststoreSecretRef": {"name": "stores"}}
    yaml = {"cassandraYaml": {"server_encryption_options": {"internode_encryption": "all"}}}
    passwords = {"dc1": {"server": StorePasswords(keystore="k", truststore="t")}}
    made = only(cluster(serverEncryptionStores=stores, config=yaml), passwords=passwords)
    found = made["spec"]["config"]["cassandra-yaml"]["server_encryption_options"]
    assert (found["keystore_password"], found["truststore_password"]) == ("k", "t")


# ── and what is wrong there, done right ─────────────────────────────────────────────────────────────


async def test_a_foreign_config_map_for_single_nodes_is_named_and_stays(by_hand: Rig) -> None:
    """The reference stops there for ever, and says nothing."""
    one = by_hand
    name = "test-dc1-per-node-config"
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"theirs": "x"}}
    await one.client(CONTEXTS[0]).create(CONFIG_MAPS, one.namespace, theirs)
    await one.apply(stage.cluster(config={"cassandraYaml": {"num_tokens": 4}}))

    async def named() -> bool:
        condition = await one.condition(K8SSANDRA_CLUSTERS, "test")
        return condition.get("reason") == "NameConflict" and name in condition["message"]

    await eventually(named, "the conflict is named")
    assert (await one.get(CONFIG_MAPS, name, CONTEXTS[0]) or {})["data"] == {"theirs": "x"}
