"""Validation rules of CRDs (``x-kubernetes-validations``), evaluated on an object and on what it was before."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from controller.sandbox.apiserver.cel import EvaluationFailed, Maybe, Unsupported, compile_rule
from controller.sandbox.apiserver.ratcheting import unchanged
from controller.sandbox.apiserver.validation import NO_VALUE, FieldError, field_error

if TYPE_CHECKING:
    from controller.sandbox.apiserver.schema import Schema

_OLD: Final = re.compile(r"\boldSelf\b")


def broken_rules(value: Any, old: Any, schema: Schema, path: str = "") -> Iterator[FieldError]:
    """The rules of ``schema`` that ``value`` breaks. ``old``: the value before, ``NO_VALUE`` when there was none.

    A rule that speaks of ``oldSelf`` holds where there is nothing to compare with, unless it takes an optional one. One
    that does not speak of it holds where nothing has changed. Rules in a part of the language that is not understood
    are passed over.
    """
    if value is None:
        return
    for rule in schema.rules.get("x-kubernetes-validations") or ():
        yield from _judge(rule, value, old, schema, path)
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        for key, item in value.items():
            known = schema.properties.get(key)
            below = (f"{path}.{key}" if path else key) if known is not None else f"{path}[{key}]"
            known = known or schema.additional
            if known is not None:
                yield from broken_rules(item, before.get(key, NO_VALUE), known, below)
    elif isinstance(value, list) and schema.items is not None:
        partners = _by_key(old, schema)
        for index, item in enumerate(value):
            partner = partners.get(_key(item, schema), NO_VALUE)
            yield from broken_rules(item, partner, schema.items, f"{path}[{index}]")


def _judge(rule: dict[str, Any], value: Any, old: Any, schema: Schema, path: str) -> Iterator[FieldError]:
    text = rule.get("rule", "")
    of_change, optional = _OLD.search(text) is not None, rule.get("optionalOldSelf") is True
    if of_change and old is NO_VALUE and not optional:
        return
    try:
        before = Maybe(old is not NO_VALUE, old) if optional else old
        if compile_rule(text)({"self": value, "oldSelf": before}):
            return
        if not of_change and old is not NO_VALUE and unchanged(value, old, schema):
            return
        detail = _said(rule, value, old) or (rule.get("message") or f"failed rule: {text.strip()}").strip()
    except Unsupported:
        return
    except EvaluationFailed as error:
        detail = f"rule: {text.strip()}: evaluation failed: {error}"
    field = f"{path}{rule.get('fieldPath', '')}".lstrip(".")
    shown = NO_VALUE if schema.type in ("object", "array") else value
    yield field_error(field, rule.get("reason") or "FieldValueInvalid", shown, detail)


def _said(rule: dict[str, Any], value: Any, old: Any) -> str:
    """What the rule's expression for a message says, "" when that is no line of text.

    It has ``oldSelf`` as it is even where the rule has an optional one, as on every kube-apiserver (1.36 and before).
    """
    text = rule.get("messageExpression")
    if not text:
        return ""
    try:
        said = compile_rule(text)({"self": value, **({} if old is NO_VALUE else {"oldSelf": old})})
    except (EvaluationFailed, Unsupported):
        return ""
    return "" if not isinstance(said, str) or "\n" in said.strip() else said.strip()


def _key(item: Any, schema: Schema) -> str:
    if schema.list_type != "map" or not isinstance(item, dict):
        return ""
    return json.dumps([item.get(name) for name in schema.list_keys])


def _by_key(items: Any, schema: Schema) -> dict[str, Any]:
    """Items of a keyed list by their key; lists of other kinds have no partners."""
    if schema.list_type != "map" or not isinstance(items, list):
        return {}
    return {_key(item, schema): item for item in items}
