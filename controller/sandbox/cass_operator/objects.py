"""What cass-operator makes for a CassandraDatacenter: services, pods and their endpoints. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from controller.cassandra import labels, names
from controller.cassandra.types import CassandraDatacenter

FINALIZER: Final = "finalizer.cassandra.datastax.com"
MANAGER: Final = "cass-operator"
RACK: Final = "cassandra.datastax.com/rack"
NODE_STATE: Final = "cassandra.datastax.com/node-state"
SEEDS: Final = 3  # of a datacenter, over its racks
PODS_IN_SLICE: Final = 100  # as the endpoint slice controller has it by default
PORTS: Final = (("native", 9042), ("mgmt-api", 8080), ("prometheus", 9103), ("metrics", 9000))


def cluster_name(datacenter: CassandraDatacenter) -> str:
    return str(datacenter.spec.get("clusterName") or datacenter.metadata.name)


def cassandra_name(datacenter: CassandraDatacenter) -> str:
    """What Cassandra calls the datacenter."""
    return str(datacenter.spec.get("datacenterName") or datacenter.metadata.name)


def ring(datacenter: CassandraDatacenter) -> tuple[str, ...]:
    """Which ring its nodes join: the Cassandra cluster of one K8ssandraCluster, or one of its namespace's own."""
    have = datacenter.metadata.labels
    namespace = have.get(labels.CLUSTER_NAMESPACE) or datacenter.metadata.namespace
    return (cluster_name(datacenter), namespace, have.get(labels.CLUSTER_NAME, ""))


def own_labels(datacenter: CassandraDatacenter) -> dict[str, str]:
    """The labels that every object of a datacenter has."""
    cluster = names.label_value(cluster_name(datacenter))
    return {
        **datacenter.spec.get("additionalLabels", {}),
        labels.CASS_CLUSTER: cluster,
        labels.CASS_DATACENTER: names.label_value(datacenter.metadata.name),
        labels.APP_MANAGED_BY: labels.CASS_OPERATOR,
        labels.APP_NAME: "cassandra",
        labels.APP_INSTANCE: f"cassandra-{cluster}",
        labels.APP_VERSION: str(datacenter.spec.get("serverVersion", "")),
    }


def owner(datacenter: CassandraDatacenter) -> list[dict[str, Any]]:
    """The reference by which the garbage collector takes an object away with its datacenter."""
    return [
        {
            "apiVersion": "cassandra.datastax.com/v1beta1",
            "kind": "CassandraDatacenter",
            "name": datacenter.metadata.name,
            "uid": datacenter.metadata.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def services(datacenter: CassandraDatacenter) -> list[dict[str, Any]]:
    """The headless services, as cass-operator names them."""
    cluster = names.kubernetes_name(cluster_name(datacenter))
    stem = f"{cluster}-{names.kubernetes_name(datacenter.metadata.name)}"
    found = []
    for key, name in (
        ("seedService", f"{cluster}-seed-service"),
        ("dcService", f"{stem}-service"),
        ("allpodsService", f"{stem}-all-pods-service"),
        ("additionalSeedService", f"{stem}-additional-seed-service"),
    ):
        extra = (datacenter.spec.get("additionalServiceConfig") or {}).get(key) or {}
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": datacenter.metadata.namespace,
            "labels": {**own_labels(datacenter), **(extra.get("additionalLabels") or {})},
            "ownerReferences": owner(datacenter),
        }
        spec = {
            "clusterIP": "None",
            "type": "ClusterIP",
            "publishNotReadyAddresses": True,
            "ports": [{"name": port, "port": number, "targetPort": number} for port, number in PORTS],
        }
        found.append({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    return found


def pod_names(datacenter: CassandraDatacenter) -> list[tuple[str, str, bool]]:
    """(pod, rack, whether it is a seed) of every pod a datacenter shall have; none while it is stopped."""
    if datacenter.spec.get("stopped"):
        return []
    racks = [str(rack["name"]) for rack in datacenter.spec.get("racks") or []] or [names.DEFAULT_RACK]
    size = int(datacenter.spec.get("size") or 0)
    stem = f"{names.kubernetes_name(cluster_name(datacenter))}-{names.kubernetes_name(datacenter.metadata.name)}"
    found = []
    for number in range(size):
        rack = racks[number % len(racks)]
        ordinal = number // len(racks)
        found.append((f"{stem}-{names.subdomain(rack)}-sts-{ordinal}", rack, number < SEEDS))
    return found


def pod(datacenter: CassandraDatacenter, name: str, rack: str, *, seed: bool) -> dict[str, Any]:
    """One Cassandra pod, as far as its API object goes."""
    marks = {**own_labels(datacenter), RACK: rack, NODE_STATE: "Started"}
    if seed:
        marks[labels.SEED_NODE] = "true"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": datacenter.metadata.namespace,
            "labels": marks,
            "ownerReferences": owner(datacenter),
        },
        "spec": {
            "containers": [
                {
                    "name": "cassandra",
                    "image": f"cassandra:{datacenter.spec.get('serverVersion', '')}",
                    "ports": [{"name": "mgmt-api-http", "containerPort": 8080}],
                }
            ],
            "terminationGracePeriodSeconds": 0,
        },
    }


def pod_status(address: str, *, ready: bool) -> dict[str, Any]:
    """The status that a kubelet would write."""
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [
            {
                "name": "cassandra",
                "image": "cassandra",
                "imageID": "",
                "ready": ready,
                "restartCount": 0,
                "started": True,
                "state": {"running": {}},
            }
        ],
    }


def all_pods_slices(datacenter: CassandraDatacenter, addresses: Sequence[str]) -> list[dict[str, Any]]:
    """The endpoints of the all-pods service, as the endpoint slice controller makes them: one slice for each hundred.

    Its Service's labels go along. Without pods there is one slice without endpoints.
    """
    service = services(datacenter)[2]["metadata"]
    chunks = [addresses[start : start + PODS_IN_SLICE] for start in range(0, len(addresses), PODS_IN_SLICE)] or [[]]
    return [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{service['name']}-sim{number or ''}",
                "namespace": datacenter.metadata.namespace,
                "labels": {
                    **service["labels"],
                    labels.SERVICE_NAME: service["name"],
                    labels.ENDPOINT_SLICE_MANAGED_BY: "endpointslice-controller.k8s.io",
                    "service.kubernetes.io/headless": "",
                },
                "ownerReferences": owner(datacenter),
            },
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": [address], "conditions": {"ready": True, "serving": True, "terminating": False}}
                for address in chunk
            ],
            "ports": [{"name": port, "port": number, "protocol": "TCP"} for port, number in PORTS],
        }
        for number, chunk in enumerate(chunks)
    ]
