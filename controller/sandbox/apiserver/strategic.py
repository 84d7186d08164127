"""Strategic merge patch: what ``kubectl apply``, ``edit`` and ``patch`` send for the server's own kinds."""

from __future__ import annotations

from typing import Any, Final, NoReturn

from controller.sandbox.apiserver.cloning import clone
from controller.sandbox.apiserver.equality import same
from controller.sandbox.apiserver.jsonpatch import PatchError
from controller.sandbox.apiserver.schema import Schema

_DIRECTIVE: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_ORDER: Final = "$setElementOrder/"
_DELETE: Final = "$deleteFromPrimitiveList/"


def strategic_merge_patch(obj: dict[str, Any], patch: Any, schema: Schema | None) -> dict[str, Any]:
    """``obj`` with ``patch`` merged in, lists by the merge keys of ``schema`` (None: all replaced). Neither is changed.

    Raises ``PatchError``: 400 malformed, 422 it does not fit.
    """
    if not isinstance(patch, dict):
        raise PatchError("invalid JSON document", 400)
    return _merge_map(clone(obj), clone(patch), schema)


def _bad_type(expected: str, value: Any) -> NoReturn:
    raise PatchError(f"expected a {expected}, but received a {type(value).__name__}")


def _list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else _bad_type("list", value)


def _merges(schema: Schema | None) -> bool:
    return schema is not None and "merge" in schema.strategies


def _below(schema: Schema | None, key: str) -> Schema | None:
    return None if schema is None else schema.properties.get(key) or schema.additional


def _merge_map(original: dict[str, Any], patch: dict[str, Any], schema: Schema | None) -> dict[str, Any]:
    if _DIRECTIVE in patch:
        directive = patch.pop(_DIRECTIVE)
        if directive == "replace":
            return patch
        if directive == "delete":
            return {}
        raise PatchError(f"unknown patch type: {directive} in map: {patch}", 500)
    _retain_keys(original, patch)
    _order_lists(original, patch, schema)
    for key, value in patch.items():
        deletes = key.startswith(_DELETE)
        name = key[len(_DELETE) :] if deletes else key
        known = _below(schema, name)
        if value is None:
            original.pop(name, None)
        elif deletes:
            if isinstance(original.get(name), list):
                doomed = _list_of(value)
                original[name] = [item for item in original[name] if not any(same(item, gone) for gone in doomed)]
        elif isinstance(value, dict) and isinstance(original.get(name), dict):
            if known is not None and "replace" in known.strategies:
                original[name] = value
            else:
                original[name] = _merge_map(original[name], value, known)
        elif isinstance(value, list) and isinstance(original.get(name), list):
            original[name] = _merge_list(original[name], value, known)
        else:
            kept, keep = _plain(value)
            if keep:
                original[name] = kept
            else:
                original.pop(name, None)
    return original


def _plain(value: Any) -> tuple[Any, bool]:
    """A value of the patch that has no partner: without nulls and directives, and whether it is kept at all."""
    if isinstance(value, dict):
        if _DIRECTIVE in value:
            return None, False
        kept = {key: _plain(item) for key, item in value.items() if item is not None and key[:1] != "$"}
        return {key: item for key, (item, keep) in kept.items() if keep}, True
    if isinstance(value, list):
        return [item for item, keep in map(_plain, value) if keep], True
    return value, True


def _retain_keys(original: dict[str, Any], patch: dict[str, Any]) -> None:
    if _RETAIN not in patch:
        return
    retained = patch.pop(_RETAIN)
    if not isinstance(retained, list):
        raise PatchError("invalid patch format of retainKeys", 400)
    for key, value in patch.items():
        if value is not None and not key.startswith((_ORDER, _DELETE)) and key not in retained:
            raise PatchError("invalid patch format of retainKeys", 400)
    for key in [key for key in original if key not in retained]:
        del original[key]


