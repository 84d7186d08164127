from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from controller.engine.clock import SystemClock, rfc3339, rfc3339_micro


def test_the_present_is_aware_and_in_utc() -> None:
    assert timedelta(0) == SystemClock().now().utcoffset()


def test_a_time_has_whole_seconds_and_a_z() -> None:
    assert rfc3339(datetime(2026, 1, 31, 12, 0, 5, 999_999, UTC)) == "2026-01-31T12:00:05Z"


def test_a_micro_time_has_six_digits() -> None:
    assert rfc3339_micro(datetime(2026, 1, 31, 12, 0, 5, 42, UTC)) == "2026-01-31T12:00:05.000042Z"


@pytest.mark.parametrize("text", [rfc3339, rfc3339_micro])
def test_other_zones_are_converted(text: object) -> None:
    moment = datetime(2026, 1, 31, 1, tzinfo=timezone(timedelta(hours=2)))
    assert text(moment).startswith("2026-01-30T23:00:00")  # type: ignore[operator]


@pytest.mark.parametrize("text", [rfc3339, rfc3339_micro])
def test_a_time_without_zone_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="time zone"):
        text(datetime(2026, 1, 31))  # type: ignore[operator]
