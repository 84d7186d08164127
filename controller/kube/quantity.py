"""Resource quantities as numbers: ``4Gi`` is 4294967296, ``500m`` is one half."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Final

_QUANTITY: Final = re.compile(
    r"([+-]?)([0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})([a-zA-Z]{0,2}|[eE][+-]?[0-9]{1,2})"
)
_BINARY: Final = {f"{prefix}i": Fraction(1024**power) for power, prefix in enumerate("KMGTPE", 1)}
_DECIMAL: Final = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(10**3),
    **{prefix: Fraction(10 ** (3 * power)) for power, prefix in enumerate("MGTPE", 2)},
}
_FACTORS: Final = {**_BINARY, **_DECIMAL}


def parse_quantity(value: int | float | str) -> Fraction:
    """The exact number that a quantity says; raises ``ValueError`` when it is none."""
    return _parse(str(value).strip())


@lru_cache(maxsize=1024)
def _parse(text: str) -> Fraction:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError("not a quantity, as 4Gi, 500m or 2")
    sign, digits, suffix = match.groups()
    factor = _FACTORS.get(suffix)
    if factor is None:
        if suffix[0] not in "eE" or len(suffix) < 2:
            raise ValueError("not a quantity: its unit is unknown")
        try:
            factor = Fraction(10) ** int(suffix[1:])
        except ValueError:
            raise ValueError("not a quantity: its unit is unknown") from None
    number = Fraction(digits if not digits.endswith(".") else digits[:-1]) * factor
    return -number if sign == "-" else number


def whole(value: int | float | str) -> int:
    """The quantity rounded up to whole units; raises ``ValueError``."""
    number = parse_quantity(value)
    return -((-number.numerator) // number.denominator)


def number(value: int | float | str) -> int | float:
    """The quantity as an int when it is whole, else as a float; raises ``ValueError``."""
    exact = parse_quantity(value)
    return exact.numerator if exact.denominator == 1 else float(exact)
