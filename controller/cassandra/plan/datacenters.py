"""One datacenter's part of a plan: its ConfigMaps, its seeds, its CassandraDatacenter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from controller.cassandra import labels
from controller.cassandra.changes import adjust
from controller.cassandra.compare import diff_fields
from controller.cassandra.memo import Memo
from controller.cassandra.plan.keeping import compared, keep, whole
from controller.cassandra.plan.model import Problem, Wait
from controller.cassandra.plan.seeds import joinable, keep_seeds, renew_seeds, waits_for_names
from controller.cassandra.problems import FieldProblem
from controller.cassandra.render import RenderedDatacenter
from controller.cassandra.resources import CASSANDRA_DATACENTERS
from controller.cassandra.snapshot import DatacenterView, Snapshot
from controller.cassandra.takeover import keep_init_container, left_over, unadopted
from controller.fleet.actions import Action, Adopt, Apply, Create, Merge
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS

# One K8ssandraCluster is planned in every context of its, and nearly always nothing has changed for most of it.
# Live objects are known by their bytes, wanted ones by their stamp.
_UNADOPTED: Final = Memo[tuple[str, bytes], bool](4096)


class Step(msgspec.Struct):
    """What one datacenter needs now. ``settled``: it is as the specification says, and cass-operator has done it."""

    actions: list[Action] = []
    waits: list[Wait] = []
    problems: list[Problem] = []
    kept: list[FieldProblem] = []  # fields of the specification that have no effect on what is there
    drift: list[str] = []  # fields of the CassandraDatacenter that differ while updates are not allowed
    settled: bool = False

    def hold(self, why: Wait | Problem) -> None:
        """It is not done yet, although its CassandraDatacenter is."""
        self.settled = False
        if isinstance(why, Wait):
            self.waits.append(why)
        else:
            self.problems.append(why)


def plan_datacenter(
    snapshot: Snapshot, view: DatacenterView, *, prepared: bool, behind: str, update: bool, moves: Sequence[Problem]
) -> Step:
    """The step of one datacenter.

    ``prepared``: the control plane's own objects are in place. ``behind``: name of the first datacenter before this
    one that is not settled, "" when all are. ``update``: whether a live specification may be changed. ``moves``:
    why it may not be made where the specification puts it.
    """
    step = Step()
    if view.away is not None:
        step.problems.append(Problem(view.away.reason, f"datacenter {view.name}: {view.away.message}", view.name))
        return step
    if not view.known:
        step.waits.append(Wait("Connecting", f"the caches of {view.place} are being filled", view.name))
        return step
    step.problems += moves
    if view.rendered is None and view.live is not None:
        step.actions += renew_seeds(snapshot, view)
    if view.awaited and (view.rendered is None or view.live is None):
        step.waits.append(_awaits_secrets(view))
    if view.rendered is None or not prepared or (moves and view.live is None):
        return step
    step.actions += _watch_per_node(snapshot, view)
    for wanted in view.rendered.config_maps:
        step.actions += keep(CONFIG_MAPS, wanted, view.config_maps)
    if view.live is None:
        _plan_creation(snapshot, view, view.rendered, behind, step)
    else:
        step.actions += keep_seeds(snapshot, view, view.rendered)
        _plan_update(snapshot, view, view.rendered, view.live, behind, update, step)
    return step


def _watch_per_node(snapshot: Snapshot, view: DatacenterView) -> list[Action]:
    """The labels by which changes of the user's own ConfigMap are seen; nothing else of it is touched."""
    cluster, found = snapshot.cluster, view.per_node
    if found is None:
        return []
    wanted = labels.owner(cluster.name, cluster.namespace)
    have = found.head.labels or {}
    if all(have.get(key) == value for key, value in wanted.items()):
        return []
    return [Merge(CONFIG_MAPS, {"metadata": {"labels": wanted}}, found)]


def _plan_creation(
    snapshot: Snapshot, view: DatacenterView, rendered: RenderedDatacenter, behind: str, step: Step
) -> None:
    if not view.secrets_ready:
        message = f"the cluster's Secrets are not all in {view.place} yet"
        step.waits.append(Wait("SecretsNotReplicated", message, view.name, brief=True))
    if not view.secrets_ready or view.awaited:
        return
    if behind:
        step.waits.append(Wait("WaitingForDatacenter", f"{view.name} waits for {behind}", view.name))
        return
    if not joinable(snapshot, view) and (ring := _ring_elsewhere(snapshot, view)):
        # Without a seed of another datacenter this one would found a ring of its own.
        message = f"{view.name} waits for a seed node of {', '.join(ring)}"
        step.waits.append(Wait("WaitingForSeeds", message, view.name))
        return
    if names := waits_for_names(snapshot, view):
        message = f"{view.name} waits for the addresses of the seeds {', '.join(names)}"
        step.waits.append(Wait("WaitingForSeeds", message, view.name))
        return
    step.actions += keep_seeds(snapshot, view, rendered)
    step.actions.append(Create(CASSANDRA_DATACENTERS, rendered.object))


def _ring_elsewhere(snapshot: Snapshot, view: DatacenterView) -> list[str]:
    """Names of datacenters with which this one would have to share a ring: seen now, or shown by the status."""
    found = [left.object.head.name for left in snapshot.datacenters]
    found += [
        name
        for name, entry in snapshot.cluster.status.datacenters.items()
        if name != view.name and entry.cassandra is not None and entry.context_name in snapshot.unseen
    ]
    return list(dict.fromkeys(found))


