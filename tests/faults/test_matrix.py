"""Every fault in every phase: others do not notice, nothing is lost or done twice, and the ClientConfig says why."""

from __future__ import annotations

import pytest

from tests.faults.matrix import CASES, Case, breaches
from tests.faults.script import Phase


@pytest.mark.parametrize(
    ("case", "phase"),
    [pytest.param(case, phase, id=f"{case.name}, {phase}") for case in CASES for phase in case.phases],
)
def test_a_fault_hurts_nobody_else_and_is_over_when_it_is_over(case: Case, phase: Phase) -> None:
    assert breaches(case, phase) == []
