"""Objects seen through a schema: which fields they have, what differs between two, merging and removing fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.sandbox.apiserver.cloning import clone, identical
from controller.sandbox.apiserver.equality import same
from controller.sandbox.apiserver.fieldset import (
    FieldSet,
    Path,
    describe_element,
    field_element,
)
from controller.sandbox.apiserver.schema import DEDUCED, UNTYPED, Schema
from controller.sandbox.apiserver.shapes import ABSENT, TypeMismatch, is_atomic, item_element, items_by_element, shape

# ── the set of an object's fields ───────────────────────────────────────────────────────────────────


def fields_of(value: Any, schema: Schema | None) -> FieldSet:
    """Every leaf and list item of ``value``. ``schema`` None: deduced from the value."""
    found = FieldSet()
    _collect(value, schema or DEDUCED, (), found)
    return found


def _collect(value: Any, schema: Schema, path: Path, found: FieldSet) -> None:
    form = shape(schema, value)
    if form == "scalar" or is_atomic(schema, form):
        found.insert(path)
    elif form == "map" and isinstance(value, dict):
        for key, item in value.items():
            below = (*path, field_element(key))
            _collect(item, schema.child(key) or DEDUCED, below, found)
            if item is None or item == {} or key not in schema.properties:
                found.insert(below)
    elif form == "list" and isinstance(value, list):
        for element, items in items_by_element(schema, value).items():
            below = (*path, element)
            found.insert(below)
            if len(items) == 1:  # of duplicates only the key is owned
                _collect(items[0], schema.element(), below, found)


# ── comparing ───────────────────────────────────────────────────────────────────────────────────────


class Comparison:
    """How one object became another: paths removed, modified and added, each in one set only."""

    __slots__ = ("added", "modified", "removed")

    def __init__(self) -> None:
        self.removed, self.modified, self.added = FieldSet(), FieldSet(), FieldSet()

    def without(self, ignored: FieldSet) -> Comparison:
        found = Comparison()
        found.removed = self.removed.without(ignored)
        found.modified = self.modified.without(ignored)
        found.added = self.added.without(ignored)
        return found


def compare(old: Any, new: Any, schema: Schema | None) -> Comparison:
    """What changed from ``old`` to ``new``."""
    found = Comparison()
    _compare(old, new, schema or DEDUCED, (), found)
    return found


def _compare(old: Any, new: Any, schema: Schema, path: Path, found: Comparison) -> None:
    if isinstance(new, dict | list) and new and identical(old, new):
        return  # most of an object does not change
    before, after = shape(schema, old, new), shape(schema, new, old)
    forms = [after] if new is not ABSENT else [before]
    if old is not ABSENT and new is not ABSENT and old is not None and new is not None:
        old_form, new_form = shape(schema, old), shape(schema, new)
        forms = [old_form, new_form] if old_form != new_form else [new_form]
    leaf = False
    for form in forms:
        if _is_leaf(schema, form, old, new):
            if not leaf:
                _compare_leaf(old, new, path, found)
            leaf = True
        elif form == "map":
            _compare_maps(_as(dict, old), _as(dict, new), schema, path, found)
        else:
            _compare_lists(_as(list, old), _as(list, new), schema, path, found)
    if not leaf:
        if old is ABSENT:
            found.added.insert(path)
        elif new is ABSENT:
            found.removed.insert(path)


def _as(kind: type, value: Any) -> Any:
    return value if isinstance(value, kind) else None


def _is_leaf(schema: Schema, form: str, old: Any, new: Any) -> bool:
    if form == "scalar" or is_atomic(schema, form):
        return True
    kind: type = dict if form == "map" else list
    return not _as(kind, old) and not _as(kind, new)  # both empty: an empty map and a null still differ


def _compare_leaf(old: Any, new: Any, path: Path, found: Comparison) -> None:
    if old is ABSENT:
        found.added.insert(path)
    elif new is ABSENT:
        found.removed.insert(path)
    elif not same(old, new):
        found.modified.insert(path)


def _compare_maps(
    old: dict[str, Any] | None, new: dict[str, Any] | None, schema: Schema, path: Path, found: Comparison
) -> None:
    left, right = old or {}, new or {}
    for key in left.keys() | right.keys():
        known = schema.child(key) or DEDUCED
        _compare(left.get(key, ABSENT), right.get(key, ABSENT), known, (*path, field_element(key)), found)


def _compare_lists(old: list[Any] | None, new: list[Any] | None, schema: Schema, path: Path, found: Comparison) -> None:
    left, right = items_by_element(schema, old), items_by_element(schema, new)
    for element in left.keys() | right.keys():
        mine, theirs = left.get(element, []), right.get(element, [])
        below = (*path, element)
        if len(mine) <= 1 and len(theirs) <= 1:
            _compare(mine[0] if mine else ABSENT, theirs[0] if theirs else ABSENT, schema.element(), below, found)
        elif len(mine) >= 2 and len(theirs) >= 2:
            if not same(mine, theirs):
                found.modified.insert(below)
        elif len(mine) >= 2:
            if theirs:
                _compare(ABSENT, theirs[0], schema.element(), below, found)
            found.removed.insert(below)
        else:
            if mine:
                _compare(mine[0], ABSENT, schema.element(), below, found)
            found.added.insert(below)


# ── merging ─────────────────────────────────────────────────────────────────────────────────────────


def merge(live: Any, applied: Any, schema: Schema | None) -> Any:
    """``live`` with everything that ``applied`` says; nothing is removed. Neither is changed."""
    merged = _merge(live, applied, schema or DEDUCED)
    return None if merged is ABSENT else merged


def _merge(live: Any, applied: Any, schema: Schema) -> Any:
    form = shape(schema, live, applied) if applied is not ABSENT else shape(schema, live)
    if form == "scalar" or is_atomic(schema, form) or _is_leaf(schema, form, live, applied):
        return clone(applied if applied is not ABSENT else live)
    if form == "map":
        left, right = _as(dict, live) or {}, _as(dict, applied) or {}
        merged = {}
        for key in [*left, *(key for key in right if key not in left)]:
            value = _merge(left.get(key, ABSENT), right.get(key, ABSENT), schema.child(key) or DEDUCED)
            if value is not ABSENT:
                merged[key] = value
        return merged or ABSENT
    return _merge_lists(_as(list, live) or [], _as(list, applied) or [], schema) or ABSENT


def _merge_lists(live: list[Any], applied: list[Any], schema: Schema) -> list[Any]:
    """The applied order wins among shared items; items that only ``live`` has keep their place before them."""
    right = items_by_element(schema, applied)
    for element, items in right.items():
        if len(items) > 1:
            raise TypeMismatch(f"duplicate entries for key {describe_element(element)}")
    wanted = list(right)
    left_elements = [item_element(schema, item) for item in live]
    left = items_by_element(schema, live)
    shared = [element for element in wanted if element in left]
    merged: list[Any] = []
    done: set[str] = set()

    def take(element: str) -> None:
        mine = left.get(element, [])
        done.add(element)
        # An item that appears twice is not merged with the new one: it is replaced by it.
        value = _merge(mine[0] if len(mine) == 1 else None if mine else ABSENT, right[element][0], schema.element())
        if value is not ABSENT:
            merged.append(value)
        if shared and shared[0] == element:
            shared.pop(0)

    i = j = 0
    while i < len(live) or j < len(wanted):
        if i < len(live) and j < len(wanted):
            element = left_elements[i]
            if element == wanted[j]:
                take(element)
                i, j = i + 1, j + 1
                continue
            if element in right and shared and shared[0] != element:
                i += 1  # a shared item, but another one comes first
                continue
        if i < len(live):
            element = left_elements[i]
            if element not in right:
                merged.append(clone(live[i]))
                i += 1
                continue
            if element in done:
                i += 1
        if j < len(wanted):
            take(wanted[j])
            j += 1
    return merged


# ── removing ────────────────────────────────────────────────────────────────────────────────────────


def remove(value: Any, fields: FieldSet, schema: Schema | None) -> Any:
    """``value`` without the items and fields in ``fields``; containers that become empty are null."""
    return _remove(value, fields, schema or DEDUCED)


def _remove(value: Any, fields: FieldSet, schema: Schema) -> Any:
    form = shape(schema, value)
    if form == "scalar":
        return value
    if is_atomic(schema, form):
        return None
    if form == "map":
        kept = {}
        for key, item in (_as(dict, value) or {}).items():
            element = field_element(key)
            if element in fields.members:
                continue
            below = fields.children.get(element)
            kept[key] = _remove(item, below, schema.child(key) or DEDUCED) if below and not below.empty() else item
        return kept or None
    items = []
    for item in _as(list, value) or []:
        element = item_element(schema, item)
        if element in fields.members:
            continue
        below = fields.children.get(element)
        items.append(_remove(item, below, schema.element()) if below and not below.empty() else item)
    return items or None


# ── sets seen through a schema ──────────────────────────────────────────────────────────────────────


def with_named_fields(fields: FieldSet, schema: Schema | None) -> FieldSet:
    """``fields`` and, of the paths in it, the parents that are named fields of the schema."""
    found = FieldSet()
    found.members = set(fields.members)
    for element, child in fields.children.items():
        below: Schema | None = None
        if schema is not None and schema.type in ("", "object") and element[0] == "f":
            name = element[2:]
            if name in schema.properties:
                found.members.add(element)
            below = schema.child(name)
        elif schema is not None and schema.type in ("", "array") and element[0] == "k":
            below = schema.element()
        found.children[element] = with_named_fields(child, below)
    return found


def reconcile(fields: FieldSet, schema: Schema | None) -> FieldSet:
    """``fields`` after the schema changed: paths below what is now atomic become that one path."""
    doomed, added = FieldSet(), FieldSet()
    _reconcile(fields, schema or DEDUCED, (), False, doomed, added)
    return fields.without(doomed).union(added) if not doomed.empty() else fields


def _reconcile(
    fields: FieldSet | None, schema: Schema, path: Path, owned_whole: bool, doomed: FieldSet, added: FieldSet
) -> None:
    if schema is DEDUCED or schema is UNTYPED:
        return
    form = "map" if schema.type in ("", "object") else "list" if schema.type == "array" else "scalar"
    if form == "scalar" or (form == "map" and not schema.properties and schema.child("") is DEDUCED):
        return
    if not owned_whole and is_atomic(schema, form):
        if form == "list" or (fields is not None and not fields.empty()):
            doomed.insert(path)
            added.insert(path)
        return
    if fields is None:
        return
    descend: Callable[[str], Schema | None] = (
        (lambda element: schema.child(element[2:])) if form == "map" else (lambda _: schema.element())
    )
    for element in fields.members | fields.children.keys():
        known = descend(element)
        if known is not None:
            child = fields.children.get(element)
            whole = element in fields.members and child is None
            _reconcile(child, known, (*path, element), whole, doomed, added)
