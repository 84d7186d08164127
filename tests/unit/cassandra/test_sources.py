"""Rendering that leans on Secrets and ConfigMaps of users, through the whole controller."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.cassandra.sources import LOOK_AGAIN, READ_AGAIN
from controller.kube.resources import CONFIG_MAPS, SECRETS
from controller.sandbox.apiserver import Fault
from tests.unit.cassandra.rig import CONTEXTS, NAMESPACE, Rig, rig
from tests.unit.cassandra.samples import datacenter, manifest

pytestmark = pytest.mark.looptime


def encrypted() -> dict[str, Any]:
    references = {f"{store}SecretRef": {"name": "stores", "key": store} for store in ("keystore", "truststore")}
    config = {"cassandraYaml": {"server_encryption_options": {"internode_encryption": "all"}}}
    found = manifest(datacenter("dc1"), datacenter("dc2"), serverEncryptionStores=references, config=config)
    found["metadata"] = {"name": "demo", "namespace": NAMESPACE}
    return found


def stores(**passwords: str) -> dict[str, Any]:
    data = {f"{store}-password": base64.b64encode(text.encode()).decode() for store, text in passwords.items()}
    metadata = {"name": "stores", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def per_node() -> dict[str, Any]:
    found = manifest(datacenter("dc1", perNodeConfigMapRef={"name": "nodes"}))
    found["metadata"] = {"name": "demo", "namespace": NAMESPACE}
    return found


def nodes(**data: str) -> dict[str, Any]:
    metadata = {"name": "nodes", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def options(one: Rig, name: str, context: str) -> dict[str, Any]:
    found = await one.get(CASSANDRA_DATACENTERS, name, context)
    options: dict[str, Any] = found["spec"]["config"]["cassandra-yaml"]["server_encryption_options"]
    return options


async def node_hash(one: Rig) -> str:
    found = await one.get(CASSANDRA_DATACENTERS, "dc1", "kind-dc1")
    return str(found["spec"]["podTemplateSpec"]["metadata"]["annotations"][labels.PER_NODE_CONFIG_HASH])


async def test_passwords_of_stores_are_read_in_the_cluster_of_each_datacenter() -> None:
    async with rig() as one:
        for number, context in enumerate(CONTEXTS):
            one.apply(stores(keystore=f"key {number}", truststore=f"trust {number}"), context)
        one.apply(encrypted())
        await one.ready()
        for number, (name, context) in enumerate(zip(("dc1", "dc2"), CONTEXTS, strict=True)):
            found = await options(one, name, context)
            assert (found["keystore_password"], found["truststore_password"]) == (f"key {number}", f"trust {number}")
        assert [seen for seen in await one.quiet() if seen.writes] == []


async def test_stores_that_are_missing_are_said_and_found_when_they_come() -> None:
    async with rig() as one:
        one.apply(stores(keystore="key", truststore="trust"), "kind-dc1")
        one.apply(encrypted())
        said = await one.says("SecretNotFound", "DatacenterReady.dc2")
        assert "spec.cassandra.serverEncryptionStores" in said["message"]
        one.apply(stores(keystore="key", truststore="trust"), "kind-dc2")
        started = asyncio.get_running_loop().time()
        await one.ready()
        assert asyncio.get_running_loop().time() - started < LOOK_AGAIN + 15.0


async def test_a_secret_without_the_password_is_named_with_its_key() -> None:
    async with rig() as one:
        one.apply(stores(keystore="key"), "kind-dc1")
        one.apply(encrypted())
        said = await one.says("SecretKeyMissing", "DatacenterReady.dc1")
        assert "Secret ns/stores has no password under the key 'truststore-password'" in said["message"]


async def test_another_password_is_said_and_not_rolled_out_unasked() -> None:
    async with rig() as one:
        for context in CONTEXTS:
            one.apply(stores(keystore="key", truststore="trust"), context)
        one.apply(encrypted())
        await one.ready()
        one.apply(stores(keystore="another", truststore="trust"), "kind-dc1")
        await asyncio.sleep(READ_AGAIN + 60.0)
        assert (await one.condition("RequiresUpdate"))["status"] == "True"
        assert (await options(one, "dc1", "kind-dc1"))["keystore_password"] == "key"
        await one.patch(K8SSANDRA_CLUSTERS, "demo", {"metadata": {"annotations": {labels.AUTOUPDATE_SPEC: "once"}}})
        await one.ready()
        assert (await options(one, "dc1", "kind-dc1"))["keystore_password"] == "another"


async def test_a_password_is_nowhere_but_in_the_datacenter() -> None:
    async with rig() as one:
        for context in CONTEXTS:
            one.apply(stores(keystore="canary-one", truststore="canary-two"), context)
        one.apply(encrypted())
        await one.ready()
        assert "canary" not in repr(await one.get(K8SSANDRA_CLUSTERS, "demo"))
        assert one.controller is not None
        assert "canary" not in repr(vars(one.controller._clusters._sources))


async def test_a_config_map_for_single_nodes_is_labelled_and_then_watched() -> None:
    async with rig() as one:
        one.apply(nodes(pod_file="a: 1"), "kind-dc1")
        one.apply(per_node())
        await one.ready()
        found = await one.get(CONFIG_MAPS, "nodes", "kind-dc1")
        assert found["metadata"]["labels"] == labels.owner("demo", NAMESPACE)
        before = await node_hash(one)
        one.apply({**nodes(pod_file="a: 2"), "metadata": found["metadata"]}, "kind-dc1")
        await asyncio.sleep(2.0)
        assert (await one.condition("RequiresUpdate"))["status"] == "True"
        await one.patch(K8SSANDRA_CLUSTERS, "demo", {"metadata": {"annotations": {labels.AUTOUPDATE_SPEC: "once"}}})
        await one.ready()
        assert await node_hash(one) != before
        assert [seen for seen in await one.quiet() if seen.writes] == []


async def test_a_config_map_that_is_missing_is_said() -> None:
    async with rig() as one:
        one.apply(per_node())
        said = await one.says("ConfigMapNotFound", "DatacenterReady.dc1")
        assert "perNodeConfigMapRef" in said["message"]
        one.apply(nodes(pod_file="a: 1"), "kind-dc1")
        await one.ready()


async def test_what_was_read_is_forgotten_with_its_cluster() -> None:
    async with rig() as one:
        one.apply(nodes(pod_file="a: 1"), "kind-dc1")
        one.apply(per_node())
        await one.ready()
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await asyncio.sleep(60.0)
        assert one.controller is not None
        assert one.controller._clusters._sources._readings == {}
        assert (await one.get(CONFIG_MAPS, "nodes", "kind-dc1"))["data"] == {"pod_file": "a: 1"}


async def test_a_secret_that_may_not_be_read_is_said() -> None:
    async with rig() as one:
        fault = Fault(verb="get", resource="secrets", name="stores", status=403, reason="Forbidden", times=None)
        one.servers["kind-dc1"].faults.add(fault)
        one.apply(encrypted())
        await asyncio.sleep(10.0)
        assert "kind-dc1: 403 Forbidden" in (await one.condition())["message"]
        one.servers["kind-dc1"].faults.remove(fault)
        for context in CONTEXTS:
            one.apply(stores(keystore="key", truststore="trust"), context)
        await one.ready()
        assert (await one.get(SECRETS, "stores", "kind-dc1"))["data"]


async def test_d21_a_superuser_secret_with_other_keys_is_said_and_not_replicated() -> None:
    metadata = {"name": "admin", "namespace": NAMESPACE}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"user": "YQ=="}}
    async with rig() as one:
        found = manifest(datacenter("dc1"), superuserSecretRef={"name": "admin"})
        found["metadata"] = {"name": "demo", "namespace": NAMESPACE}
        one.apply(secret)
        one.apply(found)
        said = await one.says("SecretKeyMissing")
        assert "Secret ns/admin has no 'password' and no 'username'" in said["message"]
        await asyncio.sleep(60.0)
        assert "admin" not in await one.names(SECRETS, "kind-dc1")
        one.apply({**secret, "data": {"username": "YQ==", "password": "Yg=="}})
        await one.ready()
        assert (await one.get(SECRETS, "admin", "kind-dc1"))["data"]["password"] == "Yg=="
