"""Initial tokens: with few tokens a node, evenly spread ones are given to the first nodes of each datacenter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from controller.cassandra import labels, names
from controller.cassandra.compare import canonical_hash, stamped
from controller.cassandra.render.per_node import PerNodeConfig
from controller.cassandra.render.template import Template
from controller.cassandra.types import CassandraConfig

FEW: Final = 16  # tokens a node, from which on Cassandra's own choice is good enough
_REPLICATION_FACTOR: Final = 3
_LEAST_SHARES: Final = 235  # parts of the ring by which datacenters are shifted against each other, at the least


class Partitioner(msgspec.Struct, frozen=True):
    """The ring: how many tokens it has, and the least of them."""

    size: int
    least: int


MURMUR3: Final = Partitioner(2**64, -(2**63))
RANDOM: Final = Partitioner(2**127, 0)


def tokens(partitioner: Partitioner, counts: Sequence[int]) -> list[list[int]]:
    """Tokens for datacenters with that many each, evenly spread and shifted against each other; sorted."""
    shift = -partitioner.size // max(len(counts) * max(counts) * 2, _LEAST_SHARES)
    found = []
    for index, count in enumerate(counts):
        step = partitioner.size // count
        ring = (place * step + shift * index + partitioner.least for place in range(count))
        found.append(sorted(token + partitioner.size if token < partitioner.least else token for token in ring))
    return found


def token_config_maps(templates: Sequence[Template]) -> list[dict[str, Any]]:
    """The ConfigMap of each datacenter, in the order of the specification; [] when there are to be none.

    There are some when every datacenter has fewer than 16 tokens a node, all have the same partitioner, no user
    gives a ConfigMap of their own, and no token would be given twice.
    """
    settings = [_settings(template) for template in templates]
    known = [setting for setting in settings if setting is not None]
    if len(known) < len(settings) or len({partitioner for partitioner, _, _ in known}) != 1:
        return []
    partitioner = known[0][0]
    spread = tokens(partitioner, [number * factor for _, number, factor in known])
    if len({token for ring in spread for token in ring}) < sum(map(len, spread)):
        return []
    return [
        _config_map(template, ring, factor)
        for template, ring, (_, _, factor) in zip(templates, spread, known, strict=True)
    ]


def per_node_config(config_map: dict[str, Any], image: str) -> PerNodeConfig:
    """What such a ConfigMap adds to the pods."""
    return PerNodeConfig(config_map["metadata"]["name"], canonical_hash(config_map), image)


def _settings(template: Template) -> tuple[Partitioner, int, int] | None:
    """Partitioner, tokens a node, and number of nodes that get tokens; None when tokens are left to Cassandra."""
    yaml = (template.options.config or CassandraConfig()).cassandra_yaml
    reference = template.datacenter.per_node_config_map_ref
    number = _count(yaml.get("num_tokens"))
    if (reference is not None and reference.name) or number is None or number >= FEW or template.datacenter.size < 1:
        return None
    name = yaml.get("partitioner") or "Murmur3"
    if not isinstance(name, str):
        return None
    partitioner = MURMUR3 if "Murmur3" in name else RANDOM if "Random" in name else None
    if partitioner is None:
        return None
    given = yaml.get("allocate_tokens_for_local_replication_factor")
    factor = _REPLICATION_FACTOR if given is None else _count(given)
    if factor is None:
        return None  # for how many replicas, nobody can tell
    return partitioner, number, min(factor, template.datacenter.size)


def _count(value: Any) -> int | None:
    """A number of one or more, as a file may have it; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1 or value != int(value):
        return None
    return int(value)


def _config_map(template: Template, ring: list[int], nodes: int) -> dict[str, Any]:
    cluster, datacenter = template.cluster, template.datacenter
    racks = [rack.name for rack in template.options.racks or ()] or [names.DEFAULT_RACK]
    content = {}
    for node in range(nodes):
        stateful_set = names.stateful_set(cluster.cass_name, datacenter.name, racks[node % len(racks)])
        own = ",".join(str(token) for token in ring[node::nodes])
        content[f"{stateful_set}-{node // len(racks)}_cassandra.yaml"] = f"\ninitial_token: {own}"
    return stamped(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": names.per_node_config_map(cluster.cass_name, datacenter.cass_name),
                "namespace": template.namespace,
                "labels": {
                    labels.APP_NAME: labels.OPERATOR_NAME,
                    labels.APP_COMPONENT: "cassandra",
                    labels.APP_PART_OF: "k8ssandra",
                    **labels.cleaned_up(cluster.name, cluster.namespace),
                },
            },
            "data": content,
        }
    )
