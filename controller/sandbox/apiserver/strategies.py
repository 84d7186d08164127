"""What is special about the built-in kinds that the controller relies on."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from typing import Any, Final

from controller.sandbox.apiserver.failures import (
    Fault,
    forbidden_field,
    invalid_value,
    required,
    too_long,
    too_many,
    unsupported,
)
from controller.sandbox.apiserver.kinds import Context, Strategy
from controller.sandbox.apiserver.names import (
    label_1035_errors,
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
        self._label(obj)

    def prepare_update(self, obj: Json, old: Json, context: Context) -> None:
        obj["spec"] = old.get("spec") or {}  # changed through /finalize only
        self._label(obj)

    @staticmethod
    def _label(obj: Json) -> None:
        labels = obj["metadata"].setdefault("labels", {})
        labels["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")

    def fields(self, obj: Json) -> Mapping[str, str]:
        return {"status.phase": (obj.get("status") or {}).get("phase", ""), "name": obj["metadata"]["name"]}


class Secrets(Strategy):
    """Secrets: base64 data, a type that stays, and perhaps data that stays."""

    field_labels = ("type",)

    def prepare_create(self, obj: Json, context: Context) -> None:
        self.prepare_update(obj, {}, context)

    def prepare_update(self, obj: Json, old: Json, context: Context) -> None:
        if not obj.get("type"):
            obj["type"] = old.get("type", "Opaque")
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
            try:
                size += len(base64.b64decode(value or "", validate=True))
            except (binascii.Error, ValueError, TypeError):
                found.append(invalid_value(f"data[{key}]", "<redacted>", "illegal base64 data"))
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
            try:
                size += len(base64.b64decode(value, validate=True))
            except (binascii.Error, ValueError, TypeError):
                found.append(invalid_value(f"binaryData[{key}]", "<redacted>", "illegal base64 data"))
        if size > SECRET_CAP:
            found.append(too_long("", SECRET_CAP))
        return found

    def validate_update(self, obj: Json, old: Json) -> list[Fault]:
        return immutable_faults(obj, old, ("data", "binaryData"))


class ServiceAccounts(Strategy):
    """ServiceAccounts: PUT needs a resourceVersion, DELETE answers with the object."""

    unconditional_update = False
    returns_deleted = True


class Pods(Strategy):
    """Pods: pending at first, and hardly changeable."""

    returns_deleted = True
    has_generation = True
    field_labels = (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    )

    def prepare_create(self, obj: Json, context: Context) -> None:
        spec = obj.setdefault("spec", {})
        defaults = {
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "serviceAccount": spec.get("serviceAccountName", "default"),
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "enableServiceLinks": True,
        }
        for key, value in defaults.items():
            spec.setdefault(key, value)
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            self._default_container(container)
        obj["status"] = {"phase": "Pending", "qosClass": "BestEffort"}

    @staticmethod
    def _default_container(container: Json) -> None:
        image = container.get("image", "")
        pull = "Always" if image.endswith(":latest") or ":" not in image.rpartition("/")[2] else "IfNotPresent"
        defaults = {
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "imagePullPolicy": pull,
        }
        for key, value in defaults.items():
            container.setdefault(key, value)
        for port in container.get("ports") or ():
            port.setdefault("protocol", "TCP")

    def prepare_update(self, obj: Json, old: Json, context: Context) -> None:
        spec, before = obj.setdefault("spec", {}), old.get("spec") or {}
        for key in before.keys() - spec.keys():
            spec[key] = before[key]  # what the server defaulted comes back
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            self._default_container(container)

    def validate(self, obj: Json) -> list[Fault]:
        containers = (obj.get("spec") or {}).get("containers")
        if not containers:
            return [required("spec.containers")]
        found: list[Fault] = []
        for index, container in enumerate(containers):
            field = f"spec.containers[{index}]"
            name = container.get("name", "")
            found += (
                [invalid_value(f"{field}.name", name, why) for why in label_errors(name)]
                if name
                else [required(f"{field}.name")]
            )
            if not container.get("image"):
                found.append(required(f"{field}.image"))
        return found

    def validate_update(self, obj: Json, old: Json) -> list[Fault]:
        if _frozen_pod_spec(obj) == _frozen_pod_spec(old):
            return []
        why = (
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        )
        return [forbidden_field("spec", why)]

    def fields(self, obj: Json) -> Mapping[str, str]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        return {
            "spec.nodeName": spec.get("nodeName", ""),
            "spec.restartPolicy": spec.get("restartPolicy", ""),
            "spec.schedulerName": spec.get("schedulerName", ""),
            "spec.serviceAccountName": spec.get("serviceAccountName", ""),
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": status.get("phase", ""),
            "status.podIP": status.get("podIP", ""),
            "status.nominatedNodeName": status.get("nominatedNodeName", ""),
        }


def _frozen_pod_spec(obj: Json) -> Json:
    """The part of a pod's spec that stays as it was created."""
    spec = {k: v for k, v in (obj.get("spec") or {}).items() if k not in ("activeDeadlineSeconds", "tolerations")}
    for key in ("containers", "initContainers"):
        if key in spec:
            spec[key] = [{k: v for k, v in c.items() if k != "image"} for c in spec[key] or ()]
    return spec


