"""The seeds' part of a plan: beside each datacenter, the addresses of the other datacenters' seed nodes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import msgspec

from controller.cassandra import labels
from controller.cassandra.annotations import drop_after
from controller.cassandra.memo import Memo
from controller.cassandra.plan.keeping import keep, whole
from controller.cassandra.plan.model import Problem
from controller.cassandra.render import RenderedDatacenter, seed_slices
from controller.cassandra.seeds import is_host_name, usable_addresses, with_addresses
from controller.cassandra.snapshot import DatacenterView, Snapshot
from controller.cassandra.stale_seeds import Mark, marks_of, written
from controller.fleet.actions import Action, Apply, Delete
from controller.kube.conditions import Condition
from controller.kube.objects import Object
from controller.kube.resources import ENDPOINT_SLICES

STALE_SEEDS: Final = "StaleSeeds"  # type of the condition

_SLICES: Final = Memo[tuple[Any, ...], list[dict[str, Any]]](1024)
_RENEWED: Final = Memo[tuple[bytes, tuple[str, ...]], dict[str, Any] | None](256)


class Seeds(msgspec.Struct, frozen=True):
    """What the slices beside one datacenter shall hold.

    ``guessed``: addresses that are there and may be those of names which are not resolved. ``marks``: by datacenter,
    what of it is stale.
    """

    addresses: tuple[str, ...]
    guessed: tuple[str, ...] = ()
    marks: dict[str, Mark] = {}


def keep_seeds(snapshot: Snapshot, view: DatacenterView, rendered: RenderedDatacenter) -> list[Action]:
    """The slices with the other datacenters' seeds: before the datacenter is made, and right ever after."""
    status_name = view.decoded.status.datacenter_name if view.decoded is not None else ""
    seeds = seeds_of_others(snapshot, view)
    marks = written(seeds.marks) if seeds.marks else ""
    # A slice that has lost its last address says since when, as long as that is so.
    kinds = frozenset(str(whole(live).get("addressType")) for live in view.slices) if marks else frozenset()
    cluster = snapshot.cluster
    stamp = rendered.object["metadata"]["annotations"][labels.RESOURCE_HASH]
    wanted = _SLICES.get(
        (cluster.metadata.uid, cluster.name, cluster.cass_name, stamp, status_name, seeds.addresses, marks, kinds),
        lambda: seed_slices(cluster, rendered, seeds.addresses, status_name=status_name, marks=marks, kinds=kinds),
    )
    names = {slice_["metadata"]["name"] for slice_ in wanted}
    actions: list[Action] = []
    for slice_ in wanted:
        actions += keep(ENDPOINT_SLICES, slice_, view.slices)
    return actions + [Delete(ENDPOINT_SLICES, live) for live in view.slices if live.head.name not in names]


def renew_seeds(snapshot: Snapshot, view: DatacenterView) -> list[Action]:
    """The seeds of a datacenter whose specification is wrong: its slices stay what they are, with other addresses."""
    addresses = seeds_of_others(snapshot, view).addresses
    actions: list[Action] = []
    for live in view.slices:
        wanted = _RENEWED.get((live.raw, addresses), partial(with_addresses, whole(live), addresses))
        if wanted is not None:
            actions.append(Apply(ENDPOINT_SLICES, wanted, live))
    return actions


def joinable(snapshot: Snapshot, view: DatacenterView) -> bool:
    """Whether a seed is known for certain, through which a new datacenter joins the ring of the others."""
    seeds = seeds_of_others(snapshot, view)
    return bool(usable_addresses(address for address in seeds.addresses if address not in seeds.guessed))


