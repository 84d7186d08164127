"""How often a keyspace is kept, and where: as the Management API says it and takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from controller.kube.errors import Malformed

NETWORK_TOPOLOGY: Final = "org.apache.cassandra.locator.NetworkTopologyStrategy"
DATACENTERS_CAP: Final = 1000  # in one answer; far above what a cluster has
_NUMBER: Final = re.compile(r"[0-9]{1,6}")


class Replication(msgspec.Struct, frozen=True):
    """``strategy``: full class name. ``replicas``: by Cassandra's name of the datacenter; {} for another strategy."""

    strategy: str
    replicas: Mapping[str, int]

    @property
    def by_datacenter(self) -> bool:
        """Whether it says for each datacenter how many replicas there are."""
        return self.strategy == NETWORK_TOPOLOGY


def parse_replication(answer: Any) -> Replication:
    """What an answer says; raises ``Malformed``, also for what is not understood, which must never be overwritten."""
    if not isinstance(answer, dict) or len(answer) > DATACENTERS_CAP:
        raise Malformed("the replication of a keyspace is no map")
    rest = dict(answer)
    strategy = rest.pop("class", None)
    if not isinstance(strategy, str) or len(strategy) > 253:
        raise Malformed("the replication of a keyspace names no class")
    if "." not in strategy:
        strategy = f"org.apache.cassandra.locator.{strategy}"
    if strategy != NETWORK_TOPOLOGY:
        return Replication(strategy, {})
    replicas = {}
    for name, number in rest.items():
        text = str(number) if isinstance(number, (str, int)) and not isinstance(number, bool) else ""
        if not isinstance(name, str) or not _NUMBER.fullmatch(text):
            raise Malformed("the replication of a keyspace has a number of replicas that is none")
        replicas[name] = int(text)
    return Replication(strategy, replicas)


def settings(keyspace: str, replicas: Mapping[str, int]) -> dict[str, Any]:
    """The body of a call that creates or alters a keyspace."""
    return {
        "keyspace_name": keyspace,
        "replication_settings": [
            {"dc_name": name, "replication_factor": str(number)} for name, number in sorted(replicas.items())
        ],
    }


def parse_versions(answer: Any) -> list[str]:
    """The schema versions that reachable nodes have; raises ``Malformed``."""
    if not isinstance(answer, dict) or len(answer) > DATACENTERS_CAP:
        raise Malformed("the schema versions are no map")
    return [version for version in answer if version != "UNREACHABLE"]
