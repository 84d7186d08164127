"""What is watched: in the control plane, and in every other cluster."""

from __future__ import annotations

from typing import Final

from controller.cassandra import watches as cassandra
from controller.fleet.cache import WatchSpec
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.resources import SECRETS, Resource
from controller.replication import reconcile as replication


def local() -> list[WatchSpec]:
    """The control plane's own kinds, and those of a cluster that may hold datacenters itself."""
    own = [WatchSpec(CLIENT_CONFIGS), *cassandra.LOCAL_WATCHES, *replication.LOCAL_WATCHES]
    return own + list(cassandra.REMOTE_WATCHES) + list(cassandra.CONTACT_WATCHES)


def remote() -> list[WatchSpec]:
    """The kinds of a cluster that only holds datacenters."""
    return [*cassandra.REMOTE_WATCHES, *replication.REMOTE_WATCHES]


def needed_locally() -> list[Resource]:
    """The kinds that only the control plane has, without which there is nothing to do."""
    own = [CLIENT_CONFIGS, *(spec.resource for spec in cassandra.LOCAL_WATCHES)]
    return own + [spec.resource for spec in replication.LOCAL_WATCHES]


ROUTED_EARLY: Final = frozenset(needed_locally()) - {CLIENT_CONFIGS, SECRETS}
