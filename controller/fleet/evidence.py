"""What else tells a cluster from another one where its UID may not be read: its CA, and the datacenters in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from controller.engine.store import Delta
from controller.fleet.cluster import Cluster
from controller.kube import pem
from controller.kube.objects import Object
from controller.kube.resources import Resource

_Place = tuple[str, str]  # namespace and name

WAY_OUT: Final = (
    "apply manifests/data-plane there, so that its identity can be read, or restart the controller to accept what is "
    "there now"
)


class Evidence:
    """What was found at the first connection of this process, and what has changed since by our doing or in our sight.

    ``authority`` gives the PEM of the certificate authority that the connection in use trusts, b"" while there is
    none. Objects of the cluster's main kind are recorded by UID: first seen, made by us, or deleted before our eyes.
    """

    def __init__(self, cluster: Cluster, authority: Callable[[], bytes]) -> None:
        self._cluster = cluster
        self._authority = authority
        self._trusted: frozenset[str] = frozenset()  # fingerprints
        self._recorded: dict[_Place, str] = {}  # UIDs
        self._leaving: set[str] = set()  # UIDs that we have begun to delete
        self._cluster_uid = ""
        cluster.on_state(self._connected)
        cluster.on_change(self._changed)

    def created(self, resource: Resource, made: Object) -> None:
        """An object was made by us."""
        if resource == self._cluster.main_kind:
            self._recorded[made.head.namespace, made.head.name] = made.head.uid

    def removed(self, resource: Resource, live: Object) -> None:
        """An object is about to be deleted by us."""
        if resource == self._cluster.main_kind:
            self._leaving.add(live.head.uid)

    def against(self) -> str | None:
        """What speaks against this being the cluster that was connected first; None for nothing."""
        now = _fingerprints(self._authority())
        if self._trusted and not self._trusted & now:
            return f"its certificate authority is not the one of the first connection; {WAY_OUT}"
        self._trusted = now
        kind = self._cluster.main_kind
        if kind is None:
            return None
        for (namespace, name), uid in sorted(self._recorded.items()):
            live = self._cluster.cache.get(kind, namespace, name)
            if live is None:
                return f"{kind.kind} {namespace}/{name} with UID {uid} is gone without having been deleted; {WAY_OUT}"
            if live.head.uid != uid:
                return f"{kind.kind} {namespace}/{name} has UID {live.head.uid}, recorded was {uid}; {WAY_OUT}"
        return None

    # ── what happens in the cluster ─────────────────────────────────────────────────────────────────

    def _connected(self, cluster: Cluster) -> None:
        state = cluster.state
        if not state.usable:
            return
        if state.cluster_uid and state.cluster_uid != self._cluster_uid:
            if self._cluster_uid:  # another cluster, with somebody's consent
                self._recorded.clear()
                self._leaving.clear()
                self._trusted = frozenset()
            self._cluster_uid = state.cluster_uid
        now = _fingerprints(self._authority())
        if not self._trusted or self._trusted & now:  # a bundle may be exchanged one certificate after the other
            self._trusted = now

    def _changed(self, cluster: Cluster, resource: Resource, deltas: list[Delta]) -> None:
        if resource != cluster.main_kind:
            return
        for delta in deltas:
            head = delta.object.head
            place = (head.namespace, head.name)
            if (
                delta.old is not None
                and self._recorded.get(place) == delta.old.head.uid
                and (delta.new is None or delta.new.head.uid != delta.old.head.uid)
                and (delta.old.head.deletion_timestamp is not None or delta.old.head.uid in self._leaving)
            ):
                del self._recorded[place]
                self._leaving.discard(delta.old.head.uid)
            if delta.new is not None:
                self._recorded.setdefault(place, delta.new.head.uid)


def _fingerprints(authority: bytes) -> frozenset[str]:
    """Of each certificate; of the whole where it cannot be taken apart."""
    try:
        texts = [b"".join(block.text.split()) for block in pem.blocks(authority)]
    except ValueError:
        texts = [authority]
    return frozenset(hashlib.sha256(text).hexdigest() for text in texts)
