"""Where nothing is left of an object that is being deleted, and for how long that may be believed."""

from __future__ import annotations

from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool


class Absences:
    """What live reads have proven: of the object ``uid`` nothing is left in a context.

    A proof is void when the cluster turns out to have another history, or to be another cluster.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._proven: dict[tuple[str, str], int] = {}  # by UID and context: the epoch of the caches

    def __bool__(self) -> bool:
        return bool(self._proven)

    def add(self, uid: str, cluster: Cluster, epoch: int) -> None:
        """Live reads showed it, which began while the caches of ``cluster`` had this epoch."""
        self._proven[uid, cluster.context] = epoch

    def contexts(self, uid: str) -> set[str]:
        """The contexts where nothing is left of it."""
        return {
            context
            for (owner, context), epoch in self._proven.items()
            if owner == uid and (cluster := self._pool.get(context)) is not None and cluster.cache.epoch == epoch
        }

    def forget(self, uid: str) -> None:
        """The object is gone itself."""
        self._proven = {key: epoch for key, epoch in self._proven.items() if key[0] != uid}

    def forget_context(self, context: str) -> None:
        """Another cluster may be called so next."""
        self._proven = {key: epoch for key, epoch in self._proven.items() if key[1] != context}
