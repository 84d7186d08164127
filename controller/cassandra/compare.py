"""Whether two objects say the same: a hash of what was rendered, and a comparison with what a server made of it."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from controller.cassandra import labels
from controller.kube.quantity import parse_quantity

_encode: Final = msgspec.json.Encoder(order="sorted").encode
_QUANTITY_MAPS: Final = frozenset({"limits", "requests", "capacity"})
_QUANTITY_FIELDS: Final = frozenset({"sizeLimit", "divisor"})


def canonical_hash(obj: Any) -> str:
    """``v1:`` and the SHA-256 of the canonical JSON (sorted keys, no blanks) without the hash annotation itself."""
    if isinstance(obj, dict) and "annotations" in obj.get("metadata", {}):
        metadata = dict(obj["metadata"])
        rest = {key: value for key, value in metadata.pop("annotations").items() if key != labels.RESOURCE_HASH}
        obj = {**obj, "metadata": {**metadata, "annotations": rest} if rest else metadata}
    return f"v1:{hashlib.sha256(_encode(obj)).hexdigest()}"


def stamped(obj: dict[str, Any]) -> dict[str, Any]:
    """``obj`` with its hash in the annotation."""
    metadata = obj["metadata"]
    annotations = {**metadata.get("annotations", {}), labels.RESOURCE_HASH: canonical_hash(obj)}
    return {**obj, "metadata": {**metadata, "annotations": annotations}}


def semantic_equal(desired: Any, live: Any) -> bool:
    """Whether everything in ``desired`` is in ``live``; what a server adds does not count."""
    return not diff_fields(desired, live)


def diff_fields(desired: Any, live: Any) -> list[str]:
    """Paths of fields that ``desired`` has and ``live`` has not, or otherwise, as ``spec.racks[0].name``.

    ``{}``, ``[]``, null and absent are the same. Lists have the same length and order. Quantities are compared by
    value. Fields that only ``live`` has are a server's defaults or somebody else's, and do not count.
    """
    found: list[str] = []
    _compare(desired, live, "", "", found)
    return found


def _compare(desired: Any, live: Any, path: str, parent: str, found: list[str]) -> None:
    if desired is None or desired == {} or desired == []:
        if isinstance(desired, list) and live not in (None, [], {}):
            found.append(path)
        return
    if isinstance(desired, dict):
        if live is None or isinstance(live, dict):
            name = path.rpartition(".")[2]
            for key, value in desired.items():
                _compare(value, (live or {}).get(key), f"{path}.{key}" if path else key, name, found)
            return
    elif isinstance(desired, list):
        if isinstance(live, list) and len(live) == len(desired):
            for index, value in enumerate(desired):
                _compare(value, live[index], f"{path}[{index}]", parent, found)
            return
    elif _same(desired, live, path.rpartition(".")[2], parent):
        return
    elif isinstance(desired, bool | int | float | str) and not desired and live is None:
        return  # Go leaves zeros out
    found.append(path)


def _same(desired: Any, live: Any, name: str, parent: str) -> bool:
    if isinstance(desired, bool) or isinstance(live, bool):
        return desired is live
    if desired == live:
        return True
    if parent in _QUANTITY_MAPS or name in _QUANTITY_FIELDS:
        try:
            return parse_quantity(desired) == parse_quantity(live)
        except ValueError:
            return False
    return False
