"""Label and field selectors: parsing, and matching of a version's labels and fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from controller.sandbox.apiserver.failures import bad_request
from controller.sandbox.apiserver.names import label_key_errors, label_value_errors
from controller.sandbox.apiserver.storage import Version

Operator: TypeAlias = Literal["in", "notin", "exists", "absent", "gt", "lt"]

_TOKEN: Final = re.compile(r"\s*(?:(\(|\)|,|!=|==|=|!|<|>)|([^\s(),!=<>]+))")


class Requirement(msgspec.Struct, frozen=True):
    """One condition on one key."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
            case "gt" | "lt":
                try:
                    number, bound = int(value or ""), int(self.values[0])
                except ValueError:
                    return False
                return number > bound if self.operator == "gt" else number < bound


class Selector(msgspec.Struct, frozen=True):
    """What a list, watch or deletecollection was asked for."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()
    names: frozenset[str] | None = None  # of metadata.name=…, for speed

    @property
    def everything(self) -> bool:
        return not self.labels and not self.fields

    def matches(self, version: Version) -> bool:
        if self.names is not None and version.name not in self.names:
            return False
        if self.labels and not all(r.matches(version.labels) for r in self.labels):
            return False
        if not self.fields:
            return True
        for requirement in self.fields:
            if requirement.key == "metadata.name":
                value = version.name
            elif requirement.key == "metadata.namespace":
                value = version.namespace
            else:
                value = version.fields.get(requirement.key, "")
            if (value in requirement.values) != (requirement.operator == "in"):
                return False
        return True


def parse(labels: str, fields: str, known_fields: Collection[str]) -> Selector:
    """A selector of both; raises a 400 ``Failure``. ``known_fields``: beyond name and namespace."""
    parsed = _parse_fields(fields, known_fields)
    names = [frozenset(r.values) for r in parsed if r.key == "metadata.name" and r.operator == "in"]
    return Selector(parse_labels(labels), parsed, frozenset.intersection(*names) if names else None)


def _parse_fields(text: str, known: Collection[str]) -> tuple[Requirement, ...]:
    found = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        negated = "!=" in part
        key, sign, value = part.partition("!=" if negated else "==" if "==" in part else "=")
        if not sign:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        if key not in ("metadata.name", "metadata.namespace") and key not in known:
            raise bad_request(f"field label not supported: {key}")
        found.append(Requirement(key, "notin" if negated else "in", (value,)))
    return tuple(found)


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """The requirements of a label selector; raises a 400 ``Failure``."""
    tokens: list[str] = []
    position = 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None:
            raise _unparsable(text, f"unexpected {stripped[position]!r}")
        tokens.append(match.group(1) or match.group(2))
        position = match.end()
    found: list[Requirement] = []
    reader = _Reader(tokens, text)
    while not reader.done:
        found.append(_requirement(reader))
        if not reader.done:
            reader.expect(",")
            if reader.done:
                raise _unparsable(text, "found '', expected: identifier after ','")
    return tuple(found)


def selected(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a ``metav1.LabelSelector`` matches."""
    words: dict[str, Operator] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    wanted = [Requirement(key, "in", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    wanted += [
        Requirement(e["key"], words[e["operator"]], tuple(e.get("values") or ()))
        for e in selector.get("matchExpressions") or ()
        if e.get("operator") in words
    ]
    return all(requirement.matches(labels) for requirement in wanted)


class _Reader:
    def __init__(self, tokens: list[str], text: str) -> None:
        self._tokens = tokens
        self._text = text
        self._index = 0

    @property
    def done(self) -> bool:
        return self._index >= len(self._tokens)

    @property
    def ahead(self) -> str:
        return "" if self.done else self._tokens[self._index]

    def take(self) -> str:
        token = self.ahead
        self._index += 1
        return token

    def expect(self, wanted: str) -> None:
        if (token := self.take()) != wanted:
            raise _unparsable(self._text, f"found '{token}', expected: '{wanted}'")

    def word(self, check: Callable[[str], list[str]]) -> str:
        token = self.take()
        if token in ("(", ")", ",", "!=", "==", "=", "!", "<", ">", ""):
            raise _unparsable(self._text, f"found '{token}', expected: identifier")
        if problems := check(token):
            raise _unparsable(self._text, f"{token!r}: {problems[0]}")
        return token


def _requirement(reader: _Reader) -> Requirement:
    if reader.ahead == "!":
        reader.take()
        return Requirement(reader.word(label_key_errors), "absent")
    key = reader.word(label_key_errors)
    match reader.ahead:
        case "" | ",":
            return Requirement(key, "exists")
        case "=" | "==":
            reader.take()
            return Requirement(key, "in", (_value(reader),))
        case "!=":
            reader.take()
            return Requirement(key, "notin", (_value(reader),))
        case "<" | ">":
            return Requirement(key, "gt" if reader.take() == ">" else "lt", (_number(reader),))
        case "in" | "notin":
            operator: Operator = "in" if reader.take() == "in" else "notin"
            reader.expect("(")
            values = [_value(reader)]
            while (after := reader.take()) == ",":
                values.append(_value(reader))
            if after != ")":
                raise _unparsable(key, f"found '{after}', expected: ')'")
            return Requirement(key, operator, tuple(values))
        case other:
            raise _unparsable(key, f"found '{other}', expected: in, notin, =, ==, !=, gt, lt")


def _number(reader: _Reader) -> str:
    value = _value(reader)
    if not value.lstrip("-").isdecimal():
        raise _unparsable(value, "for 'Gt', 'Lt' operators, the value must be an integer")
    return value


def _value(reader: _Reader) -> str:
    return "" if reader.ahead in ("", ",", ")") else reader.word(label_value_errors)


def _unparsable(text: str, why: str) -> Exception:
    return bad_request(f"unable to parse requirement: {text!r}: {why}")
