"""Structural schemas: what a kind's objects look like, how unknown fields are dropped and defaults set.

One tree of ``Schema`` nodes serves everything that needs to know a kind: pruning, defaulting and validation here,
field ownership and merging in ``typed``, strategic merge in ``strategic``, the published document in ``openapi``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from controller.sandbox.apiserver.ratcheting import settled
from controller.sandbox.apiserver.rules import broken_rules
from controller.sandbox.apiserver.validation import NO_VALUE, FieldError, validate

META_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata"})
_UNSET: Final[Any] = object()


@dataclass(slots=True, eq=False)
class Schema:
    """One node: a kind's root, or a field of it.

    ``name``: of a type of the server itself that several fields share. ``type``: an OpenAPI type, "" for any.
    ``additional``: of map entries that are no property. ``open``: unknown fields are accepted here because this
    node or one above it preserves them. ``typed``: objects of this kind are structs of the server itself, which
    forget empty fields (``pointer``: unless told apart from absent ones) and always write those that have a
    ``zero``; ``finish`` sets those of their defaults that depend on other fields. ``rules``: the OpenAPI node, for
    value validation.
    """

    name: str = ""
    type: str = ""
    properties: dict[str, Schema] = field(default_factory=dict)
    additional: Schema | None = None
    items: Schema | None = None
    preserve: bool = False
    open: bool = False
    embedded: bool = False
    nullable: bool = False
    default_value: Any = _UNSET
    list_type: str = "atomic"
    list_keys: tuple[str, ...] = ()
    atomic_map: bool = False
    strategies: frozenset[str] = frozenset()
    merge_key: str = ""
    zero: Any = _UNSET
    pointer: bool = False
    typed: bool = False
    finish: Callable[[dict[str, Any]], None] | None = None
    required: tuple[str, ...] = ()
    rules: dict[str, Any] = field(default_factory=dict)

    @property
    def always(self) -> bool:
        return self.zero is not _UNSET

    @property
    def has_default(self) -> bool:
        return self.default_value is not _UNSET

    def child(self, key: str) -> Schema | None:
        """The node of a map's entry ``key``; None when this schema knows no such field."""
        return self.properties.get(key) or self.additional or (DEDUCED if self.open or not self.properties else None)

    def element(self) -> Schema:
        """The node of a list's items."""
        return self.items or UNTYPED

    def prune(self, obj: dict[str, Any], *, metadata_root: bool = True) -> list[str]:
        """Drops the fields that this schema does not know, in place; returns their paths, sorted.

        ``metadata_root``: ``obj`` is a whole object, whose apiVersion, kind and metadata stay.
        """
        dropped: list[str] = []
        _prune(obj, self, "", dropped, meta=metadata_root)
        return sorted(dropped)

    def default(self, obj: dict[str, Any]) -> None:
        """Sets defaults in place, at every depth; nulls that the schema does not allow are replaced or dropped."""
        if self.typed:
            _forget_empty(obj, self)
            self.fill(obj)
            _default(obj, self)
            self.fill(obj)  # what the defaults brought
        else:
            _default(obj, self)
            _drop_nulls(obj, self)
        if self.finish is not None:
            self.finish(obj)

    def fill(self, obj: dict[str, Any]) -> None:
        """Adds what the server always writes (``status: {}``, ``containers: null``), in place."""
        _fill(obj, self)

    def validate(self, obj: dict[str, Any], old: dict[str, Any] | None = None) -> list[FieldError]:
        """What is wrong with ``obj``, in the words of kube-apiserver; [] when nothing is.

        ``old``: what it was before, for rules that speak of ``oldSelf``; None when it is created. Rules
        (``x-kubernetes-validations``) are judged only where the types are right, and only in the part of CEL that
        ``cel`` understands. Of a custom resource what did not change is not held against an update.
        """
        found = validate(obj, self)
        if found and old is not None and not self.typed:
            found = [error for error in found if not settled(error.field, obj, old, self)]
        return found or list(broken_rules(obj, NO_VALUE if old is None else old, self))


