"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386), with the leniences of kube-apiserver's library."""

from __future__ import annotations

from typing import Any, Final

from controller.sandbox.apiserver.cloning import clone
from controller.sandbox.apiserver.equality import same

MAX_OPERATIONS: Final = 10_000  # of one JSON patch, as kube-apiserver
_MISSING: Final[Any] = object()


class PatchError(Exception):
    """A patch cannot be applied. ``status``: 400 malformed, 413 too many operations, 422 it does not fit the object."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


class TestFailed(PatchError):
    """A ``test`` operation found another value than it expected (422)."""

    __test__ = False  # not a test case


def json_patch(obj: dict[str, Any], ops: Any) -> dict[str, Any]:
    """``obj`` after the operations; neither is changed. Raises ``PatchError``."""
    if not isinstance(ops, list) or not all(isinstance(op, dict) for op in ops):
        raise PatchError("a JSON patch is a list of operations", 400)
    if len(ops) > MAX_OPERATIONS:
        limit = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(ops)}"
        raise PatchError(limit, 413)
    holder = {"": clone(obj)}
    for op in ops:
        _operate(holder, op)
    result = holder[""]
    if not isinstance(result, dict):
        raise PatchError("the patched document is not an object")
    return result


def _operate(holder: dict[str, Any], op: dict[str, Any]) -> None:
    kind, path = op.get("op"), op.get("path")
    if not isinstance(path, str):
        raise PatchError(f"{kind} operation failed to decode path: missing value")
    if kind in ("add", "replace") and "value" not in op:
        raise PatchError(f"{kind} operation, missing value field: missing value")
    if kind == "add":
        _add(holder, path, clone(op["value"]), kind)
    elif kind == "replace":
        _replace(holder, path, clone(op["value"]))
    elif kind == "remove":
        container, key = _find(holder, path, kind)
        _take(container, key, path, kind)
    elif kind == "test":
        container, key = _find(holder, path, kind)
        found = _get(container, key, path, kind, missing=None)
        if not same(found, op.get("value")):
            raise TestFailed(f"testing value {path} failed: test failed")
    elif kind in ("move", "copy"):
        source = op.get("from")
        if not isinstance(source, str):
            raise PatchError(f"{kind} operation failed to decode from: missing value")
        container, key = _find(holder, source, kind)
        if kind == "move":
            value = _take(container, key, source, kind)
        else:
            value = clone(_get(container, key, source, kind, missing=None))
        _add(holder, path, value, kind)
    else:
        raise PatchError(f"Unexpected kind: {kind}")


def _find(holder: dict[str, Any], path: str, kind: str) -> tuple[Any, str]:
    """The container that a pointer's last token is a key or index of."""
    tokens = [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")]
    if path and tokens[0]:
        raise PatchError(f'{kind} operation does not apply: doc is missing path: "{path}": missing value')
    container: Any = holder
    for token in tokens[:-1]:
        container = _get(container, token, path, kind, missing=_MISSING)
        if not isinstance(container, dict | list):
            raise PatchError(f'{kind} operation does not apply: doc is missing path: "{path}": missing value')
    return container, tokens[-1]


def _index(key: str, size: int, path: str, kind: str) -> int:
    """A position in a list of ``size`` items; negative ones count from the end."""
    try:
        index = int(key)
    except ValueError:
        raise PatchError(f"error in {kind} for path: '{path}': value was not a proper array index: '{key}'") from None
    if not -size <= index < size:
        raise PatchError(
            f"error in {kind} for path: '{path}': Unable to access invalid index: {index}: invalid index referenced"
        )
    return index % size


def _get(container: Any, key: str, path: str, kind: str, *, missing: Any) -> Any:
    if isinstance(container, list):
        return container[_index(key, len(container), path, kind)]
    return container.get(key, missing)


def _add(holder: dict[str, Any], path: str, value: Any, kind: str) -> None:
    container, key = _find(holder, path, kind)
    if isinstance(container, list):
        container.insert(len(container) if key == "-" else _index(key, len(container) + 1, path, kind), value)
    else:
        container[key] = value


def _replace(holder: dict[str, Any], path: str, value: Any) -> None:
    container, key = _find(holder, path, "replace")
    if isinstance(container, list):
        container[_index(key, len(container), path, "replace")] = value
    else:
        container[key] = value  # kube's library does not ask whether the field was there


def _take(container: Any, key: str, path: str, kind: str) -> Any:
    if isinstance(container, list):
        return container.pop(_index(key, len(container), path, kind))
    if key not in container:
        raise PatchError(f"error in {kind} for path: '{path}': Unable to remove nonexistent key: {key}: missing value")
    return container.pop(key)


def merge_patch(obj: dict[str, Any], patch: Any) -> dict[str, Any]:
    """``obj`` with ``patch`` merged in: maps merge, null removes, everything else replaces. Neither is changed."""
    if not isinstance(patch, dict):
        raise PatchError("Invalid JSON Patch", 400)
    merged: dict[str, Any] = _merge(obj, patch)
    return merged


def _merge(value: Any, patch: Any) -> Any:
    if not isinstance(value, dict):
        return _without_nulls(patch)
    if not isinstance(patch, dict):
        return clone(patch)
    merged = clone(value)
    for key, item in patch.items():
        if item is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), item)
    return merged


def _without_nulls(value: Any) -> Any:
    """A new value: its fields that are null were meant for removal; items of lists stay."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
