"""The pool of clusters: one for the control plane, one for each ClientConfig."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from controller.engine.chance import Chance
from controller.fleet.cluster import Cluster
from controller.fleet.connection import Connection, MakeClient
from controller.fleet.evidence import Evidence
from controller.fleet.freshness import Ground
from controller.fleet.identity import Identities, Owner, Pin
from controller.fleet.member import Member, annotations_of, read
from controller.fleet.pace import pace
from controller.fleet.state import ClusterState, Reason
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.errors import ClusterUnavailable
from controller.kube.objects import Object

MakeCluster = Callable[[str], Cluster]
LOCAL: Final = ""  # the context of the control plane itself


class Moves(msgspec.Struct):
    """What became of following ClientConfigs: clusters to begin with, clusters to end, and whose news is to be told."""

    begun: list[Member] = msgspec.field(default_factory=list)
    ended: list[Member] = msgspec.field(default_factory=list)
    told: list[Member] = msgspec.field(default_factory=list)


class Pool:
    """Clusters by context. ``get("")`` is the control plane.

    Of several ClientConfigs with one context name one has it: the oldest (creationTimestamp, then UID), or the one
    that is connected already. The pool decides at once and runs nothing: whoever calls ``build`` and ``follow``
    starts and stops what they return.
    """

    def __init__(
        self,
        local: Cluster,
        make_cluster: MakeCluster,
        make_client: MakeClient,
        chance: Chance,
        allow_proxy: tuple[str, ...],
    ) -> None:
        self.local: Final = local
        self._make_cluster = make_cluster
        self._make_client = make_client
        self._chance = chance
        self._allow_proxy = allow_proxy
        self._clusters: dict[str, Cluster] = {LOCAL: local}
        self._members: dict[tuple[str, str], Member] = {}
        self._holders: dict[str, Member] = {}  # by context
        self._identities = Identities()
        self._grounds: dict[str, Ground] = {LOCAL: Ground(local)}  # by context
        self._built = False

    def __iter__(self) -> Iterator[Cluster]:
        return iter(list(self._clusters.values()))

    @property
    def built(self) -> bool:
        """Whether the ClientConfigs have been read: until then an unknown context means nothing."""
        return self._built

    def get(self, context: str) -> Cluster | None:
        """The cluster of a context; None when no ClientConfig names it."""
        return self._clusters.get(context)

    def ground(self, cluster: Cluster) -> Ground:
        """What destructive steps in a cluster stand on; raises ``ClusterUnavailable`` when it was removed."""
        if not self.present(cluster):
            raise ClusterUnavailable(cluster.context, "its ClientConfig was deleted")
        return self._grounds[cluster.context]

    def present(self, cluster: Cluster) -> bool:
        """Whether this very cluster is in the pool: one that was removed has nothing more to say."""
        return self._clusters.get(cluster.context) is cluster

    def member(self, namespace: str, name: str) -> Member | None:
        """The ClientConfig as it was taken over; None when that has not been done."""
        return self._members.get((namespace, name))

    def holder(self, context: str) -> Member | None:
        """The ClientConfig that a context is connected by."""
        return self._holders.get(context)

    def members(self) -> Sequence[Member]:
        return list(self._members.values())

    def said(self, context: str) -> str:
        """What is to be known of a context's ClientConfig although its cluster works; "" when nothing is."""
        member = self._holders.get(context)
        if member is None or CLIENT_CONFIGS not in self.local.cache.stores:
            return ""
        found = self.local.cache.get(CLIENT_CONFIGS, member.namespace, member.name)
        if found is not None and found.head.uid == member.uid:
            return ""
        return (
            f"ClientConfig {member.namespace}/{member.name} of context {context} was deleted; its cluster stays "
            "connected until the controller restarts"
        )

    # ── following the ClientConfigs ─────────────────────────────────────────────────────────────────

    def build(self, configs: Iterable[Object]) -> Moves:
        """Take over all ClientConfigs, after the control plane's caches are in."""
        moves = Moves()
        for config in configs:
            if config.head.deletion_timestamp is None:  # one that is going is not begun with
                self._members[config.head.namespace, config.head.name] = read(config)
        for context in dict.fromkeys(member.context for member in sorted(self._members.values(), key=_age)):
            self._settle(context, moves)
        self._built = True
        return moves

    def follow(self, namespace: str, name: str, config: Object | None) -> Moves:
        """Take over what one ClientConfig says now; None when it is gone.

        A change of the Secret's name alone keeps the cluster: its connection goes over to the new one.
        """
        moves = Moves()
        before = self._members.get((namespace, name))
        after = None if config is None else read(config)
        if before is not None and after is not None:
            if (before.uid, before.generation) == (after.uid, after.generation):
                return moves  # its status, labels or annotations
            if before.connection is not None and after.problem is None and before.alike(after):
                if before.secret != after.secret:
                    before.connection.follow(after.secret)
                before.generation, before.secret = after.generation, after.secret
                moves.told.append(before)
                return moves
        if before is not None:
            self._take_out(before, moves)
        if after is not None:
            self._members[namespace, name] = after
            moves.told.append(after)
        for context in dict.fromkeys(member.context for member in (before, after) if member is not None):
            self._settle(context, moves)
        return moves

    def _take_out(self, member: Member, moves: Moves) -> None:
        del self._members[member.namespace, member.name]
        if member.cluster is not None:
            del self._clusters[member.context]
            del self._holders[member.context]
            del self._grounds[member.context]
            assert member.pin is not None
            member.pin.forget()
            moves.ended.append(member)

    def _settle(self, context: str, moves: Moves) -> None:
        """Let one of those that claim a context have it, and tell the others who does."""
        claimants = sorted((m for m in self._members.values() if m.context == context and m.valid), key=_age)
        if not claimants:
            return
        holder = self._holders.get(context)
        if holder is None:
            holder = claimants[0]
            holder.problem = None
            self._open(holder)
            moves.begun.append(holder)
        for member in claimants:
            if member is holder:
                continue
            problem = _duplicate(member, holder)
            if member.problem != problem:
                member.problem = problem
                moves.told.append(member)

    def _open(self, member: Member) -> None:
        cluster = member.cluster = self._make_cluster(member.context)
        owner = Owner(member.namespace, member.name, member.uid, member.created, member.context)
        member.pin = Pin(owner, cluster, local=self.local, identities=self._identities)
        member.connection = Connection(
            f"{member.namespace}/{member.name}",
            member.namespace,
            member.secret,
            cluster,
            verify=member.pin.check,
            local=self.local,
            make_client=self._make_client,
            rng=self._chance.source("connection", member.context),
            allow_proxy=self._allow_proxy,
        )
        member.pin.on_doubt = member.connection.doubt
        self._grounds[member.context] = Ground(cluster, member.pin, Evidence(cluster, member.connection.authority))
        self._clusters[member.context] = cluster
        self._holders[member.context] = member

    def noticed(self, config: Object) -> None:
        """Heed what a ClientConfig says besides its specification: how fast to go, and which cluster it means."""
        head = config.head
        member = self._members.get((head.namespace, head.name))
        if member is not None and member.uid == head.uid:
            member.go_at(pace(annotations_of(config)))
            self._identities.config_changed(head.namespace, head.name)

    def secret_changed(self, namespace: str, name: str) -> list[Member]:
        """Tell the connections that use this Secret; returns whose they are."""
        found = [
            member
            for member in self._members.values()
            if member.connection is not None and member.namespace == namespace and member.secret == name
        ]
        for member in found:
            assert member.connection is not None
            member.connection.wake()
        return found


def _age(member: Member) -> tuple[str, str]:
    return (member.created, member.uid)


def _duplicate(member: Member, holder: Member) -> ClusterState:
    older = "older " if _age(holder) < _age(member) else ""
    return ClusterState(
        False,
        Reason.DUPLICATE_CONTEXT,
        f"ClientConfig {member.namespace}/{member.name}: context {member.context!r} belongs to the {older}"
        f"ClientConfig {holder.namespace}/{holder.name}; set another spec.contextName or delete one of them",
    )
