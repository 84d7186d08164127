"""What the annotations that steer a K8ssandraCluster may say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from controller.cassandra import labels
from controller.cassandra.problems import FieldProblem
from controller.cassandra.system_replication import parse_replication


def check(annotations: Mapping[str, str]) -> Iterator[FieldProblem]:
    """The annotations of a K8ssandraCluster whose value means nothing."""
    for key, (understood, remedy) in _RULES.items():
        if (value := annotations.get(key)) is not None and not understood(value):
            yield FieldProblem(field(key), "has a value that means nothing", remedy, reason="InvalidAnnotation")


def field(key: str) -> str:
    """The path of an annotation."""
    return f"metadata.annotations[{key}]"


def _replication_by_datacenter(text: str) -> bool:
    """Whether it is a map of datacenters to maps of keyspaces to numbers of replicas."""
    try:
        found = msgspec.json.decode(text, type=dict[str, dict[str, int]])
    except (msgspec.MsgspecError, RecursionError):
        return False
    return all(replicas >= 0 for keyspaces in found.values() for replicas in keyspaces.values())


_RULES: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    labels.AUTOUPDATE_SPEC: (lambda text: text in ("once", "always"), "use once or always, or remove it"),
    labels.INITIAL_SYSTEM_REPLICATION: (
        lambda text: parse_replication(text) is not None,
        'use a map of datacenters to numbers of replicas, as {"dc1": 3}',
    ),
    labels.DC_REPLICATION: (
        _replication_by_datacenter,
        'use a map of datacenters to keyspaces to numbers of replicas, as {"dc2": {"shop": 3}}',
    ),
}
