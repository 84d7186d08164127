"""``metadata.managedFields``: who applied or updated which fields of an object, and when."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec

from controller.sandbox.apiserver.fieldset import FieldSet, canonical

MAX_UPDATERS: Final = 10  # Update entries of one object; older ones are merged
ANCIENT: Final = "ancient-changes"  # the manager of merged old entries


class Identity(msgspec.Struct, frozen=True):
    """What tells two entries apart. ``api_version`` is "" for an applier: it has one entry for all versions."""

    manager: str
    operation: str
    api_version: str = ""
    subresource: str = ""

    @classmethod
    def of(cls, manager: str, operation: str, api_version: str, subresource: str = "") -> Identity:
        return cls(manager or "unknown", operation, "" if operation == "Apply" else api_version, subresource)

    def __str__(self) -> str:
        """How conflicts name the manager: ``"kubectl" with subresource "status" using v1``."""
        text = json.dumps(self.manager, ensure_ascii=False)
        if self.subresource:
            text += f" with subresource {json.dumps(self.subresource, ensure_ascii=False)}"
        return f"{text} using {self.api_version}" if self.operation == "Update" else text

    def order(self) -> str:
        """The server sorts identities by their JSON."""
        fields = (
            ("manager", self.manager),
            ("operation", self.operation),
            ("apiVersion", self.api_version),
            ("subresource", self.subresource),
        )
        return "{" + ",".join(f'"{name}":{canonical(value)}' for name, value in fields if value) + "}"


class Entry:
    """The fields of one identity, the version they are named in, and when they last changed (RFC 3339, "" unknown)."""

    __slots__ = ("api_version", "fields", "time")

    def __init__(self, fields: FieldSet, api_version: str, time: str = "") -> None:
        self.fields, self.api_version, self.time = fields, api_version, time


Managed = dict[Identity, Entry]


def decode(entries: Any) -> Managed:
    """Entries as they travel; raises ``ValueError`` saying what is wrong with them."""
    found: Managed = {}
    for index, entry in enumerate(entries or ()):
        if not isinstance(entry, dict):
            raise ValueError("an entry of managedFields is not an object")
        operation, version = entry.get("operation"), entry.get("apiVersion")
        if operation not in ("Apply", "Update"):
            raise ValueError("operation must be `Apply` or `Update`")
        if not version:
            raise ValueError("apiVersion must not be empty")
        kind = entry.get("fieldsType") or ""
        if kind != "FieldsV1":
            problem = f'invalid fieldsType "{kind}"' if kind else "missing fieldsType"
            raise ValueError(f"{problem} in managed fields entry {index}")
        identity = Identity(
            entry.get("manager") or "",
            operation,
            "" if operation == "Apply" else version,
            entry.get("subresource") or "",
        )
        fields = FieldSet.from_json(entry.get("fieldsV1") or {})
        found[identity] = Entry(fields, version, entry.get("time") or "")
    return found


def encode(managed: Managed) -> list[dict[str, Any]]:
    """Entries as they travel, in the server's order: appliers first, then by time and name."""

    def order(item: tuple[Identity, Entry]) -> tuple[str, ...]:
        identity, entry = item
        return (identity.operation, entry.time, identity.manager, entry.api_version, identity.subresource)

    found = []
    for identity, entry in sorted(managed.items(), key=order):
        encoded: dict[str, Any] = {"manager": identity.manager} if identity.manager else {}
        encoded |= {"operation": identity.operation, "apiVersion": entry.api_version}
        if entry.time:
            encoded["time"] = entry.time
        encoded |= {"fieldsType": "FieldsV1", "fieldsV1": entry.fields.to_json()}
        if identity.subresource:
            encoded["subresource"] = identity.subresource
        found.append(encoded)
    return found


def decode_or(entries: Any, otherwise: Callable[[], Managed]) -> Managed:
    """The entries, or what ``otherwise`` gives when there are none or they are malformed."""
    try:
        return decode(entries) or otherwise()
    except ValueError:
        return otherwise()


def is_reset(entries: Any) -> bool:
    """Whether a request that sends these entries asks to forget all: ``[]`` or ``[{}]``."""
    return entries in ([], [{}])


def cap_updaters(managed: Managed) -> None:
    """Merges the oldest Update entries, version by version, until at most ``MAX_UPDATERS`` are left; in place."""
    updaters = [identity for identity in managed if identity.operation == "Update"]
    surplus = len(updaters) - MAX_UPDATERS
    first_of: dict[str, Identity] = {}
    for identity in sorted(updaters, key=lambda identity: (managed[identity].time, identity.order())):
        if surplus <= 0:
            return
        entry = managed[identity]
        version = entry.api_version
        bucket = Identity(ANCIENT, "Update", version)
        if version not in first_of:
            first_of[version] = identity
            continue
        if bucket not in managed:
            managed[bucket] = managed.pop(first_of[version])
        united = managed[bucket].fields.union(entry.fields)
        del managed[identity]
        managed[bucket] = Entry(united, version, entry.time)
        surplus -= 1
