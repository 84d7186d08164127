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
MANY: Final = 5  # others that were written within the last second: from then on what is only progress is bundled
BUNDLED: Final = 5.0  # s for which it waits then at most


class StatusWriter:
    """Remembers what the CRD drops, so that a status which cannot be shown whole is not written for ever."""

    def __init__(self, local: Cluster, clock: Clock) -> None:
        self._local = local
        self._clock = clock
        self._projection = Projection()
        self._since: dict[str, float] = {}  # by UID: the loop time since when something waits
        self._written: dict[str, float] = {}  # by UID: the loop time of the last write, the newest last

    async def write(self, found: Object, status: Status, *, patient: bool = False) -> float:
        """Write ``status`` if it differs from the live one.

        Returns 0 when nothing is left to be written. ``patient``: nothing is wrong, so other words about the same state
        wait a little, and so does what is about to be another state, and progress while many others are written; then
        the seconds are returned after which to come again.
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
        if patient:
            patience = self._patience(patch, live, status, BUNDLED if self._crowded(uid, now) else 0.0)
            if (left := self._since.setdefault(uid, now) + patience - now) > 0:
                return left
        self._since.pop(uid, None)
        self._written.pop(uid, None)
        self._written[uid] = now
        merge = Merge(K8SSANDRA_CLUSTERS, {"status": patch}, found, "status")
        try:
            written = await perform(merge, self._local.client, self._local.cache, lambda _: False)
        except (ObserveAgain, errors.NotFound):
            return 0.0  # replaced or gone: its event starts the next pass
        assert written is not None
        self._projection.learn(desired, _mapping(written.decode(dict).get("status")))
        return 0.0

    def forget(self, uid: str) -> None:
        """The object is gone."""
        self._since.pop(uid, None)
        self._written.pop(uid, None)

    def _crowded(self, uid: str, now: float) -> bool:
        """Whether many others were written just now."""
        for other, at in tuple(self._written.items()):
            if now - at <= 1.0:
                break
            del self._written[other]
        return len(self._written) - (uid in self._written) >= MANY

    @staticmethod
    def _patience(patch: dict[str, Any], live: dict[str, Any], status: Status, bundled: float) -> float:
        """Seconds that a change may wait: none when a condition of the cluster itself turns.

        ``bundled``: what progress waits. That one datacenter is Ready and the next one on its way is progress, too.
        """
        if status.brief and not _is_ready(live):
            return max(PASSING, bundled)
        if not live.get("conditions") and not _is_ready(patch):
            return bundled  # it has only just begun
        if not patch.keys() <= {"conditions", "datacenters"}:
            return 0.0
        turned = _turned(live.get("conditions"), patch["conditions"]) if "conditions" in patch else []
        if not all(kind.startswith(DATACENTER_READY) for kind in turned):
            return 0.0
        return bundled if turned or "datacenters" in patch else max(PATIENCE, bundled)

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


def _is_ready(status: dict[str, Any]) -> bool:
    """Whether a status says so: that is not to be waited for, nor to stand a moment longer than it is true."""
    return any((kind, said) == ("Ready", "True") for kind, said, _ in _told(status.get("conditions")))


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
