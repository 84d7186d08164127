"""Which contact points the control plane has, and which slices they are made from: gathered from the caches."""

from __future__ import annotations

from controller.cassandra import labels, names
from controller.cassandra.contact_points import SUFFIX, is_of_all_pods
from controller.cassandra.resources import CONTACT_SLICES
from controller.cassandra.snapshot import Contacts
from controller.cassandra.types import CassandraDatacenter, K8ssandraCluster
from controller.cassandra.watches import OWNER, RING
from controller.fleet.cache import Cache
from controller.fleet.cluster import Cluster
from controller.kube.objects import Object
from controller.kube.resources import ENDPOINT_SLICES, SERVICES


def contacts_seen(here: Cluster, cluster: K8ssandraCluster) -> Contacts:
    """Those of one cluster in the control plane; what else its labels are on is not looked at."""
    local, owner = here.cache, (cluster.namespace, cluster.name)
    slices = [each for each in local.by_index(CONTACT_SLICES, OWNER, owner) if _service(each).endswith(SUFFIX)]
    return Contacts(
        known=local.synced(SERVICES) and local.synced(CONTACT_SLICES),
        refused=tuple(str(resource) for resource, _ in here.untold() if resource in (SERVICES, CONTACT_SLICES)),
        services=tuple(each for each in local.by_index(SERVICES, OWNER, owner) if each.head.name.endswith(SUFFIX)),
        slices=tuple(each for each in slices if _manager(each) == labels.OPERATOR_NAME),
        mirrored=tuple(each for each in slices if _manager(each) == labels.MIRRORING),
    )


def endpoints_seen(
    cache: Cache, cluster: K8ssandraCluster, ring: tuple[str, str, str], name: str, live: CassandraDatacenter | None
) -> tuple[Object, ...]:
    """The slices with all pods of the datacenter ``name``, in its own namespace.

    Same-named clusters of other namespaces have labels that are the same, and so may clusters whose names become the
    same label: the name of the Service tells.
    """
    status_name = live.status.datacenter_name if live is not None else ""
    service = names.all_pods_service(cluster.cass_name, status_name or name)
    return tuple(
        each
        for each in cache.by_index(ENDPOINT_SLICES, RING, ring)
        if is_of_all_pods(each) and _service(each) == service
    )


def _service(found: Object) -> str:
    return (found.head.labels or {}).get(labels.SERVICE_NAME, "")


def _manager(found: Object) -> str:
    return (found.head.labels or {}).get(labels.ENDPOINT_SLICE_MANAGED_BY, "")
