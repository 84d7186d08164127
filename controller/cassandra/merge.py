"""What a datacenter inherits from its cluster: two specifications become one, the datacenter's word first.

The rules are the reference's (its merge of Go structs), as far as they are visible in what is rendered:

* Absent, ``0`` and ``""`` inherit. ``false`` overrides, except where the API has a plain boolean.
* Objects and maps merge key by key. A quantity that is there wins, ``0`` too.
* Lists replace, also by an empty one; lists of containers, ports, variables, volumes, mounts, devices and racks
  merge element by element: the cluster's order first, then what is new.
* Of alternatives (a volume's source, a variable's value, the handler of a probe, the kind of authentication) the
  datacenter's choice replaces the cluster's: two at once are never valid.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec

from controller.cassandra.types.options import ManagementApiAuth
from controller.kube.structs import Quantity

S = TypeVar("S", bound=msgspec.Struct)
_Merge = Callable[[Any, Any], Any]

# Lists of core types that merge by a key, by the name of their field.
_LIST_KEYS: Final[dict[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "ports": "containerPort",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
}
_PLAIN_BOOLEANS: Final = frozenset({"stdin", "stdinOnce", "tty", "readOnly"})  # in containers and their mounts
_QUANTITIES: Final = frozenset({"limits", "requests"})  # maps whose values are quantities
_HANDLERS: Final = frozenset({"exec", "httpGet", "tcpSocket", "grpc", "sleep"})  # of probes and hooks: one of them


def merge(cluster: S, datacenter: msgspec.Struct, kind: type[S]) -> S:
    """The fields of ``kind`` (a base of both), merged; other fields of the two are left out."""
    return kind(**{name: combine(getattr(cluster, name), getattr(datacenter, name)) for name, combine in _plan(kind)})


def merge_free(cluster: Mapping[str, Any], datacenter: Mapping[str, Any]) -> dict[str, Any]:
    """Contents of a configuration file: a datacenter's value wins unless it is the zero of the same type."""
    merged = dict(cluster)
    for key, value in datacenter.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = merge_free(before, value)
        elif before is None or (value is not None and not _inherits(before, value)):
            merged[key] = value
    return merged


def _inherits(before: Any, value: Any) -> bool:
    """Whether ``value`` is the zero of the type of ``before``."""
    if isinstance(value, bool) or isinstance(before, bool):
        return value is False and isinstance(before, bool)
    if isinstance(value, int | float):
        return value == 0 and isinstance(before, int | float)
    return value == "" and isinstance(before, str)


# ── typed structs ───────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=64)
def _plan(kind: type[msgspec.Struct]) -> tuple[tuple[str, _Merge], ...]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return tuple((name, _rule(name, hints[name])) for name in kind.__struct_fields__)


def _rule(name: str, hint: Any) -> _Merge:
    """How two values of a field are merged, by its type."""
    extra: dict[str, Any] = {}
    while True:
        if hint == Quantity:
            return _present
        origin = typing.get_origin(hint)
        if origin is typing.Annotated:
            for note in typing.get_args(hint)[1:]:
                if isinstance(note, msgspec.Meta):
                    extra.update(note.extra or {})
            hint = typing.get_args(hint)[0]
        elif origin is types.UnionType or origin is typing.Union:
            rest = [arm for arm in typing.get_args(hint) if arm is not type(None)]
            if len(rest) != 1:
                return _present  # what is left of a quantity after flattening of unions
            hint = rest[0]
        else:
            break
    if hint is ManagementApiAuth or name == "volume_source":
        return _present
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _struct(hint)
    if origin is list:
        if not extra.get("merge_by"):
            return _present
        return _list_rule(name, typing.get_args(hint)[0], extra["merge_by"])
    if origin is dict:
        if name in ("cassandra_yaml", "dse_yaml"):
            return merge_free
        return _core
    if hint is bool and not extra.get("plain_bool"):
        return _present
    return _truthy


def _present(cluster: Any, datacenter: Any) -> Any:
    return cluster if datacenter is None else datacenter


