"""Manifests of K8ssandraClusters, and what they become: ``cases/`` in, ``expected/`` out, compared by meaning.

``make golden`` writes ``expected/`` anew from the product. What stands there is held by the product and by
``oracle``, a second writing of the rules; a change that both do not agree on does not go through.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from controller.cassandra import facts
from controller.cassandra.render import Rendered, render
from controller.cassandra.render.per_node import SCRIPT
from controller.cassandra.types import K8ssandraCluster
from controller.kube.objects import decode
from tests.golden import oracle

Json = dict[str, Any]
HERE: Final = Path(__file__).parent
CASES: Final = HERE / "cases"
EXPECTED: Final = HERE / "expected"
DEFAULT_RULES: Final = (HERE / "metrics-collector.yaml").read_text("utf-8")  # of the metrics agent, exactly so
THE_DEFAULT: Final = "(the default rules)"
_HASH: Final = "k8ssandra.io/resource-hash"
_NODES_HASH: Final = "k8ssandra.io/per-node-config-hash"
_SAYS_BY_BEING_THERE: Final = ("insecure", "emptyDir", "additional-jvm-opts")


def names() -> list[str]:
    """The cases, as ``merge/racks``."""
    return sorted(str(path.relative_to(CASES).with_suffix("")) for path in CASES.rglob("*.yaml"))


def documents(name: str) -> list[Json]:
    """The manifests of a case: one K8ssandraCluster, and the Secrets and ConfigMaps that it names."""
    return list(yaml.safe_load_all((CASES / f"{name}.yaml").read_text("utf-8")))


def cluster(manifests: list[Json]) -> K8ssandraCluster:
    (found,) = (each for each in manifests if each["kind"] == "K8ssandraCluster")
    return decode(msgspec.json.encode(found), K8ssandraCluster)


def rendered(manifests: list[Json]) -> Rendered:
    """What the product makes of them."""
    given = cluster(manifests)

    def find(kind: str) -> facts.Find:
        return lambda _, namespace, name: next(
            (each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name), None
        )

    known, problems = facts.gather(given, find("Secret"), find("ConfigMap"))
    assert problems == []
    return render(given, known)


def made(result: Rendered) -> Json:
    """A rendering as ``expected/`` has it: objects by context, and what is said about the specification."""
    objects: dict[str, list[Any]] = {}
    for datacenter in result.datacenters:
        objects.setdefault(datacenter.context, []).extend(
            meaning(obj) for obj in (*datacenter.config_maps, datacenter.object)
        )
    kinds = (("error", result.errors), ("unsupported", result.unsupported), ("warning", result.warnings))
    said = [f"{kind}: {problem.field}" for kind, problems in kinds for problem in problems]
    return {"objects": objects, **({"said": said} if said else {})}


def expected(name: str) -> Json:
    found: Json = yaml.safe_load((EXPECTED / f"{name}.yaml").read_text("utf-8"))
    return found


def foretold(manifests: list[Json]) -> dict[str, list[Any]]:
    """What the rules say, by their second writing."""
    return {context: [meaning(obj) for obj in objects] for context, objects in oracle.objects(manifests).items()}


def meaning(obj: Json) -> Any:
    """An object without what says nothing: null, {} and [] outside of configuration files, hashes, long texts."""
    found = _stripped(obj)
    found["metadata"].get("annotations", {}).pop(_HASH, None)
    if not found["metadata"].get("annotations"):
        found["metadata"].pop("annotations", None)
    if found.get("data", {}).get(oracle.METRICS) == DEFAULT_RULES:
        found["data"][oracle.METRICS] = THE_DEFAULT
    return found


def _stripped(value: Any) -> Any:
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    if not isinstance(value, dict):
        return oracle.SCRIPT if value == SCRIPT else value
    found = {}
    for key, item in value.items():
        inner = item if key == "config" else _stripped(item)
        if key == _NODES_HASH:
            inner = oracle.HASH
        if (inner is None or inner in ({}, [])) and key not in _SAYS_BY_BEING_THERE:
            continue
        found[key] = inner
    return found
