"""From a datacenter's status event in a data plane to the write that shows it in the control plane."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import msgspec

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube.client import Client
from controller.kube.resources import Resource
from controller.kube.transport import Request
from controller.kube.watch import Change
from controller.sandbox.apiserver import ApiServer
from controller.sandbox.apiserver.watches import Watch
from controller.sandbox.world import World
from tests.bench import relay, stage
from tests.bench.child import child
from tests.bench.report import Figure, Goal
from tests.bench.stage import CONTEXTS, Servers, percentile

NAMESPACE: Final = "bench-latency"
DEMO: Final = "demo"
WITHIN: Final = 10.0  # s for one event to be answered
PAUSE: Final = (0.010, 0.025)  # s between an answer and the next event: everything has come to rest
BLOCK: Final = 25  # events in a row, then it is the other's turn
FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
GOALS: Final = {"embedded": (10.0, 50.0), "real": (15.0, 60.0)}  # ms: p50, p99


class Arrivals:
    """Loop times at which a marker was first seen in the objects of one kind."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, asyncio.Future[float]] = {}

    def expect(self, marker: str) -> asyncio.Future[float]:
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[marker.encode()] = future
        return future

    def see(self, raw: bytes) -> None:
        now = asyncio.get_running_loop().time()
        for marker in [marker for marker in self._waiting if marker in raw]:
            future = self._waiting.pop(marker)
            if not future.done():
                future.set_result(now)


@asynccontextmanager
async def arrivals(server: ApiServer | None, client: Client, resource: Resource) -> AsyncIterator[Arrivals]:
    """Watch ``resource``: inside an embedded server, at the moment of the commit; at a real one as any client."""
    found = Arrivals()
    if server is not None:
        with _inside(server, resource, found.see):
            yield found
        return
    page = await client.list_page(resource, limit=1)
    stream = await client.watch(resource, resource_version=page.resource_version, timeout_seconds=600)

    async def follow() -> None:
        while events := await stream.read():
            for event in events:
                if isinstance(event, Change):
                    found.see(event.object.raw)

    task = asyncio.create_task(follow())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.close()


class _inside:
    """A watch in an embedded server, without a connection."""

    def __init__(self, server: ApiServer, resource: Resource, see: Callable[[bytes], None]) -> None:
        query = (("watch", "true"), ("resourceVersion", str(server.resource_version)))
        watch = server.handle(Request(method="GET", path=resource.path(), query=query), token=server.admin_token)
        assert isinstance(watch, Watch)
        self._watch = watch

        def ready() -> None:
            for line in watch.take():
                see(line)

        watch.on_ready = ready

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        self._watch.on_ready = lambda: None
        self._watch.end()


class _Bench:
    """Events, one at a time, and what they cost."""

    def __init__(self, world: World, sources: dict[str, Arrivals], target: Arrivals) -> None:
        self._world = world
        self._sources = sources
        self._target = target
        self._rng = Random(5)
        self._serial = 0

    async def event(self, context: str, namespace: str, name: str) -> float:
        """Milliseconds from one status event in ``context`` until the control plane's object shows it."""
        self._serial += 1
        marker = (FIRST + timedelta(seconds=self._serial)).strftime("%Y-%m-%dT%H:%M:%SZ")
        begun, shown = self._sources[context].expect(marker), self._target.expect(marker)
        status = {"status": {"lastServerNodeStarted": marker}}
        client = self._world.planes[context].client
        async with asyncio.timeout(WITHIN):
            await client.patch(CASSANDRA_DATACENTERS, namespace, name, status, kind="merge", subresource="status")
            milliseconds = (await shown - await begun) * 1000
        await asyncio.sleep(self._rng.uniform(*PAUSE))
        return milliseconds

    async def block(self, namespace: str, prefix: str) -> list[float]:
        """``BLOCK`` events, in one data plane after the other."""
        found = []
        for number in range(BLOCK):
            place = number % len(CONTEXTS)
            found.append(await self.event(CONTEXTS[place], namespace, f"{prefix}-dc{place + 1}"))
        return found


