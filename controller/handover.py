"""Whether the reference operator's work can be taken over now: what stands in the way, found out by reading only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

import msgspec

from controller.cassandra import names
from controller.cassandra.forecast import Change, Forecast, forecast
from controller.cassandra.foreign_writes import QUIET, managed
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.cassandra.snapshot import Snapshot
from controller.engine.clock import Clock
from controller.fleet import former
from controller.fleet.inspection import Finding, Inspection, Verdict, inspect
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.errors import KubeError, Malformed, NotFound
from controller.kube.objects import Object
from controller.kube.resources import ENDPOINTS
from controller.preview import Preview
from controller.replication.types import REPLICATED_SECRETS

CONTROL_KINDS: Final = (K8SSANDRA_CLUSTERS, CLIENT_CONFIGS, REPLICATED_SECRETS)
DATA_KINDS: Final = (CASSANDRA_DATACENTERS,)


class ClusterCheck(msgspec.Struct, frozen=True):
    """What the take-over of one K8ssandraCluster would do; ``changes`` to objects, all told."""

    namespace: str
    name: str
    findings: tuple[Finding, ...]
    changes: tuple[Change, ...] = ()


class Check(msgspec.Struct, frozen=True):
    """Everything that was looked at. ``ready``: nothing was seen that stands in the way."""

    ready: bool
    findings: tuple[Finding, ...]
    clusters: tuple[ClusterCheck, ...]


async def check(looking: Preview, clock: Clock, *, within: float) -> Check:
    """Look at every cluster and every K8ssandraCluster; waits for each not longer than ``within`` seconds."""
    await looking.wait_for([cluster.context for cluster in looking.pool], within=within)
    inspections = [await _inspected(looking, cluster.context) for cluster in looking.pool]
    findings = [finding for each in inspections for finding in each.findings]
    stopped = all(each.stopped for each in inspections)
    clusters = []
    for found in looking.everything():
        try:
            snapshot, renderings = await looking.observe(found, within=within)
        except Malformed as error:
            refused = Finding("", "blocks", "specification", f"cannot be read: {error}")
            clusters.append(ClusterCheck(found.head.namespace, found.head.name, (refused,)))
            continue
        foreseen = forecast(snapshot, renderings)
        told = [*_of_forecast(foreseen), *_writes(snapshot, clock, stopped=stopped)]
        told += [each async for each in _old_seeds(looking, snapshot)]
        clusters.append(ClusterCheck(found.head.namespace, found.head.name, tuple(told), foreseen.changes))
    every = [*findings, *(finding for each in clusters for finding in each.findings)]
    return Check(all(each.verdict != "blocks" for each in every), tuple(findings), tuple(clusters))


async def _inspected(looking: Preview, context: str) -> Inspection:
    cluster = looking.pool.get(context)
    if cluster is None or not cluster.state.usable:
        why = cluster.state.message if cluster is not None else "its ClientConfig was deleted meanwhile"
        return Inspection((Finding(context, "blocks", "connection", f"the cluster cannot be looked at: {why}"),), None)
    kinds = DATA_KINDS if context else CONTROL_KINDS
    try:
        return await inspect(cluster.client, context, cluster.cache.namespaces, kinds)
    except KubeError as error:
        return Inspection((Finding(context, "blocks", "connection", f"was lost: {type(error).__name__}"),), None)


def _of_forecast(found: Forecast) -> Iterator[Finding]:
    fine = True
    for change in found.changes:
        if change.kind != CASSANDRA_DATACENTERS.kind:
            continue
        fields = [field.path for field in change.fields if field.path.startswith("spec")]
        subject = f"CassandraDatacenter {change.namespace}/{change.name}"
        if change.verb == "change" and not fields:
            continue
        fine = False
        what = f"changed at once ({', '.join(fields[:10])})" if change.verb == "change" else f"{change.verb}d at once"
        message = (
            f"would be {what}: a roll-out is not finished, or the annotation autoupdate-spec asks for it; let the "
            "reference operator finish first, or remove the annotation"
        )
        yield Finding(change.context, "blocks", subject, message)
    for name, drift in found.drift.items():
        fine = False
        message = (
            f"differs ({', '.join(drift[:10])}); the take-over leaves it and says RequiresUpdate, but the next change "
            "of the specification rolls it out: see what that means first"
        )
        yield Finding("", "blocks", f"CassandraDatacenter {name}", message)
    yield from _said(found)
    if fine:
        yield Finding("", "fine", "CassandraDatacenters", "no specification would change, so no pod restarts")


def _said(found: Forecast) -> Iterator[Finding]:
    for problem in found.problems:
        yield Finding("", "blocks", problem.reason, problem.message)
    for wait in found.waits:
        yield Finding("", "blocks", wait.reason, f"{wait.message}; take over when everything is at rest")
    for warning in found.warnings:
        unsupported = "is not supported by this controller" in warning
        yield Finding("", "blocks" if unsupported else "fine", "specification", warning)


def _writes(snapshot: Snapshot, clock: Clock, *, stopped: bool) -> Iterator[Finding]:
    """When the reference operator last wrote something that belongs to the cluster."""
    now = clock.now().timestamp()
    last = _last(managed(snapshot))
    if last is None:
        yield Finding("", "fine", "writes", "the reference operator wrote nothing that is not adopted")
        return
    seconds = max(0, round(now - last.seconds))
    recent = seconds < QUIET
    verdict: Verdict = "blocks" if recent and not stopped else "fine"
    message = f"the last by {last.manager!r} was {seconds} s ago"
    if verdict == "blocks":
        message += f", and nobody saw that its operator does not run; look again after {QUIET:g} s without one"
    yield Finding("", verdict, "writes", message)


async def _old_seeds(looking: Preview, snapshot: Snapshot) -> AsyncIterator[Finding]:
    """Seeds in Endpoints, from before EndpointSlices: newer releases of the reference operator remove them."""
    for view in snapshot.views:
        cluster = looking.pool.get(view.context)
        if view.decoded is None or cluster is None or not cluster.state.usable:
            continue
        called = view.decoded.status.datacenter_name or view.name
        name = names.additional_seed_service(snapshot.cluster.cass_name, called)
        subject = f"Endpoints {view.namespace}/{name}"
        command = f"kubectl -n {view.namespace} delete endpoints {name}"
        try:
            await cluster.client.get(ENDPOINTS, view.namespace, name, metadata_only=True)
        except NotFound:
            continue
        except KubeError as error:
            message = f"may not be read ({type(error).__name__}); if an old release left it: {command}"
            yield Finding(view.context, "unknown", subject, message)
            continue
        message = f"left by an old release; its addresses stay seeds for ever, whatever becomes of them: {command}"
        yield Finding(view.context, "blocks", subject, message)


def _last(found: Iterable[tuple[str, str, Object]]) -> former.Overwritten | None:
    writes = [write for _, _, obj in found if (write := former.last_write(obj)) is not None]
    return max(writes, key=lambda write: write.seconds, default=None)
