"""What it costs to render one K8ssandraCluster of three datacenters, beside writing down what comes out of it.

``python -m tests.bench.rendering ROUNDS`` measures, in a process of its own, and prints JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from controller.cassandra import facts
from controller.cassandra.render import Facts, Rendered, render
from controller.cassandra.types import K8ssandraCluster
from controller.kube.objects import decode
from tests.bench.report import Figure, Goal, ratios

SAMPLES: Final = Path(__file__).parents[2] / "manifests" / "samples"
ROUNDS: Final = (3, 9)  # quick, else
AT_LEAST: Final = 0.1  # s of CPU in each round
GROUP: Final = "one K8ssandraCluster of three datacenters rendered, CPU"
MANIFESTS: Final = {"demo": "plain", "full": "with TLS, racks, configuration of single nodes"}


async def rendering(*, quick: bool) -> list[Figure]:
    """Each sample: rendered anew, decoded and rendered, and its objects encoded by others."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.rendering", str(ROUNDS[not quick]), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    measured: dict[str, dict[str, list[float]]] = json.loads(output)
    figures = []
    for name, what in MANIFESTS.items():
        found = measured[name]
        figures += [
            Figure(GROUP, f"{what}: the first in its process", "ms", tuple(found["first"])),
            Figure(GROUP, f"{what}: rendered", "ms", tuple(found["render"]), Goal("<=", 3.0, "ms")),
            Figure(GROUP, f"{what}: decoded and rendered", "ms", tuple(found["decode and render"])),
            Figure(GROUP, f"{what}: its objects as JSON, hashed", "ms", tuple(found["json"]), note="json, sha256"),
            Figure(GROUP, f"{what}: its objects as YAML", "ms", tuple(found["yaml"]), note="libyaml"),
            ratios(GROUP, f"{what}: rendered by YAML", found["render"], found["yaml"], Goal("<=", 1.0)),
        ]
    return figures


def _measure(name: str, rounds: int) -> dict[str, list[float]]:
    documents = list(yaml.safe_load_all((SAMPLES / f"{name}.yaml").read_text("utf-8")))
    (manifest,) = (each for each in documents if each["kind"] == "K8ssandraCluster")
    manifest["metadata"].setdefault("namespace", "k8ssandra-operator")
    raw = msgspec.json.encode(manifest)
    cluster = decode(raw, K8ssandraCluster)
    known = _facts(cluster, documents)
    started = time.process_time()
    made = render(cluster, known)
    first = 1e3 * (time.process_time() - started)
    assert (made.errors, len(made.datacenters)) == ((), 3)
    objects = _objects(made)
    cases: dict[str, Callable[[], object]] = {
        "render": lambda: render(cluster, known),
        "decode and render": lambda: render(decode(raw, K8ssandraCluster), known),
        "json": lambda: [hashlib.sha256(json.dumps(obj, sort_keys=True).encode()).hexdigest() for obj in objects],
        "yaml": lambda: yaml.dump(objects, Dumper=yaml.CSafeDumper),
    }
    found: dict[str, list[float]] = {"first": [first], **{case: [] for case in cases}}
    for _ in range(rounds):
        for case, work in cases.items():  # side by side: what disturbs one disturbs the other
            found[case].append(_milliseconds(work))
    return found


def _facts(cluster: K8ssandraCluster, documents: list[dict[str, Any]]) -> Facts:
    def find(kind: str) -> facts.Find:
        return lambda _, namespace, name: next(
            (each for each in documents if each["kind"] == kind and each["metadata"]["name"] == name), None
        )

    known, problems = facts.gather(cluster, find("Secret"), find("ConfigMap"))
    assert problems == []
    return known


def _objects(made: Rendered) -> list[dict[str, Any]]:
    return [obj for each in made.datacenters for obj in (*each.config_maps, each.object)]


def _milliseconds(work: Callable[[], object]) -> float:
    """CPU of one, from as many as fill a round."""
    started = time.process_time()
    times = 0
    while (spent := time.process_time() - started) < AT_LEAST:
        work()
        times += 1
    return 1e3 * spent / times


if __name__ == "__main__":
    print(json.dumps({name: _measure(name, int(sys.argv[1])) for name in MANIFESTS}))
