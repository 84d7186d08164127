from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.engine.workqueue import ShutDown, WorkQueue

pytestmark = pytest.mark.looptime


@pytest.fixture
def queue() -> WorkQueue[str]:
    return WorkQueue()


async def take(queue: WorkQueue[str], count: int) -> list[str]:
    async with asyncio.timeout(0.001):
        return [await queue.get() for _ in range(count)]


async def blocks(queue: WorkQueue[str]) -> bool:
    try:
        await take(queue, 1)
    except TimeoutError:
        return True
    return False


async def test_an_item_added_often_is_handed_out_once(queue: WorkQueue[str]) -> None:
    for _ in range(1000):
        queue.add("a")
    assert await take(queue, 1) == ["a"]
    assert await blocks(queue)


async def test_items_leave_in_the_order_they_came(queue: WorkQueue[str]) -> None:
    for item in "cabd":
        queue.add(item)
    assert await take(queue, 4) == ["c", "a", "b", "d"]


async def test_an_item_that_is_processed_is_not_handed_out_again_before_done(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("a")
    assert await blocks(queue)
    queue.done("a")
    assert await take(queue, 1) == ["a"]
    queue.done("a")
    assert await blocks(queue)


async def test_a_busy_item_goes_behind_those_that_wait(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("b")
    queue.done("a")
    assert await take(queue, 2) == ["b", "a"]


async def test_an_item_is_never_at_two_workers(queue: WorkQueue[str]) -> None:
    at_work: set[str] = set()
    runs = 0

    async def worker() -> None:
        nonlocal runs
        while True:
            try:
                item = await queue.get()
            except ShutDown:
                return
            assert item not in at_work
            at_work.add(item)
            await asyncio.sleep(0.01)
            at_work.remove(item)
            runs += 1
            queue.done(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(worker())
        for _ in range(100):
            for item in "abc":
                queue.add(item)
            await asyncio.sleep(0.003)
        await queue.shut_down_with_drain()
    assert 60 <= runs <= 120


async def test_a_waiting_getter_is_woken(queue: WorkQueue[str]) -> None:
    getter = asyncio.create_task(queue.get())
    await asyncio.sleep(1)
    queue.add("a")
    assert await getter == "a"


async def test_a_cancelled_getter_hands_its_wake_up_on(queue: WorkQueue[str]) -> None:
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"
    assert first.cancelled()


async def test_a_cancelled_getter_loses_no_item(queue: WorkQueue[str]) -> None:
    getter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    getter.cancel()
    await asyncio.sleep(0)
    queue.add("a")
    assert await take(queue, 1) == ["a"]


async def test_done_of_something_else_is_ignored(queue: WorkQueue[str]) -> None:
    queue.done("a")
    assert (queue.depth, queue.processing) == (0, 0)


# ── delays ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_delayed_item_comes_when_it_is_due(queue: WorkQueue[str]) -> None:
    queue.add_after("a", 5.0)
    await asyncio.sleep(4.99)
    assert queue.depth == 0
    await asyncio.sleep(0.02)
    assert (queue.depth, queue.delayed) == (1, 0)


@pytest.mark.parametrize("delays", [(5.0, 1.0), (1.0, 5.0)])
async def test_of_several_delays_the_earliest_counts(queue: WorkQueue[str], delays: tuple[float, float]) -> None:
    for delay in delays:
        queue.add_after("a", delay)
    await asyncio.sleep(1.1)
    assert await take(queue, 1) == ["a"]
    queue.done("a")
    await asyncio.sleep(10)
    assert queue.depth == 0


@pytest.mark.parametrize("delay", [0.0, -1.0])
async def test_no_delay_is_an_add(queue: WorkQueue[str], delay: float) -> None:
    queue.add_after("a", delay)
    assert queue.depth == 1


async def test_one_timer_serves_all_delays(queue: WorkQueue[str]) -> None:
    for number in range(100):
        queue.add_after(str(number), 1.0 + number)
    await asyncio.sleep(50.5)
    assert (queue.depth, queue.delayed) == (50, 50)


async def test_a_delay_that_shrinks_often_does_not_grow_the_heap(queue: WorkQueue[str]) -> None:
    for number in range(10_000):
        queue.add_after("a", 20_000.0 - number)
    assert len(queue._heap) < 200
    await asyncio.sleep(10_002)
    assert queue.depth == 1


@pytest.mark.parametrize(("failures", "wait"), [(0, 0.005), (1, 0.01), (5, 0.16), (12, 20.48), (13, 30.0), (70, 30.0)])
async def test_backoff_doubles_from_5_ms_to_30_s(queue: WorkQueue[str], failures: int, wait: float) -> None:
    for _ in range(failures):
        queue.add_rate_limited("a")
    assert queue.add_rate_limited("a") == pytest.approx(wait)
    assert queue.retries("a") == failures + 1


async def test_backoff_is_per_item_and_forgotten(queue: WorkQueue[str]) -> None:
    for _ in range(10):
        queue.add_rate_limited("a")
    assert queue.add_rate_limited("b") == 0.005
    queue.forget("a")
    assert queue.retries("a") == 0
    assert queue.add_rate_limited("a") == 0.005


async def test_backoff_is_no_shorter_than_the_server_asks(queue: WorkQueue[str]) -> None:
    assert queue.add_rate_limited("a", at_least=7.0) == 7.0
    await asyncio.sleep(6.9)
    assert queue.depth == 0
    await asyncio.sleep(0.2)
    assert queue.depth == 1


# ── pausing and parking ─────────────────────────────────────────────────────────────────────────────


async def test_a_paused_queue_keeps_items_and_hands_none_out(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.pause()
    queue.add("b")
    assert await blocks(queue)
    queue.resume()
    assert await take(queue, 2) == ["a", "b"]


async def test_every_waiting_getter_works_after_a_resume(queue: WorkQueue[str]) -> None:
    queue.pause()
    getters = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for item in "abc":
        queue.add(item)
    await asyncio.sleep(1)
    assert not any(getter.done() for getter in getters)
    queue.resume()
    assert sorted(await asyncio.gather(*getters)) == ["a", "b", "c"]


async def test_a_paused_queue_has_no_timer(queue: WorkQueue[str]) -> None:
    queue.add_after("a", 1.0)
    queue.pause()
    queue.add_after("b", 1.0)
    assert queue._timer is None
    await asyncio.sleep(10)
    assert queue.depth == 0
    queue.resume()
    assert await take(queue, 2) == ["a", "b"]


async def test_a_resume_does_not_wait_for_backoffs_but_for_other_delays(queue: WorkQueue[str]) -> None:
    queue.pause()
    for _ in range(12):
        queue.add_rate_limited("failing")
    queue.add_after("slow", 600.0)
    await asyncio.sleep(0.001)
    queue.resume()
    assert await take(queue, 1) == ["failing"]
    assert await blocks(queue)
    assert queue.delayed == 1


async def test_pausing_does_not_touch_what_is_processing(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await queue.get()
    queue.pause()
    queue.add("a")
    queue.done("a")
    assert (queue.depth, queue.processing) == (1, 0)


async def test_a_parked_item_costs_nothing_until_its_context_is_back(queue: WorkQueue[str]) -> None:
    queue.park("a", "east", since=queue.returns)
    await asyncio.sleep(1e6)
    queue.unpark("west")
    assert (queue.depth, queue.parked) == (0, 1)
    queue.unpark("east")
    assert (queue.depth, queue.parked) == (1, 0)


async def test_a_resume_brings_back_everything_parked(queue: WorkQueue[str]) -> None:
    queue.pause()
    queue.park("a", "east", since=0)
    queue.park("b", "west", since=0)
    queue.resume()
    assert await take(queue, 2) == ["a", "b"]


async def test_an_event_brings_a_parked_item_back(queue: WorkQueue[str]) -> None:
    queue.park("a", "east", since=0)
    queue.add("a")
    assert (queue.depth, queue.parked) == (1, 0)


async def test_a_return_during_the_pass_is_not_missed(queue: WorkQueue[str]) -> None:
    queue.add("a")
    item = await queue.get()
    since = queue.returns
    queue.unpark("east")  # comes back while the pass still believes it is away
    queue.park(item, "east", since=since)
    queue.done(item)
    assert await take(queue, 1) == ["a"]


# ── ending ──────────────────────────────────────────────────────────────────────────────────────────


async def test_after_shut_down_the_rest_is_handed_out_and_then_nothing(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add_after("later", 1.0)
    queue.shut_down()
    queue.add("b")
    assert await take(queue, 1) == ["a"]
    with pytest.raises(ShutDown):
        await queue.get()
    assert queue.delayed == 0


async def test_shut_down_wakes_every_getter(queue: WorkQueue[str]) -> None:
    getters = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.shut_down()
    results = await asyncio.gather(*getters, return_exceptions=True)
    assert [type(result) for result in results] == [ShutDown] * 3


async def test_a_paused_queue_ends_at_once(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.pause()
    queue.shut_down()
    with pytest.raises(ShutDown):
        await queue.get()
    await asyncio.wait_for(queue.shut_down_with_drain(), 1)


async def test_draining_waits_for_done_and_for_what_became_dirty(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a")
    drain = asyncio.create_task(queue.shut_down_with_drain())
    await asyncio.sleep(1)
    queue.done("a")
    await asyncio.sleep(1)
    assert not drain.done()
    queue.done(await queue.get())
    await asyncio.wait_for(drain, 1)


async def test_draining_an_empty_queue_returns(queue: WorkQueue[str]) -> None:
    await asyncio.wait_for(queue.shut_down_with_drain(), 1)


class Notes:
    def __init__(self) -> None:
        self.notes: list[tuple[Any, ...]] = []

    def added(self, depth: int) -> None:
        self.notes.append(("added", depth))

    def started(self, depth: int, waited: float) -> None:
        self.notes.append(("started", depth, round(waited, 3)))

    def finished(self, worked: float) -> None:
        self.notes.append(("finished", round(worked, 3)))

    def retried(self) -> None:
        self.notes.append(("retried",))


async def test_an_observer_sees_depth_waiting_and_working_times() -> None:
    notes = Notes()
    queue: WorkQueue[str] = WorkQueue(observer=notes)
    queue.add("a")
    queue.add("a")
    await asyncio.sleep(2)
    item = await queue.get()
    await asyncio.sleep(3)
    queue.done(item)
    queue.add_rate_limited(item)
    assert notes.notes == [("added", 1), ("started", 0, 2.0), ("finished", 3.0), ("retried",)]
