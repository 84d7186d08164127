"""One datacenter's part of a plan: its ConfigMaps, its seeds, its CassandraDatacenter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from controller.cassandra import labels
from controller.cassandra.compare import diff_fields
from controller.cassandra.plan.model import Problem, Wait
from controller.cassandra.render import seed_slices
from controller.cassandra.resources import CASSANDRA_DATACENTERS
from controller.cassandra.snapshot import DatacenterView, Snapshot
from controller.fleet.actions import Action, Apply, Create, Delete, Merge
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, Resource


class Step(msgspec.Struct):
    """What one datacenter needs now. ``settled``: it is as the specification says, and cass-operator has done it."""

    actions: list[Action] = []
    waits: list[Wait] = []
    problems: list[Problem] = []
    drift: list[str] = []  # fields of the CassandraDatacenter that differ while updates are not allowed
    settled: bool = False


def plan_datacenter(snapshot: Snapshot, view: DatacenterView, *, prepared: bool, behind: str, update: bool) -> Step:
    """The step of one datacenter.

    ``prepared``: the control plane's own objects are in place. ``behind``: name of the first datacenter before this
    one that is not settled, "" when all are. ``update``: whether a live specification may be changed.
    """
    step = Step()
    if view.away:
        step.problems.append(
            Problem("DatacenterUnreachable", f"datacenter {view.name}: {view.away}", datacenter=view.name)
        )
        return step
    if not view.known:
        step.waits.append(Wait("Connecting", f"the caches of {_place(view)} are being filled", view.name))
        return step
    if not prepared:
        return step
    for wanted in view.rendered.config_maps:
        step.actions += _keep(CONFIG_MAPS, wanted, view.config_maps)
    if view.live is None:
        _plan_creation(snapshot, view, behind, step)
    else:
        _plan_seeds(snapshot, view, step)
        _plan_update(view, view.live, behind, update, step)
    return step


def addresses_of_others(snapshot: Snapshot, view: DatacenterView) -> list[str]:
    """Seed addresses of all other datacenters, in the order of the specification, then the additional seeds.

    While the pods of a datacenter were never seen (its cluster is away since the controller started), the addresses
    that are in the live slices stay: not to know a seed is no reason to drop it.
    """
    others = [other for other in snapshot.views if other.name != view.name]
    found: list[str] = [address for other in others for address in other.seeds]
    if not all(other.known for other in others):
        found += [address for slice_ in view.slices for address in _addresses(slice_)]
    template = snapshot.cluster.spec.cassandra
    found += template.additional_seeds if template is not None else []
    return list(dict.fromkeys(found))


def _plan_creation(snapshot: Snapshot, view: DatacenterView, behind: str, step: Step) -> None:
    if not view.secrets_ready:
        step.waits.append(
            Wait("SecretsNotReplicated", f"the cluster's Secrets are not all in {_place(view)} yet", view.name)
        )
        return
    if behind:
        step.waits.append(Wait("WaitingForDatacenter", f"{view.name} waits for {behind}", view.name))
        return
    running = [other for other in snapshot.views if other.name != view.name and other.live is not None]
    addresses = addresses_of_others(snapshot, view)
    if running and not addresses:
        # Without a seed of another datacenter this one would found a ring of its own.
        names = ", ".join(other.name for other in running)
        step.waits.append(Wait("WaitingForSeeds", f"{view.name} waits for a seed node of {names}", view.name))
        return
    _plan_seeds(snapshot, view, step)
    step.actions.append(Create(CASSANDRA_DATACENTERS, view.rendered.object))


def _plan_seeds(snapshot: Snapshot, view: DatacenterView, step: Step) -> None:
    """The slices with the other datacenters' seeds: before the datacenter is made, and right ever after."""
    wanted = seed_slices(snapshot.cluster, view.rendered, addresses_of_others(snapshot, view))
    names = {slice_["metadata"]["name"] for slice_ in wanted}
    for slice_ in wanted:
        step.actions += _keep(ENDPOINT_SLICES, slice_, view.slices)
    step.actions += [Delete(ENDPOINT_SLICES, live) for live in view.slices if live.head.name not in names]


def _plan_update(view: DatacenterView, live: Object, behind: str, update: bool, step: Step) -> None:
    desired = view.rendered.object
    actual = live.decode(dict)
    if live.head.deletion_timestamp is not None:
        message = (
            f"CassandraDatacenter {view.name} in {_place(view)} is being deleted; it is made again when it is gone"
        )
        step.waits.append(Wait("DatacenterTerminating", message, view.name))
        return
    stamp = (actual["metadata"].get("annotations") or {}).get(labels.RESOURCE_HASH, "")
    wanted_stamp = desired["metadata"]["annotations"][labels.RESOURCE_HASH]
    fields = diff_fields(desired["spec"], actual.get("spec"))
    # A stamp of ours tells about fields that were wanted once and are no more; another's tells nothing.
    changed = bool(fields) or (stamp.startswith("v1:") and stamp != wanted_stamp)
    if changed and update:
        if behind:
            message = f"the change of {view.name} waits for {behind}"
            step.waits.append(Wait("WaitingForDatacenter", message, view.name))
        else:
            step.actions.append(Apply(CASSANDRA_DATACENTERS, desired, live))
        return
    if changed:
        step.drift = fields or ["metadata.annotations"]
    metadata = _missing_metadata(desired["metadata"], actual["metadata"], stamp="" if changed else wanted_stamp)
    if metadata:
        step.actions.append(
            Merge(CASSANDRA_DATACENTERS, {"metadata": metadata}, live, exactly="finalizers" in metadata)
        )
    if not view.reached:
        step.waits.append(Wait("DatacenterNotReady", _progress(view), view.name))
        return
    step.settled = not changed


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


def _keep(resource: Resource, wanted: dict[str, Any], live: Iterable[Object]) -> list[Action]:
    """What makes an object of ours be as wanted: nothing, when it is."""
    metadata = wanted["metadata"]
    found = next((obj for obj in live if obj.head.name == metadata["name"]), None)
    if found is None:
        return [Create(resource, wanted)]
    actual = found.decode(dict)
    stamp = (actual["metadata"].get("annotations") or {}).get(labels.RESOURCE_HASH)
    if stamp == metadata["annotations"][labels.RESOURCE_HASH] and not diff_fields(wanted, actual):
        return []
    return [Apply(resource, wanted, found)]


def _addresses(slice_: Object) -> list[str]:
    return [
        address
        for endpoint in slice_.decode(dict).get("endpoints") or []
        for address in endpoint.get("addresses") or []
    ]


def _place(view: DatacenterView) -> str:
    return view.context or "the control plane's cluster"


def _progress(view: DatacenterView) -> str:
    assert view.decoded is not None
    status, size = view.decoded.status, view.rendered.size
    if status.observed_generation != view.decoded.metadata.generation:
        return f"cass-operator in {_place(view)} has not acted on the present specification of {view.name} yet"
    if view.rendered.stopped:
        return f"{view.name} is being stopped by cass-operator"
    progress = status.cassandra_operator_progress or "not started"
    return (
        f"{view.name} is not Ready: {len(status.node_statuses)} of {size} nodes are up, cass-operator says {progress}"
    )
