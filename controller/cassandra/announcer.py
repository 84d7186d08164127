"""Tells people what was done for K8ssandraClusters, and what is wrong with them: events and log lines."""

from __future__ import annotations

from typing import Final

import structlog

from controller.cassandra.plan import Plan
from controller.cassandra.plan.status import drift_message
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.cassandra.snapshot import Snapshot
from controller.engine.events import EventRecorder, Reference
from controller.fleet.actions import Action, Adopt, Apply, Create, Delete, Merge, Replace
from controller.fleet.cluster import Cluster
from controller.kube.objects import Object
from controller.kube.resources import SECRETS

_log = structlog.get_logger(__name__)


class Announcer:
    """Says each thing once, as long as it stays so."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._announced: dict[str, frozenset[tuple[str, str]]] = {}  # by UID: reason and message of known problems

    def forget(self, uid: str) -> None:
        """The K8ssandraCluster is gone."""
        self._announced.pop(uid, None)

    def announce(self, snapshot: Snapshot, plan: Plan) -> None:
        """An event for every problem that is news, and for every specification that differs and may not be changed."""
        asked = snapshot.rendered.unsupported + snapshot.rendered.warnings
        now = {(problem.reason, problem.message) for problem in plan.problems} | {
            ("NotSupported" if problem in snapshot.rendered.unsupported else "Ineffective", str(problem))
            for problem in asked
        }
        now |= {("Ineffective", f"datacenter {each.datacenter}: {each}") for each in plan.kept}
        now |= {("RequiresUpdate", drift_message({name: fields})) for name, fields in plan.drift.items()}
        before = self._announced.get(snapshot.object.head.uid, frozenset())
        for reason, message in sorted(now - before):
            self._recorder.record(_reference(snapshot), "Warning", reason, message)
            _log.warning(
                "K8ssandraCluster has a problem",
                namespace=snapshot.cluster.namespace,
                name=snapshot.cluster.name,
                reason=reason,
                message=message,
            )
        self._announced[snapshot.object.head.uid] = frozenset(now)

    def tell(self, cluster: Cluster, snapshot: Snapshot, action: Action) -> None:
        """Something was written; of datacenters there is an event."""
        verb = _PAST[type(action)]
        target = action.object["metadata"] if isinstance(action, (Create, Apply)) else None
        name = target["name"] if target is not None else _live(action).head.name
        where = cluster.context or "control plane"
        _log.info(
            verb,
            resource=str(action.resource),
            object=name,
            cluster=where,
            namespace=snapshot.cluster.namespace,
            name=snapshot.cluster.name,
        )
        if action.resource == CASSANDRA_DATACENTERS and isinstance(action, (Create, Apply, Adopt, Delete)):
            self._recorder.record(
                _reference(snapshot),
                "Normal",
                f"Datacenter{verb.capitalize()}",
                f"{verb} CassandraDatacenter {name} in {where}",
            )
        if isinstance(action, Create) and action.resource == SECRETS and _names_superuser(snapshot):
            # The specification names one of the user's own, and a misspelt name would go unnoticed.
            message = (
                f"Secret {snapshot.cluster.namespace}/{name}, which spec.cassandra.superuserSecretRef names, was not "
                "there: made with a password of its own"
            )
            self._recorder.record(_reference(snapshot), "Warning", "SuperuserSecretMade", message)


_PAST: Final[dict[type, str]] = {
    Create: "created",
    Apply: "updated",
    Replace: "replaced",
    Merge: "patched",
    Adopt: "adopted",
    Delete: "deleted",
}


def _names_superuser(snapshot: Snapshot) -> bool:
    cassandra = snapshot.cluster.spec.cassandra
    reference = cassandra.superuser_secret_ref if cassandra is not None else None
    return reference is not None and bool(reference.name)


def _live(action: Action) -> Object:
    assert not isinstance(action, Create)
    return action.live


def _reference(snapshot: Snapshot) -> Reference:
    head = snapshot.object.head
    return Reference(K8SSANDRA_CLUSTERS.api_version, K8SSANDRA_CLUSTERS.kind, head.namespace, head.name, head.uid)
