"""Rounds over system keyspaces: whatever ends one that is still to be done has it asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec
import pytest

from controller.cassandra.keyspaces import RETRY_BASE, Keyspaces
from controller.cassandra.rounds import Round
from controller.cassandra.snapshot import SystemKeyspaces
from tests.unit.cassandra.caches import Fleet
from tests.unit.cassandra.plan.worlds import World

Woken = tuple[str, str, Iterable[str] | None]


@pytest.mark.looptime
async def test_a_round_that_the_cluster_could_not_carry_is_asked_for_everywhere_again() -> None:
    """Only the pass of its own context asks for it, and nothing else may happen there."""
    woken: asyncio.Queue[Woken] = asyncio.Queue()
    pool = Fleet("kind-dc1", "kind-dc2").pool  # without connections
    rounds = Keyspaces(pool, lambda *who: woken.put_nowait(who), way="proxy", open_way=None)
    snapshot = msgspec.structs.replace(World("dc1", "dc2").converged().snapshot(), keyspaces=SystemKeyspaces())
    due = Round("dc1", "kind-dc1", "ns", (), "", ("system_auth",), (), frozenset(), (), awaited=True)
    running = asyncio.create_task(rounds.run("kind-dc1"))
    for _ in range(2):
        rounds.want(snapshot, "kind-dc1", due)
        async with asyncio.timeout(2 * RETRY_BASE):
            assert await woken.get() == ("ns", "demo", None)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
