"""The reference operator's tests of what a CassandraDatacenter gets from its cluster and from its own entry."""

from __future__ import annotations

from typing import Any

import pytest

from controller.kube.resources import CONFIG_MAPS, SECRETS
from controller.replication.types import REPLICATED_SECRETS
from tests.integration.rig import CONTEXTS, Rig, eventually
from tests.parity import stage
from tests.parity.stage import STORAGE, Json, cluster, datacenter, made

RACKS = [{"name": "r1"}, {"name": "r2"}]
OTHER_RACKS = [{"name": "s1"}, {"name": "s2"}]
SLOW = {"concurrent_reads": 8, "concurrent_writes": 16}


def options(live: Json) -> list[str]:
    """The JVM options of ours and the user's."""
    return list(live["spec"]["config"]["cassandra-env-sh"]["additional-jvm-opts"])


def cassandra_yaml(live: Json) -> Json:
    return dict(live["spec"]["config"]["cassandra-yaml"])


def storage(size: str) -> Json:
    claim = {**STORAGE["cassandraDataVolumeClaimSpec"], "resources": {"requests": {"storage": size}}}
    return {"cassandraDataVolumeClaimSpec": claim}


def requested(live: Json) -> str:
    claim = live["spec"]["storageConfig"]["cassandraDataVolumeClaimSpec"]
    return str(claim["resources"]["requests"]["storage"])


async def test_apply_cluster_template_configs(by_hand: Rig) -> None:
    one = by_hand
    await one.apply(
        cluster(
            datacenter(1, size=2),
            datacenter(2, size=3),
            superuserSecretRef={"name": "chosen"},
            serverImage="registry.example.com/cassandra:4",
            networking={"hostNetwork": True},
            racks=RACKS,
            config={"cassandraYaml": SLOW, "jvmOptions": {"heapSize": "1Gi"}},
        )
    )
    for number in (1, 2):
        live = await made(one, number)
        spec = live["spec"]
        assert spec["size"] == number + 1
        assert (spec["serverType"], spec["serverVersion"]) == ("cassandra", "4.0.17")
        assert spec["serverImage"] == "registry.example.com/cassandra:4"
        assert spec["superuserSecretName"] == "chosen"
        assert requested(live) == "5Gi"
        assert spec["networking"] == {"hostNetwork": True}
        assert spec["racks"] == RACKS
        assert SLOW.items() <= cassandra_yaml(live).items()
        assert spec["config"]["jvm-server-options"]["max_heap_size"] == 1024**3
        await stage.set_ready(one, number)


async def test_apply_datacenter_template_configs(by_hand: Rig) -> None:
    one = by_hand
    first = datacenter(
        1,
        size=2,
        serverVersion="4.1.3",
        storageConfig=storage("7Gi"),
        networking={"hostNetwork": True},
        racks=RACKS,
        config={"cassandraYaml": SLOW},
    )
    second = datacenter(2, size=2, serverVersion="4.1.3", storageConfig=storage("8Gi"), racks=OTHER_RACKS)
    wanted = cluster(first, second)
    del wanted["spec"]["cassandra"]["serverVersion"], wanted["spec"]["cassandra"]["storageConfig"]
    await one.apply(wanted)
    live = await made(one, 1)
    assert (live["spec"]["size"], live["spec"]["serverVersion"], requested(live)) == (2, "4.1.3", "7Gi")
    assert (live["spec"]["networking"], live["spec"]["racks"]) == ({"hostNetwork": True}, RACKS)
    assert SLOW.items() <= cassandra_yaml(live).items()
    await stage.set_ready(one, 1)
    other = await made(one, 2)
    assert (other["spec"]["serverVersion"], requested(other), other["spec"]["racks"]) == ("4.1.3", "8Gi", OTHER_RACKS)
    assert "networking" not in other["spec"]
    assert not SLOW.keys() & cassandra_yaml(other).keys()


