"""How time, memory and requests grow with the number of K8ssandraClusters that are made at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from tests.bench import stage
from tests.bench.convergence import CONTROLLER, OWN_TIME, Bench, readiness
from tests.bench.report import Figure, Goal
from tests.bench.script import PLACEHOLDER

SIZES: Final = (25, 50, 100, 200)  # K8ssandraClusters of three datacenters
QUICK: Final = (10, 20)
WITHIN: Final = 600.0  # s for the largest fleet
GROWTH: Final = 1.25  # of what one K8ssandraCluster costs, from the smallest fleet to the largest: 1 is linear


class Fleet(msgspec.Struct, frozen=True):
    """What ``count`` K8ssandraClusters cost. ``memory``: MiB by which the controller has grown."""

    count: int
    seconds: float
    cpu: float
    memory: float
    before: float
    requests: float
    passes: float


async def scale(kind: str, *, quick: bool) -> list[Figure]:
    """Each size in a world of its own. ``kind``: embedded or real."""
    return _figures(kind, [await _measure(kind, count) for count in (QUICK if quick else SIZES)])


async def _measure(kind: str, count: int) -> Fleet:
    async with (
        stage.servers(kind) as found,
        stage.prepared(found, CONTROLLER) as world,
        stage.operated(world, OWN_TIME),
        stage.controller(found, world) as running,
        readiness(world) as ready,
    ):
        bench = Bench(found, world, running, ready)
        await bench.converge([PLACEHOLDER])
        before = running.memory()
        made = await bench.converge([f"fleet-{number}" for number in range(count)], within=WITHIN)
        return Fleet(
            count=count,
            seconds=made.seconds,
            cpu=made.cpu["controller"],
            memory=running.memory() - before,
            before=before,
            requests=stage.unary(made.requests),
            passes=made.passes,
        )


def _figures(kind: str, fleets: Sequence[Fleet]) -> list[Figure]:
    group = f"fleets of K8ssandraClusters with three datacenters, made at once, {kind} servers"
    figures: list[Figure] = []
    for each in fleets:
        name = f"{each.count} K8ssandraClusters"
        figures += [
            Figure(group, f"{name}: all Ready", "s", (each.seconds,), note=f"{each.seconds / each.count:.3f} each"),
            Figure(group, f"{name}: CPU of the controller", "s", (each.cpu,), note=f"{each.cpu / each.count:.4f} each"),
            Figure(
                group,
                f"{name}: memory of the controller, growth",
                "MiB",
                (each.memory,),
                note=f"{each.memory / each.count:.3f} each, {each.before:.0f} before",
            ),
            Figure(
                group,
                f"{name}: requests",
                "",
                (each.requests,),
                note=f"{each.requests / each.count:.1f} each, {each.passes / each.count:.0f} passes each",
            ),
        ]
    small, large = fleets[0], fleets[-1]
    span = f"from {small.count} to {large.count}"
    for name, field in (("seconds", "seconds"), ("CPU", "cpu"), ("memory", "memory"), ("requests", "requests")):
        grown = (getattr(large, field) / large.count) / (getattr(small, field) / small.count)
        figures.append(Figure(group, f"{name} for each, {span}", "×", (grown,), Goal("<=", GROWTH, "×")))
    return figures
