from __future__ import annotations

from controller.cassandra import labels
from controller.cassandra.plan.model import Problem
from controller.cassandra.snapshot import Away
from controller.fleet.actions import Delete, Merge
from tests.unit.cassandra.plan.worlds import World, condition, done, said

CONTEXTS = ("kind-dc1", "kind-dc2", "kind-dc3")
WHEN = "2026-11-23T00:00:00Z"


def deleted() -> World:
    world = World("dc1", "dc2", "dc3").converged()
    world.metadata["deletionTimestamp"] = WHEN
    return world


def test_datacenters_are_deleted_in_all_contexts_at_once() -> None:
    result = deleted().plan()
    assert {context: done(result, context) for context in result.chains} == {
        f"kind-{name}": [f"delete CassandraDatacenter {name}"] for name in ("dc1", "dc2", "dc3")
    }
    assert result.prove_absent == ()


def test_our_finalizer_goes_only_from_what_is_marked_for_deletion() -> None:
    world = deleted()
    found = world.live["kind-dc1", "dc1"]["metadata"]
    found |= {"deletionTimestamp": WHEN, "finalizers": ["theirs", labels.FINALIZER]}
    (action,) = world.plan().chains["kind-dc1"][0].actions
    assert isinstance(action, Merge)
    assert (action.patch, action.exactly) == ({"metadata": {"finalizers": ["theirs"]}}, True)
    found["finalizers"] = ["theirs"]
    assert "kind-dc1" not in world.plan().chains


def test_a_context_that_seems_empty_is_proven_empty() -> None:
    world = deleted()
    del world.live["kind-dc2", "dc2"]
    assert world.plan().prove_absent == ("kind-dc2",)


def test_the_finalizer_goes_after_the_proof_everywhere_and_not_before() -> None:
    world = deleted()
    world.live.clear()
    world.absent = CONTEXTS[:2]
    assert (done(world.plan()), world.plan().prove_absent) == ([], ("kind-dc3",))
    world.absent = CONTEXTS
    (action,) = world.plan().chains[""][0].actions
    assert isinstance(action, Merge)
    assert (action.patch, action.exactly) == ({"metadata": {"finalizers": []}}, True)


def test_finalizers_of_others_stay() -> None:
    world = deleted()
    world.live.clear()
    world.absent = CONTEXTS
    world.metadata["finalizers"] = ["theirs", labels.FINALIZER]
    (action,) = world.plan().chains[""][0].actions
    assert isinstance(action, Merge)
    assert action.patch == {"metadata": {"finalizers": ["theirs"]}}


def test_a_context_that_is_away_is_waited_for_and_the_way_out_is_said() -> None:
    world = deleted()
    world.away = {"kind-dc1": Away("ContextNotFound", "no ClientConfig names context kind-dc1")}
    del world.live["kind-dc1", "dc1"]
    world.absent = CONTEXTS[1:]
    world.live.clear()
    result = world.plan()
    assert (done(result), result.prove_absent) == ([], ())
    assert condition(result) == ("False", "ContextUnavailable")
    assert f"remove the finalizer {labels.FINALIZER}" in said(result)


def test_a_context_that_only_the_status_names_is_proven_empty_too() -> None:
    world = deleted()
    world.live.clear()
    world.manifest["spec"]["cassandra"]["datacenters"].pop()
    assert world.plan().prove_absent == CONTEXTS


def test_an_invalid_specification_does_not_hinder_deletion() -> None:
    world = deleted()
    world.manifest["spec"]["cassandra"] |= {"serverType": "oracle", "serverVersion": "none"}
    assert sorted(world.plan().chains) == list(CONTEXTS)
    world.manifest["spec"]["cassandra"] = None
    assert sorted(world.plan().chains) == list(CONTEXTS)


def test_deletion_says_what_it_waits_for_and_what_is_refused() -> None:
    world = deleted()
    result = world.plan(Problem("Forbidden", "kind-dc1: 403 Forbidden", "dc1"))
    assert condition(result) == ("False", "Forbidden")
    assert "CassandraDatacenter dc2 in kind-dc2 is being deleted" in said(result)
    assert result.status is not None
    assert sorted(result.status.datacenters) == ["dc1", "dc2", "dc3"]


def test_a_cluster_that_never_had_our_finalizer_is_let_go() -> None:
    world = World()
    world.metadata.update(deletionTimestamp=WHEN, finalizers=["theirs"])
    assert world.plan().chains == {}


def test_every_deletion_names_the_object_that_was_seen() -> None:
    actions = [action for chains in deleted().plan().chains.values() for chain in chains for action in chain.actions]
    assert [action.live.head.uid for action in actions if isinstance(action, Delete)] == [
        "uid-of-dc1", "uid-of-dc2", "uid-of-dc3",
    ]  # fmt: skip
