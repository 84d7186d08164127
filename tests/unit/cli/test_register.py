from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from controller.cli.register import SERVICE_ACCOUNT, register
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube import kubeconfig
from controller.kube.resources import CRDS, NAMESPACES, SECRETS, SERVICE_ACCOUNTS
from controller.sandbox.apiserver import ApiServer, serve
from controller.sandbox.apiserver import kubeconfig as admin_kubeconfig
from tests.unit.cli.world import Beside, client

NAMESPACE = "k8ssandra-operator"
CONTEXT = "kind-k8ssandra-1"
CRD = Path(__file__).parents[3] / "manifests" / "crds" / "clientconfigs.config.k8ssandra.io.yaml"


class World(Beside):
    """A control plane and a data plane."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.control_plane, self.data_plane = ApiServer(name="control-plane"), ApiServer(name="data-plane")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for server, context in ((self.control_plane, "control-plane"), (self.data_plane, CONTEXT)):
                endpoint = await stack.enter_async_context(serve(server))
                (self.directory / server.name).write_text(yaml.safe_dump(admin_kubeconfig(endpoint, context)))
                await client(server).create(NAMESPACES, "", {"metadata": {"name": NAMESPACE}})
            control_plane = client(self.control_plane)
            await control_plane.create(CRDS, "", yaml.safe_load(CRD.read_text()))
            while not await control_plane.served(CLIENT_CONFIGS):
                await asyncio.sleep(0)
            account = {"metadata": {"name": SERVICE_ACCOUNT}}
            await client(self.data_plane).create(SERVICE_ACCOUNTS, NAMESPACE, account)
            yield

    def get(self, resource: Any, name: str) -> dict[str, Any]:
        return self.ask(client(self.control_plane).get(resource, NAMESPACE, name)).decode(dict[str, Any])

    def run(self, *options: str) -> Result:
        files = ["--source-kubeconfig", str(self.directory / "data-plane")]
        return CliRunner().invoke(register, [*files, *options])

    def run_with_both(self, *options: str) -> Result:
        return self.run("--kubeconfig", str(self.directory / "control-plane"), *options)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def test_a_data_plane_is_registered_over_the_wire(world: World) -> None:
    result = world.run_with_both()
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"Secret {NAMESPACE}/{CONTEXT}-config created" in result.stderr
    assert f"ClientConfig {NAMESPACE}/{CONTEXT} created" in result.stderr
    assert "Warning: https://127.0.0.1:" in result.stderr
    assert world.get(CLIENT_CONFIGS, CONTEXT)["spec"]["contextName"] == CONTEXT
    stored = b64decode(world.get(SECRETS, f"{CONTEXT}-config")["data"]["kubeconfig"])
    access = kubeconfig.load(stored, CONTEXT)
    assert access.certificate_authority.strip() == world.data_plane.ca_pem.strip()
    assert access.token not in result.output


def test_a_second_run_says_unchanged(world: World) -> None:
    world.run_with_both()
    assert f"ClientConfig {NAMESPACE}/{CONTEXT} and Secret {NAMESPACE}/{CONTEXT}-config unchanged" in (
        world.run_with_both().stderr
    )


def test_names_can_be_chosen(world: World) -> None:
    result = world.run_with_both("--context-name", "arn:aws:eks:x", "--name", "east")
    assert result.exit_code == 0
    assert world.get(CLIENT_CONFIGS, "east")["spec"] == {
        "contextName": "arn:aws:eks:x",
        "kubeConfigSecret": {"name": "east-config"},
    }


def test_a_dry_run_prints_what_kubectl_applies(world: World) -> None:
    result = world.run("--dry-run", "--token-lifetime", "3600")
    secret, client_config = yaml.safe_load_all(result.stdout)
    assert (secret["kind"], client_config["kind"]) == ("Secret", "ClientConfig")
    assert kubeconfig.load(b64decode(secret["data"]["kubeconfig"]), CONTEXT).token
    assert "nobody renews it" in result.stderr


@pytest.mark.parametrize(
    ("code", "says", "options"),
    [
        (1, "ServiceAccount k8ssandra-operator/nobody does not exist", ["--service-account", "nobody"]),
        (1, "--token-lifetime: at least 600 seconds", ["--token-lifetime", "5"]),
        (1, "contexts has no entry named 'gone'", ["--context", "gone"]),
        (2, "does not exist", ["--certificate-authority", "/nowhere"]),
    ],
)
def test_errors_are_said_in_a_line(world: World, code: int, says: str, options: list[str]) -> None:
    result = world.run_with_both(*options)
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.output


def test_the_data_plane_has_to_be_named() -> None:
    result = CliRunner().invoke(register, [])
    assert result.exit_code == 2
    assert "--source-context" in result.stderr
