"""What would become of a K8ssandraCluster's objects, for people and for programs to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from controller.cassandra import labels
from controller.cassandra.compare import diff_fields
from controller.cassandra.foresight import UNKNOWN_SEED, Foreseen, foresee, target_of
from controller.cassandra.observe import Renderings
from controller.cassandra.plan import Problem, Wait, plan
from controller.cassandra.snapshot import Snapshot
from controller.fleet.actions import Adopt, Create, Delete, Merge
from controller.kube.objects import Object
from controller.kube.resources import SECRETS, Resource

HIDDEN: Final = "(hidden)"
_NEW_SEED: Final = "(a seed node that is not there yet)"


class FieldChange(msgspec.Struct, frozen=True):
    """One field, as ``spec.racks[0].name``; ``before`` is None where there was none, ``after`` where it goes."""

    path: str
    before: Any
    after: Any


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of one object. ``context`` "" is the control plane; ``fields`` are of a change only."""

    context: str
    verb: Literal["create", "change", "delete"]
    kind: str
    namespace: str
    name: str
    fields: tuple[FieldChange, ...] = ()


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """``changes`` in the order in which they would come; ``waits`` and ``problems`` as they are now.

    ``drift``: by datacenter, fields of the live specification that differ and are not to be changed now.
    """

    namespace: str
    name: str
    changes: tuple[Change, ...] = ()
    waits: tuple[Wait, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    drift: dict[str, tuple[str, ...]] = {}


def forecast(snapshot: Snapshot, renderings: Renderings) -> Forecast:
    """Everything that would be done for a K8ssandraCluster, each object once."""
    now = plan(snapshot)
    objects: dict[tuple[str, Resource, str, str], _Object] = {}
    for foreseen in foresee(snapshot, renderings):
        key = (foreseen.context, foreseen.action.resource, *target_of(foreseen.action))
        objects.setdefault(key, _Object(foreseen)).add(foreseen)
    rendered = snapshot.rendered
    return Forecast(
        namespace=snapshot.cluster.namespace,
        name=snapshot.cluster.name,
        changes=tuple(change for each in objects.values() if (change := each.change()) is not None),
        waits=now.waits,
        problems=now.problems,
        warnings=tuple(str(each) for each in (*rendered.unsupported, *rendered.warnings)),
        drift=now.drift,
    )


class _Object:
    """What is foreseen for one object, in the order in which it comes."""

    def __init__(self, first: Foreseen) -> None:
        action = first.action
        self._context = first.context
        self._resource = action.resource
        self._place = target_of(action)
        self._live: Object | None = None if isinstance(action, Create) else action.live
        self._wanted: Mapping[str, Any] | None = None
        self._patches: list[Mapping[str, Any]] = []
        self._deleted = False

    def add(self, foreseen: Foreseen) -> None:
        match foreseen.action:
            case Delete():
                self._deleted = True
            case Merge(patch=patch) | Adopt(patch=patch):
                self._patches.append(patch)
            case Create(object=wanted):
                self._wanted, self._deleted = wanted, False
            case other:
                self._wanted = other.object

    def change(self) -> Change | None:
        """The whole of it; None when it comes and goes."""
        namespace, name = self._place
        if self._live is None and self._deleted:
            return None
        verb: Literal["create", "change", "delete"] = "create" if self._live is None else "change"
        fields: tuple[FieldChange, ...] = ()
        if self._deleted:
            verb = "delete"
        elif self._live is not None:
            fields = tuple({each.path: each for each in self._fields(self._live)}.values())
        return Change(
            context=self._context,
            verb=verb,
            kind=self._resource.kind,
            namespace=namespace,
            name=name,
            fields=fields,
        )

    def _fields(self, live: Object) -> Iterator[FieldChange]:
        before = live.decode(dict)
        found: list[FieldChange] = []
        if self._wanted is not None:
            wanted = {key: value for key, value in self._wanted.items() if key not in ("apiVersion", "kind")}
            wanted["metadata"] = _with_others(self._wanted["metadata"], before["metadata"])
            found += _changed(wanted, before)
            if not _telling(found):  # an apply also takes away what is wanted no more
                lost = _changed(before.get("spec"), wanted.get("spec"), "spec")
                found += [FieldChange(each.path, each.after, None) for each in lost]
        for patch in self._patches:
            found += _patched(patch, before)
        for each in _telling(found) or found:
            yield _masked(each, hide=self._resource == SECRETS)


def _with_others(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of an apply, which adds to the finalizers of others."""
    if not (own := wanted.get("finalizers")):
        return dict(wanted)
    kept = live.get("finalizers") or []
    return {**wanted, "finalizers": [*kept, *(each for each in own if each not in kept)]}


def _telling(found: Iterable[FieldChange]) -> list[FieldChange]:
    """Without our own stamp, which only follows from the rest."""
    return [each for each in found if not each.path.endswith(labels.RESOURCE_HASH)]


def _changed(wanted: Any, live: Any, path: str = "") -> list[FieldChange]:
    """The fields of ``wanted`` that are otherwise in ``live``."""
    prefix = f"{path}." if path else ""
    differing = {prefix + each for each in diff_fields(wanted, live)}
    return list(_walk(wanted, live, path, differing))


def _walk(wanted: Any, live: Any, path: str, differing: set[str]) -> Iterator[FieldChange]:
    if path in differing:
        yield FieldChange(path, live, wanted)
    elif isinstance(wanted, Mapping):
        known = live if isinstance(live, Mapping) else {}
        for key, value in wanted.items():
            yield from _walk(value, known.get(key), f"{path}.{key}" if path else str(key), differing)
    elif isinstance(wanted, list) and isinstance(live, list):
        for number, (value, old) in enumerate(zip(wanted, live, strict=False)):
            yield from _walk(value, old, f"{path}[{number}]", differing)


def _patched(patch: Any, live: Any, path: str = "") -> Iterator[FieldChange]:
    known = live if isinstance(live, Mapping) else {}
    for key, value in patch.items():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _patched(value, known.get(key), here)
        elif value != known.get(key):
            yield FieldChange(here, known.get(key), value)


def _masked(change: FieldChange, *, hide: bool) -> FieldChange:
    if (hide and not change.path.startswith("metadata.")) or "password" in change.path.lower():
        before, after = (None if value is None else HIDDEN for value in (change.before, change.after))
        return FieldChange(change.path, before, after)
    return FieldChange(change.path, _shown(change.before), _shown(change.after))


def _shown(value: Any) -> Any:
    """``value`` without passwords inside, and without the address that only stands for one."""
    if isinstance(value, Mapping):
        return {key: HIDDEN if "password" in str(key).lower() else _shown(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner) for inner in value]
    return _NEW_SEED if value == UNKNOWN_SEED else value
