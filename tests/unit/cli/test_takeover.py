from __future__ import annotations

from pathlib import Path

import msgspec
from click.testing import CliRunner, Result

from controller.cli.takeover import takeover, text
from controller.fleet.inspection import Finding
from controller.handover import Check, ClusterCheck
from tests.integration.reference import deployment
from tests.unit.cli.world import ControlPlane, cluster


def run(world: ControlPlane, *options: str) -> Result:
    return CliRunner().invoke(takeover, ["--check", "--kubeconfig", str(world.kubeconfig), *options])


def test_nothing_is_taken_over_by_the_command_itself(world: ControlPlane) -> None:
    found = CliRunner().invoke(takeover, ["--kubeconfig", str(world.kubeconfig)])
    assert found.exit_code == 2
    assert "give --check; the take-over itself is done by run" in found.output


def test_with_nothing_in_the_way_it_ends_with_0(world: ControlPlane) -> None:
    found = run(world)
    assert found.exit_code == 0, found.output
    assert "control plane\n  · Deployments of k8ssandra-operator: there is none anywhere" in found.stdout
    assert found.stdout.splitlines()[-1].startswith("0 in the way, 0 not looked at, ")


def test_with_something_in_the_way_it_ends_with_2(world: ControlPlane) -> None:
    world.server.apply_manifest({**deployment(), "metadata": {"name": "it", "namespace": "ns"}})
    found = run(world, "-o", "json")
    assert found.exit_code == 2
    told = msgspec.json.decode(found.stdout, type=Check)
    assert not told.ready
    assert [each.subject for each in told.findings if each.verdict == "blocks"] == ["Deployment ns/it"]


def test_a_specification_that_names_unknown_contexts_is_in_the_way(world: ControlPlane) -> None:
    world.server.apply_manifest(cluster())
    found = run(world)
    assert found.exit_code == 2
    assert "! ContextNotFound: datacenter dc1: no ClientConfig names context kind-dc1" in found.stdout


def test_a_control_plane_that_cannot_be_reached_ends_with_1(tmp_path: Path) -> None:
    with ControlPlane(tmp_path) as world:
        pass
    assert run(world, "--timeout", "1").exit_code == 1


def test_people_see_each_cluster_and_the_sum() -> None:
    blocks = Finding("east", "blocks", "Deployment a/b", "the reference operator runs\nhere")
    fine = Finding("", "fine", "CassandraDatacenters", "no specification would change")
    found = Check(False, (blocks,), (ClusterCheck("ns", "demo", (fine,)),))
    assert text(found) == [
        "context east",
        "  ! Deployment a/b: the reference operator runs\\nhere",
        "",
        "K8ssandraCluster ns/demo",
        "  · CassandraDatacenters: no specification would change",
        "  0 objects would be written to; see: plan -n ns demo",
        "",
        "1 in the way, 0 not looked at, 1 fine",
    ]
