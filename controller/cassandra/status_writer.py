"""Writes the status of a K8ssandraCluster: only what changed, and only what the installed CRD keeps."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from controller.cassandra.plan.contacts import CONTACT_POINTS
from controller.cassandra.plan.keyspaces import CONDITION as SYSTEM_KEYSPACES
from controller.cassandra.plan.model import Status
from controller.cassandra.plan.seeds import STALE_SEEDS
from controller.cassandra.plan.status import DATACENTER_READY, RESTART_REQUIRED, UNSUPPORTED
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.engine.clock import Clock, rfc3339
from controller.fleet.actions import Merge, ObserveAgain, perform
from controller.fleet.cluster import Cluster
from controller.kube import conditions, errors, merge_patch
from controller.kube.objects import Object
from controller.kube.projection import Projection

PATIENCE: Final = 0.5  # s for which other words about the same state wait: mostly for a change that has to be written
PASSING: Final = 0.25  # s that a state which is about to be another has to last to be shown; none if it was Ready
PROMPT: Final = 0.025  # s that a write may take before what is only progress begins to be bundled
BUNDLED: Final = 2.0  # s for which progress waits at most, while the API server is that busy
_STEEPNESS: Final = 40.0  # s of waiting for a second that writes take beyond PROMPT
_WEIGHT: Final = 0.2  # of the newest write in the average


class StatusWriter:
    """Remembers what the CRD drops, so that a status which cannot be shown whole is not written for ever."""

    def __init__(self, local: Cluster, clock: Clock) -> None:
        self._local = local
        self._clock = clock
        self._projection = Projection()
        self._since: dict[str, float] = {}  # by UID: the loop time since when something waits
        self._takes = 0.0  # s that a write takes, on average

    async def write(self, found: Object, status: Status, *, patient: bool = False) -> float:
        """Write ``status`` if it differs from the live one.

        Returns 0 when nothing is left to be written. ``patient``: nothing is wrong, so other words about the same state
        wait a little, and so does what is about to be another state, and the progress of a datacenter while there is
        more to write than the API server keeps up with; then the seconds are returned after which to come again.
        """
        live = _mapping(found.decode(dict).get("status"))
        desired = self._desired(live, status)
        wanted = self._projection.project(desired)
        patch = merge_patch.difference({key: live[key] for key in wanted if key in live}, wanted)
        uid = found.head.uid
        if not patch:
            self._since.pop(uid, None)
            return 0.0
        now = asyncio.get_running_loop().time()
        if patient and (left := self._since.setdefault(uid, now) + self._patience(patch, live, status) - now) > 0:
            return left
        self._since.pop(uid, None)
        merge = Merge(K8SSANDRA_CLUSTERS, {"status": patch}, found, "status")
        try:
            written = await perform(merge, self._local.client, self._local.cache, lambda _: False)
        except (ObserveAgain, errors.NotFound):
            return 0.0  # replaced or gone: its event starts the next pass
        self._takes += _WEIGHT * (asyncio.get_running_loop().time() - now - self._takes)
        assert written is not None
        self._projection.learn(desired, _mapping(written.decode(dict).get("status")))
        return 0.0

    def forget(self, uid: str) -> None:
        """The object is gone."""
        self._since.pop(uid, None)

    def _patience(self, patch: dict[str, Any], live: dict[str, Any], status: Status) -> float:
        """Seconds that a change may wait: none when a condition of the cluster itself turns.

        That one datacenter is Ready and the next one on its way is progress, too.
        """
        busy = 0.0
        if self._local.queue.depth:  # else nobody gains by waiting
            busy = min(BUNDLED, max(0.0, self._takes - PROMPT) * _STEEPNESS)
        if status.brief and not _was_ready(live):
            return max(PASSING, busy)
        if not patch.keys() <= {"conditions", "datacenters"}:
            return 0.0
        turned = _turned(live.get("conditions"), patch["conditions"]) if "conditions" in patch else []
        if not all(kind.startswith(DATACENTER_READY) for kind in turned):
            return 0.0
        return busy if turned or "datacenters" in patch else max(PATIENCE, busy)

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
    kinds = (UNSUPPORTED, RESTART_REQUIRED, SYSTEM_KEYSPACES, STALE_SEEDS, CONTACT_POINTS)
    return kind in kinds or kind.startswith(DATACENTER_READY)


def _was_ready(live: dict[str, Any]) -> bool:
    """Whether the status says so, which must not stand a moment longer than it is true."""
    return any((kind, status) == ("Ready", "True") for kind, status, _ in _told(live.get("conditions")))


def _turned(live: Any, wanted: Any) -> list[str]:
    """The types of the conditions that come, go or say something else than before, whatever their words."""
    before, after = _told(live), _told(wanted)
    changed = [each for each in after if each not in before] + [each for each in before if each not in after]
    return [str(kind) for kind, _, _ in changed]


def _told(entries: Any) -> list[tuple[Any, Any, Any]]:
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [(entry.get("type"), entry.get("status"), entry.get("observedGeneration")) for entry in found]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
