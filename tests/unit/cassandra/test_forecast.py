from __future__ import annotations

from typing import Any

from controller.cassandra.forecast import HIDDEN, Forecast, forecast
from controller.cassandra.observe import Renderings
from controller.cassandra.snapshot import Away
from controller.cassandra.sources import Sources
from controller.replication.contents import Contents
from tests.unit.cassandra.caches import Fleet
from tests.unit.cassandra.plan.worlds import World
from tests.unit.cassandra.samples import datacenter

AWAY = Away("DatacenterUnreachable", "context kind-dc2 is not connected: connection refused")


def foreseen(world: World) -> Forecast:
    pool = Fleet().pool
    return forecast(world.snapshot(), Renderings(Sources(pool, Contents(pool.local))))


def said(found: Forecast) -> list[str]:
    return [f"{change.context or '-'} {change.verb} {change.kind} {change.name}" for change in found.changes]


def fields(found: Forecast, name: str) -> dict[str, tuple[Any, Any]]:
    (change,) = (each for each in found.changes if each.name == name)
    return {field.path: (field.before, field.after) for field in change.fields}


async def test_of_a_new_cluster_every_object_is_foreseen_once_in_order() -> None:
    found = foreseen(World())
    assert said(found) == [
        "- create Secret demo-superuser",
        "- change K8ssandraCluster demo",
        "- create ReplicatedSecret demo",
        "kind-dc1 create ConfigMap demo-dc1-metrics-agent-config",
        "kind-dc1 create CassandraDatacenter dc1",
        "kind-dc2 create ConfigMap demo-dc2-metrics-agent-config",
        "kind-dc2 create EndpointSlice demo-demo-dc2-additional-seed-service-ipv4",
        "kind-dc2 create CassandraDatacenter dc2",
        "kind-dc1 create EndpointSlice demo-demo-dc1-additional-seed-service-ipv4",
    ]
    assert found.problems == ()


async def test_of_a_converged_cluster_nothing_is_foreseen() -> None:
    found = foreseen(World().converged())
    assert (said(found), found.waits, found.problems) == ([], (), ())


async def test_a_change_shows_its_fields_in_every_datacenter_though_one_waits_for_the_other() -> None:
    world = World().converged()
    world.change(lambda cassandra: cassandra.update(serverVersion="4.1.4"))
    found = foreseen(world)
    before = world.live["kind-dc1", "dc1"]["spec"]["serverVersion"]
    for name in ("dc1", "dc2"):
        assert fields(found, name)["spec.serverVersion"] == (before, "4.1.4")
    assert [(wait.datacenter, wait.reason) for wait in found.waits] == [("dc2", "WaitingForDatacenter")]


async def test_a_field_that_goes_is_shown_as_gone() -> None:
    world = World(config={"cassandraYaml": {"concurrent_reads": 8}}).converged()
    world.change(lambda cassandra: cassandra.pop("config"))
    assert fields(foreseen(world), "dc1")["spec.config.cassandra-yaml.concurrent_reads"] == (8, None)


async def test_a_cluster_that_is_away_stays_as_it_is_and_is_a_problem() -> None:
    world = World()
    world.away["kind-dc2"] = AWAY
    found = foreseen(world)
    assert [line for line in said(found) if line.startswith("kind-dc2")] == []
    assert "kind-dc1 create CassandraDatacenter dc1" in said(found)
    assert [problem.reason for problem in found.problems] == ["DatacenterUnreachable"]


async def test_what_is_wrong_is_a_problem_and_changes_nothing() -> None:
    world = World().converged()
    world.change(lambda cassandra: cassandra.update(serverVersion="five"))
    found = foreseen(world)
    assert (said(found), bool(found.problems)) == ([], True)


async def test_passwords_are_never_shown() -> None:
    world = World().converged()
    options = {"enabled": False, "keystore_password": "so-secret"}
    world.change(lambda cassandra: cassandra.update(config={"cassandraYaml": {"client_encryption_options": options}}))
    found = foreseen(world)
    assert "so-secret" not in repr(found)
    assert HIDDEN in repr(found)


async def test_drift_that_may_not_be_repaired_is_not_foreseen_as_a_change() -> None:
    world = World().converged()
    world.live["kind-dc1", "dc1"]["spec"]["size"] = 7
    assert said(foreseen(world)) == []


async def test_a_new_datacenter_changes_what_the_others_know_of_seeds() -> None:
    world = World().converged()
    world.change(lambda cassandra: cassandra["datacenters"].append(datacenter("dc3")))
    found = said(foreseen(world))
    assert "kind-dc3 create CassandraDatacenter dc3" in found
    assert "kind-dc1 change EndpointSlice demo-demo-dc1-additional-seed-service-ipv4" in found
    assert "192.0.2.1" not in repr(foreseen(world))


async def test_a_deletion_shows_what_would_go_first() -> None:
    world = World().converged()
    world.metadata["deletionTimestamp"] = "2026-11-23T00:00:00Z"
    assert {line for line in said(foreseen(world)) if "delete" in line} >= {
        "kind-dc1 delete CassandraDatacenter dc1",
        "kind-dc2 delete CassandraDatacenter dc2",
    }


async def test_what_others_put_on_an_object_is_not_foreseen_to_go() -> None:
    world = World().converged()
    world.live["kind-dc1", "dc1"]["metadata"]["finalizers"].append("finalizer.cassandra.datastax.com")
    world.change(lambda cassandra: cassandra.update(serverVersion="4.1.4"))
    assert "metadata.finalizers" not in fields(foreseen(world), "dc1")
