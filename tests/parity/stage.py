"""What the tests of the reference operator do to a world: specifications, and statuses set by hand."""

from __future__ import annotations

from typing import Any, Final

from controller.cassandra import names
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube.objects import Object
from controller.kube.resources import ENDPOINT_SLICES, Resource
from tests.integration.rig import CONTEXTS, Rig, eventually

FOR_EVER: Final = 86_400.0  # s that a datacenter takes by itself: longer than any test
NOW: Final = "2026-01-01T00:00:00Z"
STORAGE: Final[dict[str, Any]] = {
    "cassandraDataVolumeClaimSpec": {
        "storageClassName": "standard",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "5Gi"}},
    }
}

Json = dict[str, Any]


def datacenter(number: int, **fields: Any) -> Json:
    """Datacenter ``dc<number>``, one node in the cluster of that number."""
    return {
        "metadata": {"name": f"dc{number}", **fields.pop("metadata", {})},
        "k8sContext": CONTEXTS[number - 1],
        "size": 1,
        **fields,
    }


def cluster(*datacenters: Json, spec: Json | None = None, annotations: Json | None = None, **cassandra: Any) -> Json:
    """K8ssandraCluster ``test`` of Cassandra 4.0.17, with one plain datacenter when none is given."""
    return {
        "apiVersion": K8SSANDRA_CLUSTERS.api_version,
        "kind": K8SSANDRA_CLUSTERS.kind,
        "metadata": {"name": "test", "annotations": annotations or {}},
        "spec": {
            "cassandra": {
                "serverVersion": "4.0.17",
                "storageConfig": STORAGE,
                "datacenters": list(datacenters) or [datacenter(1)],
                **cassandra,
            },
            **(spec or {}),
        },
    }


async def found(one: Rig, resource: Resource, name: str, context: str = "") -> Json:
    """An object, as soon as it is there."""

    async def there() -> bool:
        return await one.get(resource, name, context) is not None

    await eventually(there, f"{resource.kind} {name} is in {context or 'the control plane'}")
    return await one.get(resource, name, context) or {}


async def made(one: Rig, number: int) -> Json:
    """The CassandraDatacenter of datacenter ``dc<number>``, as soon as it is there."""
    return await found(one, CASSANDRA_DATACENTERS, f"dc{number}", CONTEXTS[number - 1])


async def made_so_far(one: Rig) -> list[str]:
    """Names of the CassandraDatacenters that there are, in all clusters."""
    return sorted(name for names in (await one.datacenters()).values() for name in names)


async def said(one: Rig, kind: str, status: str, name: str = "test") -> Json:
    """A condition of the K8ssandraCluster, as soon as it has this status."""

    async def holds() -> bool:
        return (await one.condition(K8SSANDRA_CLUSTERS, name, kind)).get("status") == status

    await eventually(holds, f"{kind} of {name} is {status}")
    return await one.condition(K8SSANDRA_CLUSTERS, name, kind)


async def shown(one: Rig, number: int, name: str = "test") -> Json:
    """What the K8ssandraCluster shows of a datacenter's status; {} for nothing."""
    status = (await one.get(K8SSANDRA_CLUSTERS, name) or {}).get("status") or {}
    return dict((status.get("datacenters") or {}).get(f"dc{number}", {}).get("cassandra") or {})


async def progress_is_shown(one: Rig, number: int, progress: str) -> None:
    """Wait until the K8ssandraCluster shows what cass-operator says of a datacenter."""

    async def holds() -> bool:
        return (await shown(one, number)).get("cassandraOperatorProgress") == progress

    await eventually(holds, f"dc{number} is shown as {progress}")


async def set_progress(one: Rig, number: int, progress: str, **states: bool) -> None:
    """Say as cass-operator that it has carried out the present specification, and how its datacenter is."""
    live = await taken_up(one, number)
    status = {
        "cassandraOperatorProgress": progress,
        "observedGeneration": live["metadata"]["generation"],
        "conditions": [
            {
                "type": kind,
                "status": "True" if holds else "False",
                "lastTransitionTime": NOW,
                "reason": "ByHand",
                "message": "",
            }
            for kind, holds in states.items()
        ],
    }
    await set_status(one, number, status)


async def taken_up(one: Rig, number: int) -> Json:
    """The CassandraDatacenter, once the simulated cass-operator has made its pods and will write no more by itself."""
    live: Json = {}

    async def holds() -> bool:
        nonlocal live
        live = await made(one, number)
        status = live.get("status") or {}
        if status.get("observedGeneration") == live["metadata"]["generation"]:
            return True
        service = f"{names.kubernetes_name(live['spec']['clusterName'])}-dc{number}-all-pods-service-sim"
        return status.get("cassandraOperatorProgress") == "Updating" and (
            await one.get(ENDPOINT_SLICES, service, CONTEXTS[number - 1]) is not None
        )

    await eventually(holds, f"cass-operator works on dc{number}")
    return live


async def set_ready(one: Rig, number: int) -> None:
    await set_progress(one, number, "Ready", Initialized=True, Ready=True, Stopped=False)


async def set_status(one: Rig, number: int, status: Json) -> Object:
    """A merge patch of a CassandraDatacenter's status."""
    return await one.client(CONTEXTS[number - 1]).patch(
        CASSANDRA_DATACENTERS, one.namespace, f"dc{number}", {"status": status}, kind="merge", subresource="status"
    )


async def change(one: Rig, patch: Json, name: str = "test") -> None:
    """A merge patch of the K8ssandraCluster by its user."""
    await one.client().patch(K8SSANDRA_CLUSTERS, one.namespace, name, patch, kind="merge")


async def delete(one: Rig, name: str = "test") -> None:
    """Delete the K8ssandraCluster, and wait until it is gone."""
    live = await one.client().get(K8SSANDRA_CLUSTERS, one.namespace, name)
    await one.client().delete(K8SSANDRA_CLUSTERS, one.namespace, name, uid=live.head.uid)

    async def gone() -> bool:
        return await one.get(K8SSANDRA_CLUSTERS, name) is None

    await eventually(gone, f"K8ssandraCluster {name} is gone")
