"""ReplicatedSecret: which Secrets are copied to which clusters."""

# ruff: noqa: RUF012  (msgspec copies empty defaults)

from __future__ import annotations

from typing import Annotated, Final

from controller.kube.resources import Resource
from controller.kube.structs import ObjectMeta, Struct, Time, schema

REPLICATED_SECRETS: Final = Resource("replication.k8ssandra.io", "v1alpha1", "ReplicatedSecret", "replicatedsecrets")
FINALIZER: Final = "replicatedresource.k8ssandra.io/finalizer"
ORPHAN: Final = "replicatedresource.k8ssandra.io/orphan"  # annotation of copies that outlive the ReplicatedSecret
EXISTING: Final = "replicatedresource.k8ssandra.io/existing"  # annotation of ReplicatedSecrets, with one value:
KEEP: Final = "keep"  # a Secret of somebody else under the name of a copy is what is wanted there, and no conflict
ONLY: Final = "replicatedresource.k8ssandra.io/only"  # annotation: JSON, names of Secrets to "<context>/<namespace>"s
REPLICATED_FROM: Final = "k8ssandra.io/replicated-secret-name"  # label of copies: <namespace>.<name>
REPLICATION: Final = "Replication"  # the type of every condition


class SelectorRequirement(Struct, frozen=True, kw_only=True):
    """One requirement on a label."""

    key: Annotated[str, schema(required=True)] = ""
    """Key of the label."""

    operator: Annotated[str, schema(required=True)] = ""
    """In, NotIn, Exists or DoesNotExist."""

    values: list[str] = []
    """Values, for In and NotIn."""


class LabelSelector(Struct, frozen=True, kw_only=True):
    """Which labels an object must have; all requirements hold together."""

    match_labels: dict[str, str] = {}
    """Labels with their values."""

    match_expressions: list[SelectorRequirement] = []
    """Requirements on labels."""


class ReplicationTarget(Struct, frozen=True, kw_only=True):
    """Where Secrets are copied to, and what they look like there."""

    namespace: str = ""
    """Namespace of the copies; that of the sources when absent."""

    k8s_context_name: str = ""
    """Context name of the cluster, as a ClientConfig gives it; the control plane's own when absent."""

    target_prefix: str = ""
    """What is put before the names of the copies."""

    drop_labels: list[str] = []
    """Labels of the sources that the copies do not get."""

    add_labels: dict[str, str] = {}
    """Labels that the copies get as well."""


class ReplicatedSecretSpec(Struct, frozen=True, kw_only=True):
    """What is copied, and to where."""

    selector: LabelSelector | None = None
    """Labels of the Secrets to copy; an absent one selects none."""

    replication_targets: list[ReplicationTarget] = []
    """The clusters to copy to."""


class ReplicationCondition(Struct, frozen=True, kw_only=True):
    """State of one target."""

    cluster: Annotated[str, schema(required=True)] = ""
    """Context name of the target."""

    type: Annotated[str, schema(required=True)] = ""
    """Always Replication."""

    status: Annotated[str, schema(required=True)] = ""
    """True when every Secret is there."""

    last_transition_time: Time = ""
    """When the status last changed."""

    namespace: str = ""
    """Namespace of the target."""

    reason: str = ""
    """Why, as one CamelCase word."""

    message: str = ""
    """Why, for people."""

    observed_generation: int = 0
    """The metadata.generation that this condition speaks of."""


class ReplicatedSecretStatus(Struct, frozen=True, kw_only=True):
    """What is known about the copies."""

    conditions: list[ReplicationCondition] = []
    """One for each target, in their order."""


class ReplicatedSecret(Struct, frozen=True, kw_only=True):
    """Secrets of one namespace, copied to other clusters."""

    metadata: ObjectMeta = ObjectMeta()
    spec: ReplicatedSecretSpec = ReplicatedSecretSpec()
    status: ReplicatedSecretStatus = ReplicatedSecretStatus()
