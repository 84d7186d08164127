from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cassandra.compare import canonical_hash, diff_fields, semantic_equal, stamped
from tests.unit.cassandra.samples import cluster, only

HASH = "k8ssandra.io/resource-hash"


@pytest.mark.parametrize(
    ("desired", "live", "expected"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": 1}, {"a": 2}, ["a"]),
        ({"a": 1}, {}, ["a"]),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2, "d": 3}}}, ["a.b.c"]),
        ({"a": {}}, {}, []),
        ({}, {"a": {}}, []),
        ({"a": None, "b": [], "c": {}}, {"a": {}, "b": None}, []),
        ({"a": []}, {"a": [1]}, ["a"]),
        ({"a": False, "b": 0, "c": ""}, {}, []),
        ({"a": True}, {}, ["a"]),
        ({"a": False}, {"a": True}, ["a"]),
        ({"a": True}, {"a": 1}, ["a"]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": "1"}, ["a"]),
        ({"a": [{"n": "x"}, {"n": "y"}]}, {"a": [{"n": "x", "d": 1}, {"n": "z"}]}, ["a[1].n"]),
        ({"a": [1, 2]}, {"a": [1]}, ["a"]),
        ({"a": [1, 2]}, {"a": [2, 1]}, ["a[0]", "a[1]"]),
        ({"a": {"b": 1}}, {"a": [1]}, ["a"]),
        ({"a": [1]}, {"a": {"b": 1}}, ["a"]),
        ({"requests": {"cpu": "1000m", "memory": "1024Mi"}}, {"requests": {"cpu": 1, "memory": "1Gi"}}, []),
        ({"requests": {"cpu": "1000m"}}, {"requests": {"cpu": "2"}}, ["requests.cpu"]),
        ({"other": {"cpu": "1000m"}}, {"other": {"cpu": "1"}}, ["other.cpu"]),
        ({"emptyDir": {"sizeLimit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1024Mi"}}, []),
    ],
)
def test_fields_that_differ(desired: Any, live: Any, expected: list[str]) -> None:
    assert diff_fields(desired, live) == expected
    assert semantic_equal(desired, live) is (not expected)


def test_semantically_equal_is_without_a_difference() -> None:
    assert semantic_equal({"a": 1}, {"a": 1, "b": 1})
    assert not semantic_equal({"a": 1}, {"b": 1})


def test_what_a_server_adds_is_no_difference() -> None:
    desired = only(cluster())
    live = copy.deepcopy(desired)
    live["metadata"].update(uid="u", resourceVersion="5", generation=1, creationTimestamp="t")
    live["metadata"]["finalizers"].append("finalizer.cassandra.datastax.com")
    live["spec"].update(resources={}, managementApiAuth={}, systemLoggerResources={}, configBuilderResources={})
    live["spec"]["podTemplateSpec"]["spec"]["containers"][0]["resources"] = {}
    live["status"] = {"conditions": []}
    assert diff_fields(desired["spec"], live["spec"]) == []
    assert diff_fields(desired, live) == ["metadata.finalizers"]


def test_the_hash_does_not_count_itself() -> None:
    obj = {"kind": "A", "metadata": {"name": "n"}, "spec": {"a": 1}}
    once = stamped(obj)
    assert once == stamped(once)
    assert once["metadata"]["annotations"][HASH] == canonical_hash(obj)
    assert canonical_hash({**obj, "metadata": {"name": "n", "annotations": {"x": "1"}}}) != canonical_hash(obj)


def test_the_hash_says_how_it_was_made() -> None:
    # printf '{"a":[true,null],"b":1}' | sha256sum
    expected = "51705a2c9eb3e7e410a58f696a770c3ac3885a0cf43eb7fc88f5e47c11d4d30d"
    assert canonical_hash({"b": 1, "a": [True, None]}) == f"v1:{expected}"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), _json, max_size=4))
def test_an_object_does_not_differ_from_itself_in_any_order_of_keys(obj: dict[str, Any]) -> None:
    other = dict(reversed(obj.items()))
    assert diff_fields(obj, other) == []
    assert canonical_hash({"spec": obj}) == canonical_hash({"spec": other})
