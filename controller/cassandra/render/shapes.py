"""The shape of what passes through our schema unseen: core types, by the level at which they are written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from controller.cassandra.problems import FieldProblem
from controller.cassandra.render import core_types
from controller.cassandra.render.core_types import Finding
from controller.cassandra.render.template import Template
from controller.cassandra.types import AdditionalVolume, DatacenterOptions


def check_level(options: DatacenterOptions, path: str, datacenter: str = "") -> list[FieldProblem]:
    """What is not of the shape that the API has, of the cluster's options or of one datacenter's, before merging."""
    return [FieldProblem(field, message, remedy, datacenter) for field, message, remedy in _level(options, path)]


def check_merged(template: Template) -> Iterator[FieldProblem]:
    """What can only be seen when the cluster's options are merged into the datacenter's."""
    options, name = template.options, template.datacenter.name
    volumes = [("extraVolumes.pvcs", options.extra_volumes.pvcs if options.extra_volumes else None)]
    volumes.append(("storageConfig.additionalVolumes", _additional(options)))
    for field, entries in volumes:
        for index, volume in enumerate(entries or ()):
            path = f"{template.path}.{field}[{index}]"
            if not volume.pvc_spec and not volume.volume_source:
                yield FieldProblem(path, "has no source", "set pvcSpec or volumeSource", name)


def _level(options: DatacenterOptions, path: str) -> Iterator[Finding]:
    given: list[tuple[str, str, Any]] = [
        ("resources", "ResourceRequirements", options.resources),
        ("tolerations", "[Toleration]", options.tolerations),
        ("containers", "[Container]@name", options.containers),
        ("initContainers", "[Container]@name", options.init_containers),
        ("podSecurityContext", "PodSecurityContext", options.pod_security_context),
    ]
    given += [(f"racks[{index}].affinity", "Affinity", rack.affinity) for index, rack in enumerate(options.racks or ())]
    if options.storage_config is not None:
        claim = options.storage_config.cassandra_data_volume_claim_spec
        given.append(("storageConfig.cassandraDataVolumeClaimSpec", "PersistentVolumeClaimSpec", claim))
        given += _volumes("storageConfig.additionalVolumes", _additional(options))
    if options.extra_volumes is not None:
        given.append(("extraVolumes.volumes", "[Volume]@name", options.extra_volumes.volumes))
        given += _volumes("extraVolumes.pvcs", options.extra_volumes.pvcs)
    for field, kind, value in given:
        if value is not None:
            yield from core_types.check(value, kind, f"{path}.{field}")


def _additional(options: DatacenterOptions) -> list[AdditionalVolume] | None:
    return options.storage_config.additional_volumes if options.storage_config else None


def _volumes(path: str, entries: list[AdditionalVolume] | None) -> Iterator[tuple[str, str, Any]]:
    for index, volume in enumerate(entries or ()):
        yield f"{path}[{index}].pvcSpec", "PersistentVolumeClaimSpec", volume.pvc_spec
        yield f"{path}[{index}].volumeSource", "VolumeSource", volume.volume_source
