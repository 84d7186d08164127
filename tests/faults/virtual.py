"""Virtual time: an event loop that jumps from timer to timer, and a wall clock that goes with it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from looptime import LoopTimeEventLoop

T = TypeVar("T")

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


class VirtualLoop(LoopTimeEventLoop, asyncio.SelectorEventLoop):
    """Nothing here waits for sockets or threads, so no turn is spent on looking for them."""

    def __init__(self) -> None:
        super().__init__(noop_cycles=0)
        self.complaints: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.complaints.append(context))


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
