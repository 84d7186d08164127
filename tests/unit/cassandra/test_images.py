"""The image of the init container for single nodes: from an ImageConfig, and through the whole controller."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cassandra.images import Invalid, client_image, needs_image
from controller.cassandra.render.per_node import DEFAULT_IMAGE
from controller.cassandra.resources import CASSANDRA_DATACENTERS
from controller.kube.resources import CONFIG_MAPS
from controller.sandbox.apiserver import Fault
from tests.unit.cassandra.rig import NAMESPACE, Rig, rig
from tests.unit.cassandra.samples import cluster, datacenter, manifest, rendered

OPERATOR = "operators"
HEAD = "apiVersion: config.k8ssandra.io/v1beta2\nkind: ImageConfig\n"


def config_map(text: str, name: str = "image-config") -> dict[str, Any]:
    metadata = {"name": name, "namespace": OPERATOR, "labels": {"k8ssandra.io/config": "image"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"image_config.yaml": text}}


def image_of(text: str) -> str:
    return client_image([config_map(HEAD + text)])


# ── what it says ────────────────────────────────────────────────────────────────────────────────────

COMPONENT = "images: {k8ssandra-client: {repository: k8ssandra, name: k8ssandra-client, tag: v0.9.0}}\n"


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("k8ssandra/k8ssandra-client:v0.9.0", COMPONENT),
        ("docker.io/k8ssandra/k8ssandra-client:v0.9.0", COMPONENT + "defaults: {registry: docker.io}"),
        ("docker.io/k8ssandra/k8ssandra-client:v0.9.0", COMPONENT + "defaults: {registry: docker.io, repository: x}"),
        ("r.example/mine/k8ssandra-client:v0.9.0", COMPONENT + "overrides: {registry: r.example, repository: mine}"),
        ("r.example/k8ssandra-client:v0.9.0", COMPONENT + "overrides: {registry: r.example, repository: ''}"),
        ("own.example/d/c:1", "images: {k8ssandra-client: {registry: own.example, name: c, tag: '1'}}\n"
                              "defaults: {registry: docker.io, repository: d}"),
        ("c@sha256:ab", "images: {k8ssandra-client: {name: c, tag: '1', digest: 'sha256:ab'}}"),
        ("c@sha256:ab", "images: {k8ssandra-client: {name: c, tag: 'sha256:ab'}}"),
        ("", "images: {medusa: {name: medusa, tag: '1'}}"),
        ("", "images:\n"),
    ],
)  # fmt: skip
def test_an_image_config_names_the_image(expected: str, text: str) -> None:
    assert image_of(text) == expected


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("not YAML", HEAD + "images: [\n"),
        ("is no ImageConfig", "apiVersion: config.k8ssandra.io/v1beta1\nkind: ImageConfig\n"),
        ("is no ImageConfig", "[]"),
        ("is no map", HEAD + "images: []"),
        ("images.k8ssandra-client is no map", HEAD + "images: {k8ssandra-client: c:1}"),
        ("images.k8ssandra-client.tag is no text", HEAD + "images: {k8ssandra-client: {name: c, tag: 1.0}}"),
        ("neither tag nor digest", HEAD + "images: {k8ssandra-client: {name: c}}"),
        ("overrides is no map", HEAD + COMPONENT + "overrides: x"),
        ("registry is no text", HEAD + COMPONENT + "overrides: {registry: []}"),
    ],
)
def test_what_is_wrong_with_one_is_said(said: str, text: str) -> None:
    with pytest.raises(Invalid, match=f"ConfigMap image-config: .*{said}"):
        client_image([config_map(text)])


def test_of_several_the_first_by_name_with_the_key_counts() -> None:
    two, one = config_map(HEAD + COMPONENT, "b"), config_map(HEAD + COMPONENT.replace("0.9.0", "1"), "a")
    empty = {"metadata": {"name": "0"}, "data": {"other": "x"}}
    assert client_image([two, empty, one]) == "k8ssandra/k8ssandra-client:v1"
    with pytest.raises(Invalid, match=r"has no image_config\.yaml"):
        client_image([empty])
    assert client_image([]) == ""


# ── who needs it ────────────────────────────────────────────────────────────────────────────────────

REFERENCE = {"perNodeConfigMapRef": {"name": "nodes"}}
FEW_TOKENS: dict[str, Any] = {"cassandraYaml": {"num_tokens": 4}}
IMAGE = "perNodeConfigInitContainerImage"


def test_only_configuration_of_single_nodes_needs_it() -> None:
    assert not needs_image(cluster())
    assert not needs_image(cluster(datacenter("dc1", **REFERENCE), **{IMAGE: "mine:1"}))
    assert needs_image(cluster(datacenter("dc1"), datacenter("dc2", **REFERENCE)))
    assert needs_image(cluster(config=FEW_TOKENS))
    assert needs_image(cluster(datacenter("dc1", config=FEW_TOKENS)))


def test_the_specification_wins_over_what_is_known() -> None:
    given = cluster(datacenter("dc1", **REFERENCE, **{IMAGE: "mine:1"}))
    made = rendered(given, per_node_config_hashes={"dc1": "v1:x"}, per_node_config_image="", image_problem="broken")
    assert (made.errors, made.warnings) == ((), ())
    assert image_in(made.datacenters[0].object) == "mine:1"


def test_while_the_image_is_not_known_its_datacenters_wait_and_no_others() -> None:
    given = cluster(datacenter("dc1"), datacenter("dc2", **REFERENCE))
    made = rendered(given, per_node_config_hashes={"dc2": "v1:x"}, per_node_config_image="")
    assert [(error.reason, error.datacenter) for error in made.errors] == [("ImageConfigUnknown", "dc2")]
    assert [entry.name for entry in made.datacenters] == ["dc1"]


def test_a_broken_image_config_is_a_warning_where_the_image_is_used() -> None:
    given = cluster(config=FEW_TOKENS)
    made = rendered(given, image_problem="no YAML")
    assert [(warning.reason, warning.datacenter) for warning in made.warnings] == [("ImageConfigInvalid", "dc1")]
    assert "no YAML" in made.warnings[0].message
    assert image_in(made.datacenters[0].object) == DEFAULT_IMAGE
    assert rendered(cluster(), image_problem="no YAML").warnings == ()


def image_in(obj: dict[str, Any]) -> str:
    containers = obj["spec"]["podTemplateSpec"]["spec"]["initContainers"]
    return str(next(each["image"] for each in containers if each["name"] == "per-node-config"))


# ── the whole controller ────────────────────────────────────────────────────────────────────────────


def with_tokens() -> dict[str, Any]:
    found = manifest(datacenter("dc1"), datacenter("dc2"), config=FEW_TOKENS)
    found["metadata"] = {"name": "demo", "namespace": NAMESPACE}
    return found


def published(one: Rig, text: str) -> None:
    one.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR}})
    one.apply(config_map(text))


async def used(one: Rig, context: str = "kind-dc1", name: str = "dc1") -> str:
    return image_in(await one.get(CASSANDRA_DATACENTERS, name, context))


def looks(one: Rig) -> int:
    path = CONFIG_MAPS.path(OPERATOR)
    return sum(seen.path == path and not seen.context for seen in one.seen)


@pytest.mark.looptime
async def test_the_image_comes_from_the_operators_namespace_and_is_asked_for_once() -> None:
    async with rig(own_namespace=OPERATOR) as one:
        published(one, HEAD + COMPONENT)
        one.apply(with_tokens())
        await one.ready()
        assert [await used(one), await used(one, "kind-dc2", "dc2")] == ["k8ssandra/k8ssandra-client:v0.9.0"] * 2
        assert looks(one) <= 3  # one for each context at the most
        assert [seen for seen in await one.quiet() if seen.writes] == []


@pytest.mark.looptime
async def test_a_cluster_that_needs_no_image_asks_for_none() -> None:
    async with rig(own_namespace=OPERATOR) as one:
        found = manifest(datacenter("dc1"))
        found["metadata"] = {"name": "demo", "namespace": NAMESPACE}
        one.apply(found)
        await one.ready()
        assert looks(one) == 0


@pytest.mark.looptime
@pytest.mark.parametrize("text", ["", "broken: ["])
async def test_without_a_good_image_config_the_flag_says_it(text: str) -> None:
    async with rig(own_namespace=OPERATOR, per_node_config_image="mine:2") as one:
        if text:
            published(one, text)
        one.apply(with_tokens())
        await one.ready()
        assert await used(one) == "mine:2"


@pytest.mark.looptime
async def test_an_api_server_that_fails_is_asked_again_before_anything_is_made() -> None:
    async with rig(own_namespace=OPERATOR) as one:
        published(one, HEAD + COMPONENT)
        fault = Fault(verb="list", resource="configmaps", namespace=OPERATOR, status=500, times=None)
        one.servers[""].faults.add(fault)
        one.apply(with_tokens())
        await one.says("ImageConfigUnknown", "DatacenterReady.dc1")
        one.servers[""].faults.remove(fault)
        await one.ready()
        assert await used(one) == "k8ssandra/k8ssandra-client:v0.9.0"
