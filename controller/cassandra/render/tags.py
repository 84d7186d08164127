"""Labels and annotations that a user hands down: keys and values that every API server takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from controller.cassandra import names
from controller.cassandra.problems import FieldProblem
from controller.cassandra.types import ClusterMetadata, Rack, Tags

ANNOTATIONS_SIZE: Final = 256 * 1024  # bytes of all keys and values of one object, the API's limit
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def check(metadata: ClusterMetadata, path: str, datacenter: str = "") -> Iterator[FieldProblem]:
    """What is wrong with the labels and annotations of a cluster or, with its name, of one of its datacenters."""
    services = metadata.services
    given = {
        path: Tags(labels=metadata.labels, annotations=metadata.annotations),
        f"{path}.pods": metadata.pods,
        f"{path}.services.dcService": services.dc_service,
        f"{path}.services.seedService": services.seed_service,
        f"{path}.services.allPodsService": services.all_pods_service,
        f"{path}.services.additionalSeedService": services.additional_seed_service,
        f"{path}.services.nodePortService": services.node_port_service,
    }
    for place, tags in given.items():
        yield from _labels(tags.labels, f"{place}.labels", datacenter)
        yield from _annotations(tags.annotations, f"{place}.annotations", datacenter)
    # Those of the cluster stand on its ConfigMaps and Secrets as they are; a datacenter's cass-operator cleans.
    keys_only = bool(datacenter)
    yield from _labels(metadata.common_labels, f"{path}.commonLabels", datacenter, keys_only=keys_only)
    yield from _annotations(metadata.common_annotations, f"{path}.commonAnnotations", datacenter)


def check_racks(racks: list[Rack] | None, path: str, datacenter: str = "") -> Iterator[FieldProblem]:
    """What is wrong with the labels of the nodes that racks ask for."""
    for index, rack in enumerate(racks or ()):
        yield from _labels(rack.node_affinity_labels, f"{path}[{index}].nodeAffinityLabels", datacenter)


def _labels(
    labels: Mapping[str, str], path: str, datacenter: str, *, keys_only: bool = False
) -> Iterator[FieldProblem]:
    yield from _keys(labels, path, datacenter)
    for key, value in labels.items():
        if not keys_only and not names.is_label_value(value):
            message = "cannot be the value of a label"
            remedy = "use at most 63 letters, digits, -, _ and ., with a letter or digit at both ends"
            yield FieldProblem(f"{path}[{key}]", message, remedy, datacenter)


def _annotations(given: Mapping[str, str], path: str, datacenter: str) -> Iterator[FieldProblem]:
    yield from _keys(given, path, datacenter)
    if sum(len(key.encode()) + len(value.encode()) for key, value in given.items()) > ANNOTATIONS_SIZE:
        yield FieldProblem(path, "is larger than the API allows", "use at most 256 KiB in all", datacenter)


def _keys(entries: Mapping[str, str], path: str, datacenter: str) -> Iterator[FieldProblem]:
    for key in entries:
        prefix, separator, name = key.rpartition("/")
        if _NAME.fullmatch(name) is None or (separator and not names.is_subdomain(prefix)):
            message = "has a key that the API does not take"
            remedy = "use a name of at most 63 letters, digits, -, _ and ., perhaps with a domain and / before it"
            yield FieldProblem(f"{path}[{key[:80]}]", message, remedy, datacenter)
