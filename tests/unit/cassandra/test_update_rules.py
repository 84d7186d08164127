"""When a live specification may be written, in which order, and what is said where it may not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.cassandra import labels
from controller.cassandra.plan.rollout import allows_update
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.cassandra.takeover import left_over
from controller.fleet.actions import FIELD_MANAGER
from controller.sandbox.apiserver import Fault
from tests.unit.cassandra.plan.worlds import World
from tests.unit.cassandra.rig import NAMESPACE, rig
from tests.unit.cassandra.samples import cluster, datacenter, rendered

ANALYTICS, SEARCH, GRAPH = {"analyticsEnabled": True}, {"searchEnabled": True}, {"graphEnabled": True}
GONE = (
    'Internal error occurred: failed calling webhook "vcassandradatacenter.kb.io": failed to call webhook: no service'
)

# ── may it be written ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expected", "observed", "generation", "annotation"),
    [
        (True, 0, 1, None),  # nothing was rolled out yet
        (True, 1, 2, None),  # the user changed the specification
        (False, 2, 2, None),
        (True, 2, 2, "once"),
        (True, 2, 2, "always"),
        (True, 1, 2, "once"),
        (False, 2, 2, "never"),  # which validation refuses, and which allows nothing
        (False, 2, 2, ""),
    ],
)
def test_allow_update(expected: bool, observed: int, generation: int, annotation: str | None) -> None:
    world = World().converged()
    world.metadata["generation"] = generation
    world.manifest["status"]["observedGeneration"] = observed
    if annotation is not None:
        world.metadata["annotations"][labels.AUTOUPDATE_SPEC] = annotation
    assert allows_update(world.snapshot()) is expected


# ── in which order ──────────────────────────────────────────────────────────────────────────────────


def order(*workloads: dict[str, Any] | None) -> list[str]:
    datacenters = [
        datacenter(f"dc{number}", **({"dseWorkloads": each} if each else {}))
        for number, each in enumerate(workloads, 1)
    ]
    return list(rendered(cluster(*datacenters, serverType="dse", serverVersion="6.8.25")).order)


@pytest.mark.parametrize("second", [SEARCH, GRAPH, None])
def test_dc_upgrade_priority_of_analytics_is_the_highest(second: dict[str, Any] | None) -> None:
    assert order(second, ANALYTICS) == ["dc2", "dc1"]
    assert order(second, {**ANALYTICS, **SEARCH}) == ["dc2", "dc1"]


@pytest.mark.parametrize("second", [GRAPH, None])
def test_dc_upgrade_priority_of_search_alone_is_the_lowest(second: dict[str, Any] | None) -> None:
    assert order(SEARCH, second) == ["dc2", "dc1"]


def test_sort_datacenters_for_upgrade() -> None:
    assert order(SEARCH, None, ANALYTICS, SEARCH, GRAPH, ANALYTICS) == ["dc3", "dc6", "dc2", "dc5", "dc1", "dc4"]


def test_sort_no_change() -> None:
    assert order(None, None, None) == ["dc1", "dc2", "dc3"]
    assert order(ANALYTICS, None, SEARCH) == ["dc1", "dc2", "dc3"]


# ── with a controller ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.looptime
async def test_generation_check() -> None:
    """What an older release rendered differs: it is said, not written, until the annotation allows it."""
    async with rig() as one:
        one.apply(one.demo())
        await one.ready()
        older = {
            "metadata": {"annotations": {labels.RESOURCE_HASH: "v1:of-an-older-release"}},
            "spec": {"config": {"cassandra-yaml": {"num_tokens": 16, "of_an_older_release": True}}},
        }
        await one.client("kind-dc1").patch(
            CASSANDRA_DATACENTERS, NAMESPACE, "dc1", older, kind="merge", field_manager=FIELD_MANAGER
        )
        condition = await one.says("SpecDiffers", "RequiresUpdate")
        field = "spec.config.cassandra-yaml.of_an_older_release"
        before = await one.get(CASSANDRA_DATACENTERS, "dc1", "kind-dc1")
        assert field in condition["message"]
        assert before["spec"]["config"]["cassandra-yaml"]["of_an_older_release"] is True
        (event,) = await one.events("RequiresUpdate")
        assert (field in event["message"], event["type"]) == (True, "Warning")

        annotation = {"metadata": {"annotations": {labels.AUTOUPDATE_SPEC: "once"}}}
        await one.patch(K8SSANDRA_CLUSTERS, "demo", annotation)
        await one.says("UpToDate", "RequiresUpdate")
        after = await one.get(CASSANDRA_DATACENTERS, "dc1", "kind-dc1")
        assert after["metadata"]["annotations"][labels.RESOURCE_HASH] != "v1:of-an-older-release"
        await asyncio.sleep(10.0)
        live = await one.get(K8SSANDRA_CLUSTERS, "demo")
        assert labels.AUTOUPDATE_SPEC not in live["metadata"]["annotations"]
        assert live["metadata"]["generation"] == 1


@pytest.mark.looptime
async def test_a_field_that_stays_as_it_is_is_said() -> None:
    """Another superuser's Secret cannot be given to nodes that have one, and nobody is left wondering."""
    async with rig() as one:
        one.apply(one.demo())
        await one.ready()
        before = await one.get(CASSANDRA_DATACENTERS, "dc1", "kind-dc1")
        await one.patch(
            K8SSANDRA_CLUSTERS, "demo", {"spec": {"cassandra": {"superuserSecretRef": {"name": "another"}}}}
        )
        await asyncio.sleep(30.0)
        told = sorted(event["message"] for event in await one.events("Ineffective"))
        words = "spec.cassandra.superuserSecretRef: cannot change and stays as it is; name the Secret that is in use"
        assert told == [f"datacenter dc1: {words}", f"datacenter dc2: {words}"]
        assert (await one.get(CASSANDRA_DATACENTERS, "dc1", "kind-dc1"))["spec"] == before["spec"]


