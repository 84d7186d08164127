"""Whether a cluster lives, judged from looks at it: decided synchronously, without I/O, with hysteresis both ways."""

from __future__ import annotations

import math
from random import Random
from typing import Final

from controller.engine.backoff import full_jitter, jitter
from controller.fleet.state import Phase

PROBE_INTERVAL: Final = 3.0  # s ± 20 % between two looks at a healthy cluster
CONFIRM_INTERVAL: Final = 1.5  # s between a failed look and the next
FAILURES_TO_LOSE: Final = 3  # failed looks in a row after which a cluster counts as lost
ANSWERS_TO_RETURN: Final = 2  # answered looks in a row after which a lost cluster is back
CONNECT_PATIENCE: Final = 6.0  # s without an answer after which a cluster that never answered counts as lost
ATTEMPT_INTERVAL: Final = 1.0  # s at least between the beginnings of two looks at a cluster that is not ready
HURRY_INTERVAL: Final = 0.5  # s at least between the beginnings of two looks, whatever calls for one
RETRY_BASE: Final = 0.5  # s
RETRY_CAP: Final = 3.0  # s at most between the beginnings of two looks at a lost cluster
HALT_INTERVAL: Final = 10.0  # s ± 20 % between two looks at a cluster that answers but may not be used

LOST: Final = frozenset({Phase.UNREACHABLE, Phase.AUTH_FAILED, Phase.FORBIDDEN, Phase.CONFIG_INVALID})
_HALTED: Final = frozenset({Phase.IDENTITY_MISMATCH, Phase.PAUSED})


class Pulse:
    """The state machine of one cluster's connection. Times are of the event loop, in seconds.

    The owner looks at ``due`` and tells what came of it: ``answered`` or ``failed``, after ``begin`` for a connection
    that is new, or ``adopt`` when it has proven itself elsewhere. ``halt`` keeps a cluster that answers from use.
    """

    def __init__(self, rng: Random) -> None:
        self.phase = Phase.UNKNOWN
        self.due = math.inf
        self.failures = 0  # in a row
        self.answers = 0  # in a row, while lost
        self._rng = rng
        self._attempts = 0  # looks at the lost cluster that failed
        self._begun = 0.0
        self._started = -math.inf
        self._cause = Phase.UNKNOWN  # what the last failures mean
        self._alike = 0  # how many of them, in a row

    @property
    def usable(self) -> bool:
        return self.phase in (Phase.READY, Phase.SUSPECT)

    @property
    def refused(self) -> bool:
        """Whether the last look was answered by a server that does not know us."""
        return self.failures > 0 and self._cause is Phase.AUTH_FAILED

    @property
    def decides(self) -> bool:
        """Whether one more answer makes a cluster ready that is not usable now."""
        return not self.usable and (self.phase not in LOST or self.answers + 1 >= ANSWERS_TO_RETURN)

    # ── what the owner decides ──────────────────────────────────────────────────────────────────────

    def begin(self, now: float) -> None:
        """There is a way to try that is new: look at once. A cluster that is lost stays so until it answers."""
        if self.phase not in LOST or self.phase is Phase.CONFIG_INVALID:
            self.phase = Phase.CONNECTING
        self._forget()
        self._begun = self.due = now

    def adopt(self, now: float) -> None:
        """A connection has proven itself: the cluster is ready."""
        self._forget()
        self.phase = Phase.READY
        self.due = now + jitter(self._rng, PROBE_INTERVAL, 0.2)

    def halt(self, phase: Phase, now: float) -> None:
        """The cluster answers but may not be used."""
        self._forget()
        self.phase = phase
        self.due = now + jitter(self._rng, HALT_INTERVAL, 0.2)

    def rest(self, phase: Phase) -> None:
        """There is nothing to look at."""
        self._forget()
        self.phase = phase
        self.due = math.inf

    def hurry(self, now: float) -> None:
        """Something went wrong on the way to the cluster, or changed: do not wait for the next regular look."""
        if self.phase is Phase.READY or self.phase in _HALTED:
            self.due = min(self.due, max(now, self._started + HURRY_INTERVAL))

    # ── what came of a look ─────────────────────────────────────────────────────────────────────────

    def looking(self, now: float) -> None:
        """A look begins."""
        self._started = now

    def answered(self, now: float) -> None:
        """The look was answered."""
        if self.phase in LOST and self.answers + 1 < ANSWERS_TO_RETURN:
            self.answers += 1
            self.failures = self._alike = 0
            self.due = max(now, self._started + ATTEMPT_INTERVAL)
            return
        self.adopt(now)

    def failed(self, cause: Phase, now: float) -> None:
        """The look failed; ``cause``: the phase that such failures mean when they are confirmed."""
        self.answers = 0
        self.failures += 1
        self._alike = self._alike + 1 if cause is self._cause else 1
        self._cause = cause
        if self.phase in _HALTED:
            self.due = now + jitter(self._rng, HALT_INTERVAL, 0.2)
            return
        if self.phase in LOST:
            if self._alike >= FAILURES_TO_LOSE:
                self.phase = cause
            self._retry(now)
        elif self._is_lost(now):
            self.phase = cause if self._confirmed else Phase.UNREACHABLE
            self._retry(now)
        else:
            if self.phase is Phase.READY:
                self.phase = Phase.SUSPECT
            self.due = now + CONFIRM_INTERVAL

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def _confirmed(self) -> bool:
        # Servers that are starting answer 401 and 403 to whom they will know in a moment; what is wrong with an
        # address is wrong at once.
        return self._alike >= FAILURES_TO_LOSE or self._cause in (Phase.UNREACHABLE, Phase.CONFIG_INVALID)

    def _is_lost(self, now: float) -> bool:
        if self.failures >= FAILURES_TO_LOSE:
            return True
        if self.phase is not Phase.CONNECTING:
            return False
        patient = now - self._begun < CONNECT_PATIENCE
        return self._cause is Phase.CONFIG_INVALID or (self._cause is Phase.UNREACHABLE and not patient)

    def _retry(self, now: float) -> None:
        # From the beginning of the look, not its end: a black hole must not add its deadline to every wait.
        wait = max(ATTEMPT_INTERVAL, full_jitter(self._rng, self._attempts, RETRY_BASE, RETRY_CAP))
        self._attempts += 1
        self.due = max(now, self._started + wait)

    def _forget(self) -> None:
        self.failures = self.answers = self._attempts = self._alike = 0
        self._cause = Phase.UNKNOWN
