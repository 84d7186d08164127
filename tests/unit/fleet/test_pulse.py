from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.fleet.pulse import (
    ANSWERS_TO_RETURN,
    ATTEMPT_INTERVAL,
    FAILURES_TO_LOSE,
    HALT_INTERVAL,
    HURRY_INTERVAL,
    LOST,
    PROBE_INTERVAL,
    RETRY_CAP,
    Pulse,
)
from controller.fleet.state import Phase

CAUSES = (Phase.UNREACHABLE, Phase.AUTH_FAILED, Phase.FORBIDDEN, Phase.CONFIG_INVALID)


class Patient:
    """A pulse with a clock: each look is taken when it is due, and takes ``seconds``."""

    def __init__(self, seed: int = 0) -> None:
        self.now = 100.0
        self.pulse = Pulse(Random(seed))

    @property
    def phase(self) -> Phase:
        return self.pulse.phase

    def ready(self) -> Patient:
        self.pulse.begin(self.now)
        return self.answer()

    def lost(self, cause: Phase = Phase.UNREACHABLE) -> Patient:
        return self.ready().fail(cause, times=3)

    def answer(self, seconds: float = 0.01) -> Patient:
        return self._look(seconds, self.pulse.answered)

    def fail(self, cause: Phase = Phase.UNREACHABLE, seconds: float = 0.01, times: int = 1) -> Patient:
        for _ in range(times):
            self._look(seconds, lambda now: self.pulse.failed(cause, now))
        return self

    def _look(self, seconds: float, tell: Callable[[float], None]) -> Patient:
        self.now = max(self.now, self.pulse.due)
        self.pulse.looking(self.now)
        self.now += seconds
        tell(self.now)
        return self


def test_a_first_answer_makes_it_ready() -> None:
    patient = Patient()
    assert patient.phase is Phase.UNKNOWN
    patient.pulse.begin(patient.now)
    assert patient.phase is Phase.CONNECTING
    assert patient.pulse.due == patient.now
    assert patient.answer().phase is Phase.READY


def test_a_healthy_cluster_is_looked_at_every_three_seconds_or_so() -> None:
    patient = Patient().ready()
    waits = [patient.answer(0.0).pulse.due - patient.now for _ in range(200)]
    assert 0.8 * PROBE_INTERVAL <= min(waits) < PROBE_INTERVAL < max(waits) <= 1.2 * PROBE_INTERVAL


@pytest.mark.parametrize("cause", CAUSES)
def test_one_failure_makes_it_suspect_and_one_answer_ready_again(cause: Phase) -> None:
    patient = Patient().ready()
    assert patient.fail(cause).phase is Phase.SUSPECT
    assert patient.fail(cause).phase is Phase.SUSPECT
    assert patient.answer().phase is Phase.READY
    assert patient.fail(cause, times=2).phase is Phase.SUSPECT  # counted from the beginning


@pytest.mark.parametrize("cause", CAUSES)
def test_three_failures_lose_it_and_two_answers_bring_it_back(cause: Phase) -> None:
    patient = Patient().ready().fail(cause, times=3)
    assert patient.phase is cause
    assert patient.answer().phase is cause
    assert patient.answer().phase is Phase.READY


def test_one_answer_among_failures_brings_nothing_back() -> None:
    patient = Patient().lost()
    for _ in range(10):
        assert patient.answer().fail().phase is Phase.UNREACHABLE


@pytest.mark.parametrize("cause", [Phase.AUTH_FAILED, Phase.FORBIDDEN])
def test_a_server_that_starts_may_refuse_us_at_first(cause: Phase) -> None:
    patient = Patient().lost()
    assert patient.fail(cause, times=2).phase is Phase.UNREACHABLE
    assert patient.fail(cause).phase is cause
    assert Patient().ready().fail(times=2).fail(cause).phase is Phase.UNREACHABLE


def test_the_cause_of_a_loss_is_followed() -> None:
    patient = Patient().lost(Phase.AUTH_FAILED)
    assert patient.fail(times=2).phase is Phase.AUTH_FAILED
    assert patient.fail().phase is Phase.UNREACHABLE


@pytest.mark.parametrize(
    ("cause", "seconds", "failures"),
    [
        (Phase.UNREACHABLE, 0.0, 3),
        (Phase.UNREACHABLE, 4.5, 2),  # a black hole: what takes longer than any blip is no blip
        (Phase.AUTH_FAILED, 0.0, 3),
        (Phase.AUTH_FAILED, 4.5, 3),  # but a server that starts may take its time
        (Phase.CONFIG_INVALID, 0.0, 1),
    ],
)
def test_what_never_answered_is_lost_after_some_patience(cause: Phase, seconds: float, failures: int) -> None:
    patient = Patient()
    patient.pulse.begin(patient.now)
    assert patient.fail(cause, seconds, times=failures - 1).phase is Phase.CONNECTING
    assert patient.fail(cause, seconds).phase is cause


def test_a_failed_look_is_confirmed_soon() -> None:
    patient = Patient().ready().fail(seconds=2.0)
    assert patient.pulse.due == pytest.approx(patient.now + 1.5)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 2.0, 4.5])
