"""managedFields: turning what a manager once created by POST or PUT into what it applies.

A field created by POST belongs to an ``Update`` entry, and an apply that leaves the field out does not remove it.
So before an apply that leaves such a field out, the manager's ``Update`` entries become its ``Apply`` entry. An apply
that names all of them needs no such help: it costs no request more than itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec


def adoption_patch(
    live: Mapping[str, Any], manager: str, applied: Mapping[str, Any], former: Collection[str] = ()
) -> list[dict[str, Any]] | None:
    """JSON patch that moves ``Update`` entries of ``manager`` (and of ``former`` managers) into its ``Apply`` entry.

    None when ``applied``, the object that will be applied, has every field of theirs. Entries of subresources (status)
    stay. The patch is guarded by the resourceVersion of ``live``: the server answers 409 when the object has changed
    since.
    """
    metadata = live["metadata"]
    entries: list[dict[str, Any]] = metadata.get("managedFields") or []
    names = {manager, *former}

    def moves(entry: Mapping[str, Any]) -> bool:
        return entry.get("operation") == "Update" and entry.get("manager") in names and not entry.get("subresource")

    moved = [entry for entry in entries if moves(entry)]
    if all(_names(applied, entry.get("fieldsV1") or {}) for entry in moved):
        return None
    own = next(
        (
            entry
            for entry in entries
            if entry.get("operation") == "Apply" and entry.get("manager") == manager and not entry.get("subresource")
        ),
        None,
    )
    fields: dict[str, Any] = {}
    for entry in [own, *moved] if own else moved:
        fields = _union(fields, entry.get("fieldsV1") or {})
    merged = {**(own or moved[-1]), "manager": manager, "operation": "Apply", "fieldsV1": fields}
    kept = [entry for entry in entries if entry is not own and not moves(entry)]
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": [merged, *kept]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
    ]


def _names(value: Any, fields: Mapping[str, Any]) -> bool:
    """Whether ``value`` has every one of the fields."""
    for key, inner in fields.items():
        if key == ".":
            continue
        kind, _, name = key.partition(":")
        match kind:
            case "f" if isinstance(value, Mapping) and name in value:
                found = value[name]
            case "k" if isinstance(value, list):
                wanted = msgspec.json.decode(name)
                found = next((one for one in value if isinstance(one, Mapping) and wanted.items() <= one.items()), None)
            case "v" if isinstance(value, list):
                found = msgspec.json.decode(name) if msgspec.json.decode(name) in value else None
            case _:
                return False
        if found is None or not _names(found, inner):
            return False
    return True


def _union(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    for key, value in other.items():
        merged[key] = _union(merged[key], value) if key in merged else value
    return merged
