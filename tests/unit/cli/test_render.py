from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result

from controller.cassandra.render import Facts, initial_system_replication
from controller.cassandra.render import render as render_cluster
from controller.cassandra.render.per_node import DEFAULT_IMAGE
from controller.cli.render import render
from tests.unit.cassandra.samples import datacenter, manifest, typed

DEMO = Path(__file__).parents[3] / "manifests" / "samples" / "demo.yaml"


def run(*documents: Any, options: tuple[str, ...] = ()) -> Result:
    text = yaml.safe_dump_all(documents)
    return CliRunner().invoke(render, ["-f", "-", *options], input=text)


def encrypted() -> dict[str, Any]:
    """A cluster with encryption between its nodes."""
    cassandra = {
        "serverEncryptionStores": {
            "keystoreSecretRef": {"name": "stores", "key": "keystore"},
            "truststoreSecretRef": {"name": "stores", "key": "truststore"},
        },
        "config": {"cassandraYaml": {"server_encryption_options": {"internode_encryption": "all"}}},
    }
    return manifest(**cassandra)


def stores(**data: str) -> dict[str, Any]:
    namespace = encrypted()["metadata"].get("namespace", "default")
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "stores", "namespace": namespace},
        "data": encoded,
    }


def test_the_sample_becomes_what_the_controller_would_make() -> None:
    found = CliRunner().invoke(render, ["-f", str(DEMO), "-o", "json"])
    assert found.exit_code == 0
    made = msgspec.json.decode(found.stdout)
    assert {context: [obj["kind"] for obj in objects] for context, objects in made.items()} == {
        "": ["Secret", "ReplicatedSecret"],
        **{f"kind-k8ssandra-{number}": ["ConfigMap", "CassandraDatacenter"] for number in (1, 2, 3)},
    }
    document = yaml.safe_load(DEMO.read_text("utf-8"))
    document["metadata"]["namespace"] = "default"
    cluster = typed(document)
    wanted = render_cluster(cluster, Facts(initial_system_replication=initial_system_replication(cluster)))
    assert [made[each.context][1] for each in wanted.datacenters] == [each.object for each in wanted.datacenters]


def test_yaml_and_json_say_the_same() -> None:
    documents = [each for each in yaml.safe_load_all(run(manifest()).stdout) if each]
    made = msgspec.json.decode(run(manifest(), options=("-o", "json")).stdout)
    assert documents == [obj for objects in made.values() for obj in objects]


def test_the_same_manifest_gives_the_same_text_whatever_the_order_of_its_keys() -> None:
    given = manifest(datacenter("dc1"), datacenter("dc2"))
    first = CliRunner().invoke(render, ["-f", "-"], input=yaml.safe_dump(given, sort_keys=False)).stdout
    second = CliRunner().invoke(render, ["-f", "-"], input=yaml.safe_dump(_turned(given), sort_keys=False)).stdout
    assert first == second


def _turned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(value)}
    return [_turned(each) for each in value] if isinstance(value, list) else value


def test_no_password_is_ever_printed() -> None:
    assert "password" not in run(manifest()).stdout.replace("passwordSecretRef", "")


def test_something_wrong_is_named_and_the_rest_is_printed() -> None:
    found = run(manifest(datacenter("dc1"), datacenter("dc2", serverVersion="5")))
    assert found.exit_code == 1
    assert "spec.cassandra.datacenters[1].serverVersion" in found.stderr
    assert ("name: dc1\n" in found.stdout, "name: dc2\n" in found.stdout) == (True, False)


def test_what_is_not_supported_is_a_warning() -> None:
    found = run(manifest(spec={"reaper": {}}))
    assert found.exit_code == 0
    assert "spec.reaper" in found.stderr


def test_secrets_beside_the_manifest_tell_the_passwords_of_stores() -> None:
    complete = stores(**{"keystore-password": "one", "truststore-password": "two"})
    assert run(encrypted(), complete).exit_code == 0
    missing = run(encrypted())
    assert (missing.exit_code, "stores" in missing.stderr) == (1, True)
    without = run(encrypted(), stores(**{"keystore-password": "one"}))
    assert (without.exit_code, "truststore-password" in without.stderr) == (1, True)


def test_a_config_map_for_single_nodes_is_known_by_its_content() -> None:
    given = manifest(datacenter("dc1", perNodeConfigMapRef={"name": "nodes"}))
    metadata = {"name": "nodes", "namespace": given["metadata"].get("namespace", "default")}
    nodes = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"pod_file": "a: 1"}}
    assert run(given).exit_code == 1
    first = run(given, nodes)
    assert first.exit_code == 0
    assert run(given, {**nodes, "metadata": {**metadata, "labels": {"a": "b"}}}).stdout == first.stdout
    assert run(given, {**nodes, "data": {"pod_file": "a: 2"}}).stdout != first.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "not YAML"),
        ("just text", "has no metadata"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: a}", "no K8ssandraCluster"),
        ("apiVersion: k8ssandra.io/v1alpha1\nkind: K8ssandraCluster\nmetadata: {name: a}\nspec: text", "$.spec"),
    ],
)
def test_input_that_cannot_be_read_is_said(text: str, says: str) -> None:
    found = CliRunner().invoke(render, ["-f", "-"], input=text)
    assert found.exit_code == 1
    assert says in found.stderr


def test_a_list_of_several_clusters_is_rendered_whole() -> None:
    other = manifest()
    other["metadata"] = {**other["metadata"], "name": "other"}
    found = run({"apiVersion": "v1", "kind": "List", "items": [manifest(), other]})
    assert found.stdout.count("kind: ReplicatedSecret") == 2


def image_config(text: str) -> dict[str, Any]:
    metadata = {"name": "images", "namespace": "x", "labels": {"k8ssandra.io/config": "image"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"image_config.yaml": text}}


GOOD = """
apiVersion: config.k8ssandra.io/v1beta2
kind: ImageConfig
images: {k8ssandra-client: {repository: a, name: b, tag: c}}
"""


@pytest.mark.parametrize(
    ("image", "documents", "options"),
    [
        ("a/b:c", [image_config(GOOD)], ("--per-node-config-image", "mine:1")),
        ("mine:1", [], ("--per-node-config-image", "mine:1")),
        ("mine:1", [image_config("broken: [")], ("--per-node-config-image", "mine:1")),
        (DEFAULT_IMAGE, [], ()),
    ],
)
def test_the_image_for_single_nodes_is_found_as_by_the_controller(
    image: str, documents: list[dict[str, Any]], options: tuple[str, ...]
) -> None:
    given = manifest(config={"cassandraYaml": {"num_tokens": 4}})
    found = run(given, *documents, options=("-o", "json", *options))
    assert found.exit_code == 0
    datacenter = msgspec.json.decode(found.stdout)["kind-dc1"][-1]
    containers = datacenter["spec"]["podTemplateSpec"]["spec"]["initContainers"]
    assert [each.get("image") for each in containers] == [None, image]
    assert ("ImageConfig:" in found.stderr) == any("broken" in str(each) for each in documents)
