"""The plan of a K8ssandraCluster that is being deleted: its datacenters go first, everywhere at once."""

from __future__ import annotations

from controller.cassandra import labels
from controller.cassandra.plan import stores
from controller.cassandra.plan.model import Chain, Plan, Problem, Wait, pruned
from controller.cassandra.plan.status import compose_deletion
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.cassandra.snapshot import Leftover, Snapshot
from controller.fleet.actions import Action, Delete, Merge


def plan(snapshot: Snapshot, reported: tuple[Problem, ...]) -> Plan:
    """Delete every CassandraDatacenter of ours, wait until each is gone, then let the finalizer go.

    ``reported``: what went wrong in the last attempts.
    A context counts as empty only when live reads showed it (``snapshot.absent``); one that is away is waited for.
    """
    if labels.FINALIZER not in snapshot.cluster.metadata.finalizers:
        return Plan()
    chains: dict[str, list[Chain]] = {}
    waits: list[Wait] = []
    holding = {context for context, _ in snapshot.away} | {left.context for left in snapshot.datacenters}
    for left in snapshot.datacenters:
        chains.setdefault(left.context, []).append(Chain(left.object.head.name, tuple(_remove(left))))
        where = left.context or "the control plane's cluster"
        waits.append(Wait("Deleting", f"CassandraDatacenter {left.object.head.name} in {where} is being deleted"))
    problems = tuple(
        Problem(
            "ContextUnavailable",
            f"deletion waits for {context}: {why.message}; when that cluster is gone for good, remove the finalizer "
            f"{labels.FINALIZER} from this K8ssandraCluster",
        )
        for context, why in snapshot.away
    )
    problems += reported
    unproven = tuple(context for context in contexts_of(snapshot) if context not in snapshot.absent)
    prove = tuple(context for context in unproven if context not in holding)
    if not holding and not unproven:
        rest = [name for name in snapshot.cluster.metadata.finalizers if name != labels.FINALIZER]
        last = Merge(K8SSANDRA_CLUSTERS, {"metadata": {"finalizers": rest}}, snapshot.object, exactly=True)
        return Plan(chains={"": (Chain("", (*stores.release(snapshot), last)),)})
    return Plan(
        chains=pruned(chains),
        waits=tuple(waits),
        problems=problems,
        status=compose_deletion(snapshot, waits, problems),
        prove_absent=prove,
    )


def _remove(left: Leftover) -> list[Action]:
    """DELETE first; our finalizer goes when the server has marked the object, so it is never without both."""
    if left.object.head.deletion_timestamp is None:
        return [Delete(CASSANDRA_DATACENTERS, left.object)]
    finalizers = left.object.decode(dict)["metadata"].get("finalizers") or []
    if labels.FINALIZER not in finalizers:
        return []
    rest = [name for name in finalizers if name != labels.FINALIZER]
    return [Merge(CASSANDRA_DATACENTERS, {"metadata": {"finalizers": rest}}, left.object, exactly=True)]


def contexts_of(snapshot: Snapshot) -> tuple[str, ...]:
    """Every context that may hold something of this cluster: of the specification, of the status, of the caches."""
    cluster = snapshot.cluster
    template = cluster.spec.cassandra
    found = [entry.k8s_context for entry in template.datacenters] if template is not None else []
    found += [status.context_name for status in cluster.status.datacenters.values()]
    found += [left.context for left in snapshot.datacenters]
    return tuple(dict.fromkeys(found))
