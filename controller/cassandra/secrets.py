"""The superuser's Secret, and the ReplicatedSecret that takes it to the clusters of the datacenters."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from controller.cassandra import labels, names
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.cassandra.types import ClusterMetadata, K8ssandraCluster
from controller.kube.resources import SECRETS
from controller.replication.types import REPLICATED_SECRETS


def superuser_secret_name(cluster: K8ssandraCluster) -> str:
    """Name of the superuser's Secret: the one that the specification gives, else one made of the cluster's name."""
    template = cluster.spec.cassandra
    reference = template.superuser_secret_ref if template else None
    return (reference.name if reference else "") or names.default_superuser_secret(cluster.cass_name)


def superuser_secret(cluster: K8ssandraCluster, password: str) -> dict[str, Any]:
    """The Secret to create; the user is called as the Secret is. ``password`` comes from the caller."""
    name = superuser_secret_name(cluster)
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": metadata_of(cluster, name, labels.replicated(cluster.name, cluster.namespace)),
        "type": "Opaque",
        "data": {"username": _base64(name), "password": _base64(password)},
    }


def replicated_secret(cluster: K8ssandraCluster) -> dict[str, Any] | None:
    """The ReplicatedSecret of a cluster; None when another system provides the secrets.

    One target for each context and namespace that has a datacenter, except where the sources are.
    """
    if cluster.external_secrets or cluster.spec.cassandra is None:
        return None
    targets: dict[tuple[str, str], dict[str, str]] = {}
    for datacenter in cluster.spec.cassandra.datacenters:
        context, namespace = datacenter.k8s_context, datacenter.metadata.namespace
        if not context and namespace in ("", cluster.namespace):
            continue  # the sources are there
        target = {"k8sContextName": context, "namespace": namespace}
        targets.setdefault((context, namespace or cluster.namespace), {k: v for k, v in target.items() if v})
    own = labels.replicated(cluster.name, cluster.namespace)
    return {
        "apiVersion": REPLICATED_SECRETS.api_version,
        "kind": REPLICATED_SECRETS.kind,
        "metadata": metadata_of(cluster, cluster.name, labels.owner(cluster.name, cluster.namespace)),
        "spec": {
            "selector": {"matchLabels": own},
            "replicationTargets": list(targets.values()),
        },
    }


def owner_reference(cluster: K8ssandraCluster) -> dict[str, Any]:
    """The reference that makes the control plane's garbage collector delete an object with its cluster."""
    return {
        "apiVersion": K8SSANDRA_CLUSTERS.api_version,
        "kind": K8SSANDRA_CLUSTERS.kind,
        "name": cluster.name,
        "uid": cluster.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def metadata_of(cluster: K8ssandraCluster, name: str, own: dict[str, str]) -> dict[str, Any]:
    """Metadata of an object in the control plane that goes with its cluster; ``own``: labels, beside the common."""
    common = cluster.spec.cassandra.metadata if cluster.spec.cassandra else ClusterMetadata()
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": cluster.namespace,
        "labels": {**common.common_labels, **own},
        "ownerReferences": [owner_reference(cluster)],
    }
    if common.common_annotations:
        metadata["annotations"] = dict(common.common_annotations)
    return metadata


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
