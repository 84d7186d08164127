"""CustomResourceDefinitions: what they must say, and the kinds they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from controller.kube.resources import Resource
from controller.sandbox.apiserver import jsonpath
from controller.sandbox.apiserver.failures import Fault, invalid_value, required, unsupported
from controller.sandbox.apiserver.kinds import Context, Kind, Strategy
from controller.sandbox.apiserver.names import label_1035_errors
from controller.sandbox.apiserver.schema import compile_schema
from controller.sandbox.apiserver.table import printer_columns

Json = dict[str, Any]

CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"  # holds a CRD until its objects are gone


class CustomObjects(Strategy):
    """The objects of one version of a CRD."""

    unconditional_update = False
    has_generation = True
    returns_deleted = False

    def __init__(self, selectable: Mapping[str, str]) -> None:
        self._selectable = selectable  # label → JSONPath
        self.field_labels = tuple(selectable)

    def fields(self, obj: Json) -> Mapping[str, str]:
        return {label: _text(jsonpath.first(obj, path)) for label, path in self._selectable.items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


class Definitions(Strategy):
    """CustomResourceDefinitions themselves."""

    unconditional_update = False
    has_generation = True

    def prepare_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {"acceptedNames": {"plural": "", "kind": ""}}
        versions = _versions(obj)
        obj["status"]["storedVersions"] = [v.get("name") for v in versions if v.get("storage")]

    def prepare_update(self, obj: Json, old: Json, context: Context) -> None:
        status = obj["status"] = dict(obj.get("status") or {})
        stored = list(status.get("storedVersions") or ())
        for version in _versions(obj):
            if version.get("storage") and version.get("name") not in stored:
                stored.append(version["name"])
        status["storedVersions"] = stored

    def default(self, obj: Json, old: Json | None) -> None:
        spec = obj.setdefault("spec", {})
        names = spec.get("names")
        if isinstance(names, dict) and names.get("kind"):
            names.setdefault("singular", names["kind"].lower())
            names.setdefault("listKind", f"{names['kind']}List")
        spec.setdefault("conversion", {"strategy": "None"})

    def validate(self, obj: Json) -> list[Fault]:
        spec = obj.get("spec") or {}
        names = spec.get("names") or {}
        found: list[Fault] = []
        group, plural = spec.get("group", ""), names.get("plural", "")
        if not group:
            found.append(required("spec.group"))
        elif "." not in group:
            found.append(invalid_value("spec.group", group, "should be a domain with at least one dot"))
        for key in ("plural", "singular", "kind", "listKind"):
            value = names.get(key, "")
            if not value:
                found.append(required(f"spec.names.{key}"))
            else:
                found += [invalid_value(f"spec.names.{key}", value, why) for why in label_1035_errors(value.lower())]
        if obj["metadata"].get("name") != f"{plural}.{group}":
            why = 'must be spec.names.plural+"."+spec.group'
            found.append(invalid_value("metadata.name", obj["metadata"].get("name"), why))
        if spec.get("scope") not in ("Namespaced", "Cluster"):
            found.append(unsupported("spec.scope", spec.get("scope", ""), ("Cluster", "Namespaced")))
        return found + _version_faults(obj)

    def validate_update(self, obj: Json, old: Json) -> list[Fault]:
        new, before = obj.get("spec") or {}, old.get("spec") or {}
        found: list[Fault] = [
            invalid_value(f"spec.{key}", new.get(key), "field is immutable")
            for key in ("group", "scope")
            if new.get(key) != before.get(key)
        ]
        found += [
            invalid_value(f"spec.names.{key}", new.get("names", {}).get(key), "field is immutable")
            for key in ("plural", "kind")
            if new.get("names", {}).get(key) != before.get("names", {}).get(key)
        ]
        served = {v.get("name") for v in _versions(obj)}
        for index, stored in enumerate((obj.get("status") or {}).get("storedVersions") or ()):
            if stored not in served:
                why = f"{stored} was a storage version before, and must remain in spec.versions"
                found.append(invalid_value(f"status.storedVersions[{index}]", stored, why))
        return found


def _versions(definition: Json) -> list[Json]:
    return (definition.get("spec") or {}).get("versions") or []


def _version_faults(definition: Json) -> list[Fault]:
    versions = _versions(definition)
    found: list[Fault] = []
    if not versions:
        found.append(required("spec.versions"))
    if sum(1 for v in versions if v.get("storage")) != 1:
        found.append(
            invalid_value(
                "spec.versions",
                [v.get("name") for v in versions],
                "must have exactly one version marked as storage version",
            )
        )
    for index, version in enumerate(versions):
        field = f"spec.versions[{index}]"
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if not schema:
            found.append(required(f"{field}.schema.openAPIV3Schema", "schemas are required"))
            continue
        if schema.get("type") != "object":
            path = f"{field}.schema.openAPIV3Schema.type"
            if not schema.get("type"):
                found.append(required(path, "must not be empty at the root"))
            else:
                found.append(invalid_value(path, schema["type"], "must be object at the root"))
        for position, column in enumerate(version.get("additionalPrinterColumns") or ()):
            if not jsonpath.valid(column.get("jsonPath", "")) or not column.get("jsonPath"):
                path = f"{field}.additionalPrinterColumns[{position}].jsonPath"
                found.append(invalid_value(path, column.get("jsonPath"), "is an invalid jsonpath"))
    return found


def kinds_of(definition: Json) -> list[Kind]:
    """One kind for each served version of a CRD, and for the storage version."""
    spec = definition["spec"]
    names = spec["names"]
    storage = next(v["name"] for v in spec["versions"] if v.get("storage"))
    kinds = []
    for version in spec["versions"]:
        if not version.get("served") and version["name"] != storage:
            continue
        document = version["schema"]["openAPIV3Schema"]
        resource = Resource(
            spec["group"], version["name"], names["kind"], names["plural"], namespaced=spec["scope"] == "Namespaced"
        )
        subresources = version.get("subresources") or {}
        selectable = {f["jsonPath"].removeprefix("."): f["jsonPath"] for f in version.get("selectableFields") or ()}
        kinds.append(
            Kind(
                resource,
                strategy=CustomObjects(selectable),
                singular=names.get("singular", ""),
                short_names=names.get("shortNames") or (),
                categories=names.get("categories") or (),
                list_kind=names.get("listKind", ""),
                has_status=subresources.get("status") is not None,
                schema=compile_schema(document),
                openapi=document,
                columns=printer_columns(version.get("additionalPrinterColumns") or []),
                custom=True,
                storage_version=storage,
                served=bool(version.get("served")),
            )
        )
    return kinds


def condition(type: str, reason: str, message: str, now: str, status: str = "True") -> Json:
    """One condition of a CRD's status."""
    return {
        "type": type,
        "status": status,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }


def accepted_status(definition: Json, now: str) -> Json:
    """The status of a CRD whose names are accepted and whose kind is served."""
    status = dict(definition.get("status") or {})
    before = {c["type"]: c for c in status.get("conditions") or ()}
    conditions = [
        condition("NamesAccepted", "NoConflicts", "no conflicts found", now),
        condition("Established", "InitialNamesAccepted", "the initial names have been accepted", now),
    ]
    status["conditions"] = [
        before[c["type"]] if before.get(c["type"], {}).get("status") == "True" else c for c in conditions
    ] + [c for t, c in before.items() if t not in ("NamesAccepted", "Established")]
    status["acceptedNames"] = definition["spec"]["names"]
    return status
