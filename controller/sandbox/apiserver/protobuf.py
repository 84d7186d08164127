"""The protobuf that kubectl sends for a few built-in kinds, read into JSON objects. Answers are always JSON.

The field numbers are those of the ``generated.proto`` files in k8s.io/api and k8s.io/apimachinery.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from controller.engine.clock import rfc3339

Json = dict[str, Any]
Fields = dict[int, tuple[str, Any]]  # number → name and type: a word, a message's fields, [type], or {value type}

MAGIC: Final = b"k8s\x00"

_META: Final[Fields] = {
    1: ("name", "string"),
    2: ("generateName", "string"),
    3: ("namespace", "string"),
    5: ("uid", "string"),
    6: ("resourceVersion", "string"),
    7: ("generation", "int"),
    8: ("creationTimestamp", "time"),
    9: ("deletionTimestamp", "time"),
    10: ("deletionGracePeriodSeconds", "int"),
    11: ("labels", {"string"}),
    12: ("annotations", {"string"}),
    13: (
        "ownerReferences",
        [
            {
                1: ("kind", "string"),
                3: ("name", "string"),
                4: ("uid", "string"),
                5: ("apiVersion", "string"),
                6: ("controller", "bool"),
                7: ("blockOwnerDeletion", "bool"),
            }
        ],
    ),
    14: ("finalizers", ["string"]),
}
_REFERENCE: Final[Fields] = {
    1: ("kind", "string"),
    2: ("namespace", "string"),
    3: ("name", "string"),
    4: ("uid", "string"),
    5: ("apiVersion", "string"),
    6: ("resourceVersion", "string"),
    7: ("fieldPath", "string"),
}
_RULES: Final[Any] = [
    {
        1: ("verbs", ["string"]),
        2: ("apiGroups", ["string"]),
        3: ("resources", ["string"]),
        4: ("resourceNames", ["string"]),
        5: ("nonResourceURLs", ["string"]),
    }
]
_BINDING: Final[Fields] = {
    1: ("metadata", _META),
    2: (
        "subjects",
        [{1: ("kind", "string"), 2: ("apiGroup", "string"), 3: ("name", "string"), 4: ("namespace", "string")}],
    ),
    3: ("roleRef", {1: ("apiGroup", "string"), 2: ("kind", "string"), 3: ("name", "string")}),
}
_SERVICE_SPEC: Final[Fields] = {
    1: (
        "ports",
        [
            {
                1: ("name", "string"),
                2: ("protocol", "string"),
                3: ("port", "int"),
                4: ("targetPort", "int-or-string"),
                5: ("nodePort", "int"),
                6: ("appProtocol", "string"),
            }
        ],
    ),
    2: ("selector", {"string"}),
    3: ("clusterIP", "string"),
    4: ("type", "string"),
    5: ("externalIPs", ["string"]),
    7: ("sessionAffinity", "string"),
    10: ("externalName", "string"),
    11: ("externalTrafficPolicy", "string"),
    13: ("publishNotReadyAddresses", "bool"),
    17: ("ipFamilyPolicy", "string"),
    18: ("clusterIPs", ["string"]),
    19: ("ipFamilies", ["string"]),
    22: ("internalTrafficPolicy", "string"),
}
_ROLE: Final[Fields] = {1: ("metadata", _META), 2: ("rules", _RULES)}
_MESSAGES: Final[dict[str, Fields]] = {
    "Namespace": {1: ("metadata", _META), 2: ("spec", {1: ("finalizers", ["string"])})},
    "Secret": {
        1: ("metadata", _META),
        2: ("data", {"bytes"}),
        3: ("type", "string"),
        4: ("stringData", {"string"}),
        5: ("immutable", "bool"),
    },
    "ConfigMap": {
        1: ("metadata", _META),
        2: ("data", {"string"}),
        3: ("binaryData", {"bytes"}),
        4: ("immutable", "bool"),
    },
    "ServiceAccount": {
        1: ("metadata", _META),
        2: ("secrets", [_REFERENCE]),
        3: ("imagePullSecrets", [{1: ("name", "string")}]),
        4: ("automountServiceAccountToken", "bool"),
    },
    "Service": {1: ("metadata", _META), 2: ("spec", _SERVICE_SPEC)},
    "Role": _ROLE,
    "ClusterRole": _ROLE,
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "TokenRequest": {
        1: ("metadata", _META),
        2: (
            "spec",
            {
                1: ("audiences", ["string"]),
                3: (
                    "boundObjectRef",
                    {1: ("kind", "string"), 2: ("apiVersion", "string"), 3: ("name", "string"), 4: ("uid", "string")},
                ),
                4: ("expirationSeconds", "int"),
            },
        ),
    },
    "SelfSubjectReview": {1: ("metadata", _META)},
    "SelfSubjectAccessReview": {
        1: ("metadata", _META),
        2: (
            "spec",
            {
                1: (
                    "resourceAttributes",
                    {
                        1: ("namespace", "string"),
                        2: ("verb", "string"),
                        3: ("group", "string"),
                        4: ("version", "string"),
                        5: ("resource", "string"),
                        6: ("subresource", "string"),
                        7: ("name", "string"),
                    },
                ),
                2: ("nonResourceAttributes", {1: ("path", "string"), 2: ("verb", "string")}),
            },
        ),
    },
    "SelfSubjectRulesReview": {1: ("metadata", _META), 2: ("spec", {1: ("namespace", "string")})},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", {1: ("uid", "string"), 2: ("resourceVersion", "string")}),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "string"),
        5: ("dryRun", ["string"]),
    },
}


def read(body: bytes) -> Json | None:
    """The object in a body; None for a kind that is not known here. Raises ``ValueError`` for what is no protobuf."""
    if not body.startswith(MAGIC):
        raise ValueError("the magic number is missing")
    envelope = _message(
        body[len(MAGIC) :], {1: ("type", {1: ("apiVersion", "string"), 2: ("kind", "string")}), 2: ("raw", "raw")}
    )
    head = envelope.get("type") or {}
    fields = _MESSAGES.get(head.get("kind", ""))
    return None if fields is None else {**head, **_message(envelope.get("raw", b""), fields)}


def _message(raw: bytes, fields: Fields) -> Json:
    found: Json = {}
    for number, value in _wire(raw):
        if number not in fields:
            continue
        name, kind = fields[number]
        if isinstance(kind, list):
            found.setdefault(name, []).append(_value(value, kind[0]))
        elif isinstance(kind, set):
            (of,) = kind
            entry = _message(_bytes(value), {1: ("key", "string"), 2: ("value", of)})
            found.setdefault(name, {})[entry.get("key", "")] = entry.get("value", "")
        else:
            read_value = _value(value, kind)
            if read_value is not None and read_value != "":
                found[name] = read_value
    return found


def _value(value: int | bytes, kind: Any) -> Any:
    if isinstance(kind, dict):
        return _message(_bytes(value), kind)
    match kind:
        case "int":
            return _int(value)
        case "bool":
            return bool(value)
        case "string":
            return _bytes(value).decode()
        case "raw":
            return _bytes(value)
        case "bytes":
            return base64.b64encode(_bytes(value)).decode()
        case "time":
            seconds = _message(_bytes(value), {1: ("seconds", "int")}).get("seconds")
            return rfc3339(datetime.fromtimestamp(seconds, UTC)) if seconds else None
        case _:  # int-or-string
            either = _message(_bytes(value), {1: ("type", "int"), 2: ("number", "int"), 3: ("text", "string")})
            return either.get("text", "") if either.get("type") else either.get("number", 0) or None


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes were expected")
    return value


def _int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ValueError("bytes where a number was expected")
    return value - (1 << 64) if value >= 1 << 63 else value


def _wire(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values: varints and fixed numbers as int, the rest as bytes."""
    position = 0
    while position < len(raw):
        tag, position = _varint(raw, position)
        match tag & 7:
            case 0:
                number, position = _varint(raw, position)
                yield tag >> 3, number
            case 2:
                size, position = _varint(raw, position)
                if position + size > len(raw):
                    raise ValueError("cut short")
                yield tag >> 3, raw[position : position + size]
                position += size
            case 1 | 5 as fixed:
                size = 8 if fixed == 1 else 4
                yield tag >> 3, int.from_bytes(raw[position : position + size], "little")
                position += size
            case other:
                raise ValueError(f"wire type {other}")


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(raw) or shift > 63:
            raise ValueError("a number is cut short")
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
