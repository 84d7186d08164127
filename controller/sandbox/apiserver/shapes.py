"""How a schema reads a value: as a map, a list or a scalar, which items a list has, and whether the value fits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from controller.sandbox.apiserver.fieldset import describe_element, key_element, value_element
from controller.sandbox.apiserver.schema import Schema

ABSENT: Final[Any] = object()


class TypeMismatch(Exception):
    """An object does not have the shape of its schema; the text lists every place."""


def shape(schema: Schema, *values: Any) -> str:
    """``map``, ``list`` or ``scalar``: how ``schema`` reads these values (the last that is not null decides)."""
    if schema.type == "object":
        return "map"
    if schema.type == "array":
        return "list"
    if schema.type:
        return "scalar"
    for value in reversed(values):
        if value is not ABSENT and value is not None:
            return "map" if isinstance(value, dict) else "list" if isinstance(value, list) else "scalar"
    return "map"


def is_atomic(schema: Schema, form: str) -> bool:
    if form == "list":
        return schema.list_type == "atomic"
    return form == "map" and schema.atomic_map


def item_element(schema: Schema, item: Any) -> str:
    """The path element of an item of a set or keyed list; raises ``TypeMismatch`` when it cannot have one."""
    if schema.list_type == "map":
        if item is None:
            raise TypeMismatch("associative list with keys may not have a null element")
        if not isinstance(item, dict):
            raise TypeMismatch("associative list with keys may not have non-map elements")
        keys = {}
        for name in schema.list_keys:
            known = schema.element().properties.get(name)
            if name in item:
                keys[name] = item[name]
            elif known is not None and known.has_default:
                keys[name] = known.default_value
        if not keys:
            names = " ".join(f'"{name}"' for name in schema.list_keys)
            raise TypeMismatch(
                f"associative list with keys has an element that omits all key fields [{names}] "
                "(and doesn't have default values for any key fields)"
            )
        return key_element(keys)
    if isinstance(item, dict):
        raise TypeMismatch("associative list without keys has an element that's a map type")
    if isinstance(item, list):
        raise TypeMismatch("not supported: associative list with lists as elements")
    if item is None:
        raise TypeMismatch("associative list without keys has an element that's an explicit null")
    return value_element(item)


def items_by_element(schema: Schema, items: list[Any] | None) -> dict[str, list[Any]]:
    """A set's or keyed list's items by path element, in order."""
    found: dict[str, list[Any]] = {}
    for item in items or ():
        found.setdefault(item_element(schema, item), []).append(item)
    return found


# ── checking ────────────────────────────────────────────────────────────────────────────────────────


def check(value: Any, schema: Schema, *, duplicates: bool = False) -> None:
    """Raises ``TypeMismatch`` unless ``value`` has the shape of ``schema``. ``duplicates``: allowed in sets."""
    errors = list(_mismatches(value, schema, "", duplicates))
    if errors:
        raise TypeMismatch(errors[0] if len(errors) == 1 else "\n".join(["errors:", *(f"  {e}" for e in errors)]))


def _mismatches(value: Any, schema: Schema, path: str, duplicates: bool) -> Iterable[str]:
    if value is None:
        return
    where = f"{path}: " if path else ""
    form = shape(schema, value)
    if form == "scalar":
        problem = _scalar_problem(value, schema)
        if problem:
            yield where + problem
    elif form == "map":
        if not isinstance(value, dict):
            yield f"{where}expected map, got {_show(value)}"
            return
        for key, item in value.items():
            known = schema.child(key)
            if known is None:
                yield f"{path}.{key}: field not declared in schema"
            else:
                yield from _mismatches(item, known, f"{path}.{key}", duplicates)
    elif not isinstance(value, list):
        yield f"{where}expected list, got {_show(value)}"
    else:
        seen: set[str] = set()
        for index, item in enumerate(value):
            if schema.list_type == "atomic":
                element = f"i:{index}"
            else:
                try:
                    element = item_element(schema, item)
                except TypeMismatch as error:
                    yield f"{where}element {index}: {error}"
                    return
                if element in seen and not duplicates:
                    yield f"{where}duplicate entries for key {describe_element(element)}"
                seen.add(element)
            yield from _mismatches(item, schema.element(), path + describe_element(element), duplicates)


def _scalar_problem(value: Any, schema: Schema) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if schema.type in ("integer", "number"):
        return "" if is_number else f"expected numeric (int or float), got {_go_type(value)}"
    if schema.type == "boolean":
        return "" if isinstance(value, bool) else f"expected boolean, got {_show(value)}"
    if schema.type == "string" and not schema.rules.get("format"):
        return (
            "" if isinstance(value, str) else f"expected string, got &value.valueUnstructured{{Value:{_show(value)}}}"
        )
    return f"expected any scalar, got {_show(value)}" if isinstance(value, dict | list) else ""


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{_show(v)}" for k, v in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(_show, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _go_type(value: Any) -> str:
    names = {str: "string", bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}
    return names.get(type(value), type(value).__name__)
