"""Every fault in every phase: others do not notice, nothing is lost or done twice, and the ClientConfig says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import faults
from tests.faults.faults import Fault
from tests.faults.matrix import CASES, Case, breaches, breaches_at_home
from tests.faults.script import Phase


@pytest.mark.parametrize(
    ("case", "phase"),
    [pytest.param(case, phase, id=f"{case.name}, {phase}") for case in CASES for phase in case.phases],
)
def test_a_fault_hurts_nobody_else_and_is_over_when_it_is_over(case: Case, phase: Phase) -> None:
    assert breaches(case, phase) == []


@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.WRITE])
@pytest.mark.parametrize(
    "fault",
    [
        faults.Refused,
        faults.Reset,
        faults.Lost,
        faults.BlackHole,
        faults.HalfOpen,
        faults.Lossy,
        faults.Flaky,
        faults.Trickle,
        faults.Unauthorized,
        faults.Expired,
        faults.Throttling,
        faults.Unavailable,
        faults.Truncated,
        faults.Duplicated,
        faults.TimeTravel,
    ],
)
def test_a_fault_on_the_way_to_the_control_plane_is_over_when_it_is_over(
    fault: Callable[[], Fault], phase: Phase
) -> None:
    assert breaches_at_home(fault, phase) == []
