"""What the annotations that steer a K8ssandraCluster may say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from controller.cassandra import labels
from controller.cassandra.problems import FieldProblem
from controller.cassandra.system_replication import parse_replication

_UNITS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION: Final = re.compile(r"(?:\d{1,6}[dhms]){1,4}")
_PARTS: Final = re.compile(r"(\d+)([dhms])")


def check(annotations: Mapping[str, str]) -> Iterator[FieldProblem]:
    """The annotations of a K8ssandraCluster whose value means nothing."""
    for key, (understood, remedy) in _RULES.items():
        if (value := annotations.get(key)) is not None and not understood(value):
            yield FieldProblem(field(key), "has a value that means nothing", remedy, reason="InvalidAnnotation")


def said(annotations: Mapping[str, str]) -> str:
    """What those annotations say that are judged here, as one text to compare."""
    return "\n".join(f"{key}={annotations[key]}" for key in _RULES if key in annotations)


def drop_after(text: str) -> float | None:
    """Seconds after which stale seeds are dropped, None for never, of the annotation ``k8ssandra.io/stale-seeds``.

    ``keep``, or ``drop-after=`` with a duration as ``90s``, ``1h30m`` or ``7d``. Raises ``ValueError`` for another.
    """
    if text in ("", "keep"):
        return None
    kind, _, duration = text.partition("=")
    if kind != "drop-after" or not _DURATION.fullmatch(duration):
        raise ValueError(text)
    return sum(int(number) * _UNITS[unit] for number, unit in _PARTS.findall(duration))


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


def _is_policy(text: str) -> bool:
    try:
        drop_after(text)
    except ValueError:
        return False
    return True


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
    labels.STALE_SEEDS: (_is_policy, "use keep, or drop-after=<duration> as drop-after=1h30m"),
}
