"""The pool of clusters: one for the control plane, one for each ClientConfig, built once at start."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Final

import msgspec

from controller.fleet.cluster import Cluster
from controller.fleet.connection import Connection, MakeClient
from controller.fleet.state import ClusterState, Reason
from controller.fleet.types import ClientConfig
from controller.kube.errors import Malformed
from controller.kube.objects import Object

MakeCluster = Callable[[str], Cluster]
LOCAL: Final = ""  # the context of the control plane itself
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class Member(msgspec.Struct):
    """A ClientConfig as it was at start, and what came of it.

    ``cluster`` and ``connection`` are None when it cannot have any; then ``problem`` says why.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    context: str
    problem: ClusterState | None = None
    cluster: Cluster | None = None
    connection: Connection | None = None
    secret: str = ""


class Pool:
    """Clusters by context. ``get("")`` is the control plane."""

    def __init__(
        self,
        local: Cluster,
        make_cluster: MakeCluster,
        make_client: MakeClient,
        rng: Random,
        allow_proxy: tuple[str, ...],
    ) -> None:
        self.local: Final = local
        self._make_cluster = make_cluster
        self._make_client = make_client
        self._rng = rng
        self._allow_proxy = allow_proxy
        self._clusters: dict[str, Cluster] = {LOCAL: local}
        self._members: dict[tuple[str, str], Member] = {}
        self._built = False

    def __iter__(self) -> Iterator[Cluster]:
        return iter(self._clusters.values())

    @property
    def built(self) -> bool:
        """Whether the ClientConfigs have been read: until then an unknown context means nothing."""
        return self._built

    def get(self, context: str) -> Cluster | None:
        """The cluster of a context; None when no ClientConfig names it."""
        return self._clusters.get(context)

    def member(self, namespace: str, name: str) -> Member | None:
        """The ClientConfig as it was at start; None when it came later."""
        return self._members.get((namespace, name))

    def members(self) -> Sequence[Member]:
        return list(self._members.values())

    # ── building ────────────────────────────────────────────────────────────────────────────────────

    def build(self, configs: Iterable[Object]) -> None:
        """Read the ClientConfigs, once, after the control plane's caches are in.

        Of several with one context name the oldest (creationTimestamp, then UID) has it.
        """
        taken: dict[str, Member] = {}
        for config, member in sorted(map(_read, configs), key=_age):
            self._members[member.namespace, member.name] = member
            if member.problem is not None:
                continue
            if (holder := taken.get(member.context)) is not None:
                member.problem = ClusterState(
                    False,
                    Reason.DUPLICATE_CONTEXT,
                    f"ClientConfig {member.namespace}/{member.name}: context {member.context!r} belongs to the older "
                    f"ClientConfig {holder.namespace}/{holder.name}; set another spec.contextName or delete one of "
                    "them",
                )
                continue
            taken[member.context] = member
            assert config is not None
            member.cluster = self._make_cluster(member.context)
            member.secret = config.spec.kube_config_secret.name
            member.connection = Connection(
                f"{member.namespace}/{member.name}",
                member.namespace,
                member.secret,
                member.cluster,
                local=self.local,
                make_client=self._make_client,
                rng=self._rng,
                allow_proxy=self._allow_proxy,
            )
            self._clusters[member.context] = member.cluster
        self._built = True

    def secret_changed(self, namespace: str, name: str) -> None:
        """Tell the connections that use this Secret."""
        for member in self._members.values():
            if member.connection is not None and member.namespace == namespace and member.secret == name:
                member.connection.wake()


def _read(config: Object) -> tuple[ClientConfig | None, Member]:
    """A ClientConfig as a member, with the problem of its spec if there is one."""
    head = config.head
    member = Member(
        namespace=head.namespace, name=head.name, uid=head.uid, generation=head.generation, context=head.name
    )
    who = f"ClientConfig {head.namespace}/{head.name}"
    try:
        typed = config.decode(ClientConfig)
    except Malformed as error:
        member.problem = ClusterState(False, Reason.INVALID_SPEC, f"{who}: {error}")
        return None, member
    member.context = typed.spec.context_name or head.name
    secret = typed.spec.kube_config_secret.name
    if not secret:
        member.problem = ClusterState(
            False,
            Reason.INVALID_SPEC,
            f"{who}: spec.kubeConfigSecret.name is empty; name the Secret of this namespace that holds the kubeconfig",
        )
    elif not _SUBDOMAIN.fullmatch(secret) or len(secret) > 253:
        member.problem = ClusterState(
            False,
            Reason.INVALID_SPEC,
            f"{who}: spec.kubeConfigSecret.name is no name of a Secret (lower-case letters, digits, '-' and '.'); "
            f"only Secrets of namespace {head.namespace} can be named",
        )
    return typed, member


def _age(entry: tuple[ClientConfig | None, Member]) -> tuple[str, str]:
    config, member = entry
    return (config.metadata.creation_timestamp if config is not None else "", member.uid)
