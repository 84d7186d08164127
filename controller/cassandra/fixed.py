"""What of a datacenter stays as it was born, read from a live CassandraDatacenter or from a specification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

import msgspec

from controller.cassandra.names import DEFAULT_RACK
from controller.cassandra.problems import FieldProblem
from controller.cassandra.render.config import default_num_tokens
from controller.cassandra.render.core_types import is_quantity
from controller.cassandra.render.template import Template
from controller.kube.quantity import parse_quantity

PUT_BACK: Final = "put it back"


class Fixed(msgspec.Struct, frozen=True, kw_only=True):
    """``datacenter_name`` is "" when only the object's name counts; ``tokens`` and ``storage`` are None when open."""

    cluster_name: str
    datacenter_name: str
    tokens: Any
    racks: tuple[str, ...]
    storage: Fraction | None


def of_datacenter(spec: Mapping[str, Any]) -> Fixed:
    """From the specification of a CassandraDatacenter."""
    return Fixed(
        cluster_name=str(spec.get("clusterName") or ""),
        datacenter_name=str(spec.get("datacenterName") or ""),
        tokens=_at(spec, "config", "cassandra-yaml", "num_tokens"),
        racks=tuple(str(_at(rack, "name")) for rack in spec.get("racks") or ()) or (DEFAULT_RACK,),
        storage=_storage(_at(spec, "storageConfig", "cassandraDataVolumeClaimSpec")),
    )


def of_template(template: Template) -> Fixed:
    """From a K8ssandraCluster, with the defaults that rendering would put in."""
    options = template.options
    tokens = options.config.cassandra_yaml.get("num_tokens") if options.config is not None else None
    if tokens is None and template.version is not None:
        tokens = default_num_tokens(template.server_type, template.version)
    storage = options.storage_config
    return Fixed(
        cluster_name=template.cluster.cass_name,
        datacenter_name=template.datacenter.cass_name,
        tokens=tokens,
        racks=tuple(rack.name for rack in options.racks or ()) or (DEFAULT_RACK,),
        storage=_storage(storage.cassandra_data_volume_claim_spec if storage is not None else None),
    )


def changed(was: Fixed, now: Fixed, path: str, name: str) -> Iterator[FieldProblem]:
    """What differs and must not. ``path``: of the datacenter in the K8ssandraCluster; ``name``: the datacenter's."""
    if was.cluster_name != now.cluster_name:
        message = f"cannot change; the cluster is called {was.cluster_name}"
        yield FieldProblem("spec.cassandra.clusterName", message, PUT_BACK, name)
    if was.datacenter_name != now.datacenter_name:
        message = f"cannot change; it is {was.datacenter_name or 'not set'}"
        yield FieldProblem(f"{path}.datacenterName", message, PUT_BACK, name)
    if was.tokens is not None and now.tokens is not None and was.tokens != now.tokens:
        message = f"cannot change from {was.tokens} to {now.tokens}"
        remedy = f"set it to {was.tokens}: the default depends on serverVersion"
        yield FieldProblem(f"{path}.config.cassandraYaml.num_tokens", message, remedy, name)


def changed_on_disk(was: Fixed, now: Fixed, path: str, name: str) -> Iterator[FieldProblem]:
    """The same of what exists only once the datacenter is there: its racks and its volumes."""
    if now.racks[: len(was.racks)] != was.racks:
        message = f"racks cannot be removed, renamed or reordered; they are {', '.join(was.racks)}"
        yield FieldProblem(f"{path}.racks", message, "put them back; new ones go to the end", name)
    if was.storage is not None and now.storage is not None and now.storage < was.storage:
        field = f"{path}.storageConfig.cassandraDataVolumeClaimSpec.resources.requests.storage"
        yield FieldProblem(field, "cannot become less: volumes do not shrink", PUT_BACK, name)


def _storage(claim: Any) -> Fraction | None:
    """Bytes that a claim asks for, None when it does not say."""
    amount = _at(claim, "resources", "requests", "storage")
    return parse_quantity(amount) if amount is not None and is_quantity(amount) else None


def _at(value: Any, *path: str) -> Any:
    """What is at the end of a path of keys, None where there is no such thing."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
