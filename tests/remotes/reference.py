"""Five outages that were measured on the reference operator with three data planes, and ours in the same ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any, Final

import msgspec

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube import errors
from controller.kube.resources import SECRETS
from controller.sandbox.world import World
from tests import manifests
from tests.bench import stage
from tests.bench.report import Figure
from tests.bench.stage import CONTEXTS
from tests.remotes.process import RunningController, account, controller
from tests.remotes.proxy import Proxy
from tests.remotes.verdicts import Findings, at_most
from tests.remotes.watching import condition

NAMESPACE: Final = "remotes-reference"
GOOD: Final = CONTEXTS[:2]
BAD: Final = CONTEXTS[2]
FIVE: Final = 5
WITHIN: Final = 60.0  # s
CALM: Final = 10.0  # s in which an operator that exits would have exited


class Scene(msgspec.Struct):
    """Three data planes, a proxy in front of each."""

    world: World
    ways: dict[str, Proxy]
    serial: int = 0

    @property
    def control(self) -> Any:
        return self.world.control.client

    async def converge(self, contexts: Sequence[str] = GOOD) -> float:
        """Seconds until five new K8ssandraClusters in these clusters are Ready."""
        loop = asyncio.get_running_loop()
        self.serial += 1
        names = [f"set-{self.serial}-{number}" for number in range(FIVE)]
        began = loop.time()
        await self.create(names, contexts)
        await stage.until(lambda: stage.ready(self.world, names), "five K8ssandraClusters are Ready", WITHIN)
        return loop.time() - began

    async def create(self, names: Sequence[str], contexts: Sequence[str]) -> None:
        for name in names:
            document = stage.sample(name)
            cassandra = document["spec"]["cassandra"]
            cassandra["datacenters"] = [each for each in cassandra["datacenters"] if each["k8sContext"] in contexts]
            await self.control.create(K8SSANDRA_CLUSTERS, NAMESPACE, document)

    async def resize(self, name: str, size: int) -> None:
        while True:
            document = (await self.control.get(K8SSANDRA_CLUSTERS, NAMESPACE, name)).decode(dict)
            for datacenter in document["spec"]["cassandra"]["datacenters"]:
                datacenter["size"] = size
            try:
                await self.control.replace(K8SSANDRA_CLUSTERS, NAMESPACE, name, document)
            except errors.Conflict:
                continue
            return

    async def written(self, datacenter: str, size: int, since: float) -> float:
        """Seconds until the datacenter in the bad cluster has this size; asked for without its proxy's faults."""

        async def is_there() -> bool:
            try:
                found = await self.world.planes[BAD].client.get(CASSANDRA_DATACENTERS, NAMESPACE, datacenter)
            except errors.NotFound:
                return False
            return bool(found.decode(dict)["spec"]["size"] == size)

        await stage.until(is_there, f"{datacenter} has size {size}", WITHIN)
        return asyncio.get_running_loop().time() - since

    async def said(self, name: str, reason: str, since: float) -> float:
        async def is_said() -> bool:
            found = await self.control.get(CLIENT_CONFIGS, NAMESPACE, name)
            return bool(condition(found.decode(dict)).get("reason") == reason)

        await stage.until(is_said, f"ClientConfig {name} says {reason}", WITHIN)
        return asyncio.get_running_loop().time() - since


async def reference(found: Findings, *, quick: bool, kind: str = "embedded") -> None:
    """``kind``: of the servers, embedded or real."""
    rounds = 1 if quick else 2
    async with _scene(kind) as scene:
        group = f"the outages of the reference operator's table, three data planes, {kind} servers"
        parts: dict[str, Callable[[Scene, str, int], Coroutine[Any, Any, list[Figure]]]] = {
            "one hung remote": _hung,
            "a dead remote at the start": _dead_at_start,
            "a missing Secret and a new ClientConfig": _configs,
        }
        for name, part in parts.items():
            await found.measure(name, part(scene, group, rounds))
            for way in scene.ways.values():
                way.heal()


async def _hung(scene: Scene, group: str, rounds: int) -> list[Figure]:
    """In mid-run one cluster stops to answer, and then another time refuses, while there is work for it."""
    alone, beside, caught_up, resumed = [], [], [], []
    loop = asyncio.get_running_loop()
    async with _running(scene) as running:
        await scene.create(["demo"], CONTEXTS)
        await stage.until(lambda: stage.ready(scene.world, ["demo"]), "the demo is Ready", WITHIN)
        await scene.converge()  # warms everything up
        for number in range(rounds):
            alone.append(await scene.converge())
            scene.ways[BAD].freeze()
            await scene.resize("demo", 4 + number)
            beside.append(await scene.converge())
            back = loop.time()
            scene.ways[BAD].heal()
            caught_up.append(await scene.written("demo-dc3", 4 + number, back))
            await scene.said(BAD, "Connected", back)
        for number in range(rounds):
            scene.ways[BAD].refuse()
            await scene.said(BAD, "Unreachable", loop.time())
            await scene.resize("demo", 20 + number)
            await scene.converge()
            back = loop.time()
            scene.ways[BAD].heal()
            resumed.append(await scene.written("demo-dc3", 20 + number, back))
            await scene.said(BAD, "Connected", back)
        ended = float(running.exited)
    return [
        at_most(group, "five clusters that do not use it, all well", alone, None),
        at_most(
            group,
            "one remote hangs in mid-run: five clusters that do not use it",
            beside,
            2 * max(alone),
            note="reference: 101 s, or not within 180 s",
        ),
        at_most(group, "… its own work is done after it answers again", caught_up, 15),
        at_most(
            group, "a refused remote returns: its own work is done after", resumed, 8, note="reference: 64 to 154 s"
        ),
        at_most(group, "… exits", (ended,), 0, ""),
    ]


