"""The reference operator's tests of what happens to a cluster that is there: stopping, and changes by its user."""

from __future__ import annotations

from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from tests.integration.rig import CONTEXTS, Rig, eventually
from tests.parity import stage
from tests.parity.stage import Json, cluster, datacenter, made


async def generations(one: Rig) -> dict[int, int]:
    return {number: (await made(one, number))["metadata"]["generation"] for number in (1, 2, 3)}


def three(**second: object) -> list[Json]:
    return [datacenter(1), datacenter(2, **second), datacenter(3)]


async def test_stop_existing_datacenter(one: Rig) -> None:
    """One is stopped and resumed; the others are not touched."""
    await one.apply(cluster(*three()))
    await one.ready("test")
    before = await generations(one)
    await stage.change(one, {"spec": {"cassandra": {"datacenters": three(stopped=True)}}})
    condition = await stage.said(one, "DatacenterReady.dc2", "False")
    await eventually(lambda: stopped(one), "dc2 is shown as stopped, and the cluster as complete")
    assert (await made(one, 2))["spec"]["stopped"] is True
    condition = await one.condition(K8SSANDRA_CLUSTERS, "test", "DatacenterReady.dc2")
    assert condition["reason"] == "Stopped"
    await stage.change(one, {"spec": {"cassandra": {"datacenters": three()}}})
    await stage.said(one, "DatacenterReady.dc2", "True")
    await one.ready("test")
    assert not (await made(one, 2))["spec"].get("stopped", False)
    after = await generations(one)
    assert (after[1], after[3]) == (before[1], before[3])


async def stopped(one: Rig) -> bool:
    conditions = (await stage.shown(one, 2)).get("conditions", [])
    found = await one.get(K8SSANDRA_CLUSTERS, "test") or {}
    return (
        any((entry["type"], entry["status"]) == ("Stopped", "True") for entry in conditions)
        and found["status"]["observedGeneration"] == found["metadata"]["generation"]
        and (await one.condition(K8SSANDRA_CLUSTERS, "test"))["status"] == "True"
    )


async def test_a_new_cluster_may_have_a_stopped_datacenter(one: Rig) -> None:
    """The reference refuses that with an error that is about adding one to an existing cluster."""
    await one.apply(cluster(*three(stopped=True)))
    await one.ready("test")
    assert (await one.condition(K8SSANDRA_CLUSTERS, "test"))["message"] == (
        "2 datacenters are Ready, 1 is stopped, as the specification says"
    )
    assert await one.datacenters() == {context: [f"dc{number}"] for number, context in enumerate(CONTEXTS, 1)}


async def test_a_change_rolls_through_the_datacenters_in_order(by_hand: Rig) -> None:
    """The next datacenter is changed when the one before has carried its change out."""
    one = by_hand
    await one.apply(cluster(datacenter(1), datacenter(2)))
    for number in (1, 2):
        await stage.set_ready(one, number)
    await one.ready("test")
    await stage.change(one, {"spec": {"cassandra": {"config": {"cassandraYaml": {"concurrent_reads": 8}}}}})
    await eventually(lambda: reads(one, 1, 8), "dc1 has the change")
    waits = await stage.said(one, "DatacenterReady.dc2", "False")
    assert (waits["reason"], waits["message"]) == ("WaitingForDatacenter", "the change of dc2 waits for dc1")
    assert await reads(one, 2, None)
    await stage.set_ready(one, 1)
    await eventually(lambda: reads(one, 2, 8), "dc2 has the change")
    await stage.set_ready(one, 2)
    await one.ready("test")


async def reads(one: Rig, number: int, wanted: int | None) -> bool:
    live = await made(one, number)
    return bool(live["spec"]["config"]["cassandra-yaml"].get("concurrent_reads") == wanted)
