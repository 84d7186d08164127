"""Tables for ``kubectl get``: the columns of a kind, and the cells of an object."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from controller.sandbox.apiserver.ages import age
from controller.sandbox.apiserver.jsonpath import first
from controller.sandbox.apiserver.kinds import Column, Kind

Json = dict[str, Any]

AGE: Final = Column("Age", lambda obj: obj["metadata"].get("creationTimestamp"), type="date")


def column_definitions(kind: Kind) -> list[Json]:
    """What the columns are, Name first."""
    name = Column("Name", lambda obj: obj["metadata"]["name"], format="name", description="The name of the object.")
    return [
        {
            "name": column.name,
            "type": "string" if column.type == "date" and not kind.custom else column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in (name, *_columns(kind))
    ]


def row_cells(kind: Kind, obj: Json, now: datetime) -> list[Any]:
    """The cells of one object."""
    return [obj["metadata"]["name"], *(_cell(column, obj, now) for column in _columns(kind))]


def _columns(kind: Kind) -> tuple[Column, ...]:
    return kind.columns or (AGE,)


def _cell(column: Column, obj: Json, now: datetime) -> Any:
    value = column.cell(obj)
    if column.type == "date":
        return age(value, now) if isinstance(value, str) else "<unknown>" if column is AGE else None
    if value is None:
        return None
    if column.type == "integer":
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if column.type == "number":
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if column.type == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


def printer_columns(declared: list[Json]) -> list[Column]:
    """The columns that a CRD declares in ``additionalPrinterColumns``."""
    return [
        Column(
            column["name"],
            _path_cell(column["jsonPath"]),
            type=column.get("type", "string"),
            format=column.get("format", ""),
            priority=column.get("priority", 0),
            description=column.get("description", ""),
        )
        for column in declared
    ]


def _path_cell(path: str) -> Any:
    return lambda obj: first(obj, path)
