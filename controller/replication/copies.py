"""What a copy of a Secret is: which name it has, what it contains, and whether a live one is right. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from controller.kube.objects import Head, Object
from controller.replication.selector import matches
from controller.replication.types import REPLICATED_FROM, ReplicatedSecret, ReplicationTarget

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"  # holds the Secret's data: never copied
FORMER_HASH: Final = "k8ssandra.io/resource-hash"  # the reference's plain hash of the data, guessable for short values
LABEL_LENGTH: Final = 63

# Credentials of other systems: to copy them would hand out another identity.
REFUSED_TYPES: Final = frozenset(
    {"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "helm.sh/release.v1"}
)


class Wanted(msgspec.Struct, frozen=True):
    """One copy: of which source (metadata only), under which name, for which target."""

    target: ReplicationTarget
    source: Object
    namespace: str
    name: str


def mark(namespace: str, name: str) -> str:
    """The value of the label that every copy of a ReplicatedSecret carries: ``<namespace>.<name>``.

    What is too long for a label keeps its beginning and gets a hash.
    """
    value = f"{namespace}.{name}"
    if len(value) <= LABEL_LENGTH:
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()[:10]
    return f"{value[: LABEL_LENGTH - 11]}-{digest}"


def wanted(replicated: ReplicatedSecret, context: str, sources: Iterable[Object]) -> list[Wanted]:
    """The copies that one context shall have, sorted by namespace and name."""
    own, selector = replicated.metadata, replicated.spec.selector
    assert selector is not None
    found: list[Wanted] = []
    for target in replicated.spec.replication_targets:
        if target.k8s_context_name != context:
            continue
        for source in sources:
            if not matches(selector, source.head.labels):
                continue
            place = (target.namespace or own.namespace, target.target_prefix + source.head.name)
            if not context and place == (source.head.namespace, source.head.name):
                continue  # the target is the source itself
            if not context and _copies_itself(replicated, target, source):
                continue
            found.append(Wanted(target, source, *place))
    return sorted(found, key=lambda copy: (copy.namespace, copy.name))


def _copies_itself(replicated: ReplicatedSecret, target: ReplicationTarget, source: Object) -> bool:
    """Whether a copy would be a source in its turn, which would be copied, and so for ever."""
    if target.namespace not in ("", replicated.metadata.namespace) or replicated.spec.selector is None:
        return False
    return matches(replicated.spec.selector, labels_of(replicated, target, source.head))


def labels_of(replicated: ReplicatedSecret, target: ReplicationTarget, source: Head) -> dict[str, str]:
    """The labels of a copy."""
    labels = {**(source.labels or {}), **target.add_labels}
    for key in target.drop_labels:
        labels.pop(key, None)
    labels[REPLICATED_FROM] = mark(replicated.metadata.namespace, replicated.metadata.name)
    return labels


def render(replicated: ReplicatedSecret, copy: Wanted, source: Mapping[str, Any]) -> dict[str, Any]:
    """The copy as it is to be written; ``source`` is the whole Secret."""
    metadata: dict[str, Any] = {
        "name": copy.name,
        "namespace": copy.namespace,
        "labels": labels_of(replicated, copy.target, copy.source.head),
    }
    annotations = {
        key: value
        for key, value in (source["metadata"].get("annotations") or {}).items()
        if key not in (LAST_APPLIED, FORMER_HASH)
    }
    if annotations:
        metadata["annotations"] = annotations
    secret: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": source.get("type", "Opaque"),
        "data": source.get("data") or {},
    }
    if source.get("immutable"):
        secret["immutable"] = True
    return secret


def is_copy_of(head: Head, replicated: ReplicatedSecret) -> bool:
    """Whether a Secret carries the mark of this ReplicatedSecret."""
    return (head.labels or {}).get(REPLICATED_FROM) == mark(replicated.metadata.namespace, replicated.metadata.name)


def overlaid(copy: dict[str, Any], live: Mapping[str, Any]) -> dict[str, Any] | None:
    """``copy`` with the labels, annotations and finalizers that others put on the live one; None when nothing differs.

    cass-operator marks the Secrets that it watches; without those marks it would not see their changes.
    """
    live_metadata = live["metadata"]
    metadata = dict(copy["metadata"])
    for key in ("labels", "annotations"):
        merged = {**(live_metadata.get(key) or {}), **(copy["metadata"].get(key) or {})}
        if merged:
            metadata[key] = merged
    if live_metadata.get("finalizers"):
        metadata["finalizers"] = live_metadata["finalizers"]
    same = (
        all((live_metadata.get(key) or {}) == metadata.get(key, {}) for key in ("labels", "annotations"))
        and not live_metadata.get("ownerReferences")
        and (live.get("data") or {}) == copy["data"]
        and live.get("type") == copy["type"]
        and bool(live.get("immutable")) == bool(copy.get("immutable"))
    )
    return None if same else {**copy, "metadata": metadata}
