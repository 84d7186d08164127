"""YAML as Go's encoder writes it: sorted keys, lists not indented, quotes only where they are needed.

A text that only means the same would change the ConfigMap's content, and with it restart pods.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

# What a YAML 1.1 reader would take for a boolean, a null or a number.
_OTHER: Final = re.compile(
    r"~|null|true|false|yes|no|on|off|y|n|"
    r"[-+]?(?:0b[01_]+|0x[0-9a-f_]+|0o?[0-7_]+|[0-9][0-9_]*(?:\.[0-9_]*)?(?:e[-+]?[0-9]+)?|\.[0-9_]+(?:e[-+]?[0-9]+)?|"
    r"\.inf|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?)|\.nan|"
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*|=|<<",
    re.IGNORECASE,
)
_INDICATOR: Final = re.compile(r"[-?:](?:\s|$)|[,\[\]{}#&*!|>'\"%@`]|---|\.\.\.")
_INSIDE: Final = re.compile(r": |:$| #|^ | $")
_SHORT: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def dump(value: dict[str, Any]) -> str:
    """The YAML text of a map of maps, lists, strings, numbers and booleans."""
    return "".join(line + "\n" for line in _lines(value)) if value else "{}\n"


def _lines(value: dict[str, Any] | list[Any]) -> list[str]:
    found: list[str] = []
    if isinstance(value, dict):
        for key in sorted(value):
            item = value[key]
            if isinstance(item, dict) and item:
                found += [f"{_scalar(key)}:", *(f"  {line}" for line in _lines(item))]
            elif isinstance(item, list) and item:
                found += [f"{_scalar(key)}:", *_lines(item)]
            else:
                found.append(f"{_scalar(key)}: {_scalar(item)}")
        return found
    for item in value:
        if isinstance(item, dict | list) and item:
            first, *rest = _lines(item)
            found += [f"- {first}", *(f"  {line}" for line in rest)]
        else:
            found.append(f"- {_scalar(item)}")
    return found


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    if not value.isprintable():
        return '"' + "".join(map(_escaped, value)) + '"'
    if not value or _OTHER.fullmatch(value):
        return f'"{value}"'
    if _INDICATOR.match(value) or _INSIDE.search(value):
        escaped = value.replace("'", "''")
        return f"'{escaped}'"
    return value


def _escaped(character: str) -> str:
    if character in ('"', "\\"):
        return f"\\{character}"
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code > 0xFFFF:
        return f"\\U{code:08X}"
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}"