def _truthy(cluster: Any, datacenter: Any) -> Any:
    return datacenter if datacenter or cluster is None else cluster


def _struct(kind: type[msgspec.Struct]) -> _Merge:
    def combine(cluster: Any, datacenter: Any) -> Any:
        if cluster is None or datacenter is None or cluster == datacenter:
            return cluster if datacenter is None else datacenter
        return merge(cluster, datacenter, kind)

    return combine


def _list_rule(name: str, element: Any, key: str) -> _Merge:
    if isinstance(element, type) and issubclass(element, msgspec.Struct):
        inner = _struct(element)
        return lambda cluster, datacenter: _by_key(cluster, datacenter, lambda entry: getattr(entry, key), inner)
    combine = _element_rule(name)
    return lambda cluster, datacenter: _by_key(cluster, datacenter, _name(key), combine)


def _by_key(cluster: Any, datacenter: Any, key: Callable[[Any], Any], combine: _Merge) -> Any:
    if cluster is None or datacenter is None or not datacenter:
        # An empty list replaces, as it does where lists are not merged.
        return cluster if datacenter is None else datacenter
    own = {key(entry): entry for entry in datacenter}
    if len(own) < len(datacenter) or not all(isinstance(name, str | int) for name in own):
        return datacenter  # it is no list of named things; the validation says so
    merged = []
    for entry in cluster:
        other = own.pop(key(entry), None)
        merged.append(entry if other is None else combine(entry, other))
    return merged + list(own.values())


def _name(key: str) -> Callable[[Any], Any]:
    """What an entry of a list is called; None for what has no name."""

    def name(entry: Any) -> Any:
        found = entry.get(key) if isinstance(entry, Mapping) else None
        return found if isinstance(found, str | int) else None

    return name


# ── core types, which are plain maps ────────────────────────────────────────────────────────────────


def _core(cluster: Mapping[str, Any] | None, datacenter: Mapping[str, Any] | None, name: str = "") -> Any:
    """Two objects of a core type. ``name``: the field they stand in."""
    if not cluster or not datacenter:
        return datacenter or cluster or (datacenter if cluster is None else cluster)
    if name in _QUANTITIES:
        return {**cluster, **{key: value for key, value in datacenter.items() if value is not None}}
    merged = dict(cluster)
    if _HANDLERS & datacenter.keys() and _HANDLERS & merged.keys():
        chosen = {key for key in _HANDLERS & datacenter.keys() if datacenter[key] is not None}
        if chosen:
            merged = {key: value for key, value in merged.items() if key not in _HANDLERS - chosen}
    for key, value in datacenter.items():
        merged[key] = _core_value(key, merged.get(key), value)
    return merged


def _core_value(name: str, before: Any, value: Any) -> Any:
    if before is None or value is None:
        return before if value is None else value
    if isinstance(before, Mapping) and isinstance(value, Mapping):
        if name in ("volumeSource", "valueFrom"):
            return value
        return _core(before, value, name)
    if isinstance(before, list) and isinstance(value, list):
        if key := _LIST_KEYS.get(name):
            return _by_key(before, value, _name(key), _element_rule(name))
        return value
    if isinstance(value, bool):
        return before if not value and name in _PLAIN_BOOLEANS else value
    return before if value in (0, "") else value


def _element_rule(name: str) -> _Merge:
    if name == "env":
        return _variable
    if name == "volumes":
        return _volume
    return _core


def _variable(cluster: Mapping[str, Any], datacenter: Mapping[str, Any]) -> dict[str, Any]:
    """An environment variable: value or source, never both."""
    merged = {**cluster, **{key: value for key, value in datacenter.items() if value not in (None, "")}}
    if "value" in merged and "valueFrom" in merged:
        merged.pop("value" if datacenter.get("valueFrom") else "valueFrom")
    return merged


def _volume(cluster: Mapping[str, Any], datacenter: Mapping[str, Any]) -> Mapping[str, Any]:
    """A volume of a pod: its source is everything but its name, and is one whole."""
    return datacenter if any(value is not None for key, value in datacenter.items() if key != "name") else cluster
