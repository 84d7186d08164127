"""The control plane's part in taking Secrets that pods mount to the datacenters: labels, and a ReplicatedSecret."""

from __future__ import annotations

from controller.cassandra import labels
from controller.cassandra.plan.control import keep_replicated
from controller.cassandra.plan.model import Problem
from controller.cassandra.snapshot import Snapshot
from controller.cassandra.stores import SELECTED, label_of
from controller.fleet.actions import Action, Delete, Merge
from controller.kube.resources import SECRETS
from controller.replication.types import REPLICATED_SECRETS


def check(snapshot: Snapshot) -> list[Problem]:
    """What is in the way."""
    live, cluster = snapshot.stores.live, snapshot.cluster
    if snapshot.stores.wanted is None or live is None or _is_ours(snapshot):
        return []
    name = f"{cluster.namespace}/{live.head.name}"
    message = f"ReplicatedSecret {name} exists and belongs to somebody else: delete or rename it"
    return [Problem("NameConflict", message)]


def actions(snapshot: Snapshot) -> list[Action]:
    """Labels on the users' Secrets, nothing else of which is touched, and the ReplicatedSecret that selects them."""
    stores = snapshot.stores
    key = label_of(snapshot.cluster)
    found: list[Action] = [
        Merge(SECRETS, {"metadata": {"labels": {key: SELECTED}}}, secret) for secret in stores.unlabelled
    ]
    if stores.wanted is not None:
        found += keep_replicated(snapshot, stores.wanted, stores.live)
    elif stores.live is not None and _is_ours(snapshot) and stores.live.head.deletion_timestamp is None:
        found.append(Delete(REPLICATED_SECRETS, stores.live))
    return found + release(snapshot)


def release(snapshot: Snapshot) -> list[Action]:
    """Take the labels from the Secrets that need not be copied."""
    patch = {"metadata": {"labels": {label_of(snapshot.cluster): None}}}
    return [Merge(SECRETS, patch, secret) for secret in snapshot.stores.released]


def _is_ours(snapshot: Snapshot) -> bool:
    live, cluster = snapshot.stores.live, snapshot.cluster
    return live is not None and labels.owned_by(live.head.labels, cluster.name, cluster.namespace)
