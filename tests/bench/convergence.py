"""How long K8ssandraClusters take to be Ready, what they cost, and that nothing is written afterwards."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

import msgspec

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.engine.reflector import Reflector
from controller.engine.source import ResourceSource
from controller.engine.store import Delta, Store
from controller.fleet.actions import FIELD_MANAGER
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, SECRETS, SERVICES, Resource
from controller.replication.types import REPLICATED_SECRETS
from controller.sandbox.world import World
from tests.bench import stage
from tests.bench.child import Child, child, cpu_seconds
from tests.bench.report import Figure, Goal, ratios
from tests.bench.script import PLACEHOLDER, Recipe, Work, Written
from tests.bench.stage import RunningController, Servers

OWN_TIME: Final = 1.0  # s that a simulated datacenter takes; three come one after the other
CONTROLLER: Final = "bench-controller"  # namespace
SCRIPT: Final = "bench-script"  # namespace that the controller does not watch
WITHIN: Final = 120.0  # s for everything to be Ready

_OBJECTS: Final = (CONFIG_MAPS, SECRETS, ENDPOINT_SLICES, CASSANDRA_DATACENTERS)
_OF_THE_SERVER: Final = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "finalizers")


class Ready:
    """Which K8ssandraClusters of a namespace are Ready, told by a watch."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.changed = asyncio.Event()

    async def wait(self, names: Sequence[str], within: float = WITHIN) -> None:
        async with asyncio.timeout(within):
            while not self.names.issuperset(names):
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def readiness(world: World) -> AsyncIterator[Ready]:
    """A watch of the K8ssandraClusters of a world."""
    found = Ready()

    def see(deltas: list[Delta]) -> None:
        for delta in deltas:
            if delta.new is not None and delta.new.head.name not in found.names and stage.is_ready(delta.new):
                found.names.add(delta.new.head.name)
                found.changed.set()

    store = Store(K8SSANDRA_CLUSTERS.name)
    store.subscribe(see)
    source = ResourceSource(lambda: world.control.client, K8SSANDRA_CLUSTERS, world.namespace)
    task = asyncio.create_task(Reflector(source, store, rng=Random(1)).run())
    try:
        await store.wait_synced()
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Round(msgspec.Struct):
    """One fleet of K8ssandraClusters. ``seconds``: until all were Ready; ``cpu``: of each kind of process."""

    seconds: float
    cpu: dict[str, float]
    requests: Mapping[tuple[str, str], int]
    passes: int = 0


class Bench:
    """A world, a controller in it, and what becomes Ready there."""

    def __init__(self, found: Servers, world: World, running: RunningController, ready: Ready) -> None:
        self._found = found
        self._world = world
        self._running = running
        self._ready = ready

    async def converge(self, names: Sequence[str], within: float = WITHIN) -> Round:
        """Create these K8ssandraClusters at once; the controller does the rest."""
        before, passes, cpu = await self._running.requests(), await self._running.reconciles(), self._cpu()
        started = asyncio.get_running_loop().time()
        await _create(self._world, names)
        await self._ready.wait(names, within)
        seconds = asyncio.get_running_loop().time() - started
        used = {name: now - cpu[name] for name, now in self._cpu().items()}
        requests = stage.counted(before, await self._running.requests())
        passes = await self._running.reconciles() - passes
        await stage.rest(self._running)
        return Round(seconds, used, requests, passes)

    def _cpu(self) -> dict[str, float]:
        return {
            "controller": self._running.cpu(),
            "the simulated cass-operators" + ("" if self._found.pids else " and API servers"): cpu_seconds(),
            **self._found.cpu(),
        }

    async def quiet(self, seconds: float) -> Mapping[tuple[str, str], int]:
        before = await self._running.requests()
        await asyncio.sleep(seconds)
        return stage.counted(before, await self._running.requests())


async def _create(world: World, names: Sequence[str]) -> None:
    client = world.control.client
    await asyncio.gather(*(client.create(K8SSANDRA_CLUSTERS, world.namespace, stage.sample(name)) for name in names))


async def convergence(kind: str, *, quick: bool) -> list[Figure]:
    """``kind``: embedded or real."""
    plan = [(1, 1 if quick else 3), (20, 1 if quick else 2)] + ([] if quick else [(50, 1 if kind == "embedded" else 2)])
    ours: dict[int, list[Round]] = {}
    theirs: dict[int, list[Round]] = {}
    async with (
        stage.servers(kind) as found,
        stage.prepared(found, CONTROLLER) as world,
        stage.prepared(found, SCRIPT) as other,
        stage.operated(world, OWN_TIME),
        stage.controller(found, world) as running,
        readiness(world) as ready,
    ):
        bench = Bench(found, world, running, ready)
        await bench.converge([PLACEHOLDER])  # warms up, and is what the script writes
        async with _script(other, await _recipe(world)) as script:
            for count, rounds in plan:
                for number in range(rounds):
                    names = [f"of{count}-{number}-{each}" for each in range(count)]
                    theirs.setdefault(count, []).append(await _write(other, script, names))
                    ours.setdefault(count, []).append(await bench.converge(names))
        quiet = 5.0 if quick else 30.0
        after = await bench.quiet(quiet)
    return _figures(kind, ours, theirs, after, quiet)


