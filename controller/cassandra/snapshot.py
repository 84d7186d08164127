"""What a plan is made from: one K8ssandraCluster and everything of its that the caches hold, frozen."""

from __future__ import annotations

import msgspec

from controller.cassandra.render import Rendered, RenderedDatacenter
from controller.cassandra.types import CassandraDatacenter, K8ssandraCluster
from controller.kube.objects import Object


class DatacenterView(msgspec.Struct, frozen=True):
    """One datacenter of the specification, as its own cluster shows it.

    ``away`` says why nothing can be known or done there now, "" when all is well; what the caches held before
    is in the other fields all the same. ``known``: the caches of that cluster have been filled once. ``seeds``: IP
    addresses of its seed pods. ``secrets_ready``: every Secret that its pods need is in its namespace.
    """

    rendered: RenderedDatacenter
    away: str
    known: bool
    live: Object | None = None
    decoded: CassandraDatacenter | None = None
    config_maps: tuple[Object, ...] = ()
    slices: tuple[Object, ...] = ()
    seeds: tuple[str, ...] = ()
    secrets_ready: bool = False

    @property
    def name(self) -> str:
        return self.rendered.name

    @property
    def context(self) -> str:
        return self.rendered.context

    @property
    def reached(self) -> bool:
        """Whether cass-operator has carried out the present specification: running and Ready, or stopped."""
        decoded = self.decoded
        if decoded is None:
            return False
        status = decoded.status
        if status.observed_generation != decoded.metadata.generation or status.cassandra_operator_progress != "Ready":
            return False
        return status.is_true("Stopped" if self.rendered.stopped else "Ready")


class Leftover(msgspec.Struct, frozen=True):
    """An object of ours in one cluster that no datacenter of the specification stands for."""

    context: str
    object: Object


class Snapshot(msgspec.Struct, frozen=True):
    """One look at everything that belongs to a K8ssandraCluster. Datacenters come in the order of roll-out."""

    cluster: K8ssandraCluster
    object: Object
    rendered: Rendered
    views: tuple[DatacenterView, ...]
    superuser: Object | None = None  # metadata only
    replicated: Object | None = None
    datacenters: tuple[Leftover, ...] = ()  # every CassandraDatacenter of ours, in the specification or not
    away: tuple[tuple[str, str], ...] = ()  # contexts that cannot be used now, each with the reason
    absent: tuple[str, ...] = ()  # contexts where live reads found nothing of ours left (asked when deleting)
    settling: bool = False  # the controller has just started: not every cluster of this one was heard of yet

    @property
    def deleting(self) -> bool:
        return self.object.head.deletion_timestamp is not None
