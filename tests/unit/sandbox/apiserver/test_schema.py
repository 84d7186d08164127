"""Structural schemas: pruning, defaulting, and validation in kube-apiserver's words."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.sandbox.apiserver.schema import compile_schema

Json = dict[str, Any]
HEAD: Json = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}}
TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "integer"}
PRESERVE: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def thing(spec: Any) -> Json:
    return {**copy.deepcopy(HEAD), "spec": spec}


def of_spec(node: Json) -> Json:
    return {"type": "object", "properties": {"spec": node}}


def pruned(node: Json, spec: Any) -> tuple[Any, list[str]]:
    obj = thing(copy.deepcopy(spec))
    dropped = compile_schema(of_spec(node)).prune(obj)
    return obj.get("spec"), dropped


def defaulted(node: Json, spec: Any) -> Any:
    obj = thing(copy.deepcopy(spec))
    compile_schema(of_spec(node)).default(obj)
    return obj.get("spec")


# ── pruning ─────────────────────────────────────────────────────────────────────────────────────────

KNOWN: Json = {"type": "object", "properties": {"a": TEXT}}


@pytest.mark.parametrize(
    ("expected", "dropped", "node", "spec"),
    [
        ({"a": "1"}, [], KNOWN, {"a": "1"}),
        ({"a": "1"}, ["spec.b"], KNOWN, {"a": "1", "b": {"c": 1}}),
        ({}, ["spec.b"], {"type": "object"}, {"b": 1}),
        ({"x": {"a": "1"}}, ["spec.x.b"], {"type": "object", "additionalProperties": KNOWN}, {"x": {"a": "1", "b": 2}}),
        ([{"a": "1"}, {}], ["spec[1].b"], {"type": "array", "items": KNOWN}, [{"a": "1"}, {"b": 1}]),
        ({"b": {"c": 1}}, [], PRESERVE, {"b": {"c": 1}}),
        (
            {"b": 1, "k": {"a": "1"}},
            ["spec.k.z"],
            {**PRESERVE, "properties": {"k": KNOWN}},
            {"b": 1, "k": {"a": "1", "z": 1}},
        ),
        (
            [{"b": 1, "k": {}}],
            ["spec[0].k.z"],
            {
                "type": "array",
                "x-kubernetes-preserve-unknown-fields": True,
                "items": {"type": "object", "properties": {"k": KNOWN}},
            },
            [{"b": 1, "k": {"z": 1}}],
        ),
        (
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "a": "1"},
            ["spec.b", "spec.metadata.nope"],
            {**KNOWN, "x-kubernetes-embedded-resource": True},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "nope": 1}, "a": "1", "b": 1},
        ),
        ({}, ["spec.apiVersion"], {"type": "object"}, {"apiVersion": "v1"}),
        ("text", [], KNOWN, "text"),
        (None, [], KNOWN, None),
    ],
)
def test_unknown_fields_are_dropped(expected: Any, dropped: list[str], node: Json, spec: Any) -> None:
    assert (expected, dropped) == pruned(node, spec)


def test_the_head_of_an_object_stays_and_its_metadata_is_pruned() -> None:
    obj = {**copy.deepcopy(HEAD), "other": 1}
    obj["metadata"] = {"name": "x", "labels": {"a": "b"}, "color": "red", "ownerReferences": [{"uid": "1", "size": 2}]}
    assert compile_schema({"type": "object"}).prune(obj) == [
        "metadata.color",
        "metadata.ownerReferences[0].size",
        "other",
    ]
    assert obj == {**HEAD, "metadata": {"name": "x", "labels": {"a": "b"}, "ownerReferences": [{"uid": "1"}]}}


def test_a_part_of_an_object_has_no_head() -> None:
    part: Json = {"a": "1", "kind": "Thing"}
    schema = compile_schema(KNOWN)
    del schema.properties["kind"]
    assert schema.prune(part, metadata_root=False) == ["kind"]


def test_a_preserving_root_keeps_everything_but_unknown_metadata() -> None:
    obj = {**copy.deepcopy(HEAD), "any": {"thing": 1}}
    obj["metadata"]["color"] = "red"
    assert compile_schema(PRESERVE).prune(obj) == ["metadata.color"]
    assert obj["any"] == {"thing": 1}


# ── defaulting ──────────────────────────────────────────────────────────────────────────────────────

WITH_DEFAULT: Json = {"type": "object", "properties": {"a": {"type": "integer", "default": 3}}}


@pytest.mark.parametrize(
    ("expected", "node", "spec"),
    [
        ({"a": 3}, WITH_DEFAULT, {}),
        ({"a": 1}, WITH_DEFAULT, {"a": 1}),
        ({"a": 3}, WITH_DEFAULT, {"a": None}),
        ({"a": None}, {"type": "object", "properties": {"a": {**NUMBER, "nullable": True, "default": 3}}}, {"a": None}),
        ({"x": {"a": 3}}, {"type": "object", "additionalProperties": WITH_DEFAULT}, {"x": {}}),
        ([{"a": 3}, {"a": 1}], {"type": "array", "items": WITH_DEFAULT}, [{}, {"a": 1}]),
        ({"in": {"a": 3}}, {"type": "object", "properties": {"in": {**WITH_DEFAULT, "default": {}}}}, {}),
        ({}, {"type": "object", "properties": {"in": WITH_DEFAULT}}, {}),
        ({}, {"type": "object", "properties": {"b": TEXT}}, {"b": None}),
        ({"b": None}, {"type": "object", "properties": {"b": {**TEXT, "nullable": True}}}, {"b": None}),
        ([3], {"type": "array", "items": {**NUMBER, "default": 3}}, [None]),
        ([None], {"type": "array", "items": NUMBER}, [None]),
        ({"x": 7}, {"type": "object", "additionalProperties": {**NUMBER, "default": 7}}, {"x": None}),
        ({}, {"type": "object", "additionalProperties": NUMBER}, {"x": None}),
        ({"free": None}, PRESERVE, {"free": None}),
        ({"f": False}, {"type": "object", "properties": {"f": {"type": "boolean", "default": False}}}, {}),
    ],
)
def test_defaults_are_set_and_forbidden_nulls_vanish(expected: Any, node: Json, spec: Any) -> None:
    assert expected == defaulted(node, spec)


def test_a_default_is_copied_into_each_object() -> None:
    schema = compile_schema({"type": "object", "properties": {"spec": {**PRESERVE, "default": {"list": []}}}})
    one, two = copy.deepcopy(HEAD), copy.deepcopy(HEAD)
    schema.default(one)
    one["spec"]["list"].append(1)
    schema.default(two)
    assert two["spec"] == {"list": []}


# ── validation ──────────────────────────────────────────────────────────────────────────────────────

LIST_MAP: Json = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["k"],
    "items": {"type": "object", "properties": {"k": TEXT}},
}
SET: Json = {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT}
PORT: Json = {"x-kubernetes-int-or-string": True}


def either(word: str) -> Json:
    return {"type": "object", word: [{"required": ["a"]}, {"required": ["b"]}]}


@pytest.mark.parametrize(
    ("field", "reason", "message", "node", "value"),
    [
        ("spec", "TypeInvalid", 'Invalid value: "string": spec in body must be of type integer: "string"', NUMBER, "x"),
        ("spec", "TypeInvalid", 'Invalid value: "integer": spec in body must be of type string: "integer"', TEXT, 1),
        ("spec", "TypeInvalid", 'Invalid value: "null": spec in body must be of type string: "null"', TEXT, None),
        ("spec", "TypeInvalid", 'Invalid value: "array": spec in body must be of type object: "array"', KNOWN, []),
        (
            "spec",
            "TypeInvalid",
            'Invalid value: "object": spec in body must be of type array: "object"',
            {"type": "array", "items": TEXT},
            {},
        ),
        (
            "spec",
            "TypeInvalid",
            'Invalid value: "integer": spec in body must be of type boolean: "integer"',
            {"type": "boolean"},
            0,
        ),
        (
            "spec",
            "TypeInvalid",
            'Invalid value: "boolean": spec in body must be of type integer,string: "boolean"',
            PORT,
            True,
        ),
        (
            "spec.a",
            "TypeInvalid",
            'Invalid value: "integer": spec.a in body must be of type string: "integer"',
            KNOWN,
            {"a": 1},
        ),
        ("spec.a", "Required", "Required value", {"type": "object", "required": ["a"]}, {}),
        ("spec[1]", "Duplicate", 'Duplicate value: "a"', SET, ["a", "a", "a"]),
        ("spec[1]", "Duplicate", 'Duplicate value: {"k":"a"}', LIST_MAP, [{"k": "a"}, {"k": "a"}]),
        (
            "spec",
            "NotSupported",
            'Unsupported value: "z": supported values: "x", "y"',
            {"type": "string", "enum": ["x", "y"]},
            "z",
        ),
        (
            "spec",
            "NotSupported",
            'Unsupported value: 3: supported values: "1", "2"',
            {"type": "integer", "enum": [1, 2]},
            3,
        ),
        (
            "spec",
            "Invalid",
            "Invalid value: \"A\": spec in body should match '^[a-z]+$'",
            {"type": "string", "pattern": "^[a-z]+$"},
            "A",
        ),
        (
            "spec",
            "Invalid",
            "Invalid value: \"a\\n\": spec in body should match '^[a-z]+$'",
            {"type": "string", "pattern": "^[a-z]+$"},
            "a\n",
        ),
        (
            "spec",
            "Invalid",
            'Invalid value: "a": spec in body should be at least 2 chars long',
            {"type": "string", "minLength": 2},
            "a",
        ),
        ("spec", "TooLong", "Too long: may not be more than 2 bytes", {"type": "string", "maxLength": 2}, "abc"),
        (
            "spec",
            "Invalid",
            "Invalid value: 0: spec in body should be greater than or equal to 1",
            {"type": "integer", "minimum": 1},
            0,
        ),
        (
            "spec",
            "Invalid",
            "Invalid value: 1: spec in body should be greater than 1",
            {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
            1,
        ),
        (
            "spec",
            "Invalid",
            "Invalid value: 9: spec in body should be less than or equal to 5",
            {"type": "integer", "maximum": 5},
            9,
        ),
        (
            "spec",
            "Invalid",
            "Invalid value: 0.7: spec in body should be greater than or equal to 1.5",
            {"type": "number", "minimum": 1.5},
            0.7,
        ),
        (
            "spec",
            "Invalid",
            "Invalid value: 3: spec in body should be a multiple of 2",
            {"type": "integer", "multipleOf": 2},
            3,
        ),
        (
            "<nil>",
            "Invalid",
            'Invalid value: "": Checked value must be of type integer with format int32 in spec',
            {"type": "integer", "format": "int32"},
            1 << 40,
        ),
        (
            "spec",
            "TypeInvalid",
            'Invalid value: "nope": spec in body must be of type date-time: "nope"',
            {"type": "string", "format": "date-time"},
            "nope",
        ),
        (
            "spec",
            "TypeInvalid",
            'Invalid value: "%": spec in body must be of type byte: "%"',
            {"type": "string", "format": "byte"},
            "%",
        ),
        (
            "spec",
            "Invalid",
            "Invalid value: 0: spec in body should have at least 1 items",
            {"type": "array", "items": TEXT, "minItems": 1},
            [],
        ),
        (
            "spec",
            "TooMany",
            "Too many: 2: must have at most 1 item",
            {"type": "array", "items": TEXT, "maxItems": 1},
            ["a", "b"],
        ),
        (
            "spec",
            "TooMany",
            "Too many: 3: must have at most 2 items",
            {"type": "object", "additionalProperties": NUMBER, "maxProperties": 2},
            {"a": 1, "b": 2, "c": 3},
        ),
        (
            "spec",
            "Invalid",
            "Invalid value: 0: spec in body should have at least 1 properties",
            {"type": "object", "additionalProperties": NUMBER, "minProperties": 1},
            {},
        ),
        (
            "<nil>",
            "Invalid",
            'Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives',
            either("oneOf"),
            {"a": 1, "b": 1},
        ),
        (
            "<nil>",
            "Invalid",
            'Invalid value: "": "spec" must validate at least one schema (anyOf)',
            either("anyOf"),
            {},
        ),
        (
            "<nil>",
            "Invalid",
            'Invalid value: "": "spec" must validate all the schemas (allOf)',
            either("allOf"),
            {"a": 1},
        ),
        (
            "<nil>",
            "Invalid",
            'Invalid value: "": "spec" must not validate the schema (not)',
            {"type": "object", "not": {"required": ["a"]}},
            {"a": 1},
        ),
    ],
)
def test_a_wrong_value_is_named_as_kube_does(field: str, reason: str, message: str, node: Json, value: Any) -> None:
    errors = compile_schema(of_spec(node)).validate(thing(value))
    assert (field, f"FieldValue{reason}", message) in [(e.field, e.reason, e.message) for e in errors]


@pytest.mark.parametrize(
    ("node", "value"),
    [
        (NUMBER, 3),
        (NUMBER, 3.0),
        ({"type": "number"}, 3),
        ({**TEXT, "nullable": True}, None),
        (PORT, 80),
        (PORT, "http"),
        ({"type": "string", "format": "date-time"}, "2026-01-01T00:00:00.5+02:00"),
        ({"type": "string", "format": "no-such-format"}, "anything"),
        ({"type": "string", "pattern": "b"}, "abc"),
        (SET, ["a", "b"]),
        (LIST_MAP, [{"k": "a"}, {"k": "b"}]),
        (either("oneOf"), {"a": 1}),
        (PRESERVE, {"any": [1, None]}),
    ],
)
def test_a_right_value_passes(node: Json, value: Any) -> None:
    assert compile_schema(of_spec(node)).validate(thing(value)) == []


def test_an_error_reads_as_in_the_status_message() -> None:
    (error,) = compile_schema({"type": "object", "required": ["spec"]}).validate(copy.deepcopy(HEAD))
    assert str(error) == "spec: Required value"


# ── properties ──────────────────────────────────────────────────────────────────────────────────────

names = st.sampled_from("abcd")


def _node(children: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    extras = st.fixed_dictionaries({}, optional={"nullable": st.booleans(), "default": st.just({})})
    objects = st.dictionaries(names, children, max_size=3).map(lambda p: {"type": "object", "properties": p})
    maps = children.map(lambda c: {"type": "object", "additionalProperties": c})
    return st.one_of(
        st.tuples(objects, extras).map(lambda pair: {**pair[0], **pair[1]}),
        maps,
        children.map(lambda c: {"type": "array", "items": c}),
        objects.map(lambda o: {**o, "x-kubernetes-preserve-unknown-fields": True}),
    )


leaves = st.sampled_from([TEXT, NUMBER, {**NUMBER, "default": 1}, {**TEXT, "nullable": True}])
nodes = st.recursive(leaves, _node, max_leaves=8)
values = st.recursive(
    st.one_of(st.none(), st.integers(0, 3), st.text(max_size=2)),
    lambda children: st.one_of(st.lists(children, max_size=3), st.dictionaries(names, children, max_size=3)),
    max_leaves=10,
)


@given(nodes, values)
def test_pruning_twice_is_pruning_once(node: Json, value: Any) -> None:
    schema, obj = compile_schema(of_spec(node)), thing(value)
    schema.prune(obj)
    once = copy.deepcopy(obj)
    assert schema.prune(obj) == []
    assert once == obj


@given(nodes, values)
def test_defaulting_after_pruning_is_stable(node: Json, value: Any) -> None:
    schema, obj = compile_schema(of_spec(node)), thing(value)
    schema.prune(obj)
    schema.default(obj)
    once = copy.deepcopy(obj)
    schema.prune(obj)
    schema.default(obj)
    assert once == obj
