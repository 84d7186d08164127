from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.engine.versions import comparable, newer, older


@pytest.mark.parametrize("version", ["", "0", "007", "-1", "1.5", "abc", "１２", "1 ", "1e9"])
def test_what_is_no_plain_decimal_does_not_compare(version: str) -> None:
    assert not comparable(version)
    assert not older(version, "5")
    assert not newer(version, "5")
    assert not older("5", version)


@given(st.integers(1, 10**40), st.integers(1, 10**40))
def test_decimals_of_any_length_compare_as_numbers(left: int, right: int) -> None:
    assert older(str(left), str(right)) == (left < right)
    assert newer(str(left), str(right)) == (left > right)
