"""The simulated operator of one data plane: a reconciler of CassandraDatacenters on the controller's own engine."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random
from typing import Any, Final

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS
from controller.cassandra.types import CassandraDatacenter
from controller.engine.clock import Clock, rfc3339
from controller.engine.reflector import Reflector
from controller.engine.source import ResourceSource
from controller.engine.store import Delta, Store
from controller.engine.worker import Again, Done, Item, Result, Workers
from controller.engine.workqueue import WorkQueue
from controller.kube import errors
from controller.kube.client import Client
from controller.kube.objects import Object
from controller.kube.resources import ENDPOINT_SLICES, PODS, SERVICES
from controller.sandbox.cass_operator import objects
from controller.sandbox.management_api import rings
from controller.sandbox.pod_network import pod_network

KIND: Final = "CassandraDatacenter"
WORKERS: Final = 8


class CassOperator:
    """Takes every CassandraDatacenter through its life: Updating, and Ready ``ready_after`` seconds after it was seen.

    ``number`` (0–255) makes the pods' addresses differ from those of other data planes. Whatever it does it does
    through ``client``, as the real operator would: it works on real API servers too.
    """

    def __init__(
        self,
        client: Client,
        *,
        rng: Random,
        clock: Clock,
        ready_after: float = 1.0,
        number: int = 0,
        namespace: str = "",
    ) -> None:
        self._client = client
        self._clock = clock
        self._ready_after = ready_after
        self._number = number
        self._store = Store(CASSANDRA_DATACENTERS.name)
        source = ResourceSource(lambda: client, CASSANDRA_DATACENTERS)
        self._reflector = Reflector(source, self._store, rng=rng)
        self._queue = WorkQueue[Item]()
        self._workers = Workers(self._queue, self._reconcile, WORKERS)
        self._due: dict[tuple[str, int], float] = {}  # by UID and generation: loop time at which it is carried out
        self._addresses: dict[tuple[str, str], str] = {}  # by namespace and name of the pod
        self._pods: dict[str, set[str]] = {}  # by UID of the datacenter: pods that were made
        self._served: dict[str, list[str]] = {}  # by UID of the datacenter: addresses in its slice of all pods
        self._store.subscribe(self._changed)

    async def run(self) -> None:
        """Operate until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reflector.run(), name="datacenters")
            group.create_task(self._workers.run(), name="workers")

    def _changed(self, deltas: list[Delta]) -> None:
        for delta in deltas:
            head = delta.object.head
            self._queue.add(Item(KIND, head.namespace, head.name))

    async def _reconcile(self, item: Item) -> Result:
        found = self._store.get(item.namespace, item.name)
        if found is None:
            return Done()
        datacenter = found.decode(CassandraDatacenter)
        if found.head.deletion_timestamp is not None:
            await self._remove(found, datacenter)
            return Done()
        if objects.FINALIZER not in datacenter.metadata.finalizers:
            finalizers = [*datacenter.metadata.finalizers, objects.FINALIZER]
            found = await self._patch(found, {"metadata": {"finalizers": finalizers}}, exactly=True)
            datacenter = found.decode(CassandraDatacenter)
        loop = asyncio.get_running_loop()
        key = (found.head.uid, found.head.generation)
        reached = datacenter.status.observed_generation == found.head.generation
        if reached and datacenter.status.cassandra_operator_progress == "Ready":
            return Done()
        due = self._due.setdefault(key, loop.time() + self._ready_after)
        if datacenter.status.cassandra_operator_progress != "Updating":
            found = await self._show(found, self._updating(datacenter))
        await self._make(datacenter)
        if (left := due - loop.time()) > 0:
            return Again(left)
        await self._show(found, self._ready(found, datacenter))
        del self._due[key]
        return Done()

    # ── the datacenter's objects ────────────────────────────────────────────────────────────────────

    async def _make(self, datacenter: CassandraDatacenter) -> None:
        """Services, pods and endpoints as the specification says; pods beyond its size go."""
        namespace, uid = datacenter.metadata.namespace, datacenter.metadata.uid
        wanted = objects.pod_names(datacenter)
        made = self._pods.setdefault(uid, set())
        if not made:
            for service in objects.services(datacenter):
                await self._create(SERVICES, namespace, service)
        for name in sorted(made - {name for name, _, _ in wanted}):
            await self._delete_pod(namespace, name)
            rings(pod_network()).leave(objects.ring(datacenter), self._addresses[namespace, name])
            made.discard(name)
        await asyncio.gather(
            *(self._make_pod(datacenter, name, rack, seed) for name, rack, seed in wanted if name not in made)
        )
        made.update(name for name, _, _ in wanted)
        await self._endpoints(datacenter, [self._addresses[namespace, name] for name, _, _ in wanted])

    async def _endpoints(self, datacenter: CassandraDatacenter, addresses: list[str]) -> None:
        """What the endpoint slice controller does when pods come and go."""
        uid = datacenter.metadata.uid
        served = self._served.get(uid, [])
        if served == addresses:
            return
        wanted = objects.all_pods_slices(datacenter, addresses)
        for slice_ in wanted:
            await self._put_slice(slice_)
        for slice_ in objects.all_pods_slices(datacenter, served)[len(wanted) :]:
            await self._put_slice({**slice_, "endpoints": []})
        self._served[uid] = addresses

    async def _put_slice(self, wanted: dict[str, Any]) -> None:
        metadata = wanted["metadata"]
        try:
            await self._client.create(ENDPOINT_SLICES, metadata["namespace"], wanted, field_manager=objects.MANAGER)
        except errors.AlreadyExists:
            await self._client.patch(
                ENDPOINT_SLICES,
                metadata["namespace"],
                metadata["name"],
                {"endpoints": wanted["endpoints"]},
                kind="merge",
                field_manager=objects.MANAGER,
            )

    async def _make_pod(self, datacenter: CassandraDatacenter, name: str, rack: str, seed: bool) -> None:
        namespace = datacenter.metadata.namespace
        serial = len(self._addresses) + 1
        address = self._addresses.setdefault((namespace, name), f"10.{self._number}.{serial // 250}.{serial % 250 + 1}")
        await self._create(PODS, namespace, objects.pod(datacenter, name, rack, seed=seed))
        status = {"status": objects.pod_status(address, ready=True)}
        rings(pod_network()).join(
            objects.ring(datacenter),
            objects.cassandra_name(datacenter),
            datacenter.metadata.uid,
            address,
            config=datacenter.spec.get("config"),
            kind=str(datacenter.spec.get("serverType", "")),
        )
        await self._client.patch(
            PODS, namespace, name, status, kind="merge", subresource="status", field_manager=objects.MANAGER
        )

    async def _create(self, resource: Any, namespace: str, obj: dict[str, Any]) -> None:
        with suppress(errors.AlreadyExists):  # made by an earlier pass
            await self._client.create(resource, namespace, obj, field_manager=objects.MANAGER)

    async def _delete_pod(self, namespace: str, name: str) -> None:
        with suppress(errors.NotFound):
            pod = await self._client.get(PODS, namespace, name, metadata_only=True)
            await self._client.delete(PODS, namespace, name, uid=pod.head.uid)

    async def _remove(self, found: Object, datacenter: CassandraDatacenter) -> None:
        """Take the pods away, then the finalizer; the rest goes with its owner."""
        if objects.FINALIZER not in datacenter.metadata.finalizers:
            return
        selector = ",".join(
            f"{key}={objects.own_labels(datacenter)[key]}" for key in (labels.CASS_CLUSTER, labels.CASS_DATACENTER)
        )
        namespace = datacenter.metadata.namespace
        for resource in (PODS, SERVICES, ENDPOINT_SLICES):
            page = await self._client.list_page(resource, namespace, label_selector=selector)
            for left in page.objects:
                owners = left.decode(dict)["metadata"].get("ownerReferences") or []
                if all(owner["uid"] != found.head.uid for owner in owners):
                    continue
                with suppress(errors.NotFound):
                    await self._client.delete(resource, namespace, left.head.name, uid=left.head.uid)
        for name in sorted(self._pods.pop(found.head.uid, ())):
            rings(pod_network()).leave(objects.ring(datacenter), self._addresses[namespace, name])
        self._served.pop(found.head.uid, None)
        finalizers = [name for name in datacenter.metadata.finalizers if name != objects.FINALIZER]
        await self._patch(found, {"metadata": {"finalizers": finalizers}}, exactly=True)

    # ── its status ──────────────────────────────────────────────────────────────────────────────────

    def _updating(self, datacenter: CassandraDatacenter) -> dict[str, Any]:
        ready = [("Ready", False)] if not datacenter.status.is_true("Initialized") else []
        return {
            "cassandraOperatorProgress": "Updating",
            "conditions": self._conditions(datacenter, [("Updating", True), *ready]),
        }

    def _ready(self, found: Object, datacenter: CassandraDatacenter) -> dict[str, Any]:
        stopped = bool(datacenter.spec.get("stopped"))
        namespace = datacenter.metadata.namespace
        nodes: dict[str, Any] = {
            name: {
                "hostID": f"{found.head.uid[:24]}{number:012d}",
                "ip": self._addresses[namespace, name],
                "rack": rack,
            }
            for number, (name, rack, _) in enumerate(objects.pod_names(datacenter))
        }
        nodes |= {name: None for name in datacenter.status.node_statuses if name not in nodes}  # merge patch: gone
        states = [
            ("Healthy", not stopped),
            ("Stopped", stopped),
            ("Updating", False),
            ("Initialized", True),
            ("Ready", not stopped),
            ("Valid", True),
        ]
        now = rfc3339(self._clock.now())
        return {
            "cassandraOperatorProgress": "Ready",
            "observedGeneration": found.head.generation,
            "conditions": self._conditions(datacenter, states),
            "lastServerNodeStarted": now,
            "superUserUpserted": now,
            "usersUpserted": now,
            "nodeStatuses": nodes,
        }

    def _conditions(self, datacenter: CassandraDatacenter, states: list[tuple[str, bool]]) -> list[dict[str, Any]]:
        now = rfc3339(self._clock.now())
        merged = {
            condition.type: {
                "type": condition.type,
                "status": condition.status,
                "lastTransitionTime": condition.last_transition_time,
                "reason": condition.reason,
                "message": condition.message,
            }
            for condition in datacenter.status.conditions
        }
        for kind, holds in states:
            status = "True" if holds else "False"
            if merged.get(kind, {}).get("status") != status:
                merged[kind] = {
                    "type": kind,
                    "status": status,
                    "lastTransitionTime": now,
                    "reason": "Simulated",
                    "message": "",
                }
        return list(merged.values())

    async def _show(self, found: Object, status: dict[str, Any]) -> Object:
        return await self._patch(found, {"status": status}, subresource="status")

    async def _patch(
        self, found: Object, patch: dict[str, Any], *, subresource: str = "", exactly: bool = False
    ) -> Object:
        head = found.head
        metadata = {**patch.get("metadata", {}), "uid": head.uid}
        if exactly:
            metadata["resourceVersion"] = head.resource_version
        written = await self._client.patch(
            CASSANDRA_DATACENTERS,
            head.namespace,
            head.name,
            {**patch, "metadata": metadata},
            kind="merge",
            subresource=subresource,
            field_manager=objects.MANAGER,
        )
        self._store.write_through(written)
        return written
