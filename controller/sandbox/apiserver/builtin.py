"""The schemas of the kinds that a kube-apiserver has built in, compiled from ``builtin_types``."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any, Final

from controller.sandbox.apiserver.builtin_types import TYPES
from controller.sandbox.apiserver.schema import DEDUCED, OBJECT_META, Schema, struct_node

_KINDS: Final = {
    ("", "v1"): "Namespace Secret ConfigMap Pod Service ServiceAccount Endpoints Event",
    ("discovery.k8s.io", "v1"): "EndpointSlice",
    ("coordination.k8s.io", "v1"): "Lease",
    ("apiextensions.k8s.io", "v1"): "CustomResourceDefinition",
    ("rbac.authorization.k8s.io", "v1"): "Role RoleBinding ClusterRole ClusterRoleBinding",
    ("apps", "v1"): "Deployment StatefulSet",
    ("admissionregistration.k8s.io", "v1"): "ValidatingWebhookConfiguration MutatingWebhookConfiguration",
    ("networking.k8s.io", "v1"): "NetworkPolicy",
}
_SCALARS: Final[dict[str, dict[str, Any]]] = {
    "str": {"type": "string", "nullable": True},
    "int": {"type": "integer", "nullable": True},
    "num": {"type": "number", "nullable": True},
    "bool": {"type": "boolean", "nullable": True},
    "bytes": {"type": "string", "format": "byte", "nullable": True},
    "time": {"type": "string", "format": "date-time", "nullable": True},
    "intstr": {"x-kubernetes-int-or-string": True, "nullable": True},
    "quantity": {"x-kubernetes-int-or-string": True, "nullable": True},
}
_FIELD: Final = re.compile(
    r"(?P<name>[\w$-]+)(?P<required>!?)(?::(?P<always>\+?)(?P<pointer>\*?)(?P<type>[^%=@]+))?(?P<retain>%?)(?:=(?P<default>.+?))?(?P<atomic>@?)\Z"
)


class _Compiler:
    """The table, each type compiled once; types that contain themselves become cycles of nodes."""

    def __init__(self, table: str) -> None:
        lines = re.sub(r"\n\s+", " ", table.strip()).splitlines()
        self._lines = {line.split()[0].rstrip("@"): line.split() for line in lines}
        self.types: dict[str, Schema] = {"ObjectMeta": OBJECT_META}

    def named(self, name: str) -> Schema:
        if name in self.types:
            return self.types[name]
        head, *fields = self._lines[name]
        schema = Schema(
            name=name, type="object", atomic_map=head.endswith("@"), rules={"type": "object", "nullable": True}
        )
        self.types[name] = schema
        if fields == ["any"]:  # an object without fields of its own
            return schema
        for text in fields:
            self._field(schema, text)
        return schema

    def _field(self, schema: Schema, text: str) -> None:
        found = _FIELD.match(text)
        if found is None:
            raise ValueError(f"not a field: {text}")
        kind = found["type"] or "str"
        field = self._type(kind)
        if field is not DEDUCED:
            field = _own(field)
            field.pointer = bool(found["pointer"])
            if found["always"] or found["required"]:
                field.zero = None if field.pointer else _zero(kind)
            field.atomic_map = field.atomic_map or bool(found["atomic"])
            if found["retain"]:
                field.strategies = field.strategies | {"retainKeys"}
            if found["default"]:
                field.default_value = json.loads(found["default"])
        schema.properties[found["name"]] = field
        if found["required"]:
            schema.required = (*schema.required, found["name"])

    def _type(self, text: str) -> Schema:
        if text == "any":
            return DEDUCED
        if text in _SCALARS:
            rules = _SCALARS[text]
            return Schema(type=rules.get("type", ""), rules=rules)
        if text.startswith("{"):
            return struct_node("object", additional=self._type(text[1:-1]))
        if not text.startswith("["):
            return self.named(text)
        item, _, keys = text[1:-1].partition("|")
        schema = struct_node("array")
        if "~" in text:
            item, _, own = item.partition("~")
            keys, _, explicit = keys.partition("~")
            schema.strategies = frozenset({"merge"})
            schema.merge_key = explicit or own or keys
        if keys:
            schema.list_type = "set" if keys == "set" else "map"
            schema.list_keys = () if keys == "set" else tuple(keys.split(","))
        schema.items = self._type(item)
        return schema


def _zero(kind: str) -> Any:
    """What the server writes for a field that is always written and empty."""
    scalars = {"str": "", "int": 0, "num": 0, "bool": False, "intstr": 0, "quantity": "0"}
    return scalars[kind] if kind in scalars else {} if kind[0].isupper() else None


def _own(schema: Schema) -> Schema:
    """A copy that may differ from the type's other uses; what is below it stays shared."""
    return Schema(**{name: getattr(schema, name) for name in Schema.__slots__})


# ── defaults that depend on other fields ────────────────────────────────────────────────────────────


def _secret(obj: dict[str, Any]) -> None:
    texts = obj.pop("stringData", None)
    if isinstance(texts, dict) and texts:
        obj.setdefault("data", {}).update(
            {key: base64.b64encode(str(text).encode()).decode() for key, text in texts.items()}
        )


def _service(obj: dict[str, Any]) -> None:
    spec = obj["spec"]
    if spec.get("type") != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec.get("type") in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    for port in spec.get("ports") or ():
        port["targetPort"] = port.get("targetPort") or port.get("port")


def _pod(obj: dict[str, Any]) -> None:
    spec = obj["spec"]
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        _, _, tag = (container.get("image") or "").rpartition("/")[2].partition(":")
        always = not tag or tag == "latest"
        container.setdefault("imagePullPolicy", "Always" if always and "@" not in tag else "IfNotPresent")


def _workload(obj: dict[str, Any]) -> None:
    _pod(obj["spec"]["template"])


def _deployment(obj: dict[str, Any]) -> None:
    _workload(obj)
    strategy = obj["spec"]["strategy"]
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")


def _stateful_set(obj: dict[str, Any]) -> None:
    _workload(obj)
    strategy = obj["spec"]["updateStrategy"]
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)


def _binding(obj: dict[str, Any]) -> None:
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


def _definition(obj: dict[str, Any]) -> None:
    names = obj["spec"]["names"]
    if names.get("kind"):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", names["kind"] + "List")


def _policy(obj: dict[str, Any]) -> None:
    spec = obj["spec"]
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if spec.get("egress") is not None else ["Ingress"])


_FINISH: Final[dict[str, Callable[[dict[str, Any]], None]]] = {
    "Secret": _secret,
    "Service": _service,
    "Pod": _pod,
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "CustomResourceDefinition": _definition,
    "NetworkPolicy": _policy,
}


def _kinds() -> dict[tuple[str, str, str], Schema]:
    compiler, found = _Compiler(TYPES), {}
    for (group, version), kinds in _KINDS.items():
        for kind in kinds.split():
            schema = _own(compiler.named(kind))
            text = compiler._type("str")
            schema.properties = {"apiVersion": text, "kind": text, "metadata": _own(OBJECT_META), **schema.properties}
            schema.properties["metadata"].zero = {}
            schema.typed, schema.finish = True, _FINISH.get(kind)
            found[group, version, kind] = schema
    return found


BUILTIN: Final[dict[tuple[str, str, str], Schema]] = _kinds()
