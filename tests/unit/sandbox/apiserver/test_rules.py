"""Validation rules of CRDs: the expressions, and where and when they are judged."""

from __future__ import annotations

from typing import Any

import pytest

from controller.sandbox.apiserver.cel import EvaluationFailed, Maybe, Unsupported, compile_rule
from controller.sandbox.apiserver.schema import compile_schema

Json = dict[str, Any]
SELF: Json = {"n": 3, "f": 2.5, "s": "hello", "l": [1, 2, 3], "m": {"a": {"b": "x"}}, "items": [{"k": "a"}, {"k": "b"}]}


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (True, "self.n == 3"),
        (True, "self.n == 3.0"),
        (False, "true == 1"),
        (True, "self.n != 4 && self.s == 'hello'"),
        (True, 'self.s == "hel" + "lo"'),
        (True, "self.n > 2 || self.missing"),
        (True, "self.missing || self.n > 2"),
        (False, "self.missing && self.n > 5"),
        (True, "!(self.n < 3)"),
        (True, "self.n in [1, 2, 3]"),
        (True, "'a' in self.m"),
        (True, "self.l[0] == 1 && self.m['a'].b == 'x'"),
        (True, "has(self.m.a.b) && !has(self.m.c)"),
        (True, "size(self.l) == 3 && self.s.size() == 5"),
        (True, "self.s.startsWith('he') && self.s.endsWith('lo') && self.s.contains('ell')"),
        (True, "self.s.matches('^h.*o$')"),
        (True, "self.l.all(x, x > 0)"),
        (True, "self.l.exists(x, x == 2) && self.l.exists_one(x, x == 2)"),
        ([2, 4, 6], "self.l.map(x, x * 2)"),
        ([3], "self.l.filter(x, x > 2)"),
        (True, "self.items.all(i, self.items.exists_one(j, j.k == i.k))"),
        ("big", "self.n > 2 ? 'big' : 'small'"),
        (7, "1 + 2 * 3"),
        (1, "7 / 4"),
        (-1, "-7 / 4"),
        (3, "7 % 4"),
        (2, "5 - 2 - 1"),
        (True, "self.f >= 2.5"),
        (None, "null"),
        ("it's", r"'it\'s'"),
        (True, "'&&' == '&&'"),
        (True, "{} != self.m && (has(self.missing) ? self.missing : {}) == {}"),
        (True, "was.hasValue() && was.value().n == 2 && !none.hasValue()"),
    ],
)
def test_an_expression_has_a_value(expected: Any, text: str) -> None:
    assert expected == compile_rule(text)({"self": SELF, "was": Maybe(True, {"n": 2}), "none": Maybe(False, None)})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "self.",
        "self.n ==",
        "self.n &&& 1",
        "duration('1h') > self.d",
        "self.l.sum()",
        "{'a': 1}",
        "self..n",
        "1 2",
        "self.l.all(1, x)",
    ],
)
def test_what_is_not_understood_is_said(text: str) -> None:
    with pytest.raises(Unsupported):
        compile_rule(text)


@pytest.mark.parametrize("text", ["self.missing == 1", "self.s > 1", "self.l[9]", "1 / 0", "size(1)", "none.value()"])
def test_an_expression_without_a_value_fails(text: str) -> None:
    with pytest.raises(EvaluationFailed):
        compile_rule(text)({"self": SELF, "none": Maybe(False, None)})


# ── rules in schemas ────────────────────────────────────────────────────────────────────────────────


def node(kind: str, rule: str, **rest: Any) -> Json:
    message = {"message": rest.pop("message")} if "message" in rest else {}
    return {"type": kind, "x-kubernetes-validations": [{"rule": rule, **message}], **rest}


def broken(spec_schema: Json, spec: Any, old: Any = ...) -> list[tuple[str, str]]:
    schema = compile_schema({"type": "object", "properties": {"spec": spec_schema}})
    before = None if old is ... else {"spec": old}
    return [(error.field, error.message) for error in schema.validate({"spec": spec}, before)]


IMMUTABLE = node("string", "self == oldSelf", message=" does not change ")


def test_a_broken_rule_of_a_scalar_shows_the_value() -> None:
    assert broken(node("string", "self.size() < 3"), "long") == [
        ("spec", 'Invalid value: "long": failed rule: self.size() < 3')
    ]


def test_a_broken_rule_of_an_object_does_not() -> None:
    schema = node("object", "self.a <= self.b", properties={"a": {"type": "integer"}, "b": {"type": "integer"}})
    assert broken(schema, {"a": 2, "b": 1}) == [("spec", "Invalid value: failed rule: self.a <= self.b")]
    assert broken(schema, {"a": 1, "b": 1}) == []


