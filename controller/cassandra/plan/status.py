"""What the status of a K8ssandraCluster says: the truth, with the generation it speaks of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from controller.cassandra.plan import keyspaces
from controller.cassandra.plan.contacts import contacts_condition
from controller.cassandra.plan.datacenters import Step
from controller.cassandra.plan.model import Problem, Status, Wait
from controller.cassandra.plan.seeds import stale_condition
from controller.cassandra.snapshot import DatacenterView, Snapshot
from controller.cassandra.types import CassandraDatacenter
from controller.kube.conditions import Condition
from controller.kube.errors import Malformed, clean

STATUS_CAP: Final = 256 * 1024  # bytes of all datacenters' copied status together; etcd's limit is 1.5 MiB
NO_ERROR: Final = "None"  # what the published schema's default says
DATACENTER_READY: Final = "DatacenterReady."  # prefix of the conditions of single datacenters
UNSUPPORTED: Final = "UnsupportedFields"
RESTART_REQUIRED: Final = "RestartRequired"


def compose(
    snapshot: Snapshot,
    steps: Mapping[str, Step],
    waits: Sequence[Wait],
    problems: Sequence[Problem],
    complete: bool,
) -> Status:
    """``complete``: every datacenter is as the present specification says, and cass-operator has carried it out."""
    cluster = snapshot.cluster
    generation = cluster.metadata.generation
    drift = {name: step.drift for name, step in steps.items() if step.drift}
    running = [view for view in snapshot.views if not view.stopped]
    ready = complete and not problems and bool(running)
    blocking: Problem | Wait | None = next(iter(problems), None) or next(iter(waits), None)
    if complete and not problems:
        reason = "AllDatacentersReady" if running else "Stopped"
        message = _tally(len(running), len(snapshot.views) - len(running))
    elif drift and blocking is None:
        reason, message = "RequiresUpdate", drift_message(drift)
    elif blocking is not None:
        reason, message = blocking.reason, _said([*problems, *waits])
    else:
        reason, message = "RollingOut", "the roll-out is under way"
    progressing = not complete and not problems and (not drift or blocking is not None)
    why = "RollingOut" if progressing else ("Complete" if complete and not problems else reason)
    conditions = [
        _condition("Ready", ready, reason, message, generation),
        _condition("Progressing", progressing, why, message, generation),
    ]
    if complete or _initialized(cluster.status.conditions):
        conditions.append(_condition("CassandraInitialized", True, "Initialized", "", generation))
    if drift:
        conditions.append(_condition("RequiresUpdate", True, "SpecDiffers", drift_message(drift), generation))
    elif complete:
        conditions.append(_condition("RequiresUpdate", False, "UpToDate", "", generation))
    if unsupported := snapshot.rendered.unsupported:
        text = "; ".join(str(problem) for problem in unsupported)
        conditions.append(_condition(UNSUPPORTED, True, "NotSupported", text, generation))
    conditions += _notices(snapshot)
    conditions += keyspaces.notices(snapshot)
    conditions += filter(None, (stale_condition(snapshot), contacts_condition(snapshot)))
    conditions += [_of_datacenter(view, steps.get(view.name), problems, generation) for view in snapshot.views]
    return Status(
        conditions=tuple(conditions),
        datacenters=_datacenters(snapshot),
        error=clean(_said(problems)) or NO_ERROR,
        observed_generation=generation if complete and not drift else cluster.status.observed_generation,
        brief=not problems and (any(wait.brief for wait in waits) or any(_acts(step) for step in steps.values())),
    )


def compose_deletion(snapshot: Snapshot, waits: Sequence[Wait], problems: Sequence[Problem]) -> Status:
    """What is said while the datacenters go: the copied status of each stays as it was."""
    status, generation = snapshot.cluster.status, snapshot.cluster.metadata.generation
    message = _said([*problems, *waits]) or "it is being made certain that nothing is left"
    reason = problems[0].reason if problems else "Deleting"
    return Status(
        conditions=(
            _condition("Ready", False, reason, message, generation),
            _condition("Progressing", not problems, reason, message, generation),
            *_notices(snapshot),
        ),
        datacenters={name: msgspec.to_builtins(entry) for name, entry in status.datacenters.items()},
        error=clean(_said(problems)) or NO_ERROR,
        observed_generation=status.observed_generation,
    )


def _notices(snapshot: Snapshot) -> list[Condition]:
    """A condition when a ClientConfig that this cluster needs is gone, and only its connection is still there."""
    if not snapshot.notices:
        return []
    generation = snapshot.cluster.metadata.generation
    return [_condition(RESTART_REQUIRED, True, "ClientConfigDeleted", "; ".join(snapshot.notices), generation)]


def _said(entries: Sequence[Problem | Wait]) -> str:
    return "; ".join(dict.fromkeys(entry.message for entry in entries))


def _tally(running: int, stopped: int) -> str:
    parts = [f"{running} {'datacenter is' if running == 1 else 'datacenters are'} Ready"] if running else []
    parts += [f"{stopped} {'is' if stopped == 1 else 'are'} stopped, as the specification says"] if stopped else []
    return ", ".join(parts)


def _of_datacenter(view: DatacenterView, step: Step | None, problems: Sequence[Problem], generation: int) -> Condition:
    kind = DATACENTER_READY + view.name
    if step is not None and step.settled:
        if view.stopped:
            message = f"{view.name} is stopped, as the specification says"
            return _condition(kind, False, "Stopped", message, generation)
        return _condition(kind, True, "Ready", f"{view.name} is Ready in {view.place}", generation)
    own: list[Problem | Wait] = [problem for problem in problems if problem.datacenter == view.name]
    if step is not None:
        own += step.waits
        if step.drift and not any(isinstance(entry, Problem) for entry in own):
            return _condition(kind, False, "RequiresUpdate", drift_message({view.name: step.drift}), generation)
    if own:
        return _condition(kind, False, own[0].reason, _said(own), generation)
    if step is None and problems:
        message = f"nothing is changed in {view.name}: {problems[0].message}"
        return _condition(kind, False, problems[0].reason, message, generation)
    return _condition(kind, False, "RollingOut", f"{view.name} is being brought up to date", generation)


def _condition(kind: str, holds: bool, reason: str, message: str, generation: int) -> Condition:
    return Condition(
        type=kind, status="True" if holds else "False", reason=reason, message=message, observed_generation=generation
    )


def _acts(step: Step) -> bool:
    """Whether it is brought up to date now; what comes of that says more."""
    return bool(step.actions) and not step.settled and not step.waits


def _initialized(conditions: Sequence[Any]) -> bool:
    return any(entry.type == "CassandraInitialized" and entry.status == "True" for entry in conditions)


def drift_message(drift: Mapping[str, Sequence[str]]) -> str:
    """What is said of live specifications that differ while they may not be changed, by datacenter."""
    parts = [f"{name}: {', '.join(fields[:10])}" for name, fields in drift.items()]
    return (
        f"CassandraDatacenters differ from what this K8ssandraCluster says ({'; '.join(parts)}); change its "
        "specification, or annotate it with k8ssandra.io/autoupdate-spec=once, to have them updated"
    )


def _datacenters(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """The status of every datacenter seen, as its cass-operator says it; of those not seen now, the last known."""
    cluster = snapshot.cluster
    shown: dict[str, dict[str, Any]] = {
        name: msgspec.to_builtins(entry) for name, entry in cluster.status.datacenters.items()
    }
    if snapshot.rendered.order:
        # One that the specification names no more stays while it is there, or while nobody can know.
        kept = {view.name for view in snapshot.views} | {left.object.head.name for left in snapshot.datacenters}
        kept |= {name for name, entry in cluster.status.datacenters.items() if entry.context_name in snapshot.unseen}
        # Nor is its context forgotten before what was made there for it is gone.
        emptied = {left.context for left in snapshot.orphans}
        kept |= {name for name, entry in cluster.status.datacenters.items() if entry.context_name in emptied}
        shown = {name: entry for name, entry in shown.items() if name in kept}
    deployed, named = snapshot.deployed, {view.name for view in snapshot.views}
    for view in snapshot.views:
        if view.away is not None or not view.known:
            continue
        if view.live is None and view.name in deployed:
            continue  # it is somewhere else, and what is said is of that
        entry = shown.setdefault(view.name, {})
        entry["contextName"] = view.context
        if view.decoded is not None:
            entry["cassandra"] = msgspec.to_builtins(view.decoded.status)
        else:
            entry.pop("cassandra", None)
        if not entry["contextName"]:
            del entry["contextName"]
    for left in snapshot.datacenters:
        entry = shown.get(left.object.head.name, {})
        if left.object.head.name not in named and entry.get("contextName", "") == left.context:
            with suppress(Malformed):  # what was known before is shown then
                entry["cassandra"] = msgspec.to_builtins(left.object.decode(CassandraDatacenter).status)
    return _capped(shown)


def _capped(shown: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """``shown`` within ``STATUS_CAP``: what is beyond an equal share loses its lists, and then all but its head."""
    share = STATUS_CAP // max(len(shown), 1)
    for entry in shown.values():
        cassandra = entry.get("cassandra", {})
        for lengthy in ("nodeStatuses", "trackedTasks", "nodeReplacements"):
            if _size(entry) > share:
                cassandra.pop(lengthy, None)
        if _size(entry) > share:
            progress = clean(str(cassandra.get("cassandraOperatorProgress", "")), 64)
            head = {"observedGeneration": cassandra.get("observedGeneration", 0), "cassandraOperatorProgress": progress}
            ready = [kept for kept in cassandra.get("conditions", []) if kept["type"] in ("Ready", "Stopped")][:2]
            entry["cassandra"] = {**head, "conditions": [{**kept, "message": clean(kept["message"])} for kept in ready]}
    return shown


def _size(value: Any) -> int:
    return len(msgspec.json.encode(value))
