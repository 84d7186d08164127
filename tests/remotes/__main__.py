"""``python -m tests.remotes [names…] [--real] [--quick] [--json FILE]``: measured results beside the goals."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
import traceback
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from tests.bench import report
from tests.remotes import crowd, idle, limits, links, outages, reference, reload, removal, rotation, starting
from tests.remotes.verdicts import Findings


class Measure(Protocol):
    """One group of figures."""

    def __call__(self, found: Findings, *, quick: bool) -> Coroutine[Any, Any, None]: ...


MEASURES: Final[dict[str, Measure]] = {
    "outages": outages.outages,
    "start": starting.start,
    "rotation": rotation.rotation,
    "removal": removal.removal,
    "links": links.links,
    "limits": limits.limits,
    "reload": reload.reload,
    "crowd": crowd.crowd,
    "reference": reference.reference,
    "reference-real": partial(reference.reference, kind="real"),
    "idle": idle.idle,  # the last: it makes this process's own TLS buffers small
}
ON_REAL: Final = "reference-real"
SLOW: Final = ("reference", "idle")  # a look does without them


def main() -> int:
    """0 when every goal was met, 1 when one was missed, 2 when a figure could not be measured."""
    parser = argparse.ArgumentParser(prog="make bench-remotes ARGS=", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"what to measure: {', '.join(MEASURES)}")
    parser.add_argument("--real", action="store_true", help=f"only {ON_REAL}, on four real API servers")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a look, no measurement")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures, every round of them, to FILE")
    options = parser.parse_args()
    if unknown := set(options.names) - set(MEASURES):
        parser.error(f"there is no figure {', '.join(sorted(unknown))}")
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # clients that go away are what this is about
    load = os.getloadavg()
    found = Findings()
    if options.names:
        chosen = options.names
    elif options.real:
        chosen = [ON_REAL]
    else:
        left_out = {ON_REAL, *(SLOW if options.quick else ())}
        chosen = [name for name in MEASURES if name not in left_out]
    for name in chosen:
        started = time.monotonic()
        try:
            asyncio.run(MEASURES[name](found, quick=options.quick))
        except Exception:
            traceback.print_exc()  # the other figures are worth having
            found.failed.append(name)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(f"load of the machine before: {load[0]:.1f}, after: {os.getloadavg()[0]:.1f}")
    report.show(found.figures)
    if options.json is not None:
        report.write(options.json, found.figures, load)
    missed = [figure for figure in found.figures if figure.verdict == "missed"]
    print(f"{len(missed)} of {sum(figure.goal is not None for figure in found.figures)} goals missed")
    if found.failed:
        print(f"not measured: {', '.join(found.failed)}")
    return 2 if found.failed else 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
