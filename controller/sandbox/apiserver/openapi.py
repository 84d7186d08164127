"""The OpenAPI documents that kubectl reads before it explains, validates or applies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from controller.kube.resources import Resource
from controller.sandbox.apiserver.builtin import BUILTIN
from controller.sandbox.apiserver.schema import DEDUCED, OBJECT_META, Schema

Json = dict[str, Any]

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
_PATCHES: Final = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")
_STRATEGIC: Final = "application/strategic-merge-patch+json"
_VERBS: Final = {"get": "get", "put": "put", "patch": "patch", "delete": "delete"}


class PublishedKind(msgspec.Struct, frozen=True):
    """A kind to publish. ``schema``: its ``openAPIV3Schema``, None for built-in kinds and for CRDs without one."""

    resource: Resource
    schema: Json | None = None
    subresources: tuple[str, ...] = ()

    @property
    def component(self) -> str:
        """The name of its schema: ``io.k8s.api.core.v1.Secret``, ``com.example.v1.Thing``."""
        resource = self.resource
        if _builtin(resource) is not None:
            return _component(resource, resource.kind)
        return ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])


def openapi_v2(kinds: Iterable[PublishedKind]) -> Json:
    """The Swagger 2.0 document of all kinds."""
    kinds = list(kinds)
    publisher = _Publisher("#/definitions/", v2=True)
    for kind in kinds:
        publisher.add(kind)
    paths: Json = {}
    for kind in kinds:
        paths |= _paths(kind, publisher)
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths,
        "definitions": publisher.found,
    }


def openapi_v3(group: str, version: str, kinds: Iterable[PublishedKind]) -> Json:
    """The OpenAPI 3.0 document of one group and version; ``kinds`` of others are left out."""
    mine = [kind for kind in kinds if (kind.resource.group, kind.resource.version) == (group, version)]
    publisher = _Publisher("#/components/schemas/", v2=False)
    for kind in mine:
        publisher.add(kind)
    paths: Json = {}
    for kind in mine:
        paths |= _paths(kind, publisher)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths,
        "components": {"schemas": publisher.found},
    }


def openapi_v3_index(kinds: Iterable[PublishedKind]) -> Json:
    """The index of ``/openapi/v3``: where each group and version is, with a hash that changes with its content."""
    kinds = list(kinds)
    paths: Json = {}
    for group, version in sorted({(kind.resource.group, kind.resource.version) for kind in kinds}):
        document = msgspec.json.encode(openapi_v3(group, version, kinds), order="deterministic")
        place = f"apis/{group}/{version}" if group else f"api/{version}"
        digest = hashlib.sha512(document).hexdigest().upper()
        paths[place] = {"serverRelativeURL": f"/openapi/v3/{place}?hash={digest}"}
    return {"paths": paths}


def _builtin(resource: Resource) -> Schema | None:
    return BUILTIN.get((resource.group, resource.version, resource.kind))


def _component(resource: Resource, name: str) -> str:
    if resource.group == "apiextensions.k8s.io":
        return f"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{resource.version}.{name}"
    return f"io.k8s.api.{resource.group.split('.')[0] or 'core'}.{resource.version}.{name}"


# ── schemas ─────────────────────────────────────────────────────────────────────────────────────────


class _Publisher:
    """Collects schemas by name; what a schema refers to is collected with it."""

    def __init__(self, prefix: str, *, v2: bool) -> None:
        self.found: Json = {}
        self._prefix = prefix
        self._v2 = v2

    def reference(self, name: str) -> Json:
        return {"$ref": self._prefix + name}

    def add(self, kind: PublishedKind) -> None:
        resource = kind.resource
        builtin = _builtin(resource)
        if builtin is not None:
            schema = self._object(resource, builtin)
        elif kind.schema is None or (self._v2 and kind.schema.get("x-kubernetes-preserve-unknown-fields")):
            schema = {"type": "object"}
        else:
            schema = self._custom(resource, kind.schema)
        group_version_kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        schema["x-kubernetes-group-version-kind"] = [group_version_kind]
        self.found[kind.component] = schema
        self.found[kind.component + "List"] = {
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"type": "object"},
                "items": {"type": "array", "items": self.reference(kind.component)},
            },
            "x-kubernetes-group-version-kind": [group_version_kind | {"kind": resource.kind + "List"}],
        }

    def _custom(self, resource: Resource, schema: Json) -> Json:
        published = _for_v2(schema) if self._v2 else dict(schema)
        properties = dict(published.get("properties") or {})
        for name in ("apiVersion", "kind"):
            properties.setdefault(name, {"type": "string"})
        properties["metadata"] = self._node(resource, OBJECT_META)
        return published | {"properties": properties}

    def _object(self, resource: Resource, schema: Schema) -> Json:
        """A type of the server itself, in full."""
        published: Json = {"type": "object"}
        if schema.required:
            published["required"] = list(schema.required)
        if schema.properties:
            published["properties"] = {key: self._node(resource, node) for key, node in schema.properties.items()}
        if schema.atomic_map:
            published["x-kubernetes-map-type"] = "atomic"
        return published

    def _node(self, resource: Resource, schema: Schema) -> Json:
        """One field: a reference if its type has a name, else the type itself."""
        if schema is DEDUCED:
            return {"type": "object"} if self._v2 else {}
        published: Json
        if schema.name:
            name = f"{_META}.ObjectMeta" if schema.name == "ObjectMeta" else _component(resource, schema.name)
            if name not in self.found:
                self.found[name] = {}  # types may contain themselves
                self.found[name] = self._object(resource, schema)
            published = self.reference(name) if self._v2 else {"allOf": [self.reference(name)]}
            if schema.zero == {} and not self._v2:
                published["default"] = {}
        else:
            published = {"type": schema.type} if schema.type else {}
            if schema.rules.get("format"):
                published["format"] = schema.rules["format"]
            if "x-kubernetes-int-or-string" in schema.rules:
                published |= (
                    {"type": "string", "format": "int-or-string"}
                    if self._v2
                    else {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"}
                )
            if schema.items is not None:
                published["items"] = self._node(resource, schema.items)
            if schema.additional is not None:
                published["additionalProperties"] = self._node(resource, schema.additional)
            if schema.atomic_map:
                published["x-kubernetes-map-type"] = "atomic"
        if schema.type == "array":
            published["x-kubernetes-list-type"] = schema.list_type
            if schema.list_keys:
                published["x-kubernetes-list-map-keys"] = list(schema.list_keys)
        if schema.strategies:
            published["x-kubernetes-patch-strategy"] = ",".join(sorted(schema.strategies))
        if schema.merge_key:
            published["x-kubernetes-patch-merge-key"] = schema.merge_key
        return published


def _for_v2(schema: Json) -> Json:
    """A structural schema in what Swagger 2.0 can say; the rest is left out, as kube-apiserver does."""
    dropped = {"nullable", "oneOf", "anyOf", "allOf", "not", "default"}
    published = {key: value for key, value in schema.items() if key not in dropped}
    if schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("nullable"):
        for key in ("type", "properties", "items", "additionalProperties", "required"):
            published.pop(key, None)
        return published
    if schema.get("x-kubernetes-int-or-string"):
        published.pop("type", None)
    for key in ("items", "additionalProperties"):
        if isinstance(published.get(key), dict):
            published[key] = _for_v2(published[key])
    if isinstance(published.get("properties"), dict):
        published["properties"] = {name: _for_v2(node) for name, node in published["properties"].items()}
    return published


# ── paths ───────────────────────────────────────────────────────────────────────────────────────────


def _paths(kind: PublishedKind, publisher: _Publisher) -> Json:
    resource = kind.resource
    collection = resource.group_path + ("/namespaces/{namespace}" if resource.namespaced else "")
    collection += f"/{resource.plural}"
    item = collection + "/{name}"
    place = [_parameter("namespace", "path")] if resource.namespaced else []
    named = [_parameter("name", "path"), *place]
    operations = {
        "get": _operation(kind, publisher, "list"),
        "post": _operation(kind, publisher, "post"),
        "delete": _operation(kind, publisher, "deletecollection"),
    }
    found: Json = {
        collection: {**operations, "parameters": place},
        item: {**{m: _operation(kind, publisher, a) for m, a in _VERBS.items()}, "parameters": named},
    }
    if resource.namespaced:
        found[f"{resource.group_path}/{resource.plural}"] = {"get": _operation(kind, publisher, "list")}
    for subresource in kind.subresources:
        verbs = {m: _operation(kind, publisher, a) for m, a in _VERBS.items() if m != "delete"}
        found[f"{item}/{subresource}"] = {**verbs, "parameters": named}
    return found


def _operation(kind: PublishedKind, publisher: _Publisher, action: str) -> Json:
    resource = kind.resource
    options: tuple[str, ...] = ()
    if action in ("post", "put", "patch"):
        options = ("dryRun", "fieldManager", "fieldValidation")
    elif action.startswith("delete"):
        options = ("dryRun",)
    parameters = [_parameter(name, "query") for name in options]
    if action == "patch":
        parameters.append(_parameter("force", "query", "boolean"))
    body = publisher.reference(kind.component + ("List" if action == "list" else ""))
    operation: Json = {
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": body}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {
            "group": resource.group,
            "version": resource.version,
            "kind": resource.kind,
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if action == "patch":
        kinds = [*_PATCHES, _STRATEGIC] if _builtin(resource) is not None else list(_PATCHES)
        content = {media: {"schema": {"type": "object"}} for media in kinds}
        operation |= {"consumes": kinds} if publisher._v2 else {"requestBody": {"content": content, "required": True}}
    elif action in ("post", "put"):
        operation |= (
            {"consumes": ["*/*"]}
            if publisher._v2
            else {"requestBody": {"content": {"*/*": {"schema": body}}, "required": True}}
        )
    return operation


def _parameter(name: str, place: str, kind: str = "string") -> Json:
    found: Json = {"name": name, "in": place, "schema": {"type": kind, "uniqueItems": True}}
    return found | {"required": True} if place == "path" else found
