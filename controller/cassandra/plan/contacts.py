"""The contact points' part of a plan: what leads to a datacenter's pods is in the control plane, and goes with it."""

from __future__ import annotations

from typing import Final

import msgspec

from controller.cassandra import labels
from controller.cassandra.contact_points import SUFFIX, contact_points, pods
from controller.cassandra.plan.keeping import keep
from controller.cassandra.plan.model import Chain
from controller.cassandra.resources import CONTACT_SLICES
from controller.cassandra.snapshot import DatacenterView, Snapshot
from controller.fleet.actions import Action, Delete
from controller.kube.conditions import Condition
from controller.kube.errors import Malformed
from controller.kube.objects import Object, encode, parse
from controller.kube.resources import ENDPOINTS, SERVICES

CONTACT_POINTS: Final = "ContactPoints"  # type of the condition


def contacts(snapshot: Snapshot) -> list[Chain]:
    """What the contact points of all datacenters need now; nothing while it is not known what is there."""
    if not snapshot.contacts.known:
        return []
    chains = [Chain(view.name, tuple(_of_datacenter(snapshot, view))) for view in snapshot.views]
    return [*chains, Chain("", tuple(_of_nobody(snapshot))), *(Chain("", (each,)) for each in _legacy(snapshot))]


def contacts_condition(snapshot: Snapshot) -> Condition | None:
    """That there are no contact points, for their kinds may not be seen; None when they may."""
    if not snapshot.contacts.refused:
        return None
    kinds = " and ".join(snapshot.contacts.refused)
    return Condition(
        type=CONTACT_POINTS,
        status="False",
        reason="Forbidden",
        message=f"the control plane does not allow to watch {kinds}: apply manifests/control-plane-role there",
        observed_generation=snapshot.cluster.metadata.generation,
    )


def _of_datacenter(snapshot: Snapshot, view: DatacenterView) -> list[Action]:
    if view.away is not None or not view.known or view.rendered is None:
        return []  # what was there stays: not to see a datacenter is no reason to hide it from others
    found = pods(view.endpoints)
    services = [each for each in snapshot.contacts.services if _datacenter(each) == view.name]
    slices = [each for each in snapshot.contacts.slices if _datacenter(each) == view.name]
    if not found:
        return [Delete(CONTACT_SLICES, each) for each in slices]  # it is stopped; its Service stays
    if view.decoded is None or view.decoded.metadata.name != view.name:
        return []
    status = view.decoded.status
    if not services and not (status.is_true("Initialized") or status.is_true("Ready")):
        return []  # nobody can log in before its superuser is there, and each node that starts would be a write
    service, wanted = contact_points(snapshot.cluster, view.rendered, found, status_name=status.datacenter_name)
    actions = keep(SERVICES, service, snapshot.contacts.services)
    for each in wanted:
        actions += keep(CONTACT_SLICES, each, snapshot.contacts.slices)
    names = {each["metadata"]["name"] for each in (service, *wanted)}
    actions += [Delete(CONTACT_SLICES, each) for each in slices if each.head.name not in names]
    actions += [Delete(SERVICES, each) for each in services if each.head.name not in names]
    return actions


def _of_nobody(snapshot: Snapshot) -> list[Action]:
    """Contact points of datacenters that are gone: from the specification, and from their clusters."""
    if not snapshot.rendered.order:
        return []
    kept = {view.name for view in snapshot.views} | {left.object.head.name for left in snapshot.datacenters}
    status = snapshot.cluster.status.datacenters
    kept |= {name for name, entry in status.items() if entry.context_name in snapshot.unseen}
    gone = [(CONTACT_SLICES, each) for each in snapshot.contacts.slices]
    gone += [(SERVICES, each) for each in snapshot.contacts.services]
    return [Delete(resource, each) for resource, each in gone if (name := _datacenter(each)) and name not in kept]


class _Owner(msgspec.Struct, frozen=True):
    kind: str = ""
    name: str = ""
    uid: str = ""


class _Metadata(msgspec.Struct, frozen=True):
    owner_references: tuple[_Owner, ...] = msgspec.field(default=(), name="ownerReferences")


class _Mirrored(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()


def _legacy(snapshot: Snapshot) -> list[Action]:
    """Endpoints that an old release of the reference operator left: Kubernetes copies their addresses into slices."""
    found: list[Action] = []
    for each in snapshot.contacts.mirrored:
        try:
            owners = each.decode(_Mirrored).metadata.owner_references
        except Malformed:
            continue
        for owner in owners:
            if owner.kind == ENDPOINTS.kind and owner.name.endswith(SUFFIX) and owner.uid:
                metadata = {"name": owner.name, "namespace": each.head.namespace, "uid": owner.uid}
                found.append(Delete(ENDPOINTS, parse(encode({"metadata": metadata}))))
    return found


def _datacenter(found: Object) -> str:
    return (found.head.labels or {}).get(labels.DATACENTER, "")
