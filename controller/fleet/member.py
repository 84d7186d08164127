"""One ClientConfig as the controller has taken it over, and what came of it."""

from __future__ import annotations

import re
from typing import Final

import anyio
import msgspec

from controller.fleet.cluster import Cluster
from controller.fleet.connection import Connection
from controller.fleet.state import ClusterState, Reason
from controller.fleet.types import ClientConfig
from controller.kube.errors import Malformed
from controller.kube.objects import Object

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class Member(msgspec.Struct):
    """A ClientConfig at the generation that is in use.

    ``cluster`` and ``connection`` are None while it has none; then ``problem`` says why. ``scope`` is that of all
    tasks of its cluster: whoever cancels it ends them.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    context: str
    secret: str = ""
    problem: ClusterState | None = None
    cluster: Cluster | None = None
    connection: Connection | None = None
    scope: anyio.CancelScope = msgspec.field(default_factory=anyio.CancelScope)

    @property
    def valid(self) -> bool:
        """Whether its specification is such that it may have its context."""
        return self.problem is None or self.problem.reason is Reason.DUPLICATE_CONTEXT

    def alike(self, other: Member) -> bool:
        """Whether ``other`` is the same ClientConfig, and leads to the same cluster by the same way."""
        return (self.uid, self.context, self.secret) == (other.uid, other.context, other.secret)


def read(config: Object) -> Member:
    """A ClientConfig as a member without a cluster, with the problem of its specification if there is one."""
    head = config.head
    member = Member(
        namespace=head.namespace,
        name=head.name,
        uid=head.uid,
        generation=head.generation,
        created="",
        context=head.name,
    )
    who = f"ClientConfig {head.namespace}/{head.name}"
    try:
        typed = config.decode(ClientConfig)
    except Malformed as error:
        member.problem = ClusterState(False, Reason.INVALID_SPEC, f"{who}: {error}")
        return member
    member.created = typed.metadata.creation_timestamp
    member.context = typed.spec.context_name or head.name
    member.secret = secret = typed.spec.kube_config_secret.name
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
    return member
