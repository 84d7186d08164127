"""Slices with seeds that were made for datacenters which are gone."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from controller.cassandra import labels, names
from controller.cassandra.snapshot import DatacenterView, Leftover
from controller.cassandra.types import K8ssandraCluster
from controller.cassandra.watches import OWNER
from controller.fleet.pool import Pool
from controller.kube.objects import Object
from controller.kube.resources import ENDPOINT_SLICES


def orphans(
    pool: Pool,
    cluster: K8ssandraCluster,
    contexts: Sequence[str],
    views: Sequence[DatacenterView],
    live: Sequence[tuple[str, str, str]],
) -> tuple[Leftover, ...]:
    """Those of the datacenters that neither the specification names nor their clusters have.

    ``contexts``: those that are seen; ``live``: context, namespace and name of every CassandraDatacenter there.
    """
    if len(views) < len(cluster.spec.cassandra.datacenters if cluster.spec.cassandra else ()):
        return ()  # the specification is wrong: who knows what it should say
    places = {(context, namespace, names.label_value(name)) for context, namespace, name in live}
    places |= {(view.context, view.namespace, names.label_value(view.name)) for view in views}
    return tuple(
        Leftover(context, slice_)
        for context in contexts
        for slice_ in _without_datacenter(pool, cluster, context, places)
    )


def _without_datacenter(
    pool: Pool, cluster: K8ssandraCluster, context: str, places: Container[tuple[str, str, str]]
) -> Iterator[Object]:
    member = pool.get(context)
    if member is None:
        return
    for slice_ in member.cache.by_index(ENDPOINT_SLICES, OWNER, (cluster.namespace, cluster.name)):
        have = slice_.head.labels or {}
        datacenter = have.get(labels.CASS_DATACENTER)
        if have.get(labels.ENDPOINT_SLICE_MANAGED_BY) != labels.OPERATOR_NAME or not datacenter:
            continue
        if (context, slice_.head.namespace, datacenter) not in places:
            yield slice_
