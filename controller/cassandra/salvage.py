"""A K8ssandraCluster that cannot be read and is being deleted: what can be made out of it is enough for that."""

from __future__ import annotations

from typing import Any

from controller.cassandra.types import (
    CassandraClusterTemplate,
    CassandraDatacenterTemplate,
    DatacenterStatus,
    K8ssandraCluster,
    K8ssandraClusterSpec,
    K8ssandraClusterStatus,
)
from controller.kube.objects import Object
from controller.kube.structs import ObjectMeta


def salvaged(found: Object) -> K8ssandraCluster:
    """What the deletion of a K8ssandraCluster needs of it, as far as that is there."""
    whole = found.decode(dict)
    head = found.head
    finalizers = _strings(whole["metadata"].get("finalizers"))
    metadata = ObjectMeta(
        name=head.name,
        namespace=head.namespace,
        uid=head.uid,
        resource_version=head.resource_version,
        generation=head.generation,
        deletion_timestamp=head.deletion_timestamp or "",
        finalizers=finalizers,
    )
    entries = _mapping(_mapping(whole.get("spec")).get("cassandra")).get("datacenters")
    named = [_mapping(entry).get("k8sContext", "") for entry in entries] if isinstance(entries, list) else []
    template = CassandraClusterTemplate(
        datacenters=[CassandraDatacenterTemplate(k8s_context=context) for context in dict.fromkeys(_strings(named))]
    )
    # Kept, and written again with the next status: where the specification names no context, nothing else does.
    shown = _mapping(_mapping(whole.get("status")).get("datacenters"))
    places = {name: _mapping(entry).get("contextName", "") for name, entry in shown.items()}
    status = K8ssandraClusterStatus(
        datacenters={
            name: DatacenterStatus(context_name=context) for name, context in places.items() if isinstance(context, str)
        }
    )
    return K8ssandraCluster(metadata=metadata, spec=K8ssandraClusterSpec(cassandra=template), status=status)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> list[str]:
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
