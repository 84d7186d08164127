from __future__ import annotations

from random import Random

import pytest

from controller.engine.backoff import Backoff, exponential, full_jitter, jitter


@pytest.mark.parametrize("attempt", range(71))
def test_doubles_up_to_the_cap_and_never_overflows(attempt: int) -> None:
    assert exponential(attempt, 0.005, 30.0) == (0.005 * 2**attempt if attempt <= 12 else 30.0)


def test_an_absurd_attempt_is_the_cap() -> None:
    assert exponential(10**9, 0.005, 30.0) == 30.0


def test_full_jitter_covers_zero_to_the_bound() -> None:
    waits = [full_jitter(Random(seed), 2, 0.5, 30.0) for seed in range(500)]
    assert 0 <= min(waits) < 0.1
    assert 1.9 < max(waits) <= 2.0


def test_jitter_stays_within_its_fraction() -> None:
    waits = [jitter(Random(seed), 60.0, 0.2) for seed in range(500)]
    assert 48 <= min(waits) < 50
    assert 70 < max(waits) <= 72


def test_failures_in_a_row_wait_longer_until_reset() -> None:
    backoff = Backoff(Random(1), base=1.0, cap=8.0)
    assert all(backoff.next() <= bound for bound in (1, 2, 4, 8, 8, 8))
    assert backoff.attempts == 6
    backoff.reset()
    assert backoff.next() <= 1.0