UNTYPED: Final = Schema(atomic_map=True, open=True, preserve=True)  # a value nobody described, owned as a whole
DEDUCED: Final = Schema(open=True, preserve=True)  # the same, but maps in it are merged field by field


def compile_schema(openapi_v3_schema: dict[str, Any]) -> Schema:
    """The schema of a custom resource from its ``openAPIV3Schema``; apiVersion, kind and metadata are added."""
    root = compile_node(openapi_v3_schema)
    _add_meta(root)
    return root


def compile_node(node: dict[str, Any], *, inherited: bool = False) -> Schema:
    """One node and everything below it. ``inherited``: a node above preserves unknown fields."""
    preserve = node.get("x-kubernetes-preserve-unknown-fields") is True
    accepts = inherited or preserve
    schema = Schema(
        type="" if node.get("x-kubernetes-int-or-string") else node.get("type", ""),
        properties={k: compile_node(v, inherited=accepts) for k, v in (node.get("properties") or {}).items()},
        preserve=preserve,
        open=accepts,
        embedded=node.get("x-kubernetes-embedded-resource") is True,
        nullable=node.get("nullable") is True,
        list_type=node.get("x-kubernetes-list-type", "atomic"),
        list_keys=tuple(node.get("x-kubernetes-list-map-keys") or ()),
        atomic_map=node.get("x-kubernetes-map-type") == "atomic",
        required=tuple(node.get("required") or ()),
        rules=node,
    )
    additional = node.get("additionalProperties")
    if isinstance(additional, dict):
        schema.additional = compile_node(additional, inherited=accepts)
    elif additional is True:
        schema.additional = DEDUCED
    if isinstance(node.get("items"), dict):
        schema.items = compile_node(node["items"], inherited=accepts)
    if node.get("default") is not None:
        schema.default_value = node["default"]
    if schema.embedded:
        _add_meta(schema)
    return schema


def struct_node(kind: str, **fields: Any) -> Schema:
    """A node of the server's own structs, where a null is the same as nothing."""
    return Schema(type=kind, rules={"type": kind, "nullable": True}, **fields)


def _string() -> Schema:
    return struct_node("string")


def _object(**properties: Schema) -> Schema:
    return struct_node("object", properties=properties)


def _strings(*, of_map: bool = False) -> Schema:
    return struct_node("object", additional=_string()) if of_map else struct_node("array", items=_string())


def _metadata() -> Schema:
    owner = _object(
        **{name: _string() for name in ("apiVersion", "kind", "name", "uid")},
        **{name: struct_node("boolean") for name in ("controller", "blockOwnerDeletion")},
    )
    owner.atomic_map = True
    owners = struct_node("array", items=owner, list_type="map", list_keys=("uid",))
    owners.strategies, owners.merge_key = frozenset({"merge"}), "uid"
    finalizers = _strings()
    finalizers.list_type, finalizers.strategies = "set", frozenset({"merge"})
    managed = struct_node("array", items=DEDUCED)
    names = (
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
    )
    numbers = ("generation", "deletionGracePeriodSeconds")
    found = _object(
        **{name: _string() for name in names},
        **{name: struct_node("integer") for name in numbers},
        labels=_strings(of_map=True),
        annotations=_strings(of_map=True),
        ownerReferences=owners,
        finalizers=finalizers,
        managedFields=managed,
    )
    found.name = "ObjectMeta"
    return found


OBJECT_META: Final = _metadata()  # shared by every kind; kubectl explain and apply see the same


def _add_meta(schema: Schema) -> None:
    schema.properties["apiVersion"] = _string()
    schema.properties["kind"] = _string()
    schema.properties["metadata"] = OBJECT_META


# ── pruning ─────────────────────────────────────────────────────────────────────────────────────────


