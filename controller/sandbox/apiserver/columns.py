"""What ``kubectl get`` shows of the built-in kinds."""

from __future__ import annotations

from typing import Any, Final

from controller.sandbox.apiserver.kinds import Column
from controller.sandbox.apiserver.table import AGE

Json = dict[str, Any]


def _at(obj: Json, *path: str) -> Any:
    for key in path:
        obj = (obj or {}).get(key)  # type: ignore[assignment]  # ends in any JSON value
    return obj


def _ready_containers(pod: Json) -> str:
    statuses = _at(pod, "status", "containerStatuses") or []
    ready = sum(1 for status in statuses if status.get("ready"))
    return f"{ready}/{len(_at(pod, 'spec', 'containers') or [])}"


def _pod_status(pod: Json) -> str:
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    return _at(pod, "status", "reason") or _at(pod, "status", "phase") or "Unknown"


def _restarts(pod: Json) -> str:
    return str(sum(s.get("restartCount", 0) for s in _at(pod, "status", "containerStatuses") or []))


def _ports(service: Json) -> str:
    parts = [
        ":".join(str(port[key]) for key in ("port", "nodePort") if port.get(key)) + f"/{port.get('protocol', 'TCP')}"
        for port in _at(service, "spec", "ports") or []
    ]
    return ",".join(parts) or "<none>"


def _selector(labels: Json | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


def _some(items: list[Any], most: int = 3) -> str:
    shown = ",".join(str(item) for item in items[:most])
    return f"{shown} + {len(items) - most} more..." if len(items) > most else shown or "<unset>"


def _seen(event: Json) -> str | None:
    found: str | None = (
        _at(event, "series", "lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
    )
    return found


def _about(event: Json) -> str:
    return f"{str(_at(event, 'involvedObject', 'kind')).lower()}/{_at(event, 'involvedObject', 'name')}"


COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "namespaces": (Column("Status", lambda o: _at(o, "status", "phase")), AGE),
    "secrets": (
        Column("Type", lambda o: o.get("type")),
        Column("Data", lambda o: len(o.get("data") or {}), type="integer"),
        AGE,
    ),
    "configmaps": (
        Column("Data", lambda o: len(o.get("data") or {}) + len(o.get("binaryData") or {}), type="integer"),
        AGE,
    ),
    "pods": (
        Column("Ready", _ready_containers),
        Column("Status", _pod_status),
        Column("Restarts", _restarts),
        AGE,
        Column("IP", lambda o: _at(o, "status", "podIP") or "<none>", priority=1),
        Column("Node", lambda o: _at(o, "spec", "nodeName") or "<none>", priority=1),
        Column("Nominated Node", lambda o: _at(o, "status", "nominatedNodeName") or "<none>", priority=1),
        Column("Readiness Gates", lambda o: "<none>", priority=1),
    ),
    "services": (
        Column("Type", lambda o: _at(o, "spec", "type")),
        Column("Cluster-IP", lambda o: _at(o, "spec", "clusterIP") or "<none>"),
        Column("External-IP", lambda o: _at(o, "spec", "externalName") or "<none>"),
        Column("Port(s)", _ports),
        AGE,
        Column("Selector", lambda o: _selector(_at(o, "spec", "selector")), priority=1),
    ),
    "serviceaccounts": (AGE,),
    "events": (
        Column("Last Seen", _seen, type="date"),
        Column("Type", lambda o: o.get("type")),
        Column("Reason", lambda o: o.get("reason")),
        Column("Object", _about),
        Column("Subobject", lambda o: _at(o, "involvedObject", "fieldPath") or "", priority=1),
        Column("Source", lambda o: _at(o, "source", "component") or o.get("reportingComponent", ""), priority=1),
        Column("Message", lambda o: str(o.get("message", "")).strip()),
        Column("Count", lambda o: str(o.get("count", 1)), priority=1),
    ),
    "endpointslices": (
        Column("AddressType", lambda o: o.get("addressType")),
        Column("Ports", lambda o: _some([p.get("port", "*") for p in o.get("ports") or ()])),
        Column("Endpoints", lambda o: _some([a for e in o.get("endpoints") or () for a in e.get("addresses") or ()])),
        AGE,
    ),
    "leases": (Column("Holder", lambda o: _at(o, "spec", "holderIdentity") or ""), AGE),
    "customresourcedefinitions": (Column("Created At", lambda o: o["metadata"].get("creationTimestamp")),),
    "roles": (Column("Created At", lambda o: o["metadata"].get("creationTimestamp")),),
    "clusterroles": (Column("Created At", lambda o: o["metadata"].get("creationTimestamp")),),
    "rolebindings": (
        Column("Role", lambda o: f"{_at(o, 'roleRef', 'kind')}/{_at(o, 'roleRef', 'name')}"),
        AGE,
    ),
    "clusterrolebindings": (
        Column("Role", lambda o: f"{_at(o, 'roleRef', 'kind')}/{_at(o, 'roleRef', 'name')}"),
        AGE,
    ),
    "deployments": (
        Column("Ready", lambda o: f"{_at(o, 'status', 'readyReplicas') or 0}/{_at(o, 'spec', 'replicas') or 0}"),
        Column("Up-to-date", lambda o: _at(o, "status", "updatedReplicas") or 0, type="integer"),
        Column("Available", lambda o: _at(o, "status", "availableReplicas") or 0, type="integer"),
        AGE,
    ),
    "statefulsets": (
        Column("Ready", lambda o: f"{_at(o, 'status', 'readyReplicas') or 0}/{_at(o, 'spec', 'replicas') or 0}"),
        AGE,
    ),
    "validatingwebhookconfigurations": (
        Column("Webhooks", lambda o: len(o.get("webhooks") or ()), type="integer"),
        AGE,
    ),
    "mutatingwebhookconfigurations": (
        Column("Webhooks", lambda o: len(o.get("webhooks") or ()), type="integer"),
        AGE,
    ),
    "networkpolicies": (
        Column("Pod-Selector", lambda o: _selector(_at(o, "spec", "podSelector", "matchLabels"))),
        AGE,
    ),
}
