"""What the definition of K8ssandraClusters says in CEL: rules that need nothing but the object and what it was.

API servers hold them without any webhook, from Kubernetes 1.30 on. Every field is looked at only where it is there: a
rule that fails to evaluate refuses. And what breaks a rule already goes on breaking it: the definition may come after
the object, and neither a finalizer nor a status may be stuck then. API servers do that by themselves only where nothing
below preserves unknown fields, which is not the case here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

DATACENTERS: Final = 64  # rules over all pairs of datacenters have to fit into an API server's budget
NAME_LENGTH: Final = 63  # characters of an RFC 1035 label
FREE_NAME_LENGTH: Final = 253  # characters of names that are no label: enough for all, and a bound for the budget

_LABEL: Final = "^[a-z]([-a-z0-9]*[a-z0-9])?$"


def _state(rule: Callable[[str], str], message: str) -> dict[str, Any]:
    """A rule about one object, unless what it was broke it too; ``rule`` writes it for an expression."""
    text = f"({rule('self')}) || oldSelf.hasValue() && !({rule('oldSelf.value()')})"
    return {"rule": text, "message": message, "optionalOldSelf": True}


def _change(rule: str, message: str) -> dict[str, Any]:
    """A rule about a change; one that changes nothing has to keep it."""
    return {"rule": rule, "message": message}


def _each(condition: str, unless: str = "") -> Callable[[str], str]:
    """A condition that each datacenter ``d`` of a cluster keeps; ``@`` stands for the cluster.

    ``unless``: what of the cluster makes it hold for all of them, which is found out once.
    """

    def rule(cluster: str) -> str:
        datacenters = f"{cluster}.datacenters"
        first = f"{unless} || " if unless else ""
        return f"{first}!has({datacenters}) || {datacenters}.all(d, {condition})".replace("@", cluster)

    return rule


# ── the names of datacenters ────────────────────────────────────────────────────────────────────────
#
# To read a field of an object an API server lists all fields that the object may have, which takes it some 20 µs for a
# datacenter, and it judges every write of a K8ssandraCluster, of its status too. So the names are read once for all
# that is asked of them, and not for each condition, or even for each pair of datacenters.


def _names(cluster: str) -> str:
    """Of each datacenter [metadata.name, the name inside Cassandra]."""
    name = "has(d.datacenterName) && d.datacenterName != '' ? d.datacenterName : n"
    return f"has({cluster}.datacenters) ? {cluster}.datacenters.map(d, [d.metadata.name].map(n, [n, {name}])[0]) : []"


def _differ(which: int) -> str:
    return f"{{0}}.all(n, {{0}}.exists_one(o, o[{which}] == n[{which}]))"


# Conditions that the names {0} keep, and what to say where they do not.
_OF_NAMES: Final = [
    (
        f"{{0}}.all(n, n[0].matches('{_LABEL}'))",
        "a datacenter's metadata.name is no DNS label: use lower-case letters, digits and -; for other names there is "
        "datacenterName",
    ),
    (_differ(0), "two datacenters have one metadata.name: give every datacenter a name of its own"),
    (
        _differ(1),
        "two datacenters have one name inside Cassandra: give every datacenter a datacenterName of its own",
    ),
]
_OF_CHANGES: Final = [
    (
        "now.all(n, n in before || !before.exists(o, o[0] == n[0]))",
        "datacenterName cannot change: put it back",
    ),
    (
        "now.all(n, before.exists(o, o[0] == n[0])) || before.all(o, now.exists(n, n[0] == o[0]))",
        "a datacenter is added while another is removed: do one after the other; to rename a datacenter loses its data",
    ),
]


def _all(conditions: Iterable[str]) -> str:
    return " && ".join(f"({condition})" for condition in conditions)


def _said(conditions: Iterable[tuple[str, str]]) -> str:
    """What is to be said where some of the conditions do not hold."""
    return " + ".join(f'({condition} ? "" : "{message}. ")' for condition, message in conditions)


def _state_of_names() -> dict[str, Any]:
    """What was broken before may stay so. API servers give no optional ``oldSelf`` to the expression of a message."""
    now, before = _names("self"), _names("oldSelf.value()")
    kept = _all(condition.format("now") for condition, _ in _OF_NAMES)
    as_before = _all(f"{each.format('now')} || !{each.format('before')}" for each, _ in _OF_NAMES)
    said = _said((condition.format("now"), message) for condition, message in _OF_NAMES)
    return {
        "rule": f"[{now}].all(now, {kept} || oldSelf.hasValue() && [{before}].all(before, {as_before}))",
        "messageExpression": f"[{now}].map(now, {said})[0]",
        "message": "the names of the datacenters are wrong",  # by servers that cannot say it better
        "optionalOldSelf": True,
    }


def _change_of_names() -> dict[str, Any]:
    now, before = _names("self"), _names("oldSelf")
    return {
        "rule": f"[{before}].all(before, [{now}].all(now, {_all(condition for condition, _ in _OF_CHANGES)}))",
        "messageExpression": f"[{before}].map(before, [{now}].map(now, {_said(_OF_CHANGES)})[0])[0]",
        "message": "the names of the datacenters cannot change like this",
    }


OF_SPEC: Final = [
    _state("has({}.cassandra)".format, "spec.cassandra is required: describe the Cassandra cluster"),
]

OF_CASSANDRA: Final[list[dict[str, Any]]] = [
    _state(
        "has({0}.datacenters) && size({0}.datacenters) > 0".format,
        "datacenters is empty: name at least one; to remove the last one, delete the K8ssandraCluster",
    ),
    _state_of_names(),
    _state(
        _each("has(d.storageConfig)", unless="has(@.storageConfig)"),
        "storageConfig is required: set it here or in each datacenter",
    ),
    _state(
        _each("has(d.serverVersion)", unless="has(@.serverVersion)"),
        "serverVersion is required: set it here or in each datacenter",
    ),
    _state(
        _each(
            "has(d.resources) || !(has(d.softPodAntiAffinity) ? d.softPodAntiAffinity : "
            "has(@.softPodAntiAffinity) && @.softPodAntiAffinity)",
            unless="has(@.resources)",
        ),
        "softPodAntiAffinity needs resources: set them here or in the datacenter",
    ),
    _change(
        "!has(oldSelf.clusterName) || oldSelf.clusterName == '' || "
        "has(self.clusterName) && self.clusterName == oldSelf.clusterName",
        "clusterName cannot change: put it back",
    ),
    _change_of_names(),
]
