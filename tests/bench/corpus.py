"""Custom resources of 6 KB as an API server writes them, built before anything is measured."""

from __future__ import annotations

import json
from typing import Any, Final

from controller.kube.resources import Resource

GROUP: Final = "bench.example.com"
VERSION: Final = "v1"
SIZE: Final = 6144  # bytes of one object
NAMES: Final = 1000  # different objects in a stream of changes
FIRST_VERSION: Final = 1_000_000_000  # resourceVersions of one width, so that every object has the same size

SINGLE: Final = "widget-0000001"  # the object that calls are about

_NAME, _VERSION = b"widget-0000000", b'"0000000001"'


def resource(plural: str) -> Resource:
    """What to ask the generator for: its plural says which stream, list or object."""
    return Resource(GROUP, VERSION, "Widget", plural)


def _template() -> bytes:
    """One object of ``SIZE`` bytes, shaped as a CassandraDatacenter that runs: a third of it is managedFields."""
    obj = _object()
    nodes: dict[str, Any] = obj["status"]["nodeStatuses"]
    while len(_encode(obj)) < SIZE - 400:
        number = len(nodes)
        nodes[f"demo-dc1-default-sts-{number}"] = {
            "hostID": f"a0eebc99-9c0b-4ef8-bb6d-{number:012d}",
            "ip": f"10.0.0.{number}",
            "rack": "default",
        }
    obj["metadata"]["annotations"]["note"] = ""
    obj["metadata"]["annotations"]["note"] = "x" * (SIZE - len(_encode(obj)))
    return _encode(obj)


def _object() -> dict[str, Any]:
    keys = ("spec", "status", "conditions", "config", "networking", "racks", "resources", "size", "storageConfig")
    fields = {f"f:{key}": {".": {}, **{f"f:field{n}": {} for n in range(8)}} for key in keys}
    condition = {"lastTransitionTime": "2026-11-23T10:00:00Z", "message": "", "reason": "", "status": "True"}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Widget",
        "metadata": {
            "annotations": {"k8ssandra.io/resource-hash": "v1:" + "0" * 64},
            "creationTimestamp": "2026-11-23T10:00:00Z",
            "finalizers": ["finalizer.cassandra.datastax.com"],
            "generation": 3,
            "labels": {
                "app.kubernetes.io/name": "k8ssandra-operator",
                "app.kubernetes.io/part-of": "k8ssandra",
                "k8ssandra.io/cluster-name": "demo",
                "k8ssandra.io/cluster-namespace": "default",
            },
            "managedFields": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": fields,
                    "manager": "k8ssandra-controller",
                    "operation": "Apply",
                    "time": "2026-11-23T10:00:00Z",
                }
            ],
            "name": _NAME.decode(),
            "namespace": "default",
            "resourceVersion": _VERSION.decode().strip('"'),
            "uid": "6d29e6a8-0000-4000-8000-" + "0" * 12,
        },
        "spec": {
            "clusterName": "demo",
            "config": {
                "cassandra-yaml": {"num_tokens": 16, "authenticator": "PasswordAuthenticator"},
                "jvm-server-options": {"initial_heap_size": 512000000, "max_heap_size": 512000000},
            },
            "networking": {"hostNetwork": False},
            "racks": [{"name": f"rack{n}", "nodeAffinityLabels": {"zone": f"zone-{n}"}} for n in range(3)],
            "serverType": "cassandra",
            "serverVersion": "4.0.1",
            "size": 3,
            "storageConfig": {
                "cassandraDataVolumeClaimSpec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "5Gi"}},
                    "storageClassName": "standard",
                }
            },
        },
        "status": {
            "cassandraOperatorProgress": "Ready",
            "conditions": [
                {**condition, "type": kind} for kind in ("Healthy", "Initialized", "Ready", "Stopped", "Updating")
            ],
            "nodeStatuses": {},
            "observedGeneration": 3,
        },
    }


def _encode(obj: Any) -> bytes:
    return json.dumps(obj, separators=(",", ":"), sort_keys=True).encode()


_TEMPLATE: Final = _template()
assert len(_TEMPLATE) == SIZE


def widget(number: int, version: int) -> bytes:
    """Object ``number`` at resourceVersion ``version`` (ten digits) as JSON."""
    raw = _TEMPLATE.replace(_NAME, b"widget-%07d" % number).replace(_VERSION, b'"%010d"' % version)
    return raw.replace(b"-8000-000000000000", b"-8000-%012d" % number)


def event(kind: str, raw: bytes) -> bytes:
    """A line of a watch, with its newline."""
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), raw)


def bookmark(version: int, *, end: bool) -> bytes:
    """A bookmark; ``end``: the one that ends a streaming list."""
    metadata: dict[str, Any] = {"resourceVersion": str(version), "creationTimestamp": None}
    if end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return event("BOOKMARK", _encode({"apiVersion": f"{GROUP}/{VERSION}", "kind": "Widget", "metadata": metadata}))


def page(first: int, count: int, total: int) -> bytes:
    """The objects ``first``… of a list of ``total``."""
    end = min(first + count, total)
    metadata: dict[str, str] = {"resourceVersion": str(FIRST_VERSION + total)}
    if end < total:
        metadata["continue"] = str(end)
    head = b'{"apiVersion":"%s/%s","kind":"WidgetList","metadata":%s,"items":[' % (
        GROUP.encode(),
        VERSION.encode(),
        _encode(metadata),
    )
    return head + b",".join(widget(n, FIRST_VERSION + n) for n in range(first, end)) + b"]}"
