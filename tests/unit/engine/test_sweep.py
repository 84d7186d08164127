from __future__ import annotations

import asyncio

import pytest

from controller.engine.sweep import AFTER, AT, Sweep

pytestmark = pytest.mark.looptime


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When something was swept up."""
    found: list[float] = []
    monkeypatch.setattr("controller.engine.sweep.gc.collect", lambda: found.append(asyncio.get_running_loop().time()))
    return found


async def test_what_goes_together_is_swept_up_once(sweeps: list[float]) -> None:
    sweep, began = Sweep(), asyncio.get_running_loop().time()
    for _ in range(AT - 1):
        sweep.soon()
    await asyncio.sleep(10.0)
    assert sweeps == [pytest.approx(began + AFTER)]


async def test_what_goes_every_moment_does_not_put_it_off(sweeps: list[float]) -> None:
    sweep, began = Sweep(), asyncio.get_running_loop().time()
    for _ in range(4):
        sweep.soon()
        await asyncio.sleep(AFTER * 0.4)
    assert sweeps == [pytest.approx(began + AFTER)]


async def test_much_that_goes_is_swept_up_at_once_but_not_by_who_ends_it(sweeps: list[float]) -> None:
    sweep, began = Sweep(), asyncio.get_running_loop().time()
    for _ in range(AT):
        sweep.soon()
    assert sweeps == []
    await asyncio.sleep(10.0)
    assert sweeps == [pytest.approx(began)]


async def test_nothing_is_swept_up_after_the_end(sweeps: list[float]) -> None:
    sweep = Sweep()
    sweep.soon()
    sweep.cancel()
    await asyncio.sleep(10.0)
    assert sweeps == []


async def test_each_sweep_begins_to_count_anew(sweeps: list[float]) -> None:
    sweep, began = Sweep(), asyncio.get_running_loop().time()
    for _ in range(AT):
        sweep.soon()
    await asyncio.sleep(1.0)
    sweep.soon()
    await asyncio.sleep(10.0)
    assert sweeps == [pytest.approx(began), pytest.approx(began + 1.0 + AFTER)]