def _prune(
    value: Any, schema: Schema | None, path: str, dropped: list[str], *, keep: bool = False, meta: bool = False
) -> None:
    """``keep``: this is an item of a preserving list, whose own unknown fields stay."""
    keep = keep or (schema is not None and schema.preserve)
    if keep and schema is None:
        return
    if isinstance(value, list):
        items = schema.items if schema is not None else None
        for index, item in enumerate(value):
            _prune(item, items, f"{path}[{index}]", dropped, keep=keep)
    elif isinstance(value, dict):
        is_resource = meta or (schema is not None and schema.embedded)
        for key in list(value):
            below = f"{path}.{key}" if path else key
            if is_resource and key in META_FIELDS:
                if key == "metadata":
                    _prune(value[key], OBJECT_META, below, dropped)
                continue
            known = None if schema is None else schema.properties.get(key) or schema.additional
            if known is not None:
                _prune(value[key], known, below, dropped)
            elif not keep:
                dropped.append(below)
                del value[key]


# ── defaulting ──────────────────────────────────────────────────────────────────────────────────────


def _refuses(value: Any, schema: Schema | None) -> bool:
    """Whether ``value`` is a null where the schema allows none."""
    return value is None and schema is not None and not schema.nullable


def _is_unset(value: dict[str, Any], key: str, schema: Schema) -> bool:
    if key not in value or _refuses(value[key], schema):
        return True
    return schema.always and not schema.pointer and bool(value[key] == schema.zero)


def _default(value: Any, schema: Schema | None) -> None:
    if schema is None:
        return
    if isinstance(value, dict):
        for key, known in schema.properties.items():
            if known.has_default and _is_unset(value, key, known):
                value[key] = copy.deepcopy(known.default_value)
        for key in value:
            below = schema.properties.get(key)
            if below is None:
                below = schema.additional
                if below is not None and below.has_default and _refuses(value[key], below):
                    value[key] = copy.deepcopy(below.default_value)
            _default(value[key], below)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if schema.items is not None and schema.items.has_default and _refuses(item, schema.items):
                value[index] = copy.deepcopy(schema.items.default_value)
            _default(value[index], schema.items)


def _drop_nulls(value: Any, schema: Schema | None) -> None:
    if schema is None or schema is DEDUCED or schema is UNTYPED:
        return
    if isinstance(value, dict):
        for key in list(value):
            below = schema.properties.get(key) or schema.additional
            if _refuses(value[key], below) and below is not DEDUCED:
                del value[key]
            else:
                _drop_nulls(value[key], below)
    elif isinstance(value, list):
        for item in value:
            _drop_nulls(item, schema.items)


# ── structs of the server itself ────────────────────────────────────────────────────────────────────


def _forget_empty(value: Any, schema: Schema) -> None:
    if isinstance(value, dict):
        for key in list(value):
            below = schema.properties.get(key) or schema.additional
            if below is None or below is DEDUCED or below is UNTYPED:
                continue
            _forget_empty(value[key], below)
            if key in schema.properties and _is_empty(value[key], below):
                del value[key]
    elif isinstance(value, list) and schema.items is not None:
        for item in value:
            _forget_empty(item, schema.items)


def _is_empty(value: Any, schema: Schema) -> bool:
    """Whether the server forgets that this field was sent."""
    if value is None:
        return True
    if schema.always or schema.pointer:
        return False
    return value in ("", []) or value is False or value == 0 or (value == {} and schema.additional is not None)


def _fill(value: Any, schema: Schema) -> None:
    if isinstance(value, dict):
        for key, known in schema.properties.items():
            if known.always and value.get(key) is None:
                value[key] = {} if known.zero == {} else known.zero
        for key in value:
            below = schema.properties.get(key) or schema.additional
            if below is not None:
                _fill(value[key], below)
    elif isinstance(value, list) and schema.items is not None:
        for item in value:
            _fill(item, schema.items)
