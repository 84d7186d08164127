"""The rules in CEL of the definition: what API servers refuse by themselves, and what they never hold up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.definitions import definitions
from controller.kube import errors
from controller.kube.client import Client
from controller.kube.resources import CRDS
from controller.sandbox.crds import published_crds
from tests.integration.test_crds import EVERYTHING, install
from tests.servers import servers
from tests.unit.cassandra.samples import STORAGE, datacenter, manifest

Json = dict[str, Any]
DEFINITION = definitions()[K8SSANDRA_CLUSTERS.name]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(server_kind: str) -> AsyncIterator[Client]:
    """A server with our definition."""
    async with servers(server_kind) as (server,):
        client = Client(server.transport())
        await install(client, [DEFINITION])
        yield client
        await client.close()


async def create(client: Client, obj: Json, name: str = "", **metadata: Any) -> Json:
    given = {**metadata, **({"name": name} if name else {"generateName": "demo-"})}
    return (await client.create(K8SSANDRA_CLUSTERS, "default", {**obj, "metadata": given})).decode(dict[str, Any])


async def refusal(client: Client, obj: Json) -> str:
    with pytest.raises(errors.Invalid) as caught:
        await create(client, obj)
    return caught.value.message


def absent(obj: Json) -> Json:
    """Without fields of ``spec.cassandra`` that are null."""
    obj["spec"]["cassandra"] = {key: value for key, value in obj["spec"]["cassandra"].items() if value is not None}
    return obj


SIXTY_FOUR = [datacenter(f"dc{number}" + "x" * 50, datacenterName=f"DC {number}" + "y" * 200) for number in range(64)]
RIGHT: dict[str, Json] = {
    "plain": manifest(),
    "everything": manifest(datacenter(**EVERYTHING), **EVERYTHING),
    "as many as may be": manifest(*SIXTY_FOUR),
    "storage of each": manifest(datacenter("dc1", storageConfig=STORAGE), storageConfig=None),
    "version of each": manifest(datacenter("dc1", serverVersion="4.0.1"), serverVersion=None),
    "soft with resources of the cluster": manifest(datacenter(softPodAntiAffinity=True), resources={"limits": {}}),
    "soft with its own resources": manifest(datacenter(resources={"limits": {}}), softPodAntiAffinity=True),
    "not soft after all": manifest(datacenter(softPodAntiAffinity=False), softPodAntiAffinity=True),
}


@pytest.mark.parametrize("name", RIGHT)
async def test_what_is_right_is_taken(client: Client, name: str) -> None:
    await create(client, absent(RIGHT[name]))


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        ({**manifest(), "spec": {}}, "spec.cassandra is required"),
        (manifest(datacenters=[]), "datacenters is empty"),
        (manifest(datacenters=None), "datacenters is empty"),
        (manifest(*SIXTY_FOUR, datacenter("one-more")), "datacenters"),
        (manifest(datacenter("DC1")), "for other names there is datacenterName"),
        (manifest(datacenter("x" * 64)), "metadata.name"),
        (manifest(datacenter("dc1"), datacenter("dc1", k8sContext="other")), "two datacenters have one metadata.name"),
        (
            manifest(datacenter("dc1", datacenterName="dc2"), datacenter("dc2")),
            "two datacenters have one name inside Cassandra",
        ),
        (manifest(datacenter("dc1", storageConfig=STORAGE), datacenter("dc2"), storageConfig=None), "storageConfig is"),
        (manifest(serverVersion=None), "serverVersion is required"),
        (manifest(datacenter(softPodAntiAffinity=True)), "softPodAntiAffinity needs resources"),
        (manifest(softPodAntiAffinity=True), "softPodAntiAffinity needs resources"),
    ],
)
async def test_what_is_wrong_is_refused_without_a_webhook(client: Client, obj: Json, said: str) -> None:
    cassandra = obj["spec"].get("cassandra")
    assert said in await refusal(client, absent(obj) if cassandra else obj)


TWO = manifest(datacenter("dc1", datacenterName="Real DC"), datacenter("dc2"), clusterName="Real Cluster")
REAL = datacenter("dc1", datacenterName="Real DC")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clusterName": "Other"}, "clusterName cannot change"),
        ({"clusterName": None}, "clusterName cannot change"),
        ({"datacenters": [datacenter("dc1", datacenterName="Other"), datacenter("dc2")]}, "datacenterName cannot"),
        ({"datacenters": [datacenter("dc1"), datacenter("dc2")]}, "datacenterName cannot change"),
        ({"datacenters": [REAL, datacenter("dc3")]}, "to rename a datacenter loses its data"),
        ({"datacenters": []}, "datacenters is empty"),
    ],
)
async def test_a_change_that_loses_data_is_refused_without_a_webhook(client: Client, change: Json, said: str) -> None:
    name = (await create(client, TWO))["metadata"]["name"]
    with pytest.raises(errors.Invalid, match=said):
        await patched(client, name, {"spec": {"cassandra": change}})


@pytest.mark.parametrize(
    "change",
    [
        {"datacenters": [REAL]},
        {"datacenters": [datacenter("dc2"), REAL]},
        {"datacenters": [REAL, datacenter("dc2", datacenterName="dc2"), datacenter("dc3")]},
        {"serverVersion": "4.0.18"},
    ],
)
async def test_other_changes_are_taken(client: Client, change: Json) -> None:
    name = (await create(client, TWO))["metadata"]["name"]
    assert (await patched(client, name, {"spec": {"cassandra": change}}))["metadata"]["generation"] == 2


async def test_the_name_of_the_cluster_may_be_said_later(client: Client) -> None:
    name = (await create(client, manifest()))["metadata"]["name"]
    await patched(client, name, {"spec": {"cassandra": {"clusterName": name}}})


async def patched(client: Client, name: str, patch: Json, *, subresource: str = "") -> Json:
    live = await client.patch(K8SSANDRA_CLUSTERS, "default", name, patch, kind="merge", subresource=subresource)
    return live.decode(dict[str, Any])


OLD: dict[str, Json] = {
    "names": manifest(datacenter("DC1", datacenterName="a"), datacenter("DC1", datacenterName="b")),
    "long": manifest(datacenter("x" * 64, datacenterName="y" * 300), clusterName="z" * 300),
    "lacks": absent(
        manifest(storageConfig=None, serverVersion=None, softPodAntiAffinity=True, tolerations=[{"key": "a"}])
    ),
    "null": absent(manifest(datacenters=None)),
    "nothing": {**manifest(), "spec": {}},
    "empty": manifest(datacenters=[]),
    "many": manifest(*(datacenter(f"dc{number}") for number in range(70))),
}


async def test_what_was_invalid_before_the_definition_came_can_be_finished_and_deleted(server_kind: str) -> None:
    """Objects from under the published definition: status, labels, finalizers and deletion go on."""
    async with servers(server_kind) as (server,):
        client = Client(server.transport())
        (published,) = (crd for crd in published_crds() if crd["metadata"]["name"] == K8SSANDRA_CLUSTERS.name)
        await install(client, [published])
        for name, obj in OLD.items():
            await create(client, obj, name, finalizers=["example.com/held"])
        live = (await client.get(CRDS, "", K8SSANDRA_CLUSTERS.name)).decode(dict[str, Any])
        await client.replace(
            CRDS, "", K8SSANDRA_CLUSTERS.name, {**live, "spec": {**live["spec"], **DEFINITION["spec"]}}
        )
        async with asyncio.timeout(30):
            while await taken(client, OLD["names"]):  # the new definition takes a moment to be in force
                await asyncio.sleep(0.05)
        for name in OLD:
            await patched(client, name, {"metadata": {"labels": {"a": "b"}}})
            await patched(client, name, {"status": {"error": "wrong"}}, subresource="status")
            found = await client.get(K8SSANDRA_CLUSTERS, "default", name)
            await client.delete(K8SSANDRA_CLUSTERS, "default", name, uid=found.head.uid)
            await patched(client, name, {"metadata": {"finalizers": []}})
            with pytest.raises(errors.NotFound):
                await client.get(K8SSANDRA_CLUSTERS, "default", name)
        await client.close()


async def taken(client: Client, obj: Json) -> bool:
    try:
        made = await create(client, obj)
    except errors.Invalid:
        return False
    await client.delete(K8SSANDRA_CLUSTERS, "default", made["metadata"]["name"], uid=made["metadata"]["uid"])
    return True
