"""Writes the status of a K8ssandraCluster: only what changed, and only what the installed CRD keeps."""

from __future__ import annotations

from typing import Any

from controller.cassandra.plan.model import Status
from controller.cassandra.plan.status import DATACENTER_READY, UNSUPPORTED
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
        live = _mapping(found.decode(dict).get("status"))
        desired = self._desired(live, status)
        wanted = self._projection.project(desired)
        patch = merge_patch.difference({key: live[key] for key in wanted if key in live}, wanted)
        if not patch:
            return False
        merge = Merge(K8SSANDRA_CLUSTERS, {"status": patch}, found, "status")
        try:
            written = await perform(merge, self._local.client, self._local.cache, lambda _: False)
        except (ObserveAgain, errors.NotFound):
            return False  # replaced or gone: its event starts the next pass
        assert written is not None
        self._projection.learn(desired, _mapping(written.decode(dict).get("status")))
        return True

    def _desired(self, live: dict[str, Any], status: Status) -> dict[str, Any]:
        wanted_types = {condition.type for condition in status.conditions}
        entries = live.get("conditions")
        kept = [
            entry
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict)
            and isinstance(kind := entry.get("type"), str)
            and (kind in wanted_types or not _passing(kind))
        ]
        desired: dict[str, Any] = {
            "conditions": conditions.merge(kept, status.conditions, rfc3339(self._clock.now())),
            "error": status.error,
        }
        if status.datacenters or live.get("datacenters"):
            desired["datacenters"] = status.datacenters
        if status.observed_generation:
            desired["observedGeneration"] = status.observed_generation
        return desired


def _passing(kind: str) -> bool:
    """Whether a condition of ours goes when it is not said any more."""
    return kind == UNSUPPORTED or kind.startswith(DATACENTER_READY)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
