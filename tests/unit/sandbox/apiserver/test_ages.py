"""Ages, as kubectl prints them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controller.sandbox.apiserver.ages import age

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        ({"seconds": -5}, "0s"),
        ({"seconds": 119}, "119s"),
        ({"seconds": 190}, "3m10s"),
        ({"minutes": 9}, "9m"),
        ({"minutes": 100, "seconds": 30}, "100m"),
        ({"hours": 3, "minutes": 5}, "3h5m"),
        ({"hours": 9, "minutes": 5}, "9h"),
        ({"days": 3, "hours": 4}, "3d4h"),
        ({"days": 8, "hours": 4}, "8d"),
        ({"days": 731}, "2y1d"),
    ],
)
def test_an_age_is_short(past: dict[str, float], expected: str) -> None:
    assert age((NOW - timedelta(**past)).isoformat(), NOW) == expected


def test_what_is_no_time_has_no_age() -> None:
    assert age("yesterday", NOW) == "<unknown>"
