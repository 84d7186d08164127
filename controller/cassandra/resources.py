"""The kinds that this room reads and writes, as the API serves them."""

from __future__ import annotations

from typing import Final

from controller.kube.resources import Resource

K8SSANDRA_CLUSTERS: Final = Resource("k8ssandra.io", "v1alpha1", "K8ssandraCluster", "k8ssandraclusters")
CASSANDRA_DATACENTERS: Final = Resource(
    "cassandra.datastax.com", "v1beta1", "CassandraDatacenter", "cassandradatacenters"
)
CASSANDRA_TASKS: Final = Resource("control.k8ssandra.io", "v1alpha1", "CassandraTask", "cassandratasks")
