"""That a plan is made again exactly when something has changed that it rests on."""

from __future__ import annotations

import msgspec
import pytest

from controller.cassandra import plans
from controller.cassandra.plan import Plan, Problem
from controller.cassandra.plans import Plans
from controller.cassandra.snapshot import Snapshot
from tests.unit.cassandra.plan.worlds import World

REPORTED = (Problem("Forbidden", "kind-dc1: 403 Forbidden", "dc1"),)


class Counted:
    """Planning, counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        self._plan = plans.plan
        monkeypatch.setattr(plans, "plan", self)

    def __call__(self, snapshot: Snapshot, reported: tuple[Problem, ...]) -> Plan:
        self.times += 1
        return self._plan(snapshot, reported)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def test_the_same_is_planned_once(counted: Counted) -> None:
    world, kept = World().prepared(), Plans()
    first = kept.get(world.snapshot(), ())
    assert kept.get(world.snapshot(), ()) is first
    assert counted.times == 1


def test_what_changed_or_was_reported_is_planned_again(counted: Counted) -> None:
    world, kept = World().prepared(), Plans()
    result = kept.get(world.snapshot(), ())
    world.carry_out(result)
    assert kept.get(world.snapshot(), ()) == counted._plan(world.snapshot(), ())
    assert kept.get(world.snapshot(), REPORTED) == counted._plan(world.snapshot(), REPORTED)
    assert counted.times == 3


def test_nothing_of_one_cluster_is_taken_for_another_or_for_one_that_was_forgotten(counted: Counted) -> None:
    world, kept = World().prepared(), Plans()
    kept.get(world.snapshot(), ())
    world.manifest["metadata"]["uid"] = "another"
    kept.get(world.snapshot(), ())
    kept.forget("another")
    kept.get(world.snapshot(), ())
    assert counted.times == 3


def test_the_number_of_plans_is_bounded(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "SIZE", 2)
    kept, world = Plans(), World().prepared()
    snapshots = []
    for uid in ("a", "b", "c"):
        world.manifest["metadata"]["uid"] = uid
        snapshots.append(world.snapshot())
    for snapshot in (*snapshots, snapshots[2], snapshots[1], snapshots[0]):
        kept.get(snapshot, ())
    assert counted.times == 4  # only "a" had to go
    assert len(kept._last) == 2


@pytest.mark.parametrize("field", Snapshot.__struct_fields__)
def test_every_field_of_a_snapshot_counts(field: str) -> None:
    snapshot = World().prepared().snapshot()
    assert msgspec.structs.replace(snapshot, **{field: object()}) != snapshot
