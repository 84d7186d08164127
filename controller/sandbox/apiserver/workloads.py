"""What is special about pods, workloads, and the ways to reach them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

from controller.sandbox.apiserver.failures import (
    Fault,
    duplicate,
    forbidden_field,
    invalid_value,
    required,
    too_many,
    unsupported,
)
from controller.sandbox.apiserver.kinds import Context, Strategy
from controller.sandbox.apiserver.names import label_1035_errors, label_errors, subdomain_errors

Json = dict[str, Any]


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

    def default(self, obj: Json, old: Json | None) -> None:
        spec = obj.setdefault("spec", {})
        before = (old or {}).get("spec") or {}
        for key in before.keys() - spec.keys():
            spec[key] = before[key]  # what the server filled in comes back
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

    def prepare_create(self, obj: Json, context: Context) -> None:
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
        context.allocate(obj, None)

    def prepare_update(self, obj: Json, old: Json, context: Context) -> None:
        context.allocate(obj, old)

    def default(self, obj: Json, old: Json | None) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        if spec["type"] != "ExternalName":
            spec.setdefault("internalTrafficPolicy", "Cluster")
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))

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
                found.append(duplicate(f"{field}.name", port["name"]))
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


class EndpointSlices(Strategy):
    """EndpointSlices: one family of canonical addresses."""

    has_generation = True

    def generation_content(self, obj: Json) -> Any:
        body = {k: v for k, v in obj.items() if k != "metadata"}
        return body, obj["metadata"].get("labels") or {}

    def default(self, obj: Json, old: Json | None) -> None:
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
                found.append(duplicate(f"ports[{index}].name", name))
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

    def default(self, obj: Json, old: Json | None) -> None:
        obj.setdefault("spec", {}).setdefault("replicas", 1)

    def prepare_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {}

    def validate_update(self, obj: Json, old: Json) -> list[Fault]:
        new, before = (obj.get("spec") or {}).get("selector"), (old.get("spec") or {}).get("selector")
        return [] if new == before else [invalid_value("spec.selector", new, "field is immutable")]
