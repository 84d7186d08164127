"""Label and annotation keys, their fixed values, and finalizers: the names that objects are found again by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# ── ours, as the reference writes them ──────────────────────────────────────────────────────────────
CLUSTER_NAME: Final = "k8ssandra.io/cluster-name"  # name of the K8ssandraCluster, not of the Cassandra cluster
CLUSTER_NAMESPACE: Final = "k8ssandra.io/cluster-namespace"
DATACENTER: Final = "k8ssandra.io/datacenter"
CLEANED_UP_BY: Final = "k8ssandra.io/cleaned-up-by"
REPLICATED_BY: Final = "k8ssandra.io/replicated-by"
CLUSTER_CONTROLLER: Final = "k8ssandracluster-controller"  # value of CLEANED_UP_BY and REPLICATED_BY

RESOURCE_HASH: Final = "k8ssandra.io/resource-hash"
INITIAL_SYSTEM_REPLICATION: Final = "k8ssandra.io/initial-system-replication"
AUTOUPDATE_SPEC: Final = "k8ssandra.io/autoupdate-spec"  # "once" or "always"
DC_REPLICATION: Final = "k8ssandra.io/dc-replication"
STALE_SEEDS: Final = "k8ssandra.io/stale-seeds"  # "keep" or "drop-after=<duration>"; as a label on slices: "true"
SEEDS_STALE_SINCE: Final = "k8ssandra.io/seeds-stale-since"  # on slices, JSON by datacenter
REBUILD_DC: Final = "k8ssandra.io/rebuild-dc"
REBUILD_SOURCE_DC: Final = "k8ssandra.io/rebuild-src-dc"
PER_NODE_CONFIG_HASH: Final = "k8ssandra.io/per-node-config-hash"
# Of the configuration that a datacenter's pods had when it was taken over with the reference operator's init script.
ADOPTED_PER_NODE_CONFIG: Final = "k8ssandra.io/adopted-per-node-config-hash"
STORES_OF: Final = "stores.k8ssandra.io"  # prefix of the label of Secrets that pods mount: <this>/<cluster>

FINALIZER: Final = "k8ssandracluster.k8ssandra.io/finalizer"

# ── recommended by Kubernetes ───────────────────────────────────────────────────────────────────────
APP_NAME: Final = "app.kubernetes.io/name"
APP_PART_OF: Final = "app.kubernetes.io/part-of"
APP_COMPONENT: Final = "app.kubernetes.io/component"
APP_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
APP_CREATED_BY: Final = "app.kubernetes.io/created-by"
APP_INSTANCE: Final = "app.kubernetes.io/instance"
APP_VERSION: Final = "app.kubernetes.io/version"
SERVICE_NAME: Final = "kubernetes.io/service-name"
ENDPOINT_SLICE_MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
MIRRORING: Final = "endpointslicemirroring-controller.k8s.io"  # value of it in what is copied from Endpoints
OPERATOR_NAME: Final = "k8ssandra-operator"  # value of APP_NAME and ENDPOINT_SLICE_MANAGED_BY
PART_OF: Final = "k8ssandra"  # value of APP_PART_OF

# ── cass-operator's ─────────────────────────────────────────────────────────────────────────────────
CASS_CLUSTER: Final = "cassandra.datastax.com/cluster"
CASS_DATACENTER: Final = "cassandra.datastax.com/datacenter"
SEED_NODE: Final = "cassandra.datastax.com/seed-node"
SKIP_USER_CREATION: Final = "cassandra.datastax.com/skip-user-creation"
DECOMMISSION_ON_DELETE: Final = "cassandra.datastax.com/decommission-on-delete"
CASS_RESOURCE_HASH: Final = "cassandra.datastax.com/resource-hash"
CASS_OPERATOR: Final = "cass-operator"


def owner(name: str, namespace: str) -> dict[str, str]:
    """The two labels that say which K8ssandraCluster an object belongs to."""
    return {CLUSTER_NAME: name, CLUSTER_NAMESPACE: namespace}


def cleaned_up(name: str, namespace: str) -> dict[str, str]:
    """The labels of objects that go when their K8ssandraCluster goes, and that cannot have an ownerReference."""
    return {CLEANED_UP_BY: CLUSTER_CONTROLLER, **owner(name, namespace)}


def replicated(name: str, namespace: str) -> dict[str, str]:
    """The labels of Secrets that are copied to the clusters of a K8ssandraCluster's datacenters."""
    return {REPLICATED_BY: CLUSTER_CONTROLLER, **owner(name, namespace)}


def owned_by(labels: Mapping[str, str] | None, name: str, namespace: str) -> bool:
    """Whether an object with these labels belongs to the K8ssandraCluster ``namespace``/``name``."""
    return labels is not None and (labels.get(CLUSTER_NAME), labels.get(CLUSTER_NAMESPACE)) == (name, namespace)
