"""What is special about the built-in kinds that the controller relies on."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from controller.sandbox.apiserver.failures import (
    Fault,
    forbidden_field,
    invalid_value,
    required,
    too_long,
)
from controller.sandbox.apiserver.kinds import Context, Strategy
from controller.sandbox.apiserver.names import (
    label_errors,
    segment_errors,
)

Json = dict[str, Any]

SECRET_CAP: Final = 1024 * 1024  # bytes of all values together, of a Secret or ConfigMap
TOKEN_TYPE: Final = "kubernetes.io/service-account-token"  # noqa: S105 - a type, not a credential
SA_NAME: Final = "kubernetes.io/service-account.name"

_REQUIRED_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def _key_faults(field: str, key: str) -> list[Fault]:
    """Keys of Secrets and ConfigMaps are file names."""
    if (
        not key
        or len(key) > 253
        or key in (".", "..")
        or not all(c.isascii() and (c.isalnum() or c in "-._") for c in key)
    ):
        why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        return [invalid_value(f"{field}[{key}]", key, why)]
    return []


class Namespaces(Strategy):
    """Namespaces live until ``spec.finalizers`` is empty, and carry their name as a label."""

    name_rule = staticmethod(label_errors)
    returns_deleted = True
    field_labels = ("status.phase", "name")

    def prepare_create(self, obj: Json, context: Context) -> None:
        spec = obj.setdefault("spec", {})
        spec["finalizers"] = [*dict.fromkeys([*(spec.get("finalizers") or ()), "kubernetes"])]
        obj["status"] = {"phase": "Active"}
        self.default(obj, None)  # a generated name is known only now

    def prepare_update(self, obj: Json, old: Json, context: Context) -> None:
        obj["spec"] = old.get("spec") or {}  # changed through /finalize only

    def default(self, obj: Json, old: Json | None) -> None:
        labels = obj["metadata"].setdefault("labels", {})
        labels["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")

    def fields(self, obj: Json) -> Mapping[str, str]:
        return {"status.phase": (obj.get("status") or {}).get("phase", ""), "name": obj["metadata"]["name"]}


def _not_base64(obj: Json, field: str) -> list[Fault]:
    """Values that should be bytes; the value itself is never said."""
    found: list[Fault] = []
    for key, value in (obj.get(field) or {}).items():
        try:
            base64.b64decode(value or "", validate=True)
        except (binascii.Error, ValueError, TypeError):
            found.append(invalid_value(f"{field}[{key}]", "<redacted>", "illegal base64 data"))
    return found


class Secrets(Strategy):
    """Secrets: base64 data, a type that stays, and perhaps data that stays."""

    field_labels = ("type",)

    def unreadable(self, obj: Json) -> list[Fault]:
        return _not_base64(obj, "data")

    def default(self, obj: Json, old: Json | None) -> None:
        if not obj.get("type"):
            obj["type"] = (old or {}).get("type", "Opaque")
        given = obj.pop("stringData", None) or {}
        if given:
            data = obj["data"] = obj.get("data") or {}
            data |= {key: base64.b64encode(value.encode()).decode() for key, value in given.items()}

    def validate(self, obj: Json) -> list[Fault]:
        found: list[Fault] = []
        data = obj.get("data") or {}
        size = 0
        for key, value in data.items():
            found += _key_faults("data", key)
            size += len(base64.b64decode(value or ""))
        if size > SECRET_CAP:
            found.append(too_long("data", SECRET_CAP))
        for key in _REQUIRED_KEYS.get(obj.get("type", ""), ()):
            if key not in data:
                found.append(required(f"data[{key}]"))
        if obj.get("type") == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
            found += [required("data[username]"), required("data[password]")]
        annotations = obj["metadata"].get("annotations") or {}
        if obj.get("type") == TOKEN_TYPE and not annotations.get(SA_NAME):
            found.append(required(f"metadata.annotations[{SA_NAME}]"))
        return found

    def validate_update(self, obj: Json, old: Json) -> list[Fault]:
        found: list[Fault] = []
        if obj.get("type") != old.get("type"):
            found.append(invalid_value("type", obj.get("type"), "field is immutable"))
        return found + immutable_faults(obj, old, ("data",))

    def fields(self, obj: Json) -> Mapping[str, str]:
        return {"type": obj.get("type", "")}


def immutable_faults(obj: Json, old: Json, keys: tuple[str, ...]) -> list[Fault]:
    """What a Secret or ConfigMap with ``immutable: true`` refuses."""
    if not old.get("immutable"):
        return []
    why = "field is immutable when `immutable` is set"
    found: list[Fault] = []
    if not obj.get("immutable"):
        found.append(forbidden_field("immutable", why))
    return found + [forbidden_field(k, why) for k in keys if (obj.get(k) or {}) != (old.get(k) or {})]


class ConfigMaps(Strategy):
    """ConfigMaps: text and binary values under keys that are file names."""

    def unreadable(self, obj: Json) -> list[Fault]:
        return _not_base64(obj, "binaryData")

    def validate(self, obj: Json) -> list[Fault]:
        found: list[Fault] = []
        texts, binaries = obj.get("data") or {}, obj.get("binaryData") or {}
        size = sum(len(str(value).encode()) for value in texts.values())
        for key in texts:
            found += _key_faults("data", key)
            if key in binaries:
                found.append(invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData"))
        for key, value in binaries.items():
            found += _key_faults("binaryData", key)
            size += len(base64.b64decode(value or ""))
        if size > SECRET_CAP:
            found.append(too_long("", SECRET_CAP))
        return found

    def validate_update(self, obj: Json, old: Json) -> list[Fault]:
        return immutable_faults(obj, old, ("data", "binaryData"))


class ServiceAccounts(Strategy):
    """ServiceAccounts: PUT needs a resourceVersion, DELETE answers with the object."""

    unconditional_update = False
    returns_deleted = True


class Leases(Strategy):
    """Leases: PUT creates, and needs a resourceVersion to change."""

    unconditional_update = False
    create_on_update = True

    def validate(self, obj: Json) -> list[Fault]:
        spec = obj.get("spec") or {}
        found: list[Fault] = []
        seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if seconds is not None and seconds <= 0:
            found.append(invalid_value("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
        if transitions is not None and transitions < 0:
            found.append(invalid_value("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
        return found


class Events(Strategy):
    """Events: selectable by the object that they are about."""

    name_rule = staticmethod(segment_errors)
    create_on_update = True
    field_labels = (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    )

    def validate(self, obj: Json) -> list[Fault]:
        about = (obj.get("involvedObject") or {}).get("namespace", "")
        namespace = obj["metadata"].get("namespace", "")
        if about != namespace and (about or namespace != "default"):
            return [invalid_value("involvedObject.namespace", about, "does not match event.namespace")]
        return []

    def fields(self, obj: Json) -> Mapping[str, str]:
        about = obj.get("involvedObject") or {}
        found = {f"involvedObject.{key}": str(value) for key, value in about.items()}
        source = (obj.get("source") or {}).get("component", "")
        return found | {
            "reason": obj.get("reason", ""),
            "type": obj.get("type", ""),
            "source": source or obj.get("reportingComponent", ""),
            "reportingComponent": obj.get("reportingComponent", ""),
        }


class Rbac(Strategy):
    """Roles and bindings: names are path segments, and the roleRef of a binding stays."""

    name_rule = staticmethod(segment_errors)
    create_on_update = True

    def default(self, obj: Json, old: Json | None) -> None:
        for subject in obj.get("subjects") or ():
            if subject.get("kind") in ("User", "Group"):
                subject.setdefault("apiGroup", "rbac.authorization.k8s.io")
        if isinstance(obj.get("roleRef"), dict):
            obj["roleRef"].setdefault("apiGroup", "rbac.authorization.k8s.io")

    def validate_update(self, obj: Json, old: Json) -> list[Fault]:
        if obj.get("roleRef") != old.get("roleRef"):
            return [invalid_value("roleRef", obj.get("roleRef"), "cannot change roleRef")]
        return []


class Generational(Strategy):
    """Kinds of which only the generation is special."""

    has_generation = True


class Webhooks(Strategy):
    """Webhook configurations: a generation for their webhooks, and PUT needs a resourceVersion."""

    unconditional_update = False
    has_generation = True

    def generation_content(self, obj: Json) -> Any:
        return obj.get("webhooks")
