"""Value validation of objects against a structural schema, in the words that kube-apiserver uses."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import math
import re
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from controller.sandbox.apiserver.schema import Schema

_TITLES: Final = {
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueTypeInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueNotFound": "Not found",
}
_VALUELESS: Final = frozenset({"FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong"})
NO_VALUE: Final[Any] = object()


class FieldError(msgspec.Struct, frozen=True):
    """One thing wrong with one field: a cause of a 422. ``str()`` is how the Status message cites it."""

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def field_error(field: str, reason: str, value: Any = NO_VALUE, detail: str = "") -> FieldError:
    """A cause with kube's sentence: title, the offending value in JSON, detail. ``field`` "" becomes ``<nil>``."""
    message = _TITLES[reason]
    if reason not in _VALUELESS and value is not NO_VALUE:
        message += f": {quote(value)}"
    if detail:
        message += f": {detail}"
    return FieldError(field or "<nil>", reason, message)


def quote(value: Any) -> str:
    """A value as error messages show it: JSON with sorted keys, whole floats as integers."""
    if isinstance(value, float):
        return plain_number(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def plain_number(value: float) -> str:
    """A number as Go prints it by default."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e21 else repr(float(value))


def json_type(value: Any) -> str:
    """The OpenAPI type name of a decoded JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def validate(obj: dict[str, Any], schema: Schema) -> list[FieldError]:
    """Everything wrong with ``obj``: the OpenAPI rules first, then duplicates in sets and keyed lists."""
    errors = [*_check(obj, schema.rules, ""), *_described(obj, schema, "")]
    seen: set[FieldError] = set()
    return [error for error in errors if not (error in seen or seen.add(error))]  # type: ignore[func-returns-value]


def _described(value: Any, schema: Schema, path: str) -> Iterator[FieldError]:
    """What the compiled tree says beyond the rules: fields that the server adds itself, duplicates in lists."""
    if isinstance(value, dict):
        for key, item in value.items():
            known = schema.properties.get(key)
            below = f"{path}.{key}" if path else key
            if known is not None:
                if key not in (schema.rules.get("properties") or {}):
                    yield from _check(item, known.rules, below)
                yield from _described(item, known, below)
            elif schema.additional is not None:
                if not isinstance(schema.rules.get("additionalProperties"), dict):
                    yield from _check(item, schema.additional.rules, below)
                yield from _described(item, schema.additional, f"{path}[{key}]")
        if schema.embedded:
            for key in ("apiVersion", "kind"):
                if not value.get(key):
                    yield field_error(f"{path}.{key}", "FieldValueRequired", detail="must not be empty")
    elif isinstance(value, list):
        yield from _duplicates(value, schema, path)
        if schema.items is not None:
            for index, item in enumerate(value):
                if "items" not in schema.rules:
                    yield from _check(item, schema.items.rules, f"{path}[{index}]")
                yield from _described(item, schema.items, f"{path}[{index}]")


def _duplicates(items: list[Any], schema: Schema, path: str) -> Iterator[FieldError]:
    if schema.list_type == "map":
        for index, item in enumerate(items):
            if item is not None and not isinstance(item, dict):
                detail = "must be an object for an array of list-type map"
                yield field_error(f"{path}[{index}]", "FieldValueInvalid", item, detail)
                return
        keys: list[Any] = [{k: item[k] for k in schema.list_keys if k in item} if item else {} for item in items]
    elif schema.list_type == "set":
        keys = items
    else:
        return
    times: dict[str, int] = {}
    for index, key in enumerate(keys):
        text = quote(key)
        times[text] = times.get(text, 0) + 1
        if times[text] == 2:  # the server names the second appearance only
            yield field_error(f"{path}[{index}]", "FieldValueDuplicate", key)


# ── the OpenAPI rules of one node ───────────────────────────────────────────────────────────────────


def _types(rules: dict[str, Any]) -> list[str]:
    if rules.get("x-kubernetes-int-or-string"):
        return ["integer", "string"]
    return [rules["type"]] if rules.get("type") else []


def _fits(value: Any, types: list[str]) -> bool:
    found = json_type(value)
    if not types or found in types:
        return True
    if found == "number":
        return "integer" in types and float(value).is_integer()
    return found == "integer" and "number" in types


def _check(value: Any, rules: dict[str, Any], path: str) -> Iterator[FieldError]:
    if not rules:
        return
    types = _types(rules)
    if value is None:
        if types and not rules.get("nullable"):
            yield _wrong_type(path, types, "null")
        else:
            yield from _common(value, rules, path)
        return
    if not _fits(value, types):
        wrong = _wrong_format(value, types, rules.get("format", ""), path)
        if wrong is not None:
            yield wrong
    yield from _combined(value, rules, path)
    if isinstance(value, str):
        yield from _string(value, rules, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(value, rules, path)
    elif isinstance(value, list):
        yield from _list(value, rules, path)
    yield from _common(value, rules, path)
    if isinstance(value, dict):
        yield from _object(value, rules, path)


def _wrong_type(path: str, types: list[str], found: str) -> FieldError:
    detail = f'{path} in body must be of type {",".join(types)}: "{found}"'
    return field_error(path, "FieldValueTypeInvalid", found, detail)


def _wrong_format(value: Any, types: list[str], name: str, path: str) -> FieldError | None:
    """The error for a value of a wrong type: where there is a format, the server names that instead of the type."""
    if not name or isinstance(value, str):
        return _wrong_type(path, types, json_type(value))
    if isinstance(value, list):
        return _wrong_type(path, types, "array") if {"integer", "number"} & set(types) else None
    found = {"integer": "int64", "number": "float64"}.get(json_type(value), "")
    return _wrong_type(path, [name], found)


def _common(value: Any, rules: dict[str, Any], path: str) -> Iterator[FieldError]:
    choices = rules.get("enum")
    if choices and not any(json_type(c) == json_type(value) and c == value for c in choices):
        texts = ", ".join(json.dumps(c if isinstance(c, str) else quote(c), ensure_ascii=False) for c in choices)
        yield field_error(path, "FieldValueNotSupported", value, f"supported values: {texts}")


def _string(value: str, rules: dict[str, Any], path: str) -> Iterator[FieldError]:
    longest, shortest, pattern = rules.get("maxLength"), rules.get("minLength"), rules.get("pattern")
    if longest is not None and len(value) > longest:
        unit = "byte" if longest == 1 else "bytes"
        yield field_error(path, "FieldValueTooLong", detail=f"may not be more than {longest} {unit}")
    if shortest is not None and len(value) < shortest:
        detail = f"{path} in body should be at least {shortest} chars long"
        yield field_error(path, "FieldValueInvalid", value, detail)
    if pattern and not re.search(_go_pattern(pattern), value):
        yield field_error(path, "FieldValueInvalid", value, f"{path} in body should match '{pattern}'")
    check = FORMATS.get(rules.get("format", ""))
    if check is not None and not check(value):
        name = rules["format"]
        yield field_error(
            path, "FieldValueTypeInvalid", value, f"{path} in body must be of type {name}: {quote(value)}"
        )


def _go_pattern(pattern: str) -> str:
    """Go's ``$`` and ``\\z`` are the very end of the text; Python's ``$`` also matches before a last newline."""
    unescaped = re.sub(r"(\\.|\[(?:\\.|[^\]])*\])|\$", lambda m: m.group(1) or r"\Z", pattern)
    return unescaped.replace(r"\z", r"\Z")


def _number(value: float, rules: dict[str, Any], path: str) -> Iterator[FieldError]:
    whole = isinstance(value, int)
    for name, words, exclusive in (
        ("maximum", "less than", "exclusiveMaximum"),
        ("minimum", "greater than", "exclusiveMinimum"),
    ):
        limit = rules.get(name)
        if limit is None:
            continue
        limit = int(limit) if whole else limit  # the server compares whole numbers with whole limits
        beyond = value > limit if name == "maximum" else value < limit
        strict = bool(rules.get(exclusive))
        if beyond or (strict and value == limit):
            relation = words if strict else f"{words} or equal to"
            detail = f"{path} in body should be {relation} {plain_number(limit)}"
            yield field_error(path, "FieldValueInvalid", value, detail)
    if rules.get("multipleOf"):
        yield from _multiple(value, int(rules["multipleOf"]) if whole else rules["multipleOf"], path)
    types, name = _types(rules), rules.get("format", "")
    bits = {"int32": 31, "int64": 63}.get(name)
    if "integer" in types and not float(value).is_integer():
        yield _unfit_number(f" with format {name}" if name else " (default format)", path)
    elif bits and not -(2**bits) <= value < 2**bits:
        yield _unfit_number(f" with format {name}", path)


def _unfit_number(kind: str, path: str) -> FieldError:
    return field_error("", "FieldValueInvalid", "", f"Checked value must be of type integer{kind} in {path}")


def _multiple(value: float, factor: float, path: str) -> Iterator[FieldError]:
    if factor <= 0:
        detail = f"factor MultipleOf declared for {path} must be positive: {plain_number(factor)}"
        yield field_error(path, "FieldValueInvalid", factor, detail)
    elif not math.isclose(value / factor, round(value / factor), abs_tol=1e-9):
        detail = f"{path} in body should be a multiple of {plain_number(factor)}"
        yield field_error(path, "FieldValueInvalid", value, detail)


def _list(value: list[Any], rules: dict[str, Any], path: str) -> Iterator[FieldError]:
    items = rules.get("items")
    if isinstance(items, dict):
        for index, item in enumerate(value):
            yield from _check(item, items, f"{path}[{index}]")
    fewest, most = rules.get("minItems"), rules.get("maxItems")
    if fewest is not None and len(value) < fewest:
        detail = f"{path} in body should have at least {fewest} items"
        yield field_error(path, "FieldValueInvalid", len(value), detail)
    if most is not None and len(value) > most:
        yield _too_many(path, len(value), most)
    if rules.get("uniqueItems") and len({quote(item) for item in value}) < len(value):
        yield field_error(path, "FieldValueInvalid", "", f"{path} in body shouldn't contain duplicates")


def _too_many(path: str, found: int, most: int) -> FieldError:
    unit = "item" if most == 1 else "items"
    return field_error(path, "FieldValueTooMany", found, f"must have at most {most} {unit}")


def _object(value: dict[str, Any], rules: dict[str, Any], path: str) -> Iterator[FieldError]:
    fewest, most = rules.get("minProperties"), rules.get("maxProperties")
    if fewest is not None and len(value) < fewest:
        detail = f"{path} in body should have at least {fewest} properties"
        yield field_error(path, "FieldValueInvalid", len(value), detail)
    if most is not None and len(value) > most:
        yield _too_many(path, len(value), most)
    properties, additional = rules.get("properties") or {}, rules.get("additionalProperties")
    for key, item in value.items():
        below = f"{path}.{key}" if path else key
        if key in properties:
            yield from _check(item, properties[key], below)
        elif isinstance(additional, dict):
            yield from _check(item, additional, f"{path}.{key}")
        elif additional is False:
            yield field_error(path, "FieldValueInvalid", "", f"{path}.{key} in body is a forbidden property")
    for key in rules.get("required") or ():
        if key not in value:
            yield field_error(f"{path}.{key}" if path else key, "FieldValueRequired")


def _combined(value: Any, rules: dict[str, Any], path: str) -> Iterator[FieldError]:
    any_of, one_of, all_of = rules.get("anyOf"), rules.get("oneOf"), rules.get("allOf")
    if any_of:
        outcomes = [list(_check(value, branch, path)) for branch in any_of]
        if all(outcomes):
            yield field_error("", "FieldValueInvalid", "", f'"{path}" must validate at least one schema (anyOf)')
            yield from min(outcomes, key=len)
    if one_of:
        outcomes = [list(_check(value, branch, path)) for branch in one_of]
        valid = sum(not outcome for outcome in outcomes)
        if valid != 1:
            count = "Found none valid" if not valid else f"Found {valid} valid alternatives"
            detail = f'"{path}" must validate one and only one schema (oneOf). {count}'
            yield field_error("", "FieldValueInvalid", "", detail)
            if not valid:
                yield from min(outcomes, key=len)
    if all_of:
        outcomes = [list(_check(value, branch, path)) for branch in all_of]
        for outcome in outcomes:
            yield from outcome
        if any(outcomes):
            tail = ". None validated" if all(outcomes) else ""
            yield field_error("", "FieldValueInvalid", "", f'"{path}" must validate all the schemas (allOf){tail}')
    refused = rules.get("not")
    if isinstance(refused, dict) and not list(_check(value, refused, path)):
        yield field_error("", "FieldValueInvalid", "", f'"{path}" must not validate the schema (not)')


# ── formats ─────────────────────────────────────────────────────────────────────────────────────────

_DATE: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\Z")
_DATE_TIME: Final = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt ]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?"
    r"([Zz]|[+-]\d\d:\d\d)\Z"
)
_DURATION: Final = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)\s?(ns|us|µs|μs|ms|s|m|h|d|w)((\d+(\.\d*)?)(ns|us|µs|ms|s|m|h))*\Z"
)
_LABEL: Final = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOST: Final = re.compile(rf"(?=.{{1,255}}\Z)({_LABEL}|({_LABEL}\.)+[a-zA-Z]{{2,63}})\Z")
_EMAIL: Final = re.compile(r"[^@\s<>]+@[^@\s<>]+\Z")


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            parse(value)
        except (ValueError, binascii.Error):
            return False
        return True

    return check


FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "date": lambda value: bool(_DATE.match(value)),
    "date-time": lambda value: bool(_DATE_TIME.match(value)),
    "datetime": lambda value: bool(_DATE_TIME.match(value)),
    "duration": lambda value: bool(_DURATION.match(value)),
    "byte": _parses(lambda value: base64.b64decode(value, validate=True)),
    "hostname": lambda value: bool(_HOST.match(value)),
    "email": lambda value: bool(_EMAIL.match(value)),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": _parses(lambda value: ipaddress.ip_network(value, strict=False) if "/" in value else int("")),
    "mac": lambda value: bool(re.match(r"([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}\Z", value)),
    "uuid": _parses(uuid.UUID),
    "uri": lambda value: bool(urlsplit(value).scheme) if not value.startswith("/") else True,
}
