"""Labels and annotations that a K8ssandraCluster hands down to what is made of it."""

# ruff: noqa: RUF012  (msgspec copies empty defaults)

from __future__ import annotations

from typing import Annotated

from controller.cassandra.types.rules import NAME_LENGTH
from controller.kube.structs import Struct, schema


class Tags(Struct, frozen=True, kw_only=True):
    """Labels and annotations."""

    labels: dict[str, str] = {}
    """Labels to add."""

    annotations: dict[str, str] = {}
    """Annotations to add."""


class ServicesMetadata(Struct, frozen=True, kw_only=True):
    """Labels and annotations of the Services of a datacenter."""

    dc_service: Tags = Tags()
    """The Service that clients connect to."""

    seed_service: Tags = Tags()
    """The Service of the seed nodes."""

    all_pods_service: Tags = Tags()
    """The Service of all pods, ready or not."""

    additional_seed_service: Tags = Tags()
    """The Service of the seed nodes of other datacenters."""

    node_port_service: Tags = Tags()
    """The Service of the node ports, if there are any."""


class ClusterMetadata(Struct, frozen=True, kw_only=True):
    """Labels and annotations of everything that belongs to the Cassandra cluster."""

    labels: dict[str, str] = {}
    """Labels of the CassandraDatacenters."""

    annotations: dict[str, str] = {}
    """Annotations of the CassandraDatacenters."""

    common_labels: dict[str, str] = {}
    """Labels of every object that is made for the cluster."""

    common_annotations: dict[str, str] = {}
    """Annotations of every object that is made for the cluster."""

    pods: Tags = Tags()
    """Labels and annotations of the Cassandra pods."""

    services: ServicesMetadata = ServicesMetadata()
    """Labels and annotations of the Services."""


class DatacenterMetadata(ClusterMetadata, frozen=True, kw_only=True):
    """Name and place of a CassandraDatacenter, and what overrides the cluster's labels and annotations."""

    name: Annotated[str, schema(required=True, maxLength=NAME_LENGTH)] = ""
    """Name of the CassandraDatacenter object: a DNS label of lower case. Use datacenterName for other names."""

    namespace: str = ""
    """Namespace of the CassandraDatacenter in its cluster; that of the K8ssandraCluster when absent."""
