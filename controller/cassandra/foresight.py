"""What plans lead to: each carried out on paper, as if every write succeeded and every cass-operator did its work."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from controller.cassandra import labels
from controller.cassandra.observe import Renderings
from controller.cassandra.plan import plan
from controller.cassandra.render import superuser_secret, superuser_secret_name
from controller.cassandra.resources import CASSANDRA_DATACENTERS, CONTACT_SLICES, K8SSANDRA_CLUSTERS
from controller.cassandra.snapshot import ASSUMED, Contacts, DatacenterView, Leftover, Snapshot
from controller.cassandra.store_copies import StoreCopies
from controller.cassandra.types import CassandraDatacenter, K8ssandraCluster
from controller.fleet import former
from controller.fleet.actions import FIELD_MANAGER, Action, Adopt, Apply, Create, Delete, Merge, Replace
from controller.kube import merge_patch, objects, ownership
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, SECRETS, SERVICES, Resource
from controller.replication.types import REPLICATED_SECRETS

STEPS: Final = 200  # more than any roll-out takes
UNKNOWN_SEED: Final = "192.0.2.1"  # stands for the address of a seed that is not there yet; RFC 5737
_PODS: Final = objects.parse(
    objects.encode(
        {
            "metadata": {"name": "foreseen"},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [UNKNOWN_SEED]}],
        }
    )
)


class Foreseen(NamedTuple):
    """One action; ``context`` "" is the control plane."""

    context: str
    action: Action


def foresee(snapshot: Snapshot, renderings: Renderings) -> Iterator[Foreseen]:
    """Every action that leads from ``snapshot`` to rest, in order; of a deletion, those of the first step only.

    Clusters that cannot be used now stay as they are, and so does what waits for them.
    """
    for _ in range(STEPS):
        now = plan(snapshot)
        found = [
            Foreseen(context, action)
            for context, chains in now.chains.items()
            for chain in chains
            for action in chain.actions
        ]
        if now.superuser:
            found.insert(0, Foreseen("", Create(SECRETS, superuser_secret(snapshot.cluster, ""))))
        yield from found
        if snapshot.deleting or not found or all(_is_annotation(each.action) for each in found):
            return
        snapshot = _after(snapshot, found, renderings)


def _is_annotation(action: Action) -> bool:
    return isinstance(action, Merge) and labels.AUTOUPDATE_SPEC in (action.patch["metadata"].get("annotations") or {})


# ── the next snapshot ───────────────────────────────────────────────────────────────────────────────


def _after(snapshot: Snapshot, actions: list[Foreseen], renderings: Renderings) -> Snapshot:
    whole = _own_object(snapshot, actions)
    cluster = whole.decode(K8ssandraCluster)
    rendered = renderings.get(cluster)
    by_name = {entry.name: entry for entry in rendered.datacenters}
    views = tuple(
        _view(view, [each.action for each in actions if each.context == view.context], by_name.get(view.name))
        for view in snapshot.views
    )
    gone = {each.action.live.head.uid for each in actions if isinstance(each.action, Delete)}
    shown = {(view.context, view.name): Leftover(view.context, view.live) for view in views if view.live is not None}
    others = [left for left in snapshot.datacenters if (left.context, left.object.head.name) not in shown]
    return msgspec.structs.replace(
        snapshot,
        cluster=cluster,
        object=whole,
        rendered=rendered,
        views=views,
        superuser=_one(snapshot.superuser, actions, SECRETS, superuser_secret_name(cluster)),
        replicated=_one(snapshot.replicated, actions, REPLICATED_SECRETS, cluster.name),
        stores=StoreCopies(),  # one step does all that is to be done for them
        contacts=_contacts(snapshot, [each.action for each in actions if not each.context]),
        keyspaces=ASSUMED,
        datacenters=(*shown.values(), *(left for left in others if left.object.head.uid not in gone)),
    )


def _own_object(snapshot: Snapshot, actions: Iterable[Foreseen]) -> Object:
    whole = snapshot.object.decode(dict)
    for _, action in actions:
        if isinstance(action, Merge) and action.resource == K8SSANDRA_CLUSTERS:
            whole = merge_patch.merge(whole, action.patch)
    return objects.parse(objects.encode(whole))


def _one(live: Object | None, actions: Iterable[Foreseen], resource: Resource, name: str) -> Object | None:
    for context, action in actions:
        if not context and action.resource == resource and target_of(action)[1] == name:
            live = _done(action, live)
    return live


def _view(view: DatacenterView, actions: list[Action], rendered: Any) -> DatacenterView:
    """One datacenter after the actions in its cluster, its cass-operator having finished."""
    if view.away is not None or not view.known:
        return view
    live = view.live
    for action in actions:
        if action.resource == CASSANDRA_DATACENTERS and target_of(action) == (view.namespace, view.name):
            live = _done(action, live)
    live = None if live is None else _finished(live)
    return msgspec.structs.replace(
        view,
        rendered=rendered,
        live=live,
        decoded=None if live is None else live.decode(CassandraDatacenter),
        config_maps=_kept(view.config_maps, actions, CONFIG_MAPS, view.namespace),
        slices=_kept(view.slices, actions, ENDPOINT_SLICES, view.namespace, labels_of=view.name),
        seeds=view.seeds or ((UNKNOWN_SEED,) if live is not None else ()),
        endpoints=view.endpoints or ((_PODS,) if live is not None and not view.stopped else ()),
        secrets_ready=True,
    )


def _contacts(snapshot: Snapshot, actions: list[Action]) -> Contacts:
    before, namespace = snapshot.contacts, snapshot.cluster.namespace
    return Contacts(
        known=before.known,
        services=_kept(before.services, actions, SERVICES, namespace),
        slices=_kept(before.slices, actions, CONTACT_SLICES, namespace),
    )


def _kept(
    live: tuple[Object, ...], actions: list[Action], resource: Resource, namespace: str, *, labels_of: str = ""
) -> tuple[Object, ...]:
    found = {(obj.head.namespace, obj.head.name): obj for obj in live}
    for action in actions:
        target = target_of(action)
        if action.resource != resource or target[0] != namespace:
            continue
        if labels_of and target not in found and not _is_of(action, labels_of):
            continue  # another datacenter's in the same namespace
        done = _done(action, found.pop(target, None))
        if done is not None:
            found[target] = done
    return tuple(found.values())


def _is_of(action: Action, datacenter: str) -> bool:
    wanted = action.object if isinstance(action, Create) else {}
    return bool(wanted.get("metadata", {}).get("labels", {}).get(labels.CASS_DATACENTER) == datacenter)


def target_of(action: Action) -> tuple[str, str]:
    """Namespace and name of the object that an action is about."""
    if isinstance(action, Create):
        metadata = action.object["metadata"]
        return metadata.get("namespace", ""), metadata["name"]
    return action.live.head.namespace, action.live.head.name


def _done(action: Action, live: Object | None) -> Object | None:
    """The object after one action."""
    match action:
        case Create(object=wanted):
            found = copy.deepcopy(wanted)
            name = found["metadata"]["name"]
            found["metadata"] |= {"uid": f"of {name}", "resourceVersion": "1", "generation": 1}
        case Delete():
            return None
        case Merge(patch=patch):
            assert live is not None
            found = merge_patch.merge(live.decode(dict), patch)
        case Adopt(object=wanted, patch=patch):
            assert live is not None
            found = merge_patch.merge(live.decode(dict), patch)
            if (
                adopted := ownership.adopt(found, FIELD_MANAGER, former.share_of(found, wanted, FIELD_MANAGER))
            ) is not None:
                found["metadata"] = {**found["metadata"], "managedFields": adopted.entries}
        case Apply(object=wanted) | Replace(object=wanted):
            assert live is not None
            before = live.decode(dict)
            found = {**before, **copy.deepcopy(wanted)}
            found["metadata"] = {**before["metadata"], **found["metadata"]}
            found["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
    return objects.parse(objects.encode(found))


def _finished(live: Object) -> Object:
    """A CassandraDatacenter that its cass-operator has finished with."""
    whole = live.decode(dict)
    state = "Stopped" if whole.get("spec", {}).get("stopped") else "Ready"
    condition = {"type": state, "status": "True", "reason": "", "message": ""}
    status = {
        **(whole.get("status") or {}),
        "cassandraOperatorProgress": "Ready",
        "observedGeneration": whole["metadata"].get("generation", 0),
        "conditions": [condition],
    }
    return objects.parse(objects.encode({**whole, "status": status}))
