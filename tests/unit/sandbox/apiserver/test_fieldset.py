"""Sets of field paths: their JSON, their words, and their algebra."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.sandbox.apiserver.fieldset import (
    FieldSet,
    canonical,
    describe,
    field_element,
    key_element,
    order,
    parse_element,
    value_element,
)

scalars = st.one_of(st.text(max_size=4), st.integers(-5, 5), st.booleans())
elements = st.one_of(
    st.text(max_size=5).map(field_element),
    st.dictionaries(st.text(max_size=3), scalars, min_size=1, max_size=2).map(key_element),
    scalars.map(value_element),
    st.integers(0, 9).map(lambda n: f"i:{n}"),
)
paths = st.lists(elements, min_size=1, max_size=4).map(tuple)
sets = st.lists(paths, max_size=8).map(lambda found: FieldSet.of(*found))


# ── elements ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expected", "element"),
    [
        ("f:spec", field_element("spec")),
        ("f:a.b/c", field_element("a.b/c")),
        ('k:{"name":"x"}', key_element({"name": "x"})),
        ('k:{"port":80,"protocol":"TCP"}', key_element({"protocol": "TCP", "port": 80})),
        ('v:"a"', value_element("a")),
        ("v:1", value_element(1)),
        ("v:1", value_element(1.0)),
        ("v:true", value_element(True)),
        ('v:"\\u003c\\u0026"', value_element("<&")),
    ],
)
def test_an_element_is_canonical(expected: str, element: str) -> None:
    assert expected == element


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("f:x", "f:x"),
        ("f:", "f:"),
        ('k:{"a":1,"b":2}', 'k:{"b":2, "a":1.0}'),
        ('v:"x"', 'v: "x"'),
        ("i:3", "i:3"),
        (None, "z:later"),
    ],
)
def test_an_element_of_a_request_is_made_canonical(expected: str | None, text: str) -> None:
    assert expected == parse_element(text)


@pytest.mark.parametrize("text", ["", "f", "spec", "v:{", "k:[1]", "i:x"])
def test_a_malformed_element_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_element(text)


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        (".spec.size", ("f:spec", "f:size")),
        ('.spec.list[name="x"].value', ("f:spec", "f:list", 'k:{"name":"x"}', "f:value")),
        ('.ports[port=80,protocol="TCP"]', ("f:ports", 'k:{"port":80,"protocol":"TCP"}')),
        ('.metadata.finalizers[="a/b"]', ("f:metadata", "f:finalizers", 'v:"a/b"')),
        (".tags[=1]", ("f:tags", "v:1")),
        (".tags[=true]", ("f:tags", "v:true")),
        (".list[2]", ("f:list", "i:2")),
        (".metadata.labels.app.kubernetes.io/name", ("f:metadata", "f:labels", "f:app.kubernetes.io/name")),
    ],
)
def test_a_path_reads_as_in_conflict_messages(expected: str, path: tuple[str, ...]) -> None:
    assert expected == describe(path)


def test_elements_sort_fields_keys_values_indexes() -> None:
    expected = ["f:a", "f:b", 'k:{"a":1}', 'k:{"a":2}', 'k:{"a":10}', "v:2", "v:10", 'v:"a"', "v:false", "i:2", "i:10"]
    shuffled = expected[::-1]
    assert expected == sorted(shuffled, key=order)


def test_whole_floats_are_written_as_integers_and_keys_sorted() -> None:
    assert canonical({"b": 0.5, "a": 2.0}) == '{"a":2,"b":0.5}'


# ── JSON ────────────────────────────────────────────────────────────────────────────────────────────

WIRE: list[dict[str, Any]] = [
    {},
    {"f:spec": {"f:size": {}}},
    {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}},
    {"f:list": {'k:{"name":"x"}': {".": {}, "f:name": {}, "f:value": {}}}},
    {"f:tags": {".": {}, 'v:"a"': {}}},
    {"f:spec": {".": {}, "f:a": {"f:b": {"f:c": {}}}}},
]


@pytest.mark.parametrize("fields", WIRE)
def test_fields_survive_decoding_and_encoding(fields: dict[str, Any]) -> None:
    assert fields == FieldSet.from_json(fields).to_json()


def test_an_empty_object_means_the_field_itself() -> None:
    assert FieldSet.from_json({"f:a": {}}).paths() == [("f:a",)]


def test_a_dot_means_the_field_and_what_is_below() -> None:
    assert FieldSet.from_json({"f:a": {".": {}, "f:b": {}}}).paths() == [("f:a",), ("f:a", "f:b")]


def test_elements_of_an_unknown_kind_are_dropped() -> None:
    assert FieldSet.from_json({"z:b": {}, "f:a": {}}).to_json() == {"f:a": {}}


def test_fields_that_are_no_object_are_refused() -> None:
    with pytest.raises(ValueError, match="not an object"):
        FieldSet.from_json({"f:a": 1})


def test_keys_are_written_in_the_servers_order() -> None:
    found = FieldSet.of(("v:1",), ("f:b",), ('k:{"n":1}',), ("f:a",))
    assert json.dumps(found.to_json(), separators=(",", ":")) == '{"f:a":{},"f:b":{},"k:{\\"n\\":1}":{},"v:1":{}}'


@given(sets)
def test_any_set_survives_json(found: FieldSet) -> None:
    assert found == FieldSet.from_json(json.loads(json.dumps(found.to_json())))


# ── algebra ─────────────────────────────────────────────────────────────────────────────────────────


def test_difference_leaves_children_of_what_it_takes() -> None:
    found = FieldSet.of(("f:a",), ("f:a", "f:b")).difference(FieldSet.of(("f:a",)))
    assert found.paths() == [("f:a", "f:b")]


def test_recursive_difference_takes_children_too() -> None:
    found = FieldSet.of(("f:a",), ("f:a", "f:b"), ("f:c",)).without(FieldSet.of(("f:a",)))
    assert found.paths() == [("f:c",)]


def test_recursive_difference_goes_down_where_nothing_is_taken() -> None:
    found = FieldSet.of(("f:a", "f:b"), ("f:a", "f:c")).without(FieldSet.of(("f:a", "f:b")))
    assert found.paths() == [("f:a", "f:c")]


def test_leaves_are_the_paths_without_children() -> None:
    assert FieldSet.of(("f:a",), ("f:b",), ("f:a", "f:c")).leaves().paths() == [("f:b",), ("f:a", "f:c")]


def test_the_whole_object_is_never_a_member() -> None:
    assert FieldSet.of(()).empty()


def test_has_asks_for_the_path_itself() -> None:
    found = FieldSet.of(("f:a", "f:b"))
    assert [found.has(path) for path in (("f:a", "f:b"), ("f:a",), ())] == [True, False, False]


def test_under_gives_what_is_below_an_element() -> None:
    assert FieldSet.of(("f:a",), ("f:a", "f:b")).under("f:a").paths() == [("f:b",)]


@given(sets, sets)
def test_union_and_intersection_are_those_of_paths(left: FieldSet, right: FieldSet) -> None:
    mine, theirs = set(left.paths()), set(right.paths())
    assert mine | theirs == set(left.union(right).paths())
    assert mine & theirs == set(left.intersection(right).paths())
    assert mine - theirs == set(left.difference(right).paths())


@given(sets, sets)
def test_recursive_difference_keeps_exactly_what_has_no_taken_prefix(left: FieldSet, right: FieldSet) -> None:
    taken = set(right.paths())
    expected = {p for p in left.paths() if not any(p[:n] in taken for n in range(1, len(p) + 1))}
    assert expected == set(left.without(right).paths())


@given(sets)
def test_a_set_is_empty_exactly_when_it_has_no_paths(found: FieldSet) -> None:
    assert (not found.paths()) == found.empty()
