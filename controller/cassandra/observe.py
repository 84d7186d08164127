"""Gathers the snapshot of a K8ssandraCluster from the caches of every cluster it touches; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from controller.cassandra import labels, names
from controller.cassandra.annotations import said
from controller.cassandra.contacts_seen import contacts_seen, endpoints_seen
from controller.cassandra.memo import Memo
from controller.cassandra.origins import Origin
from controller.cassandra.orphans import orphans
from controller.cassandra.render import Rendered, RenderedDatacenter, render, superuser_secret_name
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.cassandra.salvage import salvaged
from controller.cassandra.snapshot import Away, DatacenterView, Leftover, Snapshot
from controller.cassandra.sources import Sources
from controller.cassandra.store_copies import observe_copies
from controller.cassandra.stores import NOTHING
from controller.cassandra.types import (
    CassandraDatacenter,
    CassandraDatacenterTemplate,
    K8ssandraCluster,
)
from controller.cassandra.watches import OWNER, RING
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.kube.errors import Malformed
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, PODS, SECRETS
from controller.replication.copier import BY_LABEL
from controller.replication.copies import mark
from controller.replication.types import REPLICATED_FROM, REPLICATED_SECRETS

NEEDED: Final = (CASSANDRA_DATACENTERS, CONFIG_MAPS, ENDPOINT_SLICES, PODS, SECRETS)
MEMO_SIZE: Final = 1024  # renderings kept
NOT_KNOWN: Final = "SecretNotFound"  # reason of a datacenter that cannot be rendered without its passwords


# What is decoded from the bytes of an object, for every pass in every context that looks at it.
_CLUSTERS: Final = Memo[bytes, K8ssandraCluster](512)
_DATACENTERS: Final = Memo[bytes, CassandraDatacenter](512)
_ADDRESSES: Final = Memo[bytes, str](2048)


class _PodStatus(msgspec.Struct, frozen=True):
    pod_ip: str = msgspec.field(default="", name="podIP")


class _Pod(msgspec.Struct, frozen=True):
    status: _PodStatus = _PodStatus()


class _Sight(NamedTuple):
    """Whether a context can be used now, and has been looked at once."""

    away: Away | None
    known: bool


class _Memo(msgspec.Struct, frozen=True):
    cluster: K8ssandraCluster
    annotation: str
    state: tuple[int, tuple[Origin, ...]]
    rendered: Rendered


class Renderings:
    """The last rendering of each K8ssandraCluster, for all contexts of its."""

    def __init__(self, sources: Sources) -> None:
        self.sources: Final = sources
        self._memo: dict[str, _Memo] = {}  # by UID

    def get(self, cluster: K8ssandraCluster) -> Rendered:
        uid = cluster.metadata.uid
        annotation = said(cluster.metadata.annotations)
        state = self.sources.state(cluster)
        memo = self._memo.get(uid)
        # The generation alone would not do: after a restore of the API server's storage it may come again.
        if (
            memo is not None
            and (memo.annotation, memo.state) == (annotation, state)
            and memo.cluster.spec == cluster.spec
        ):
            return memo.rendered
        facts, problems = self.sources.facts(cluster)
        rendered = render(cluster, facts)
        # What is wrong with a Secret says more than that its passwords are not known; or it is about to be known.
        named = {problem.datacenter for problem in problems} | self.sources.unknown(cluster)
        if named:
            others = [each for each in rendered.errors if each.reason != NOT_KNOWN or each.datacenter not in named]
            rendered = msgspec.structs.replace(rendered, errors=(*problems, *others))
        self._memo.pop(uid, None)
        if len(self._memo) >= MEMO_SIZE:
            del self._memo[next(iter(self._memo))]
        self._memo[uid] = _Memo(cluster, annotation, state, rendered)
        return rendered


def read(found: Object) -> K8ssandraCluster:
    """The K8ssandraCluster, typed; raises ``Malformed``.

    One that is being deleted is read whatever it says: its metadata and the contexts that can be made out.
    """
    try:
        return _CLUSTERS.get(found.raw, lambda: found.decode(K8ssandraCluster))
    except Malformed:
        if found.head.deletion_timestamp is None:
            raise
    return salvaged(found)


def observe(pool: Pool, found: Object, renderings: Renderings, absent: tuple[str, ...]) -> Snapshot:
    """The snapshot of one K8ssandraCluster; raises ``Malformed`` when it cannot be read.

    ``absent``: contexts where live reads found nothing of it left.
    """
    cluster = read(found)
    # What is being deleted needs no valid specification, and nothing of it is rendered.
    deleting = found.head.deletion_timestamp is not None
    rendered = Rendered() if deleting else renderings.get(cluster)
    local = pool.local.cache
    owner = (cluster.namespace, cluster.name)
    sources = [
        secret.head.name
        for secret in local.by_index(SECRETS, BY_LABEL, (cluster.namespace, labels.CLUSTER_NAME, cluster.name))
        if (secret.head.labels or {}).get(labels.REPLICATED_BY) == labels.CLUSTER_CONTROLLER
        and labels.owned_by(secret.head.labels, cluster.name, cluster.namespace)
    ]
    named = contexts(cluster)
    # Only where the cluster says that it has something: labels in another cluster prove nothing.
    live = {
        (context, obj.head.namespace, obj.head.name): obj
        for context in named
        if (member := pool.get(context)) is not None
        for obj in member.cache.by_index(CASSANDRA_DATACENTERS, OWNER, owner)
    }
    sights = {context: _Sight(away(pool, context), known(pool.get(context))) for context in named}
    views = _views(pool, sights, cluster, rendered, live, sources, renderings.sources)
    superuser = local.get(SECRETS, cluster.namespace, superuser_secret_name(cluster))
    troubled = {context: sight.away for context, sight in sights.items() if sight.away is not None}
    unseen = tuple(context for context, sight in sights.items() if not sight.known)
    clear = [context for context in named if context not in troubled and context not in unseen]
    return Snapshot(
        cluster=cluster,
        object=found,
        rendered=rendered,
        views=views,
        superuser=superuser,
        superuser_of=_other_owner(pool, cluster, superuser),
        replicated=local.get(REPLICATED_SECRETS, cluster.namespace, cluster.name),
        datacenters=_once(views, live),
        away=tuple(troubled.items()),
        unseen=unseen,
        settling=any(member.settling for context in named if (member := pool.get(context)) is not None),
        notices=tuple(notice for context in named if (notice := pool.said(context))),
        contacts=contacts_seen(pool.local, cluster),
        stores=observe_copies(
            cluster,
            local,
            NOTHING if deleting else renderings.sources.needs(cluster),
            [each.secret for each in pool.members() if each.namespace == cluster.namespace],
        ),
        orphans=orphans(pool, cluster, clear, views, list(live)),
        absent=absent,
    )


def contexts(cluster: K8ssandraCluster) -> list[str]:
    """The contexts that a K8ssandraCluster names, in its specification and in its status."""
    template = cluster.spec.cassandra
    found = [entry.k8s_context for entry in template.datacenters] if template is not None else []
    found += [status.context_name for status in cluster.status.datacenters.values()]
    return list(dict.fromkeys(found))


def away(pool: Pool, context: str) -> Away | None:
    """Why a context cannot be used now; None when it can."""
    cluster = pool.get(context)
    if cluster is None:
        message = f"no ClientConfig names context {context}; register the cluster, or correct k8sContext"
        return Away("ContextNotFound", message)
    if not cluster.state.usable:
        return Away("DatacenterUnreachable", f"context {context} is not connected: {cluster.state.message}")
    untold = [str(resource) for resource, _ in cluster.untold() if resource in NEEDED]
    if untold:
        place = f"context {context}" if context else "the control plane's cluster"
        message = f"{place} does not serve {', '.join(dict.fromkeys(untold))}, or does not allow to watch it"
        return Away("DatacenterUnreachable", message)
    return None


def known(cluster: Cluster | None) -> bool:
    """Whether the caches of a cluster have been filled once."""
    if cluster is None:
        return False
    for resource in NEEDED:  # noqa: SIM110 -- asked several times in each pass
        if not cluster.cache.synced(resource):
            return False
    return True


def _views(
    pool: Pool,
    sights: Mapping[str, _Sight],
    cluster: K8ssandraCluster,
    rendered: Rendered,
    live: dict[tuple[str, str, str], Object],
    sources: list[str],
    given: Sources,
) -> tuple[DatacenterView, ...]:
    """The datacenters in the order of roll-out, those with a wrong specification among them.

    Where the specification is wrong as a whole there is no such order: then those that are there are looked at.
    """
    templates = {entry.name: entry for entry in cluster.spec.cassandra.datacenters} if cluster.spec.cassandra else {}
    by_name = {entry.name: entry for entry in rendered.datacenters}
    order = rendered.order
    if rendered.errors and not order:
        places = {
            name: (one.k8s_context, one.metadata.namespace or cluster.namespace) for name, one in templates.items()
        }
        order = tuple(name for name, place in places.items() if (*place, name) in live)
    awaited = given.awaited(cluster)
    return tuple(
        _view(pool, sights, cluster, templates[name], by_name.get(name), live, sources, given, awaited.get(name, ()))
        for name in order
    )


def _view(
    pool: Pool,
    sights: Mapping[str, _Sight],
    cluster: K8ssandraCluster,
    template: CassandraDatacenterTemplate,
    rendered: RenderedDatacenter | None,
    live: dict[tuple[str, str, str], Object],
    sources: list[str],
    given: Sources,
    awaited: tuple[str, ...],
) -> DatacenterView:
    name, context, namespace = template.name, template.k8s_context, template.metadata.namespace or cluster.namespace
    sight = sights[context]
    reason = sight.away
    member = pool.get(context)
    if member is None:
        return DatacenterView(
            name=name, context=context, namespace=namespace, rendered=rendered, away=reason, known=False
        )
    cache = member.cache
    if reason is None and not cache.covers(namespace):
        message = f"namespace {namespace} is not watched; add it to WATCH_NAMESPACE"
        reason = Away("NamespaceNotWatched", message)
    found = live.get((context, namespace, name))
    ring = (namespace, names.label_value(cluster.cass_name), names.label_value(name))
    config_maps = _in(cache.by_index(CONFIG_MAPS, OWNER, (cluster.namespace, cluster.name)), namespace)
    per_node = template.per_node_config_map_ref
    decoded = _decode(found)
    return DatacenterView(
        name=name,
        context=context,
        namespace=namespace,
        rendered=rendered,
        away=reason,
        known=sight.known,
        live=found,
        decoded=decoded,
        config_maps=config_maps,
        slices=tuple(obj for obj in cache.by_index(ENDPOINT_SLICES, RING, ring) if is_seed_slice(obj, cluster)),
        seeds=tuple(address for pod in cache.by_index(PODS, RING, ring) if (address := pod_address(pod))),
        endpoints=endpoints_seen(cache, cluster, ring, name, decoded),
        secrets_ready=cluster.external_secrets
        or _secrets_ready(pool, member, cluster, namespace, sources, config_maps),
        awaited=awaited,
        per_node=given.config_map(cluster, context, namespace, per_node.name) if per_node is not None else None,
    )


def is_seed_slice(found: Object, cluster: K8ssandraCluster) -> bool:
    """Whether a slice holds the seeds of a datacenter of this cluster.

    The reference operator's say by their name alone whose they are; cass-operator's own have another manager.
    """
    have = found.head.labels or {}
    if have.get(labels.ENDPOINT_SLICE_MANAGED_BY) != labels.OPERATOR_NAME:
        return False
    if labels.CLUSTER_NAME in have or labels.CLUSTER_NAMESPACE in have:
        return labels.owned_by(have, cluster.name, cluster.namespace)
    return found.head.name.startswith(f"{cluster.name}-{have.get(labels.SERVICE_NAME)}-")


def _secrets_ready(
    pool: Pool,
    member: Cluster,
    cluster: K8ssandraCluster,
    namespace: str,
    sources: list[str],
    config_maps: tuple[Object, ...],
) -> bool:
    """Whether every Secret of the cluster, and the superuser's for certain, is where the pods look for it."""
    if superuser_secret_name(cluster) not in sources:
        return False
    if namespace == cluster.namespace and (member is pool.local or _is_local(pool, config_maps)):
        return True
    label = mark(cluster.namespace, cluster.name)
    return all(
        (copy := member.cache.get(SECRETS, namespace, name)) is not None
        and (copy.head.labels or {}).get(REPLICATED_FROM) == label
        for name in sources
    )


