"""Secrets of K8ssandraClusters end to end: superuser, encryption stores, by whoever provides them."""

from __future__ import annotations

import base64
from typing import Any

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube.resources import SECRETS
from controller.replication.types import FINALIZER, REPLICATED_FROM, REPLICATED_SECRETS
from controller.sandbox.applier import Applier, read_file
from tests.integration.rig import CONTEXTS, SAMPLES, Rig, eventually, quiet

BUDGET = 60  # requests for the sample with everything; reads and writes, without watches, probes and Events
_CLIENT_ON = {"client_encryption_options": {"enabled": True}}
_SERVER_ON = {"server_encryption_options": {"internode_encryption": "all"}}


def stores(side: str) -> dict[str, Any]:
    """References to two Secrets of a user, passwords beside the stores."""
    return {f"{store}SecretRef": {"name": f"{side}-{store}"} for store in ("keystore", "truststore")}


def store(name: str) -> dict[str, Any]:
    kind = name.rpartition("-")[2]
    values = {kind: f"the {name}", f"{kind}-password": f"word of {name}"}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "data": data}


STORES = [store(f"{side}-{kind}") for side in ("client", "server") for kind in ("keystore", "truststore")]


def cluster(one: Rig, size: int = 1, spec: dict[str, Any] | None = None, **cassandra: Any) -> dict[str, Any]:
    """The sample with so many datacenters."""
    document = one.sample()
    document["spec"]["cassandra"].update(cassandra)
    del document["spec"]["cassandra"]["datacenters"][size:]
    document["spec"].update(spec or {})
    return document


