from __future__ import annotations

import asyncio
import itertools
from random import Random

import pytest

from controller.engine.supervise import keep_running

pytestmark = pytest.mark.looptime


async def started(*arguments: object, **options: object) -> asyncio.Task[None]:
    return asyncio.create_task(keep_running(*arguments, **options))  # type: ignore[arg-type]


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_that_raises_runs_again_and_is_counted() -> None:
    runs, told = [], []

    async def task() -> None:
        runs.append(asyncio.get_running_loop().time())
        if len(runs) < 4:
            raise ValueError(len(runs))
        await asyncio.Event().wait()

    running = await started("it", task, rng=Random(1), on_restart=lambda name, error: told.append((name, str(error))))
    await asyncio.sleep(10)
    await stop(running)
    assert len(runs) == 4
    assert told == [("it", "1"), ("it", "2"), ("it", "3")]


async def test_a_task_that_returns_runs_again() -> None:
    told = []

    async def task() -> None:
        await asyncio.sleep(1)

    running = await started("it", task, rng=Random(1), on_restart=lambda _, error: told.append(error))
    await asyncio.sleep(30)
    await stop(running)
    assert told[0] is None
    assert len(told) >= 3


async def test_restarts_come_later_and_later_up_to_the_cap() -> None:
    at = []

    async def task() -> None:
        at.append(asyncio.get_running_loop().time())
        raise RuntimeError

    running = await started("it", task, rng=Random(3), base=1.0, cap=4.0)
    await asyncio.sleep(1000)
    await stop(running)
    assert at[1] - at[0] <= 1.0
    assert max(b - a for a, b in itertools.pairwise(at)) <= 4.001
    assert 400 <= len(at) <= 600  # on average half of the cap apart


async def test_a_healthy_time_makes_the_next_failure_the_first_again() -> None:
    waits = []

    async def task() -> None:
        waits.append(asyncio.get_running_loop().time())
        await asyncio.sleep(61)
        raise RuntimeError

    running = await started("it", task, rng=Random(3))
    await asyncio.sleep(1000)
    await stop(running)
    assert max(b - a for a, b in itertools.pairwise(waits)) <= 61.5


async def test_cancellation_passes_through_and_starts_nothing() -> None:
    runs = []

    async def task() -> None:
        runs.append(1)
        await asyncio.Event().wait()

    running = await started("it", task, rng=Random(1))
    await asyncio.sleep(1)
    await stop(running)
    await asyncio.sleep(100)
    assert runs == [1]


async def test_a_cancellation_nobody_asked_for_is_a_death_like_others() -> None:
    runs = []

    async def task() -> None:
        runs.append(1)
        lost = asyncio.get_running_loop().create_future()
        lost.cancel()
        await lost

    running = await started("it", task, rng=Random(1))
    await asyncio.sleep(20)
    await stop(running)
    assert len(runs) > 2


async def test_cancellation_during_the_wait_ends_it() -> None:
    async def task() -> None:
        raise RuntimeError

    running = await started("it", task, rng=Random(1), base=100.0, cap=100.0)
    await asyncio.sleep(0.001)
    await stop(running)