def _is_local(pool: Pool, objects: tuple[Object, ...]) -> bool:
    """Whether objects of a context are seen in the control plane too: then both are one cluster."""
    local = pool.local.cache
    return any(
        (here := local.get(CONFIG_MAPS, obj.head.namespace, obj.head.name)) is not None
        and here.head.uid == obj.head.uid
        for obj in objects
    )


def _other_owner(pool: Pool, cluster: K8ssandraCluster, superuser: Object | None) -> str:
    """The other K8ssandraCluster that the superuser's Secret is labelled for, if there is such a one."""
    have = (superuser.head.labels or {}) if superuser is not None else {}
    name, namespace = have.get(labels.CLUSTER_NAME, ""), have.get(labels.CLUSTER_NAMESPACE, "")
    if not name or (name, namespace) == (cluster.name, cluster.namespace):
        return ""
    found = pool.local.cache.get(K8SSANDRA_CLUSTERS, namespace, name)
    return f"{namespace}/{name}" if found is not None else ""


def _once(views: tuple[DatacenterView, ...], live: dict[tuple[str, str, str], Object]) -> tuple[Leftover, ...]:
    """Every CassandraDatacenter once, although two contexts may lead to one cluster; those of the views go first."""
    of_views = [(view.context, view.live) for view in views if view.live is not None]
    found: dict[str, Leftover] = {}
    for context, obj in [*of_views, *((context, obj) for (context, _, _), obj in live.items())]:
        found.setdefault(obj.head.uid, Leftover(context, obj))
    return tuple(found.values())


def _decode(found: Object | None) -> CassandraDatacenter | None:
    return None if found is None else _DATACENTERS.get(found.raw, lambda: _typed(found))


def _typed(found: Object) -> CassandraDatacenter:
    try:
        return found.decode(CassandraDatacenter)
    except Malformed:
        # What a cluster reports is not to be trusted to be well-formed; without its status it is not Ready.
        return CassandraDatacenter()


def _in(objects: list[Object], namespace: str) -> tuple[Object, ...]:
    return tuple(obj for obj in objects if obj.head.namespace == namespace)


def pod_address(pod: Object) -> str:
    """The IP address of a pod, "" while it has none."""
    return _ADDRESSES.get(pod.raw, lambda: _pod_ip(pod))


def _pod_ip(pod: Object) -> str:
    try:
        return pod.decode(_Pod).status.pod_ip
    except Malformed:
        return ""
