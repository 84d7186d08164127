"""The part of JSONPath that printer columns and selectable fields use."""

from __future__ import annotations

import functools
import re
from typing import Any, Final

_STEP: Final = re.compile(
    r"""\.?\[\?\(\s*@((?:\.[\w-]+)+)\s*(==|!=)\s*(?:"([^"]*)"|'([^']*)'|([\w.-]+))\s*\)\]  # [?(@.a=="b")]
      | \.?\[(\*|-?\d+)\]                                                                 # [0], [*]
      | \.?\['((?:[^'\\]|\\.)*)'\]                                                        # ['a.b']
      | \.(\*)                                                                            # .*
      | \.((?:[^.\[\\]|\\.)+)                                                             # .a, .a\.b
    """,
    re.VERBOSE,
)


@functools.lru_cache(maxsize=1024)
def _compiled(path: str) -> tuple[tuple[Any, ...], ...] | None:
    """The steps of a path; None when it is none of this subset."""
    text = path.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    text = text.removeprefix("$")
    if text and text[0] not in ".[":
        text = "." + text
    steps: list[tuple[Any, ...]] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            return None
        position = match.end()
        where, operator, *quoted, index, name, star, plain = match.groups()
        if where is not None:
            wanted = next(q for q in quoted if q is not None)
            steps.append(("filter", tuple(where[1:].split(".")), operator, wanted))
        elif star or index == "*":
            steps.append(("all",))
        elif index is not None:
            steps.append(("index", int(index)))
        else:
            steps.append(("key", re.sub(r"\\(.)", r"\1", name if name is not None else plain)))
    return tuple(steps)


def valid(path: str) -> bool:
    """Whether ``path`` is understood."""
    return _compiled(path) is not None


def find(obj: Any, path: str) -> list[Any]:
    """Everything at ``path``, in order."""
    found = [obj]
    for step in _compiled(path) or (("none",),):
        found = [below for value in found for below in _take(value, step)]
    return found


def first(obj: Any, path: str) -> Any:
    """The first value at ``path``, None when there is none."""
    return next(iter(find(obj, path)), None)


def _take(value: Any, step: tuple[Any, ...]) -> list[Any]:
    match step[0]:
        case "key":
            return [value[step[1]]] if isinstance(value, dict) and step[1] in value else []
        case "index":
            inside = isinstance(value, list) and -len(value) <= step[1] < len(value)
            return [value[step[1]]] if inside else []
        case "all":
            return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
        case "filter":
            items = value if isinstance(value, list) else []
            return [item for item in items if (_text(item, step[1]) == step[3]) == (step[2] == "==")]
        case _:
            return []


def _text(item: Any, keys: tuple[str, ...]) -> str | None:
    for key in keys:
        if not isinstance(item, dict) or key not in item:
            return None
        item = item[key]
    return str(item).lower() if isinstance(item, bool) else str(item)
