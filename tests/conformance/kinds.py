"""The kinds and objects that the cases use."""

from __future__ import annotations

from typing import Any, Final

from controller.kube.resources import CRDS, Resource
from tests.conformance.api import Api, Json, ok, until

GROUP: Final = "conformance.example.com"
WIDGETS: Final = Resource(GROUP, "v1", "Widget", "widgets")
GADGETS: Final = Resource(GROUP, "v1", "Gadget", "gadgets")
CLUSTER_ROLES: Final = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False)
STATEFUL_SETS: Final = Resource("apps", "v1", "StatefulSet", "statefulsets")


def crd(kind: Resource, schema: Json, **version: Any) -> Json:
    """A CustomResourceDefinition with one version."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.name},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {"kind": kind.kind, "plural": kind.plural, "singular": kind.kind.lower()},
            "versions": [
                {
                    "name": kind.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    **version,
                }
            ],
        },
    }


def widget_crd() -> Json:
    """A kind with everything a schema may ask for, and a status subresource."""
    port = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "number": {"type": "integer"},
            "protocol": {"type": "string", "default": "TCP"},
        },
    }
    spec = {
        "type": "object",
        "properties": {
            "size": {"type": "integer", "minimum": 0, "maximum": 100},
            "replicas": {"type": "integer", "default": 3},
            "mode": {"type": "string", "enum": ["Fast", "Slow"]},
            "code": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 8},
            "ratio": {"type": "number"},
            "enabled": {"type": "boolean"},
            "quota": {"x-kubernetes-int-or-string": True},
            "note": {"type": "string", "nullable": True},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "settings": {"type": "object", "additionalProperties": {"type": "string"}},
            "atoms": {"type": "array", "items": {"type": "string"}},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "ports": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": port,
            },
            "where": {
                "type": "object",
                "x-kubernetes-map-type": "atomic",
                "properties": {"zone": {"type": "string"}, "rack": {"type": "string"}},
            },
            "frozen": {
                "type": "string",
                "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "frozen does not change"}],
            },
            "pair": {
                "type": "object",
                "properties": {"left": {"type": "string"}, "right": {"type": "string"}},
                "x-kubernetes-validations": [
                    {
                        "rule": "self.left == self.right",
                        "messageExpression": "self.left + ' is not ' + self.right + ' '",
                        "message": "left and right differ",
                    },
                    {
                        "rule": "self.left != 'odd' || oldSelf.hasValue()",
                        "messageExpression": "oldSelf.hasValue() ? 'it was odd' : 'it is odd'",
                        "message": "left begins odd",
                        "optionalOldSelf": True,
                    },
                ],
            },
        },
    }
    status = {
        "type": "object",
        "properties": {
            "phase": {"type": "string"},
            "count": {"type": "integer"},
            "conditions": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {
                    "type": "object",
                    "required": ["type", "status"],
                    "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
                },
            },
        },
    }
    return crd(
        WIDGETS,
        {"type": "object", "properties": {"spec": spec, "status": status}},
        subresources={"status": {}},
        additionalPrinterColumns=[
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        ],
    )


def gadget_crd() -> Json:
    """A kind without a status subresource."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return crd(GADGETS, {"type": "object", "properties": {"spec": anything, "status": anything}})


async def install(api: Api, definition: Json, kind: Resource) -> Json:
    """Create a CRD and return it when its kind is served."""
    ok(await api.create(CRDS, definition))

    async def served() -> Any:
        established = ok(await api.get(CRDS, kind.name))
        conditions = established.get("status", {}).get("conditions") or ()  # null at first
        if not any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
            return None
        return established if (await api.list(kind)).status == 200 else None

    found: Json = await until(served)
    return found


def meta(name: str, **metadata: Any) -> Json:
    return {"metadata": {"name": name, **metadata}}


def config_map(name: str = "it", data: dict[str, str] | None = None, **metadata: Any) -> Json:
    return {**meta(name, **metadata), "data": {"a": "1"} if data is None else data}


def secret(name: str = "it", **rest: Any) -> Json:
    return {**meta(name), **rest}


def widget(name: str = "it", spec: Json | None = None, **metadata: Any) -> Json:
    return custom(WIDGETS, name, spec, **metadata)


def gadget(name: str = "it", spec: Json | None = None, **metadata: Any) -> Json:
    return custom(GADGETS, name, spec, **metadata)


def custom(kind: Resource, name: str = "it", spec: Json | None = None, **metadata: Any) -> Json:
    """A custom resource, which must say its kind."""
    return {"apiVersion": kind.api_version, "kind": kind.kind, **meta(name, **metadata), "spec": spec or {}}


def pod(name: str = "it", **metadata: Any) -> Json:
    return {**meta(name, **metadata), "spec": {"containers": [{"name": "main", "image": "example.com/main:1"}]}}


def service(name: str = "it", **spec: Any) -> Json:
    return {**meta(name), "spec": {"ports": [{"name": "http", "port": 80}], "selector": {"app": name}, **spec}}


def endpoint_slice(name: str = "it", addresses: tuple[str, ...] = ("10.0.0.1",), family: str = "IPv4") -> Json:
    return {
        **meta(name),
        "addressType": family,
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"name": "cql", "port": 9042, "protocol": "TCP"}],
    }
