"""What a cluster costs in requests, counted for each API server; what changed nothing costs nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from controller.cassandra import labels
from controller.kube.resources import ENDPOINT_SLICES, PODS
from tests.integration.rig import CONTEXTS, SAMPLES, Rig, Seen, eventually, quiet
from tests.parity import stage

PLAIN = 45  # requests to all API servers together; the reference needs 68 to 207
WHOLE = 60  # with encryption, configuration of single nodes, racks and contact points

CALLS = 15  # of Management APIs: three keyspaces read once, and for two more datacenters agreement and change of each


def told(seen: Sequence[Seen], calls: Sequence[Seen]) -> str:
    """How many requests went to each cluster, by verb and kind; and to Management APIs, by path."""
    lines = []
    for context in ("", *CONTEXTS):
        own = [each for each in seen if each.context == context]
        kinds = Counter(f"{each.method} {kind(each)}" for each in own)
        lines.append(f"{context or 'control plane'}: {len(own)} " + str(dict(sorted(kinds.items()))))
    passed = Counter(f"{each.method} {each.path.rpartition('/proxy/')[2]}" for each in calls)
    lines.append(f"Management API: {len(calls)} {dict(sorted(passed.items()))}")
    return "\n".join(lines)


def kind(each: Seen) -> str:
    """Plural of what a request is about, and its subresource."""
    parts = each.path.split("/")
    after = parts[parts.index("namespaces") + 2 :] if "namespaces" in parts else parts[-1:]
    return "/".join([after[0], *after[2:]])


async def whole(one: Rig) -> str:
    """Apply the sample with everything to the clusters where its parts belong; returns the cluster's name."""
    *parts, last = yaml.safe_load_all((SAMPLES / "full.yaml").read_text("utf-8"))
    for part in parts:
        await one.world.apply(part, namespace=one.namespace)
    await quiet(one)
    return await begin(one, last)


async def plain(one: Rig) -> str:
    return await begin(one, one.sample())


async def begin(one: Rig, manifest: dict[str, Any]) -> str:
    one.seen.clear()
    await one.apply(manifest)
    return str(manifest["metadata"]["name"])


@pytest.mark.parametrize(("sample", "limit"), [(plain, PLAIN), (whole, WHOLE)], ids=["plain", "whole"])
async def test_a_cluster_of_three_datacenters_takes_few_requests_and_then_no_write(
    one: Rig, sample: Any, limit: int
) -> None:
    await connected(one)
    name = await sample(one)
    await one.ready(name)
    await quiet(one)
    seen = one.requests()
    print(f"{len(seen)} requests in all\n{told(seen, one.calls())}")  # shown by pytest -s, and on failure
    assert len(seen) <= limit
    assert len(one.calls()) <= CALLS
    since = len(one.seen)
    await asyncio.sleep(1.0)  # what would be written for ever would be written now
    assert one.writes(since=since) == []
    assert one.calls(since=since) == []


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_changed_status_of_a_datacenter_costs_one_write(one: Rig, number: int) -> None:
    """The reference operator writes about ten times."""
    await settled(one)
    since = len(one.seen)
    await stage.set_status(one, number, {"quietPeriod": "2026-02-02T00:00:00Z"})
    await eventually(lambda: is_shown(one, number), "it is shown", 10)
    await quiet(one)
    assert [(seen.context, kind(seen)) for seen in one.writes(since=since)] == [("", "k8ssandraclusters/status")]


async def test_the_order_of_addresses_costs_no_write(one: Rig) -> None:
    """Pods and slices of the same addresses in another order: nobody knows anything new."""
    await settled(one)
    since = len(one.seen)
    for context in CONTEXTS:
        client = one.client(context)
        selector = f"{labels.CASS_CLUSTER}=test"
        for found in await client.list_all(ENDPOINT_SLICES, one.namespace, label_selector=selector):
            if labels.CLUSTER_NAME not in (found.head.labels or {}):  # the slice of all pods, which is not ours
                turned = {"endpoints": found.decode(dict)["endpoints"][::-1]}
                await client.patch(ENDPOINT_SLICES, one.namespace, found.head.name, turned, kind="merge")
        for pod in reversed(await client.list_all(PODS, one.namespace, label_selector=selector)):
            touched = {"metadata": {"annotations": {"touched": "yes"}}}
            await client.patch(PODS, one.namespace, pod.head.name, touched, kind="merge")
    await asyncio.sleep(0.5)
    await quiet(one)
    assert one.writes(since=since) == []


async def settled(one: Rig) -> None:
    """Three datacenters of several nodes, all Ready, and nothing left to do."""
    await one.apply(stage.cluster(*(stage.datacenter(number, size=4) for number in (1, 2, 3))))
    await one.ready("test")
    await quiet(one)


async def is_shown(one: Rig, number: int) -> bool:
    return (await stage.shown(one, number)).get("quietPeriod") == "2026-02-02T00:00:00Z"


async def connected(one: Rig) -> None:
    """All clusters are watched, so that what comes next is the cost of one K8ssandraCluster."""
    assert one.controller is not None
    pool = one.controller.pool

    async def synced() -> bool:
        return all(
            (cluster := pool.get(context)) is not None and cluster.state.usable and not cluster.cache.unsynced()
            for context in CONTEXTS
        )

    await eventually(synced, "all clusters are watched")
    await quiet(one)
