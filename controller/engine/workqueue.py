"""A queue of names to look at: each once however often it was added, and never at two workers at a time.

The contract is client-go's ``workqueue``, plus pausing and parking for a cluster that is away.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from typing import Final, Generic, Protocol, TypeVar

from controller.engine.backoff import exponential

T = TypeVar("T", bound=Hashable)

RETRY_BASE: Final = 0.005  # s before the first retry, as client-go
RETRY_CAP: Final = 30.0  # s; client-go waits up to 1000 s, which hides a repaired cluster for too long


class ShutDown(Exception):
    """The queue is shut down and has nothing more to hand out."""


class QueueObserver(Protocol):
    """Told what happens in a queue; for metrics. Called synchronously, must not raise."""

    def added(self, depth: int) -> None:
        """An item was queued; ``depth``: items that wait for a worker now."""
        ...

    def started(self, depth: int, waited: float) -> None:
        """An item went to a worker, ``waited`` seconds after it was queued."""
        ...

    def finished(self, worked: float) -> None:
        """A worker was done with an item after ``worked`` seconds."""
        ...

    def retried(self) -> None:
        """An item was added with backoff."""
        ...


class WorkQueue(Generic[T]):
    """FIFO, fair, deduplicated. All methods belong to one event loop; only ``get`` and draining wait.

    An item is *dirty* from ``add`` until ``get``, and *processing* from ``get`` until ``done``. Adding a dirty item
    does nothing; adding one that is processing makes it run exactly once more, after ``done``.
    """

    def __init__(
        self, *, observer: QueueObserver | None = None, retry_base: float = RETRY_BASE, retry_cap: float = RETRY_CAP
    ) -> None:
        self._observer = observer
        self._retry_base = retry_base
        self._retry_cap = retry_cap
        self._ready: deque[T] = deque()
        self._dirty: set[T] = set()
        self._processing: set[T] = set()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._drainers: list[asyncio.Future[None]] = []
        self._failures: dict[T, int] = {}
        self._due: dict[T, tuple[float, bool]] = {}  # delayed: loop time, and whether it is a retry
        self._heap: list[tuple[float, int, T]] = []  # may hold entries that self._due has superseded
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None
        self._parked: dict[T, str] = {}
        self._returns = 0
        self._added_at: dict[T, float] = {}  # kept for the observer only
        self._started_at: dict[T, float] = {}
        self._paused = False
        self._shut_down = False

    @property
    def depth(self) -> int:
        """Items that wait for a worker; delayed and parked ones do not count."""
        return len(self._ready)

    @property
    def processing(self) -> int:
        """Items that are at a worker."""
        return len(self._processing)

    @property
    def delayed(self) -> int:
        """Items whose time has not come."""
        return len(self._due)

    @property
    def parked(self) -> int:
        """Items that wait for a cluster to come back."""
        return len(self._parked)

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def is_shut_down(self) -> bool:
        return self._shut_down

    # ── adding ──────────────────────────────────────────────────────────────────────────────────────

    def add(self, item: T) -> None:
        """Queue ``item`` unless it is queued already. Ignored after shut-down."""
        if self._shut_down or item in self._dirty:
            return
        self._dirty.add(item)
        if self._parked:
            self._parked.pop(item, None)
        if item not in self._processing:
            self._push(item)

    def add_after(self, item: T, delay: float) -> None:
        """``add`` in ``delay`` seconds. Of several delays of one item the earliest counts."""
        self._delay(item, delay, retry=False)

    def add_rate_limited(self, item: T, *, at_least: float = 0.0) -> float:
        """``add`` after the item's backoff, which doubles each time, at least ``at_least`` s; returns the seconds."""
        failures = self._failures.get(item, 0)
        self._failures[item] = failures + 1
        delay = max(exponential(failures, self._retry_base, self._retry_cap), at_least)
        if self._observer is not None:
            self._observer.retried()
        self._delay(item, delay, retry=True)
        return delay

    def forget(self, item: T) -> None:
        """The next backoff of ``item`` is the first again; what is queued or delayed stays so."""
        self._failures.pop(item, None)

    def retries(self, item: T) -> int:
        """How many times ``item`` was added with backoff since it was last forgotten."""
        return self._failures.get(item, 0)

    # ── taking ──────────────────────────────────────────────────────────────────────────────────────

    async def get(self) -> T:
        """The item that waits longest; the caller owes a ``done``. Raises ``ShutDown`` when there will be none."""
        while not self._ready or self._paused:
            if self._shut_down:
                raise ShutDown
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake_one()  # the wake-up was for whoever can work: hand it on
                elif getter in self._getters:
                    self._getters.remove(getter)
                raise
        item = self._ready.popleft()
        self._dirty.discard(item)
        self._processing.add(item)
        if self._observer is not None:
            now = asyncio.get_running_loop().time()
            self._started_at[item] = now
            self._observer.started(len(self._ready), now - self._added_at.pop(item, now))
        return item

    def done(self, item: T) -> None:
        """The worker has finished with ``item``, whatever came of it."""
        if item not in self._processing:
            return
        self._processing.discard(item)
        if self._observer is not None:
            now = asyncio.get_running_loop().time()
            self._observer.finished(now - self._started_at.pop(item, now))
        if item in self._dirty:
            self._push(item)
        self._release_drainers()

    # ── pausing and parking ─────────────────────────────────────────────────────────────────────────

    def pause(self) -> None:
        """Hand out nothing until ``resume``: items are kept, and no timer runs. What is processing goes on."""
        self._paused = True
        self._set_timer()
        self._release_drainers()

    def resume(self) -> None:
        """Hand out again: at once what is queued, what is parked, and what waited for its backoff."""
        self._paused = False
        self._return(context=None)
        for item in [item for item, (_, retry) in self._due.items() if retry]:
            del self._due[item]
            self.add(item)
        self._collect_due()
        for _ in range(len(self._ready)):
            self._wake_one()

    @property
    def returns(self) -> int:
        """How often a cluster has come back (``resume`` and ``unpark``); for ``park``."""
        return self._returns

    def park(self, item: T, context: str, *, since: int) -> None:
        """Keep ``item`` aside until ``context`` is back (``unpark``), ``resume``, or an ``add``.

        ``since``: ``returns`` as it was before the item was looked at. When a cluster has come back meanwhile
        the item is added instead, so no return is missed.
        """
        if self._shut_down:
            return
        if self._returns != since:
            self.add(item)
        elif item not in self._dirty:
            self._parked[item] = context

    def unpark(self, context: str) -> None:
        """``context`` is back: add every item that is parked for it."""
        self._return(context)

    def _return(self, context: str | None) -> None:
        self._returns += 1
        for item in [item for item, away in self._parked.items() if context is None or away == context]:
            self.add(item)

    # ── ending ──────────────────────────────────────────────────────────────────────────────────────

    def shut_down(self) -> None:
        """Take no more items and drop delayed and parked ones. What is queued is still handed out, unless paused."""
        self._shut_down = True
        self._due.clear()
        self._heap.clear()
        self._parked.clear()
        self._set_timer()
        while self._getters:
            self._wake_one()
        self._release_drainers()

    async def shut_down_with_drain(self) -> None:
        """``shut_down``, then wait until everything that was queued is ``done`` (if paused: what is processing)."""
        self.shut_down()
        while not self._drained():
            drainer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._drainers.append(drainer)
            await drainer

    def _drained(self) -> bool:
        return not self._processing and (self._paused or not self._ready)

    def _release_drainers(self) -> None:
        if self._drainers and self._drained():
            for drainer in self._drainers:
                if not drainer.done():
                    drainer.set_result(None)
            self._drainers.clear()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _push(self, item: T) -> None:
        self._ready.append(item)
        if self._observer is not None:
            self._added_at[item] = asyncio.get_running_loop().time()
            self._observer.added(len(self._ready))
        if self._getters and not self._paused:
            self._wake_one()

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _delay(self, item: T, delay: float, *, retry: bool) -> None:
        if self._shut_down:
            return
        if delay <= 0:
            self.add(item)
            return
        due = asyncio.get_running_loop().time() + delay
        present = self._due.get(item)
        if present is not None and present[0] <= due:
            return
        self._due[item] = (due, retry)
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, item))
        if len(self._heap) > 64 + 2 * len(self._due):
            self._compact()
        if self._heap[0][2] == item:
            self._set_timer()

    def _compact(self) -> None:
        # Superseded entries stay in the heap until their time; without this, an item that is delayed by ever
        # shorter times would let it grow.
        self._heap = [entry for entry in self._heap if self._is_current(entry)]
        heapq.heapify(self._heap)

    def _is_current(self, entry: tuple[float, int, T]) -> bool:
        present = self._due.get(entry[2])
        return present is not None and present[0] == entry[0]

    def _collect_due(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._heap and (self._heap[0][0] <= now or not self._is_current(self._heap[0])):
            entry = heapq.heappop(self._heap)
            if self._is_current(entry):
                del self._due[entry[2]]
                self.add(entry[2])
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap and not self._paused:
            self._timer = asyncio.get_running_loop().call_at(self._heap[0][0], self._collect_due)
