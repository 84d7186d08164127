"""Server-side apply, and the bookkeeping of field ownership after every other write."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from controller.sandbox.apiserver import managed as entries
from controller.sandbox.apiserver.cloning import clone
from controller.sandbox.apiserver.equality import same
from controller.sandbox.apiserver.fieldset import FieldSet, Path, canonical, describe
from controller.sandbox.apiserver.managed import Entry, Identity, Managed
from controller.sandbox.apiserver.schema import Schema
from controller.sandbox.apiserver.shapes import TypeMismatch, check
from controller.sandbox.apiserver.typed import (
    Comparison,
    compare,
    fields_of,
    merge,
    reconcile,
    remove,
    with_named_fields,
)

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
BEFORE_FIRST_APPLY: Final = "before-first-apply"  # owns what was there when an object without entries is applied to
_CURRENT: Final = Identity("current-operation", "Update")
_NOT_OWNED: Final = FieldSet.of(
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    ),
)


class InvalidApply(Exception):
    """The applied object cannot be merged. ``status``: the HTTP status that kube-apiserver answers with."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ApplyConflict(Exception):
    """Other managers own fields that the apply would change.

    ``conflicts``: (manager text, path) pairs, sorted by manager, then in field order. ``causes``: the causes of
    the Status, with reason ``FieldManagerConflict``.
    """

    def __init__(self, conflicts: list[tuple[str, str]]) -> None:
        self.conflicts = conflicts
        if len(conflicts) == 1:
            manager, path = conflicts[0]
            text = f"Apply failed with 1 conflict: conflict with {manager}: {path}"
        else:
            lines: list[str] = []
            for manager in dict.fromkeys(manager for manager, _ in conflicts):
                lines.append(f"conflicts with {manager}:")
                lines += [f"- {path}" for owner, path in conflicts if owner == manager]
            text = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
        super().__init__(text)

    @property
    def causes(self) -> list[dict[str, str]]:
        return [
            {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
            for manager, path in self.conflicts
        ]


class _Conflicts(Exception):
    def __init__(self, found: dict[Identity, FieldSet]) -> None:
        super().__init__()
        self.paths: list[tuple[Identity, Path]] = [
            (identity, path) for identity in sorted(found, key=Identity.order) for path in found[identity].paths()
        ]

    def public(self) -> ApplyConflict:
        return ApplyConflict([(str(identity), describe(path)) for identity, path in self.paths])


def apply(
    live: dict[str, Any] | None,
    applied: dict[str, Any],
    *,
    manager: str,
    force: bool,
    schema: Schema | None,
    api_version: str,
    subresource: str = "",
    now: str,
    reset: Iterable[Path] = (),
) -> dict[str, Any]:
    """What ``live`` becomes when ``manager`` applies ``applied``; defaults are not set. Neither is changed.

    ``live`` None: the object is created. ``schema`` None: deduced, maps merged and lists replaced. ``now``: RFC 3339.
    ``reset``: paths that this endpoint gives to nobody (``RESET_BY_STATUS``, ``RESET_BY_MAIN``). Raises
    ``ApplyConflict`` (409) without ``force``, ``InvalidApply`` when ``applied`` does not fit the schema.
    An apply that changes nothing returns an object equal to ``live``.
    """
    if "managedFields" in (applied.get("metadata") or {}) and applied["metadata"]["managedFields"] is not None:
        raise InvalidApply("metadata.managedFields must be nil")
    creating = live is None
    base = _empty(applied, schema) if live is None else clone(live)
    try:
        managed = entries.decode((base.get("metadata") or {}).get("managedFields"))
    except ValueError as error:
        raise InvalidApply(f"failed to decode managed fields: {error}", 500) from None
    _forget_entries(base)
    ignored = FieldSet.of(*reset)
    if not managed and not creating:
        _update(_empty(base, schema), base, managed, BEFORE_FIRST_APPLY, schema, api_version, subresource, now, ignored)
    identity = Identity.of(manager, "Apply", api_version, subresource)

    def attempt(forced: bool) -> tuple[dict[str, Any] | None, Managed]:
        return _apply(base, applied, dict(managed), identity, forced, schema, api_version, ignored)

    try:
        merged, result = attempt(force)
    except _Conflicts as conflicts:
        if manager != "kubectl":
            raise conflicts.public() from None
        allowed = _applied_by_client(base, schema, api_version)
        conflicts.paths = [(owner, path) for owner, path in conflicts.paths if not allowed.has(path)]
        if conflicts.paths:
            raise conflicts.public() from None
        merged, result = attempt(True)
    if merged is None:
        merged = clone(base)
    elif identity in result:
        result[identity] = Entry(result[identity].fields, api_version, now)
    if manager == "kubectl":
        _refresh_last_applied(merged, applied)
    _set_entries(merged, result)
    return merged


RESET_BY_STATUS: Final[tuple[Path, ...]] = (("f:metadata",), ("f:spec",))  # custom resources' status endpoint
RESET_BY_MAIN: Final[tuple[Path, ...]] = (("f:status",),)  # the main endpoint of kinds that have a status endpoint


def track_update(
    live: dict[str, Any] | None,
    new: dict[str, Any],
    *,
    manager: str,
    operation: str = "Update",
    schema: Schema | None,
    api_version: str,
    subresource: str = "",
    now: str,
    reset: Iterable[Path] = (),
) -> None:
    """Sets ``new["metadata"]["managedFields"]`` after a create, update or patch; ``new`` is changed, ``live`` not.

    ``live`` None: ``new`` is created. What changed goes to ``manager``'s entry and leaves all others; what is gone
    leaves every entry. Entries that the request itself brings are the starting point (``[]`` and ``[{}]`` forget
    all, malformed ones count as none), except through a subresource. ``reset``: as for ``apply``.
    """
    if operation != "Update":
        raise ValueError("an apply is not an update")
    metadata = new.setdefault("metadata", {})
    old_metadata = (live or {}).get("metadata") or {}
    sent = metadata.get("managedFields")

    def stored() -> Managed:
        return entries.decode_or(old_metadata.get("managedFields"), dict)

    if subresource:
        managed = stored()
    elif is_reset(sent):
        managed = {}
    else:
        managed = entries.decode_or(sent, stored)
    metadata.pop("managedFields", None)
    if not managed and old_metadata.get("uid"):
        return  # nobody tracks this object; only an apply begins to
    base = _empty(new, schema) if live is None else clone(live)
    _forget_entries(base)
    after = clone(new)
    if schema is not None and schema.typed:
        schema.fill(after)
        schema.fill(base)
    try:
        check(after, schema, duplicates=True) if schema is not None else None
        _update(base, after, managed, manager, schema, api_version, subresource, now, FieldSet.of(*reset))
    except TypeMismatch:
        return  # as the server does: such an object is stored without entries
    _set_entries(new, managed)


is_reset = entries.is_reset


# ── the two merges ──────────────────────────────────────────────────────────────────────────────────


def _apply(
    live: dict[str, Any],
    applied: dict[str, Any],
    managed: Managed,
    identity: Identity,
    force: bool,
    schema: Schema | None,
    api_version: str,
    ignored: FieldSet,
) -> tuple[dict[str, Any] | None, Managed]:
    """The new object, None when it equals ``live``, and the new entries."""
    if schema is not None:
        try:
            check(applied, schema)
        except TypeMismatch as error:
            raise InvalidApply(f"failed to create typed patch object ({_name(applied)}): {error}", 500) from None
    for key, entry in managed.items():
        managed[key] = Entry(reconcile(entry.fields, schema), entry.api_version, entry.time)
    try:
        merged = merge(live, applied, schema)
    except TypeMismatch as error:
        raise InvalidApply(f"failed to merge config: {error}", 500) from None
    last = managed.get(identity)
    owned = fields_of(applied, schema).without(ignored)
    managed[identity] = Entry(owned, api_version, last.time if last else "")
    if last is not None and not last.fields.empty():
        merged = _prune(merged, managed, last.fields, schema)
    _settle(live, merged, managed, identity, force, schema, ignored)
    _strip(managed, identity)
    return (None if same(live, merged) else merged), managed


def _prune(merged: Any, managed: Managed, last: FieldSet, schema: Schema | None) -> Any:
    """Removes what the manager applied last time, nobody owns now, and lay in nothing that somebody else added."""
    pruned = remove(merged, with_named_fields(last, schema), schema)
    owned = FieldSet()
    for entry in managed.values():
        owned = owned.union(entry.fields)
    everything = with_named_fields(fields_of(merged, schema), schema)
    kept = with_named_fields(fields_of(pruned, schema), schema)
    pruned = remove(merged, everything.difference(kept.union(with_named_fields(owned, schema))), schema)
    kept = with_named_fields(fields_of(pruned, schema), schema)
    return remove(merged, everything.difference(kept).intersection(with_named_fields(last, schema)), schema)


def _update(
    live: dict[str, Any],
    new: dict[str, Any],
    managed: Managed,
    manager: str,
    schema: Schema | None,
    api_version: str,
    subresource: str,
    now: str,
    ignored: FieldSet,
) -> None:
    """Gives what changed from ``live`` to ``new`` to the Update entry of ``manager``; ``managed`` is changed."""
    for key, entry in managed.items():
        managed[key] = Entry(reconcile(entry.fields, schema), entry.api_version, entry.time)
    changes = _settle(live, new, managed, _CURRENT, True, schema, ignored)
    taken = changes.modified.union(changes.added).difference(_NOT_OWNED)
    if not taken.empty():
        identity = Identity.of(manager, "Update", api_version, subresource)
        previous = managed.get(identity)
        managed[identity] = Entry(taken.union(previous.fields) if previous else taken, api_version, now)
    entries.cap_updaters(managed)


def _settle(
    live: Any, new: Any, managed: Managed, current: Identity, force: bool, schema: Schema | None, ignored: FieldSet
) -> Comparison:
    """Takes what changed from everybody but ``current``, or raises ``_Conflicts``; returns what changed."""
    changes = compare(live, new, schema).without(ignored)
    taken = changes.modified.union(changes.added)
    conflicts = {
        identity: conflict
        for identity, entry in managed.items()
        if identity != current and not (conflict := entry.fields.intersection(taken)).empty()
    }
    if conflicts and not force:
        raise _Conflicts(conflicts)
    for identity, entry in list(managed.items()):
        fields = entry.fields
        if identity != current:
            fields = fields.difference(taken).difference(changes.removed)
        if fields.empty():
            del managed[identity]
        elif identity != current:
            managed[identity] = Entry(fields, entry.api_version, entry.time)
    return changes


def _strip(managed: Managed, identity: Identity) -> None:
    entry = managed.get(identity)
    if entry is not None:
        fields = entry.fields.difference(_NOT_OWNED)
        if fields.empty():
            del managed[identity]
        else:
            managed[identity] = Entry(fields, entry.api_version, entry.time)


# ── objects ─────────────────────────────────────────────────────────────────────────────────────────


def _empty(like: dict[str, Any], schema: Schema | None) -> dict[str, Any]:
    """The object before it exists: its kind, and the structs that the server always writes."""
    found: dict[str, Any] = {key: like[key] for key in ("apiVersion", "kind") if key in like}
    if schema is not None and schema.typed:
        schema.fill(found)
    return found


def _forget_entries(obj: dict[str, Any]) -> None:
    metadata = obj.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)


