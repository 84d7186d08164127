"""``render``: what a K8ssandraCluster means, cluster by cluster, without any of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import click
import msgspec
import yaml

from controller.cassandra import facts, images
from controller.cassandra.render import Rendered, replicated_secret, superuser_secret
from controller.cassandra.render import render as render_cluster
from controller.cassandra.render.per_node import DEFAULT_IMAGE
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.cassandra.types import K8ssandraCluster
from controller.cli import documents
from controller.kube import objects
from controller.kube.errors import Malformed
from controller.kube.resources import CONFIG_MAPS, SECRETS, Resource

CONTROL_PLANE: Final = "control plane"


class _Dumper(yaml.SafeDumper):
    """YAML as people write it: texts of several lines stay so, and nothing is said by reference."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


@click.command()
@click.option(
    "-f",
    "--filename",
    "files",
    type=click.File("r", encoding="utf-8"),
    multiple=True,
    required=True,
    help="Manifests, - for stdin. Secrets and ConfigMaps among them are used where a K8ssandraCluster names them, "
    "and so is the reference operator's ImageConfig.",
)
@click.option("-n", "--namespace", default="default", show_default=True, help="Of manifests that say none.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option(
    "--per-node-config-image", metavar="IMAGE", default="", envvar="PER_NODE_CONFIG_IMAGE", help="As for run."
)
def render(files: tuple[Any, ...], namespace: str, output: Literal["yaml", "json"], per_node_config_image: str) -> None:
    """Print the objects that K8ssandraClusters become, by context, without asking any cluster.

    For reviews and for diffs in a repository: the same manifest gives the same text. Left out are what only a cluster
    knows: passwords, copies of Secrets, addresses of seeds. Ends with 1 when something in a manifest is wrong; what is
    right is printed all the same.
    """
    manifests = [manifest for file in files for manifest in documents.read(file, namespace)]
    clusters = [manifest for manifest in manifests if documents.of_kind(manifest, K8SSANDRA_CLUSTERS)]
    if not clusters:
        raise click.ClickException(f"no K8ssandraCluster ({K8SSANDRA_CLUSTERS.api_version}) in what was read")
    image = _image(manifests, per_node_config_image)
    wrong = False
    made: dict[str, list[dict[str, Any]]] = {}
    for manifest in clusters:
        wrong |= _render(manifest, manifests, made, image)
    _print(made, output)
    sys.exit(1 if wrong else 0)


def _image(manifests: Iterable[Mapping[str, Any]], default: str) -> tuple[str, str]:
    """The image for configuration of single nodes, and what is wrong with the ImageConfig that should say it."""
    try:
        found = images.client_image(
            each for each in manifests if documents.of_kind(each, CONFIG_MAPS) and _labelled(each)
        )
    except images.Invalid as error:
        return default or DEFAULT_IMAGE, f"ImageConfig: {error}"
    return found or default or DEFAULT_IMAGE, ""


def _labelled(manifest: Mapping[str, Any]) -> bool:
    key, _, value = images.LABEL.partition("=")
    return bool((manifest["metadata"].get("labels") or {}).get(key) == value)


def _render(
    manifest: Mapping[str, Any],
    manifests: Iterable[Mapping[str, Any]],
    made: dict[str, list[dict[str, Any]]],
    image: tuple[str, str],
) -> bool:
    """Render one K8ssandraCluster into ``made``; whether something is wrong with it."""
    name = f"K8ssandraCluster {manifest['metadata']['namespace']}/{manifest['metadata'].get('name', '')}"
    try:
        cluster = objects.parse(objects.encode(manifest)).decode(K8ssandraCluster)
    except (Malformed, TypeError) as error:
        click.echo(f"error: {name}: {error}", err=True)
        return True

    def find(resource: Resource) -> facts.Find:
        def found(_: str, namespace: str, name: str) -> Mapping[str, Any] | None:
            wanted = (namespace, name)
            return next(
                (each for each in manifests if documents.of_kind(each, resource) and _place(each) == wanted), None
            )

        return found

    known, problems = facts.gather(cluster, find(SECRETS), find(CONFIG_MAPS), image=image[0], image_problem=image[1])
    rendered = render_cluster(cluster, known)
    for problem in [*problems, *rendered.errors]:
        click.echo(f"error: {name}: {problem}", err=True)
    for problem in [*rendered.unsupported, *rendered.warnings]:
        click.echo(f"warning: {name}: {problem}", err=True)
    _collect(cluster, rendered, made)
    return bool(problems or rendered.errors)


def _place(manifest: Mapping[str, Any]) -> tuple[Any, Any]:
    return manifest["metadata"]["namespace"], manifest["metadata"].get("name")


def _collect(cluster: K8ssandraCluster, rendered: Rendered, made: dict[str, list[dict[str, Any]]]) -> None:
    if not rendered.datacenters:
        return
    if not cluster.external_secrets:
        secret = superuser_secret(cluster, "")
        del secret["data"]  # the password is made with the Secret, and is nobody's to read here
        made.setdefault("", []).append(_born(secret))
        if (replicated := replicated_secret(cluster)) is not None:
            made[""].append(_born(replicated))
    for datacenter in rendered.datacenters:
        made.setdefault(datacenter.context, []).extend([*datacenter.config_maps, datacenter.object])


def _born(obj: dict[str, Any]) -> dict[str, Any]:
    """Without the reference to its K8ssandraCluster, whose UID nobody knows."""
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "ownerReferences"}}


def _print(made: Mapping[str, list[dict[str, Any]]], output: Literal["yaml", "json"]) -> None:
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(made, order="sorted")).decode())
        return
    for context, found in made.items():
        for obj in found:
            place = f"context {context}" if context else CONTROL_PLANE
            text = yaml.dump(obj, Dumper=_Dumper, width=120)
            click.echo(f"---\n# {place}\n{text}", nl=False)
