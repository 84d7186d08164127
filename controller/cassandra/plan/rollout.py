"""The whole plan of a K8ssandraCluster: datacenters one after the other, or its deletion."""

from __future__ import annotations

from controller.cassandra import labels
from controller.cassandra.changes import Place, forbidden_moves
from controller.cassandra.plan import control, deletion, foreign, keyspaces, stores
from controller.cassandra.plan.contacts import contacts
from controller.cassandra.plan.datacenters import Step, plan_datacenter
from controller.cassandra.plan.model import Chain, Plan, Problem, Wait, pruned
from controller.cassandra.plan.seeds import seed_problems
from controller.cassandra.plan.status import compose
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.cassandra.snapshot import Snapshot
from controller.fleet.actions import Delete, Merge
from controller.kube.resources import ENDPOINT_SLICES


def plan(snapshot: Snapshot, reported: tuple[Problem, ...] = ()) -> Plan:
    """What is to be done now for everything that the snapshot shows.

    ``reported``: what went wrong in the last attempts to carry plans out; shown in the status, nothing else.
    """
    if snapshot.deleting:
        return deletion.plan(snapshot, reported)
    rendered = snapshot.rendered
    problems = [
        *(Problem(problem.reason, str(problem), problem.datacenter) for problem in rendered.errors),
        *control.check(snapshot),
        *stores.check(snapshot),
        *seed_problems(snapshot),
        *_strangers(snapshot),
        *foreign.problems(snapshot),
        *reported,
    ]
    moves = _moves(snapshot)
    renamed = _renamed(snapshot)
    problems = [*renamed, *problems]
    if renamed or any(not problem.datacenter for problem in rendered.errors):
        # The specification as a whole is wrong: what is there stays as it is, and the status says why.
        return Plan(problems=tuple(problems), status=compose(snapshot, {}, [], problems, False))
    preparation = control.preparation(snapshot)
    secret_actions, superuser = control.secrets(snapshot)
    secret_actions += stores.actions(snapshot)
    own = [Chain("", tuple(preparation)), *(Chain("", (action,)) for action in secret_actions)]
    chains: dict[str, list[Chain]] = {"": own}
    waits: list[Wait] = []
    update = allows_update(snapshot)
    steps: dict[str, Step] = {}
    behind = ""
    unsettled: list[str] = []  # contexts
    for view in snapshot.views:
        step = plan_datacenter(
            snapshot, view, prepared=not preparation, behind=behind, update=update, moves=moves.get(view.name, ())
        )
        if not step.settled:
            unsettled.append(view.context)
        elif (why := keyspaces.held(snapshot, view)) is not None:
            step.hold(why)
        steps[view.name] = step
        chains.setdefault(view.context, []).append(Chain(view.name, tuple(step.actions)))
        waits += step.waits
        problems += step.problems
        if not step.settled and not behind:
            behind = view.name
    own += contacts(snapshot)
    for orphan in snapshot.orphans:
        chains.setdefault(orphan.context, []).append(Chain("", (Delete(ENDPOINT_SLICES, orphan.object),)))
    complete = not behind and bool(snapshot.views) and not superuser and not preparation
    if complete and update and snapshot.cluster.metadata.annotations.get(labels.AUTOUPDATE_SPEC) == "once":
        patch = {"metadata": {"annotations": {labels.AUTOUPDATE_SPEC: None}}}
        own.append(Chain("", (Merge(K8SSANDRA_CLUSTERS, patch, snapshot.object),)))
    return Plan(
        chains=pruned(foreign.restrained(chains, snapshot.foreign)),
        waits=tuple(waits),
        problems=tuple(problems),
        superuser=superuser,
        status=compose(snapshot, steps, waits, problems, complete),
        kept=tuple(problem for step in steps.values() for problem in step.kept),
        drift={name: tuple(step.drift) for name, step in steps.items() if step.drift},
        keyspaces=keyspaces.next_round(snapshot, unsettled),
    )


def allows_update(snapshot: Snapshot) -> bool:
    """Whether a live CassandraDatacenter's specification may be changed: the user changed something, or asked for it.

    What a new release of this controller renders otherwise must not restart anybody's Cassandra by itself.
    """
    cluster = snapshot.cluster
    if cluster.metadata.annotations.get(labels.AUTOUPDATE_SPEC) in ("once", "always"):
        return True
    return cluster.status.observed_generation < cluster.metadata.generation


def _renamed(snapshot: Snapshot) -> list[Problem]:
    """The Cassandra cluster has another name already, by which its pods and Secrets are found."""
    for view in snapshot.views:
        if view.live is None or view.rendered is None:
            continue
        live = view.decoded.spec.get("clusterName") if view.decoded is not None else None
        if live and live != view.rendered.object["spec"]["clusterName"]:
            message = f"spec.cassandra.clusterName: cannot change; the cluster is called {live}; put it back"
            return [Problem("ImmutableField", message)]
    return []


def _moves(snapshot: Snapshot) -> dict[str, list[Problem]]:
    """By datacenter: why it may not be made, given where those of this cluster are."""
    found: dict[str, list[Problem]] = {}
    for problem in forbidden_moves(snapshot.cluster, snapshot.deployed):
        found.setdefault(problem.datacenter, []).append(Problem("DatacenterMoved", str(problem), problem.datacenter))
    return found


def _strangers(snapshot: Snapshot) -> list[Problem]:
    """CassandraDatacenters of ours that the specification does not name (any more)."""
    names = {view.name for view in snapshot.views}
    deployed = snapshot.deployed
    found = []
    for left in snapshot.datacenters:
        head = left.object.head
        if head.name in names and deployed[head.name] == Place(left.context, head.namespace):
            continue  # of the specification, or what it would have in another place, which its own step says
        where = f"{head.namespace}/{head.name} in {left.context or 'the control plane cluster'}"
        found.append(
            Problem(
                "DatacenterNotInSpec",
                f"CassandraDatacenter {where} belongs to this cluster but spec.cassandra.datacenters does not name it "
                "(any more); nothing is deleted for it: put the entry back, or decommission the datacenter and delete "
                "the object there",
                head.name,
            )
        )
    return found