def test_a_lost_cluster_is_looked_at_with_jitter_and_within_bounds(seconds: float) -> None:
    patient = Patient().lost()
    waits = []
    for _ in range(200):
        patient.fail(seconds=seconds)
        waits.append(patient.pulse.due - (patient.now - seconds))
    assert min(waits) >= max(ATTEMPT_INTERVAL, seconds)
    assert max(waits) <= max(RETRY_CAP, seconds)
    if seconds < RETRY_CAP:
        assert len({round(wait, 6) for wait in waits}) > 20


def test_the_second_answer_is_asked_for_as_soon_as_allowed() -> None:
    patient = Patient().lost().answer(0.2)
    assert patient.pulse.due == pytest.approx(patient.now - 0.2 + ATTEMPT_INTERVAL)


def test_a_sign_brings_the_next_look_forward() -> None:
    patient = Patient().ready()
    patient.pulse.hurry(patient.now)
    assert patient.pulse.due == pytest.approx(patient.now - 0.01 + HURRY_INTERVAL)
    patient.now += 1.0
    patient.pulse.hurry(patient.now)
    assert patient.pulse.due < patient.now


@pytest.mark.parametrize("failures", [1, 3])
def test_signs_make_nobody_ask_a_dead_server_more_often(failures: int) -> None:
    patient = Patient().ready().fail(times=failures)
    due = patient.pulse.due
    patient.pulse.hurry(patient.now)
    assert patient.pulse.due == due


def test_what_may_not_be_used_is_looked_at_rarely_until_it_may() -> None:
    patient = Patient().ready()
    patient.pulse.halt(Phase.IDENTITY_MISMATCH, patient.now)
    assert patient.pulse.due >= patient.now + 0.8 * HALT_INTERVAL
    assert patient.fail(times=5).phase is Phase.IDENTITY_MISMATCH
    assert patient.answer().phase is Phase.READY


def test_a_new_way_to_a_lost_cluster_is_tried_at_once_but_proves_nothing_yet() -> None:
    patient = Patient().lost()
    patient.pulse.begin(patient.now)
    assert (patient.phase, patient.pulse.due) == (Phase.UNREACHABLE, patient.now)
    patient.pulse.rest(Phase.CONFIG_INVALID)
    assert patient.pulse.due == float("inf")
    patient.pulse.begin(patient.now)
    assert patient.phase is Phase.CONNECTING


# ── whatever happens ────────────────────────────────────────────────────────────────────────────────

_LOOKS = st.tuples(
    st.sampled_from([Phase.READY, *CAUSES]),  # READY: it is answered
    st.floats(0.0, 4.5),  # s that the look takes
    st.lists(st.floats(0.0, 5.0), max_size=2),  # signs that come so many seconds after it
)


@given(st.integers(0, 1000), st.lists(_LOOKS, max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_happens_hysteresis_and_pace_hold(seed: int, looks: list[tuple[Phase, float, list[float]]]) -> None:
    patient = Patient(seed)
    pulse = patient.pulse
    pulse.begin(patient.now)
    outcomes: list[Phase] = []
    for outcome, seconds, signs in looks:
        before, begun = pulse.phase, max(patient.now, pulse.due)
        if outcome is Phase.READY:
            patient.answer(seconds)
        else:
            patient.fail(outcome, seconds)
        outcomes.append(outcome)
        after = pulse.phase
        failed = [one is not Phase.READY for one in outcomes]
        if before is Phase.READY:
            assert after in (Phase.READY, Phase.SUSPECT)
        if before is Phase.SUSPECT and after in LOST:
            assert all(failed[-FAILURES_TO_LOSE:])
            assert len(failed) >= FAILURES_TO_LOSE
        if before in LOST:
            assert after in LOST or (after is Phase.READY and not any(failed[-ANSWERS_TO_RETURN:]))
        if after is not before and after in (Phase.AUTH_FAILED, Phase.FORBIDDEN):
            assert set(outcomes[-FAILURES_TO_LOSE:]) == {after}
        if after is Phase.READY:
            assert outcome is Phase.READY
        for delay in signs:
            pulse.hurry(patient.now + delay)
        wait = pulse.due - begun
        assert pulse.due >= patient.now or after is Phase.READY
        if after in LOST:
            assert max(ATTEMPT_INTERVAL, seconds) <= wait + 1e-9
            assert wait <= max(RETRY_CAP, seconds) + 1e-9
        elif after is Phase.READY:
            assert wait + 1e-9 >= HURRY_INTERVAL
            assert wait <= seconds + 1.2 * PROBE_INTERVAL + 1e-9


@given(
    st.integers(0, 1000),
    st.floats(0.0, 3.6),
    st.floats(0.1, 2.0),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_blip_of_two_seconds_loses_a_cluster(seed: int, offset: float, length: float, black: bool) -> None:
    patient = Patient(seed).ready()
    pulse = patient.pulse
    begins = patient.now + offset
    ends = begins + length
    while patient.now < ends + 10.0:
        began = max(patient.now, pulse.due)
        if begins <= began < ends:
            patient.fail(seconds=2.0 if black else 0.0)
        else:
            patient.answer(0.0)
        assert pulse.phase in (Phase.READY, Phase.SUSPECT)
    assert pulse.phase is Phase.READY
