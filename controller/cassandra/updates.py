"""What an update of a K8ssandraCluster may not change, found by comparing it with what it was."""

from __future__ import annotations

from collections.abc import Iterator

from controller.cassandra.changes import Place, forbidden_moves
from controller.cassandra.fixed import changed, changed_on_disk, of_template
from controller.cassandra.problems import FieldProblem
from controller.cassandra.render.template import Template, build
from controller.cassandra.secrets import superuser_secret_name
from controller.cassandra.types import CassandraDatacenterTemplate, K8ssandraCluster


def check_update(old: K8ssandraCluster, new: K8ssandraCluster) -> tuple[FieldProblem, ...]:
    """What must not change. A reconcile finds the same by comparing with the CassandraDatacenters that are there.

    Names and tokens are fixed from the first word on; places, racks and volumes from when the status shows the
    datacenter, so that a slip can be mended before anything was made of it.
    """
    moves = forbidden_moves(new, _places(old, new))
    return tuple(dict.fromkeys([*_fixed(old, new), *moves]))


def update_warnings(old: K8ssandraCluster, new: K8ssandraCluster) -> Iterator[FieldProblem]:
    """What stays as it is although the update says otherwise."""
    shown = old.status.datacenters
    if shown and not new.external_secrets and superuser_secret_name(old) != superuser_secret_name(new):
        message = f"stays {superuser_secret_name(old)} in the datacenters that are there"
        yield FieldProblem("spec.cassandra.superuserSecretRef", message, "name the Secret that is in use")


def _fixed(old: K8ssandraCluster, new: K8ssandraCluster) -> Iterator[FieldProblem]:
    before = {template.datacenter.name: template for template in _templates(old)}
    for template in _templates(new):
        name = template.datacenter.name
        former = before.get(name)
        if former is None:
            continue
        was, now = of_template(former), of_template(template)
        for problem in changed(was, now, template.path, name):
            of_cluster = problem.field == "spec.cassandra.clusterName"
            yield FieldProblem(problem.field, problem.message, problem.remedy) if of_cluster else problem
        if _shown(old, name):
            yield from changed_on_disk(was, now, template.path, name)


def _places(old: K8ssandraCluster, new: K8ssandraCluster) -> dict[str, Place]:
    """Where the datacenters are, by name; one that nothing was made of yet is where the new specification puts it."""
    wanted = {datacenter.name: datacenter for datacenter in _datacenters(new)}
    return {
        datacenter.name: _place(
            old, datacenter if _shown(old, datacenter.name) else wanted.get(datacenter.name, datacenter)
        )
        for datacenter in _datacenters(old)
    }


def _place(cluster: K8ssandraCluster, datacenter: CassandraDatacenterTemplate) -> Place:
    return Place(datacenter.k8s_context, datacenter.metadata.namespace or cluster.namespace)


def _shown(cluster: K8ssandraCluster, name: str) -> bool:
    found = cluster.status.datacenters.get(name)
    return found is not None and found.cassandra is not None


def _datacenters(cluster: K8ssandraCluster) -> list[CassandraDatacenterTemplate]:
    return cluster.spec.cassandra.datacenters if cluster.spec.cassandra is not None else []


def _templates(cluster: K8ssandraCluster) -> list[Template]:
    cassandra = cluster.spec.cassandra
    return [build(cluster, cassandra, index) for index in range(len(cassandra.datacenters))] if cassandra else []
