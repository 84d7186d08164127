"""Clusters that hang, are dead or become others while the whole controller runs: what everybody else notices of it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest
import pytest_asyncio
import yaml

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.resources import SECRETS
from tests.integration.rig import CONTEXTS, Rig, Seen, eventually, two_of_three
from tests.remotes.proxy import Proxy, proxy
from tests.servers import RealOne

pytestmark = pytest.mark.sockets

GOOD, BAD = CONTEXTS[:2], CONTEXTS[2]
BACK_WITHIN = 8.0  # s from the return of a cluster until what waits for it is written there
FIVE = 5


@pytest_asyncio.fixture(loop_scope="session")
async def ways(one: Rig) -> AsyncIterator[dict[str, Proxy]]:
    """A proxy in front of every data plane, which the Secrets lead to; the controller is gone before them."""
    async with AsyncExitStack() as stack:
        found = {}
        for context in CONTEXTS:
            found[context] = Proxy(one.url(context))
            stack.push_async_callback(found[context].close)
            one.leads_to(found[context].url, context)
            await redirect(one, context, found[context].url)
        yield found
        await one.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def elsewhere(one: Rig) -> AsyncIterator[Proxy]:
    """A way to the control plane, which the controller knows by another address."""
    async with proxy(one.url("")) as made:
        yield made
        await one.stop()


async def test_five_clusters_that_do_not_use_a_hung_remote_converge_as_fast_as_without(
    one: Rig, ways: dict[str, Proxy]
) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    await converge(one, "warm")
    alone = await converge(one, "before")
    with hung(one, ways):
        await resize(one, "demo", 4)  # something that has to be written to the hung one
        beside = await converge(one, "during")
        assert one.running
    back = asyncio.get_running_loop().time()
    await eventually(lambda: has_size(one, 4), "the hung cluster gets its change", 15)
    assert asyncio.get_running_loop().time() - back <= 15
    await one.ready()
    assert beside <= 2 * alone + 1  # s; the noise of a busy machine, not the 10 s that one hanging write takes


async def test_a_remote_that_is_dead_at_the_start_stops_nobody_and_resumes_in_time(
    one: Rig, ways: dict[str, Proxy]
) -> None:
    ways[BAD].refuse()
    await one.start()
    await one.apply(one.sample())
    await converge(one, "other")
    await two_of_three(one, BAD, "Unreachable", "refused")
    ways[BAD].heal()
    await eventually(lambda: has_size(one, 3), "its datacenter is made", BACK_WITHIN)
    await one.ready()


async def test_pending_work_resumes_in_time_when_a_refused_remote_returns(one: Rig, ways: dict[str, Proxy]) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    ways[BAD].refuse()
    await eventually(lambda: says(one, BAD, "Unreachable"), "the outage is noticed")
    await resize(one, "demo", 4)
    await converge(one, "other")
    ways[BAD].heal()
    await eventually(lambda: has_size(one, 4), "the waiting change is written", BACK_WITHIN)
    await one.ready()


async def test_neither_a_missing_secret_nor_a_new_client_config_ends_the_controller(
    one: Rig, ways: dict[str, Proxy]
) -> None:
    secret = await one.client().get(SECRETS, one.namespace, f"{BAD}-config")
    await one.client().delete(SECRETS, one.namespace, secret.head.name, uid=secret.head.uid)
    await one.start()
    await eventually(lambda: says(one, BAD, "SecretNotFound"), "the missing Secret is named")
    later = {
        "apiVersion": CLIENT_CONFIGS.api_version,
        "kind": CLIENT_CONFIGS.kind,
        "metadata": {"name": "later", "namespace": one.namespace},
        "spec": {"contextName": "later", "kubeConfigSecret": {"name": f"{GOOD[0]}-config"}},
    }
    await one.client().create(CLIENT_CONFIGS, one.namespace, later)
    await eventually(lambda: says(one, "later", "RestartRequired"), "the new one asks for a restart")
    await converge(one, "other")
    assert one.running


async def test_a_secret_that_leads_to_another_cluster_leaves_the_right_one_in_use(
    one: Rig, ways: dict[str, Proxy], elsewhere: Proxy
) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    await rewrite(one, BAD, await stranger(one, elsewhere))
    await eventually(lambda: says(one, BAD, "RotationFailed"), "the other cluster is recognised")
    await resize(one, "demo", 4)
    await eventually(lambda: has_size(one, 4), "the right cluster gets the change")
    assert writes(one, elsewhere) == []


async def test_a_remote_that_is_another_cluster_after_a_restart_is_not_written_to(
    one: Rig, ways: dict[str, Proxy], elsewhere: Proxy
) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    await one.stop()
    right = await kubeconfig(one, BAD)
    await rewrite(one, BAD, await stranger(one, elsewhere))
    await one.start()
    await eventually(lambda: says(one, BAD, "IdentityChanged"), "the other cluster is recognised")
    assert (await one.condition(CLIENT_CONFIGS, BAD))["status"] == "False"
    await resize(one, "demo", 4)
    await converge(one, "other")
    assert writes(one, elsewhere) == []
    await rewrite(one, BAD, right)
    await eventually(lambda: has_size(one, 4), "the right cluster gets the waiting change")
    assert writes(one, elsewhere) == []


# ── what is done to clusters ────────────────────────────────────────────────────────────────────────────


@contextmanager
def hung(one: Rig, ways: dict[str, Proxy]) -> Iterator[None]:
    """The bad cluster accepts and answers nothing: a real API server is stopped, an embedded one cut off."""
    server = one.servers[BAD]
    if isinstance(server, RealOne):
        server.process.api_server.pause()
        try:
            yield
        finally:
            server.process.api_server.resume()
        return
    ways[BAD].freeze()
    yield
    ways[BAD].heal()


async def redirect(one: Rig, context: str, url: str) -> None:
    """Have the kubeconfig of a context name another address."""
    document = await kubeconfig(one, context)
    document["clusters"][0]["cluster"]["server"] = url
    await rewrite(one, context, document)


async def kubeconfig(one: Rig, context: str) -> dict[str, Any]:
    found = await one.client().get(SECRETS, one.namespace, f"{context}-config")
    document: dict[str, Any] = yaml.safe_load(base64.b64decode(found.decode(dict)["data"]["kubeconfig"]))
    return document


async def stranger(one: Rig, elsewhere: Proxy) -> dict[str, Any]:
    """The bad cluster's kubeconfig, leading to the control plane with all rights: only its identity is wrong."""
    document, server = await kubeconfig(one, BAD), one.servers[""]
    authority = base64.b64encode(server.ca_pem).decode()
    cluster = {"server": elsewhere.url, "certificate-authority-data": authority}
    document["clusters"][0]["cluster"] = cluster
    document["users"][0]["user"] = {"token": server.admin_token}
    return document


