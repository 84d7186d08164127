"""A datacenter's specification after its cluster's has been merged into it."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from controller.cassandra.merge import merge
from controller.cassandra.types import (
    CassandraClusterTemplate,
    CassandraDatacenterTemplate,
    ClusterMetadata,
    DatacenterOptions,
    K8ssandraCluster,
)
from controller.cassandra.versions import Version, parse_version


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one CassandraDatacenter is made from.

    ``options`` and ``metadata`` are merged; ``index`` is the place in the specification's list. ``version`` is None
    when there is no readable one.
    """

    cluster: K8ssandraCluster
    cassandra: CassandraClusterTemplate
    datacenter: CassandraDatacenterTemplate
    options: DatacenterOptions
    metadata: ClusterMetadata
    index: int
    version: Version | None

    @property
    def server_type(self) -> str:
        return self.cassandra.server_type or "cassandra"

    @property
    def namespace(self) -> str:
        return self.datacenter.metadata.namespace or self.cluster.namespace

    @property
    def path(self) -> str:
        """Where the datacenter stands in the K8ssandraCluster."""
        return f"spec.cassandra.datacenters[{self.index}]"

    @property
    def is_first(self) -> bool:
        """Whether this datacenter founds the cluster."""
        return self.index == 0

    @property
    def mcac(self) -> bool:
        """Whether the former metrics collector runs."""
        telemetry = self.options.telemetry
        return bool(telemetry and telemetry.mcac and telemetry.mcac.enabled)

    @property
    def priority(self) -> int:
        """Rank in deployment, the highest first: analytics before everything else before search alone."""
        workloads = self.options.dse_workloads
        if workloads and workloads.analytics_enabled:
            return 3
        return 1 if workloads and workloads.search_enabled else 2


def build(cluster: K8ssandraCluster, cassandra: CassandraClusterTemplate, index: int) -> Template:
    """The template of the datacenter at ``index``."""
    datacenter = cassandra.datacenters[index]
    merged = merge(cassandra, datacenter, DatacenterOptions)
    options = replace(
        merged,
        # Two options count for a datacenter only, one for the cluster only, wherever else they are written.
        cdc=datacenter.cdc,
        datacenter_name=datacenter.datacenter_name,
        rebuild=cassandra.rebuild,
    )
    return Template(
        cluster=cluster,
        cassandra=cassandra,
        datacenter=datacenter,
        options=options,
        metadata=merge(cassandra.metadata, datacenter.metadata, ClusterMetadata),
        index=index,
        version=parse_version(options.server_version),
    )


def clean(value: Any) -> Any:
    """``value`` without nulls, and with whole floats as integers: what Go would send."""
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def filled(**fields: Any) -> dict[str, Any]:
    """The fields that say something: not None, "", False, 0, {} or []."""
    return {key: value for key, value in fields.items() if value}