def _order_lists(original: dict[str, Any], patch: dict[str, Any], schema: Schema | None) -> None:
    """Carries out the ``$setElementOrder`` directives, with the lists that they speak of."""
    for directive in [key for key in patch if key.startswith(_ORDER)]:
        name, order = directive[len(_ORDER) :], patch.pop(directive)
        if not isinstance(order, list):
            _bad_type("list", order)
        known = _below(schema, name)
        key = known.merge_key if known is not None else ""
        live = _list_of(original[name]) if name in original else None
        new = _list_of(patch[name]) if patch.get(name) is not None else None
        _check_order(new or [], order, key)
        if live is None and new is None:
            continue
        if new is None:
            merged = list(live or ())
        elif live is None:
            merged = _plain(new)[0]
        else:
            merged = _merge_list(list(live), new, known)
        original[name] = _ordered(merged, order, live or [], key)
        patch.pop(name, None)


def _check_order(items: list[Any], order: list[Any], key: str) -> None:
    wanted = [item for item in items if not (isinstance(item, dict) and _DIRECTIVE in item)]
    if not wanted or not order:
        return
    rest = iter(order)
    for item in wanted:
        if not any(same(_key_of(item, key), _key_of(other, key)) for other in rest):
            raise PatchError(
                f"The order in patch list:\n{items}\n doesn't match $setElementOrder list:\n{order}\n", 500
            )


def _key_of(item: Any, key: str) -> Any:
    if not key:
        return item
    if not isinstance(item, dict):
        _bad_type("map", item)
    if key not in item:
        raise PatchError(f"map: {item} does not contain declared merge key: {key}", 500)
    return item[key]


def _position(items: list[Any], wanted: Any, key: str) -> int:
    return next((i for i, item in enumerate(items) if same(_key_of(item, key), wanted)), -1)


def _merge_list(original: list[Any], patch: list[Any], schema: Schema | None) -> list[Any]:
    if not _merges(schema) or schema is None:
        return patch
    if not original and not patch:
        return original
    if any(isinstance(item, list) for item in [*original, *patch]):
        raise PatchError("lists of lists are not supported")
    if not any(isinstance(item, dict) for item in [*original, *patch]):
        merged: list[Any] = []
        for item in [*original, *patch]:
            if not any(same(item, other) for other in merged):
                merged.append(item)
        return _ordered(merged, patch, original, "")
    key = schema.merge_key
    if not key:
        raise PatchError("cannot merge lists without merge key", 500)
    before = list(original)
    replace, plain = False, []
    for item in patch:
        directive = item.get(_DIRECTIVE) if isinstance(item, dict) else _bad_type("map", item)
        if directive is None:
            plain.append(item)
        elif directive == "delete":
            doomed = _key_of(item, key)
            before = [other for other in before if not same(_key_of(other, key), doomed)]
        elif directive == "replace":
            replace = True
        else:
            raise PatchError(f"unknown patch type: {directive} in map: {item}", 500)
    if replace:
        return plain
    merged = list(before)
    for item in plain:
        at = _position(merged, _key_of(item, key), key)
        if at >= 0:
            merged[at] = _merge_map(merged[at], item, schema.element())
        else:
            merged.append(_plain(item)[0])
    return _ordered(merged, plain, before, key)


def _ordered(merged: list[Any], order: list[Any], live: list[Any], key: str) -> list[Any]:
    """Items that the patch names in its order; the others stay before what they preceded in the live list."""
    ranked: list[tuple[int, Any]] = []
    others: list[tuple[int, Any]] = []
    for item in merged:
        wanted = _key_of(item, key)
        rank, place = _position(order, wanted, key), _position(live, wanted, key)
        (ranked if rank >= 0 else others).append((rank if rank >= 0 else place, item))
    left = [item for _, item in sorted(others, key=lambda pair: pair[0])]
    right = [item for _, item in sorted(ranked, key=lambda pair: pair[0])]
    result: list[Any] = []
    while left and right:
        before = _position(live, _key_of(left[0], key), key)
        after = _position(live, _key_of(right[0], key), key)
        result.append(left.pop(0) if 0 <= before < after else right.pop(0))
    return [*result, *left, *right]
