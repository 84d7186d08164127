"""The shape of core types as far as rendering looks into them. They pass through our schema unseen, in any shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from controller.cassandra.problems import FieldProblem
from controller.cassandra.render.template import Template
from controller.kube.quantity import parse_quantity

_NAMED: Final[dict[str, tuple[str, type]]] = {
    "env": ("name", str),
    "ports": ("containerPort", int),
    "volumeMounts": ("mountPath", str),
    "volumeDevices": ("devicePath", str),
}
_MAPS: Final = ("resources", "securityContext", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")


def check(template: Template) -> Iterator[FieldProblem]:
    """What in containers, volumes and resources is not of the shape that the API has."""
    for field, message, remedy in _wrong(template):
        yield FieldProblem(f"{template.path}.{field}", message, remedy, template.datacenter.name)


def is_quantity(value: Any) -> bool:
    """Whether it is a quantity: text or a number that can be read as one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        parse_quantity(value)
    except ValueError:
        return False
    return True


def _wrong(template: Template) -> Iterator[tuple[str, str, str]]:
    options = template.options
    yield from _resources(options.resources, "resources")
    for field, containers in (("containers", options.containers), ("initContainers", options.init_containers)):
        yield from _list(containers, field, "name", str)
        for index, container in enumerate(containers or ()):
            yield from _container(container, f"{field}[{index}]")
    storage = options.storage_config
    claim = storage.cassandra_data_volume_claim_spec if storage else None
    if claim:
        yield from _resources(claim.get("resources"), "storageConfig.cassandraDataVolumeClaimSpec.resources")
    if options.extra_volumes is not None:
        yield from _list(options.extra_volumes.volumes, "extraVolumes.volumes", "name", str)
        for index, volume in enumerate(options.extra_volumes.pvcs or ()):
            if not volume.pvc_spec and not volume.volume_source:
                yield f"extraVolumes.pvcs[{index}]", "has no source", "set pvcSpec or volumeSource"


def _container(container: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    for field, (key, kind) in _NAMED.items():
        yield from _list(container.get(field), f"{path}.{field}", key, kind)
    for field in _MAPS:
        if not isinstance(container.get(field), dict | None):
            yield f"{path}.{field}", "is not of the right type", "use a map"
    yield from _resources(container.get("resources"), f"{path}.resources")


def _resources(resources: Any, path: str) -> Iterator[tuple[str, str, str]]:
    for kind in ("limits", "requests"):
        amounts = resources.get(kind) if isinstance(resources, dict) else None
        if amounts is None:
            continue
        if not isinstance(amounts, dict):
            yield f"{path}.{kind}", "is not of the right type", "use a map of quantities"
            continue
        for name, value in amounts.items():
            if value is not None and not is_quantity(value):
                yield f"{path}.{kind}.{name}", "is no quantity", "use 4Gi, 500m or 2"


def _list(entries: Any, path: str, key: str, kind: type) -> Iterator[tuple[str, str, str]]:
    """A list of maps, each with a key of its own."""
    if entries is None:
        return
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        yield path, "is not of the right type", "use a list of maps"
        return
    seen = set()
    for index, entry in enumerate(entries):
        name = entry.get(key)
        if not isinstance(name, kind) or isinstance(name, bool) or not name:
            yield f"{path}[{index}].{key}", "is required", "set it"
        elif key != "containerPort" and name in seen:
            yield f"{path}[{index}].{key}", "is there twice", "keep one of the two"
        else:
            seen.add(name)
