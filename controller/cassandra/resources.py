"""The kinds that this room reads and writes, as the API serves them."""

from __future__ import annotations

from typing import Final

import msgspec

from controller.kube.resources import ENDPOINT_SLICES, Resource

K8SSANDRA_CLUSTERS: Final = Resource("k8ssandra.io", "v1alpha1", "K8ssandraCluster", "k8ssandraclusters")
CASSANDRA_DATACENTERS: Final = Resource(
    "cassandra.datastax.com", "v1beta1", "CassandraDatacenter", "cassandradatacenters"
)
CASSANDRA_TASKS: Final = Resource("control.k8ssandra.io", "v1alpha1", "CassandraTask", "cassandratasks")
# Those of the control plane that lead to the pods of datacenters; the seeds beside its own are another watch.
CONTACT_SLICES: Final = msgspec.structs.replace(ENDPOINT_SLICES, view="contact points")
