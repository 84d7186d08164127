from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cassandra import labels
from controller.cassandra.snapshot import Away, Stale
from controller.cassandra.stale_seeds import MARK_AFTER, Mark, StaleSeeds, drop_after, marks_of, written
from controller.kube.resources import ENDPOINT_SLICES
from tests.unit.cassandra.caches import bare, stored
from tests.unit.cassandra.plan.worlds import World

AWAY = Away("DatacenterUnreachable", "context kind-dc2 is not connected: connection refused")
BEGIN = datetime(2026, 11, 23, tzinfo=UTC)


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.moment = BEGIN

    def now(self) -> datetime:
        return self.moment

    def go(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


def lost(policy: str = "", **mark: Any) -> World:
    """A world whose dc2 cannot be seen; ``mark``: what the slice of dc1 says of it."""
    world = World().converged()
    world.away["kind-dc2"] = AWAY
    if policy:
        world.metadata["annotations"][labels.STALE_SEEDS] = policy
    if mark:
        (slice_,) = (found for (context, _), found in world.slices.items() if context == "kind-dc1")
        slice_["metadata"]["annotations"][labels.SEEDS_STALE_SINCE] = msgspec.json.encode({"dc2": mark}).decode()
    return world


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("keep", None),
        ("drop-after=0s", 0.0),
        ("drop-after=90s", 90.0),
        ("drop-after=1h30m", 5400.0),
        ("drop-after=7d", 604800.0),
    ],
)
def test_the_policy_is_read(text: str, seconds: float | None) -> None:
    assert drop_after(text) == seconds


@pytest.mark.parametrize(
    "text", ["drop", "drop-after", "drop-after=", "drop-after=soon", "drop-after=1", "drop-after=-1s", "keep=1h", "1h"]
)
def test_another_policy_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        drop_after(text)


@given(st.text())
def test_any_policy_is_read_or_refused(text: str) -> None:
    try:
        assert drop_after(text) is None or text.startswith("drop-after=")
    except ValueError as error:
        assert str(error) == text  # noqa: PT017 -- both are right, each for other texts


@pytest.mark.parametrize("text", ["", "[]", "{", '{"dc2": 1}', '{"dc2": {"addresses": []}}', '{"dc2": {"since": 5}}'])
def test_a_mark_that_cannot_be_read_is_none(text: str) -> None:
    slice_ = bare(ENDPOINT_SLICES, "x")
    slice_["metadata"]["annotations"] = {labels.SEEDS_STALE_SINCE: text}
    assert marks_of(stored(slice_)) == {}


def test_what_was_written_is_read_again() -> None:
    marks = {"dc2": Mark("2026-11-23T00:00:00Z", ("10.2.0.1",)), "dc1": Mark("2026-11-22T00:00:00Z")}
    slice_ = bare(ENDPOINT_SLICES, "x")
    slice_["metadata"]["annotations"] = {labels.SEEDS_STALE_SINCE: written(marks)}
    assert marks_of(stored(slice_)) == marks


def test_nothing_is_stale_at_once_and_the_moment_is_known() -> None:
    assert StaleSeeds(Hands()).look(lost().snapshot()) == ((), MARK_AFTER + 1.0)


def test_what_is_lost_for_a_minute_is_stale_since_then() -> None:
    clock = Hands()
    stale = StaleSeeds(clock)
    stale.look(lost().snapshot())
    clock.go(61.0)
    assert stale.look(lost().snapshot()) == ((Stale("dc2", "2026-11-23T00:00:00Z", False),), 0.0)


def test_a_policy_says_when_to_come_again() -> None:
    clock = Hands()
    stale = StaleSeeds(clock)
    assert stale.look(lost("drop-after=10m").snapshot())[1] == 61.0
    clock.go(61.0)
    assert stale.look(lost("drop-after=10m").snapshot())[1] == 540.0
    clock.go(540.0)
    assert stale.look(lost("drop-after=10m").snapshot()) == ((Stale("dc2", "2026-11-23T00:00:00Z", True),), 0.0)


def test_after_a_restart_the_mark_tells_since_when() -> None:
    world = lost("drop-after=1h", since="2026-11-22T12:00:00Z", addresses=["10.2.0.1"])
    (found,), _ = StaleSeeds(Hands()).look(world.snapshot())
    assert found == Stale("dc2", "2026-11-22T12:00:00Z", True)


def test_who_has_just_started_drops_nothing_before_it_has_looked_around() -> None:
    world = lost("drop-after=1h", since="2026-11-22T12:00:00Z", addresses=["10.2.0.1"])
    snapshot = msgspec.structs.replace(world.snapshot(), settling=True)
    (found,), _ = StaleSeeds(Hands()).look(snapshot)
    assert found.dropped is None


@pytest.mark.parametrize("since", ["yesterday", "2026-11-22T12:00:00", "2999-01-01T00:00:00Z", ""])
def test_a_mark_with_an_impossible_time_counts_from_now(since: str) -> None:
    assert StaleSeeds(Hands()).look(lost(since=since).snapshot())[0] == ()


def test_an_old_mark_does_not_count_for_what_was_seen_since() -> None:
    clock = Hands()
    stale = StaleSeeds(clock)
    stale.look(World().converged().snapshot())
    world = lost("drop-after=1h", since="2026-11-22T12:00:00Z", addresses=["10.2.0.1"])
    assert stale.look(world.snapshot())[0] == ()


def test_a_cluster_that_is_being_deleted_has_none() -> None:
    world = lost(since="2026-11-22T12:00:00Z")
    world.metadata["deletionTimestamp"] = "2026-11-23T00:00:00Z"
    assert StaleSeeds(Hands()).look(world.snapshot()) == ((), 0.0)
