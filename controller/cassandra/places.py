"""Places that are taken: what two K8ssandraClusters would make under one name, in one namespace of one cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from controller.cassandra import names
from controller.cassandra.changes import Place
from controller.cassandra.problems import FieldProblem
from controller.cassandra.types import CassandraDatacenterTemplate, K8ssandraCluster


def taken(
    new: K8ssandraCluster, old: K8ssandraCluster | None, others: Callable[[], Iterable[K8ssandraCluster]]
) -> Iterator[FieldProblem]:
    """The datacenters that ``new`` puts where another K8ssandraCluster has one of that name, or of that Cassandra name.

    Whoever is there already keeps the place; ``others`` may hold ``new`` itself, and is asked only when there is
    something to put.
    """
    before = {(datacenter.name, place) for _, datacenter, place in _placed(old)} if old is not None else set()
    added = [entry for entry in _placed(new) if (entry[1].name, entry[2]) not in before]
    if not added:
        return
    datacenters: dict[tuple[str, Place], K8ssandraCluster] = {}
    rings: dict[tuple[str, Place], K8ssandraCluster] = {}
    for other in others():
        if (other.namespace, other.name) == (new.namespace, new.name):
            continue
        for _, datacenter, place in _placed(other):
            datacenters[datacenter.name, place] = other
            rings[names.kubernetes_name(other.cass_name), place] = other
    for path, datacenter, place in added:
        if (holder := datacenters.get((datacenter.name, place))) is not None:
            message = f"{datacenter.name} is there already, of {_who(holder, new)}"
            remedy = "use another name, or another namespace"
            yield FieldProblem(f"{path}.metadata.name", message, remedy, datacenter.name, "NameConflict")
        elif (holder := rings.get((names.kubernetes_name(new.cass_name), place))) is not None:
            message = f"{_who(holder, new)} is called {names.kubernetes_name(new.cass_name)} there already"
            remedy = "use another clusterName, or another namespace for the datacenter"
            yield FieldProblem("spec.cassandra.clusterName", message, remedy, datacenter.name, "NameConflict")


def _who(holder: K8ssandraCluster, new: K8ssandraCluster) -> str:
    """The other cluster; what is in other namespaces is not for everybody to know."""
    return f"K8ssandraCluster {holder.name}" if holder.namespace == new.namespace else "another K8ssandraCluster"


def _placed(cluster: K8ssandraCluster) -> Iterator[tuple[str, CassandraDatacenterTemplate, Place]]:
    cassandra = cluster.spec.cassandra
    for index, datacenter in enumerate(cassandra.datacenters if cassandra is not None else ()):
        place = Place(datacenter.k8s_context, datacenter.metadata.namespace or cluster.namespace)
        yield f"spec.cassandra.datacenters[{index}]", datacenter, place
