"""What can be said for a whole Cassandra cluster and again for one of its datacenters."""

# ruff: noqa: RUF012  (msgspec copies empty defaults)

from __future__ import annotations

from typing import Annotated

from msgspec import field

from controller.cassandra.types.cdc import Cdc
from controller.cassandra.types.jvm import JvmOptions
from controller.cassandra.types.rules import FREE_NAME_LENGTH
from controller.cassandra.types.telemetry import Telemetry
from controller.kube.structs import CoreObject, FreeMap, Quantity, Struct, schema


class CassandraConfig(Struct, frozen=True, kw_only=True):
    """Contents of Cassandra's configuration files."""

    cassandra_yaml: FreeMap = {}
    """Contents of cassandra.yaml."""

    jvm_options: JvmOptions | None = None
    """Options of the JVM."""

    dse_yaml: FreeMap = {}
    """Contents of dse.yaml."""


class AdditionalVolume(Struct, frozen=True, kw_only=True):
    """A volume that is mounted into the Cassandra container."""

    name: Annotated[str, schema(required=True, pattern="[a-z0-9]([-a-z0-9]*[a-z0-9])?")] = ""
    """Name of the volume or of the claim."""

    mount_path: Annotated[str, schema(required=True)] = ""
    """Where it is mounted."""

    pvc_spec: CoreObject | None = None
    """Specification of a PersistentVolumeClaim; this or volumeSource."""

    volume_source: CoreObject | None = None
    """Source of the volume, as in a pod; this or pvcSpec."""


class StorageConfig(Struct, frozen=True, kw_only=True):
    """Where Cassandra keeps its data."""

    cassandra_data_volume_claim_spec: CoreObject | None = None
    """Specification of the PersistentVolumeClaim of the data directory."""

    additional_volumes: list[AdditionalVolume] | None = None
    """Further volumes of the Cassandra container."""


class NodePort(Struct, frozen=True, kw_only=True):
    """Ports of the nodes on which Cassandra is reached; 0 is absent."""

    native: int = 0
    """Port of CQL."""

    native_ssl: int = field(default=0, name="nativeSSL")
    """Port of CQL with TLS."""

    internode: int = 0
    """Port between nodes."""

    internode_ssl: int = field(default=0, name="internodeSSL")
    """Port between nodes with TLS."""


class Networking(Struct, frozen=True, kw_only=True):
    """How Cassandra pods are reached."""

    host_network: bool | None = None
    """Whether pods use the network of their node."""

    node_port: NodePort | None = None
    """Ports of the nodes."""


class Rack(Struct, frozen=True, kw_only=True):
    """Pods that fail together."""

    name: Annotated[str, schema(required=True, minLength=2)] = ""
    """Name of the rack."""

    zone: str = ""
    """Deprecated: use nodeAffinityLabels. The zone of the rack's pods."""

    node_affinity_labels: dict[str, str] = {}
    """Labels of the nodes that may run the rack's pods."""

    affinity: CoreObject | None = None
    """Affinity of the rack's pods."""


class ExtraVolumes(Struct, frozen=True, kw_only=True):
    """Volumes to add to the Cassandra pods."""

    volumes: Annotated[list[CoreObject], schema(merge_by="name")] | None = None
    """Volumes of the pod, mounted by containers that ask for them."""

    pvcs: Annotated[list[AdditionalVolume], schema(merge_by="name")] | None = None
    """Volumes with claims, mounted into the Cassandra container."""


class DseWorkloads(Struct, frozen=True, kw_only=True):
    """Workloads of DSE."""

    analytics_enabled: Annotated[bool, schema(plain_bool=True)] = False
    """Spark."""

    graph_enabled: Annotated[bool, schema(plain_bool=True)] = False
    """Graph."""

    search_enabled: Annotated[bool, schema(plain_bool=True)] = False
    """Search."""


class Nothing(Struct, frozen=True, kw_only=True):
    """No settings."""


class ManualAuth(Struct, frozen=True, kw_only=True):
    """Certificates of the management API, made by somebody else."""

    client_secret_name: Annotated[str, schema(required=True)] = ""
    """Secret with the client's certificate, of type kubernetes.io/tls."""

    server_secret_name: Annotated[str, schema(required=True)] = ""
    """Secret with the server's certificate."""

    skip_secret_validation: bool = False
    """Do not look into the Secrets."""


class ManagementApiAuth(Struct, frozen=True, kw_only=True):
    """Who may talk to the management API: one of the two."""

    insecure: Nothing | None = None
    """Everybody."""

    manual: ManualAuth | None = None
    """Holders of a client certificate."""


class Rebuild(Struct, frozen=True, kw_only=True):
    """How a datacenter that joins a cluster gets its data."""

    source_dc: str = field(default="", name="sourceDc")
    """The datacenter that streams; any other that is ready when absent."""

    max_concurrent_rebuilds: Annotated[int, schema(minimum=0)] | None = None
    """Pods that rebuild at a time; 0 is all of them."""


class DatacenterOptions(Struct, frozen=True, kw_only=True):
    """What can be said for the whole cluster, and for one datacenter with priority."""

    server_version: Annotated[str, schema(pattern=r"(\d+\.\d+\.\d+)")] = ""
    """Version of Cassandra, DSE or HCD with three parts, as 4.0.1."""

    server_image: str = ""
    """Image of the Cassandra container; chosen by version when absent."""

    config: CassandraConfig | None = None
    """Contents of the configuration files."""

    storage_config: StorageConfig | None = None
    """Where the data is kept; required for the cluster or for each datacenter."""

    networking: Networking | None = None
    """How pods are reached."""

    resources: CoreObject | None = None
    """Requests and limits of the Cassandra container."""

    racks: Annotated[list[Rack], schema(merge_by="name")] | None = None
    """Racks; one called "default" when absent."""

    jmx_init_container_image: FreeMap | None = None
    """Deprecated: has no effect."""

    soft_pod_anti_affinity: bool | None = None
    """Whether several Cassandra pods may share a node; needs resources."""

    tolerations: list[CoreObject] | None = None
    """Tolerations of the Cassandra pods."""

    mgmt_api_heap: Quantity | None = field(default=None, name="mgmtAPIHeap")
    """Heap of the management API."""

    telemetry: Telemetry | None = None
    """Metrics."""

    cdc: Cdc | None = None
    """Change data capture into Pulsar; of a datacenter only."""

    containers: Annotated[list[CoreObject], schema(merge_by="name")] | None = None
    """Further containers, and changes to those that are there: cassandra, server-system-logger."""

    init_containers: Annotated[list[CoreObject], schema(merge_by="name")] | None = None
    """Further init containers; server-config-init may be named to give it a place."""

    extra_volumes: ExtraVolumes | None = None
    """Further volumes."""

    dse_workloads: DseWorkloads | None = None
    """Workloads of DSE."""

    pod_security_context: CoreObject | None = None
    """Security context of the pods."""

    pod_priority_class_name: str = ""
    """Priority class of the pods."""

    management_api_auth: ManagementApiAuth | None = None
    """Who may talk to the management API."""

    per_node_config_init_container_image: str = ""
    """Deprecated: image of the init container that merges the configuration of single nodes."""

    service_account: str = ""
    """Service account of the pods."""

    datacenter_name: Annotated[str, schema(maxLength=FREE_NAME_LENGTH)] = ""
    """Name of the datacenter inside Cassandra, metadata.name when absent; of a datacenter only."""

    read_only_root_filesystem: bool | None = None
    """Whether the Cassandra container's root file system is read-only."""

    rebuild: Rebuild | None = None
    """How a datacenter that joins gets its data; of the cluster only."""