async def test_apply_cluster_template_and_datacenter_template_configs(by_hand: Rig) -> None:
    """The datacenter's own entry wins, key by key where a field is a map."""
    one = by_hand
    await one.apply(
        cluster(
            datacenter(1, size=2),
            datacenter(
                2,
                size=4,
                serverVersion="4.1.3",
                storageConfig=storage("9Gi"),
                networking={"hostNetwork": False},
                racks=OTHER_RACKS,
                config={"cassandraYaml": {"concurrent_reads": 32}},
            ),
            networking={"hostNetwork": True},
            racks=RACKS,
            config={"cassandraYaml": SLOW},
        )
    )
    live = await made(one, 1)
    assert (live["spec"]["serverVersion"], requested(live), live["spec"]["racks"]) == ("4.0.17", "5Gi", RACKS)
    assert live["spec"]["networking"] == {"hostNetwork": True}
    await stage.set_ready(one, 1)
    other = await made(one, 2)
    assert (other["spec"]["serverVersion"], requested(other)) == ("4.1.3", "9Gi")
    assert not other["spec"].get("networking", {}).get("hostNetwork", False)
    assert [rack["name"] for rack in other["spec"]["racks"]] == ["r1", "r2", "s1", "s2"]
    assert {"concurrent_reads": 32, "concurrent_writes": 16}.items() <= cassandra_yaml(other).items()


async def test_a_cassandra_4_cluster_may_alter_replication_while_nodes_move(by_hand: Rig) -> None:
    """Of CreateSingleDcCassandra4ClusterWithStargate what does not need a Stargate."""
    await by_hand.apply(cluster(config={"jvmOptions": {"additionalOptions": ["-Dtheirs=1"]}}))
    assert options(await made(by_hand, 1)) == [
        "-Dcassandra.allow_alter_rf_during_range_movement=true",
        "-Dcassandra.system_distributed_replication=dc1:1",
        "-Dtheirs=1",
    ]


async def test_create_single_dc_cluster_with_management_api_secured(by_hand: Rig) -> None:
    """Its Secrets come first, also from the control plane: without them no pod would start."""
    one = by_hand
    manual = {"manual": {"clientSecretName": "client-certs", "serverSecretName": "server-certs"}}
    await one.apply(cluster(managementApiAuth=manual))
    waits = await stage.said(one, "DatacenterReady.dc1", "False")
    assert waits["reason"] in ("SecretNotFound", "SecretsNotReplicated", "Connecting")
    for name in ("client-certs", "server-certs"):
        data = dict.fromkeys(("ca.crt", "tls.crt", "tls.key"), "eA==")
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
        await one.client().create(SECRETS, one.namespace, {**body, "type": "kubernetes.io/tls"})
    assert (await made(one, 1))["spec"]["managementApiAuth"] == manual


@pytest.mark.parametrize(
    ("auth", "authenticator", "authorizer"),
    [(True, "PasswordAuthenticator", "CassandraAuthorizer"), (False, "AllowAllAuthenticator", "AllowAllAuthorizer")],
    ids=["auth", "no-auth"],
)
async def test_create_single_dc_cluster_auth_and_no_auth(
    one: Rig, auth: bool, authenticator: str, authorizer: str
) -> None:
    """Without logins there is a superuser all the same: they can be switched on later."""
    await one.apply(cluster(spec={"auth": auth}))
    await one.ready("test")
    live = await made(one, 1)
    wanted = {"authenticator": authenticator, "authorizer": authorizer, "role_manager": "CassandraRoleManager"}
    assert wanted.items() <= cassandra_yaml(live).items()
    assert live["spec"]["superuserSecretName"] == "test-superuser"
    for context in ("", CONTEXTS[0]):
        assert await one.get(SECRETS, "test-superuser", context) is not None


async def test_create_single_dc_cluster_auth_external_secrets(one: Rig) -> None:
    await one.apply(cluster(spec={"auth": True, "secretsProvider": "external"}))
    await one.ready("test")
    live = await made(one, 1)
    assert cassandra_yaml(live)["authenticator"] == "PasswordAuthenticator"
    assert "superuserSecretName" not in live["spec"]
    assert await one.names(REPLICATED_SECRETS) == []
    for context in ("", CONTEXTS[0]):
        assert await one.get(SECRETS, "test-superuser", context) is None


async def test_create_single_dc_cluster_external_internode(by_hand: Rig) -> None:
    """Stores that another system puts into the pods: the setting stays, and no volume is made for it."""
    encryption = {"internode_encryption": "all", "keystore": "/theirs/keystore", "truststore": "/theirs/truststore"}
    config = {"cassandraYaml": {"server_encryption_options": encryption}}
    await by_hand.apply(cluster(spec={"secretsProvider": "external"}, config=config))
    live = await made(by_hand, 1)
    assert cassandra_yaml(live)["server_encryption_options"] == encryption
    assert "volumes" not in live["spec"]["podTemplateSpec"]["spec"]