def encrypted(one: Rig, *sides: str, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    yaml = {**(_CLIENT_ON if "client" in sides else {}), **(_SERVER_ON if "server" in sides else {})}
    named = {f"{side}EncryptionStores": stores(side) for side in sides}
    return cluster(one, spec=spec, config={"cassandraYaml": yaml}, **named)


async def put(one: Rig, manifest: dict[str, Any], context: str = "") -> None:
    await Applier(one.client(context)).apply(manifest, namespace=one.namespace)


async def datacenter(one: Rig) -> dict[str, Any]:
    """The specification of the first CassandraDatacenter."""
    found = await one.get(CASSANDRA_DATACENTERS, "dc1", CONTEXTS[0]) or {}
    spec: dict[str, Any] = found["spec"]
    return spec


async def says(one: Rig, reason: str) -> str:
    async def said() -> bool:
        return bool((await one.condition(K8SSANDRA_CLUSTERS, "demo")).get("reason") == reason)

    await eventually(said, f"the cluster says {reason}")
    return str((await one.condition(K8SSANDRA_CLUSTERS, "demo"))["message"])


async def test_create_multi_dc_cluster_with_replicated_secrets(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    found = await one.get(REPLICATED_SECRETS, "demo") or {}
    assert found["spec"] == {
        "selector": {"matchLabels": labels.replicated("demo", one.namespace)},
        "replicationTargets": [{"k8sContextName": context} for context in CONTEXTS],
    }
    assert found["metadata"]["finalizers"] == [FINALIZER]
    assert [owner["kind"] for owner in found["metadata"]["ownerReferences"]] == ["K8ssandraCluster"]
    source = await one.get(SECRETS, "demo-superuser") or {}
    for context in CONTEXTS:
        copy = await one.get(SECRETS, "demo-superuser", context) or {}
        assert (copy["data"], copy["type"]) == (source["data"], source["type"])
        assert copy["metadata"]["labels"][REPLICATED_FROM] == f"{one.namespace}.demo"
        posts = [seen.path for seen in one.writes() if seen.method == "POST" and seen.context == context]
        made = [path.rpartition("/")[2] for path in posts]
        assert made.index("secrets") < made.index("cassandradatacenters")


async def test_create_single_dc_cluster_external_internode(one: Rig) -> None:
    await one.start()
    await one.apply(encrypted(one, "server", spec={"secretsProvider": "external"}))
    await one.ready()
    spec = await datacenter(one)
    assert spec["config"]["cassandra-yaml"]["server_encryption_options"] == {"internode_encryption": "all"}
    volumes = [volume["name"] for volume in spec["podTemplateSpec"]["spec"].get("volumes", [])]
    assert [name for name in volumes if "store" in name] == []


async def test_apply_cluster_with_encryption_options(one: Rig) -> None:
    await one.start()
    for secret in STORES:  # where the reference has them: beside the datacenter, and nowhere else
        await put(one, secret, CONTEXTS[0])
    await one.apply(encrypted(one, "client", "server"))
    await one.ready()
    spec = await datacenter(one)
    for side in ("client", "server"):
        found = spec["config"]["cassandra-yaml"][f"{side}_encryption_options"]
        for kind in ("keystore", "truststore"):
            assert found[kind] == f"/mnt/{side}-{kind}/{kind}"
            assert found[f"{kind}_password"] == f"word of {side}-{kind}"
    pod = spec["podTemplateSpec"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    wanted = {f"{side}-{kind}" for side in ("client", "server") for kind in ("keystore", "truststore")}
    assert {name for name in mounts if "store" in name} == wanted
    volumes = {volume["name"]: volume.get("secret", {}).get("secretName") for volume in pod["volumes"]}
    assert {name: volumes[name] for name in wanted} == {name: name for name in wanted}
    options = spec["config"]["cassandra-env-sh"]["additional-jvm-opts"]
    assert "-Dcom.sun.management.jmxremote.ssl=true" in options
    assert await one.names(REPLICATED_SECRETS) == ["demo"]


async def test_apply_cluster_with_encryption_options_fail(one: Rig) -> None:
    await one.start()
    for secret in STORES[:3]:
        await put(one, secret, CONTEXTS[0])
    await one.apply(encrypted(one, "client", "server"))
    message = await says(one, "SecretNotFound")
    assert f"Secret {one.namespace}/server-truststore is not there in context {CONTEXTS[0]}" in message
    await quiet(one)
    assert await one.names(CASSANDRA_DATACENTERS, CONTEXTS[0]) == []
    await put(one, STORES[3])  # in the control plane, which is seen at once
    await one.ready()


async def test_apply_cluster_with_encryption_options_external_secrets(one: Rig) -> None:
    await one.start()
    await one.apply(encrypted(one, "client", "server", spec={"secretsProvider": "external"}))
    await one.ready()
    spec = await datacenter(one)
    assert spec["config"]["cassandra-yaml"]["client_encryption_options"] == {"enabled": True}
    options = spec["config"]["cassandra-env-sh"]["additional-jvm-opts"]
    assert {option for option in options if "ssl" in option.lower()} == {
        "-Dcom.sun.management.jmxremote.ssl.need.client.auth=true",
        "-Dcom.sun.management.jmxremote.ssl=true",
    }


async def test_stores_of_the_control_plane_follow_to_the_datacenters_and_go_with_the_cluster(one: Rig) -> None:
    await one.start()
    for secret in STORES:
        await put(one, secret)
    await one.apply(encrypted(one, "client", "server"))
    await one.ready()
    names = {secret["metadata"]["name"] for secret in STORES}
    assert names <= set(await one.names(SECRETS, CONTEXTS[0]))
    rotated = {"data": {"keystore": base64.b64encode(b"rotated").decode()}}
    await one.client().patch(SECRETS, one.namespace, "client-keystore", rotated, kind="merge")

    async def followed() -> bool:
        found = await one.get(SECRETS, "client-keystore", CONTEXTS[0]) or {}
        return bool(found["data"]["keystore"] == rotated["data"]["keystore"])

    await eventually(followed, "the rotated store is in the data plane", within=5.0)
    live = await one.client().get(K8SSANDRA_CLUSTERS, one.namespace, "demo")
    await one.client().delete(K8SSANDRA_CLUSTERS, one.namespace, "demo", uid=live.head.uid)

    async def gone() -> bool:
        return not names & set(await one.names(SECRETS, CONTEXTS[0]))

    async def collected() -> bool:
        return not await one.names(REPLICATED_SECRETS)

    await eventually(gone, "the copies are gone with the cluster")
    # kube-controller-manager learns of new kinds every 30 s, and collects nothing of theirs before.
    await eventually(collected, "the ReplicatedSecrets are gone too", within=90.0)
    kept = await one.get(SECRETS, "client-keystore") or {}
    assert not [key for key in kept["metadata"].get("labels") or {} if key.startswith(labels.STORES_OF)]


async def test_the_full_sample_gets_ready_within_its_budget_and_then_nothing_is_written(one: Rig) -> None:
    await one.start()
    await connected(one)
    since = len(one.seen)
    for document in read_file(SAMPLES / "full.yaml"):
        await one.world.apply(document, namespace=one.namespace)
    await one.ready("full")
    await quiet(one)
    made = [seen for seen in one.requests(since=since) if "/clientconfigs/" not in seen.path]
    assert len([seen for seen in made if "/proxy" not in seen.path]) <= BUDGET
    since = len(one.seen)
    await quiet(one)
    assert one.writes(since=since) == []
    for context in CONTEXTS:
        found = set(await one.names(SECRETS, context))
        assert found >= {"full-superuser", "full-client-stores", "full-server-stores"}
        assert "full-server-passwords" not in found


async def connected(one: Rig) -> None:
    async def all_are() -> bool:
        return {await one.reason(context) for context in CONTEXTS} == {"Connected"}

    await eventually(all_are, "every data plane is connected")
