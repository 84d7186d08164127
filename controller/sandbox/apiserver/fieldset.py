"""FieldsV1: sets of field paths, as ``managedFields`` records who owns what.

A path element is the text that FieldsV1 itself uses: ``f:<name>`` a field, ``k:{...}`` an item of a keyed list,
``v:<value>`` an item of a set, ``i:<n>`` an index. Its JSON is canonical, so equal elements are equal strings.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]


def canonical(value: Any) -> str:
    """JSON as Go writes it: sorted keys, no spaces, ``<>&`` escaped, whole floats as integers."""
    text = json.dumps(_whole(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value


def field_element(name: str) -> str:
    """The element of the field ``name``."""
    return f"f:{name}"


def key_element(keys: dict[str, Any]) -> str:
    """The element of a list item with these values of its list-map keys."""
    return "k:{" + ",".join(f"{canonical(name)}:{canonical(keys[name])}" for name in sorted(keys)) + "}"


def value_element(value: Any) -> str:
    """The element of an item of a set."""
    return f"v:{canonical(value)}"


def parse_element(text: str) -> str | None:
    """A path element that came from a request, made canonical; None for a kind of element that is not known.

    Raises ``ValueError`` when it is malformed.
    """
    if len(text) < 2 or text[1] != ":":
        raise ValueError(f"not a path element: {text!r}")
    kind, body = text[0], text[2:]
    if kind == "f":
        return text
    if kind == "i":
        return f"i:{int(body)}"
    if kind == "v":
        return value_element(json.loads(body))
    if kind == "k":
        keys = json.loads(body)
        if not isinstance(keys, dict):
            raise ValueError(f"not a path element: {text!r}")
        return key_element(keys)
    return None


def describe_element(element: str) -> str:
    """``.name``, ``[name="x",port=1]``, ``[="x"]`` or ``[0]``: the words of conflict messages."""
    kind, body = element[0], element[2:]
    if kind == "f":
        return f".{body}"
    if kind == "v":
        return f"[={_say(json.loads(body))}]"
    if kind == "k":
        return "[" + ",".join(f"{name}={_say(value)}" for name, value in json.loads(body).items()) + "]"
    return f"[{body}]"


def describe(path: Path) -> str:
    """A whole path in the words of conflict messages: ``.spec.list[name="x"].value``."""
    return "".join(describe_element(element) for element in path)


def _say(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "null" if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))


@functools.lru_cache(maxsize=8192)
def order(element: str) -> tuple[Any, ...]:
    """A sort key: fields, then keyed items, set items, indexes, each in its own order."""
    kind, body = element[0], element[2:]
    if kind == "f":
        return (0, body)
    if kind == "k":
        return (1, tuple((name, _rank(value)) for name, value in json.loads(body).items()))
    if kind == "v":
        return (2, _rank(json.loads(body)))
    return (3, int(body))


def _rank(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, int | float):
        return (0, value)
    if isinstance(value, str):
        return (1, value)
    return (4,) if value is None else (3, canonical(value))


class FieldSet:
    """A set of paths as a tree. A node's member may also have children: both the item and fields in it are owned."""

    __slots__ = ("children", "members")

    def __init__(self) -> None:
        self.members: set[str] = set()
        self.children: dict[str, FieldSet] = {}

    @classmethod
    def of(cls, *paths: Path) -> FieldSet:
        """The set of exactly these paths."""
        found = cls()
        for path in paths:
            found.insert(path)
        return found

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> FieldSet:
        """The set that a ``fieldsV1`` object says; raises ``ValueError`` when it is malformed."""
        found = cls()
        for text, below in fields.items():
            if text == ".":
                continue
            element = parse_element(text)
            if element is None:
                continue
            if not isinstance(below, dict):
                raise ValueError(f"fields below {text!r} are not an object")
            child = cls.from_json(below)
            if "." in below or child.empty():
                found.members.add(element)
            if not child.empty():
                found.children[element] = child
        return found

    def to_json(self) -> dict[str, Any]:
        """The ``fieldsV1`` object, keys in the server's order."""
        fields: dict[str, Any] = {}
        for element in sorted(self.members | self.children.keys(), key=order):
            child = self.children.get(element)
            below = child.to_json() if child is not None else {}
            fields[element] = {".": {}, **below} if below and element in self.members else below
        return fields

    def insert(self, path: Path) -> None:
        """Adds one path, not its parents. The empty path is never owned."""
        if not path:
            return
        node = self
        for element in path[:-1]:
            node = node.children.setdefault(element, FieldSet())
        node.members.add(path[-1])

    def has(self, path: Path) -> bool:
        node: FieldSet | None = self
        for element in path[:-1]:
            node = node.children.get(element) if node else None
        return bool(path) and node is not None and path[-1] in node.members

    def under(self, element: str) -> FieldSet:
        """The paths below ``element``, without it."""
        return self.children.get(element) or FieldSet()

    def empty(self) -> bool:
        return not self.members and all(child.empty() for child in self.children.values())

    def paths(self) -> list[Path]:
        """Every path: at each level first the members, then what is below, in order."""
        return list(self._walk(()))

    def _walk(self, prefix: Path) -> Iterator[Path]:
        for element in sorted(self.members, key=order):
            yield (*prefix, element)
        for element in sorted(self.children, key=order):
            yield from self.children[element]._walk((*prefix, element))

    def leaves(self) -> FieldSet:
        """The paths that have nothing below them."""
        found = FieldSet()
        found.members = {e for e in self.members if e not in self.children}
        found.children = {e: child.leaves() for e, child in self.children.items()}
        return found

    def union(self, other: FieldSet) -> FieldSet:
        found = FieldSet()
        found.members = self.members | other.members
        for element in self.children.keys() | other.children.keys():
            mine, theirs = self.children.get(element), other.children.get(element)
            found.children[element] = mine.union(theirs) if mine and theirs else mine or theirs or FieldSet()
        return found

    def intersection(self, other: FieldSet) -> FieldSet:
        found = FieldSet()
        found.members = self.members & other.members
        for element in self.children.keys() & other.children.keys():
            found._adopt(element, self.children[element].intersection(other.children[element]))
        return found

    def difference(self, other: FieldSet) -> FieldSet:
        """Path by path: a parent in ``other`` takes nothing away from its children here, nor the reverse."""
        found = FieldSet()
        found.members = self.members - other.members
        for element, child in self.children.items():
            theirs = other.children.get(element)
            found._adopt(element, child.difference(theirs) if theirs else child)
        return found

    def without(self, other: FieldSet) -> FieldSet:
        """The recursive difference: a path in ``other`` takes everything below it away too."""
        found = FieldSet()
        found.members = self.members - other.members
        for element, child in self.children.items():
            if element not in other.members:
                theirs = other.children.get(element)
                found._adopt(element, child.without(theirs) if theirs else child)
        return found

    def _adopt(self, element: str, child: FieldSet) -> None:
        if not child.empty():
            self.children[element] = child

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"FieldSet({', '.join(describe(path) for path in self.paths())})"
