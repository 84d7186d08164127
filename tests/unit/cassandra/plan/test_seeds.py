"""Which seeds a datacenter knows, whatever is known of the others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controller.cassandra import labels
from controller.cassandra.plan import plan
from controller.cassandra.plan.seeds import seeds_of_others
from controller.cassandra.snapshot import Away, SeedName, Snapshot, Stale
from controller.cassandra.stale_seeds import Mark, written
from tests.unit.cassandra.plan.worlds import World, condition, done, problems, said

AWAY = Away("DatacenterUnreachable", "context kind-dc2 is not connected: connection refused")
SINCE = "2026-11-23T00:00:00Z"


def three(**cassandra: Any) -> World:
    return World("dc1", "dc2", "dc3", **cassandra).converged()


def looked_at(world: World, *stale: Stale, names: tuple[SeedName, ...] = ()) -> Snapshot:
    return msgspec.structs.replace(world.snapshot(), stale=stale, seed_names=names)


def seeds(snapshot: Snapshot) -> tuple[list[str], dict[str, Mark]]:
    """What dc1 knows of the others."""
    found = seeds_of_others(snapshot, snapshot.views[0])
    return sorted(found.addresses), found.marks


def mark(world: World, **marks: Mark) -> None:
    (slice_,) = (found for (context, _), found in world.slices.items() if context == "kind-dc1")
    slice_["metadata"]["annotations"][labels.SEEDS_STALE_SINCE] = written(marks)


def unknown(world: World, *names: str) -> World:
    """The controller has just started, and has not seen these yet."""
    for name in names:
        world.unknown.add(f"kind-{name}")
        world.away[f"kind-{name}"] = AWAY
    return world


def test_what_is_stale_is_kept_and_marked() -> None:
    world = three()
    world.away["kind-dc2"] = AWAY
    found = seeds(looked_at(world, Stale("dc2", SINCE, dropped=False)))
    assert found == (["10.2.0.1", "10.3.0.1"], {"dc2": Mark(SINCE, ("10.2.0.1",))})


def test_what_is_dropped_is_left_out_and_stays_marked() -> None:
    world = three()
    world.away["kind-dc2"] = AWAY
    found = seeds(looked_at(world, Stale("dc2", SINCE, dropped=True)))
    assert found == (["10.3.0.1"], {"dc2": Mark(SINCE, ("10.2.0.1",))})


def test_what_was_never_seen_has_the_addresses_that_are_nobody_elses() -> None:
    world = unknown(three(additionalSeeds=["192.0.2.7"]), "dc2")
    found = seeds(looked_at(world, Stale("dc2", SINCE, dropped=True)))
    assert found == (["10.3.0.1", "192.0.2.7"], {"dc2": Mark(SINCE, ("10.2.0.1",))})


def test_what_was_never_seen_has_the_addresses_of_its_mark() -> None:
    world = unknown(three(), "dc2", "dc3")
    mark(world, dc2=Mark(SINCE, ("10.2.0.1",)))
    found = seeds(looked_at(world, Stale("dc2", SINCE, dropped=True)))
    assert found == (["10.3.0.1"], {"dc2": Mark(SINCE, ("10.2.0.1",))})


def test_an_address_that_may_be_of_two_goes_with_the_last_of_them() -> None:
    world = unknown(three(), "dc2", "dc3")
    one, other = Stale("dc2", SINCE, dropped=True), Stale("dc3", SINCE, dropped=False)
    assert seeds(looked_at(world, one, other))[0] == ["10.2.0.1", "10.3.0.1"]
    assert seeds(looked_at(world, one, Stale("dc3", SINCE, dropped=True)))[0] == []


@pytest.mark.parametrize("there", [True, False])
def test_while_it_is_too_early_to_tell_everything_stays_as_it_is(there: bool) -> None:
    world = unknown(three(), "dc2")
    if not there:
        world.seed_slice("dc1", "10.3.0.1")
    mark(world, dc2=Mark(SINCE, ("10.2.0.1",)))
    found = seeds(looked_at(world, Stale("dc2", SINCE, dropped=None)))
    assert found == (["10.2.0.1", "10.3.0.1"] if there else ["10.3.0.1"], {"dc2": Mark(SINCE, ("10.2.0.1",))})


def test_a_slice_that_lost_its_last_address_stays_for_its_mark() -> None:
    world = World().converged()
    world.away["kind-dc2"] = AWAY
    result = plan(looked_at(world, Stale("dc2", SINCE, dropped=True)))
    assert done(result, "kind-dc1") == ["apply EndpointSlice demo-demo-dc1-additional-seed-service-ipv4"]
    world.carry_out(result)
    (slice_,) = (found for (context, _), found in world.slices.items() if context == "kind-dc1")
    assert slice_["endpoints"] == []
    assert slice_["metadata"]["labels"][labels.STALE_SEEDS] == "true"
    assert done(plan(looked_at(world, Stale("dc2", SINCE, dropped=True)))) == []


def test_the_condition_says_since_when_why_and_what_to_do() -> None:
    world = World().converged()
    world.away["kind-dc2"] = AWAY
    result = plan(looked_at(world, Stale("dc2", SINCE, dropped=False)))
    assert condition(result, "StaleSeeds") == ("True", "SeedsKept")
    for part in ("dc2 are kept", SINCE, "connection refused", "k8ssandra.io/stale-seeds=drop-after="):
        assert part in said(result, "StaleSeeds")
    assert condition(plan(world.snapshot()), "StaleSeeds") == ("", "")


def test_a_policy_that_cannot_be_read_is_reported() -> None:
    world = World().converged()
    world.metadata["annotations"][labels.STALE_SEEDS] = "drop"
    assert problems(world.plan()) == [("", "InvalidAnnotation")]


def test_addresses_that_may_be_those_of_a_name_stay_until_it_is_resolved() -> None:
    world = World(additionalSeeds=["seed.example.org"]).converged()
    world.seed_slice("dc1", "10.2.0.1", "192.0.2.7")
    assert seeds(looked_at(world))[0] == ["10.2.0.1", "192.0.2.7"]
    named = SeedName("seed.example.org", ("192.0.2.8",))
    assert seeds(looked_at(world, names=(named,)))[0] == ["10.2.0.1", "192.0.2.8"]


def test_a_name_that_cannot_be_resolved_is_reported_with_its_field() -> None:
    world = World(additionalSeeds=["192.0.2.1", "seed.example.org"]).converged()
    named = SeedName("seed.example.org", None, "seed.example.org: the name cannot be resolved")
    result = plan(looked_at(world, names=(named,)))
    assert problems(result) == [("", "SeedNotResolved")]
    assert "spec.cassandra.additionalSeeds[1]" in said(result)
