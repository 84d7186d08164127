"""Hostile and broken API servers on the wire, all at once beside one that is well, which must not notice."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.engine.reflector import Phase
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.resources import SECRETS
from controller.replication.types import REPLICATED_SECRETS
from tests.bench.child import resident_mib
from tests.hardening import behaviours, traps
from tests.hardening.behaviours import BEHAVIOURS, is_copy
from tests.hardening.handshakes import HANDSHAKES, chatter, teapot
from tests.hardening.hostile import hostile
from tests.hardening.stand import (
    CANARY,
    NAMESPACE,
    STEADY,
    Stand,
    cluster_of,
    data_plane,
    kubeconfig,
    names_of,
    operated,
    stand,
)
from tests.unit.kube.https import Server, authority, https
from tests.unit.kube.kubeconfigs import b64

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Scene:
    """One controller, all these servers, and the traps around them."""

    def __init__(
        self,
        one: Stand,
        servers: dict[str, Server],
        trap: traps.Listener,
        deeds: list[traps.Deed],
        resident: float,  # MiB before it began
    ) -> None:
        self.resident = resident
        self.stand = one
        self.servers = servers
        self.trap = trap
        self.deeds = deeds
        self.began = asyncio.get_running_loop().time()

    @property
    def seconds(self) -> float:
        return asyncio.get_running_loop().time() - self.began

    def unharmed(self) -> None:
        assert self.trap.callers == 0
        assert [event for event, _ in self.deeds if event in traps.PROCESSES] == []
        assert traps.peers(self.deeds) <= {"127.0.0.1"}
        assert self.stand.watched() == self.stand.steady
        assert self.stand.alive

    def watch(self, context: str) -> str:
        """What the watch of CassandraDatacenters fails of, "" while it does not."""
        assert self.stand.controller is not None
        cluster = self.stand.controller.pool.get(context)
        assert cluster is not None
        return " ".join(
            str(reflector.state.error)
            for resource, reflector in cluster.reflectors
            if resource.plural == "cassandradatacenters" and reflector.state.phase is Phase.FAILING
        )


def leading_to(server: Server, context: str, **changes: Any) -> bytes:
    pem = changes.pop("pem", authority().cert_pem.bytes())
    return kubeconfig(context, server.url, **{"certificate-authority-data": b64(pem)}, **changes)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        trap = await stack.enter_async_context(traps.listener())
        behaviours.trap.append(trap)
        servers = {
            name: await stack.enter_async_context(hostile(data_plane(name), behaviour.twist))
            for name, behaviour in BEHAVIOURS.items()
        }
        others = {
            name: await stack.enter_async_context(
                chatter(handshake.context)
                if isinstance(handshake.context, bytes)
                else https(teapot, context=handshake.context)
            )
            for name, handshake in HANDSHAKES.items()
        }
        one = await stack.enter_async_context(stand([STEADY], allow=["127.0.0.0/8"]))
        for name, server in servers.items():
            await one.put_secret(name.lower(), leading_to(server, name.lower()))
            await one.put_config(name.lower())
        for name, server in others.items():
            verified = {"tls-server-name": "verified.example"} if name == "H23-server-name" else {}
            await one.put_secret(name.lower(), leading_to(server, name.lower(), pem=HANDSHAKES[name].pem, **verified))
            await one.put_config(name.lower())
        deeds = stack.enter_context(traps.armed(traps.PROCESSES, traps.CONNECTIONS))
        gc.collect()
        resident = resident_mib()
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark, from here on
        await one.begin()
        yield Scene(one, servers | others, trap, deeds, resident)
    behaviours.trap.clear()


@pytest.mark.parametrize("name", BEHAVIOURS)
async def test_it_is_said_of_that_cluster_only(scene: Scene, name: str) -> None:
    behaviour, one = BEHAVIOURS[name], scene.stand
    context = name.lower()
    message = await one.says(context, behaviour.reason, behaviour.says, within=20.0)
    assert message.isprintable()
    assert len(message) <= 1024
    assert "\x1b" not in message
    if behaviour.reason != "Connected":
        assert f"ClientConfig {NAMESPACE}/{context}" in message
        assert scene.servers[name].url.removeprefix("https://") in message or behaviour.says.isdigit()
    if behaviour.watch:
        await one.until(lambda: behaviour.watch in scene.watch(context), "its watch says why it fails", within=25.0)
    scene.unharmed()


@pytest.mark.parametrize("name", HANDSHAKES)
async def test_whom_it_speaks_to_is_verified(scene: Scene, name: str) -> None:
    handshake = HANDSHAKES[name]
    message = await scene.stand.says(name.lower(), handshake.reason, handshake.says, within=20.0)
    assert f"ClientConfig {NAMESPACE}/{name.lower()}" in message
    if handshake.reason == "TLSError":
        assert scene.servers[name].seen == []  # no token was sent
    scene.unharmed()


async def test_r01_a_secret_is_not_carried_on_by_a_redirect(scene: Scene) -> None:
    """A POST with a Secret in its body is answered with 307: that body was seen by one host, and goes to no other."""
    one, bad = scene.stand, "r01-post"
    await one.put_secret("copied", b"canary-copied", key="password", metadata=LABELLED)
    await one.client.create(REPLICATED_SECRETS, NAMESPACE, replicated(STEADY, bad))
    steady = one.servers[one.urls[STEADY]]
    await one.until(lambda: "copied" in names_of(steady, SECRETS), "the other target has its copy")
    posts = scene.servers["R01-post"].seen
    await one.until(lambda: [seen for seen in posts if is_copy(seen)], "the hostile one was sent its copy")
    await one.until(lambda: replication_failed(one, bad), "the condition of that target says so")
    assert len({seen.body for seen in posts if is_copy(seen)}) == 1
    scene.unharmed()


LABELLED = {"name": "copied", "labels": {"copy": "this"}}


def replicated(*contexts: str) -> dict[str, Any]:
    targets = [{"k8sContextName": context} for context in contexts]
    return {
        "apiVersion": REPLICATED_SECRETS.api_version,
        "kind": REPLICATED_SECRETS.kind,
        "metadata": {"name": "copies"},
        "spec": {"selector": {"matchLabels": {"copy": "this"}}, "replicationTargets": targets},
    }


async def replication_failed(one: Stand, context: str) -> bool:
    found = (await one.client.get(REPLICATED_SECRETS, NAMESPACE, "copies")).decode(dict)
    conditions = (found.get("status") or {}).get("conditions") or []
    return any(entry["cluster"] == context and entry["status"] == "False" for entry in conditions)


async def test_r02_cookies_are_not_sent_back_and_nothing_but_the_token_is(scene: Scene) -> None:
    for name, server in scene.servers.items():
        for received in server.seen:
            assert received.headers.keys() <= {
                "host", "accept", "accept-encoding", "authorization", "user-agent", "content-type", "content-length"
            }, name  # fmt: skip
            assert received.headers.get("authorization", "") in ("", f"Bearer {CANARY}-token")


async def test_k24_an_expired_token_is_said_and_makes_no_storm(scene: Scene) -> None:
    """No dead server is called more often than once a second, however it fails."""
    while scene.seconds < 8.0:
        await asyncio.sleep(0.1)
    dead = [name for name, behaviour in BEHAVIOURS.items() if behaviour.reason != "Connected"]
    assert len(dead) > 10
    for name in (*dead, *HANDSHAKES):
        assert scene.servers[name].connections <= 2 + scene.seconds, name


async def test_h26_a_cluster_of_an_attacker_learns_nothing_of_the_others(scene: Scene) -> None:
    """What any of them was sent: no Secret, no kubeconfig, no other token, no name of another context."""
    contexts = [STEADY, *(name.lower() for name in scene.servers)]
    for name, server in scene.servers.items():
        for received in server.seen:
            text = f"{received.target} {received.headers} {received.body!r}"
            assert "canary-copied" not in text
            assert f"{CANARY}-own" not in text
            assert [other for other in contexts if other != name.lower() and other in text] == []


async def test_the_good_cluster_still_converges_while_all_of_them_rage(scene: Scene) -> None:
    one = scene.stand
    async with operated({STEADY: one.servers[one.urls[STEADY]]}):
        await one.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, cluster_of(STEADY))
        await one.until(lambda: one.says_of_datacenter("dc1", "", ""), "its datacenter is Ready")
    scene.unharmed()


async def test_memory_is_bounded_and_nothing_secret_was_said(scene: Scene) -> None:
    assert resident_mib(key="VmHWM") - scene.resident < 450.0  # the servers and their bytes included
    assert await scene.stand.leaks() == []
    assert max(len(line) for line in scene.stand.log.getvalue().splitlines()) < 8192
    state = [obj.raw for obj in await scene.stand.client.list_all(CLIENT_CONFIGS)]
    assert max(len(raw) for raw in state) < 4096