async def test_inject_containers_and_volumes(by_hand: Rig) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    volumes = {
        "volumes": [{"name": "scratch", "emptyDir": {}}],
        "pvcs": [{"name": "logs", "mountPath": "/logs", "pvcSpec": claim}],
    }
    extra = {"name": "commit", "mountPath": "/commit", "pvcSpec": claim}
    await by_hand.apply(
        cluster(
            initContainers=[{"name": "server-config-init"}, {"name": "first", "image": "example.com/first"}],
            containers=[{"name": "sidecar", "image": "example.com/sidecar"}],
            storageConfig={**STORAGE, "additionalVolumes": [extra]},
            extraVolumes=volumes,
        )
    )
    live = await made(by_hand, 1)
    pod = live["spec"]["podTemplateSpec"]["spec"]
    assert [entry["name"] for entry in pod["initContainers"]] == ["server-config-init", "first"]
    assert [entry["name"] for entry in pod["containers"]] == ["sidecar", "cassandra"]
    assert [entry["name"] for entry in pod["volumes"]] == ["scratch"]
    additional = live["spec"]["storageConfig"]["additionalVolumes"]
    assert [(entry["name"], entry["mountPath"]) for entry in additional] == [
        ("commit", "/commit"),
        ("logs", "/logs"),
        ("metrics-agent-config", "/opt/management-api/configs"),
    ]


async def test_per_node_configuration_default(by_hand: Rig) -> None:
    """Few tokens: every node gets its own, and an init container puts them into its configuration."""
    one = by_hand
    await one.apply(cluster(datacenter(1, size=3), config={"cassandraYaml": {"num_tokens": 4}}))
    live = await made(one, 1)
    name = "test-dc1-per-node-config"
    data = (await stage.found(one, CONFIG_MAPS, name, CONTEXTS[0]))["data"]
    assert sorted(data) == [f"test-dc1-default-sts-{number}_cassandra.yaml" for number in range(3)]
    assert all(text.startswith("\ninitial_token: ") and text.count(",") == 3 for text in data.values())
    template = live["spec"]["podTemplateSpec"]
    assert template["metadata"]["annotations"]["k8ssandra.io/per-node-config-hash"]
    assert [entry["name"] for entry in template["spec"]["initContainers"]] == ["server-config-init", "per-node-config"]
    assert template["spec"]["volumes"] == [{"name": "per-node-config", "configMap": {"name": name}}]


async def test_per_node_configuration_user_defined(one: Rig) -> None:
    """The user's own ConfigMap is labelled and watched; another content reaches the pods, and nothing else of it."""
    own: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "mine", "labels": {"theirs": "x"}},
        "data": {"test-dc1-default-sts-0_cassandra.yaml": "initial_token: 1"},
    }
    await one.client(CONTEXTS[0]).create(CONFIG_MAPS, one.namespace, own)
    await one.apply(cluster(datacenter(1, perNodeConfigMapRef={"name": "mine"})))
    template = (await made(one, 1))["spec"]["podTemplateSpec"]
    assert template["spec"]["volumes"] == [{"name": "per-node-config", "configMap": {"name": "mine"}}]
    before = template["metadata"]["annotations"]["k8ssandra.io/per-node-config-hash"]
    await one.ready("test")
    live = await stage.found(one, CONFIG_MAPS, "mine", CONTEXTS[0])
    assert live["data"] == own["data"]
    assert {"theirs": "x", "k8ssandra.io/cluster-name": "test"}.items() <= live["metadata"]["labels"].items()
    changed = {"data": {"test-dc1-default-sts-0_cassandra.yaml": "initial_token: 2"}}
    await one.client(CONTEXTS[0]).patch(CONFIG_MAPS, one.namespace, "mine", changed, kind="merge")
    # Nobody changed the K8ssandraCluster: the roll-out is asked for as the reference asks for it.
    await stage.change(one, {"metadata": {"annotations": {"k8ssandra.io/autoupdate-spec": "once"}}})

    async def hashed() -> bool:
        annotations = (await made(one, 1))["spec"]["podTemplateSpec"]["metadata"]["annotations"]
        return bool(annotations["k8ssandra.io/per-node-config-hash"] != before)

    await eventually(hashed, "the pods have the hash of the new content")
    await one.ready("test")