def _set_entries(obj: dict[str, Any], managed: Managed) -> None:
    if managed:
        obj.setdefault("metadata", {})["managedFields"] = entries.encode(managed)


def _name(obj: dict[str, Any]) -> str:
    metadata = obj.get("metadata") or {}
    group_version, kind = obj.get("apiVersion", ""), obj.get("kind", "")
    group, _, version = group_version.rpartition("/")
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {group}/{version}, Kind={kind}"


# ── from kubectl apply to kubectl apply --server-side ───────────────────────────────────────────────


def _applied_by_client(live: dict[str, Any], schema: Schema | None, api_version: str) -> FieldSet:
    """Fields that still are as kubectl's client-side apply left them: its server-side apply may take these."""
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    try:
        last = json.loads(text or "null")
        if not isinstance(last, dict) or last.get("apiVersion") != api_version:
            return FieldSet()
        if schema is not None:
            check(last, schema)
        changes = compare(last, live, schema)
    except (ValueError, TypeMismatch):
        return FieldSet()
    fields = fields_of(last, schema)
    return fields.difference(changes.modified).difference(changes.added).difference(changes.removed)


def _refresh_last_applied(obj: dict[str, Any], applied: dict[str, Any]) -> None:
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    if not annotations.get(LAST_APPLIED):
        return
    config = clone(applied)
    own = (config.get("metadata") or {}).get("annotations")
    if own:
        own.pop(LAST_APPLIED, None)
        if not own:
            del config["metadata"]["annotations"]
    annotations[LAST_APPLIED] = canonical(config) + "\n"
