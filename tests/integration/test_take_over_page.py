"""Every command of docs/take-over.md, in its order, as a person would run it."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
import yaml

from controller.cassandra.resources import CASSANDRA_DATACENTERS
from controller.kube.resources import DEPLOYMENTS, MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS, Resource
from controller.sandbox.applier import Applier
from tests.integration.installations import installation, their_rig
from tests.integration.reference import Reference, deployment, webhook_configuration
from tests.integration.rig import CONTEXTS, Rig, quiet
from tests.servers import Server

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "take-over.md"
PLANES = {"control-plane": "", "data-plane": CONTEXTS[0]}
CHECK = "k8ssandra-controller takeover --check"

pytestmark = pytest.mark.real  # kubectl scales through a subresource that embedded servers do not have


@pytest_asyncio.fixture(loop_scope="session")
async def one(their_servers: list[Server]) -> AsyncIterator[Rig]:
    async with their_rig("k8ssandra-operator", their_servers) as made:
        yield made


def commands() -> list[str]:
    """The lines of the page that begin with a prompt."""
    return [line.removeprefix("$ ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("$ ")]


def kubeconfig(one: Rig, file: Path) -> Path:
    """With the contexts that the page names."""
    clusters, users, contexts = [], [], []
    for name, context in PLANES.items():
        access = one.access(context)
        authority = b64encode(access.certificate_authority).decode()
        clusters.append({"name": name, "cluster": {"server": access.server, "certificate-authority-data": authority}})
        users.append({"name": name, "user": {"token": access.token}})
        contexts.append({"name": name, "context": {"cluster": name, "user": name}})
    whole = {"apiVersion": "v1", "kind": "Config", "clusters": clusters, "users": users, "contexts": contexts}
    file.write_text(yaml.safe_dump(whole))
    return file


async def run(command: str, config: Path) -> tuple[int, str]:
    words = shlex.split(command)
    program = [sys.executable, "-m", "controller"] if words[0] == "k8ssandra-controller" else [words[0]]
    environment = {**os.environ, "KUBECONFIG": str(config), "HOME": str(config.parent)}
    process = await asyncio.create_subprocess_exec(
        *program,
        *words[1:],
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def install(one: Rig) -> Reference:
    """A plain cluster of the reference operator's, which runs in the control plane and in one data plane."""
    theirs = installation(one)
    await theirs.install()
    names = {"namespace": one.namespace}
    group = "rbac.authorization.k8s.io"
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["endpoints"], "verbs": ["get"]},
        {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["list"]},
    ]
    head = {"apiVersion": f"{group}/v1", "metadata": {"name": "looks"}}
    subject = {"kind": "Group", "name": f"system:serviceaccounts:{one.namespace}", "apiGroup": group}
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": "looks"}
    for context, plane in one.world.planes.items():
        applier = Applier(plane.client)
        await applier.apply({**head, "kind": "ClusterRole", "rules": rules})
        await applier.apply({**head, "kind": "ClusterRoleBinding", "subjects": [subject], "roleRef": reference})
        if context == CONTEXTS[0]:
            await applier.apply(deployment(release=""), **names)
    await one.applier.apply(deployment(release=""), **names)
    await one.applier.apply(webhook_configuration(one.namespace))
    first = Applier(one.client(CONTEXTS[0]))
    await first.apply(webhook_configuration(one.namespace))
    await first.apply(webhook_configuration(one.namespace, mutating=True))
    return theirs


async def test_every_command_of_the_page_does_what_it_says(one: Rig, tmp_path: Path) -> None:
    theirs = await install(one)
    before = await generations(one, theirs)
    config = kubeconfig(one, tmp_path / "kubeconfig")
    checks: list[tuple[int, str]] = []
    for command in commands():
        if " get k8ssandraclusters " in command:
            await one.start()
            await one.ready()
            await quiet(one)
        if "scale deployment k8ssandra-controller" in command:
            await one.stop()
        code, output = await run(command, config)
        if command.startswith(CHECK):
            checks.append((code, output))
        else:
            assert code == 0, f"{command}\n{output}"
    assert [code for code, _ in checks] == [2, 0], checks
    assert "! Deployment k8ssandra-operator/k8ssandra-operator: the reference operator runs" in checks[0][1]
    assert "! MutatingWebhookConfiguration" in checks[0][1]
    assert "· CassandraDatacenters: no specification would change, so no pod restarts" in checks[1][1]
    assert await generations(one, theirs) == before
    for resource in (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS):
        assert await left(one, resource) == []
    assert await wanted(one, "k8ssandra-operator") == 1  # the way back
    assert await wanted(one, "k8ssandra-controller") == 0


async def generations(one: Rig, theirs: Reference) -> dict[str, int]:
    found = {}
    for name, context in theirs.places.items():
        live = await one.get(CASSANDRA_DATACENTERS, name, context) or {}
        found[name] = live["metadata"]["generation"]
    return found


async def left(one: Rig, resource: Resource) -> list[str]:
    return [obj.head.name for context in PLANES.values() for obj in await one.client(context).list_all(resource)]


async def wanted(one: Rig, name: str) -> Any:
    found = await one.client().get(DEPLOYMENTS, one.namespace, name)
    return msgspec.json.decode(found.raw)["spec"]["replicas"]