@pytest.mark.looptime
async def test_a_webhook_that_nobody_serves_is_named_and_the_cluster_is_not_blamed() -> None:
    async with rig() as one:
        fault = Fault(
            verb="create",
            resource="cassandradatacenters",
            namespace=NAMESPACE,
            status=500,
            reason="InternalError",
            message=GONE,
            times=None,
        )
        one.servers["kind-dc1"].faults.add(fault)
        one.apply(one.demo())
        condition = await one.says("WebhookFailed")
        assert 'webhook "vcassandradatacenter.kb.io" does not answer' in condition["message"]
        assert "kubectl get validatingwebhookconfigurations" in condition["message"]
        assert one.controller is not None
        assert all(member.state.usable for member in one.controller.pool)
        one.servers["kind-dc1"].faults.clear()
        await one.ready()


# ── what is wanted no more ──────────────────────────────────────────────────────────────────────────


def written(manager: str, *fields: str) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": "Apply",
        "fieldsV1": {"f:spec": {f"f:{field}": {} for field in fields}},
    }


@pytest.mark.parametrize(
    ("expected", "managers"),
    [
        (["former"], [written("k8ssandra-controller", "size", "former")]),
        ([], [written("k8ssandra-controller", "size"), written("kubectl-edit", "former")]),
        (["former"], None),  # nobody knows
    ],
)
def test_a_field_counts_as_left_over_when_we_wrote_it(expected: list[str], managers: Any) -> None:
    live = {"metadata": {"managedFields": managers}, "spec": {"size": 3, "former": True}}
    assert left_over({"size": 3}, live) == expected


def test_what_a_server_puts_into_ports_is_not_left_over() -> None:
    port = {"containerPort": 9042, "protocol": "TCP"}
    spec = {"podTemplateSpec": {"spec": {"containers": [{"name": "a", "ports": [port]}]}}}
    wanted = {"podTemplateSpec": {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 9042}]}]}}}
    assert left_over(wanted, {"metadata": {}, "spec": spec}) == []
