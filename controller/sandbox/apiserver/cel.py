"""The part of the Common Expression Language that validation rules of CRDs commonly use.

Literals, field selection, indexing, arithmetic, comparison, ``in``, ``&&``, ``||``, ``!``, ``?:``, ``has``, ``size``,
``startsWith``, ``endsWith``, ``contains``, ``matches``, of optional values ``hasValue`` and ``value``, and the macros
``all``, ``exists``, ``exists_one``, ``filter`` and ``map``. Everything else is ``Unsupported``.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from controller.sandbox.apiserver.equality import same

Scope: TypeAlias = Mapping[str, Any]
Program: TypeAlias = Callable[[Scope], Any]

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>\d+\.\d+|\d+)|(?P<text>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
    r"""|(?P<name>[A-Za-z_]\w*)|(?P<sign>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{}]))"""
)
_LITERALS: Final = {"true": True, "false": False, "null": None}
_BINARY: Final[list[dict[str, Callable[[Any, Any], Any]]]] = [
    {
        "==": same,
        "!=": lambda left, right: not same(left, right),
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "in": lambda left, right: any(same(left, item) for item in right),
    },
    {"+": operator.add, "-": operator.sub},
    {
        "*": operator.mul,
        "/": lambda left, right: left / right if isinstance(left, float) else int(left / right),
        "%": lambda left, right: left - right * int(left / right),
    },
]


class Maybe(NamedTuple):
    """An optional value, as ``oldSelf`` of a rule that asks for it so."""

    there: bool
    value: Any


def _value(found: Maybe) -> Any:
    if not found.there:
        raise KeyError("optional.none() dereference")
    return found.value


_METHODS: Final[dict[str, Callable[..., Any]]] = {
    "hasValue": lambda found: found.there,
    "value": _value,
    "size": len,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": lambda text, part: part in text,
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
}


class Unsupported(Exception):
    """The expression uses more of the language than is understood here."""


class EvaluationFailed(Exception):
    """The expression has no value: no such field, or operands that do not fit."""


@functools.lru_cache(maxsize=512)
def compile_rule(text: str) -> Program:
    """A function from variables to the value of the expression; raises ``Unsupported``.

    The function raises ``EvaluationFailed``.
    """
    parser = _Parser(text)
    body = parser.ternary()
    if parser.peek():
        raise Unsupported(text)

    def program(scope: Scope) -> Any:
        try:
            return body(scope)
        except (TypeError, KeyError, IndexError, AttributeError, ZeroDivisionError, re.error) as error:
            raise EvaluationFailed(str(error)) from error

    return program


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                raise Unsupported(text)
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()

    def peek(self, ahead: int = 0) -> str:
        kind, token = self._tokens[ahead] if ahead < len(self._tokens) else ("", "")
        return f"'{token}" if kind == "text" else token  # a quoted sign is no sign

    def take(self, expected: str = "") -> tuple[str, str]:
        if not self._tokens or (expected and self.peek() != expected):
            raise Unsupported(self._text)
        return self._tokens.pop(0)

    def accept(self, sign: str) -> bool:
        if self.peek() != sign:
            return False
        self.take()
        return True

    def ternary(self) -> Program:
        condition = self.either()
        if not self.accept("?"):
            return condition
        then = self.ternary()
        self.take(":")
        otherwise = self.ternary()
        return lambda scope: then(scope) if condition(scope) else otherwise(scope)

    def either(self) -> Program:
        left = self.both()
        while self.accept("||"):
            left = _any_of(left, self.both())
        return left

    def both(self) -> Program:
        left = self.binary(0)
        while self.accept("&&"):
            left = _all_of(left, self.binary(0))
        return left

    def binary(self, level: int) -> Program:
        if level == len(_BINARY):
            return self.unary()
        left = self.binary(level + 1)
        while self.peek() in _BINARY[level]:
            left = _apply(_BINARY[level][self.take()[1]], left, self.binary(level + 1))
        return left

    def unary(self) -> Program:
        if self.accept("!"):
            inner = self.unary()
            return lambda scope: not inner(scope)
        if self.accept("-"):
            inner = self.unary()
            return lambda scope: -inner(scope)
        return self.postfix()

    def postfix(self) -> Program:
        value = self.primary()
        while True:
            if self.accept("["):
                value = _apply(operator.getitem, value, self.ternary())
                self.take("]")
            elif self.accept("."):
                kind, name = self.take()
                if kind != "name":
                    raise Unsupported(self._text)
                value = self.call(value, name) if self.accept("(") else _field(value, name)
            else:
                return value

    def call(self, value: Program, name: str) -> Program:
        if name in _MACROS:
            kind, variable = self.take()
            self.take(",")
            body = self.ternary()
            self.take(")")
            if kind != "name":
                raise Unsupported(self._text)
            macro = _MACROS[name]
            return lambda scope: macro(value(scope), lambda item: body({**scope, variable: item}))
        arguments = self.arguments()
        method = _METHODS.get(name)
        if method is None:
            raise Unsupported(self._text)
        return lambda scope: method(value(scope), *(argument(scope) for argument in arguments))

    def arguments(self) -> list[Program]:
        found: list[Program] = []
        while not self.accept(")"):
            found.append(self.ternary())
            if self.peek() != ")":
                self.take(",")
        return found

    def primary(self) -> Program:
        kind, word = self.take()
        if kind == "number":
            number = float(word) if "." in word else int(word)
            return lambda _: number
        if kind == "text":
            text = re.sub(r"\\(.)", r"\1", word[1:-1])
            return lambda _: text
        if word == "(":
            inner = self.ternary()
            self.take(")")
            return inner
        if word == "[":
            items: list[Program] = []
            while not self.accept("]"):
                items.append(self.ternary())
                if self.peek() != "]":
                    self.take(",")
            return lambda scope: [item(scope) for item in items]
        if word == "{":
            self.take("}")  # of maps only the empty one
            return lambda _: {}
        if kind != "name":
            raise Unsupported(self._text)
        if word in _LITERALS:
            literal = _LITERALS[word]
            return lambda _: literal
        if self.accept("("):
            return self.function(word)
        return lambda scope: scope[word]

    def function(self, name: str) -> Program:
        (argument,) = found if len(found := self.arguments()) == 1 else (None,)
        if argument is None or name not in ("has", "size"):
            raise Unsupported(self._text)
        if name == "size":
            return lambda scope: len(argument(scope))

        def has(scope: Scope) -> bool:
            try:
                argument(scope)
            except KeyError:
                return False
            return True

        return has


def _field(value: Program, name: str) -> Program:
    return lambda scope: value(scope)[name]


def _apply(function: Callable[[Any, Any], Any], left: Program, right: Program) -> Program:
    return lambda scope: function(left(scope), right(scope))


def _any_of(left: Program, right: Program) -> Program:
    """Either side decides when it is true, even if the other has no value."""

    def program(scope: Scope) -> bool:
        try:
            if left(scope):
                return True
        except (TypeError, KeyError, IndexError):
            if right(scope):
                return True
            raise
        return bool(right(scope))

    return program


def _all_of(left: Program, right: Program) -> Program:
    def program(scope: Scope) -> bool:
        try:
            if not left(scope):
                return False
        except (TypeError, KeyError, IndexError):
            if not right(scope):
                return False
            raise
        return bool(right(scope))

    return program


_MACROS: Final[dict[str, Callable[[Any, Callable[[Any], Any]], Any]]] = {
    "all": lambda items, holds: all(map(holds, items)),
    "exists": lambda items, holds: any(map(holds, items)),
    "exists_one": lambda items, holds: sum(1 for item in items if holds(item)) == 1,
    "filter": lambda items, holds: [item for item in items if holds(item)],
    "map": lambda items, turn: [turn(item) for item in items],
}
