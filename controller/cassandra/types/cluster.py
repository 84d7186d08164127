"""K8ssandraCluster: one Cassandra cluster over many Kubernetes clusters."""

# ruff: noqa: RUF012  (msgspec copies empty defaults)

from __future__ import annotations

from typing import Annotated

from controller.cassandra.types import rules
from controller.cassandra.types.datacenter import CassandraDatacenterStatus
from controller.cassandra.types.metadata import ClusterMetadata, DatacenterMetadata
from controller.cassandra.types.options import DatacenterOptions
from controller.kube.structs import Conditions, FreeMap, LocalObjectReference, ObjectMeta, Struct, schema


class SecretKey(Struct, frozen=True, kw_only=True):
    """A key of a Secret."""

    name: str = ""
    """Name of the Secret."""

    key: str = ""
    """Key in the Secret."""


class EncryptionStores(Struct, frozen=True, kw_only=True):
    """Keystore and truststore, and the Secrets with their passwords."""

    keystore_secret_ref: Annotated[SecretKey, schema(required=True)] | None = None
    """The keystore; its key is "keystore" when absent."""

    truststore_secret_ref: Annotated[SecretKey, schema(required=True)] | None = None
    """The truststore; its key is "truststore" when absent."""

    keystore_password_secret_ref: SecretKey | None = None
    """The keystore's password; in the keystore's Secret under "keystore-password" when absent."""

    truststore_password_secret_ref: SecretKey | None = None
    """The truststore's password; in the truststore's Secret under "truststore-password" when absent."""


class CassandraDatacenterTemplate(DatacenterOptions, frozen=True, kw_only=True):
    """One datacenter, in one Kubernetes cluster."""

    metadata: DatacenterMetadata = DatacenterMetadata()
    """Name, namespace, labels and annotations."""

    k8s_context: str = ""
    """Context name of the Kubernetes cluster, as a ClientConfig gives it; the control plane's own when absent."""

    size: Annotated[int, schema(required=True, format="int32", minimum=1)] = 0
    """Number of Cassandra pods."""

    stopped: Annotated[bool, schema(default=False)] = False
    """Whether the pods are taken away, with everything else kept."""

    stargate: FreeMap | None = None
    """Not supported."""

    per_node_config_map_ref: LocalObjectReference | None = None
    """ConfigMap with configuration of single nodes, in keys <pod>_<file>."""

    @property
    def name(self) -> str:
        """Name of the CassandraDatacenter object."""
        return self.metadata.name

    @property
    def cass_name(self) -> str:
        """Name of the datacenter inside Cassandra."""
        return self.datacenter_name or self.metadata.name


class CassandraClusterTemplate(DatacenterOptions, frozen=True, kw_only=True):
    """The Cassandra cluster: what its datacenters share, and the datacenters."""

    metadata: ClusterMetadata = ClusterMetadata()
    """Labels and annotations of everything that is made for the cluster."""

    superuser_secret_ref: LocalObjectReference | None = None
    """Secret with username and password of the superuser; made when absent."""

    datacenters: Annotated[list[CassandraDatacenterTemplate], schema(maxItems=rules.DATACENTERS)] = []
    """The datacenters; they are made in this order."""

    additional_seeds: list[str] = []
    """Addresses of seed nodes that this controller does not manage."""

    server_encryption_stores: EncryptionStores | None = None
    """Stores for TLS between nodes."""

    client_encryption_stores: EncryptionStores | None = None
    """Stores for TLS with clients."""

    cluster_name: Annotated[str, schema(maxLength=rules.FREE_NAME_LENGTH)] = ""
    """Name of the cluster inside Cassandra; metadata.name when absent. Cannot change."""

    server_type: Annotated[str, schema(enum=["cassandra", "dse", "hcd"], default="cassandra")] = "cassandra"
    """cassandra, dse or hcd."""


class K8ssandraClusterSpec(Struct, frozen=True, kw_only=True):
    """What a Cassandra cluster shall be."""

    auth: Annotated[bool, schema(default=True)] | None = None
    """Whether users have to log in; true when absent."""

    cassandra: (
        Annotated[CassandraClusterTemplate, schema(**{"x-kubernetes-validations": rules.OF_CASSANDRA})] | None
    ) = None
    """The Cassandra cluster."""

    stargate: FreeMap | None = None
    """Not supported."""

    reaper: FreeMap | None = None
    """Not supported."""

    medusa: FreeMap | None = None
    """Not supported."""

    external_datacenters: list[str] = []
    """Datacenters that somebody else manages; they keep three replicas of the system keyspaces."""

    secrets_provider: Annotated[str, schema(enum=["internal", "external"], default="internal")] = "internal"
    """internal, or external when another system puts credentials into the pods."""


class DatacenterStatus(Struct, frozen=True, kw_only=True):
    """What is known about one datacenter."""

    context_name: str = ""
    """Context name of its Kubernetes cluster."""

    decommission_progress: str = ""
    """Empty, UpdatingReplication or Decommissioning."""

    cassandra: CassandraDatacenterStatus | None = None
    """Status of the CassandraDatacenter, as last seen."""

    stargate: FreeMap | None = None
    """Status of a Stargate that the reference operator left."""

    reaper: FreeMap | None = None
    """Status of a Reaper that the reference operator left."""


class K8ssandraClusterStatus(Struct, frozen=True, kw_only=True):
    """What is known about a Cassandra cluster."""

    conditions: Conditions = []
    """Ready, Progressing, CassandraInitialized, RequiresUpdate and others."""

    datacenters: dict[str, DatacenterStatus] = {}
    """The datacenters by name."""

    error: Annotated[str, schema(default="None")] = ""
    """What went wrong in the last pass, or None."""

    observed_generation: int = 0
    """The generation that has been rolled out completely."""


class K8ssandraCluster(Struct, frozen=True, kw_only=True):
    """One Cassandra cluster over many Kubernetes clusters."""

    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[K8ssandraClusterSpec, schema(**{"x-kubernetes-validations": rules.OF_SPEC})] = (
        K8ssandraClusterSpec()
    )
    status: K8ssandraClusterStatus = K8ssandraClusterStatus()

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def cass_name(self) -> str:
        """Name of the cluster inside Cassandra."""
        return (self.spec.cassandra.cluster_name if self.spec.cassandra else "") or self.metadata.name

    @property
    def external_secrets(self) -> bool:
        """Whether another system provides credentials and stores."""
        return self.spec.secrets_provider == "external"
