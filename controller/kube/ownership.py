"""managedFields: turning what a manager once created by POST or PUT into what it applies.

A field created by POST belongs to an ``Update`` entry, and an apply that leaves the field out does not remove it.
So before an apply that leaves such a field out, the manager's ``Update`` entries become its ``Apply`` entry. An apply
that names all of them needs no such help: it costs no request more than itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

Fields: TypeAlias = Mapping[str, Any]
"""``fieldsV1``: ``f:<name>``, ``k:<key as JSON>``, ``v:<value as JSON>`` to what is inside; ``.`` is that itself."""

Share: TypeAlias = Callable[[Mapping[str, Any]], Fields]
"""Which fields of another manager's entry are adopted too; {} for none."""


class Adoption(NamedTuple):
    """``moved``: the fields that change hands, by the entry that had them. ``entries``: all entries after it."""

    moved: list[Fields]
    entries: list[dict[str, Any]]


def nothing(entry: Mapping[str, Any]) -> Fields:
    """The share of managers whose fields stay theirs."""
    return {}


def entries(live: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of an object's managedFields; what is none, whoever sent it, is left out."""
    metadata = live.get("metadata")
    found = metadata.get("managedFields") if isinstance(metadata, Mapping) else None
    return [each for each in found if _is_entry(each)] if isinstance(found, list) else []


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("manager", ""), str):
        return False
    try:
        return _are_fields(entry.get("fieldsV1") or {})
    except RecursionError:
        return False  # whoever walks through the fields needs less depth than this


def _are_fields(value: Any) -> bool:
    """Whether it is maps all the way down. Most fields are empty maps, which need no call of their own."""
    if not isinstance(value, dict):
        return False
    return all(_are_fields(inner) for inner in value.values() if inner or not isinstance(inner, dict))


def adopt(live: Mapping[str, Any], manager: str, share: Share = nothing) -> Adoption | None:
    """``Update`` entries of ``manager``, and what ``share`` gives of others', in its ``Apply`` entry.

    None when there is nothing to move. Entries of subresources (status) stay.
    """
    own: dict[str, Any] | None = None
    source: dict[str, Any] | None = None
    moved: list[Fields] = []
    kept: list[dict[str, Any]] = []
    for entry in entries(live):
        fields = entry.get("fieldsV1") or {}
        if entry.get("manager") == manager and not entry.get("subresource"):
            if entry.get("operation") == "Apply":
                own = entry
            else:
                source = entry
                moved.append(fields)
        elif given := ({} if entry.get("subresource") else share(entry)):
            source = source or entry
            moved.append(given)
            if rest := without(fields, given):
                kept.append({**entry, "fieldsV1": rest})
        else:
            kept.append(entry)
    if source is None:
        return None
    merged: dict[str, Any] = {}
    for fields in [own.get("fieldsV1") or {}, *moved] if own else moved:
        merged = union(merged, fields)
    first = {**(own or source), "manager": manager, "operation": "Apply", "fieldsV1": merged}
    return Adoption(moved, [first, *kept])


def adoption_patch(
    live: Mapping[str, Any], manager: str, applied: Mapping[str, Any], share: Share = nothing
) -> list[dict[str, Any]] | None:
    """JSON patch that does what ``adopt`` says before ``applied`` is applied; None when that has every field moved.

    The patch is guarded by the resourceVersion of ``live``: the server answers 409 when the object has changed since.
    """
    found = adopt(live, manager, share)
    if found is None or all(_names(applied, fields) for fields in found.moved):
        return None
    return replacing(live, found)


def replacing(live: Mapping[str, Any], found: Adoption) -> list[dict[str, Any]]:
    """The operations of a JSON patch that puts an adoption into force, onto no other version than ``live``."""
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": found.entries},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
    ]


def holds(fields: Fields, path: tuple[str, ...]) -> bool:
    """Whether a field, named by its keys from the root, is among ``fields``."""
    for key in path:
        if key not in fields:
            return False
        fields = fields[key]
    return True


def union(one: Fields, other: Fields) -> dict[str, Any]:
    """The fields of both."""
    merged = dict(one)
    for key, value in other.items():
        merged[key] = union(merged[key], value) if key in merged else value
    return merged


def without(fields: Fields, taken: Fields) -> dict[str, Any]:
    """The fields that are not in ``taken``."""
    kept: dict[str, Any] = {}
    for key, inner in fields.items():
        if key not in taken:
            kept[key] = inner
        elif rest := without(inner, taken[key]):
            kept[key] = rest
    return kept


def part(value: Any, fields: Fields) -> Any:
    """What of ``value`` the fields are: maps without what is not among them, lists without the items that are not."""
    if not fields:
        return value
    inside = {key: inner for key, inner in fields.items() if key != "."}
    if isinstance(value, Mapping):
        return {key: part(inner, inside[f"f:{key}"]) for key, inner in value.items() if f"f:{key}" in inside}
    if isinstance(value, list):
        found = []
        for item in value:
            for key, inner in inside.items():
                kind, _, name = key.partition(":")
                if (kind == "v" and msgspec.json.decode(name) == item) or (kind == "k" and _has(item, name)):
                    found.append(part(item, inner))
        return found
    return value


def _names(value: Any, fields: Fields) -> bool:
    """Whether ``value`` has every one of the fields."""
    for key, inner in fields.items():
        if key == ".":
            continue
        kind, _, name = key.partition(":")
        match kind:
            case "f" if isinstance(value, Mapping) and name in value:
                found = value[name]
            case "k" if isinstance(value, list):
                found = next((one for one in value if _has(one, name)), None)
            case "v" if isinstance(value, list):
                found = msgspec.json.decode(name) if msgspec.json.decode(name) in value else None
            case _:
                return False
        if found is None or not _names(found, inner):
            return False
    return True


def _has(item: Any, key: str) -> bool:
    """Whether an item of a list is the one with this key, as JSON."""
    return isinstance(item, Mapping) and msgspec.json.decode(key, type=dict[str, Any]).items() <= item.items()
