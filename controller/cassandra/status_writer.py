"""Writes the status of a K8ssandraCluster: only what changed, and only what the installed CRD keeps."""

from __future__ import annotations

from typing import Any

from controller.cassandra.plan.model import Status
from controller.cassandra.plan.status import DATACENTER_READY
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.engine.clock import Clock, rfc3339
from controller.fleet.actions import Merge, ObserveAgain, perform
from controller.fleet.cluster import Cluster
from controller.kube import conditions, errors, merge_patch
from controller.kube.objects import Object
from controller.kube.projection import Projection


class StatusWriter:
    """Remembers what the CRD drops, so that a status which cannot be shown whole is not written for ever."""

    def __init__(self, local: Cluster, clock: Clock) -> None:
        self._local = local
        self._clock = clock
        self._projection = Projection()

    async def write(self, found: Object, status: Status) -> bool:
        """Write ``status`` if it differs from the live one; whether it did."""
        live: dict[str, Any] = found.decode(dict).get("status") or {}
        wanted_types = {condition.type for condition in status.conditions}
        kept = [
            entry
            for entry in live.get("conditions") or []
            if entry.get("type") in wanted_types or not str(entry.get("type", "")).startswith(DATACENTER_READY)
        ]
        desired: dict[str, Any] = {
            "conditions": conditions.merge(kept, status.conditions, rfc3339(self._clock.now())),
            "datacenters": status.datacenters,
            "error": status.error,
            "observedGeneration": status.observed_generation,
        }
        if not status.observed_generation:
            del desired["observedGeneration"]
        wanted = self._projection.project(desired)
        patch = merge_patch.difference({key: live[key] for key in wanted if key in live}, wanted)
        if not patch:
            return False
        if "datacenters" in live and not wanted["datacenters"]:
            patch["datacenters"] = None
        merge = Merge(K8SSANDRA_CLUSTERS, {"status": patch}, found, "status")
        try:
            written = await perform(merge, self._local.client, self._local.cache, lambda _: False)
        except (ObserveAgain, errors.NotFound):
            return False  # replaced or gone: its event starts the next pass
        assert written is not None
        self._projection.learn(desired, written.decode(dict).get("status") or {})
        return True
