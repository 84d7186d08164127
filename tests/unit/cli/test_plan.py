from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result

from controller.cli.plan import plan
from tests.unit.cli.world import ControlPlane, cluster


def run(world: ControlPlane, *options: str, text: str | None = None) -> Result:
    return CliRunner().invoke(plan, ["--kubeconfig", str(world.kubeconfig), "-n", "ns", *options], input=text)


def test_a_manifest_is_planned_before_it_is_applied(world: ControlPlane) -> None:
    found = run(world, "-f", "-", text=yaml.safe_dump(cluster()))
    assert found.exit_code == 2
    assert "+ Secret ns/demo-superuser" in found.stdout
    assert "ContextNotFound: datacenter dc1: no ClientConfig names context kind-dc1" in found.stdout
    assert world.server.record.requests(verb="create", resource="secrets") == 0


def test_json_says_the_same_for_programs(world: ControlPlane) -> None:
    (found,) = msgspec.json.decode(run(world, "-f", "-", "-o", "json", text=yaml.safe_dump(cluster())).stdout)
    assert {"context": "", "verb": "create", "kind": "Secret", "namespace": "ns", "name": "demo-superuser"}.items() <= (
        found["changes"][0].items()
    )
    assert {problem["reason"] for problem in found["problems"]} == {"ContextNotFound"}


@pytest.mark.parametrize(
    ("code", "says", "options"),
    [
        (1, "K8ssandraCluster ns/nobody does not exist", ["nobody"]),
        (1, "K8ssandraCluster other/nobody does not exist", ["other/nobody"]),
        (2, "name K8ssandraClusters, or give manifests", []),
        (1, "contexts has no entry named 'gone'", ["nobody", "--context", "gone"]),
    ],
)
def test_errors_are_said_in_a_line(world: ControlPlane, code: int, says: str, options: list[str]) -> None:
    found = run(world, *options)
    assert found.exit_code == code
    assert says in found.stderr
    assert "Traceback" not in found.output


def test_a_control_plane_that_does_not_answer_is_said(world: ControlPlane, tmp_path: Path) -> None:
    config = yaml.safe_load(world.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    world.kubeconfig.write_text(yaml.safe_dump(config))
    found = run(world, "demo", "--timeout", "1")
    assert found.exit_code == 1
    assert "Connection refused" in found.stderr
