"""Whether a cluster can do its work: its connection's state, and the kinds that it does not let us watch."""

from __future__ import annotations

from typing import Final

import msgspec

from controller.engine.reflector import Phase
from controller.fleet.cluster import Cluster
from controller.fleet.state import ClusterState, Reason

_UNTOLD: Final = (Phase.ABSENT, Phase.FORBIDDEN)


def health(cluster: Cluster) -> ClusterState:
    """The state of a cluster, with the kinds that it does not serve or does not let us watch."""
    state = cluster.state.shown
    if not state.usable:
        return cluster.state
    untold = cluster.untold()
    absent = [resource.name for resource, phase in untold if phase is Phase.ABSENT]
    forbidden = [resource.name for resource, phase in untold if phase is Phase.FORBIDDEN]
    if absent:
        names = ", ".join(dict.fromkeys(absent))
        reason = Reason.CRD_MISSING
        message = (
            f"connected, but the cluster does not serve {names}; install cass-operator there (looked for every 30 s)"
        )
    elif forbidden:
        names = ", ".join(dict.fromkeys(forbidden))
        reason = Reason.FORBIDDEN
        message = f"connected, but the credentials may not list and watch {names}; apply manifests/data-plane there"
    else:
        return state
    since = min(reflector.state.since for _, reflector in cluster.reflectors if reflector.state.phase in _UNTOLD)
    return msgspec.structs.replace(state, usable=False, reason=reason, message=message, since=since)
