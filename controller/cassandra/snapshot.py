"""What a plan is made from: one K8ssandraCluster and everything of its that the caches hold, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from controller.cassandra.changes import Place
from controller.cassandra.render import Rendered, RenderedDatacenter
from controller.cassandra.store_copies import StoreCopies
from controller.cassandra.types import CassandraDatacenter, K8ssandraCluster
from controller.kube.objects import Object
from controller.management.replication import Replication


class Away(msgspec.Struct, frozen=True):
    """Why nothing can be known or done in a cluster now. ``reason`` is CamelCase, ``message`` names the way out."""

    reason: str
    message: str


class DatacenterView(msgspec.Struct, frozen=True, kw_only=True):
    """One datacenter of the specification, as its own cluster shows it.

    ``rendered`` is None when its specification is wrong: then it is only looked at. ``away`` is None when all is well;
    what the caches held before is in the other fields all the same. ``known``: the caches of that cluster have been
    filled once. ``seeds``: IP addresses of its seed pods. ``endpoints``: the slices with all its pods.
    ``secrets_ready``: every Secret that its pods need is in its namespace. ``per_node``: the user's ConfigMap with the
    configuration of single nodes. ``awaited``: names of Secrets of users that it needs and that are not there, or not
    known to be.
    """

    name: str
    context: str
    namespace: str
    rendered: RenderedDatacenter | None
    away: Away | None
    known: bool
    live: Object | None = None
    decoded: CassandraDatacenter | None = None
    config_maps: tuple[Object, ...] = ()
    slices: tuple[Object, ...] = ()
    seeds: tuple[str, ...] = ()
    endpoints: tuple[Object, ...] = ()
    secrets_ready: bool = False
    per_node: Object | None = None
    awaited: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Its cluster, for people."""
        return self.context or "the control plane's cluster"

    @property
    def stopped(self) -> bool:
        return self.rendered is not None and self.rendered.stopped

    @property
    def reached(self) -> bool:
        """Whether cass-operator has carried out the present specification: running and Ready, or stopped."""
        decoded = self.decoded
        if decoded is None:
            return False
        status = decoded.status
        if status.observed_generation != decoded.metadata.generation or status.cassandra_operator_progress != "Ready":
            return False
        return status.is_true("Stopped" if self.stopped else "Ready")


class Leftover(msgspec.Struct, frozen=True):
    """A CassandraDatacenter of ours in one cluster, whether the specification names it or not."""

    context: str
    object: Object


class Stale(msgspec.Struct, frozen=True):
    """A datacenter that has not been seen for a while. ``since``: RFC 3339.

    ``dropped``: whether its seeds are to be left out; None: it is too early to tell, and everything stays as it is.
    """

    datacenter: str
    since: str
    dropped: bool | None


class SeedName(msgspec.Struct, frozen=True):
    """A host name among the additional seeds. ``addresses``: None while it was never resolved."""

    name: str
    addresses: tuple[str, ...] | None = None
    error: str = ""


class Contacts(msgspec.Struct, frozen=True):
    """What of a cluster's contact points is in the control plane.

    ``known``: everything there was seen. ``refused``: kinds that may not be watched there. ``mirrored``: slices that
    Kubernetes makes of Endpoints of such a name.
    """

    known: bool = False
    refused: tuple[str, ...] = ()
    services: tuple[Object, ...] = ()
    slices: tuple[Object, ...] = ()
    mirrored: tuple[Object, ...] = ()


class ForeignWrite(msgspec.Struct, frozen=True):
    """An object of ours that somebody else wrote after us. ``subject``: its kind, namespace and name.

    ``at``: when, as its API server tells it. ``until``: seconds since 1970 to which it is left alone.
    """

    context: str
    datacenter: str
    subject: str
    uid: str
    manager: str
    at: str
    until: float


class Trouble(msgspec.Struct, frozen=True):
    """Why the system keyspaces could not be looked at or changed. ``passing``: by itself, as far as can be told."""

    reason: str
    message: str
    passing: bool = False


class SystemKeyspaces(msgspec.Struct, frozen=True):
    """What is known of a cluster's system keyspaces.

    ``read``: their replication as it was seen or made last, None when it was never seen; ``uids``: the
    CassandraDatacenters that were there then. ``failures``: in a row, since the last success. ``assumed``: they are
    taken for right.
    """

    read: Mapping[str, Replication] | None = None
    uids: frozenset[str] = frozenset()
    failures: int = 0
    trouble: Trouble | None = None
    assumed: bool = False


ASSUMED: Final = SystemKeyspaces(assumed=True)


class Snapshot(msgspec.Struct, frozen=True):
    """One look at everything that belongs to a K8ssandraCluster. Datacenters come in the order of roll-out."""

    cluster: K8ssandraCluster
    object: Object
    rendered: Rendered
    views: tuple[DatacenterView, ...]
    superuser: Object | None = None  # metadata only
    superuser_of: str = ""  # the other K8ssandraCluster of this namespace that the superuser's Secret is labelled for
    replicated: Object | None = None
    datacenters: tuple[Leftover, ...] = ()  # every CassandraDatacenter of ours in the contexts that the cluster names
    away: tuple[tuple[str, Away], ...] = ()  # contexts that cannot be used now
    unseen: tuple[str, ...] = ()  # contexts whose caches were never filled
    settling: bool = False  # the controller has just started: not every cluster of this one was heard of yet
    notices: tuple[str, ...] = ()  # what is to be known of its contexts although they work
    contacts: Contacts = Contacts()
    foreign: tuple[ForeignWrite, ...] = ()  # what is left alone now, for somebody else writes it
    keyspaces: SystemKeyspaces = ASSUMED
    stores: StoreCopies = StoreCopies()
    stale: tuple[Stale, ...] = ()  # datacenters of which nobody knows whether their seeds are still there
    seed_names: tuple[SeedName, ...] = ()
    orphans: tuple[Leftover, ...] = ()  # slices with the seeds for datacenters that are gone
    absent: tuple[str, ...] = ()  # contexts where live reads found nothing of ours left (asked when deleting)

    @property
    def deleting(self) -> bool:
        return self.object.head.deletion_timestamp is not None

    @property
    def deployed(self) -> dict[str, Place]:
        """Where each datacenter is: as seen, or as the status shows it while nobody has seen its cluster."""
        found: dict[str, Place] = {}
        namespaces = {view.name: view.namespace for view in self.views}
        for name, entry in self.cluster.status.datacenters.items():
            if entry.cassandra is not None and entry.context_name in self.unseen:
                # The status does not say in which namespace; that cannot be told now.
                found[name] = Place(entry.context_name, namespaces.get(name, self.cluster.namespace))
        for left in reversed(self.datacenters):
            found[left.object.head.name] = Place(left.context, left.object.head.namespace)
        return found
