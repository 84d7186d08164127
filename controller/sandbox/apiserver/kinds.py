"""The kinds that a server serves: how each is named, stored, judged and shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from controller.kube.resources import Resource
from controller.sandbox.apiserver.failures import Fault
from controller.sandbox.apiserver.names import NameRule, subdomain_errors

if TYPE_CHECKING:
    from controller.sandbox.apiserver.schema import Schema

Json = dict[str, Any]

ALL_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Column(msgspec.Struct, frozen=True):
    """One column of a table. ``cell`` takes the object and gives the value; ``priority`` > 0 is for wide output."""

    name: str
    cell: Callable[[Json], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""


class Context(msgspec.Struct, frozen=True):
    """What a strategy may need besides the objects."""

    allocate: Callable[[Json, Json | None], None]  # gives a Service its cluster IP


class Strategy:
    """What is special about one kind when it is written. The methods get objects that they may change."""

    unconditional_update = True  # PUT without resourceVersion is allowed
    create_on_update = False  # PUT of an absent object creates it
    returns_deleted = False  # DELETE answers with the object, not with a Status
    has_generation = False
    name_rule: NameRule = staticmethod(subdomain_errors)
    field_labels: tuple[str, ...] = ()  # selectable fields beyond metadata.name and metadata.namespace

    def unreadable(self, obj: Json) -> list[Fault]:
        """What keeps a value from being read into the kind's struct at all."""
        return []

    def default(self, obj: Json, old: Json | None) -> None:
        """Set what stands for fields that were left out; belongs to who writes the object."""

    def prepare_create(self, obj: Json, context: Context) -> None:
        """Fill in what the server sets on creation."""

    def prepare_update(self, obj: Json, old: Json, context: Context) -> None:
        """Fill in what the server sets on a change of the main resource."""

    def validate(self, obj: Json) -> list[Fault]:
        """What is wrong with an object by itself."""
        return []

    def validate_update(self, obj: Json, old: Json) -> list[Fault]:
        """What is wrong with a change."""
        return []

    def generation_content(self, obj: Json) -> Any:
        """What makes a new generation when it differs."""
        return obj.get("spec")

    def fields(self, obj: Json) -> Mapping[str, str]:
        """The values of ``field_labels``."""
        return {}


class Kind:
    """One kind at one version. Identity matters: a changed CRD makes new ``Kind`` objects."""

    def __init__(
        self,
        resource: Resource,
        *,
        strategy: Strategy,
        singular: str = "",
        short_names: Sequence[str] = (),
        categories: Sequence[str] = (),
        list_kind: str = "",
        has_status: bool = False,
        schema: Schema | None = None,
        openapi: Json | None = None,
        columns: Sequence[Column] = (),
        custom: bool = False,
        storage_version: str = "",
        served: bool = True,
        verbs: Sequence[str] = ALL_VERBS,
    ) -> None:
        self.resource = resource
        self.strategy = strategy
        self.singular = singular or resource.kind.lower()
        self.short_names = tuple(short_names)
        self.categories = tuple(categories)
        self.list_kind = list_kind or f"{resource.kind}List"
        self.has_status = has_status
        self.schema = schema
        self.openapi = openapi  # the OpenAPI v3 schema of a custom kind
        self.columns = tuple(columns)
        self.custom = custom
        self.storage_version = storage_version or resource.version
        self.served = served
        self.verbs = tuple(verbs)

    @property
    def collection(self) -> str:
        """The name of its collection in the storage; the same for all versions of the kind."""
        return self.resource.name

    def __repr__(self) -> str:
        return f"Kind({self.resource.api_version} {self.resource.kind})"


class Registry:
    """Every kind served now, by path and by name."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._by_path: dict[tuple[str, str, str], Kind] = {}
        self._by_kind: dict[tuple[str, str, str], Kind] = {}
        self._stored: dict[str, Kind] = {}
        for kind in kinds:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        resource = kind.resource
        self._by_path[resource.group, resource.version, resource.plural] = kind
        self._by_kind[resource.group, resource.version, resource.kind] = kind
        if resource.version == kind.storage_version:
            self._stored[kind.collection] = kind

    def remove(self, kind: Kind) -> None:
        resource = kind.resource
        self._by_path.pop((resource.group, resource.version, resource.plural), None)
        self._by_kind.pop((resource.group, resource.version, resource.kind), None)
        if self._stored.get(kind.collection) is kind:
            del self._stored[kind.collection]

    def at(self, group: str, version: str, plural: str) -> Kind | None:
        return self._by_path.get((group, version, plural))

    def named(self, api_version: str, kind: str) -> Kind | None:
        group, _, version = api_version.rpartition("/")
        return self._by_kind.get((group, version, kind))

    def stored(self, collection: str) -> Kind | None:
        """The kind at the version it is stored in; ``collection`` is ``plural.group``."""
        return self._stored.get(collection)

    def groups(self) -> dict[str, list[str]]:
        """Group → its served versions, most stable first; "" is the core group."""
        found: dict[str, list[str]] = {}
        for (group, version, _), kind in self._by_path.items():
            if not kind.served:
                continue
            versions = found.setdefault(group, [])
            if version not in versions:
                versions.append(version)
        for versions in found.values():
            versions.sort(key=version_priority)
        return found

    def of(self, group: str, version: str) -> list[Kind]:
        """The kinds served in one group and version, by plural."""
        found = [k for (g, v, _), k in self._by_path.items() if g == group and v == version and k.served]
        return sorted(found, key=lambda kind: kind.resource.plural)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._by_path.values())


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes does: v2, v1, v1beta2, v1beta1, v1alpha1, then anything else by name."""
    for stage, word in ((1, "beta"), (2, "alpha")):
        major, found, minor = version[1:].partition(word)
        if found and version.startswith("v") and major.isdecimal() and minor.isdecimal():
            return (stage, -int(major), -int(minor), "")
    if version.startswith("v") and version[1:].isdecimal():
        return (0, -int(version[1:]), 0, "")
    return (3, 0, 0, version)
