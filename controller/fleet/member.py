"""One ClientConfig as the controller has taken it over, and what came of it."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

import anyio
import msgspec

from controller.fleet.cluster import Cluster
from controller.fleet.connection import Connection
from controller.fleet.identity import Pin
from controller.fleet.pace import Pace, pace
from controller.fleet.state import ClusterState, Reason
from controller.fleet.throttle import Bucket
from controller.fleet.types import ClientConfig
from controller.kube.errors import Malformed
from controller.kube.objects import Object

CONTEXT_CAP: Final = 253  # characters; it is a label of metrics and part of every line of the log
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class Member(msgspec.Struct):
    """A ClientConfig at the generation that is in use.

    ``cluster``, ``connection`` and ``pin`` are None while it has none; then ``problem`` says why. ``bucket`` is how
    fast the cluster is spoken to, as ``pace`` says. ``scope`` is that of all tasks of its cluster: whoever cancels it
    ends them. ``renewals`` of its token, by result.
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
    pin: Pin | None = None
    pace: Pace = Pace()
    bucket: Bucket = msgspec.field(default_factory=Bucket)
    renewals: Counter[str] = msgspec.field(default_factory=Counter)
    scope: anyio.CancelScope = msgspec.field(default_factory=anyio.CancelScope)

    @property
    def valid(self) -> bool:
        """Whether its specification is such that it may have its context."""
        return self.problem is None or self.problem.reason is Reason.DUPLICATE_CONTEXT

    def go_at(self, pace: Pace) -> None:
        """Speak to the cluster as fast as ``pace`` says, from now on."""
        if pace != self.pace:
            self.pace = pace
            self.bucket.set_rate(pace.qps, pace.burst)

    def alike(self, other: Member) -> bool:
        """Whether ``other`` is the same ClientConfig for the same context."""
        return (self.uid, self.context) == (other.uid, other.context)


def annotations_of(config: Object) -> dict[str, str]:
    """The annotations of a ClientConfig, {} when it cannot be read."""
    try:
        return config.decode(ClientConfig).metadata.annotations
    except Malformed:
        return {}


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
    member.go_at(pace(typed.metadata.annotations))
    member.context = typed.spec.context_name or head.name
    member.secret = secret = typed.spec.kube_config_secret.name
    if len(member.context) > CONTEXT_CAP or not member.context.isprintable():
        member.context = ""  # nobody can have it
        member.problem = ClusterState(
            False,
            Reason.INVALID_SPEC,
            f"{who}: spec.contextName must be at most {CONTEXT_CAP} printable characters; rename the context in the "
            "kubeconfig too",
        )
    elif not secret:
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
