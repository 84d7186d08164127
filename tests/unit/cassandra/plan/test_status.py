from __future__ import annotations

import msgspec
import pytest

from controller.cassandra.plan import plan
from controller.cassandra.plan.model import Problem
from controller.cassandra.plan.status import RESTART_REQUIRED, STATUS_CAP
from controller.cassandra.snapshot import Away
from tests.unit.cassandra.plan.worlds import World, condition, done, said

REPORTED = Problem("Forbidden", "kind-dc1: 403 Forbidden; apply the roles of manifests/ there", "dc1")


@pytest.mark.parametrize("names", [("dc1",), ("dc1", "dc2", "dc3")])
def test_a_converged_cluster_has_nothing_to_do_and_the_status_that_is_written(names: tuple[str, ...]) -> None:
    world = World(*names).converged()
    result = world.plan()
    assert (done(result), result.waits, result.problems, result.superuser) == ([], (), (), False)
    before = msgspec.json.encode(world.manifest["status"], order="sorted")
    world.show(result)
    assert msgspec.json.encode(world.manifest["status"], order="sorted") == before


@pytest.mark.parametrize("world", [World(), World().prepared(), World("dc1", "dc2", "dc3").converged()])
def test_planning_twice_gives_the_same(world: World) -> None:
    assert msgspec.json.encode(world.plan()) == msgspec.json.encode(world.plan())


def test_a_converged_cluster_says_so_for_its_generation() -> None:
    world = World().converged()
    status = world.plan().status
    assert status is not None
    assert (status.observed_generation, status.error) == (1, "None")
    assert {entry.observed_generation for entry in status.conditions} == {1}
    kinds = {entry.type: entry.status for entry in status.conditions}
    assert kinds == {
        "Ready": "True",
        "Progressing": "False",
        "CassandraInitialized": "True",
        "RequiresUpdate": "False",
        "DatacenterReady.dc1": "True",
        "DatacenterReady.dc2": "True",
    }


def test_the_generation_counts_as_rolled_out_only_at_the_end() -> None:
    world = World().converged()
    world.change(lambda cassandra: cassandra["datacenters"][1].update(size=6))
    status = world.plan().status
    assert status is not None
    assert status.observed_generation == 1
    assert condition(world.plan()) == ("False", "RollingOut")


def test_a_roll_out_in_progress_says_what_it_waits_for() -> None:
    world = World().prepared()
    world.carry_out(world.plan())
    world.live["kind-dc1", "dc1"]["status"] = {"observedGeneration": 1, "nodeStatuses": {"pod-0": {}}}
    result = world.plan()
    assert condition(result) == ("False", "DatacenterNotReady")
    assert condition(result, "Progressing") == ("True", "RollingOut")
    assert condition(result, "CassandraInitialized") == ("", "")
    assert "1 of 3 nodes are up" in said(result, "DatacenterReady.dc1")


def test_what_is_being_done_now_is_brief_and_what_cass_operator_does_is_not() -> None:
    world = World().prepared()
    result = world.plan()
    assert condition(result, "DatacenterReady.dc1") == ("False", "RollingOut")
    assert result.status is not None
    assert result.status.brief
    world.carry_out(result)
    world.live["kind-dc1", "dc1"]["status"] = {"observedGeneration": 1, "cassandraOperatorProgress": "Updating"}
    waiting, wrong = world.plan().status, world.plan(REPORTED).status
    assert waiting is not None
    assert wrong is not None
    assert (waiting.brief, wrong.brief) == (False, False)


def test_that_cass_operator_has_said_nothing_of_a_new_datacenter_is_brief_unless_something_is_wrong() -> None:
    world = World().prepared()
    world.carry_out(world.plan())
    world.live["kind-dc1", "dc1"]["status"] = {}
    assert "has not acted" in said(world.plan(), "DatacenterReady.dc1")
    waiting, wrong = world.plan().status, world.plan(REPORTED).status
    assert waiting is not None
    assert wrong is not None
    assert (waiting.brief, wrong.brief) == (True, False)


def test_a_datacenter_that_is_ready_lets_the_next_one_be_made_and_that_is_brief() -> None:
    world = World().prepared()
    world.carry_out(world.plan())
    world.seeds["dc1"] = ("10.1.0.1",)
    status = world.plan().status
    assert status is not None
    assert status.brief
    converged = World().converged().plan().status
    assert converged is not None
    assert not converged.brief


def test_once_initialized_it_stays_so() -> None:
    world = World().converged()
    world.live["kind-dc1", "dc1"]["status"] = {}
    assert condition(world.plan(), "CassandraInitialized") == ("True", "Initialized")


def test_a_problem_that_was_reported_is_shown_and_then_gone() -> None:
    world = World().converged()
    result = world.plan(REPORTED)
    assert condition(result) == ("False", "Forbidden")
    assert condition(result, "Progressing") == ("False", "Forbidden")
    assert result.status is not None
    assert result.status.error == REPORTED.message
    assert condition(world.plan()) == ("True", "AllDatacentersReady")


