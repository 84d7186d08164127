"""The generated CustomResourceDefinitions: what is in manifests/ is what the structs say, and a server takes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.cli.manifests import files, write
from controller.definitions import definitions
from controller.sandbox.crds import control_plane_crds, data_plane_crds, published_crds

DIRECTORY = Path(__file__).parents[2] / "manifests" / "crds"
ALL = [
    *(("ours", entry) for entry in control_plane_crds()),
    *(("published", entry) for entry in published_crds()),
    *(("data plane", entry) for entry in data_plane_crds()),
]
IDS = [f"{shape}-{entry['metadata']['name']}" for shape, entry in ALL]
_TYPES = {"object", "array", "string", "integer", "number", "boolean"}


def version_of(entry: dict[str, Any]) -> dict[str, Any]:
    (version,) = entry["spec"]["versions"]
    return version


def schema_of(entry: dict[str, Any]) -> dict[str, Any]:
    return version_of(entry)["schema"]["openAPIV3Schema"]


def nodes(schema: dict[str, Any], path: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in a schema, with its path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


def at(name: str, path: str) -> dict[str, Any]:
    """The schema of a field, as ``spec.cassandra.size``."""
    found = schema_of(definitions()[name])
    for part in path.split("."):
        found = found["items"]["properties"][part] if found["type"] == "array" else found["properties"][part]
    return found


# ── drift ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_files_are_what_the_generator_writes() -> None:
    assert files() == {path.name: path.read_text() for path in DIRECTORY.glob("*.yaml") if path.name in files()}


def test_a_file_holds_its_definition() -> None:
    for name, content in files().items():
        assert yaml.safe_load(content) == definitions()[name.removesuffix(".yaml")]


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    assert len(write(tmp_path)) == 4
    assert write(tmp_path) == []


# ── what a server asks of a structural schema ───────────────────────────────────────────────────────


@pytest.mark.parametrize(("shape", "entry"), ALL, ids=IDS)
def test_every_level_has_a_type(shape: str, entry: dict[str, Any]) -> None:
    for path, schema in nodes(schema_of(entry)):
        if schema.get("x-kubernetes-int-or-string"):
            assert "type" not in schema, path
            assert schema["anyOf"] == [{"type": "integer"}, {"type": "string"}], path
        else:
            assert schema["type"] in _TYPES, path


@pytest.mark.parametrize(("shape", "entry"), ALL, ids=IDS)
def test_properties_and_free_keys_exclude_each_other_and_what_is_required_is_there(
    shape: str, entry: dict[str, Any]
) -> None:
    for path, schema in nodes(schema_of(entry)):
        assert not ("properties" in schema and "additionalProperties" in schema), path
        assert set(schema.get("required", [])) <= schema.get("properties", {}).keys(), path
        assert (schema.get("type") == "array") is ("items" in schema), path


@pytest.mark.parametrize(("shape", "entry"), ALL, ids=IDS)
def test_a_default_is_valid_where_it_stands(shape: str, entry: dict[str, Any]) -> None:
    for path, schema in nodes(schema_of(entry)):
        if "default" in schema:
            assert isinstance(schema["default"], bool) is (schema["type"] == "boolean"), path
            assert schema["default"] in schema.get("enum", [schema["default"]]), path


@pytest.mark.parametrize(("shape", "entry"), ALL, ids=IDS)
def test_keys_of_a_list_map_are_required(shape: str, entry: dict[str, Any]) -> None:
    for path, schema in nodes(schema_of(entry)):
        for key in schema.get("x-kubernetes-list-map-keys", []):
            assert key in schema["items"]["required"], path


def test_every_field_of_ours_is_explained() -> None:
    unexplained = {"apiVersion", "kind", "metadata", "spec", "status"}
    for entry in definitions().values():
        for path, schema in nodes(schema_of(entry)):
            assert "description" in schema or path.endswith("[]") or path.split(".")[-1] in unexplained, path


# ── what the API promises ───────────────────────────────────────────────────────────────────────────


def test_there_are_the_four_kinds_of_the_control_plane_and_no_other() -> None:
    assert set(definitions()) == {
        "clientconfigs.config.k8ssandra.io",
        "k8ssandraclusters.k8ssandra.io",
        "replicatedsecrets.replication.k8ssandra.io",
        "k8ssandratasks.control.k8ssandra.io",
    }
    assert {path.stem for path in DIRECTORY.glob("*.io.yaml")} == set(definitions())


def test_short_names_and_columns() -> None:
    cluster = definitions()["k8ssandraclusters.k8ssandra.io"]
    assert cluster["spec"]["names"]["shortNames"] == ["k8c", "k8cs"]
    columns = {
        name: [column["name"] for column in version_of(entry)["additionalPrinterColumns"]]
        for name, entry in definitions().items()
    }
    assert columns == {
        "clientconfigs.config.k8ssandra.io": [
            *("Context", "Ready", "Reason", "Version", "Since", "Age"),
            *("Expires", "Message"),  # with -o wide
        ],
        "k8ssandraclusters.k8ssandra.io": [
            *("Ready", "Progressing", "Reason", "Error", "Age"),
            *("Type", "Version", "Message"),  # with -o wide
        ],
        "replicatedsecrets.replication.k8ssandra.io": ["Age"],
        "k8ssandratasks.control.k8ssandra.io": ["Job", "Scheduled", "Started", "Completed"],
    }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("spec.auth", {"type": "boolean", "default": True}),
        ("spec.secretsProvider", {"enum": ["internal", "external"], "default": "internal"}),
        ("spec.cassandra.serverType", {"enum": ["cassandra", "dse", "hcd"], "default": "cassandra"}),
        ("spec.cassandra.serverVersion", {"type": "string", "pattern": r"(\d+\.\d+\.\d+)"}),
        ("spec.cassandra.racks.name", {"minLength": 2}),
        ("spec.cassandra.config.jvmOptions.gc", {"default": "G1GC"}),
        ("spec.cassandra.config.jvmOptions.gc_g1_rset_updating_pause_time_percent", {"minimum": 0, "maximum": 100}),
        ("spec.cassandra.config.cassandraYaml", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        ("spec.cassandra.rebuild.maxConcurrentRebuilds", {"type": "integer", "minimum": 0}),
        ("spec.cassandra.mgmtAPIHeap", {"x-kubernetes-int-or-string": True}),
        ("spec.cassandra.datacenters.size", {"type": "integer", "format": "int32", "minimum": 1}),
        ("spec.cassandra.datacenters.stopped", {"default": False}),
        ("spec.cassandra.datacenters.config.jvmOptions.gc", {"default": "G1GC"}),
        ("spec.cassandra.datacenters.metadata.services.allPodsService.labels", {"type": "object"}),
        ("spec.cassandra.telemetry.cassandra.relabels.action", {"default": "replace"}),
        ("status.error", {"default": "None"}),
        ("status.conditions", {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ],
)
def test_a_field_of_a_cluster(path: str, expected: dict[str, Any]) -> None:
    found = at("k8ssandraclusters.k8ssandra.io", path)
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    "path",
    [
        "resources",
        "podSecurityContext",
        "storageConfig.cassandraDataVolumeClaimSpec",
        "racks.affinity",
        "storageConfig.additionalVolumes.volumeSource",
    ],
)
def test_embedded_core_types_are_never_pruned(path: str) -> None:
    assert at("k8ssandraclusters.k8ssandra.io", f"spec.cassandra.{path}")["x-kubernetes-preserve-unknown-fields"]


def test_what_is_required() -> None:
    name = "k8ssandraclusters.k8ssandra.io"
    assert at(name, "spec.cassandra.datacenters")["items"]["required"] == ["size"]
    assert at(name, "spec.cassandra.datacenters.metadata")["required"] == ["name"]
    assert "required" not in at(name, "spec")


def test_conditions_of_a_replicated_secret_are_a_plain_list() -> None:
    # There are several of one type: one for each target.
    found = at("replicatedsecrets.replication.k8ssandra.io", "status.conditions")
    assert "x-kubernetes-list-type" not in found
    assert found["items"]["required"] == ["cluster", "status", "type"]


def test_a_client_config_has_a_status() -> None:
    entry = definitions()["clientconfigs.config.k8ssandra.io"]
    assert version_of(entry)["subresources"] == {"status": {}}
    assert at("clientconfigs.config.k8ssandra.io", "status.clusterUID") == {
        "type": "string",
        "description": "Identity of the cluster: the UID of its namespace kube-system.",
    }


# ── the published shape ─────────────────────────────────────────────────────────────────────────────


def published(name: str) -> dict[str, Any]:
    return next(entry for entry in published_crds() if entry["metadata"]["name"] == name)


def test_a_published_client_config_has_no_status() -> None:
    entry = published("clientconfigs.config.k8ssandra.io")
    assert "subresources" not in version_of(entry)
    assert "status" not in schema_of(entry)["properties"]


def test_published_conditions_keep_three_fields() -> None:
    cluster = schema_of(published("k8ssandraclusters.k8ssandra.io"))["properties"]["status"]["properties"]["conditions"]
    assert cluster["items"]["properties"].keys() == {"type", "status", "lastTransitionTime"}
    secret = schema_of(published("replicatedsecrets.replication.k8ssandra.io"))["properties"]["status"]["properties"]
    assert secret["conditions"]["items"]["properties"].keys() == {"cluster", "type", "status", "lastTransitionTime"}


def test_making_the_published_shape_leaves_ours_alone() -> None:
    before = files()
    published_crds()
    assert files() == before
