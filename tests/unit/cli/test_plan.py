from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result

from controller.cli.plan import plan
from controller.definitions import definitions
from controller.kube.client import Client
from controller.kube.resources import NAMESPACES
from controller.sandbox.apiserver import ApiServer, InProcessTransport, serve
from controller.sandbox.apiserver import kubeconfig as admin_kubeconfig
from tests.unit.cassandra.samples import datacenter, manifest


class World:
    """A control plane on loopback, in a loop of its own, for a command has one of its own."""

    def __init__(self, directory: Path) -> None:
        self.kubeconfig = directory / "kubeconfig"
        self.server = ApiServer(name="control-plane")
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> World:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)
        self._loop.close()

    async def _serve(self) -> None:
        for crd in definitions().values():
            self.server.apply_manifest(crd)
        async with serve(self.server) as endpoint:
            self.kubeconfig.write_text(yaml.safe_dump(admin_kubeconfig(endpoint, "control-plane")))
            await Client(InProcessTransport(self.server, self.server.admin_token)).create(
                NAMESPACES, "", {"metadata": {"name": "ns"}}
            )
            self._ready.set()
            await self._over.wait()

    def run(self, *options: str, text: str | None = None) -> Result:
        return CliRunner().invoke(plan, ["--kubeconfig", str(self.kubeconfig), "-n", "ns", *options], input=text)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def cluster() -> dict[str, Any]:
    """A K8ssandraCluster whose second datacenter is in a cluster that nobody registered."""
    found = manifest(datacenter("dc1"), datacenter("dc2"))
    found["metadata"] = {"name": "demo", "namespace": "ns"}
    return found


def test_a_manifest_is_planned_before_it_is_applied(world: World) -> None:
    found = world.run("-f", "-", text=yaml.safe_dump(cluster()))
    assert found.exit_code == 2
    assert "+ Secret ns/demo-superuser" in found.stdout
    assert "ContextNotFound: datacenter dc1: no ClientConfig names context kind-dc1" in found.stdout
    assert world.server.record.requests(verb="create", resource="secrets") == 0


def test_json_says_the_same_for_programs(world: World) -> None:
    (found,) = msgspec.json.decode(world.run("-f", "-", "-o", "json", text=yaml.safe_dump(cluster())).stdout)
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
def test_errors_are_said_in_a_line(world: World, code: int, says: str, options: list[str]) -> None:
    found = world.run(*options)
    assert found.exit_code == code
    assert says in found.stderr
    assert "Traceback" not in found.output


def test_a_control_plane_that_does_not_answer_is_said(world: World, tmp_path: Path) -> None:
    config = yaml.safe_load(world.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    world.kubeconfig.write_text(yaml.safe_dump(config))
    found = world.run("demo", "--timeout", "1")
    assert found.exit_code == 1
    assert "Connection refused" in found.stderr
