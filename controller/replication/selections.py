"""Which ReplicatedSecrets may select a Secret: found by its labels, however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from controller.fleet.cache import Cache
from controller.kube import errors
from controller.kube.objects import Object
from controller.replication.types import REPLICATED_SECRETS, LabelSelector, ReplicatedSecret

BY_KEYS: Final = "keys"  # index of ReplicatedSecrets: by the keys that their selector asks for; a few different ones
BY_LABELS: Final = "labels"  # index of ReplicatedSecrets: by namespace, these keys, and the values

Keys = tuple[str, ...]  # of labels, sorted


def keys_of(replicated: Object) -> Iterable[Keys]:
    """The keys that a selector asks for; () for one that has expressions only."""
    return [_keys(selector) for selector in _selector(replicated)]


def labels_asked(replicated: Object) -> Iterable[tuple[str, Keys, Keys]]:
    """Everything that a Secret has to have for a selector, its expressions apart."""
    namespace = replicated.head.namespace
    return [_place(namespace, _keys(selector), selector.match_labels) for selector in _selector(replicated)]


def selecting(cache: Cache, namespace: str, labels: Mapping[str, str] | None) -> list[Object]:
    """The ReplicatedSecrets that a Secret with these labels has all the labels for; expressions are not looked at."""
    have = labels or {}
    return [
        replicated
        for keys in cache.index_keys(REPLICATED_SECRETS, BY_KEYS)
        if all(key in have for key in keys)
        for replicated in cache.by_index(REPLICATED_SECRETS, BY_LABELS, _place(namespace, keys, have))
    ]


def _selector(replicated: Object) -> list[LabelSelector]:
    try:
        selector = replicated.decode(ReplicatedSecret).spec.selector
    except errors.Malformed:
        return []  # its own pass says so
    return [selector] if selector is not None else []


def _keys(selector: LabelSelector) -> Keys:
    return tuple(sorted(selector.match_labels))


def _place(namespace: str, keys: Keys, labels: Mapping[str, str]) -> tuple[str, Keys, Keys]:
    return namespace, keys, tuple(labels[key] for key in keys)