def _plan_update(
    snapshot: Snapshot,
    view: DatacenterView,
    rendered: RenderedDatacenter,
    live: Object,
    behind: str,
    update: bool,
    step: Step,
) -> None:
    actual = whole(live)
    if live.head.deletion_timestamp is not None:
        _plan_farewell(view, live, actual, step)
        return
    adjusted = adjust(snapshot.cluster, rendered, actual.get("spec") or {})
    desired = keep_init_container(snapshot.cluster, adjusted.object, live, actual)
    step.problems += [Problem("ImmutableField", str(problem), view.name) for problem in adjusted.problems]
    step.kept += adjusted.kept
    stamp = (actual["metadata"].get("annotations") or {}).get(labels.RESOURCE_HASH, "")
    wanted_stamp = desired["metadata"]["annotations"][labels.RESOURCE_HASH]
    fields = compared(wanted_stamp, live, lambda: _differences(desired, actual, same=stamp == wanted_stamp))
    outdated = stamp.startswith("v1:") and stamp != wanted_stamp
    if fields and update and view.awaited:
        step.waits.append(_awaits_secrets(view))
        return
    if fields and update and not behind and not step.problems:
        removes = _shrinks(desired, actual)
        step.actions.append(Apply(CASSANDRA_DATACENTERS, desired, live, removes=removes))
        return
    if fields and update and not step.problems:
        message = f"the change of {view.name} waits for {behind}"
        step.waits.append(Wait("WaitingForDatacenter", message, view.name))
    elif fields and not step.problems:
        step.drift = [f"spec.{field}" for field in fields]
    if outdated and not fields:  # only metadata differs, of which an apply removes what is wanted no more
        step.actions.append(Apply(CASSANDRA_DATACENTERS, desired, live, exactly=True))
    else:
        metadata = _missing_metadata(desired["metadata"], actual["metadata"], stamp="" if fields else wanted_stamp)
        patch = {"metadata": metadata}
        if _UNADOPTED.get((wanted_stamp, live.raw), lambda: unadopted(actual, desired)):
            step.actions.append(Adopt(CASSANDRA_DATACENTERS, desired, patch, live))
        elif metadata:
            step.actions.append(Merge(CASSANDRA_DATACENTERS, patch, live, exactly="finalizers" in metadata))
    if not view.reached:
        step.waits.append(Wait("DatacenterNotReady", _progress(view, rendered), view.name, brief=_unseen(view)))
    step.settled = view.reached and not fields and not step.problems


def _differences(desired: dict[str, Any], actual: dict[str, Any], *, same: bool) -> list[str]:
    """Fields of the specification that differ. Another stamp than the wanted one tells that something else was wanted
    once: then there may be fields, too, that are wanted no more."""
    found = diff_fields(desired["spec"], actual.get("spec"))
    return found if found or same else left_over(desired["spec"], actual)


def _awaits_secrets(view: DatacenterView) -> Wait:
    message = f"{view.name} waits for {', '.join(f'Secret {view.namespace}/{name}' for name in view.awaited)}"
    return Wait("SecretsNotReplicated", f"{message} in {view.place}", view.name)


def _shrinks(desired: dict[str, Any], actual: dict[str, Any]) -> bool:
    """Whether nodes are decommissioned by a change of the specification; racks are never removed."""
    size = (actual.get("spec") or {}).get("size")
    return not isinstance(size, int) or desired["spec"].get("size", 0) < size


def _plan_farewell(view: DatacenterView, live: Object, actual: dict[str, Any], step: Step) -> None:
    """Somebody deleted the CassandraDatacenter: our finalizer does not hold it up, and it is made again after that."""
    message = f"CassandraDatacenter {view.name} in {view.place} is being deleted; it is made again when it is gone"
    step.waits.append(Wait("DatacenterTerminating", message, view.name))
    finalizers = actual["metadata"].get("finalizers") or []
    if labels.FINALIZER in finalizers:
        rest = [name for name in finalizers if name != labels.FINALIZER]
        patch = {"metadata": {"finalizers": rest}}
        step.actions.append(Merge(CASSANDRA_DATACENTERS, patch, live, exactly=True))


def _missing_metadata(desired: dict[str, Any], actual: dict[str, Any], *, stamp: str) -> dict[str, Any]:
    """The labels, annotations and finalizers of ours that a live object lacks, as a merge patch; {} for none."""
    patch: dict[str, Any] = {}
    for key in ("labels", "annotations"):
        live = actual.get(key) or {}
        wanted = {name: value for name, value in desired.get(key, {}).items() if name != labels.RESOURCE_HASH}
        if key == "annotations" and stamp:
            wanted[labels.RESOURCE_HASH] = stamp
        if missing := {name: value for name, value in wanted.items() if live.get(name) != value}:
            patch[key] = missing
    finalizers = actual.get("finalizers") or []
    if absent := [name for name in desired.get("finalizers", []) if name not in finalizers]:
        patch["finalizers"] = [*finalizers, *absent]
    return patch


def _unseen(view: DatacenterView) -> bool:
    """Whether its cass-operator has said nothing at all of it yet, which it does as soon as it sees it."""
    status = view.decoded.status if view.decoded is not None else None
    return status is not None and not status.cassandra_operator_progress and not status.conditions


def _progress(view: DatacenterView, rendered: RenderedDatacenter) -> str:
    assert view.decoded is not None
    status = view.decoded.status
    if status.observed_generation != view.decoded.metadata.generation:
        return f"cass-operator in {view.place} has not acted on the present specification of {view.name} yet"
    if rendered.stopped:
        return f"{view.name} is being stopped by cass-operator"
    nodes = f"{len(status.node_statuses)} of {rendered.size} nodes are up"
    return (
        f"{view.name} is not Ready: {nodes}, cass-operator says {status.cassandra_operator_progress or 'not started'}"
    )
