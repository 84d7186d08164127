"""What the reference operator installed is taken over: no specification changes, no pod restarts, then 0 writes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from controller.cassandra import labels
from controller.cassandra.foreign_writes import QUIET
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.engine.clock import SystemClock
from controller.fleet.actions import FIELD_MANAGER
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, EVENTS, PODS, SECRETS, SERVICES, Resource
from tests.integration.installations import CASES, installation, their_rig
from tests.integration.reference import Reference
from tests.integration.rig import Rig, eventually, quiet
from tests.servers import Server

CASS_FINALIZER = "finalizer.cassandra.datastax.com"


@pytest_asyncio.fixture(loop_scope="session")
async def one(their_servers: list[Server], namespace: str) -> AsyncIterator[Rig]:
    """Without a controller."""
    async with their_rig(namespace, their_servers) as made:
        yield made


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    """A namespace named after the end of the test's name, where the case is."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[-50:].strip("-")


async def whole(one: Rig, theirs: Reference) -> dict[str, dict[str, Any]]:
    """Every CassandraDatacenter of the cluster, by name."""
    found = {}
    for name, context in theirs.places.items():
        found[name] = await one.get(CASSANDRA_DATACENTERS, name, context) or {}
    return found


async def taken_over(one: Rig, theirs: Reference) -> None:
    await one.start()
    await one.ready(theirs.name)
    await quiet(one)


def managers(obj: dict[str, Any]) -> set[tuple[str, str]]:
    """Who has fields in it, and how they came there; subresources aside."""
    entries = obj["metadata"]["managedFields"]
    return {(entry["manager"], entry["operation"]) for entry in entries if not entry.get("subresource")}


@pytest.mark.parametrize("case", CASES)
async def test_no_datacenter_changes_and_no_pod_restarts(one: Rig, case: str) -> None:
    theirs = installation(one, case)
    await theirs.install()
    before, pods = await whole(one, theirs), await uids(one, theirs, PODS)
    await taken_over(one, theirs)
    after = await whole(one, theirs)
    for name, live in after.items():
        assert live["metadata"]["generation"] == before[name]["metadata"]["generation"] == 1
        assert (live["metadata"]["uid"], live["spec"]) == (before[name]["metadata"]["uid"], before[name]["spec"])
        assert live["metadata"]["labels"] == before[name]["metadata"]["labels"]
        assert set(live["metadata"]["finalizers"]) == {CASS_FINALIZER, "k8ssandracluster.k8ssandra.io/finalizer"}
    assert await uids(one, theirs, PODS) == pods
    requires = await one.condition(K8SSANDRA_CLUSTERS, theirs.name, "RequiresUpdate")
    assert requires["status"] == "False"


async def uids(one: Rig, theirs: Reference, resource: Resource) -> dict[str, str]:
    return {
        f"{context}/{obj.head.name}": obj.head.uid
        for context in ("", *theirs.places.values())
        for obj in await one.client(context).list_all(resource, one.namespace)
    }


@pytest.mark.parametrize("case", CASES)
async def test_everything_is_adopted_in_its_place_and_then_nothing_is_written(one: Rig, case: str) -> None:
    theirs = installation(one, case)
    await theirs.install()
    kinds = (CONFIG_MAPS, ENDPOINT_SLICES, SERVICES, SECRETS)
    before = {resource: await uids(one, theirs, resource) for resource in kinds}
    await taken_over(one, theirs)
    assert len(one.requests()) <= 60  # as to make the whole cluster anew
    since = len(one.seen)
    for live in (await whole(one, theirs)).values():
        assert (FIELD_MANAGER, "Apply") in managers(live)
    for resource in kinds:
        assert await uids(one, theirs, resource) == before[resource]  # none is new, none is gone
    for resource in (CONFIG_MAPS, ENDPOINT_SLICES, SERVICES):
        for obj in await ours(one, theirs, resource):
            assert (FIELD_MANAGER, "Apply") in managers(obj)
    await asyncio.sleep(1.0)  # what would be written for ever would be written now
    assert one.writes(since=since) == []


async def ours(one: Rig, theirs: Reference, resource: Resource) -> list[dict[str, Any]]:
    """What belongs to the cluster everywhere, users' own ConfigMaps and cass-operator's objects aside."""
    selector = f"k8ssandra.io/cluster-name={theirs.name}"
    if resource == CONFIG_MAPS:
        selector += ",k8ssandra.io/cleaned-up-by"
    if resource == ENDPOINT_SLICES:
        selector += ",endpointslice.kubernetes.io/managed-by=k8ssandra-operator"
    if resource == SERVICES:
        selector += ",app.kubernetes.io/name=k8ssandra-operator"
    found = [
        obj.decode(dict)
        for context in ("", *theirs.places.values())
        for obj in await one.client(context).list_all(resource, one.namespace, label_selector=selector)
    ]
    assert len(found) >= len(theirs.places)
    return found


