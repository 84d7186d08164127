"""What is asked of the Management API, and what is said while a datacenter cannot be logged in through."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cassandra.plan import keyspaces, plan
from controller.cassandra.plan.model import Problem, Wait
from controller.cassandra.rounds import Round, Share
from controller.cassandra.snapshot import Away, Snapshot, SystemKeyspaces, Trouble
from controller.management.replication import NETWORK_TOPOLOGY, Replication
from tests.unit.cassandra.plan.worlds import World

SIMPLE = "org.apache.cassandra.locator.SimpleStrategy"


def world(*names: str, **options: Any) -> World:
    """Datacenters that are Ready and have been part of the ring."""
    made = World(*(names or ("dc1", "dc2")), **options).converged()
    for context, name in made.live:
        initialize(made, context, name)
    return made


def initialize(made: World, context: str, name: str) -> None:
    made.ready(context, name)
    made.live[context, name]["status"]["conditions"].append(
        {"type": "Initialized", "status": "True", "reason": "", "message": ""}
    )


def seen(made: World, known: SystemKeyspaces | None = None) -> Snapshot:
    return msgspec.structs.replace(made.snapshot(), keyspaces=known or SystemKeyspaces())


def uids(made: World) -> frozenset[str]:
    return frozenset(live["metadata"]["uid"] for live in made.live.values())


def read(made: World, strategy: str = NETWORK_TOPOLOGY, **replicas: int) -> SystemKeyspaces:
    kept = {name: Replication(strategy, replicas) for name in keyspaces.KEYSPACES}
    return SystemKeyspaces(read=kept, uids=uids(made))


def due(snapshot: Snapshot) -> Round:
    found = keyspaces.next_round(snapshot)
    assert found is not None
    return found


def shares(snapshot: Snapshot) -> dict[str, int]:
    return {share.datacenter: share.replicas for share in due(snapshot).shares}


# ── when something is to be done ────────────────────────────────────────────────────────────────────


def test_what_was_never_read_is_read_through_the_first_datacenter() -> None:
    found = due(seen(world()))
    assert (found.datacenter, found.context) == ("dc1", "kind-dc1")
    assert found.keyspaces == ("system_traces", "system_distributed", "system_auth")


def test_dse_has_more_system_keyspaces() -> None:
    found = due(seen(world(serverType="dse", serverVersion="6.8.25")))
    assert found.keyspaces[3:] == ("dse_leases", "dse_perf", "dse_security")


def test_what_is_right_is_left_alone() -> None:
    made = world()
    assert keyspaces.next_round(seen(made, read(made, dc1=3, dc2=3))) is None


def test_a_datacenter_that_is_missing_is_due() -> None:
    made = world()
    assert shares(seen(made, read(made, dc1=3))) == {"dc1": 3, "dc2": 3}


def test_a_datacenter_that_was_made_anew_is_looked_at_again() -> None:
    made = world()
    known = msgspec.structs.replace(read(made, dc1=3, dc2=3), uids=frozenset({"another"}))
    assert due(seen(made, known)).uids == uids(made)


def test_replicas_are_at_most_three_and_at_most_the_nodes() -> None:
    made = world()
    for (_, name), live in made.live.items():
        live["spec"]["size"] = {"dc1": 5, "dc2": 2}[name]
    assert shares(seen(made)) == {"dc1": 3, "dc2": 2}


def test_external_datacenters_get_three_replicas() -> None:
    assert shares(seen(world(spec={"externalDatacenters": ["elsewhere"]})))["elsewhere"] == 3


def test_cassandras_own_name_of_a_datacenter_counts() -> None:
    made = world("dc1")
    made.live["kind-dc1", "dc1"]["spec"]["datacenterName"] = "Datacenter 1"
    assert shares(seen(made)) == {"Datacenter 1": 3}


def test_a_version_of_single_datacenters_is_enough() -> None:
    made = world("dc1")
    made.change(lambda cassandra: cassandra["datacenters"][0].update(serverVersion=cassandra.pop("serverVersion")))
    assert shares(seen(made)) == {"dc1": 3}


def test_one_that_was_never_part_of_the_ring_gets_none() -> None:
    made = world()
    made.ready("kind-dc2", "dc2", cassandraOperatorProgress="Updating", conditions=[])
    assert shares(seen(made)) == {"dc1": 3}


def test_a_round_is_awaited_when_a_datacenter_cannot_be_used_before_it() -> None:
    made = world()
    assert due(seen(made, read(made, dc1=3))).awaited
    assert not due(seen(made, read(made, dc1=3, dc2=1))).awaited


def test_a_round_names_the_contexts_that_wait_for_it_and_no_others() -> None:
    """What is as it shall be, but for the keyspaces, has nothing to do when they are right."""
    made = world("dc1", "dc2", "dc3", "dc4")
    del made.live["kind-dc3", "dc3"], made.live["kind-dc4", "dc4"]
    found = plan(seen(made, read(made, dc1=3))).keyspaces
    assert found is not None
    assert found.waiting == ("kind-dc3", "kind-dc4")
    everything = world("dc1", "dc2")
    found = plan(seen(everything, read(everything, dc1=3))).keyspaces
    assert found is not None
    assert found.waiting == ()


def test_a_stopped_datacenter_is_passed_over() -> None:
    made = world()
    made.change(lambda cassandra: cassandra["datacenters"][1].update(stopped=True))
    assert shares(seen(made)) == {"dc1": 3}
    assert keyspaces.next_round(seen(made, read(made, dc1=3, dc2=3))) is None


@pytest.mark.parametrize("known", [True, False])
def test_nothing_is_done_while_a_datacenter_of_the_ring_is_out_of_sight(known: bool) -> None:
    made = world("dc1", "dc2", "dc3")
    made.away["kind-dc3"] = Away("DatacenterUnreachable", "context kind-dc3 is not connected")
    if not known:
        made.unknown.add("kind-dc3")
    assert keyspaces.next_round(seen(made, read(made, dc1=3))) is None


def test_one_that_was_never_made_holds_up_nothing() -> None:
    made = World("dc1", "dc2", "dc3")
    made.away["kind-dc3"] = Away("ContextNotFound", "no ClientConfig names context kind-dc3")
    made = made.prepared()
    made.seeds["dc1"] = ("10.1.0.1",)
    for _ in range(8):
        made.carry_out(made.plan())
    for context, name in made.live:
        initialize(made, context, name)
    assert set(made.live) == {("kind-dc1", "dc1"), ("kind-dc2", "dc2")}
    assert shares(seen(made)) == {"dc1": 3, "dc2": 3}


def test_after_a_failure_another_datacenter_is_asked() -> None:
    made = world()
    asked = [due(seen(made, SystemKeyspaces(failures=number))).datacenter for number in range(3)]
    assert asked == ["dc1", "dc2", "dc1"]


def test_the_client_secret_is_that_of_the_live_datacenter() -> None:
    made = world("dc1")
    made.live["kind-dc1", "dc1"]["spec"]["managementApiAuth"] = {"manual": {"clientSecretName": "mine"}}
    assert due(seen(made)).client_secret == "mine"


# ── what a keyspace should be like ──────────────────────────────────────────────────────────────────


def kept(**replicas: int) -> Replication:
    return Replication(NETWORK_TOPOLOGY, replicas)


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        (kept(dc1=3), None),
        (kept(dc1=1), {"dc1": 3}),
        (kept(dc1=4), None),  # more than is asked for stays
        (kept(dc1=9), {"dc1": 5}),  # but no more than there are nodes
        (kept(dc2=3), {"dc1": 3, "dc2": 3}),  # what nobody asks for stays
        (kept(dc1=3, dc2=2, gone=3), None),
        (Replication(SIMPLE, {}), {"dc1": 3}),
        (Replication("", {}), {"dc1": 3}),
    ],
)
def test_replication_is_only_ever_extended(live: Replication, wanted: dict[str, int] | None) -> None:
    assert keyspaces.desired(live, (Share("dc1", 3, 5),)) == wanted


def test_what_an_external_datacenter_has_stays() -> None:
    assert keyspaces.desired(kept(ext=1), (Share("ext", 3),)) is None
    assert keyspaces.desired(kept(), (Share("ext", 3),)) == {"ext": 3}


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9)),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)),
)
def test_what_was_made_once_is_right(live: dict[str, int], sizes: dict[str, int]) -> None:
    wanted = tuple(Share(name, min(3, size), size) for name, size in sizes.items())
    made = keyspaces.desired(kept(**live), wanted)
    after = live if made is None else made
    assert keyspaces.desired(kept(**after), wanted) is None
    assert all(min(3, size) <= after[name] <= size for name, size in sizes.items())
    assert {name: number for name, number in live.items() if name not in sizes}.items() <= after.items()


# ── what is said ────────────────────────────────────────────────────────────────────────────────────


def why(made: World, known: SystemKeyspaces, name: str = "dc2") -> Wait | Problem | None:
    snapshot = seen(made, known)
    (view,) = [view for view in snapshot.views if view.name == name]
    return keyspaces.held(snapshot, view)


def reason(found: Wait | Problem | None) -> tuple[str, type] | None:
    return None if found is None else (found.reason, type(found))


def test_a_datacenter_without_replicas_is_not_ready() -> None:
    made = world()
    assert reason(why(made, read(made, dc1=3))) == ("SystemKeyspacesNotReplicated", Wait)
    assert why(made, read(made, dc1=3, dc2=3)) is None


def test_the_next_datacenter_waits_for_it() -> None:
    made = World("dc1", "dc2", "dc3").prepared()
    made.seeds["dc1"] = ("10.1.0.1",)
    for _ in range(4):
        if ("kind-dc2", "dc2") not in made.live:
            made.carry_out(made.plan())
    for context, name in made.live:
        initialize(made, context, name)
    made.live.pop(("kind-dc3", "dc3"), None)
    snapshot = seen(made, read(made, dc1=3))
    result = plan(snapshot)
    assert [wait.reason for wait in result.waits if wait.datacenter == "dc2"] == ["SystemKeyspacesNotReplicated"]
    assert not any(chain.datacenter == "dc3" for chain in result.chains.get("kind-dc3", ()) if made_by(chain))
    assert result.keyspaces is not None


def made_by(chain: Any) -> bool:
    return any(action.resource.kind == "CassandraDatacenter" for action in chain.actions)


def test_trouble_is_a_problem_of_the_datacenter_that_waits() -> None:
    made = world()
    trouble = Trouble("ManagementApiUnreachable", "pod ns/p did not answer to GET /x: refused")
    known = msgspec.structs.replace(read(made, dc1=3), trouble=trouble)
    found = why(made, known)
    assert reason(found) == ("ManagementApiUnreachable", Problem)
    assert found is not None
    assert "pod ns/p did not answer" in found.message


def test_trouble_that_passes_is_waited_for() -> None:
    made = world()
    known = msgspec.structs.replace(read(made, dc1=3), trouble=Trouble("SchemaDisagreement", "not yet", passing=True))
    assert reason(why(made, known)) == ("SchemaDisagreement", Wait)


def test_what_was_ready_stays_so_while_nobody_can_ask() -> None:
    made = world()  # its status shows both Ready
    trouble = Trouble("ManagementApiUnreachable", "no pod is ready to be asked")
    snapshot = seen(made, SystemKeyspaces(trouble=trouble))
    assert [keyspaces.held(snapshot, view) for view in snapshot.views] == [None, None]
    (notice,) = keyspaces.notices(snapshot)
    assert (notice.type, notice.status, notice.reason) == (
        "SystemKeyspacesReplicated",
        "Unknown",
        "ManagementApiUnreachable",
    )


def test_one_that_the_ring_began_with_needs_no_proof() -> None:
    made = world()
    made.manifest["status"] = {}
    assert why(made, SystemKeyspaces(), "dc1") is None
    assert reason(why(made, SystemKeyspaces(), "dc2")) == ("SystemKeyspacesNotReplicated", Wait)


def test_a_cluster_of_the_reference_operator_is_taken_for_right_until_it_is_read() -> None:
    made = world()
    made.manifest["status"]["conditions"] = [{"type": "CassandraInitialized", "status": "True"}]
    assert why(made, SystemKeyspaces(), "dc2") is None
