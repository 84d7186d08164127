"""Reads ``manifests/`` as kustomize does, as far as our own files need it: for tests that install them by API calls."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

DIRECTORY: Final = Path(__file__).parents[1] / "manifests"
UNDERSTOOD: Final = {"apiVersion", "kind", "namespace", "resources", "patches"}
CLUSTER_WIDE: Final = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace"}

Json = dict[str, Any]


def crds() -> list[Json]:
    """The CustomResourceDefinitions of the control plane's kinds."""
    return load(DIRECTORY / "crds")


def control_plane(namespace: str, *, cluster_scoped: bool = False) -> list[Json]:
    """What installs the controller in ``namespace`` (which is not part of it), its accounts and roles first."""
    return _installed("control-plane", namespace, cluster_scoped)


def data_plane(namespace: str, *, cluster_scoped: bool = False, renewal: bool = False) -> list[Json]:
    """The account that the control plane uses in a data plane, its token Secret, and what it may do.

    ``renewal``: with the component that lets it renew its token.
    """
    found = load(DIRECTORY / ("data-plane-cluster-scoped" if cluster_scoped else "data-plane"))
    return _moved(found + (load(DIRECTORY / "token-renewal") if renewal else []), namespace)


def further_namespace(namespace: str, account_namespace: str, *, control_plane: bool) -> list[Json]:
    """What the account in ``account_namespace`` may do in one more namespace of a data plane, or the control plane."""
    names = ["datacenters-role", *(["control-plane-role"] if control_plane else [])]
    found = _moved([obj for name in names for obj in load(DIRECTORY / name)], namespace)
    for obj in found:
        for subject in obj.get("subjects", []):
            subject["namespace"] = account_namespace
    return found


def load(directory: Path) -> list[Json]:
    """The objects of a kustomization, as ``kubectl kustomize`` prints them but for their order."""
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text())
    if unknown := set(kustomization) - UNDERSTOOD:
        raise ValueError(f"{directory}: {', '.join(sorted(unknown))} is not understood here")
    found: list[Json] = []
    for entry in kustomization["resources"]:
        path = directory / entry
        found += load(path) if path.is_dir() else [obj for obj in yaml.safe_load_all(path.read_text()) if obj]
    for patch in kustomization.get("patches", []):
        operations = yaml.safe_load((directory / patch["path"]).read_text())
        for index, obj in enumerate(found):
            if re.fullmatch(patch["target"]["kind"], obj["kind"]):
                found[index] = _patched(obj, operations)
    return _moved(found, kustomization["namespace"]) if "namespace" in kustomization else found


def _installed(name: str, namespace: str, cluster_scoped: bool) -> list[Json]:
    return _moved(load(DIRECTORY / (f"{name}-cluster-scoped" if cluster_scoped else name)), namespace)


def _moved(objects: list[Json], namespace: str) -> list[Json]:
    """The objects in ``namespace``; bindings follow the accounts that are among them."""
    moved = copy.deepcopy(objects)
    accounts = {_name(obj) for obj in moved if obj["kind"] == "ServiceAccount"}
    for obj in moved:
        if obj["kind"] not in CLUSTER_WIDE:
            obj["metadata"]["namespace"] = namespace
        for subject in obj.get("subjects", []):
            if (subject.get("namespace"), subject["name"]) in accounts or "namespace" not in subject:
                subject["namespace"] = namespace
    return moved


def _name(obj: Json) -> tuple[str | None, str]:
    return obj["metadata"].get("namespace"), obj["metadata"]["name"]


def _patched(obj: Json, operations: list[Json]) -> Json:
    """``obj`` after a JSON patch of the operations ``replace`` and ``remove``."""
    patched = copy.deepcopy(obj)
    for operation in operations:
        *parents, last = _pointer(operation["path"])
        place: Any = patched
        for step in parents:
            place = place[int(step) if isinstance(place, list) else step]
        key: Any = int(last) if isinstance(place, list) else last
        match operation["op"]:
            case "replace":
                _ = place[key]  # it has to be there
                place[key] = operation["value"]
            case "remove":
                del place[key]
            case other:
                raise ValueError(f"patch operation {other} is not understood here")
    return patched


def _pointer(path: str) -> Iterator[str]:
    for step in path.split("/")[1:]:
        yield step.replace("~1", "/").replace("~0", "~")
