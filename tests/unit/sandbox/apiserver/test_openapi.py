"""The OpenAPI documents: what kubectl looks for in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from controller.kube.resources import CONFIG_MAPS, CRDS, NAMESPACES, PODS, SECRETS, SERVICES, Resource
from controller.sandbox.apiserver.builtin import BUILTIN
from controller.sandbox.apiserver.openapi import PublishedKind, openapi_v2, openapi_v3, openapi_v3_index

Json = dict[str, Any]
THINGS = Resource("example.com", "v1", "Thing", "things")
SCHEMA: Json = {
    "type": "object",
    "description": "A thing.",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "description": "How big.", "nullable": True},
                "port": {"x-kubernetes-int-or-string": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        }
    },
}
THING = PublishedKind(THINGS, SCHEMA, ("status",))
KINDS = [*(PublishedKind(resource) for resource in (SECRETS, PODS, SERVICES, NAMESPACES, CRDS)), THING]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def parameters(operation: Json) -> set[str]:
    return {parameter["name"] for parameter in operation.get("parameters", ())}


def test_the_index_names_every_group_and_version() -> None:
    paths = openapi_v3_index(KINDS)["paths"]
    assert list(paths) == ["api/v1", "apis/apiextensions.k8s.io/v1", "apis/example.com/v1"]
    assert paths["api/v1"]["serverRelativeURL"].startswith("/openapi/v3/api/v1?hash=")


def test_the_hash_changes_with_the_content_only() -> None:
    first, same = openapi_v3_index(KINDS)["paths"], openapi_v3_index(list(reversed(KINDS)))["paths"]
    other = openapi_v3_index([*KINDS[:-1], PublishedKind(THINGS, {"type": "object"}, ("status",))])["paths"]
    assert first["apis/example.com/v1"] == same["apis/example.com/v1"]
    assert first["apis/example.com/v1"] != other["apis/example.com/v1"]
    assert first["api/v1"] == other["api/v1"]


@pytest.mark.parametrize("verb", ["post", "put", "patch"])
def test_writes_offer_dry_run_and_field_validation(verb: str) -> None:
    paths = openapi_v3("example.com", "v1", KINDS)["paths"]
    collection = "/apis/example.com/v1/namespaces/{namespace}/things"
    operation = paths[collection if verb == "post" else collection + "/{name}"][verb]
    assert {"dryRun", "fieldManager", "fieldValidation"} <= parameters(operation)
    assert operation["x-kubernetes-group-version-kind"] == {"group": "example.com", "version": "v1", "kind": "Thing"}


def test_a_patch_can_be_forced() -> None:
    paths = openapi_v3("example.com", "v1", KINDS)["paths"]
    assert "force" in parameters(paths["/apis/example.com/v1/namespaces/{namespace}/things/{name}"]["patch"])


@pytest.mark.parametrize(
    ("strategic", "group", "path"),
    [
        (True, "", "/api/v1/namespaces/{namespace}/pods/{name}"),
        (False, "example.com", "/apis/example.com/v1/namespaces/{namespace}/things/{name}"),
    ],
)
def test_only_built_in_kinds_take_strategic_patches(strategic: bool, group: str, path: str) -> None:
    content = openapi_v3(group, "v1", KINDS)["paths"][path]["patch"]["requestBody"]["content"]
    assert strategic == ("application/strategic-merge-patch+json" in content)
    assert "application/apply-patch+yaml" in content


def test_paths_follow_scope_and_subresources() -> None:
    assert set(openapi_v3("example.com", "v1", KINDS)["paths"]) == {
        "/apis/example.com/v1/things",
        "/apis/example.com/v1/namespaces/{namespace}/things",
        "/apis/example.com/v1/namespaces/{namespace}/things/{name}",
        "/apis/example.com/v1/namespaces/{namespace}/things/{name}/status",
    }
    assert "/api/v1/namespaces/{name}" in openapi_v3("", "v1", KINDS)["paths"]


def test_a_custom_kind_is_published_as_its_definition_says() -> None:
    schemas = openapi_v3("example.com", "v1", KINDS)["components"]["schemas"]
    thing = schemas["com.example.v1.Thing"]
    assert thing["properties"]["spec"] == SCHEMA["properties"]["spec"]
    assert thing["description"] == "A thing."
    assert thing["x-kubernetes-group-version-kind"] == [{"group": "example.com", "version": "v1", "kind": "Thing"}]
    assert set(thing["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert "com.example.v1.ThingList" in schemas


def test_a_definition_is_not_changed_by_publishing_it() -> None:
    before = json.dumps(SCHEMA)
    openapi_v2(KINDS)
    openapi_v3("example.com", "v1", KINDS)
    assert before == json.dumps(SCHEMA)


def test_a_kind_without_a_schema_is_any_object() -> None:
    schemas = openapi_v3("example.com", "v1", [PublishedKind(THINGS)])["components"]["schemas"]
    assert set(schemas["com.example.v1.Thing"]) == {"type", "x-kubernetes-group-version-kind"}


def test_lists_of_built_in_kinds_carry_their_merge_keys() -> None:
    schemas = openapi_v3("", "v1", KINDS)["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers == {
        "type": "array",
        "items": {"allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}]},
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-patch-strategy": "merge",
        "x-kubernetes-patch-merge-key": "name",
    }


def test_every_reference_leads_somewhere() -> None:
    everything = [PublishedKind(Resource(group, version, kind, kind.lower() + "s")) for group, version, kind in BUILTIN]
    for group, version in {(group, version) for group, version, _ in BUILTIN}:
        document = openapi_v3(group, version, everything)
        targets = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
        assert set(references(document)) <= targets
    swagger = openapi_v2([*everything, THING])
    assert set(references(swagger)) <= {f"#/definitions/{name}" for name in swagger["definitions"]}


def test_swagger_leaves_out_what_it_cannot_say() -> None:
    spec = openapi_v2(KINDS)["definitions"]["com.example.v1.Thing"]["properties"]["spec"]["properties"]
    assert spec == {
        "size": {"description": "How big."},
        "port": {"x-kubernetes-int-or-string": True},
        "free": {"x-kubernetes-preserve-unknown-fields": True},
    }


def test_swagger_takes_a_preserving_root_for_any_object() -> None:
    schema = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"spec": {"type": "object"}},
    }
    found = openapi_v2([PublishedKind(THINGS, schema)])["definitions"]["com.example.v1.Thing"]
    assert "properties" not in found


def test_documents_are_json() -> None:
    assert json.loads(json.dumps(openapi_v2(KINDS)))["swagger"] == "2.0"
    assert json.loads(json.dumps(openapi_v3("", "v1", [PublishedKind(CONFIG_MAPS)])))["openapi"] == "3.0.0"
