"""The seeds' part of a plan: beside each datacenter, the addresses of the other datacenters' seed nodes."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from controller.cassandra import labels
from controller.cassandra.memo import Memo
from controller.cassandra.plan.keeping import keep, whole
from controller.cassandra.render import RenderedDatacenter, seed_slices
from controller.cassandra.seeds import with_addresses
from controller.cassandra.snapshot import DatacenterView, Snapshot
from controller.fleet.actions import Action, Apply, Delete
from controller.kube.objects import Object
from controller.kube.resources import ENDPOINT_SLICES

_SLICES: Final = Memo[tuple[Any, ...], list[dict[str, Any]]](1024)
_RENEWED: Final = Memo[tuple[bytes, tuple[str, ...]], dict[str, Any] | None](256)


def keep_seeds(snapshot: Snapshot, view: DatacenterView, rendered: RenderedDatacenter) -> list[Action]:
    """The slices with the other datacenters' seeds: before the datacenter is made, and right ever after."""
    status_name = view.decoded.status.datacenter_name if view.decoded is not None else ""
    addresses = addresses_of_others(snapshot, view)
    cluster = snapshot.cluster
    stamp = rendered.object["metadata"]["annotations"][labels.RESOURCE_HASH]
    wanted = _SLICES.get(
        (cluster.metadata.uid, cluster.name, cluster.cass_name, stamp, status_name, tuple(addresses)),
        lambda: seed_slices(cluster, rendered, addresses, status_name=status_name),
    )
    names = {slice_["metadata"]["name"] for slice_ in wanted}
    actions: list[Action] = []
    for slice_ in wanted:
        actions += keep(ENDPOINT_SLICES, slice_, view.slices)
    return actions + [Delete(ENDPOINT_SLICES, live) for live in view.slices if live.head.name not in names]


def renew_seeds(snapshot: Snapshot, view: DatacenterView) -> list[Action]:
    """The seeds of a datacenter whose specification is wrong: its slices stay what they are, with other addresses."""
    addresses = tuple(addresses_of_others(snapshot, view))
    actions: list[Action] = []
    for live in view.slices:
        wanted = _RENEWED.get((live.raw, addresses), partial(with_addresses, whole(live), addresses))
        if wanted is not None:
            actions.append(Apply(ENDPOINT_SLICES, wanted, live))
    return actions


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


def _addresses(slice_: Object) -> list[str]:
    return [address for endpoint in whole(slice_).get("endpoints") or [] for address in endpoint.get("addresses") or []]
