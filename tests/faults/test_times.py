"""How long it takes until an outage, and its end, are known: thirty of each in one run. Virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from tests.faults import faults
from tests.faults.faults import Fault
from tests.faults.matrix import HOLE, REFUSED, RETURN
from tests.faults.virtual import simulate
from tests.faults.world import Shown, k8ssandra_cluster, world

OUTAGES = 30
PERCENTILE = 0.99


async def outages(fault: Callable[[], Fault], length: Callable[[Random], float]) -> tuple[list[float], list[Shown]]:
    """The moments at which an outage began or ended, in turns, and what was shown."""
    rng = Random(7)
    loop = asyncio.get_running_loop()
    moments: list[float] = []
    async with world(["west"]) as one:
        one.register("west")
        one.apply(k8ssandra_cluster("far", {"west": 1}))
        one.start()
        await asyncio.sleep(20.0)
        for _ in range(OUTAGES):
            await asyncio.sleep(rng.uniform(20.0, 40.0))
            one.paths["west"].begin(fault())
            moments.append(loop.time())
            await asyncio.sleep(length(rng))
            one.paths["west"].end()
            moments.append(loop.time())
        await asyncio.sleep(30.0)
        return moments, one.shown


def percentile(values: list[float]) -> float:
    return sorted(values)[int(PERCENTILE * len(values))]


@pytest.mark.parametrize(
    ("fault", "within"),
    [
        (faults.Refused, REFUSED),
        (faults.NoSuchName, REFUSED),
        (faults.WrongAuthority, REFUSED),
        (faults.InternalError, REFUSED),
        (faults.BlackHole, HOLE),
        (faults.HandshakeHangs, HOLE),
    ],
)
def test_an_outage_is_said_in_time_and_so_is_its_end(fault: Callable[[], Fault], within: float) -> None:
    moments, shown = simulate(lambda: outages(fault, lambda rng: rng.uniform(15.0, 60.0)))
    changes = [entry for one, entry in pairwise(shown) if entry.status != one.status]
    assert len(changes) == 2 * OUTAGES
    took = [change.time - moment for change, moment in zip(changes, moments, strict=True)]
    assert percentile(took[::2]) <= within
    assert percentile(took[1::2]) <= RETURN


@pytest.mark.parametrize("fault", [faults.Refused, faults.BlackHole, faults.Unauthorized, faults.Unavailable])
def test_a_blip_of_two_seconds_flips_no_condition(fault: Callable[[], Fault]) -> None:
    _, shown = simulate(lambda: outages(fault, lambda rng: 2.0))
    assert [entry.reason for entry in shown] == ["Connected"]
