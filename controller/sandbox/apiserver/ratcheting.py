"""What an update leaves as it was is not held against it: errors in unchanged parts of custom resources are dropped.

As kube-apiserver does it (CRDValidationRatcheting, from 1.30), with its blind spot: two maps of which the schema does
not know every field count as different, however equal they are. Lists are compared as a whole.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from controller.sandbox.apiserver.schema import Schema

_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def unchanged(new: Any, old: Any, schema: Schema) -> bool:
    """Whether a value is what it was, as far as the schema tells."""
    if isinstance(new, dict) and isinstance(old, dict):
        return len(new) == len(old) and all(
            key in old and (known := _child(schema, key)) is not None and unchanged(value, old[key], known)
            for key, value in new.items()
        )
    return type(new) is type(old) and bool(new == old)


def settled(path: str, new: Any, old: Any, schema: Schema) -> bool:
    """Whether the error at ``path`` lies in a part of the object that did not change."""
    if path == "":
        return False
    node: Schema | None = schema
    for found in _STEP.finditer(path):
        key = found[1]
        if key is None or node is None or not isinstance(new, dict) or not isinstance(old, dict):
            return False
        if key not in new or key not in old:
            return False
        node = _child(node, key)
        if node is None:
            return False
        new, old = new[key], old[key]
        if unchanged(new, old, node):
            return True
    return False


def _child(schema: Schema, key: str) -> Schema | None:
    return schema.properties.get(key) or schema.additional