async def latency(kind: str, *, quick: bool) -> list[Figure]:
    """``kind``: embedded or real."""
    rounds = 3 if quick else 10
    async with (
        stage.servers(kind) as found,
        stage.prepared(found, NAMESPACE) as world,
        stage.operated(world, 0.1),
        stage.controller(found, world) as running,
    ):
        await world.control.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, stage.sample(DEMO))
        await stage.until(lambda: stage.ready(world, [DEMO]), "the demo is Ready")
        await stage.rest(running)
        async with _watched(found, world) as bench, _relay(found, world):
            await bench.block(NAMESPACE, DEMO)  # warms everything up
            await bench.block(relay.NAMESPACE, relay.NAME)
            ours, least, asked, cpu, passes = [], [], 0, [], []
            for _ in range(rounds):
                before, reconciled, used = await running.requests(), await running.reconciles(), running.cpu()
                ours.append(await bench.block(NAMESPACE, DEMO))
                cpu.append((running.cpu() - used) * 1000 / BLOCK)
                passes.append((await running.reconciles() - reconciled) / BLOCK)
                asked += stage.writes(stage.counted(before, await running.requests()))
                least.append(await bench.block(relay.NAMESPACE, relay.NAME))
    return _figures(kind, ours, least, cpu, passes, asked / (BLOCK * rounds))


@asynccontextmanager
async def _watched(found: Servers, world: World) -> AsyncIterator[_Bench]:
    embedded: list[ApiServer | None] = list(found.embedded) or [None] * len(found.accesses)
    async with (
        arrivals(embedded[0], world.control.client, K8SSANDRA_CLUSTERS) as target,
        arrivals(embedded[1], world.planes[CONTEXTS[0]].client, CASSANDRA_DATACENTERS) as one,
        arrivals(embedded[2], world.planes[CONTEXTS[1]].client, CASSANDRA_DATACENTERS) as two,
        arrivals(embedded[3], world.planes[CONTEXTS[2]].client, CASSANDRA_DATACENTERS) as three,
    ):
        yield _Bench(world, dict(zip(CONTEXTS, (one, two, three), strict=True)), target)


@asynccontextmanager
async def _relay(found: Servers, world: World) -> AsyncIterator[None]:
    """The partner, on objects of its own where the controller does not look."""
    control = world.control.client
    await control.create(K8SSANDRA_CLUSTERS, relay.NAMESPACE, stage.sample(relay.NAME))
    shown = (await control.get(K8SSANDRA_CLUSTERS, NAMESPACE, DEMO)).decode(dict)["status"]
    status = msgspec.json.decode(msgspec.json.encode(shown).decode().replace(f"{DEMO}-", f"{relay.NAME}-"))
    await control.patch(
        K8SSANDRA_CLUSTERS, relay.NAMESPACE, relay.NAME, {"status": status}, kind="merge", subresource="status"
    )
    for number, context in enumerate(CONTEXTS, 1):
        datacenter: dict[str, Any] = {
            "apiVersion": CASSANDRA_DATACENTERS.api_version,
            "kind": CASSANDRA_DATACENTERS.kind,
            "metadata": {"name": f"{relay.NAME}-dc{number}", "labels": {relay.LABEL: relay.NAME}},
            "spec": {
                "clusterName": relay.NAME,
                "serverType": "cassandra",
                "serverVersion": "4.0.1",
                "size": 3,
                "storageConfig": {},
            },
        }
        await world.planes[context].client.create(CASSANDRA_DATACENTERS, relay.NAMESPACE, datacenter)
    await asyncio.sleep(1.0)  # the simulated operators have made these datacenters Ready and are at rest
    accesses = {
        context: {"server": each.server, "authority": each.certificate_authority.decode(), "token": each.token}
        for context, each in zip(("", *CONTEXTS), found.accesses, strict=True)
    }
    with tempfile.NamedTemporaryFile() as file:  # readable by its owner only
        file.write(msgspec.json.encode(accesses))
        file.flush()
        async with child("relay", [file.name]):
            yield


def _figures(
    kind: str, ours: list[list[float]], least: list[list[float]], cpu: list[float], passes: list[float], writes: float
) -> list[Figure]:
    group = f"remote status event to the write that shows it, {kind} servers"
    p50, p99 = GOALS[kind]
    every, floor = [ms for block in ours for ms in block], [ms for block in least for ms in block]
    count = f"{len(every)} events"
    return [
        Figure(
            group, "controller: p50 of each block", "ms", tuple(percentile(b, 50) for b in ours), Goal("<=", p50, "ms")
        ),
        Figure(group, "controller: p99 of all", "ms", (percentile(every, 99),), Goal("<=", p99, "ms"), count),
        Figure(group, "bare relay: p50 of each block", "ms", tuple(percentile(block, 50) for block in least)),
        Figure(group, "bare relay: p99 of all", "ms", (percentile(floor, 99),)),
        Figure(group, "controller: CPU per event", "ms", tuple(cpu)),
        Figure(group, "controller: passes per event", "", tuple(passes)),
        Figure(group, "writes per event", "writes", (writes,), Goal("<=", 1, "write")),
    ]
