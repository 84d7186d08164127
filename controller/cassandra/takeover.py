"""What a datacenter of the reference operator keeps when it is taken over, so that none of its pods restarts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from controller.cassandra import labels
from controller.cassandra.compare import diff_fields, stamped
from controller.cassandra.memo import Memo
from controller.cassandra.render.per_node import NAME
from controller.cassandra.types import K8ssandraCluster
from controller.fleet import former
from controller.fleet.actions import FIELD_MANAGER
from controller.kube import ownership
from controller.kube.objects import Object

_KEPT: Final = Memo[tuple[str, bytes], dict[str, Any]](512)
_OURS: Final = "v1:"  # how every hash of ours begins


def unadopted(live: Mapping[str, Any], desired: Mapping[str, Any]) -> bool:
    """Whether managedFields still call the reference operator the owner of what is ours."""
    return former.unadopted(live, desired, FIELD_MANAGER)


def left_over(desired_spec: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """Fields of a live specification that the reference operator or we once wrote, and that are wanted no more.

    What a server puts in by itself, and what others wrote, does not count.
    """
    known = ownership.entries(live)
    written = former.written_part(live, FIELD_MANAGER, "spec") if known else live.get("spec")
    return diff_fields(_without_defaults(written), desired_spec)


def keep_init_container(
    cluster: K8ssandraCluster, desired: dict[str, Any], live: Object, actual: Mapping[str, Any]
) -> dict[str, Any]:
    """``desired``, with the reference operator's per-node init container for as long as that does the same.

    Its script does what ours does, and its hash of the ConfigMap cannot be computed here; ours would restart every pod
    for nothing. An annotation remembers of which configuration it is. When that changes, or anything else of the pods,
    they restart anyway: then everything becomes ours.
    """
    if _init_container(desired) is None or _config_hash(actual).startswith(_OURS) or not _config_hash(actual):
        return desired
    stamp = desired["metadata"]["annotations"][labels.RESOURCE_HASH]
    return _KEPT.get((stamp, live.raw), lambda: _kept(cluster, desired, actual))


def _kept(cluster: K8ssandraCluster, desired: dict[str, Any], actual: Mapping[str, Any]) -> dict[str, Any]:
    mine, theirs = _init_container(desired), _init_container(actual)
    assert mine is not None
    content = _config_hash(desired)
    adopted = (actual["metadata"].get("annotations") or {}).get(labels.ADOPTED_PER_NODE_CONFIG)
    if theirs is None or adopted not in (None, content):
        return desired
    keys = {"command", "args"} if _names_image(cluster, desired["metadata"]["name"]) else {"command", "args", "image"}
    container = {key: value for key, value in mine.items() if key not in keys}
    container |= {key: value for key, value in theirs.items() if key in keys}
    template = desired["spec"]["podTemplateSpec"]
    metadata, spec = template["metadata"], template["spec"]
    annotations = {**metadata["annotations"], labels.PER_NODE_CONFIG_HASH: _config_hash(actual)}
    containers = [container if each is mine else each for each in spec["initContainers"]]
    kept = {
        **template,
        "metadata": {**metadata, "annotations": annotations},
        "spec": {**spec, "initContainers": containers},
    }
    if diff_fields(kept, actual["spec"]["podTemplateSpec"]):
        return desired
    own = desired["metadata"]
    remembered = {**own["annotations"], labels.ADOPTED_PER_NODE_CONFIG: content}
    return stamped(
        {
            **desired,
            "metadata": {**own, "annotations": remembered},
            "spec": {**desired["spec"], "podTemplateSpec": kept},
        }
    )


def _names_image(cluster: K8ssandraCluster, name: str) -> bool:
    """Whether the specification says which image the init container has."""
    cassandra = cluster.spec.cassandra
    own = [entry for entry in cassandra.datacenters if entry.name == name] if cassandra is not None else []
    return any(each is not None and each.per_node_config_init_container_image for each in (cassandra, *own))


def _init_container(datacenter: Mapping[str, Any]) -> Mapping[str, Any] | None:
    containers = _at(datacenter, "spec", "podTemplateSpec", "spec", "initContainers")
    if not isinstance(containers, list):
        return None
    return next((each for each in containers if isinstance(each, Mapping) and each.get("name") == NAME), None)


def _config_hash(datacenter: Mapping[str, Any]) -> str:
    """The hash of the per-node configuration that pods are made with, "" without any."""
    annotations = _at(datacenter, "spec", "podTemplateSpec", "metadata", "annotations")
    found = annotations.get(labels.PER_NODE_CONFIG_HASH) if isinstance(annotations, Mapping) else None
    return found if isinstance(found, str) else ""


def _at(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _without_defaults(value: Any) -> Any:
    """``value`` without the protocol of ports, which the published schema of a CassandraDatacenter puts in."""
    if isinstance(value, Mapping):
        return {key: _without_defaults(inner) for key, inner in value.items() if (key, inner) != ("protocol", "TCP")}
    if isinstance(value, list):
        return [_without_defaults(inner) for inner in value]
    return value
