"""Random sequences of operations on the queue, next to a model of it that is simple enough to be believed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.engine.workqueue import ShutDown, WorkQueue

ITEMS = st.sampled_from("abcde")
DELAYS = st.sampled_from([-1.0, 0.0, 0.25, 1.0, 5.0, 100.0])
CONTEXTS = st.sampled_from(["east", "west"])


class ManualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still until it is moved."""

    now = 1000.0

    def time(self) -> float:
        return self.now

    def do(self, act: Callable[[], Any]) -> Any:
        async def inside() -> Any:
            result = act()
            await asyncio.sleep(0)
            return result

        return self.run_until_complete(inside())


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = ManualLoop()
        self.queue: WorkQueue[str] = WorkQueue()
        self.ready: list[str] = []
        self.again: list[str] = []  # dirty while processing
        self.working: dict[str, int] = {}  # processing, with the returns seen when taken
        self.delayed: dict[str, tuple[float, int, bool]] = {}
        self.failures: dict[str, int] = {}
        self.parked: dict[str, str] = {}
        self.returns = 0
        self.sequence = 0
        self.paused = False
        self.ended = False

    def teardown(self) -> None:
        self.loop.close()

    # ── the model ───────────────────────────────────────────────────────────────────────────────────

    def model_add(self, item: str) -> None:
        if self.ended or item in self.ready or item in self.again:
            return
        self.parked.pop(item, None)
        (self.again if item in self.working else self.ready).append(item)

    def model_delay(self, item: str, delay: float, retry: bool) -> None:
        if self.ended:
            return
        if delay <= 0:
            self.model_add(item)
            return
        due = self.loop.now + delay
        if item not in self.delayed or due < self.delayed[item][0]:
            self.sequence += 1
            self.delayed[item] = (due, self.sequence, retry)

    def model_collect(self) -> None:
        if self.paused:
            return
        for due, _, item in sorted((due, number, item) for item, (due, number, _) in self.delayed.items()):
            if due <= self.loop.now:
                del self.delayed[item]
                self.model_add(item)

    # ── what may happen ─────────────────────────────────────────────────────────────────────────────

    @rule(item=ITEMS)
    def add(self, item: str) -> None:
        self.model_add(item)
        self.loop.do(lambda: self.queue.add(item))

    @rule(item=ITEMS, delay=DELAYS)
    def add_after(self, item: str, delay: float) -> None:
        self.model_delay(item, delay, False)
        self.loop.do(lambda: self.queue.add_after(item, delay))

    @rule(item=ITEMS, at_least=st.sampled_from([0.0, 2.0]))
    def add_rate_limited(self, item: str, at_least: float) -> None:
        count = self.failures.get(item, 0)
        expected = max(min(30.0, 0.005 * 2**count), at_least)
        self.failures[item] = count + 1
        self.model_delay(item, expected, True)
        assert expected == self.loop.do(lambda: self.queue.add_rate_limited(item, at_least=at_least))

    @rule(item=ITEMS)
    def forget(self, item: str) -> None:
        self.failures.pop(item, None)
        self.loop.do(lambda: self.queue.forget(item))

    @rule()
    def get(self) -> None:
        async def attempt() -> str:
            async with asyncio.timeout(0):
                return await self.queue.get()

        expected: Any
        if self.ready and not self.paused:
            expected = self.ready.pop(0)
            self.working[expected] = self.returns
        else:
            expected = ShutDown if self.ended else TimeoutError
        try:
            found: Any = self.loop.run_until_complete(attempt())
        except (TimeoutError, ShutDown) as error:
            found = type(error)
        assert expected == found

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(sorted(self.working)))
        del self.working[item]
        if item in self.again:
            self.again.remove(item)
            self.ready.append(item)
        self.loop.do(lambda: self.queue.done(item))

    @rule(item=ITEMS)
    def done_without_get(self, item: str) -> None:
        if item not in self.working:
            self.loop.do(lambda: self.queue.done(item))

    @rule()
    def pause(self) -> None:
        self.paused = True
        self.loop.do(self.queue.pause)

    @rule()
    def resume(self) -> None:
        self.paused = False
        self.returns += 1
        for item in list(self.parked):
            self.model_add(item)
        for item in [item for item, (_, _, retry) in self.delayed.items() if retry]:
            del self.delayed[item]
            self.model_add(item)
        self.model_collect()
        self.loop.do(self.queue.resume)

    @precondition(lambda self: self.working)
    @rule(data=st.data(), context=CONTEXTS)
    def park(self, data: st.DataObject, context: str) -> None:
        item = data.draw(st.sampled_from(sorted(self.working)))
        since = self.working[item]
        if not self.ended:
            if since != self.returns:
                self.model_add(item)
            elif item not in self.again:
                self.parked[item] = context
        self.loop.do(lambda: self.queue.park(item, context, since=since))

    @rule(context=CONTEXTS)
    def unpark(self, context: str) -> None:
        self.returns += 1
        for item in [item for item, away in self.parked.items() if away == context]:
            self.model_add(item)
        self.loop.do(lambda: self.queue.unpark(context))

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.loop.now += seconds
        self.model_collect()
        self.loop.do(lambda: None)

    @precondition(lambda self: not self.ended)
    @rule(luck=st.integers(0, 9))
    def shut_down(self, luck: int) -> None:
        if luck == 0:
            self.ended = True
            self.delayed.clear()
            self.parked.clear()
            self.loop.do(self.queue.shut_down)

    @initialize()
    def empty(self) -> None:
        assert self.queue.depth == 0

    @invariant()
    def agrees(self) -> None:
        queue = self.queue
        assert len(self.ready) == queue.depth
        assert len(self.working) == queue.processing
        assert len(self.delayed) == queue.delayed
        assert len(self.parked) == queue.parked
        assert self.returns == queue.returns
        assert all(self.failures.get(item, 0) == queue.retries(item) for item in "abcde")


QueueMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestQueueAgainstModel = QueueMachine.TestCase
