from __future__ import annotations

from fractions import Fraction

import pytest

from controller.kube.quantity import number, parse_quantity, whole


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        (Fraction(4 * 2**30), "4Gi"),
        (Fraction(1, 2), "500m"),
        (Fraction(1, 2), "0.5"),
        (Fraction(1, 2), ".5"),
        (Fraction(2), 2),
        (Fraction(3, 2), 1.5),
        (Fraction(10**9), "1G"),
        (Fraction(1500), "1.5k"),
        (Fraction(1000), "1e3"),
        (Fraction(1000), "1E3"),
        (Fraction(10**18), "1E"),
        (Fraction(-1), "-1"),
        (Fraction(5), "5."),
        (Fraction(0), "0"),
    ],
)
def test_a_quantity_is_an_exact_number(expected: Fraction, given: int | float | str) -> None:
    assert expected == parse_quantity(given)


@pytest.mark.parametrize("bad", ["", "Gi", "4GiB", "4 Gi", "4g", "1e", "1ex", "--1", "one", "1e999", "nan", "0x10"])
def test_what_is_no_quantity_says_so(bad: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(bad)


def test_whole_units_are_rounded_up() -> None:
    assert whole("64Mi") == 67108864
    assert whole("500m") == 1
    assert whole("0") == 0


def test_a_whole_quantity_is_an_integer_and_another_a_float() -> None:
    assert (number("1.5Gi"), type(number("1.5Gi"))) == (1610612736, int)
    assert (number("1500m"), type(number("1500m"))) == (1.5, float)