def writes(one: Rig, elsewhere: Proxy) -> list[Seen]:
    """What the controller wrote over a way that it should not have taken; it has taken it to look."""
    assert elsewhere.accepted > 0
    return [seen for seen in one.writes() if seen.context == "elsewhere"]


async def rewrite(one: Rig, context: str, document: dict[str, Any]) -> None:
    content = base64.b64encode(yaml.safe_dump(document).encode()).decode()
    patch = {"data": {"kubeconfig": content}}
    await one.client().patch(SECRETS, one.namespace, f"{context}-config", patch, kind="merge")


# ── K8ssandraClusters ───────────────────────────────────────────────────────────────────────────────────


async def converge(one: Rig, prefix: str) -> float:
    """Seconds from creating five K8ssandraClusters in the good clusters until they are Ready."""
    names = [f"{prefix}-{number}" for number in range(FIVE)]
    began = asyncio.get_running_loop().time()
    for name in names:
        await one.client().create(K8SSANDRA_CLUSTERS, one.namespace, sample(one, name))
    for name in names:
        await one.ready(name)
    return asyncio.get_running_loop().time() - began


def sample(one: Rig, name: str, contexts: Sequence[str] = GOOD) -> dict[str, Any]:
    """The sample in some of the contexts only, its datacenters under names of their own."""
    document = one.sample()
    document["metadata"]["name"] = name
    cassandra = document["spec"]["cassandra"]
    cassandra["datacenters"] = [
        {**datacenter, "metadata": {"name": f"{name}-{datacenter['metadata']['name']}"}}
        for datacenter in cassandra["datacenters"]
        if datacenter["k8sContext"] in contexts
    ]
    return document


async def resize(one: Rig, name: str, size: int) -> None:
    """Want another size of the datacenter in the bad cluster."""
    document = one.sample()
    document["metadata"]["name"] = name
    for datacenter in document["spec"]["cassandra"]["datacenters"]:
        if datacenter["k8sContext"] == BAD:
            datacenter["size"] = size
    await one.apply(document)


async def has_size(one: Rig, size: int) -> bool:
    found = await one.get(CASSANDRA_DATACENTERS, "dc3", BAD) or {}
    return bool(found.get("spec", {}).get("size") == size)


async def says(one: Rig, name: str, reason: str) -> bool:
    return await one.reason(name) == reason
