"""The image for configuration of single nodes, with the rights that ``manifests/`` give and on every kind of server."""

from __future__ import annotations

from random import Random
from typing import Any

from controller.cassandra.render.per_node import DEFAULT_IMAGE
from controller.cassandra.resources import CASSANDRA_DATACENTERS
from controller.kube.resources import EVENTS
from controller.preview import desired, preview
from tests.integration.rig import CONTEXTS, Rig, eventually, quiet

WITHIN = 20.0  # s
GOOD = """
apiVersion: config.k8ssandra.io/v1beta2
kind: ImageConfig
images: {k8ssandra-client: {repository: mine, name: client, tag: "1"}}
defaults: {registry: registry.example}
"""


def image_config(text: str) -> dict[str, Any]:
    metadata = {"name": "image-config", "labels": {"k8ssandra.io/config": "image"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"image_config.yaml": text}}


def few_tokens(one: Rig) -> dict[str, Any]:
    found = one.sample()
    found["spec"]["cassandra"]["config"] = {"cassandraYaml": {"num_tokens": 4}}
    return found


async def images(one: Rig) -> set[str]:
    found = set()
    for number, context in enumerate(CONTEXTS, 1):
        live = await one.get(CASSANDRA_DATACENTERS, f"dc{number}", context) or {}
        containers = live["spec"]["podTemplateSpec"]["spec"]["initContainers"]
        found |= {each["image"] for each in containers if each["name"] == "per-node-config"}
    return found


async def test_every_datacenter_has_the_image_of_the_image_config_and_a_plan_knows_it(one: Rig) -> None:
    await one.apply(image_config(GOOD))
    await one.start(own_namespace=one.namespace)
    await one.apply(few_tokens(one))
    await one.ready()
    await quiet(one)
    assert await images(one) == {"registry.example/mine/client:1"}
    manifest = few_tokens(one)
    manifest["metadata"]["namespace"] = one.namespace
    settings = one.settings(own_namespace=one.namespace)
    async with preview(settings, await one.credentials(), one.make_transport, rng=Random(3), within=WITHIN) as looking:
        foreseen = await looking.forecast(desired(manifest, looking.live(one.namespace, "demo")), within=WITHIN)
    assert foreseen.changes == ()


async def test_a_broken_image_config_is_an_event_and_the_default_is_taken(one: Rig) -> None:
    await one.apply(image_config("apiVersion: v1"))
    await one.start(own_namespace=one.namespace)
    await one.apply(few_tokens(one))
    await one.ready()
    assert await images(one) == {DEFAULT_IMAGE}

    async def said() -> bool:
        events = [event.decode(dict) for event in await one.client().list_all(EVENTS, one.namespace)]
        return any("is no ImageConfig of config.k8ssandra.io/v1beta2" in event.get("message", "") for event in events)

    await eventually(said, "an event about the ImageConfig")