def test_a_problem_does_not_hide_the_other_datacenters() -> None:
    world = World().converged()
    world.live["kind-dc1", "dc1"]["status"] = {}
    result = world.plan(REPORTED)
    assert condition(result, "DatacenterReady.dc1") == ("False", "Forbidden")
    assert condition(result, "DatacenterReady.dc2") == ("True", "Ready")


def test_error_is_one_line_of_at_most_1_kib() -> None:
    status = World().converged().plan(Problem("Rejected", "a\nb" + "x" * 5000)).status
    assert status is not None
    assert len(status.error) == 1024
    assert "\n" not in status.error


def test_what_is_not_supported_is_said() -> None:
    world = World(spec={"reaper": {}, "stargate": {"size": 1}}).converged()
    result = world.plan()
    assert condition(result, "UnsupportedFields") == ("True", "NotSupported")
    assert "spec.reaper" in said(result, "UnsupportedFields")
    assert condition(result) == ("True", "AllDatacentersReady")


# ── what is copied from the datacenters ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("deleting", [False, True])
def test_a_context_whose_client_config_was_deleted_is_said(deleting: bool) -> None:
    world = World().converged()
    if deleting:
        world.metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    noticed = msgspec.structs.replace(world.snapshot(), notices=("ClientConfig ns/a was deleted",))
    for snapshot, expected in (
        (noticed, [("True", "ClientConfigDeleted", noticed.notices[0])]),
        (world.snapshot(), []),
    ):
        status = plan(snapshot, ()).status
        assert status is not None
        shown = [entry for entry in status.conditions if entry.type == RESTART_REQUIRED]
        assert [(entry.status, entry.reason, entry.message) for entry in shown] == expected


def test_the_status_of_a_datacenter_is_copied_with_the_fields_of_its_schema_only() -> None:
    world = World("dc1").converged()
    world.ready("kind-dc1", "dc1", quietPeriod="2026-11-23T00:00:00Z", invented={"secret": "x"})
    status = world.plan().status
    assert status is not None
    assert status.datacenters["dc1"] == {
        "contextName": "kind-dc1",
        "cassandra": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "", "message": ""}],
            "cassandraOperatorProgress": "Ready",
            "observedGeneration": 1,
            "quietPeriod": "2026-11-23T00:00:00Z",
        },
    }


def test_the_last_known_status_of_a_datacenter_that_cannot_be_seen_stays() -> None:
    world = World().converged()
    before = world.manifest["status"]["datacenters"]["dc1"]
    world.away = {"kind-dc1": Away("DatacenterUnreachable", "gone")}
    world.live["kind-dc1", "dc1"]["status"] = {}
    status = world.plan().status
    assert status is not None
    assert status.datacenters["dc1"] == before


def test_a_status_that_was_lost_is_rebuilt_from_what_is_live() -> None:
    world = World().converged()
    before = world.manifest.pop("status")
    result = world.plan()
    assert done(result) == []
    assert result.status is not None
    assert result.status.datacenters == before["datacenters"]
    assert result.status.observed_generation == 1


def test_a_huge_status_of_one_datacenter_keeps_to_its_share_and_leaves_the_others_theirs() -> None:
    world = World().converged()
    nodes = {f"pod-{number}": {"hostID": "x" * 40, "ip": "10.0.0.1"} for number in range(5000)}
    world.ready("kind-dc1", "dc1", nodeStatuses=nodes)
    world.ready("kind-dc2", "dc2", nodeStatuses={"pod-0": {"ip": "10.0.0.2"}})
    status = world.plan().status
    assert status is not None
    assert len(msgspec.json.encode(status.datacenters)) <= STATUS_CAP
    assert "nodeStatuses" not in status.datacenters["dc1"]["cassandra"]
    assert status.datacenters["dc1"]["cassandra"]["cassandraOperatorProgress"] == "Ready"
    assert status.datacenters["dc2"]["cassandra"]["nodeStatuses"] == {"pod-0": {"ip": "10.0.0.2"}}


@pytest.mark.parametrize(
    "hostile",
    [
        {"cassandraOperatorProgress": "x" * 10**6},
        {"conditions": [{"type": "Ready", "status": "True", "reason": "", "message": "x" * 10**6}] * 2},
        {"conditions": [{"type": f"T{number}", "status": "True", "message": "x" * 100} for number in range(10**4)]},
        {"datacenterName": "x" * 10**6},
    ],
)
def test_no_remote_cluster_can_make_the_status_too_large(hostile: dict[str, object]) -> None:
    world = World().converged()
    world.live["kind-dc1", "dc1"]["status"] |= hostile
    status = world.plan().status
    assert status is not None
    assert len(msgspec.json.encode(status.datacenters)) <= STATUS_CAP
