"""What the status of a K8ssandraCluster says: the truth, with the generation it speaks of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from controller.cassandra.plan.datacenters import Step
from controller.cassandra.plan.model import Problem, Status, Wait
from controller.cassandra.snapshot import DatacenterView, Snapshot
from controller.kube.conditions import Condition

STATUS_CAP: Final = 256 * 1024  # bytes of all datacenters' copied status together; etcd's limit is 1.5 MiB
NO_ERROR: Final = "None"  # what the published schema's default says
DATACENTER_READY: Final = "DatacenterReady."  # prefix of the conditions of single datacenters


def compose(
    snapshot: Snapshot,
    steps: Mapping[str, Step],
    waits: Sequence[Wait],
    problems: Sequence[Problem],
    complete: bool,
) -> Status:
    """``complete``: every datacenter is as the present specification says, and cass-operator has carried it out."""
    cluster = snapshot.cluster
    ready = complete and not problems
    generation = cluster.metadata.generation
    drift = {name: step.drift for name, step in steps.items() if step.drift}
    blocking: Problem | Wait | None = next(iter(problems), None) or next(iter(waits), None)
    said = "; ".join(dict.fromkeys([*(p.message for p in problems), *(w.message for w in waits)]))
    if ready:
        reason, message = "AllDatacentersReady", f"{len(snapshot.views)} datacenters are Ready"
    elif drift and blocking is None:
        reason, message = "RequiresUpdate", _drift_message(drift)
    else:
        reason, message = (blocking.reason, said) if blocking else ("RollingOut", "the roll-out has begun")
    progressing = not ready and not problems and not (drift and blocking is None)
    conditions = [
        _condition("Ready", ready, reason, message, generation),
        _condition(
            "Progressing",
            progressing,
            "RollingOut" if progressing else ("Complete" if ready else reason),
            message,
            generation,
        ),
    ]
    if complete or _initialized(cluster.status.conditions):
        conditions.append(_condition("CassandraInitialized", True, "Initialized", "", generation))
    if drift:
        conditions.append(_condition("RequiresUpdate", True, "SpecDiffers", _drift_message(drift), generation))
    elif complete:
        conditions.append(_condition("RequiresUpdate", False, "UpToDate", "", generation))
    unsupported = snapshot.rendered.unsupported
    if unsupported:
        text = "; ".join(str(problem) for problem in unsupported)
        conditions.append(_condition("UnsupportedFields", True, "NotSupported", text, generation))
    conditions += [_of_datacenter(view, steps.get(view.name), problems, generation) for view in snapshot.views]
    return Status(
        conditions=tuple(conditions),
        datacenters=_datacenters(snapshot),
        error="; ".join(problem.message for problem in problems) or NO_ERROR,
        observed_generation=generation if complete and not drift else cluster.status.observed_generation,
    )


def _of_datacenter(view: DatacenterView, step: Step | None, problems: Sequence[Problem], generation: int) -> Condition:
    kind = DATACENTER_READY + view.name
    if step is not None and step.settled:
        return _condition(
            kind, True, "Ready", f"{view.name} is Ready in {view.context or 'the control plane'}", generation
        )
    own: list[Problem | Wait] = [problem for problem in problems if problem.datacenter == view.name]
    if step is not None:
        own += step.waits
        if step.drift:
            return _condition(kind, False, "RequiresUpdate", _drift_message({view.name: step.drift}), generation)
    if own:
        message = "; ".join(dict.fromkeys(entry.message for entry in own))
        return _condition(kind, False, own[0].reason, message, generation)
    return _condition(kind, False, "RollingOut", f"{view.name} is being brought up to date", generation)


def _condition(kind: str, holds: bool, reason: str, message: str, generation: int) -> Condition:
    return Condition(
        type=kind, status="True" if holds else "False", reason=reason, message=message, observed_generation=generation
    )


def _initialized(conditions: Sequence[Any]) -> bool:
    return any(entry.type == "CassandraInitialized" and entry.status == "True" for entry in conditions)


def _drift_message(drift: Mapping[str, Sequence[str]]) -> str:
    parts = [f"{name}: {', '.join(fields[:10])}" for name, fields in drift.items()]
    return (
        f"CassandraDatacenters differ from what this K8ssandraCluster says ({'; '.join(parts)}); change its "
        "specification, or annotate it with k8ssandra.io/autoupdate-spec=once, to have them updated"
    )


def _datacenters(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """The status of every datacenter seen, as its cass-operator says it; of those not seen now, the last known."""
    shown: dict[str, dict[str, Any]] = {
        name: msgspec.to_builtins(status) for name, status in snapshot.cluster.status.datacenters.items()
    }
    named = {view.name for view in snapshot.views}
    if named:
        shown = {name: entry for name, entry in shown.items() if name in named}
    for view in snapshot.views:
        if view.away or not view.known:
            continue
        entry = shown.setdefault(view.name, {})
        entry["contextName"] = view.context
        if view.decoded is not None:
            entry["cassandra"] = msgspec.to_builtins(view.decoded.status)
        else:
            entry.pop("cassandra", None)
        if not entry["contextName"]:
            del entry["contextName"]
    if len(msgspec.json.encode(shown)) > STATUS_CAP:
        for entry in shown.values():
            for lengthy in ("nodeStatuses", "trackedTasks"):
                entry.get("cassandra", {}).pop(lengthy, None)
    return shown
