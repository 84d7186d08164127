"""The last plan of each K8ssandraCluster: what has not changed since is not planned again."""

from __future__ import annotations

from typing import Final

from controller.cassandra.plan import Plan, Problem, plan
from controller.cassandra.snapshot import Snapshot

SIZE: Final = 256  # K8ssandraClusters; those that are busy, and each is soon asked for in every context of its


class Plans:
    """Plans by UID. Planning is pure, so the same snapshot has the same plan.

    Snapshots share what did not change, so comparing two is far cheaper than planning. Nobody may change a plan.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[Snapshot, tuple[Problem, ...], Plan]] = {}

    def get(self, snapshot: Snapshot, reported: tuple[Problem, ...]) -> Plan:
        """What is to be done now; see ``controller.cassandra.plan.plan``."""
        uid = snapshot.object.head.uid
        last = self._last.pop(uid, None)
        if last is None or last[0] != snapshot or last[1] != reported:
            last = (snapshot, reported, plan(snapshot, reported))
            if len(self._last) >= SIZE:
                del self._last[next(iter(self._last))]
        self._last[uid] = last
        return last[2]

    def forget(self, uid: str) -> None:
        """The object is gone."""
        self._last.pop(uid, None)
