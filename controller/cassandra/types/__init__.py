"""K8ssandraCluster and CassandraDatacenter as typed, immutable values."""

from __future__ import annotations

from controller.cassandra.types.cdc import Cdc
from controller.cassandra.types.cluster import (
    CassandraClusterTemplate,
    CassandraDatacenterTemplate,
    DatacenterStatus,
    EncryptionStores,
    K8ssandraCluster,
    K8ssandraClusterSpec,
    K8ssandraClusterStatus,
    SecretKey,
)
from controller.cassandra.types.datacenter import (
    CassandraDatacenter,
    CassandraDatacenterStatus,
    DatacenterCondition,
    NodeStatus,
)
from controller.cassandra.types.jvm import JvmOptions
from controller.cassandra.types.metadata import ClusterMetadata, DatacenterMetadata, ServicesMetadata, Tags
from controller.cassandra.types.options import (
    AdditionalVolume,
    CassandraConfig,
    DatacenterOptions,
    DseWorkloads,
    ExtraVolumes,
    ManagementApiAuth,
    ManualAuth,
    Networking,
    NodePort,
    Rack,
    Rebuild,
    StorageConfig,
)
from controller.cassandra.types.telemetry import CassandraAgent, Mcac, MetricsEndpoint, MetricsTls, Relabel, Telemetry

__all__ = [
    "AdditionalVolume",
    "CassandraAgent",
    "CassandraClusterTemplate",
    "CassandraConfig",
    "CassandraDatacenter",
    "CassandraDatacenterStatus",
    "CassandraDatacenterTemplate",
    "Cdc",
    "ClusterMetadata",
    "DatacenterCondition",
    "DatacenterMetadata",
    "DatacenterOptions",
    "DatacenterStatus",
    "DseWorkloads",
    "EncryptionStores",
    "ExtraVolumes",
    "JvmOptions",
    "K8ssandraCluster",
    "K8ssandraClusterSpec",
    "K8ssandraClusterStatus",
    "ManagementApiAuth",
    "ManualAuth",
    "Mcac",
    "MetricsEndpoint",
    "MetricsTls",
    "Networking",
    "NodePort",
    "NodeStatus",
    "Rack",
    "Rebuild",
    "Relabel",
    "SecretKey",
    "ServicesMetadata",
    "StorageConfig",
    "Tags",
    "Telemetry",
]