async def test_what_the_user_removes_later_is_really_removed(one: Rig) -> None:
    manifest, others = CASES["names"]
    theirs = Reference(
        one, {**manifest, "spec": with_config(manifest, {"num_tokens": 16, "concurrent_reads": 64})}, others
    )
    await theirs.install()
    await taken_over(one, theirs)
    changed = {**manifest, "spec": with_config(manifest, {"num_tokens": 16})}
    for entry in changed["spec"]["cassandra"]["datacenters"]:
        entry["metadata"] = {"name": entry["metadata"]["name"]}
    changed["spec"]["cassandra"].pop("metadata")
    await one.apply(changed)
    await one.ready(theirs.name)
    for live in (await whole(one, theirs)).values():
        assert "concurrent_reads" not in live["spec"]["config"]["cassandra-yaml"]
        assert "team" not in live["metadata"]["labels"]
        assert "example.com/contact" not in live["metadata"]["annotations"]
        assert "additionalLabels" not in live["spec"]
        assert CASS_FINALIZER in live["metadata"]["finalizers"]
    for obj in await ours(one, theirs, CONFIG_MAPS):
        assert "costs" not in obj["metadata"]["labels"]


def with_config(manifest: dict[str, Any], cassandra_yaml: dict[str, Any]) -> dict[str, Any]:
    cassandra = manifest["spec"]["cassandra"]
    datacenters = [{**entry} for entry in cassandra["datacenters"]]
    return {"cassandra": {**cassandra, "datacenters": datacenters, "config": {"cassandraYaml": cassandra_yaml}}}


async def test_a_change_is_rolled_out_as_ever_after_the_take_over(one: Rig) -> None:
    theirs = installation(one)
    await theirs.install()
    await taken_over(one, theirs)
    changed = one.sample()
    changed["spec"]["cassandra"]["serverVersion"] = "4.0.4"
    await one.apply(changed)

    async def all_changed() -> bool:
        return [live["spec"]["serverVersion"] for live in (await whole(one, theirs)).values()] == ["4.0.4"] * 3

    await eventually(all_changed, "every datacenter has the new version")
    await one.ready()


# ── when both are at work ───────────────────────────────────────────────────────────────────────────


class Later:
    """This machine's clock, after the reference operator has been quiet."""

    def now(self) -> datetime:
        return SystemClock().now() + timedelta(seconds=QUIET + 1)


async def said(one: Rig, reason: str) -> bool:
    """Whether an event says so: the published definition keeps no reasons of conditions."""
    return any(event.decode(dict)["reason"] == reason for event in await one.client().list_all(EVENTS, one.namespace))


async def test_what_it_writes_after_us_is_left_alone_until_it_is_quiet(one: Rig) -> None:
    theirs = installation(one)
    await theirs.install()
    await taken_over(one, theirs)
    name, context = "demo-dc1-metrics-agent-config", theirs.places["dc1"]
    since = len(one.seen)
    await theirs.rewrite(CONFIG_MAPS, name, context, data={"metrics-collector.yaml": "theirs"})
    await eventually(lambda: said(one, "ForeignController"), "an event says ForeignController")
    ready = await one.condition(K8SSANDRA_CLUSTERS, theirs.name)
    assert ready["status"] == "False"
    await one.client(theirs.places["dc2"]).patch(
        CONFIG_MAPS,
        one.namespace,
        "demo-dc2-metrics-agent-config",
        {"data": {"metrics-collector.yaml": "x"}},
        kind="merge",
    )
    await eventually(lambda: written(one, since, "demo-dc2-metrics-agent-config"), "others are repaired all the same")
    assert not await written(one, since, name)
    await one.stop()
    await one.start(clock=Later())
    await eventually(lambda: written(one, since, name), "it is taken back")
    await one.ready(theirs.name)


async def written(one: Rig, since: int, name: str) -> bool:
    return any(seen.path.endswith(f"/configmaps/{name}") and seen.status == 200 for seen in one.writes(since=since))


async def test_there_and_back_again_changes_no_datacenter(one: Rig) -> None:
    theirs = installation(one, "full")
    await theirs.install()
    before = await whole(one, theirs)
    await taken_over(one, theirs)
    await one.stop()
    for name, context in theirs.places.items():
        await theirs.rewrite(CASSANDRA_DATACENTERS, name, context)
        await theirs.rewrite(CONFIG_MAPS, f"full-{name}-metrics-agent-config", context)
    await one.start(clock=Later())
    await one.ready(theirs.name)
    await quiet(one)
    after = await whole(one, theirs)
    for name, live in after.items():
        assert (live["metadata"]["generation"], live["spec"]) == (1, before[name]["spec"])
        assert live["metadata"]["annotations"][labels.RESOURCE_HASH].startswith("v1:")
        assert CASS_FINALIZER in live["metadata"]["finalizers"]
