"""The real kubectl against the HTTPS front: what people type works."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from controller.sandbox.apiserver import ApiServer, kubeconfig, serve
from tests.unit.sandbox.apiserver.conftest import Json, thing, thing_crd

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")

Kubectl = Callable[..., Awaitable[str]]


@pytest_asyncio.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    """Runs kubectl and gives what it printed; fails unless it exits as expected."""
    server = ApiServer(name="kubectl")
    column = {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
    server.apply_manifest(thing_crd(additionalPrinterColumns=[column]))
    async with serve(server) as endpoint:
        config = tmp_path / "kubeconfig"
        config.write_text(json.dumps(kubeconfig(endpoint, "test")))
        environment = {**os.environ, "KUBECONFIG": str(config), "HOME": str(tmp_path)}

        async def run(*words: str, stdin: Json | None = None, fails: bool = False) -> str:
            assert KUBECTL is not None
            process = await asyncio.create_subprocess_exec(
                KUBECTL,
                *words,
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate(json.dumps(stdin).encode() if stdin else b"")
            assert bool(process.returncode) == fails, err.decode()
            return (err if fails else out).decode()

        yield run


def sized(size: int) -> Json:
    return thing("it", spec={"size": size}, metadata={"namespace": "default"})


async def test_apply_creates_changes_and_leaves_alone(kubectl: Kubectl) -> None:
    said = [await kubectl("apply", "-f", "-", stdin=sized(size)) for size in (1, 2, 2)]
    assert [text.split()[-1] for text in said] == ["created", "configured", "unchanged"]
    assert await kubectl("get", "th", "it", "-o", "jsonpath={.spec}") == '{"mode":"plain","size":2}'


async def test_apply_of_a_built_in_kind_merges_strategically(kubectl: Kubectl) -> None:
    service: Json = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "it"},
        "spec": {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]},
    }
    await kubectl("apply", "-f", "-", stdin=service)
    service["spec"]["ports"][1]["targetPort"] = 20
    await kubectl("apply", "-f", "-", stdin=service)
    ports = json.loads(await kubectl("get", "svc", "it", "-o", "json"))["spec"]["ports"]
    assert [(port["name"], port["targetPort"]) for port in ports] == [("a", 1), ("b", 20)]


async def test_server_side_apply_names_whom_it_conflicts_with(kubectl: Kubectl) -> None:
    await kubectl("apply", "--server-side", "--field-manager=one", "-f", "-", stdin=sized(1))
    refused = await kubectl("apply", "--server-side", "--field-manager=two", "-f", "-", stdin=sized(2), fails=True)
    assert 'conflict with "one": .spec.size' in refused
    await kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=two", "-f", "-", stdin=sized(2))


async def test_a_misspelt_field_is_refused(kubectl: Kubectl) -> None:
    misspelt = thing("it", spec={"sise": 1})
    assert 'unknown field "spec.sise"' in await kubectl("create", "-f", "-", stdin=misspelt, fails=True)


async def test_get_prints_the_columns_of_the_kind(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=sized(3))
    head, row = (await kubectl("get", "things")).splitlines()
    assert (head.split(), row.split()) == (["NAME", "SIZE"], ["it", "3"])


async def test_get_watch_prints_changes_as_they_come(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=sized(1))
    watching = asyncio.create_task(kubectl("get", "things", "-w", "--request-timeout=3s"))
    size = 1
    while not watching.done():
        size += 1
        await kubectl("patch", "thing", "it", "--type=merge", "-p", json.dumps({"spec": {"size": size}}))
        await asyncio.wait((watching,), timeout=0.5)
    shown = [int(line.split()[-1]) for line in (await watching).splitlines()[1:]]
    assert len(shown) > 1
    assert shown == list(range(shown[0], shown[0] + len(shown)))


async def test_explain_tells_of_fields(kubectl: Kubectl) -> None:
    assert "size\t<integer>" in await kubectl("explain", "thing.spec")


async def test_describe_shows_object_and_events(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=sized(5))
    described = await kubectl("describe", "thing", "it")
    assert "Size:  5" in described
    assert "Events:" in described


async def test_delete_waits_until_the_object_is_gone(kubectl: Kubectl) -> None:
    await kubectl("create", "namespace", "room")
    await kubectl("create", "secret", "generic", "s", "-n", "room", "--from-literal=a=b")
    await kubectl("delete", "namespace", "room", "--timeout=20s")
    assert "room" not in await kubectl("get", "namespaces")


async def test_a_token_is_who_it_was_made_for(kubectl: Kubectl) -> None:
    await kubectl("create", "serviceaccount", "robot")
    token = (await kubectl("create", "token", "robot", "--duration=1h")).strip()
    who = await kubectl("auth", "whoami", "--token", token, "-o", "jsonpath={.status.userInfo.username}")
    assert who == "system:serviceaccount:default:robot"
