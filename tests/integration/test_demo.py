"""The sample manifest, end to end: three datacenters in three clusters, and then nothing more to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube import errors
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, PODS, SECRETS
from controller.replication.types import REPLICATED_SECRETS
from tests.integration.rig import CONTEXTS, Rig, converged, eventually


async def test_each_datacenter_is_made_in_its_own_cluster(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    assert await one.datacenters() == {context: [f"dc{n}"] for n, context in enumerate(CONTEXTS, 1)}


async def test_the_superuser_secret_is_the_same_in_all_clusters(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    found = [await one.get(SECRETS, "demo-superuser", context) for context in ("", *CONTEXTS)]
    assert all(secret is not None for secret in found)
    assert len({str(secret["data"]) for secret in found if secret}) == 1


async def test_each_datacenter_has_the_seeds_of_the_others(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()

    async def seeds_are_complete() -> bool:
        ips = {context: await _seed_ips(one, context) for context in CONTEXTS}
        of_others = {
            context: sorted(ip for other in CONTEXTS if other != context for ip in ips[other]) for context in CONTEXTS
        }
        return {context: await _slice_ips(one, context) for context in CONTEXTS} == of_others

    await eventually(seeds_are_complete, "the slices hold the seeds of the other datacenters")


async def test_datacenters_are_made_one_after_the_other(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    created = {
        context: (await one.get(CASSANDRA_DATACENTERS, f"dc{n}", context) or {})["metadata"]["creationTimestamp"]
        for n, context in enumerate(CONTEXTS, 1)
    }
    order = [seen.context for seen in one.writes() if seen.method == "POST" and "cassandradatacenters" in seen.path]
    assert order == list(CONTEXTS)
    assert sorted(created.values()) == list(created.values())


async def test_after_convergence_nothing_is_written(one: Rig) -> None:
    await converged(one)
    since = len(one.seen)
    await asyncio.sleep(1.0)  # what would be written for ever would be written now
    assert one.writes(since=since) == []


async def test_a_restart_writes_nothing(one: Rig) -> None:
    await converged(one)
    await one.stop()
    since = len(one.seen)
    controller = await one.start()
    await eventually(_true_when(lambda: not controller.waiting_for()), "the controller is ready")
    await eventually(
        _true_when(lambda: all(cluster.state.usable for cluster in controller.pool)), "all clusters are connected"
    )
    await asyncio.sleep(1.0)
    assert one.writes(since=since) == []


async def test_a_changed_specification_is_rolled_on_in_order(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    changed = one.sample()
    changed["spec"]["cassandra"]["serverVersion"] = "4.0.4"
    since = len(one.seen)
    await one.apply(changed)

    async def all_changed() -> bool:
        versions = [
            (await one.get(CASSANDRA_DATACENTERS, f"dc{n}", context) or {})["spec"]["serverVersion"]
            for n, context in enumerate(CONTEXTS, 1)
        ]
        return versions == ["4.0.4"] * 3 and await one.cluster_is_ready()

    await eventually(all_changed, "every datacenter has the new version")
    applied = [
        seen.context
        for seen in one.writes(since=since)
        if seen.method == "PATCH" and "cassandradatacenters" in seen.path
    ]
    assert list(dict.fromkeys(applied)) == list(CONTEXTS)


async def test_deletion_removes_everything_everywhere(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    found = await one.client().get(K8SSANDRA_CLUSTERS, one.namespace, "demo")
    await one.client().delete(K8SSANDRA_CLUSTERS, one.namespace, "demo", uid=found.head.uid)

    async def nothing_is_left() -> bool:
        if await one.get(K8SSANDRA_CLUSTERS, "demo") or await one.names(REPLICATED_SECRETS):
            return False
        for context in CONTEXTS:
            for resource in (CASSANDRA_DATACENTERS, PODS, ENDPOINT_SLICES):
                if await one.names(resource, context):
                    return False
            if "demo-superuser" in await one.names(SECRETS, context):
                return False
            if any(name.startswith("demo") for name in await one.names(CONFIG_MAPS, context)):
                return False
        return "demo-superuser" not in await one.names(SECRETS)

    await eventually(nothing_is_left, "everything of the cluster is gone")


async def test_a_foreign_datacenter_under_our_name_is_left_alone(one: Rig) -> None:
    foreign = {
        "apiVersion": "cassandra.datastax.com/v1beta1",
        "kind": "CassandraDatacenter",
        "metadata": {"name": "dc1", "namespace": one.namespace},
        "spec": {"clusterName": "theirs", "serverType": "cassandra", "serverVersion": "4.0.1", "size": 1,
                 "storageConfig": {}},
    }  # fmt: skip
    await one.client(CONTEXTS[0]).create(CASSANDRA_DATACENTERS, one.namespace, foreign)
    await one.start()
    await one.apply(one.sample())

    async def said() -> bool:
        ready = await one.condition(K8SSANDRA_CLUSTERS, "demo")
        return ready.get("reason") == "NameConflict"

    await eventually(said, "the status names the conflict")
    found = await one.get(CASSANDRA_DATACENTERS, "dc1", CONTEXTS[0]) or {}
    assert found["spec"]["clusterName"] == "theirs"
    assert labels.CLUSTER_NAME not in (found["metadata"].get("labels") or {})
    assert await one.names(CASSANDRA_DATACENTERS, CONTEXTS[1]) == []


async def _seed_ips(one: Rig, context: str) -> list[str]:
    pods = await one.client(context).list_all(PODS, one.namespace, label_selector=f"{labels.SEED_NODE}=true")
    return [pod.decode(dict)["status"]["podIP"] for pod in pods]


async def _slice_ips(one: Rig, context: str) -> list[str]:
    try:
        slices = await one.client(context).list_all(
            ENDPOINT_SLICES, one.namespace, label_selector=f"{labels.ENDPOINT_SLICE_MANAGED_BY}={labels.OPERATOR_NAME}"
        )
    except errors.NotFound:
        return []
    return sorted(ip for found in slices for entry in found.decode(dict)["endpoints"] for ip in entry["addresses"])


def _true_when(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return condition()

    return check
