"""An object that the reference operator writes after us is left alone until it is quiet, and the status says so."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.cassandra.foreign_writes import QUIET, ForeignWrites
from controller.cassandra.plan import Plan, plan
from controller.cassandra.snapshot import ForeignWrite
from controller.fleet.actions import FIELD_MANAGER
from controller.kube.resources import CONFIG_MAPS
from tests.unit.cassandra.plan.worlds import World, condition, done, problems, said
from tests.unit.cassandra.rig import NAMESPACE, Rig, rig

WRITTEN = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NAME = "demo-dc1-metrics-agent-config"
HASH = {"f:metadata": {"f:annotations": {"f:k8ssandra.io/resource-hash": {}}}}


class SetClock:
    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


def world() -> World:
    """Converged, but for a ConfigMap that the reference operator has written at noon."""
    found = World().converged()
    ours = {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:data": {}}}
    theirs = {"manager": "manager", "operation": "Update", "fieldsV1": HASH, "time": "2026-11-23T12:00:00Z"}
    written = found.config_maps["kind-dc1", NAME]
    written["metadata"]["managedFields"] = [ours, theirs]
    written["metadata"]["annotations"]["k8ssandra.io/resource-hash"] = "theirs"
    return found


def foreign(seconds: float, writes: ForeignWrites | None = None) -> tuple[ForeignWrite, ...]:
    """What is left alone so many seconds after noon."""
    return (writes or ForeignWrites(SetClock(WRITTEN + timedelta(seconds=seconds)))).among(world().snapshot())


# ── when ────────────────────────────────────────────────────────────────────────────────────────────


def test_an_object_is_left_alone_for_some_minutes_after_the_write() -> None:
    (found,) = foreign(10.0)
    assert found == ForeignWrite(
        "kind-dc1",
        "dc1",
        f"ConfigMap ns/{NAME}",
        f"uid-of-{NAME}",
        "manager",
        "2026-11-23T12:00:00Z",
        WRITTEN.timestamp() + QUIET,
    )
    assert foreign(QUIET) == ()


@pytest.mark.parametrize("ahead", [600.0, 86400.0])
def test_a_server_whose_clock_is_ahead_holds_up_nothing_for_longer(ahead: float) -> None:
    clock = SetClock(WRITTEN - timedelta(seconds=ahead))
    writes = ForeignWrites(clock)
    assert len(foreign(0, writes)) == 1
    clock.moment += timedelta(seconds=QUIET)
    assert foreign(0, writes) == ()


def test_the_next_look_is_due_when_the_first_is_quiet() -> None:
    writes = ForeignWrites(SetClock(WRITTEN + timedelta(seconds=100)))
    snapshot = world().snapshot()
    assert writes.wait(snapshot) == 0.0
    assert writes.wait(writes.told(snapshot)) == QUIET - 100


def test_what_was_written_before_the_take_over_does_not_count() -> None:
    found = world()
    del found.config_maps["kind-dc1", NAME]["metadata"]["managedFields"][0]
    assert ForeignWrites(SetClock(WRITTEN)).among(found.snapshot()) == ()


# ── what ────────────────────────────────────────────────────────────────────────────────────────────


def test_that_object_is_not_written_and_every_other_one_is() -> None:
    found = world()
    found.config_maps["kind-dc2", "demo-dc2-metrics-agent-config"]["data"] = {}
    assert done(found.plan()) == [f"apply ConfigMap {NAME}", "apply ConfigMap demo-dc2-metrics-agent-config"]
    result = plan_of(found)
    assert done(result) == ["apply ConfigMap demo-dc2-metrics-agent-config"]
    assert (condition(result), problems(result)) == (("False", "ForeignController"), [("dc1", "ForeignController")])
    assert f"ConfigMap ns/{NAME} in kind-dc1 was written by the field manager 'manager'" in said(result)
    assert "scale it to 0" in said(result)


def plan_of(found: World) -> Plan:
    return plan(ForeignWrites(SetClock(WRITTEN)).told(found.snapshot()))


# ── with a controller ───────────────────────────────────────────────────────────────────────────────


class LoopClock:
    """This machine's clock, going as fast as virtual time."""

    def __init__(self) -> None:
        self._start = datetime.now(UTC) - timedelta(seconds=asyncio.get_running_loop().time())

    def now(self) -> datetime:
        return self._start + timedelta(seconds=asyncio.get_running_loop().time())


async def overwrite(one: Rig) -> None:
    """PUT the ConfigMap as the reference operator does, with another hash and content."""
    client = one.client("kind-dc1")
    found: dict[str, Any] = (await client.get(CONFIG_MAPS, NAMESPACE, NAME)).decode(dict)
    found["metadata"]["annotations"] = {"k8ssandra.io/resource-hash": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC0Is0V1sFbDwCgg="}
    del found["metadata"]["managedFields"]
    found["data"]["metrics-collector.yaml"] = "theirs"
    await client.replace(CONFIG_MAPS, NAMESPACE, NAME, found, field_manager="manager")


@pytest.mark.looptime
async def test_it_is_taken_back_once_after_it_was_quiet() -> None:
    async with rig(started=False) as one:
        one.clock = LoopClock()
        one.start()
        one.apply(one.demo())
        await one.ready()
        await one.patch(CONFIG_MAPS, NAME, {"data": {"metrics-collector.yaml": "by hand"}}, "kind-dc1")
        await asyncio.sleep(30.0)  # repaired by an apply
        since = len(one.seen)
        await overwrite(one)
        await one.says("ForeignController")
        assert len(await one.events("ForeignController")) == 1
        await asyncio.sleep(QUIET - 60.0)
        assert [seen for seen in one.writes(since) if NAME in seen.path] == []
        await asyncio.sleep(120.0)
        assert await one.is_ready()
        kept = await one.get(CONFIG_MAPS, NAME, "kind-dc1")
        assert kept["data"]["metrics-collector.yaml"] != "theirs"
        assert await one.quiet() == []