async def _dead_at_start(scene: Scene, group: str, rounds: int) -> list[Figure]:
    converged, resumed, ended = [], [], 0.0
    loop = asyncio.get_running_loop()
    for number in range(rounds):
        scene.ways[BAD].refuse()
        name = f"dead-{number}"
        await scene.create([name], CONTEXTS)
        async with _running(scene) as running:
            converged.append(await scene.converge())
            back = loop.time()
            scene.ways[BAD].heal()
            resumed.append(await scene.written(f"{name}-dc3", 3, back))
            await scene.said(BAD, "Connected", back)
            ended += running.exited
    return [
        at_most(
            group,
            "a remote is dead at the start: five clusters that do not use it",
            converged,
            30,
            note="reference: none converges, it exits after 121 s",
        ),
        at_most(group, "… its own work is done after it is back", resumed, 8),
        at_most(group, "… exits", (ended,), 0, ""),
    ]


async def _configs(scene: Scene, group: str, rounds: int) -> list[Figure]:
    loop = asyncio.get_running_loop()
    secret = (await scene.control.get(SECRETS, NAMESPACE, f"{BAD}-config")).decode(dict)
    await scene.control.delete(SECRETS, NAMESPACE, f"{BAD}-config", uid=secret["metadata"]["uid"])
    async with _running(scene) as running:
        said = await scene.said(BAD, "SecretNotFound", running.started)
        first = await scene.converge()
        await asyncio.sleep(CALM)
        without_secret = float(running.exited)
        begun = loop.time()
        await scene.control.create(CLIENT_CONFIGS, NAMESPACE, _client_config("later"))
        restart = await scene.said("later", "RestartRequired", begun)
        second = await scene.converge()
        await asyncio.sleep(CALM)
        with_new = float(running.exited)
    del secret["metadata"]["uid"], secret["metadata"]["resourceVersion"]
    await scene.control.create(SECRETS, NAMESPACE, {**secret, "metadata": {"name": f"{BAD}-config"}})
    return [
        at_most(
            group,
            f"a ClientConfig without its Secret: exits in {CALM:g} s",
            (without_secret,),
            0,
            "",
            note="reference: 159 in 180 s",
        ),
        at_most(group, "… SecretNotFound is said after the start", (said,), 5),
        at_most(group, "… five clusters that do not use it", (first,), 30),
        at_most(group, "a new ClientConfig: exits", (with_new,), 0, "", note="reference: at once"),
        at_most(group, "… RestartRequired is said after", (restart,), 2),
        at_most(group, "… five clusters that do not use it", (second,), 30),
    ]


# ── the scene ───────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _scene(kind: str) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(stage.servers(kind))
        control, *planes = servers.accesses
        ways = {}
        for context, access in zip(CONTEXTS, planes, strict=True):
            ways[context] = Proxy(access.server)
            stack.push_async_callback(ways[context].close)
        straight = {ways[c].url: access for c, access in zip(CONTEXTS, planes, strict=True)}
        world = World(
            control,
            {c: msgspec.structs.replace(a, server=ways[c].url) for c, a in zip(CONTEXTS, planes, strict=True)},
            # Whoever is not the controller goes straight to the servers, except to prove a registration.
            lambda access: stage.connect(msgspec.structs.replace(access, server=_server(straight, access.server))),
            rng=Random(0),
            namespace=NAMESPACE,
            accounts=manifests.data_plane(NAMESPACE),
            control_accounts=manifests.control_plane(NAMESPACE),
        )
        stack.push_async_callback(world.close)
        await world.prepare()
        await stack.enter_async_context(stage.operated(world, 0.1))
        yield Scene(world, ways)


def _server(straight: dict[str, Any], url: str) -> str:
    return str(straight[url].server) if url in straight else url


@asynccontextmanager
async def _running(scene: Scene) -> AsyncIterator[RunningController]:
    access = await account(scene.control, scene.world.control.access, NAMESPACE)
    async with controller(access, NAMESPACE) as running:
        await running.ready(within=WITHIN)
        yield running


def _client_config(name: str) -> dict[str, Any]:
    return {
        "apiVersion": CLIENT_CONFIGS.api_version,
        "kind": CLIENT_CONFIGS.kind,
        "metadata": {"name": name},
        "spec": {"contextName": name, "kubeConfigSecret": {"name": f"{GOOD[0]}-config"}},
    }
