"""The syntax of names, labels and annotations, and what ``metadata`` as a whole must satisfy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from controller.sandbox.apiserver.failures import Fault, forbidden_field, invalid_value, required, too_long

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")

ANNOTATIONS_CAP: Final = 256 * 1024  # bytes of all keys and values together

NameRule = Callable[[str], list[str]]


def subdomain_errors(name: str) -> list[str]:
    """Why ``name`` is no RFC 1123 subdomain; empty when it is one."""
    if len(name) > 253:
        return ["must be no more than 253 characters"]
    if not _SUBDOMAIN.fullmatch(name):
        return [
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
            f"and must start and end with an alphanumeric character (regex: '{_SUBDOMAIN.pattern}')"
        ]
    return []


def label_errors(name: str) -> list[str]:
    """Why ``name`` is no RFC 1123 label."""
    if len(name) > 63:
        return ["must be no more than 63 characters"]
    if not _LABEL.fullmatch(name):
        return [
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
            f"and must start and end with an alphanumeric character (regex: '{_LABEL.pattern}')"
        ]
    return []


def label_1035_errors(name: str) -> list[str]:
    """Why ``name`` is no RFC 1035 label (names of Services)."""
    if len(name) > 63:
        return ["must be no more than 63 characters"]
    if not _LABEL_1035.fullmatch(name):
        return [
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
            f"character, and end with an alphanumeric character (regex: '{_LABEL_1035.pattern}')"
        ]
    return []


def segment_errors(name: str) -> list[str]:
    """Why ``name`` cannot be a path segment (names of RBAC objects)."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{c}'" for c in "/%" if c in name]


def label_key_errors(key: str) -> list[str]:
    """Why ``key`` is no key of a label or annotation."""
    prefix, slash, name = key.rpartition("/")
    if slash and not prefix:
        return ["prefix part must be non-empty"]
    if prefix and (problems := subdomain_errors(prefix)):
        return [f"prefix part {problems[0]}"]
    if not name:
        return ["name part must be non-empty"]
    if len(name) > 63:
        return ["name part must be no more than 63 characters"]
    if not _QUALIFIED.fullmatch(name):
        return [
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            f"alphanumeric character (regex: '{_QUALIFIED.pattern}')"
        ]
    return []


def label_value_errors(value: str) -> list[str]:
    """Why ``value`` is no value of a label."""
    if len(value) > 63:
        return ["must be no more than 63 characters"]
    if value and not _QUALIFIED.fullmatch(value):
        return [
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
            f"start and end with an alphanumeric character (regex: '({_QUALIFIED.pattern})?')"
        ]
    return []


def label_faults(labels: Mapping[str, Any], field: str) -> list[Fault]:
    """What is wrong with a map of labels."""
    found: list[Fault] = []
    for key, value in labels.items():
        found += [invalid_value(field, key, why) for why in label_key_errors(key)]
        found += [invalid_value(field, value, why) for why in label_value_errors(value)]
    return found


def _annotation_faults(annotations: Mapping[str, str]) -> list[Fault]:
    field = "metadata.annotations"
    found: list[Fault] = []
    for key in annotations:
        found += [invalid_value(field, key, why) for why in label_key_errors(key.lower())]
    size = sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items())
    if size > ANNOTATIONS_CAP:
        found.append(too_long(field, ANNOTATIONS_CAP))
    return found


def _owner_faults(owners: list[Mapping[str, Any]]) -> list[Fault]:
    found: list[Fault] = []
    field = "metadata.ownerReferences"  # the server does not say which
    for owner in owners:
        for key, wire in (("apiVersion", "version"), ("kind", "kind"), ("name", "name"), ("uid", "uid")):
            if not owner.get(key):
                value = owner.get(key, "")
                found.append(invalid_value(f"{field}.{key}", value, f"{wire} must not be empty"))
    controllers = [o for o in owners if o.get("controller")]
    if len(controllers) > 1:
        names = " and ".join(str(o.get("name")) for o in controllers[:2])
        why = f'Only one reference can have Controller set to true. Found "true" in references for {names}'
        found.append(invalid_value("metadata.ownerReferences", None, why))
    return found


def metadata_faults(
    metadata: Mapping[str, Any], rule: NameRule, *, namespaced: bool, bare_finalizers: bool
) -> list[Fault]:
    """What is wrong with an object's metadata. ``bare_finalizers``: finalizers need no domain (custom kinds)."""
    found: list[Fault] = []
    name = metadata.get("name", "")
    if metadata.get("generateName"):
        # the generated part is always valid, so a trailing dash is fine
        stem = metadata["generateName"].rstrip("-")
        found += [invalid_value("metadata.generateName", metadata["generateName"], why) for why in rule(stem or "x")]
    if not name:
        found.append(required("metadata.name", "name or generateName is required"))
    else:
        found += [invalid_value("metadata.name", name, why) for why in rule(name)]
    if namespaced:
        namespace = metadata.get("namespace", "")
        if not namespace:
            found.append(required("metadata.namespace"))
        else:
            found += [invalid_value("metadata.namespace", namespace, why) for why in label_errors(namespace)]
    elif metadata.get("namespace"):
        found.append(forbidden_field("metadata.namespace", "not allowed on this type"))
    found += label_faults(metadata.get("labels") or {}, "metadata.labels")
    found += _annotation_faults(metadata.get("annotations") or {})
    found += _owner_faults(metadata.get("ownerReferences") or [])
    for index, finalizer in enumerate(metadata.get("finalizers") or ()):
        found += [invalid_value(f"metadata.finalizers[{index}]", finalizer, why) for why in label_key_errors(finalizer)]
        if not (bare_finalizers or "/" in finalizer or finalizer in _BARE_FINALIZERS):
            why = "name is neither a standard finalizer name nor is it fully qualified"
            found.append(invalid_value(f"metadata.finalizers[{index}]", finalizer, why))
    return found


_BARE_FINALIZERS: Final = frozenset({"kubernetes", "orphan", "foregroundDeletion"})

IMMUTABLE: Final = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def metadata_update_faults(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[Fault]:
    """What an update may not do to metadata."""
    found: list[Fault] = [
        invalid_value(f"metadata.{key}", new.get(key), "field is immutable")
        for key in IMMUTABLE
        if new.get(key) != old.get(key)
    ]
    if "deletionTimestamp" in old:
        added = [f for f in new.get("finalizers") or () if f not in (old.get("finalizers") or ())]
        if added:
            listed = "[]string{" + ", ".join(f'"{f}"' for f in added) + "}"
            why = f"no new finalizers can be added if the object is being deleted, found new finalizers {listed}"
            found.append(forbidden_field("metadata.finalizers", why))
    return found
