"""The control plane's part of a plan: finalizer, annotations, superuser Secret, ReplicatedSecret."""

from __future__ import annotations

from typing import Any, Final

from controller.cassandra import labels
from controller.cassandra.compare import diff_fields
from controller.cassandra.memo import Memo
from controller.cassandra.plan.model import Problem
from controller.cassandra.render import replicated_secret, superuser_secret_name
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.cassandra.snapshot import Snapshot
from controller.cassandra.system_replication import format_replication, initial_system_replication, parse_replication
from controller.fleet.actions import Action, Apply, Create, Merge
from controller.kube.objects import Object, encode
from controller.kube.resources import SECRETS
from controller.replication.types import FINALIZER, ONLY, ORPHAN, REPLICATED_SECRETS

# Every pass in every context asks, and nearly always nothing has changed.
_COMPARED: Final = Memo[tuple[bytes, bytes], bool](1024)


def preparation(snapshot: Snapshot) -> list[Action]:
    """What must be on the K8ssandraCluster before anything is made for it: one merge patch, or nothing."""
    metadata = snapshot.cluster.metadata
    patch: dict[str, Any] = {}
    if labels.FINALIZER not in metadata.finalizers:
        patch["finalizers"] = [*metadata.finalizers, labels.FINALIZER]
    text = metadata.annotations.get(labels.INITIAL_SYSTEM_REPLICATION)
    if text is None:
        wanted = format_replication(initial_system_replication(snapshot.cluster))
    else:
        # An old form is rewritten; one that cannot be read is left to its author, and reported.
        parsed = parse_replication(text)
        wanted = format_replication(parsed) if parsed is not None and '"replicationFactor"' in text else text
    if wanted != text:
        patch["annotations"] = {labels.INITIAL_SYSTEM_REPLICATION: wanted}
    if not patch:
        return []
    return [Merge(K8SSANDRA_CLUSTERS, {"metadata": patch}, snapshot.object, exactly="finalizers" in patch)]


def check(snapshot: Snapshot) -> list[Problem]:
    """What is wrong with objects of the control plane that are not ours to change."""
    cluster, found = snapshot.cluster, []
    text = cluster.metadata.annotations.get(labels.INITIAL_SYSTEM_REPLICATION)
    if text is not None and parse_replication(text) is None:
        message = f"annotation {labels.INITIAL_SYSTEM_REPLICATION} is no map of datacenters to numbers; correct it"
        found.append(Problem("InvalidAnnotation", message))
    if cluster.external_secrets:
        return found
    if snapshot.superuser_of:
        message = (
            f"Secret {superuser_secret_name(cluster)} belongs to K8ssandraCluster {snapshot.superuser_of}; name "
            "another in spec.cassandra.superuserSecretRef"
        )
        found.append(Problem("NameConflict", message))
    if snapshot.replicated is not None and not _is_ours(snapshot, snapshot.replicated):
        name = f"{cluster.namespace}/{cluster.name}"
        message = f"ReplicatedSecret {name} exists and belongs to somebody else: delete or rename it"
        found.append(Problem("NameConflict", message))
    return found


def secrets(snapshot: Snapshot) -> tuple[list[Action], bool]:
    """What the cluster's Secrets need, and whether the superuser Secret has to be made."""
    cluster = snapshot.cluster
    if cluster.external_secrets:
        return [], False
    actions: list[Action] = []
    superuser = snapshot.superuser
    if superuser is not None and not snapshot.superuser_of:
        wanted = labels.replicated(cluster.name, cluster.namespace)
        have = superuser.head.labels or {}
        if any(have.get(key) != value for key, value in wanted.items()):
            # A user's own Secret: our keys are added, its data is never touched, and it survives the cluster.
            patch = {"metadata": {"labels": wanted, "annotations": {ORPHAN: "true"}}}
            actions.append(Merge(SECRETS, patch, superuser))
    replicated = replicated_secret(cluster)
    if replicated is not None:
        actions += keep_replicated(snapshot, replicated, snapshot.replicated)
    return actions, superuser is None


def keep_replicated(snapshot: Snapshot, replicated: dict[str, Any], live: Object | None) -> list[Action]:
    """What makes a ReplicatedSecret of the cluster be as wanted: nothing, when it is, or is somebody else's."""
    if live is None:
        # Born with the finalizer that its own reconciler would have to add before the first copy.
        return [Create(REPLICATED_SECRETS, _held(replicated))]
    if not _is_ours(snapshot, live) or not _differs(replicated, live):
        return []
    held = FINALIZER in (live.decode(dict)["metadata"].get("finalizers") or [])
    return [Apply(REPLICATED_SECRETS, _held(replicated) if held else replicated, live)]


def _differs(replicated: dict[str, Any], live: Object) -> bool:
    wanted = {"metadata": replicated["metadata"], "spec": replicated["spec"]}
    return _COMPARED.get((encode(wanted), live.raw), lambda: _is_other(wanted, live.decode(dict)))


def _is_other(wanted: dict[str, Any], live: dict[str, Any]) -> bool:
    """Whether a field differs, or the restriction to some targets is there although it is wanted no more."""
    sides = [(side["metadata"].get("annotations") or {}).get(ONLY) for side in (wanted, live)]
    return sides[0] != sides[1] or bool(diff_fields(wanted, live))


def _held(replicated: dict[str, Any]) -> dict[str, Any]:
    return {**replicated, "metadata": {**replicated["metadata"], "finalizers": [FINALIZER]}}


def _is_ours(snapshot: Snapshot, found: Object) -> bool:
    return labels.owned_by(found.head.labels, snapshot.cluster.name, snapshot.cluster.namespace)
