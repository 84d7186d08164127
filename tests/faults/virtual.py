"""Virtual time: an event loop that jumps from timer to timer, and a wall clock that goes with it."""

from __future__ import annotations

import asyncio
import gc
import heapq
import math
from collections.abc import Callable, Coroutine, Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final, TypeVar

T = TypeVar("T")

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


class _Timer(asyncio.TimerHandle):
    """Of several that are due at one moment the one that was set first is first.

    asyncio's own come in the order that its heap happens to have, which any other timer may change.
    """

    __slots__ = ("number",)

    def __lt__(self, other: asyncio.TimerHandle) -> bool:
        assert isinstance(other, _Timer)
        return (self.when(), self.number) < (other.when(), other.number)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Nothing here waits for sockets or threads: when nothing is ready, the time is that of the next timer.

    Exactly that: looptime counts in steps of a microsecond, whose rounding depends on who else has timers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._numbers = count()
        self._poll = self._selector.select
        self._selector.select = self._advance
        self.complaints: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.complaints.append(context))

    def time(self) -> float:
        return self._now

    @property
    def _clock_resolution(self) -> float:
        """The smallest step there is: a timer a billionth of a second later is not due, or others' timers would
        decide at which moment it fires."""
        return math.ulp(self._now)

    @_clock_resolution.setter
    def _clock_resolution(self, _: float) -> None:
        """asyncio sets that of the system's clock."""

    def _advance(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen any more")
        if timeout > 0:
            self._now = max(self._now, self._scheduled[0].when())
            return []
        return self._poll(0)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        timer.number = next(self._numbers)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer


class LoopClock:
    """The wall clock of a simulation; ``offset`` is how far somebody has set it wrong."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=asyncio.get_running_loop().time()) + self.offset


def simulate(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run to the end, on virtual time from 0; fails when a task is left, or died unheard."""
    loop = VirtualLoop()
    try:
        result = loop.run_until_complete(make())
        left = asyncio.all_tasks(loop)
        names = sorted(task.get_name() for task in left)
        loop.run_until_complete(_end(left))
        gc.collect(0)
        assert names == [], "tasks were left"
        assert loop.complaints == [], "the loop complained"
    finally:
        loop.close()
    return result


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
