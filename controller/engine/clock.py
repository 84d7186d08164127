"""Wall-clock time, for timestamps that others read; never for measuring how long something took."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """The wall clock seam."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def wall(clock: Clock, loop_time: float) -> datetime:
    """The moment at which the running event loop's time was ``loop_time``."""
    return clock.now() + timedelta(seconds=loop_time - asyncio.get_running_loop().time())


def rfc3339(moment: datetime) -> str:
    """``metav1.Time``: whole seconds, as ``2026-01-31T12:00:00Z``. ``moment`` is aware, of any zone."""
    return _utc(moment).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(moment: datetime) -> str:
    """``metav1.MicroTime``: as ``2026-01-31T12:00:00.000000Z``. ``moment`` is aware, of any zone."""
    return _utc(moment).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a timestamp without a time zone")
    return moment.astimezone(UTC)
