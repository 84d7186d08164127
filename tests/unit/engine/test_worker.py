from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controller.engine.worker import Again, Done, Item, Parked, Rejected, Result, Retry, Workers
from controller.engine.workqueue import WorkQueue
from controller.kube import errors

pytestmark = pytest.mark.looptime

ITEM = Item("Thing", "ns", "a", "east")
OTHER = Item("Thing", "ns", "b", "east")


class Reconciler:
    """Gives the scripted outcomes in turn, then ``Done``; what is an exception is raised."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.passes: list[tuple[float, Item]] = []

    async def __call__(self, item: Item) -> Result:
        self.passes.append((round(asyncio.get_running_loop().time(), 3), item))
        outcome = self.outcomes.pop(0) if self.outcomes else Done()
        if callable(outcome):
            outcome = await outcome()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def times(self, item: Item = ITEM) -> list[float]:
        return [at for at, which in self.passes if which == item]


@asynccontextmanager
async def working(
    reconcile: Callable[[Item], Any], count: int = 1, **options: Any
) -> AsyncIterator[tuple[WorkQueue[Item], asyncio.Task[None]]]:
    queue: WorkQueue[Item] = WorkQueue()
    task = asyncio.create_task(Workers(queue, reconcile, count, **options).run())
    try:
        yield queue, task
    finally:
        queue.shut_down()
        await asyncio.wait_for(task, 1000)


# ── outcomes ────────────────────────────────────────────────────────────────────────────────────────


async def test_done_schedules_nothing_and_forgets_failures() -> None:
    reconcile = Reconciler(Retry(ValueError()), Done())
    async with working(reconcile) as (queue, _):
        queue.add(ITEM)
        await asyncio.sleep(1000)
        assert len(reconcile.times()) == 2
        assert (queue.depth, queue.delayed, queue.processing, queue.retries(ITEM)) == (0, 0, 0, 0)


async def test_again_comes_back_after_its_time() -> None:
    reconcile = Reconciler(Again(7.0))
    async with working(reconcile) as (queue, _):
        queue.add(ITEM)
        await asyncio.sleep(100)
        assert reconcile.times() == [0.0, 7.0]


async def test_retry_backs_off_and_doubles() -> None:
    reconcile = Reconciler(*[Retry(ValueError("no"))] * 4)
    async with working(reconcile) as (queue, _):
        queue.add(ITEM)
        await asyncio.sleep(100)
        assert reconcile.times() == pytest.approx([0.0, 0.005, 0.015, 0.035, 0.075])


async def test_retry_honours_retry_after() -> None:
    reconcile = Reconciler(Retry(errors.TooManyRequests(429, "TooManyRequests", "slow down", 9.0)))
    async with working(reconcile) as (queue, _):
        queue.add(ITEM)
        await asyncio.sleep(100)
        assert reconcile.times() == [0.0, 9.0]


async def test_rejected_is_only_looked_at_again_slowly() -> None:
    reconcile = Reconciler(Rejected(ValueError("spec.size: negative")))
    async with working(reconcile) as (queue, _):
        queue.add(ITEM)
        await asyncio.sleep(599)
        assert reconcile.times() == [0.0]
        await asyncio.sleep(2)
        assert reconcile.times() == [0.0, 600.0]


async def test_a_rejected_object_that_changes_is_looked_at_at_once() -> None:
    reconcile = Reconciler(Rejected(ValueError("spec.size: negative")))
    async with working(reconcile) as (queue, _):
        queue.add(ITEM)
        await asyncio.sleep(10)
        queue.add(ITEM)
        await asyncio.sleep(1)
        assert reconcile.times() == [0.0, 10.0]


async def test_parked_schedules_nothing_until_the_context_is_back() -> None:
    reconcile = Reconciler(Parked("east"))
    async with working(reconcile) as (queue, _):
        queue.add(ITEM)
        await asyncio.sleep(1e6)
        assert (reconcile.times(), queue.delayed, queue.parked) == ([0.0], 0, 1)
        queue.unpark("east")
        await asyncio.sleep(1)
        assert len(reconcile.times()) == 2


async def test_a_context_that_returns_during_the_pass_is_not_missed() -> None:
    async def away() -> Result:
        await asyncio.sleep(5)
        return Parked("east")

    reconcile = Reconciler(away)
    async with working(reconcile) as (queue, _):
        queue.add(ITEM)
        await asyncio.sleep(1)
        queue.unpark("east")
        await asyncio.sleep(10)
        assert reconcile.times() == [0.0, 5.0]


async def test_an_unavailable_cluster_parks_the_item() -> None:
    reconcile = Reconciler(errors.ClusterUnavailable("east", "no route"))
    async with working(reconcile) as (queue, _):
        queue.add(ITEM)
        await asyncio.sleep(1e5)
        assert (len(reconcile.passes), queue.parked, queue.retries(ITEM)) == (1, 1, 0)


async def test_what_is_no_outcome_is_an_error_that_is_retried(logged: list[MutableMapping[str, Any]]) -> None:
    async def nothing() -> Any:
        return None

    reconcile = Reconciler(nothing)
    async with working(reconcile) as (queue, _):
        queue.add(ITEM)
        await asyncio.sleep(1)
        assert len(reconcile.passes) == 2
    assert "NoneType" in logged[0]["error"]


# ── isolation ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        MemoryError(),
        RecursionError(),
        KeyError("k"),
        TimeoutError("own"),
        errors.Conflict(409, "Conflict"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_reconcile_raises_is_logged_once_and_retried(
    error: Exception, logged: list[MutableMapping[str, Any]]
) -> None:
    reconcile = Reconciler(error)
    async with working(reconcile) as (queue, _):
        queue.add(ITEM)
        await asyncio.sleep(1)
        assert reconcile.times() == [0.0, 0.005]
    assert len(logged) == 1
    assert {"kind": "Thing", "namespace": "ns", "name": "a", "cluster": "east"}.items() <= logged[0].items()


async def test_a_poisonous_item_does_not_hold_up_others() -> None:
    reconcile = Reconciler()
    poison: list[int] = []

    async def poisoned(item: Item) -> Result:
        if item == ITEM:
            poison.append(1)
            raise ValueError("always")
        return await reconcile(item)

    async with working(poisoned) as (queue, _):
        queue.add(ITEM)
        for number in range(50):
            queue.add(Item("Thing", "ns", f"good-{number}"))
        await asyncio.sleep(0.001)
        assert len(reconcile.passes) == 50
        await asyncio.sleep(100)
        assert 10 <= len(poison) <= 20


async def test_a_call_that_was_cancelled_from_elsewhere_does_not_end_the_worker() -> None:
    async def awaits_a_lost_call() -> Result:
        lost = asyncio.get_running_loop().create_future()
        lost.cancel()
        await lost
        return Done()

    reconcile = Reconciler(awaits_a_lost_call)
    async with working(reconcile) as (queue, task):
        queue.add(ITEM)
        await asyncio.sleep(1)
        assert not task.done()
        assert len(reconcile.passes) == 2


async def test_a_pass_that_takes_too_long_is_cancelled_and_retried(logged: list[MutableMapping[str, Any]]) -> None:
    cleaned = []

    async def hangs() -> Result:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(1)
        return Done()

    reconcile = Reconciler(hangs)
    async with working(reconcile, deadline=120.0) as (queue, _):
        queue.add(ITEM)
        await asyncio.sleep(200)
        assert reconcile.times() == [0.0, 120.005]
    assert cleaned == [1]
    assert [entry["event"] for entry in logged] == ["reconcile took too long"]


async def test_a_timeout_of_the_reconciles_own_is_not_the_deadline(logged: list[MutableMapping[str, Any]]) -> None:
    async def impatient() -> Result:
        async with asyncio.timeout(1):
            await asyncio.Event().wait()
        return Done()

    reconcile = Reconciler(impatient)
    async with working(reconcile) as (queue, _):
        queue.add(ITEM)
        await asyncio.sleep(10)
        assert reconcile.times() == pytest.approx([0.0, 1.005])
    assert [entry["event"] for entry in logged] == ["reconcile failed"]


# ── concurrency and cancellation ────────────────────────────────────────────────────────────────────


async def test_workers_work_at_the_same_time_but_never_on_one_item() -> None:
    at_work: list[Item] = []
    most = 0

    async def slow(item: Item) -> Result:
        nonlocal most
        assert item not in at_work
        at_work.append(item)
        most = max(most, len(at_work))
        await asyncio.sleep(1)
        at_work.remove(item)
        return Done()

    async with working(slow, count=4) as (queue, _):
        for number in range(12):
            queue.add(Item("Thing", "ns", str(number)))
        await asyncio.sleep(0.5)
        for number in range(12):
            queue.add(Item("Thing", "ns", str(number)))
        await asyncio.sleep(20)
    assert most == 4


async def test_a_worker_that_hangs_leaves_the_others_working() -> None:
    async def hangs(item: Item) -> Result:
        if item == ITEM:
            await asyncio.Event().wait()
        return await done(item)

    done = Reconciler()
    async with working(hangs, count=2, deadline=30) as (queue, _):
        queue.add(ITEM)
        await asyncio.sleep(1)
        queue.add(OTHER)
        await asyncio.sleep(1)
        assert done.times(OTHER) == [1.0]
        queue.shut_down()


async def test_cancellation_leaves_nothing_processing_and_loses_no_item() -> None:
    async def slow() -> Result:
        await asyncio.sleep(100)
        return Done()

    queue: WorkQueue[Item] = WorkQueue()
    task = asyncio.create_task(Workers(queue, Reconciler(slow, slow), 2).run())
    queue.add(ITEM)
    queue.add(OTHER)
    await asyncio.sleep(1)
    assert queue.processing == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (queue.processing, queue.depth) == (0, 2)


async def test_shutting_down_lets_a_pass_finish() -> None:
    finished = []

    async def slow() -> Result:
        await asyncio.sleep(10)
        finished.append(1)
        return Done()

    async with working(Reconciler(slow)) as (queue, task):
        queue.add(ITEM)
        await asyncio.sleep(1)
        queue.shut_down()
        await task
    assert finished == [1]


async def test_an_observer_sees_outcome_and_duration() -> None:
    seen = []

    async def slow() -> Result:
        await asyncio.sleep(3)
        return Done()

    outcomes = [slow, Again(1), Retry(ValueError()), ValueError(), Parked("x")]
    observe = lambda item, outcome, seconds: seen.append((item.name, outcome, round(seconds, 3)))  # noqa: E731
    async with working(Reconciler(*outcomes), observer=observe) as (queue, _):
        for _ in outcomes:
            queue.add(ITEM)
            await asyncio.sleep(10)
    assert seen[:2] == [("a", "done", 3.0), ("a", "again", 0.0)]
    assert {outcome for _, outcome, _ in seen} == {"done", "again", "retry", "error", "parked"}


def test_no_workers_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Workers(WorkQueue(), Reconciler(), 0)


def test_items_are_equal_by_what_they_name() -> None:
    assert Item("Thing", "ns", "a", "east") == ITEM
    assert hash(Item("Thing", "ns", "a", "east")) == hash(ITEM)
    assert Item("Thing", "ns", "a", "west") != ITEM
    assert str(ITEM) == "Thing ns/a in east"