class Services(Strategy):
    """Services: cluster IPs, and ports with names where there are several."""

    name_rule = staticmethod(label_1035_errors)
    returns_deleted = True
    field_labels = ("spec.clusterIP", "spec.type")

    def prepare_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {"loadBalancer": {}}
        self.prepare_update(obj, None, context)

    def prepare_update(self, obj: Json, old: Json | None, context: Context) -> None:
        for port in (obj.get("spec") or {}).get("ports") or ():
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))
        context.allocate(obj, old)

    def validate(self, obj: Json) -> list[Fault]:
        spec = obj.get("spec") or {}
        found: list[Fault] = []
        types = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
        if spec.get("type") not in types:
            found.append(unsupported("spec.type", spec.get("type"), types))
        ports = spec.get("ports") or []
        if not ports and spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName":
            found.append(required("spec.ports"))
        names = set()
        for index, port in enumerate(ports):
            field = f"spec.ports[{index}]"
            if len(ports) > 1 and not port.get("name"):
                found.append(required(f"{field}.name"))
            if port.get("name") in names and port.get("name"):
                found.append(Duplicate(f"{field}.name", port["name"]))
            names.add(port.get("name"))
            if not isinstance(port.get("port"), int) or not 1 <= port["port"] <= 65535:
                found.append(invalid_value(f"{field}.port", port.get("port"), "must be between 1 and 65535, inclusive"))
        return found

    def validate_update(self, obj: Json, old: Json) -> list[Fault]:
        new, before = (obj.get("spec") or {}), (old.get("spec") or {})
        external = "ExternalName" in (new.get("type"), before.get("type"))
        if before.get("clusterIP") and new.get("clusterIP") != before["clusterIP"] and not external:
            return [invalid_value("spec.clusterIPs[0]", [new.get("clusterIP")], "may not change once set")]
        return []

    def fields(self, obj: Json) -> Mapping[str, str]:
        spec = obj.get("spec") or {}
        return {"spec.clusterIP": spec.get("clusterIP", ""), "spec.type": spec.get("type", "")}


def Duplicate(field: str, value: object) -> Fault:
    from controller.sandbox.apiserver.failures import duplicate

    return duplicate(field, value)


class EndpointSlices(Strategy):
    """EndpointSlices: one family of canonical addresses."""

    has_generation = True

    def generation_content(self, obj: Json) -> Any:
        body = {k: v for k, v in obj.items() if k != "metadata"}
        return body, obj["metadata"].get("labels") or {}

    def prepare_create(self, obj: Json, context: Context) -> None:
        self._default(obj)

    def prepare_update(self, obj: Json, old: Json, context: Context) -> None:
        self._default(obj)

    @staticmethod
    def _default(obj: Json) -> None:
        if obj.get("endpoints") is None:
            obj["endpoints"] = []
        for port in obj.get("ports") or ():
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")

    def validate(self, obj: Json) -> list[Fault]:
        families = ("FQDN", "IPv4", "IPv6")
        family = obj.get("addressType", "")
        if family not in families:
            return [unsupported("addressType", family, families)] if family else [required("addressType")]
        found: list[Fault] = []
        endpoints = obj.get("endpoints") or []
        if len(endpoints) > 1000:
            found.append(too_many("endpoints", len(endpoints), 1000))
        for index, endpoint in enumerate(endpoints):
            field = f"endpoints[{index}].addresses"
            addresses = endpoint.get("addresses") or []
            if not addresses:
                found.append(required(field, "must contain at least 1 address"))
            elif len(addresses) > 100:
                found.append(too_many(field, len(addresses), 100))
            for position, address in enumerate(addresses):
                found += _address_faults(f"{field}[{position}]", address, family)
            if endpoint.get("hostname"):
                why_not = label_errors(endpoint["hostname"])
                found += [invalid_value(f"endpoints[{index}].hostname", endpoint["hostname"], why) for why in why_not]
        ports = obj.get("ports") or []
        if len(ports) > 20_000:
            found.append(too_many("ports", len(ports), 20_000))
        names: set[str] = set()
        for index, port in enumerate(ports):
            name = port.get("name", "")
            if name in names:
                found.append(Duplicate(f"ports[{index}].name", name))
            names.add(name)
            if name and label_errors(name):
                found.append(invalid_value(f"ports[{index}].name", name, label_errors(name)[0]))
        return found

    def validate_update(self, obj: Json, old: Json) -> list[Fault]:
        if obj.get("addressType") != old.get("addressType"):
            return [invalid_value("addressType", obj.get("addressType"), "field is immutable")]
        return []


