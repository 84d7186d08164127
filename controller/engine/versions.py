"""How resourceVersions compare: decimal numbers of any length, within one kind of one cluster (KEP-5504)."""

from __future__ import annotations


def comparable(version: str) -> bool:
    """Whether ``version`` is a decimal number without leading zero; "" and "0" name no state and are not."""
    return version.isdecimal() and version[0] != "0" and version.isascii()


def older(left: str, right: str) -> bool:
    """Whether ``left`` is known to come before ``right``; False when they are equal or do not compare."""
    if left == right or not comparable(left) or not comparable(right):
        return False
    return (len(left), left) < (len(right), right)


def newer(left: str, right: str) -> bool:
    """Whether ``left`` is known to come after ``right``; False when they are equal or do not compare."""
    return older(right, left)