async def _write(world: World, script: Child, names: Sequence[str]) -> Round:
    """The same by the script."""
    started = asyncio.get_running_loop().time()
    await _create(world, names)
    used = await script.ask({"names": names})
    return Round(asyncio.get_running_loop().time() - started, {"script": used["cpu"]}, {})


@asynccontextmanager
async def _script(world: World, recipe: Recipe) -> AsyncIterator[Child]:
    """The script in a namespace of its own, with the accounts and rights that the controller has in its."""
    accesses = {}
    for plane in (world.control, *world.planes.values()):
        each = await stage.as_account(plane, world.namespace)
        token = base64.b64encode(each.token.encode()).decode()
        accesses[plane.context] = (each.server, each.certificate_authority.decode(), token)
    with tempfile.NamedTemporaryFile() as file:  # readable by its owner only
        file.write(msgspec.json.encode(Work(accesses, recipe)))
        file.flush()
        async with child("script", [file.name]) as one:
            yield one


async def _recipe(world: World) -> Recipe:
    """Everything that the controller made for the K8ssandraCluster ``PLACEHOLDER``, to be made again elsewhere."""
    control = world.control.client
    planes = {context: await _made(world, context, _OBJECTS) for context in world.planes}
    cluster = (await control.get(K8SSANDRA_CLUSTERS, world.namespace, PLACEHOLDER)).decode(dict)
    datacenters = [each["metadata"]["name"] for each in cluster["spec"]["cassandra"]["datacenters"]]
    return Recipe(
        namespace=SCRIPT,
        control=await _made(world, "", (SECRETS, REPLICATED_SECRETS, SERVICES, ENDPOINT_SLICES)),
        planes=planes,
        datacenters=dict(zip(planes, datacenters, strict=True)),
        status=msgspec.json.encode(cluster["status"]).decode(),
    )


async def _made(world: World, context: str, kinds: Sequence[Resource]) -> list[Written]:
    client = world.planes[context].client if context else world.control.client
    found = []
    for resource in kinds:
        for obj in await client.list_all(resource, world.namespace):
            document = obj.decode(dict)
            managers = {entry["manager"] for entry in document["metadata"].get("managedFields", ())}
            if PLACEHOLDER in obj.head.name and FIELD_MANAGER in managers:
                document |= {"apiVersion": resource.api_version, "kind": resource.kind}
                found.append(Written(resource, _portable(document)))
    return found


def _portable(document: dict[str, Any]) -> str:
    document.pop("status", None)
    metadata = document["metadata"]
    for key in (*_OF_THE_SERVER, "ownerReferences"):
        metadata.pop(key, None)
    return msgspec.json.encode(document).decode().replace(CONTROLLER, SCRIPT)


# ── figures ─────────────────────────────────────────────────────────────────────────────────────────


def _figures(
    kind: str,
    ours: Mapping[int, list[Round]],
    theirs: Mapping[int, list[Round]],
    after: Mapping[tuple[str, str], int],
    quiet: float,
) -> list[Figure]:
    group = f"convergence, {kind} servers; the datacenters' own time is {3 * OWN_TIME:g} s"
    figures: list[Figure] = []
    for count, rounds in ours.items():
        seconds = [each.seconds for each in rounds]
        scripted = [each.seconds for each in theirs[count]]
        if count == 1:
            beyond = tuple(each - 3 * OWN_TIME for each in seconds)
            figures += [
                Figure(group, "the demo, beyond the own time", "s", beyond, Goal("<=", 0.5, "s")),
                Figure(group, "script: the same", "s", tuple(each - 3 * OWN_TIME for each in scripted)),
            ]
        else:
            goal = Goal("<=", {20: 4.5, 50: 7.0}[count], "s") if kind == "real" else None
            figures += [
                Figure(group, f"{count} K8ssandraClusters", "s", tuple(seconds), goal),
                Figure(group, f"script: {count}", "s", tuple(scripted)),
                ratios(group, f"{count}: ours by script", seconds, scripted, Goal("<=", 1.5, "×")),
            ]
        requests = tuple(stage.unary(each.requests) / count for each in rounds)
        writes = " ".join(f"{stage.writes(each.requests) / count:.1f}" for each in rounds)
        figures.append(
            Figure(
                group,
                f"requests per K8ssandraCluster, {count} at once",
                "",
                requests,
                Goal("<=", 40),
                f"writes {writes}",
            )
        )
        events = tuple(_of(each.requests, stage.EVENTS) / count for each in rounds)
        figures.append(Figure(group, f"Events per K8ssandraCluster, {count} at once", "", events))
        passes_each = tuple(each.passes / count for each in rounds)
        figures.append(Figure(group, f"passes per K8ssandraCluster, {count} at once", "", passes_each))
        for side in (rounds, theirs[count]):
            for name in side[0].cpu:
                used = tuple(each.cpu[name] for each in side)
                figures.append(Figure(group, f"CPU of {name}, {count} at once", "s", used))
    probes = sum(number for (verb, resource), number in after.items() if not resource)
    written = (float(stage.writes(after)),)
    note = f"{probes} probes, {after.get(('watch', ''), 0)} watches opened"
    figures.append(Figure(group, f"writes in {quiet:g} quiet seconds", "", written, Goal("<=", 0), note))
    return figures


def _of(requests: Mapping[tuple[str, str], int], kind: str) -> int:
    return sum(number for (_, resource), number in requests.items() if resource == kind)
