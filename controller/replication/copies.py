"""What a copy of a Secret is: which name it has, what it contains, and whether a live one is right. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from controller.kube.objects import Head, Object
from controller.replication.selector import matches
from controller.replication.types import (
    EXISTING,
    KEEP,
    ONLY,
    REPLICATED_FROM,
    ReplicatedSecret,
    ReplicationTarget,
)

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"  # holds the Secret's data: never copied
FORMER_HASH: Final = "k8ssandra.io/resource-hash"  # the reference's plain hash of the data, guessable for short values
LABEL_LENGTH: Final = 63
NAME_LENGTH: Final = 253
_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")  # RFC 1123

# Credentials of other systems: to copy them would hand out another identity.
REFUSED_TYPES: Final = frozenset(
    {"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "helm.sh/release.v1"}
)


class Refused(Exception):
    """A copy that is not made, for a reason that only people can change. ``reason`` is CamelCase."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Wanted(msgspec.Struct, frozen=True):
    """One copy: of which source (metadata only), under which name, for which target.

    ``refusal``: reason and message, when it cannot be made; its place is kept all the same.
    """

    target: ReplicationTarget
    source: Object
    namespace: str
    name: str
    refusal: tuple[str, str] | None = None

    @property
    def place(self) -> tuple[str, str]:
        return self.namespace, self.name


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
    """The copies that one context shall have, sorted by namespace and name, one for each place."""
    own, selector = replicated.metadata, replicated.spec.selector
    assert selector is not None
    selected = [source for source in sources if matches(selector, source.head.labels)]
    only = restriction(replicated)
    found: dict[tuple[str, str], Wanted] = {}
    for target in replicated.spec.replication_targets:
        if target.k8s_context_name != context:
            continue
        for source in selected:
            place = (target.namespace or own.namespace, target.target_prefix + source.head.name)
            if source.head.name in only and f"{context}/{place[0]}" not in only[source.head.name]:
                continue
            if not context and (
                place == (source.head.namespace, source.head.name) or _begets(replicated, target, source)
            ):
                continue
            copy = Wanted(target, source, *place, refusal=_bad_name(place[1]))
            other = found.get(place)
            if other is not None and not _same(other, copy):
                both = f"of {other.source.head.name} and of {source.head.name}"
                message = f"Secret {place[0]}/{place[1]} would be the copy {both}; change targetPrefix"
                copy = msgspec.structs.replace(copy, refusal=("NameCollision", message))
            found[place] = copy
    return [found[place] for place in sorted(found)]


def restriction(replicated: ReplicatedSecret) -> Mapping[str, list[str]]:
    """Names of Secrets that go to some targets only, with their ``<context>/<namespace>``; {} for no such."""
    text = replicated.metadata.annotations.get(ONLY, "")
    try:
        return msgspec.json.decode(text, type=dict[str, list[str]]) if text else {}
    except msgspec.MsgspecError:
        return {}


def keeps_existing(replicated: ReplicatedSecret) -> bool:
    """Whether a Secret of somebody else under the name of a copy is what is wanted there."""
    return replicated.metadata.annotations.get(EXISTING) == KEEP


def _same(one: Wanted, other: Wanted) -> bool:
    """Whether two targets ask for one and the same copy."""
    return (
        one.refusal == other.refusal
        and one.source.head.name == other.source.head.name
        and one.target.add_labels == other.target.add_labels
        and sorted(one.target.drop_labels) == sorted(other.target.drop_labels)
    )


def _bad_name(name: str) -> tuple[str, str] | None:
    if len(name) <= NAME_LENGTH and _NAME.fullmatch(name):
        return None
    return "InvalidSpec", "targetPrefix makes a name that no Secret can have; use lower-case letters, digits, - and ."


def _begets(replicated: ReplicatedSecret, target: ReplicationTarget, source: Object) -> bool:
    """Whether a copy beside its source could be copied in its turn, and so for ever.

    It is so when this ReplicatedSecret selects it, and when two of them copy to each other's namespaces.
    """
    return REPLICATED_FROM in (source.head.labels or {}) or _copies_itself(replicated, target, source)


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


def overlaid(copy: dict[str, Any], live: Mapping[str, Any], drop: Iterable[str]) -> dict[str, Any] | None:
    """``copy`` with the labels, annotations and finalizers that others put on the live one; None when nothing differs.

    cass-operator marks the Secrets that it watches; without those marks it would not see their changes. ``drop``:
    labels that the copy shall not have, whoever put them there.
    """
    live_metadata = live["metadata"]
    metadata = dict(copy["metadata"])
    for key in ("labels", "annotations"):
        merged = {**(live_metadata.get(key) or {}), **(copy["metadata"].get(key) or {})}
        if key == "labels":
            merged = {name: value for name, value in merged.items() if name not in drop or name == REPLICATED_FROM}
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


def must_be_replaced(copy: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Whether no server changes the live copy into what it shall be, so that another has to take its place."""
    if live.get("type") != copy["type"]:
        return True
    return bool(live.get("immutable")) and (not copy.get("immutable") or (live.get("data") or {}) != copy["data"])