def _address_faults(field: str, address: Any, family: str) -> list[Fault]:
    if family == "FQDN":
        from controller.sandbox.apiserver.names import subdomain_errors

        return [invalid_value(field, address, why) for why in subdomain_errors(str(address))]
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return [invalid_value(field, address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    found: list[Fault] = []
    if str(parsed) != address:
        why = f'must be in canonical form ("{parsed}")'
        found.append(invalid_value(field, address, why))
    if f"IPv{parsed.version}" != family:
        found.append(invalid_value(field, address, f"must be a valid {family} address"))
    if parsed.is_unspecified:
        found.append(invalid_value(field, address, f"may not be unspecified ({parsed})"))
    if parsed.is_loopback:
        found.append(invalid_value(field, address, "may not be in the loopback range"))
    if parsed.is_link_local:
        found.append(invalid_value(field, address, "may not be in the link-local range"))
    if parsed.is_multicast and parsed in _LINK_LOCAL_MULTICAST[parsed.version]:
        found.append(invalid_value(field, address, "may not be in the link-local multicast range"))
    return found


_LINK_LOCAL_MULTICAST: Final[Mapping[int, Any]] = {
    4: ipaddress.ip_network("224.0.0.0/24"),
    6: ipaddress.ip_network("ff02::/16"),
}


class Leases(Strategy):
    """Leases: PUT creates, and needs a resourceVersion to change."""

    unconditional_update = False
    create_on_update = True


class Events(Strategy):
    """Events: selectable by the object that they are about."""

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

    def prepare_create(self, obj: Json, context: Context) -> None:
        for subject in obj.get("subjects") or ():
            if subject.get("kind") in ("User", "Group"):
                subject.setdefault("apiGroup", "rbac.authorization.k8s.io")
        if isinstance(obj.get("roleRef"), dict):
            obj["roleRef"].setdefault("apiGroup", "rbac.authorization.k8s.io")

    def prepare_update(self, obj: Json, old: Json, context: Context) -> None:
        self.prepare_create(obj, context)

    def validate_update(self, obj: Json, old: Json) -> list[Fault]:
        if obj.get("roleRef") != old.get("roleRef"):
            return [invalid_value("roleRef", obj.get("roleRef"), "cannot change roleRef")]
        return []


class Workloads(Strategy):
    """Deployments and StatefulSets: stored, never acted upon."""

    has_generation = True

    def validate(self, obj: Json) -> list[Fault]:
        spec = obj.get("spec") or {}
        found: list[Fault] = []
        selector = spec.get("selector")
        if not selector:
            return [required("spec.selector")]
        labels = (((spec.get("template") or {}).get("metadata")) or {}).get("labels") or {}
        wanted = selector.get("matchLabels") or {}
        if any(labels.get(key) != value for key, value in wanted.items()):
            found.append(
                invalid_value("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
            )
        return found

    def prepare_create(self, obj: Json, context: Context) -> None:
        obj.setdefault("spec", {}).setdefault("replicas", 1)
        obj["status"] = {}

    def validate_update(self, obj: Json, old: Json) -> list[Fault]:
        new, before = (obj.get("spec") or {}).get("selector"), (old.get("spec") or {}).get("selector")
        return [] if new == before else [invalid_value("spec.selector", new, "field is immutable")]


class Generational(Strategy):
    """Kinds of which only the generation is special."""

    has_generation = True


class Webhooks(Strategy):
    """Webhook configurations: a generation for their webhooks, and PUT needs a resourceVersion."""

    unconditional_update = False
    has_generation = True

    def generation_content(self, obj: Json) -> Any:
        return obj.get("webhooks")
