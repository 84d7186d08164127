"""Discovery documents: what is served, in the old shape and in the aggregated one."""

from __future__ import annotations

from typing import Any, Final

from controller.sandbox.apiserver.kinds import Kind, Registry

Json = dict[str, Any]

VERSION: Final[Json] = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.0",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-04-22T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

# kinds that exist as requests only: group, version → entries of APIResourceList
_VIRTUAL: Final[dict[tuple[str, str], list[tuple[str, str, bool]]]] = {
    ("authentication.k8s.io", "v1"): [
        ("selfsubjectreviews", "SelfSubjectReview", False),
        ("tokenreviews", "TokenReview", False),
    ],
    ("authorization.k8s.io", "v1"): [
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview", False),
        ("selfsubjectrulesreviews", "SelfSubjectRulesReview", False),
    ],
}
_STATUS_VERBS: Final = ["get", "patch", "update"]


def core_versions() -> Json:
    """``/api``."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
    }


def _groups(registry: Registry) -> dict[str, list[str]]:
    found = {group: versions for group, versions in registry.groups().items() if group}
    for group, version in _VIRTUAL:
        found.setdefault(group, [version])
    return found


def group_list(registry: Registry) -> Json:
    """``/apis``."""
    groups = [_group(group, versions) for group, versions in _groups(registry).items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: Registry, name: str) -> Json | None:
    """``/apis/<group>``; None when there is no such group."""
    versions = _groups(registry).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions else None


def _group(name: str, versions: list[str]) -> Json:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def resource_list(registry: Registry, group: str, version: str) -> Json | None:
    """``/api/v1`` and ``/apis/<group>/<version>``; None when nothing is served there."""
    resources: list[Json] = []
    for kind in registry.of(group, version):
        resources += _entries(kind)
    for plural, name, namespaced in _VIRTUAL.get((group, version), ()):
        resources.append(
            {
                "name": plural,
                "singularName": name.lower(),
                "namespaced": namespaced,
                "kind": name,
                "verbs": ["create"],
            }
        )
    if not resources:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": resources,
    }


def _entries(kind: Kind) -> list[Json]:
    resource = kind.resource
    entry: Json = {
        "name": resource.plural,
        "singularName": kind.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    return [
        entry,
        *(
            {
                "name": f"{resource.plural}/{name}",
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": answer,
                "verbs": verbs,
            }
            for name, answer, verbs in subresources(kind)
        ),
    ]


def subresources(kind: Kind) -> list[tuple[str, str, list[str]]]:
    """The subresources of a kind: name, the kind they answer with, and verbs."""
    found: list[tuple[str, str, list[str]]] = []
    if kind.has_status:
        found.append(("status", kind.resource.kind, _STATUS_VERBS))
    if kind.resource.name == "namespaces":
        found.append(("finalize", "Namespace", ["update"]))
    if kind.resource.name == "serviceaccounts":
        found.append(("token", "TokenRequest", ["create"]))
    return found


def aggregated(registry: Registry, *, core: bool) -> Json:
    """``/api`` (``core``) or ``/apis`` as one APIGroupDiscoveryList."""
    groups = {"": registry.groups().get("", [])} if core else _groups(registry)
    items = [
        {
            "metadata": {"name": group} if group else {},
            "versions": [
                {
                    "version": version,
                    "resources": [_aggregated(kind) for kind in registry.of(group, version)]
                    + [
                        {
                            "resource": plural,
                            "responseKind": {"group": group, "version": version, "kind": name},
                            "scope": "Namespaced" if namespaced else "Cluster",
                            "singularResource": name.lower(),
                            "verbs": ["create"],
                        }
                        for plural, name, namespaced in _VIRTUAL.get((group, version), ())
                    ],
                    "freshness": "Current",
                }
                for version in versions
            ],
        }
        for group, versions in groups.items()
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated(kind: Kind) -> Json:
    resource = kind.resource

    def response(name: str) -> Json:
        if name == "TokenRequest":
            return {"group": "authentication.k8s.io", "version": "v1", "kind": name}
        return {"group": resource.group, "version": resource.version, "kind": name}

    entry: Json = {
        "resource": resource.plural,
        "responseKind": response(resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    below = subresources(kind)
    if below:
        entry["subresources"] = [
            {"subresource": name, "responseKind": response(answer), "verbs": verbs} for name, answer, verbs in below
        ]
    return entry
