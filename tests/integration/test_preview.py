"""What the controller would do, found out without doing it, and then done."""

from __future__ import annotations

from random import Random
from typing import Any

from controller.cassandra.forecast import Forecast
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, SECRETS, SERVICES
from controller.preview import desired, preview
from controller.replication.types import REPLICATED_SECRETS
from tests.integration.rig import CONTEXTS, Rig, converged

WITHIN = 20.0  # s
REMOTE = (SECRETS, CONFIG_MAPS, ENDPOINT_SLICES, CASSANDRA_DATACENTERS)
MADE = {"": (SECRETS, REPLICATED_SECRETS, SERVICES, ENDPOINT_SLICES), **dict.fromkeys(CONTEXTS, REMOTE)}


async def foresee(one: Rig, edit: dict[str, Any] | None = None) -> Forecast:
    """The forecast for the sample, or for the live object with another ``spec.cassandra``."""
    manifest = one.sample()
    manifest["metadata"]["namespace"] = one.namespace
    manifest["spec"]["cassandra"] |= edit or {}
    since = len(one.seen)
    async with preview(
        one.settings(), await one.credentials(), one.make_transport, rng=Random(3), within=WITHIN
    ) as looking:
        found: Object = desired(manifest, looking.live(one.namespace, "demo"))
        foreseen = await looking.forecast(found, within=WITHIN)
    assert one.writes(since=since) == []
    return foreseen


async def existing(one: Rig) -> set[tuple[str, str, str]]:
    """(context, kind, name) of everything of the demo that is there."""
    return {
        (context, resource.kind, name)
        for context, resources in MADE.items()
        for resource in resources
        for name in await one.names(resource, context)
        if name.startswith(("demo", "dc")) and not name.endswith("-sim")  # which are the simulated cass-operator's
    }


async def test_what_was_foreseen_is_what_is_made(one: Rig) -> None:
    foreseen = await foresee(one)
    assert foreseen.problems == ()
    await converged(one)
    created = {(change.context, change.kind, change.name) for change in foreseen.changes if change.verb == "create"}
    # Copies of Secrets are made by the ReplicatedSecret, not by the K8ssandraCluster.
    copies = {(context, "Secret", "demo-superuser") for context in CONTEXTS}
    assert created | copies == await existing(one)


async def test_of_what_has_converged_nothing_is_foreseen(one: Rig) -> None:
    await converged(one)
    assert (await foresee(one)).changes == ()


async def test_a_change_is_foreseen_in_every_cluster_with_its_fields(one: Rig) -> None:
    await converged(one)
    foreseen = await foresee(one, {"serverVersion": "4.1.4"})
    fields = {
        change.context: [(field.path, field.before, field.after) for field in change.fields]
        for change in foreseen.changes
        if change.kind == CASSANDRA_DATACENTERS.kind
    }
    assert fields == {context: [("spec.serverVersion", "4.0.17", "4.1.4")] for context in CONTEXTS}
    live = await one.get(K8SSANDRA_CLUSTERS, "demo") or {}
    assert live["spec"]["cassandra"]["serverVersion"] == "4.0.17"
