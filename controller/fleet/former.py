"""The operator that wrote before this controller: what of its objects is adopted, and whether it writes still.

Its program and cass-operator's are both called ``manager``, so API servers keep the fields of both in one entry. What
only the reference operator writes tells its entries; what cass-operator wrote in them stays there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from controller.kube import ownership
from controller.kube.errors import Malformed, clean
from controller.kube.objects import Object
from controller.kube.ownership import Fields, Share

MANAGERS: Final = frozenset({"manager"})
HASHES: Final = (
    "k8ssandra.io/resource-hash",
    "cassandra.datastax.com/resource-hash",
)  # of slices with seeds the latter

_HASHES: Final = tuple(("f:metadata", "f:annotations", f"f:{name}") for name in HASHES)
_TARGETS: Final = ("f:spec", "f:replicationTargets")
# What no other operator writes into objects of ours.
_MARKS: Final = (
    *_HASHES,
    _TARGETS,
    ("f:metadata", "f:labels", "f:k8ssandra.io/cluster-name"),
    ("f:metadata", "f:labels", "f:k8ssandra.io/replicated-by"),
)
# Of these, what it writes anew whenever it writes at all; of slices without a hash that is the addresses.
_NEWS: Final = (*_HASHES, _TARGETS, ("f:endpoints",))
# Wishes to cass-operator that it takes back itself when they are fulfilled.
_OF_CASS_OPERATOR: Final[Fields] = {"f:forceUpgradeRacks": {}, "f:replaceNodes": {}, "f:rollingRestartRequested": {}}


class Overwritten(msgspec.Struct, frozen=True):
    """The reference operator wrote an object after us. ``at``: when, by that API server's clock; RFC 3339."""

    manager: str
    at: str

    @property
    def seconds(self) -> float:
        """``at`` as seconds since 1970; 0 for what is no time."""
        try:
            return datetime.fromisoformat(self.at).timestamp()
        except (ValueError, OverflowError):
            return 0.0


def share_of(live: Mapping[str, Any], applied: Mapping[str, Any], manager: str) -> Share:
    """What of the reference operator's entries in ``live`` becomes the ``manager``'s with ``applied``.

    Of the metadata what ``applied`` names or the manager has already, and the hashes: the rest may be cass-operator's
    or another's. Of the object's content everything, so that a later apply takes away what is wanted no more.
    """
    ours: Fields = {}
    for entry in ownership.entries(live):
        if entry.get("manager") == manager and not entry.get("subresource"):
            ours = ownership.union(ours, (entry.get("fieldsV1") or {}).get("f:metadata") or {})
    return partial(_share, applied.get("metadata") or {}, ours)


def is_theirs(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of managedFields tells of a write by the reference operator."""
    fields = entry.get("fieldsV1") or {}
    return _is_candidate(entry) and any(ownership.holds(fields, mark) for mark in _MARKS)


def unadopted(live: Mapping[str, Any], applied: Mapping[str, Any], manager: str) -> bool:
    """Whether an object still has fields of the reference operator that are to be the ``manager``'s."""
    share = share_of(live, applied, manager)
    return any(share(entry) for entry in ownership.entries(live))


def written_part(live: Mapping[str, Any], manager: str, key: str) -> Any:
    """What stands under ``key`` of an object because the reference operator or ``manager`` wrote it."""
    fields: Fields = {}
    for entry in ownership.entries(live):
        if is_theirs(entry) or (entry.get("manager") == manager and not entry.get("subresource")):
            fields = ownership.union(fields, (entry.get("fieldsV1") or {}).get(f"f:{key}") or {})
    return ownership.part(live.get(key), fields) if fields else None


def overwritten(found: Object, manager: str) -> Overwritten | None:
    """The reference operator's write over one by ``manager``; None when there was none, or it was there first.

    That is seen in managedFields alone, whatever the clocks: a field that it writes each time is its and not ours,
    although we have been there.
    """
    if not any(b'"manager":"%s"' % name.encode() in found.raw for name in MANAGERS):
        return None  # nearly always, and much cheaper than to decode it
    ours: Fields = {}
    theirs: list[Mapping[str, Any]] = []
    for entry in _entries(found):
        if entry.get("manager") == manager and not entry.get("subresource"):
            ours = ownership.union(ours, entry.get("fieldsV1") or {})
        elif _is_candidate(entry):
            theirs.append(entry)
    if not ours:
        return None
    for one in theirs:
        written = one.get("fieldsV1") or {}
        if any(ownership.holds(written, mark) and not ownership.holds(ours, mark) for mark in _NEWS):
            return Overwritten(str(one.get("manager")), clean(str(one.get("time") or "1970-01-01T00:00:00Z"), 64))
    return None


def last_write(found: Object) -> Overwritten | None:
    """The last write by the reference operator, whether before or after us; None when it never wrote the object."""
    writes = [
        Overwritten(str(entry.get("manager")), clean(str(entry["time"]), 64))
        for entry in _entries(found)
        if is_theirs(entry) and entry.get("time")
    ]
    return max(writes, key=lambda write: write.seconds, default=None)


# ── inside ──────────────────────────────────────────────────────────────────────────────────────────


def _entries(found: Object) -> list[dict[str, Any]]:
    try:
        return ownership.entries(found.decode(dict))
    except Malformed:
        return []


def _is_candidate(entry: Mapping[str, Any]) -> bool:
    """Whether the reference operator may have written what an entry says."""
    return entry.get("manager") in MANAGERS and entry.get("operation") == "Update" and not entry.get("subresource")


def _share(metadata: Mapping[str, Any], ours: Fields, entry: Mapping[str, Any]) -> Fields:
    if not is_theirs(entry):
        return {}
    fields = entry.get("fieldsV1") or {}
    shared = dict(_of_metadata(metadata, ours, fields.get("f:metadata") or {}))
    found: dict[str, Any] = {"f:metadata": shared} if shared else {}
    for key, inner in fields.items():
        if key == "f:spec":
            found[key] = ownership.without(inner, _OF_CASS_OPERATOR)
        elif key not in ("f:metadata", "f:status"):
            found[key] = inner
    return found


def _of_metadata(applied: Mapping[str, Any], ours: Fields, fields: Fields) -> Iterator[tuple[str, Fields]]:
    for key, inner in fields.items():
        if key == ".":
            continue
        wanted = _wanted(applied, key) | (ours.get(key) or {}).keys()
        named = {name: value for name, value in inner.items() if name in wanted}
        if named and inner.keys() - named.keys() <= {"."}:
            named = dict(inner)  # with nothing else in it, the map itself is ours too
        if named:
            yield key, named


def _wanted(applied: Mapping[str, Any], key: str) -> set[str]:
    """The keys in ``fieldsV1`` of what an object's metadata has under ``key``."""
    value = applied.get(key.removeprefix("f:"))
    match key:
        case "f:annotations":
            return {f"f:{name}" for name in (*(value or {}), *HASHES)}
        case "f:labels":
            return {f"f:{name}" for name in value or {}}
        case "f:finalizers":
            return {f"v:{msgspec.json.encode(name).decode()}" for name in value or []}
        case "f:ownerReferences":
            return {f'k:{{"uid":"{reference["uid"]}"}}' for reference in value or []}
        case _:
            return set()
