"""A kind with every sort of field, and short ways to write it and to ask who owns what."""

from __future__ import annotations

import copy
from typing import Any

from controller.sandbox.apiserver.apply import apply, track_update
from controller.sandbox.apiserver.fieldset import FieldSet, describe
from controller.sandbox.apiserver.schema import Schema, compile_schema

Json = dict[str, Any]
TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "integer"}
VERSION = "example.com/v1"
THEN, NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"


def keyed(*keys: str, **properties: Json) -> Json:
    return {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": list(keys),
        "items": {"type": "object", "properties": properties},
    }


THING = compile_schema(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": NUMBER,
                    "name": TEXT,
                    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT},
                    "list": keyed("name", name=TEXT, value=TEXT, other=TEXT),
                    "ports": keyed("port", "protocol", port=NUMBER, protocol={**TEXT, "default": "TCP"}, name=TEXT),
                    "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": TEXT},
                    "row": {"type": "array", "items": NUMBER},
                    "words": {"type": "object", "additionalProperties": TEXT},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "nested": {"type": "object", "properties": {"a": NUMBER, "b": NUMBER}},
                },
            },
            "status": {"type": "object", "properties": {"phase": TEXT}},
        },
    }
)


def thing(spec: Json | None = None, status: Json | None = None, **metadata: Any) -> Json:
    obj: Json = {"apiVersion": VERSION, "kind": "Thing", "metadata": {"name": "x", **metadata}}
    if spec is not None:
        obj["spec"] = spec
    if status is not None:
        obj["status"] = status
    return obj


def applied(
    live: Json | None,
    obj: Json,
    manager: str = "alice",
    *,
    force: bool = False,
    schema: Schema | None = THING,
    now: str = NOW,
    **rest: Any,
) -> Json:
    found = apply(
        live, obj, manager=manager, force=force, schema=schema, api_version=obj["apiVersion"], now=now, **rest
    )
    found["metadata"].setdefault("uid", "1")
    return found


def updated(
    live: Json | None,
    obj: Json,
    manager: str = "bob",
    *,
    schema: Schema | None = THING,
    now: str = NOW,
    entries: Any = "stored",
    **rest: Any,
) -> Json:
    new = copy.deepcopy(obj)
    if live is not None:
        new["metadata"]["uid"] = "1"
        if entries == "stored" and "managedFields" in live["metadata"]:
            new["metadata"]["managedFields"] = copy.deepcopy(live["metadata"]["managedFields"])
    if entries != "stored":
        new["metadata"]["managedFields"] = entries
    track_update(live, new, manager=manager, schema=schema, api_version=obj["apiVersion"], now=now, **rest)
    new["metadata"].setdefault("uid", "1")
    return new


def owned(obj: Json) -> dict[str, list[str]]:
    """The paths of each entry, in conflict words, by ``manager/operation[/subresource]``."""
    return {
        "/".join(filter(None, (e.get("manager"), e["operation"], e.get("subresource")))): [
            describe(path) for path in FieldSet.from_json(e["fieldsV1"]).paths()
        ]
        for e in obj["metadata"].get("managedFields", [])
    }


def times(obj: Json) -> dict[str, str]:
    return {e["manager"]: e.get("time", "") for e in obj["metadata"].get("managedFields", [])}
