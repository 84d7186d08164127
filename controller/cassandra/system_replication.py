"""Replication of the system keyspaces of a cluster that is not there yet, and the annotation that keeps it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from controller.cassandra.types import K8ssandraCluster

REPLICAS: Final = 3  # of the system keyspaces in a datacenter, or its size when that is less


def initial_system_replication(cluster: K8ssandraCluster) -> dict[str, int]:
    """Replicas by Cassandra name: the first datacenter, and three for every external one; {} without datacenters."""
    template = cluster.spec.cassandra
    if template is None or not template.datacenters:
        return {}
    first = template.datacenters[0]
    return {first.cass_name: min(REPLICAS, first.size), **dict.fromkeys(cluster.spec.external_datacenters, REPLICAS)}


def format_replication(replication: dict[str, int]) -> str:
    """The annotation's value: compact JSON with sorted keys."""
    return msgspec.json.encode(replication, order="sorted").decode()


def parse_replication(text: str) -> dict[str, int] | None:
    """What the annotation says, also in the form of old versions (names and one number); None when unreadable."""
    try:
        value: Any = msgspec.json.decode(text)
        if isinstance(value, dict) and isinstance(value.get("datacenters"), list):
            legacy = msgspec.convert(value, _Legacy)
            return dict.fromkeys(legacy.datacenters, legacy.replicationFactor)
        return msgspec.convert(value, dict[str, int])
    except (msgspec.MsgspecError, RecursionError):
        return None


class _Legacy(msgspec.Struct):
    datacenters: list[str]
    replicationFactor: int
