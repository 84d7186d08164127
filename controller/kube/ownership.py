"""managedFields: turning what a manager once created by POST or PUT into what it applies.

A field created by POST belongs to an ``Update`` entry, and an apply that leaves the field out does not remove it.
So before the first apply to an object, the manager's ``Update`` entries become its ``Apply`` entry.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def adoption_patch(live: Mapping[str, Any], manager: str, former: Collection[str] = ()) -> list[dict[str, Any]] | None:
    """JSON patch that moves ``Update`` entries of ``manager`` (and of ``former`` managers) into its ``Apply`` entry.

    None when there is nothing to move. Entries of subresources (status) stay. The patch is guarded by the
    resourceVersion of ``live``: the server answers 409 when the object has changed since.
    """
    metadata = live["metadata"]
    entries: list[dict[str, Any]] = metadata.get("managedFields") or []
    names = {manager, *former}

    def moves(entry: Mapping[str, Any]) -> bool:
        return entry.get("operation") == "Update" and entry.get("manager") in names and not entry.get("subresource")

    moved = [entry for entry in entries if moves(entry)]
    if not moved:
        return None
    applied = next(
        (
            entry
            for entry in entries
            if entry.get("operation") == "Apply" and entry.get("manager") == manager and not entry.get("subresource")
        ),
        None,
    )
    fields: dict[str, Any] = {}
    for entry in [applied, *moved] if applied else moved:
        fields = _union(fields, entry.get("fieldsV1") or {})
    merged = {**(applied or moved[-1]), "manager": manager, "operation": "Apply", "fieldsV1": fields}
    kept = [entry for entry in entries if entry is not applied and not moves(entry)]
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": [merged, *kept]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
    ]


def _union(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    for key, value in other.items():
        merged[key] = _union(merged[key], value) if key in merged else value
    return merged