def seeds_of_others(snapshot: Snapshot, view: DatacenterView) -> Seeds:
    """The seeds of all other datacenters, and the additional ones, each once.

    While the pods of a datacenter were never seen (its cluster is away since the controller started), its addresses
    are those that its mark on the live slices says, or else all there that belong to nobody known: not to know a seed
    is no reason to drop it. The same holds for host names that could not be resolved.
    """
    others = [other for other in snapshot.views if other.name != view.name]
    found: list[str] = [address for other in others if other.known for address in other.seeds]
    extra, unresolved = _additional(snapshot)
    if not snapshot.stale and not unresolved and all(other.known for other in others):
        return Seeds(tuple(dict.fromkeys([*found, *extra])))
    live = list(dict.fromkeys(address for slice_ in view.slices for address in _addresses(slice_)))
    marked = {name: mark for slice_ in view.slices for name, mark in marks_of(slice_).items()}
    told = {address for other in others if not other.known for address in _told(marked.get(other.name))}
    known = {*map(str, usable_addresses([*found, *extra])), *told}
    unclaimed = [address for address in live if address not in known]
    stale = {entry.datacenter: entry for entry in snapshot.stale}
    kept: list[str] = []
    marks: dict[str, Mark] = {}
    for other in others:
        mark = marked.get(other.name)
        own = list(other.seeds) if other.known else list(mark.addresses) if mark is not None else unclaimed
        entry = stale.get(other.name)
        if entry is not None:
            marks[other.name] = Mark(entry.since, tuple(map(str, usable_addresses(own))))
        if entry is None or entry.dropped is False:
            kept += own
        elif entry.dropped is None:
            kept += [address for address in marks[other.name].addresses if address in live]
    kept += extra
    guessed = unclaimed if unresolved else []
    return Seeds(tuple(dict.fromkeys([*kept, *guessed])), tuple(dict.fromkeys(guessed)), marks)


def waits_for_names(snapshot: Snapshot, view: DatacenterView) -> list[str]:
    """Host names without whose addresses a datacenter would know no seed, and found a ring of its own."""
    _, unresolved = _additional(snapshot)
    return unresolved if unresolved and not joinable(snapshot, view) else []


def seed_problems(snapshot: Snapshot) -> Iterator[Problem]:
    """What is wrong with what people say of seeds."""
    text = snapshot.cluster.metadata.annotations.get(labels.STALE_SEEDS, "")
    try:
        drop_after(text)
    except ValueError:
        message = (
            f"annotation {labels.STALE_SEEDS} is neither keep nor drop-after=<duration>, as drop-after=1h30m; correct "
            "it: until then stale seeds are kept"
        )
        yield Problem("InvalidAnnotation", message)
    for index, seed in enumerate(_template_seeds(snapshot)):
        entry = next((entry for entry in snapshot.seed_names if entry.name == seed), None)
        if entry is not None and entry.error:
            kept = "; its last addresses stay" if entry.addresses else ""
            message = (
                f"spec.cassandra.additionalSeeds[{index}]: {entry.error}{kept}; make the name known to the DNS of the "
                "control plane, or give the address"
            )
            yield Problem("SeedNotResolved", message)


def stale_condition(snapshot: Snapshot) -> Condition | None:
    """Which datacenters' seeds are stale, since when, and what becomes of them; None when none are."""
    if not snapshot.stale:
        return None
    away = {view.name: view.away.message for view in snapshot.views if view.away is not None}
    parts = [
        f"the seeds of {entry.datacenter} are {'dropped' if entry.dropped else 'kept'} as stale, for it cannot be seen "
        f"since {entry.since} ({away.get(entry.datacenter, '')})"
        for entry in snapshot.stale
    ]
    dropped = all(entry.dropped for entry in snapshot.stale)
    way_out = f"annotate this K8ssandraCluster with {labels.STALE_SEEDS}=drop-after=<duration> to have them dropped"
    return Condition(
        type=STALE_SEEDS,
        status="True",
        reason="SeedsDropped" if dropped else "SeedsKept",
        message="; ".join([*parts, *([] if dropped else [way_out])]),
        observed_generation=snapshot.cluster.metadata.generation,
    )


def _additional(snapshot: Snapshot) -> tuple[list[str], list[str]]:
    """The additional seeds that are known as addresses, and the host names whose addresses are not known."""
    known = {entry.name: entry.addresses for entry in snapshot.seed_names}
    addresses: list[str] = []
    unresolved: list[str] = []
    for seed in _template_seeds(snapshot):
        if not is_host_name(seed):
            addresses.append(seed)
        elif (found := known.get(seed)) is not None:
            addresses += found
        else:
            unresolved.append(seed)
    return addresses, unresolved


def _template_seeds(snapshot: Snapshot) -> list[str]:
    template = snapshot.cluster.spec.cassandra
    return template.additional_seeds if template is not None else []


def _told(mark: Mark | None) -> tuple[str, ...]:
    return mark.addresses if mark is not None else ()


def _addresses(slice_: Object) -> list[str]:
    return [address for endpoint in whole(slice_).get("endpoints") or [] for address in endpoint.get("addresses") or []]
