"""What may not change once a datacenter is there, and what stays as it is although the specification says otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from controller.cassandra.compare import stamped
from controller.cassandra.fixed import changed, changed_on_disk, of_datacenter
from controller.cassandra.problems import FieldProblem
from controller.cassandra.render import RenderedDatacenter
from controller.cassandra.types import K8ssandraCluster


class Place(msgspec.Struct, frozen=True):
    """Where a CassandraDatacenter is: context name ("" for the control plane's own cluster) and namespace."""

    context: str
    namespace: str


class Adjusted(msgspec.Struct, frozen=True):
    """``object``: what to write instead of the rendered one. ``kept``: fields that stay as they are in the cluster."""

    object: dict[str, Any]
    problems: tuple[FieldProblem, ...] = ()
    kept: tuple[FieldProblem, ...] = ()


def forbidden_moves(cluster: K8ssandraCluster, deployed: Mapping[str, Place]) -> tuple[FieldProblem, ...]:
    """What is wrong with the datacenters' names and places, given where those of this cluster are, by name."""
    return tuple(_moves(cluster, deployed))


def adjust(cluster: K8ssandraCluster, datacenter: RenderedDatacenter, live_spec: Mapping[str, Any]) -> Adjusted:
    """The object to write over a live CassandraDatacenter. With ``problems`` nothing may be written."""
    spec: dict[str, Any] = datacenter.object["spec"]
    kept: list[FieldProblem] = []
    changed = dict(spec)
    secret = live_spec.get("superuserSecretName") or ""
    if secret and secret != spec.get("superuserSecretName", ""):
        changed["superuserSecretName"] = secret
        message, remedy = "cannot change and stays as it is", "name the Secret that is in use"
        kept.append(FieldProblem("spec.cassandra.superuserSecretRef", message, remedy, datacenter.name, "Immutable"))
    tokens = _num_tokens(live_spec)
    if tokens is not None and tokens != _num_tokens(spec) and _tokens_left_open(cluster, datacenter.name):
        yaml = {**spec["config"]["cassandra-yaml"], "num_tokens": tokens}
        changed["config"] = {**spec["config"], "cassandra-yaml": yaml}
        message, remedy = f"stays {tokens}, as it was", "say so in the specification"
        path = "spec.cassandra.config.cassandraYaml.num_tokens"
        kept.append(FieldProblem(path, message, remedy, datacenter.name, "Immutable"))
    obj = stamped({**datacenter.object, "spec": changed}) if kept else datacenter.object
    return Adjusted(obj, tuple(_immutable(cluster, datacenter.name, changed, live_spec)), tuple(kept))


def _moves(cluster: K8ssandraCluster, deployed: Mapping[str, Place]) -> Iterator[FieldProblem]:
    cassandra = cluster.spec.cassandra
    datacenters = cassandra.datacenters if cassandra else []
    names = {datacenter.name for datacenter in datacenters}
    gone = sorted(deployed.keys() - names)
    for index, datacenter in enumerate(datacenters):
        path = f"spec.cassandra.datacenters[{index}]"
        place = deployed.get(datacenter.name)
        if place is None:
            if gone:
                message = f"{datacenter.name} is added while {', '.join(gone)} is removed"
                remedy = "do one after the other; to rename a datacenter loses its data"
                yield FieldProblem(f"{path}.metadata.name", message, remedy, datacenter.name)
            continue
        if place.context != datacenter.k8s_context:
            message = f"{datacenter.name} is in {place.context or 'the control plane'} and cannot move"
            remedy = "add a datacenter of another name there, and remove this one when it has joined"
            yield FieldProblem(f"{path}.k8sContext", message, remedy, datacenter.name)
        if place.namespace != (datacenter.metadata.namespace or cluster.namespace):
            message = f"{datacenter.name} is in the namespace {place.namespace} and cannot move"
            yield FieldProblem(f"{path}.metadata.namespace", message, "put it back", datacenter.name)


def _immutable(
    cluster: K8ssandraCluster, name: str, spec: Mapping[str, Any], live_spec: Mapping[str, Any]
) -> Iterator[FieldProblem]:
    datacenters = cluster.spec.cassandra.datacenters if cluster.spec.cassandra else []
    index = next((index for index, datacenter in enumerate(datacenters) if datacenter.name == name), 0)
    path = f"spec.cassandra.datacenters[{index}]"
    was, now = of_datacenter(live_spec), of_datacenter(spec)
    yield from changed(was, now, path, name)
    yield from changed_on_disk(was, now, path, name)


def _tokens_left_open(cluster: K8ssandraCluster, name: str) -> bool:
    """Whether the specification says nothing of the number of tokens: then nodes keep what they have, for ever.

    The default differs between Cassandra 3 and newer versions, and goes on differing after an upgrade.
    """
    cassandra = cluster.spec.cassandra
    datacenters = cassandra.datacenters if cassandra else []
    configs = [cassandra.config if cassandra else None, *(dc.config for dc in datacenters if dc.name == name)]
    return all(config is None or config.cassandra_yaml.get("num_tokens") is None for config in configs)


def _num_tokens(spec: Mapping[str, Any]) -> Any:
    yaml = (spec.get("config") or {}).get("cassandra-yaml") or {}
    return yaml.get("num_tokens") if isinstance(yaml, Mapping) else None
