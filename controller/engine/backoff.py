"""How long to wait before the next try."""

from __future__ import annotations

from random import Random
from typing import Final

BASE: Final = 0.5  # s; upper bound of the first wait
CAP: Final = 30.0  # s; upper bound of every wait
HEALTHY: Final = 60.0  # s of success after which the next failure counts as the first


def exponential(attempt: int, base: float, cap: float) -> float:
    """``min(cap, base·2ⁿ)`` seconds for attempt n = 0, 1, …; exact for any n, without overflow."""
    return min(cap, base * 2.0 ** min(attempt, 64))


def full_jitter(rng: Random, attempt: int, base: float = BASE, cap: float = CAP) -> float:
    """Seconds, uniform in [0, min(cap, base·2ⁿ)]; AWS Architecture Blog, "Exponential Backoff And Jitter", 2015."""
    return rng.uniform(0.0, exponential(attempt, base, cap))


def jitter(rng: Random, seconds: float, fraction: float) -> float:
    """Seconds, uniform in ``seconds`` ± ``fraction``."""
    return seconds * rng.uniform(1.0 - fraction, 1.0 + fraction)


class Backoff:
    """Counts failures in a row and says how long to wait after each."""

    def __init__(self, rng: Random, *, base: float = BASE, cap: float = CAP) -> None:
        self._rng = rng
        self._base = base
        self._cap = cap
        self.attempts = 0

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        wait = full_jitter(self._rng, self.attempts, self._base, self._cap)
        self.attempts += 1
        return wait

    def reset(self) -> None:
        self.attempts = 0
