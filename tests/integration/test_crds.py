"""The definitions on a server: taken as they are, and what is written is kept, defaulted or refused as promised."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from controller.cassandra.compare import diff_fields
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube import errors
from controller.kube.client import Client
from controller.kube.resources import CRDS, Resource
from controller.replication.types import REPLICATED_SECRETS
from controller.sandbox.crds import control_plane_crds, data_plane_crds, published_crds
from controller.tasks.types import K8SSANDRA_TASKS
from tests import golden
from tests.servers import servers
from tests.unit.cassandra.samples import datacenter, manifest, rendered, typed


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(server_kind: str) -> AsyncIterator[Client]:
    """A server with our definitions and with those of a data plane."""
    async with servers(server_kind) as (server,):
        client = Client(server.transport())
        await install(client, [*control_plane_crds(), *data_plane_crds()])
        yield client
        await client.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def reference(server_kind: str) -> AsyncIterator[Client]:
    """A server with the definitions in the published shape."""
    async with servers(server_kind) as (server,):
        client = Client(server.transport())
        await install(client, published_crds())
        yield client
        await client.close()


async def install(client: Client, definitions: list[dict[str, Any]]) -> None:
    """Create the definitions; wait until their kinds are served and nothing is wrong with their schemas."""
    for definition in definitions:
        await client.create(CRDS, "", definition)
    async with asyncio.timeout(30):
        for definition in definitions:
            await _established(client, definition["metadata"]["name"])


async def _established(client: Client, name: str) -> None:
    while True:
        live = (await client.get(CRDS, "", name)).decode(dict[str, Any])
        conditions = {entry["type"]: entry for entry in live.get("status", {}).get("conditions") or []}
        assert conditions.get("NonStructuralSchema", {}).get("status") != "True", conditions["NonStructuralSchema"]
        if conditions.get("Established", {}).get("status") == "True":
            break
        await asyncio.sleep(0.05)
    spec = live["spec"]
    resource = Resource(spec["group"], spec["versions"][0]["name"], spec["names"]["kind"], spec["names"]["plural"])
    while not await _listed(client, resource):  # a kind is served a moment after it is established
        await asyncio.sleep(0.05)


async def _listed(client: Client, resource: Resource) -> bool:
    try:
        await client.list_page(resource, "default")
    except errors.NotFound:
        return False
    return True


async def created(client: Client, obj: dict[str, Any]) -> dict[str, Any]:
    """The K8ssandraCluster as the server keeps it."""
    made = await client.create(K8SSANDRA_CLUSTERS, "default", {**obj, "metadata": {"generateName": "demo-"}})
    return made.decode(dict[str, Any])


EVERYTHING = {
    "resources": {"limits": {"cpu": 2, "memory": "4Gi"}, "claims": [{"name": "c"}], "newField": 1},
    "racks": [{"name": "r1", "affinity": {"nodeAffinity": {"x": [1]}}}, {"name": "r2", "zone": "z"}],
    "containers": [{"name": "c", "image": "i", "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}],
    "config": {
        "cassandraYaml": {"a": {"b": [1, "2", True, None, 0.5]}, "num_tokens": 8},
        "jvmOptions": {"heap_max_size": "512Mi", "gc_g1_max_gc_pause_ms": 300, "additionalOptions": []},
    },
    "mgmtAPIHeap": "64Mi",
    "managementApiAuth": {"insecure": {}},
    "networking": {"hostNetwork": False, "nodePort": {"nativeSSL": 30001}},
    "extraVolumes": {"volumes": [{"name": "v", "emptyDir": {}}], "pvcs": [{"name": "p", "mountPath": "/p"}]},
    "telemetry": {"cassandra": {"relabels": [{"regex": "a", "sourceLabels": ["b"]}], "endpoint": {"port": "1"}}},
    "metadata": {"services": {"allPodsService": {"labels": {"a": "b"}}}, "pods": {"annotations": {"c": "d"}}},
    "cdc": {"pulsarServiceUrl": "u", "cdcPollIntervalM": 1},
}


async def test_our_definitions_are_taken(client: Client) -> None:
    for resource in (CLIENT_CONFIGS, K8SSANDRA_CLUSTERS, REPLICATED_SECRETS, K8SSANDRA_TASKS, CASSANDRA_DATACENTERS):
        assert await client.served(resource)


async def test_the_published_shape_prunes_what_ours_keeps(client: Client, reference: Client) -> None:
    condition = {"type": "Ready", "status": "True", "reason": "Fine", "message": "All is well"}
    kept = []
    for server in (client, reference):
        made = await created(server, manifest())
        live = await server.patch(
            K8SSANDRA_CLUSTERS,
            "default",
            made["metadata"]["name"],
            {"status": {"conditions": [condition]}},
            kind="merge",
            subresource="status",
        )
        kept.append(live.decode(dict[str, Any])["status"]["conditions"])
    assert kept == [[condition], [{"type": "Ready", "status": "True"}]]


async def test_a_published_client_config_has_no_status_to_write(client: Client, reference: Client) -> None:
    obj = {
        "apiVersion": CLIENT_CONFIGS.api_version,
        "kind": CLIENT_CONFIGS.kind,
        "metadata": {"name": "a"},
        "spec": {"kubeConfigSecret": {"name": "a"}},
    }
    for server in (client, reference):
        await server.create(CLIENT_CONFIGS, "default", obj)
    patch = {"status": {"serverVersion": "v1.36.0"}}
    await client.patch(CLIENT_CONFIGS, "default", "a", patch, kind="merge", subresource="status")
    with pytest.raises(errors.NotFound):
        await reference.patch(CLIENT_CONFIGS, "default", "a", patch, kind="merge", subresource="status")


async def test_nothing_that_a_user_writes_is_lost(client: Client) -> None:
    given = manifest(datacenter(**EVERYTHING), **EVERYTHING)
    kept = await created(client, given)
    assert diff_fields(given["spec"], kept["spec"]) == []


async def test_rendering_what_a_server_kept_changes_nothing(client: Client) -> None:
    plain = {key: value for key, value in EVERYTHING.items() if key != "extraVolumes"}
    given = manifest(datacenter("dc1", **plain), datacenter("dc2"))
    kept = await created(client, given)
    kept["metadata"].update(name="demo", namespace="ns", uid="uid-1")
    first, again = rendered(typed(given)), rendered(typed(kept))
    assert first.errors == ()
    assert first.datacenters == again.datacenters


async def test_defaults_are_filled_in(client: Client) -> None:
    kept = (await created(client, manifest(config={"jvmOptions": {}})))["spec"]
    assert (kept["auth"], kept["secretsProvider"]) == (True, "internal")
    assert kept["cassandra"]["serverType"] == "cassandra"
    assert kept["cassandra"]["config"]["jvmOptions"] == {"gc": "G1GC"}
    assert kept["cassandra"]["datacenters"][0]["stopped"] is False


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"serverVersion": "4.0"}, "spec.cassandra.serverVersion"),
        ({"serverType": "scylla"}, "spec.cassandra.serverType"),
        ({"mgmtAPIHeap": "64 MB"}, "spec.cassandra.mgmtAPIHeap"),
        ({"racks": [{"name": "r"}]}, "spec.cassandra.racks[0].name"),
        ({"racks": [{"zone": "a"}]}, "spec.cassandra.racks[0].name"),
        ({"cdc": {"topicPrefix": "a"}}, "spec.cassandra.cdc.pulsarServiceUrl"),
        ({"cdc": {"pulsarServiceUrl": ""}}, "spec.cassandra.cdc.pulsarServiceUrl"),
        ({"extraVolumes": {"pvcs": [{"name": "a"}]}}, "spec.cassandra.extraVolumes.pvcs[0].mountPath"),
        ({"storageConfig": {"additionalVolumes": [{"mountPath": "/"}]}}, "storageConfig.additionalVolumes[0].name"),
        ({"storageConfig": {"additionalVolumes": [{"mountPath": "/", "name": "_"}]}}, "additionalVolumes[0].name"),
        ({"managementApiAuth": {"manual": {}}}, "spec.cassandra.managementApiAuth.manual.clientSecretName"),
        ({"clientEncryptionStores": {}}, "spec.cassandra.clientEncryptionStores.keystoreSecretRef"),
        ({"rebuild": {"maxConcurrentRebuilds": -1}}, "spec.cassandra.rebuild.maxConcurrentRebuilds"),
        ({"config": {"jvmOptions": {"gc_g1_rset_updating_pause_time_percent": 101}}}, "updating_pause_time_percent"),
        ({"telemetry": {"cassandra": {"relabels": [{"action": "x"}]}}}, "telemetry.cassandra.relabels[0].action"),
        ({"spec": {"secretsProvider": "vault"}}, "spec.secretsProvider"),
        ({"config": {"jvmOptions": {"gc": "None"}}}, "spec.cassandra.config.jvmOptions.gc"),
        ({"datacenters": [{"metadata": {"name": "dc1"}, "size": 0}]}, "spec.cassandra.datacenters[0].size"),
        ({"datacenters": [{"metadata": {"name": "dc1"}}]}, "spec.cassandra.datacenters[0].size"),
        ({"datacenters": [{"metadata": {}, "size": 1}]}, "spec.cassandra.datacenters[0].metadata.name"),
    ],
)
async def test_what_is_wrong_is_refused_by_its_path(client: Client, change: dict[str, Any], path: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        await created(client, manifest(**change))
    assert path in caught.value.message


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("spec", "What a Cassandra cluster shall be."),
        ("spec.cassandra.serverVersion", "Version of Cassandra"),
        ("spec.cassandra.datacenters.size", "Number of Cassandra pods."),
        ("spec.cassandra.datacenters.metadata.services.allPodsService", "The Service of all pods"),
        ("spec.cassandra.datacenters.config.jvmOptions.heap_max_size", "Largest heap"),
        ("spec.cassandra.containers", "Further containers"),
        ("status.datacenters", "The datacenters by name."),
    ],
)
async def test_explain_answers_with_a_description(client: Client, path: str, text: str) -> None:
    group = f"{K8SSANDRA_CLUSTERS.group}/{K8SSANDRA_CLUSTERS.version}"
    async with asyncio.timeout(30):  # what is published follows a moment after the definition
        while f"apis/{group}" not in json.loads(await client.raw("GET", "/openapi/v3"))["paths"]:
            await asyncio.sleep(0.1)
    schemas = json.loads(await client.raw("GET", f"/openapi/v3/apis/{group}"))["components"]["schemas"]
    found = schemas["io.k8ssandra.v1alpha1.K8ssandraCluster"]
    for part in path.split("."):
        found = (found.get("items") or found)["properties"][part]
    assert found["description"].startswith(text)


async def test_the_golden_manifests_are_taken_and_what_the_server_adds_changes_nothing(client: Client) -> None:
    for name in golden.names():
        documents = golden.documents(name)
        (given,) = (each for each in documents if each["kind"] == K8SSANDRA_CLUSTERS.kind)
        kept = await created(client, given)
        assert diff_fields(given["spec"], kept["spec"]) == [], name
        kept["metadata"].update(given["metadata"])
        again = [kept if each is given else each for each in documents]
        assert golden.rendered(documents).datacenters == golden.rendered(again).datacenters, name


async def test_golden_datacenters_come_back_from_a_server_as_they_were_made(client: Client) -> None:
    for number, name in enumerate(golden.names()):
        for place, entry in enumerate(golden.rendered(golden.documents(name)).datacenters):
            obj = copy.deepcopy(entry.object)
            obj["metadata"].update(name=f"golden-{number}-{place}", namespace="default")
            live = await client.create(CASSANDRA_DATACENTERS, "default", obj)
            assert diff_fields(obj, live.decode(dict[str, Any])) == [], name
            applied = await client.apply(
                CASSANDRA_DATACENTERS, "default", obj["metadata"]["name"], obj, field_manager="x"
            )
            assert applied.decode(dict[str, Any])["metadata"]["generation"] == 1, name


async def test_a_rendered_datacenter_is_kept_whole_by_its_kind(client: Client) -> None:
    (entry,) = rendered(typed(manifest())).datacenters
    obj = {**entry.object, "metadata": {**entry.object["metadata"], "namespace": "default"}}
    live = await client.create(CASSANDRA_DATACENTERS, "default", obj)
    assert diff_fields(obj, live.decode(dict[str, Any])) == []
