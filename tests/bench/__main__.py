"""``python -m tests.bench [names…] [--real] [--quick] [--json FILE]``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tests.bench import convergence, latency, reading, rendering, report, scale
from tests.bench.report import Figure

Measure = Callable[[bool, bool], Awaitable[list[Figure]]]


async def _latency(quick: bool, real: bool) -> list[Figure]:
    return await latency.latency("real" if real else "embedded", quick=quick)


async def _convergence(quick: bool, real: bool) -> list[Figure]:
    return await convergence.convergence("real" if real else "embedded", quick=quick)


async def _scale(quick: bool, real: bool) -> list[Figure]:
    return await scale.scale("real" if real else "embedded", quick=quick)


MEASURES: Final[dict[str, Measure]] = {
    "burst": lambda quick, _: reading.burst(quick=quick),
    "steady": lambda quick, _: reading.steady(quick=quick),
    "memory": lambda quick, _: reading.memory(quick=quick),
    "calls": lambda quick, _: reading.calls(quick=quick),
    "render": lambda quick, _: rendering.rendering(quick=quick),
    "latency": _latency,
    "convergence": _convergence,
    "scale": _scale,
}
REAL: Final = ("latency", "convergence")  # what is measured on real servers when nothing is named
STEPS: Final = 1_000_000  # of the fixed calculation


def yardstick() -> float:
    """CPU milliseconds of a fixed calculation: a machine that others use too is not always as quick."""
    taken = []
    for _ in range(3):
        before = time.process_time()
        sum(number * number for number in range(STEPS))
        taken.append((time.process_time() - before) * 1000)
    return min(taken)


def main() -> int:
    """0 when every goal was met, 1 when one was missed, 2 when a figure could not be measured."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"what to measure: {', '.join(MEASURES)} (default: all)"
    )
    parser.add_argument(
        "--real", action="store_true", help=f"on real API servers; {' and '.join(REAL)} when no name is given"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a look, no measurement")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures, every round of them, to FILE")
    options = parser.parse_args()
    if unknown := set(options.names) - set(MEASURES):
        parser.error(f"there is no figure {', '.join(sorted(unknown))}")
    chosen = options.names or list(REAL if options.real else MEASURES)
    load = os.getloadavg()
    figures: list[Figure] = []
    failed = False
    for name in chosen:
        started, quickness = time.monotonic(), yardstick()
        try:
            found = asyncio.run(MEASURES[name](options.quick, options.real))
            speed = (quickness, yardstick())
            figures += [
                *found,
                Figure(found[-1].group, "the machine: a fixed calculation before and after", "ms", speed),
            ]
        except Exception:
            traceback.print_exc()  # the other figures are worth having
            failed = True
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(f"load of the machine before: {load[0]:.1f}, after: {os.getloadavg()[0]:.1f}")
    report.show(figures)
    if options.json is not None:
        report.write(options.json, figures, load)
    missed = [figure for figure in figures if figure.verdict == "missed"]
    print(f"{len(missed)} of {sum(figure.goal is not None for figure in figures)} goals missed")
    return 2 if failed else 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
