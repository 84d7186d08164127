"""Untrusted YAML as plain mappings, lists and scalars: bounded, and of the plainest kind of YAML only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import yaml

DEPTH_CAP: Final = 32  # nested collections; a kubeconfig needs five
NODE_CAP: Final = 8192  # scalars and collections: ~10 ms of parsing; a kubeconfig of 200 contexts has 5,000

_BOM: Final = "\ufeff"
_LITERALS: Final[dict[str, Callable[[str], Any]]] = {
    "tag:yaml.org,2002:null": lambda text: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() in ("yes", "true", "on"),
    "tag:yaml.org,2002:str": str,
    # A date is a string in JSON, and kubectl reads YAML as JSON.
    "tag:yaml.org,2002:timestamp": str,
}


class NotText:
    """A scalar that YAML takes for a number: never converted, for nothing here is one."""

    def __repr__(self) -> str:
        return "NotText()"


class YAMLError(Exception):
    """Not such a document. ``line`` and ``column`` count from 1, 0 when unknown; the text holds no content."""

    def __init__(self, problem: str, line: int = 0, column: int = 0) -> None:
        where = f" at line {line}, column {column}" if line else ""
        super().__init__(problem + where)
        self.line = line
        self.column = column


def parse(data: bytes) -> Any:
    """One YAML (or JSON) document: dict with str keys, list, str, bool, None or ``NotText``.

    Raises ``YAMLError`` for anything else: no UTF-8, several documents, anchors, aliases, tags, merge keys, keys
    that are not strings or come twice, more than ``DEPTH_CAP`` levels or ``NODE_CAP`` nodes. The caller caps
    the size.
    """
    try:
        text = data.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError:
        raise YAMLError("not UTF-8") from None
    loader: Any = yaml.CSafeLoader(text)
    try:
        return _Builder(loader).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YAMLError("not YAML", mark.line + 1, mark.column + 1) if mark else YAMLError("not YAML") from None
    except yaml.YAMLError:  # a character that YAML does not allow
        raise YAMLError("not YAML: a control character or the like") from None
    finally:
        loader.dispose()


class _Builder:
    """Events of one document into one value."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._nodes = 0

    def document(self) -> Any:
        take, check = self._loader.get_event, self._loader.check_event
        take()  # the start of the stream
        if check(yaml.StreamEndEvent):
            raise YAMLError("empty")
        take()  # the start of the document
        value = self._value(take(), 0)
        take()  # the end of the document
        if not check(yaml.StreamEndEvent):
            raise _at(take(), "more than one document")
        return value

    def _value(self, event: Any, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > NODE_CAP:
            raise _at(event, f"more than {NODE_CAP} values")
        if isinstance(event, yaml.AliasEvent):
            raise _at(event, "an alias: not allowed")
        if event.anchor is not None:
            raise _at(event, "an anchor: not allowed")
        if event.tag is not None:
            raise _at(event, "a tag: not allowed")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if depth == DEPTH_CAP:
            raise _at(event, f"more than {DEPTH_CAP} levels")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(depth)
        return self._mapping(depth)

    def _sequence(self, depth: int) -> list[Any]:
        take, check = self._loader.get_event, self._loader.check_event
        items = []
        while not check(yaml.SequenceEndEvent):
            items.append(self._value(take(), depth + 1))
        take()
        return items

    def _mapping(self, depth: int) -> dict[str, Any]:
        take, check = self._loader.get_event, self._loader.check_event
        mapping: dict[str, Any] = {}
        while not check(yaml.MappingEndEvent):
            at = take()
            key = self._value(at, depth + 1)
            if not isinstance(key, str):
                raise _at(at, "a key that is not a string")
            if key in mapping:
                raise _at(at, "a key that comes twice")
            mapping[key] = self._value(take(), depth + 1)
        take()
        return mapping

    def _scalar(self, event: Any) -> Any:
        if not event.implicit[0]:  # quoted, or a block
            return event.value
        literal = _LITERALS.get(self._loader.resolve(yaml.ScalarNode, event.value, event.implicit))
        return literal(event.value) if literal else NotText()


def _at(event: Any, problem: str) -> YAMLError:
    mark = event.start_mark
    return YAMLError(problem, mark.line + 1, mark.column + 1)
