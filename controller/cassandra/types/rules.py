"""What the definition of K8ssandraClusters says in CEL: rules that need nothing but the object and what it was.

API servers hold them without any webhook, from Kubernetes 1.30 on. Every field is looked at only where it is there: a
rule that fails to evaluate refuses. And what breaks a rule already goes on breaking it: the definition may come after
the object, and neither a finalizer nor a status may be stuck then. API servers do that by themselves only where nothing
below preserves unknown fields, which is not the case here.
"""

from __future__ import annotations

from collections.abc import Callable
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


def _no_two(name: str) -> Callable[[str], str]:
    """No two datacenters ``d`` have one ``name``."""

    def rule(cluster: str) -> str:
        names = f"{cluster}.datacenters.map(d, {name})"
        return f"!has({cluster}.datacenters) || {_let('names', names, 'names.all(n, names.exists_one(o, o == n))')}"

    return rule


def _let(variable: str, value: str, rule: str) -> str:
    """A rule over a value that is worked out once.

    To read a field of an object an API server lists all fields that the object may have, which takes it some 20 µs for
    a datacenter. Whatever compares datacenters with each other has to read each of them once, or every write of a
    K8ssandraCluster, its status too, costs 170 ms with twenty of them.
    """
    return f"[{value}].all({variable}, {rule})"


_NAME: Final = "d.metadata.name"
_CASS_NAME: Final = f"(has(d.datacenterName) && d.datacenterName != '' ? d.datacenterName : {_NAME})"


OF_SPEC: Final = [
    _state("has({}.cassandra)".format, "spec.cassandra is required: describe the Cassandra cluster"),
]

OF_CASSANDRA: Final[list[dict[str, Any]]] = [
    _state(
        "has({0}.datacenters) && size({0}.datacenters) > 0".format,
        "datacenters is empty: name at least one; to remove the last one, delete the K8ssandraCluster",
    ),
    _state(
        _each(f"{_NAME}.matches('{_LABEL}')"),
        "a datacenter's metadata.name is no DNS label: use lower-case letters, digits and -; for other names there is "
        "datacenterName",
    ),
    _state(_no_two(_NAME), "two datacenters have one metadata.name: give every datacenter a name of its own"),
    _state(
        _no_two(_CASS_NAME),
        "two datacenters have one name inside Cassandra: give every datacenter a datacenterName of its own",
    ),
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
    _change(
        "!has(self.datacenters) || !has(oldSelf.datacenters) || "
        + _let(
            "before",
            f"oldSelf.datacenters.map(d, [{_NAME}, {_CASS_NAME}])",
            f"self.datacenters.map(d, [{_NAME}, {_CASS_NAME}]).all(n, n in before || !before.exists(o, o[0] == n[0]))",
        ),
        "datacenterName cannot change: put it back",
    ),
    _change(
        "!has(self.datacenters) || !has(oldSelf.datacenters) || "
        + _let(
            "before",
            f"oldSelf.datacenters.map(d, {_NAME})",
            _let(
                "now",
                f"self.datacenters.map(d, {_NAME})",
                "now.all(n, n in before) || before.all(o, o in now)",
            ),
        ),
        "a datacenter is added while another is removed: do one after the other; to rename a datacenter loses its data",
    ),
]