def test_a_transition_rule_is_judged_on_update_only() -> None:
    assert broken(IMMUTABLE, "a") == []
    assert broken(IMMUTABLE, "a", "a") == []
    assert broken(IMMUTABLE, "b", "a") == [("spec", 'Invalid value: "b": does not change')]


def test_a_transition_rule_needs_a_value_before() -> None:
    schema = {"type": "object", "properties": {"a": IMMUTABLE}}
    assert broken(schema, {"a": "1"}, {}) == []
    assert broken(schema, {}, {"a": "1"}) == []
    assert [field for field, _ in broken(schema, {"a": "2"}, {"a": "1"})] == ["spec.a"]


def test_a_rule_with_an_optional_former_self_is_judged_on_creation_too() -> None:
    rule = {"rule": "self > 2 || oldSelf.hasValue() && oldSelf.value() <= 2", "optionalOldSelf": True, "message": "no"}
    schema = {"type": "integer", "x-kubernetes-validations": [rule]}
    assert [broken(schema, 1), broken(schema, 3), broken(schema, 1, 2)] == [[("spec", "Invalid value: 1: no")], [], []]
    assert broken(schema, 1, 3) == [("spec", "Invalid value: 1: no")]


# ── what did not change ─────────────────────────────────────────────────────────────────────────────

SMALL = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 2}, "l": {"type": "array", "maxItems": 1,
         "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}, "free":
         {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "old", "fields"),
    [
        ({"n": 3}, {"n": 3}, []),
        ({"n": 3}, {"n": 4}, ["spec.n"]),
        ({"n": 3}, {}, ["spec.n"]),
        ({"n": 3, "free": {"a": 1}}, {"n": 3}, []),
        ({"l": [{"a": 1}, {}]}, {"l": [{"a": 1}, {}]}, []),
        ({"l": [{"a": 1}, {}]}, {"l": [{}, {"a": 1}]}, ["spec.l"]),
    ],
)
def test_an_error_in_what_did_not_change_is_forgiven(spec: Json, old: Json, fields: list[str]) -> None:
    assert [field for field, _ in broken(SMALL, spec, old)] == fields


@pytest.mark.parametrize(("free", "forgiven"), [({}, True), ({"a": 1}, False)])
def test_a_rule_is_forgiven_only_where_the_schema_knows_every_field(free: Json, forgiven: bool) -> None:
    schema = {**SMALL, "x-kubernetes-validations": [{"rule": "self.n < 3", "message": "no"}]}
    schema["properties"] = {**SMALL["properties"], "n": {"type": "integer"}}
    same = {"n": 3, "free": free}
    assert (broken(schema, same, dict(same)) == []) is forgiven


def test_items_of_a_keyed_list_are_compared_with_their_partners() -> None:
    schema = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": IMMUTABLE}},
    }
    before = [{"k": "a", "v": "1"}, {"k": "b", "v": "2"}]
    assert broken(schema, [before[1], before[0]], before) == []
    assert [field for field, _ in broken(schema, [{"k": "b", "v": "9"}, {"k": "c", "v": "1"}], before)] == ["spec[0].v"]


def test_items_of_other_lists_have_no_partner() -> None:
    assert broken({"type": "array", "items": IMMUTABLE}, ["b"], ["a"]) == []


def test_values_of_a_map_are_named_by_key() -> None:
    schema = {"type": "object", "additionalProperties": IMMUTABLE}
    assert [field for field, _ in broken(schema, {"x": "2"}, {"x": "1"})] == ["spec[x]"]


def test_a_reason_and_a_field_of_the_rule_are_used() -> None:
    rule = {"rule": "false", "message": "no", "reason": "FieldValueForbidden", "fieldPath": ".a"}
    schema = compile_schema(
        {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-validations": [rule]}}}
    )
    (error,) = schema.validate({"spec": {}})
    assert (error.field, error.reason, error.message) == ("spec.a", "FieldValueForbidden", "Forbidden: no")


def test_a_rule_that_is_not_understood_is_passed_over() -> None:
    assert broken(node("string", "isURL(self)"), "x") == []


def test_a_rule_without_a_value_is_broken() -> None:
    ((field, message),) = broken(node("object", "self.missing == 1"), {})
    assert field == "spec"
    assert "evaluation failed" in message


def test_rules_wait_until_the_types_are_right() -> None:
    assert [message for _, message in broken(node("string", "self.size() < 3"), 1)] == [
        'Invalid value: "integer": spec in body must be of type string: "integer"'
    ]
