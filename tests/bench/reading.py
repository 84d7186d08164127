"""Figures of one process at a server of pre-built bytes: watches, memory, calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from tests.bench.child import Child, Json, child
from tests.bench.generator import PACE
from tests.bench.report import Figure, Goal, ratios

BURST: Final = 10_000  # events of one round
SLOW_BURST: Final = 1_000  # of kubernetes-asyncio's, which takes as long for them
OBJECTS: Final = 10_000
CALLS: Final = 200  # of one round


class Rounds:
    """How often everything is measured; ``--quick`` for a look."""

    def __init__(self, *, quick: bool) -> None:
        self.burst = 4 if quick else 15
        self.steady = 1 if quick else 4
        self.steady_events = 1000 if quick else 2500
        self.memory = 1 if quick else 3
        self.calls = 8 if quick else 30


@asynccontextmanager
async def _generator() -> AsyncIterator[tuple[Child, list[str]]]:
    async with child("generator") as one:
        yield one, [one.hello["server"], one.hello["authority"]]


async def _children(stack: AsyncExitStack, module: str, names: list[str], where: list[str]) -> dict[str, Child]:
    return {name: await stack.enter_async_context(child(module, [name, *where])) for name in names}


async def burst(*, quick: bool) -> list[Figure]:
    """Changes as fast as the generator sends them."""
    rounds = Rounds(quick=quick).burst
    async with _generator() as (generator, where), AsyncExitStack() as stack:
        counts = {"ours": BURST, "bare": BURST, "kubernetes-asyncio": SLOW_BURST}
        for count in set(counts.values()):
            await generator.ask(f"burst {count}")
        readers = await _children(stack, "readers", list(counts), where)
        found: dict[str, list[Json]] = {name: [] for name in readers}
        for number in range(rounds + 1):
            for name, reader in readers.items():
                count = counts[name]
                result = await reader.ask({"plural": f"burst{count}", "count": count})
                if number:  # the first warms everything up
                    found[name].append(result)
    group = "watch events of 6 KB in a burst, over TLS"
    rate = {name: [each["events"] / each["seconds"] for each in results] for name, results in found.items()}
    cpu = {name: [1e6 * each["cpu"] / each["events"] for each in results] for name, results in found.items()}
    labels = {
        "ours": "Reflector, Store, WorkQueue",
        "bare": "bare aiohttp + msgspec",
        "kubernetes-asyncio": "kubernetes-asyncio Watch",
    }
    return [
        *(Figure(group, labels[name], "events/s", tuple(rate[name])) for name in labels),
        *(Figure(group, f"{labels[name]}: CPU", "µs/event", tuple(cpu[name])) for name in labels),
        ratios(group, "ours by bare", rate["ours"], rate["bare"], Goal(">=", 0.60, "×")),
        ratios(group, "ours by bare, per CPU second", cpu["bare"], cpu["ours"], Goal(">=", 0.60, "×")),
        ratios(group, "ours by kubernetes-asyncio", rate["ours"], rate["kubernetes-asyncio"], Goal(">=", 8.0, "×")),
    ]


async def steady(*, quick: bool) -> list[Figure]:
    """Single events at an even pace: the CPU that each costs when nothing is batched."""
    sizes = Rounds(quick=quick)
    count = sizes.steady_events
    async with _generator() as (generator, where), AsyncExitStack() as stack:
        await generator.ask(f"paced {count}")
        readers = await _children(stack, "readers", ["ours", "bare"], where)
        cpu: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(sizes.steady):
            for name, reader in readers.items():
                result = await reader.ask({"plural": f"paced{count}", "count": count})
                cpu[name].append(1e6 * result["cpu"] / count)
    group = f"{PACE:g} single watch events of 6 KB a second, over TLS"
    return [
        Figure(group, "Reflector, Store, WorkQueue: CPU", "µs/event", tuple(cpu["ours"]), Goal("<=", 705, "µs")),
        Figure(group, "bare aiohttp + msgspec: CPU", "µs/event", tuple(cpu["bare"])),
    ]


async def memory(*, quick: bool) -> list[Figure]:
    """What 10,000 cached objects take, and how much more while they are listed."""
    found: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    async with _generator() as (generator, where):
        for way in ("listed", "paged"):
            await generator.ask(f"{way} {OBJECTS}")
        for _ in range(Rounds(quick=quick).memory):
            for name, way in (("ours", "listed"), ("ours", "paged"), ("dictionaries", "paged")):
                async with child("holders", [name, f"{way}{OBJECTS}", str(OBJECTS), *where]) as holder:
                    found.setdefault((name, way), []).append(holder.hello)
    group = "memory of 10,000 cached objects of 6 KB"

    def row(name: str, way: str, key: str, label: str, goal: Goal | None = None) -> Figure:
        return Figure(group, label, "MiB", tuple(each[key] for each in found[name, way]), goal)

    return [
        row("ours", "listed", "growth", "streaming list: growth", Goal("<=", 85, "MiB")),
        row("ours", "listed", "peak", "streaming list: peak above the final figure", Goal("<=", 10, "MiB")),
        row("ours", "paged", "growth", "paged list: growth", Goal("<=", 85, "MiB")),
        row("ours", "paged", "peak", "paged list: peak above the final figure", Goal("<=", 10, "MiB")),
        row("ours", "listed", "process", "the whole process"),
        row("dictionaries", "paged", "growth", "json.loads: growth"),
        row("dictionaries", "paged", "process", "json.loads: the whole process"),
    ]


async def calls(*, quick: bool) -> list[Figure]:
    """CPU of one API call about a 6 KB object."""
    found: dict[tuple[str, str], list[float]] = {}
    async with _generator() as (_, where), AsyncExitStack() as stack:
        callers = await _children(stack, "callers", ["ours", "bare"], where)
        for number in range(Rounds(quick=quick).calls + 1):
            for verb in ("get", "patch"):
                for name, caller in callers.items():
                    result = await caller.ask({"verb": verb, "count": CALLS})
                    if number:
                        found.setdefault((name, verb), []).append(1e6 * result["cpu"])
    group = "CPU of an API call about a 6 KB object, over TLS"
    figures: list[Figure] = []
    for verb in ("get", "patch"):
        ours, bare = found["ours", verb], found["bare", verb]
        figures += [
            Figure(group, f"Client.{verb}", "µs", tuple(ours)),
            Figure(group, f"bare aiohttp {verb.upper()} + msgspec", "µs", tuple(bare)),
            ratios(group, f"{verb}: ours by bare", ours, bare, Goal("<=", 1.3, "×")),
        ]
    return figures
