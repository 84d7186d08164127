"""With --hot-reload ClientConfigs come and go while the controller runs; nothing remote is deleted for it."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Any

import pytest

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.resources import CONFIG_MAPS
from tests.integration.rig import CONTEXTS, Rig, eventually

LAST = CONTEXTS[2]
CYCLES = 40  # of the leak test; the figure for a thousand is in docs/remote-clusters.md


async def remove(one: Rig, name: str = LAST) -> dict[str, Any]:
    """Delete a ClientConfig; what it was."""
    found = await one.client().get(CLIENT_CONFIGS, one.namespace, name)
    await one.client().delete(CLIENT_CONFIGS, one.namespace, name, uid=found.head.uid)
    return dict(found.decode(dict))


async def put(one: Rig, manifest: dict[str, Any]) -> None:
    kept = {key: manifest[key] for key in ("apiVersion", "kind", "spec")}
    metadata = {"name": manifest["metadata"]["name"], "namespace": one.namespace}
    await one.client().create(CLIENT_CONFIGS, one.namespace, {**kept, "metadata": metadata})


async def says(one: Rig, kind: str, reason: str) -> bool:
    return (await one.condition(K8SSANDRA_CLUSTERS, "demo", kind)).get("reason") == reason


async def test_a_client_config_that_goes_takes_nothing_along_and_may_come_back(one: Rig) -> None:
    controller = await one.start(hot_reload=True)
    await one.apply(one.sample())
    await one.ready()
    made = await one.get(CASSANDRA_DATACENTERS, "dc3", LAST)
    manifest = await remove(one)
    await eventually(lambda: says(one, "DatacenterReady.dc3", "ContextNotFound"), "the cluster says what is missing")
    assert controller.pool.get(LAST) is None
    assert made is not None
    there = await one.get(CASSANDRA_DATACENTERS, "dc3", LAST)
    assert there is not None
    assert there["metadata"]["uid"] == made["metadata"]["uid"]
    assert "deletionTimestamp" not in there["metadata"]
    for kind in ("DatacenterReady.dc1", "DatacenterReady.dc2"):
        assert (await one.condition(K8SSANDRA_CLUSTERS, "demo", kind))["status"] == "True"
    await put(one, manifest)
    await one.ready()
    assert await one.reason(LAST) == "Connected"
    again = await one.get(CASSANDRA_DATACENTERS, "dc3", LAST)
    assert again is not None
    assert again["metadata"]["uid"] == made["metadata"]["uid"]


async def test_a_client_config_that_comes_is_used(one: Rig) -> None:
    manifest = await remove(one)
    await one.start(hot_reload=True)
    await one.apply(one.sample())
    await eventually(lambda: says(one, "DatacenterReady.dc3", "ContextNotFound"), "the cluster says what is missing")
    await put(one, manifest)
    await one.ready()


@pytest.mark.sockets
async def test_clusters_that_come_and_go_leave_no_socket_and_no_task(one: Rig) -> None:
    controller = await one.start(hot_reload=True)
    manifest = await remove(one)

    async def come_and_go(times: int) -> None:
        for _ in range(times):
            await put(one, manifest)
            await eventually(lambda: synced(True), "it is connected and cached", within=5.0)
            await remove(one)
            await eventually(lambda: synced(False), "it is gone", within=5.0)

    async def synced(there: bool) -> bool:
        cluster = controller.pool.get(LAST)
        return cluster is None if not there else cluster is not None and cluster.cache.synced(CONFIG_MAPS)

    async def settled() -> tuple[int, int]:
        """Files and tasks of this process, once those of the last cycle have ended."""
        least = (len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()))
        for _ in range(10):
            await asyncio.sleep(0.1)
            gc.collect()
            least = min(least, (len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())))
        return least

    await come_and_go(3)
    before = await settled()
    await come_and_go(CYCLES)
    after = await settled()
    assert after[0] <= before[0]  # fewer, when connections of the start were still idle before
    assert after[1] <= before[1]
