"""What is said of one cluster's connection: its state in words, what is counted of it, and what is logged."""

from __future__ import annotations

import asyncio
import math
from typing import Final

import msgspec
import structlog

from controller.fleet import state
from controller.fleet.cluster import Cluster
from controller.fleet.counters import ConnectionCounters
from controller.fleet.pulse import LOST
from controller.fleet.state import ClusterState, Phase, Reason
from controller.fleet.way import Answer
from controller.kube import errors

REMIND_INTERVAL: Final = 60.0  # s between two log lines about a cluster that stays away

_log = structlog.get_logger(__name__)


class Report:
    """Publishes the state of ``cluster``; ``who`` names its ClientConfig, as ``namespace/name``.

    ``problem``: why the present content of the Secret is not in use, None when it is. ``halted``: why a cluster that
    answers may not be used.
    """

    def __init__(self, who: str, cluster: Cluster, counters: ConnectionCounters) -> None:
        self.problem: ClusterState | None = None
        self.halted: ClusterState | None = None
        self._who = who
        self._cluster = cluster
        self._counters = counters
        self._losses: dict[Phase, ClusterState] = {}  # what the last failure of each sort said
        self._known = ClusterState(True, Reason.CONNECTED)  # version, UID and note as last heard
        self._logged = -math.inf

    def loss(self, error: errors.KubeError) -> ClusterState:
        """The state that a failed look means if it is confirmed."""
        loss = state.of_error(error)
        return msgspec.structs.replace(loss, message=f"ClientConfig {self._who}: {loss.message}")

    def lost(self, error: errors.KubeError) -> Phase:
        """Keep what a failed look said, for when it is confirmed; returns the phase that it means."""
        loss = self.loss(error)
        self._losses.pop(loss.phase, None)
        self._losses[loss.phase] = loss
        return loss.phase

    def forget(self) -> None:
        """What failed so far says nothing any more: the way there is another one, or none."""
        self._losses.clear()
        self.halted = None

    def learn(self, answer: Answer) -> bool:
        """Take over what a look found out; True when the cluster is another one than before."""
        known, changed = self._known, False
        if answer.version is not None:
            known = msgspec.structs.replace(known, server_version=answer.version)
        if (identity := answer.identity) is not None:
            uid = identity.cluster_uid or known.cluster_uid
            changed = known.cluster_uid not in ("", uid)
            known = msgspec.structs.replace(known, cluster_uid=uid, note=identity.note)
        self._known = known
        return changed

    def publish(self, phase: Phase, *, connected: bool) -> ClusterState:
        """Say that the cluster is in ``phase``; ``connected``: there is a connection that may serve again."""
        before, after = self._cluster.state, self._state(phase, connected)
        self._cluster.update(after)
        self.count(before)
        return after

    def count(self, before: ClusterState) -> None:
        """Count and log a change of phase since ``before``, and once a minute that a cluster is still away."""
        now, after = asyncio.get_running_loop().time(), self._cluster.state
        changed = before.phase is not after.phase
        if changed:
            self._counters.transitions[before.phase, after.phase] += 1
        elif after.usable or now - self._logged < REMIND_INTERVAL:
            return
        self._logged = now
        log = _log.info if after.usable or after.reason is Reason.CONNECTING else _log.warning
        log(
            f"cluster is {after.phase}" if changed else f"cluster is still {after.phase}",
            cluster=self._cluster.context,
            was=before.phase,
            reason=after.reason,
            message=after.message,
        )

    def _state(self, phase: Phase, connected: bool) -> ClusterState:
        problem = self.problem
        if not connected and problem is not None:
            return problem
        if phase in (Phase.READY, Phase.SUSPECT):
            return msgspec.structs.replace(_connected(self._known, problem), phase=phase)
        if phase is Phase.IDENTITY_MISMATCH:
            assert self.halted is not None
            return msgspec.structs.replace(self.halted, phase=phase, server_version=self._known.server_version)
        if phase in LOST:
            loss = problem or self._losses.get(phase)
            if loss is None:  # failures of several sorts, of which none was confirmed
                loss = msgspec.structs.replace(list(self._losses.values())[-1], reason=Reason.UNREACHABLE)
            return msgspec.structs.replace(loss, phase=phase)
        return ClusterState(False, Reason.CONNECTING, f"ClientConfig {self._who}: connecting", phase=phase)


def _connected(known: ClusterState, problem: ClusterState | None) -> ClusterState:
    """The state of a cluster that is in use; ``problem``: why what its Secret says now is not."""
    version = known.server_version
    message = f"connected, Kubernetes {version}" if version else "connected"
    if known.note:
        message = f"{message}; {known.note}"
    if problem is None:
        return msgspec.structs.replace(known, message=message)
    message = f"the last good credentials are still in use; {problem.message}"
    return msgspec.structs.replace(known, reason=Reason.ROTATION_FAILED, message=message)
