"""CustomResourceDefinitions out of typed structs: structural schemas that a real API server accepts.

A field's type gives its schema, ``structs.schema`` what the type cannot say, the text below a field its description.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
import typing
from functools import lru_cache
from typing import Any, Final

import msgspec

from controller.kube.resources import CRDS, Resource
from controller.kube.structs import ObjectMeta

_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_SCALARS: Final[dict[Any, str]] = {str: "string", int: "integer", bool: "boolean", float: "number"}


class Column(msgspec.Struct, frozen=True):
    """A column of ``kubectl get``. ``priority`` 1: with ``-o wide`` only."""

    name: str
    path: str
    type: str = "string"
    description: str = ""
    priority: int = 0


AGE: Final = Column("Age", ".metadata.creationTimestamp", "date")


def definition(
    resource: Resource,
    kind: type[msgspec.Struct],
    *,
    short_names: tuple[str, ...] = (),
    columns: tuple[Column, ...] = (),
) -> dict[str, Any]:
    """The whole CustomResourceDefinition of one kind with one version and a status subresource."""
    root = schema_of(kind)
    properties = {
        "apiVersion": {"type": "string", "description": "Group and version of this object's schema."},
        "kind": {"type": "string", "description": "The kind of this object."},
        **root["properties"],
    }
    names: dict[str, Any] = {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": resource.kind.lower(),
    }
    if short_names:
        names["shortNames"] = list(short_names)
    version: dict[str, Any] = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {**root, "properties": properties}},
        "subresources": {"status": {}},
    }
    if columns:
        version["additionalPrinterColumns"] = [_column(column) for column in columns]
    return {
        "apiVersion": CRDS.api_version,
        "kind": CRDS.kind,
        "metadata": {"name": resource.name},
        "spec": {
            "group": resource.group,
            "names": names,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [version],
        },
    }


def schema_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The structural schema of a struct."""
    hints = typing.get_type_hints(kind, include_extras=True)
    descriptions = field_descriptions(kind)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for field in msgspec.structs.fields(kind):
        found, needed = _of(hints[field.name])
        if description := descriptions.get(field.name):
            found["description"] = description
        properties[field.encode_name] = found
        if needed:
            required.append(field.encode_name)
    schema: dict[str, Any] = {"type": "object", "description": _first_paragraph(kind), "properties": properties}
    if required:
        schema["required"] = sorted(required)
    return schema


@lru_cache(maxsize=256)
def field_descriptions(kind: type[msgspec.Struct]) -> dict[str, str]:
    """What stands as a text below each field, of this class and of its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not issubclass(base, msgspec.Struct) or base.__module__.startswith("msgspec"):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for field, text in zip(tree.body, tree.body[1:], strict=False):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(description))):
                    found[name] = " ".join(description.split())
    return found


def _of(hint: Any) -> tuple[dict[str, Any], bool]:
    """The schema of a type, and whether a field of it is required."""
    required = False
    keywords: dict[str, Any] = {}
    while True:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Annotated:
            hint = arguments[0]
            for note in arguments[1:]:
                if isinstance(note, msgspec.Meta):
                    keywords = {**(note.extra_json_schema or {}), **keywords}
                    required = required or bool((note.extra or {}).get("required"))
        elif origin is types.UnionType or origin is typing.Union:
            arms = [arm for arm in arguments if arm not in (type(None), msgspec.UnsetType)]
            if len(arms) > 1:
                break
            hint = arms[0]
        else:
            break
    return {**_bare(hint), **keywords}, required


def _bare(hint: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is ObjectMeta:
        return {"type": "object"}  # the server knows it
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return schema_of(hint)
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    if origin is list:
        return {"type": "array", "items": _of(arguments[0])[0]}
    if origin is dict:
        if arguments[1] is Any:
            return {"type": "object", _PRESERVE: True}
        return {"type": "object", "additionalProperties": _of(arguments[1])[0]}
    if origin is types.UnionType or origin is typing.Union:
        return {}  # a quantity: what it may be is in its keywords
    raise TypeError(f"no schema for {hint}")


def _first_paragraph(kind: type[msgspec.Struct]) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def _column(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        found["description"] = column.description
    if column.priority:
        found["priority"] = column.priority
    return found
