"""JSON patch, merge patch and strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.sandbox.apiserver.builtin import BUILTIN
from controller.sandbox.apiserver.patch import PatchError, TestFailed, json_patch, merge_patch, strategic_merge_patch

Json = dict[str, Any]
POD = BUILTIN["", "v1", "Pod"]
SERVICE = BUILTIN["", "v1", "Service"]
DEPLOYMENT = BUILTIN["apps", "v1", "Deployment"]


def op(kind: str, path: str, **rest: Any) -> Json:
    return {"op": kind, "path": path, **rest}


# ── JSON patch ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expected", "obj", "ops"),
    [
        ({"a": 1}, {}, [op("add", "/a", value=1)]),
        ({"a": 2}, {"a": 1}, [op("add", "/a", value=2)]),
        ({"a": {"b": None}}, {"a": {}}, [op("add", "/a/b", value=None)]),
        ({"l": [0, 1, 2]}, {"l": [1, 2]}, [op("add", "/l/0", value=0)]),
        ({"l": [1, 2, 3]}, {"l": [1, 2]}, [op("add", "/l/-", value=3)]),
        ({"l": [1, 2, 3]}, {"l": [1, 2]}, [op("add", "/l/2", value=3)]),
        ({"l": [1, 9, 2]}, {"l": [1, 2]}, [op("add", "/l/-2", value=9)]),
        ({}, {"a": 1}, [op("remove", "/a")]),
        ({"l": [2]}, {"l": [1, 2]}, [op("remove", "/l/0")]),
        ({"l": [1]}, {"l": [1, 2]}, [op("remove", "/l/-1")]),
        ({"a": 2}, {"a": 1}, [op("replace", "/a", value=2)]),
        ({"a": 2}, {}, [op("replace", "/a", value=2)]),
        ({"l": [1, 9]}, {"l": [1, 2]}, [op("replace", "/l/1", value=9)]),
        ({"b": 1}, {"a": 1}, [op("move", "/b", **{"from": "/a"})]),
        ({"a": 1, "b": 1}, {"a": 1}, [op("copy", "/b", **{"from": "/a"})]),
        ({"a": 1}, {"a": 1}, [op("test", "/a", value=1)]),
        ({"a": 1}, {"a": 1}, [op("test", "/a", value=1.0)]),
        ({}, {}, [op("test", "/a", value=None)]),
        ({}, {}, [op("test", "/a")]),
        ({"a/b": 1, "m~n": 2}, {}, [op("add", "/a~1b", value=1), op("add", "/m~0n", value=2)]),
        ({"~1": 1}, {}, [op("add", "/~01", value=1)]),
        ({"": 1}, {}, [op("add", "/", value=1)]),
        ({"x": 1}, {"a": 1}, [op("replace", "", value={"x": 1})]),
        ({"a": 1}, {"a": 1}, []),
    ],
)
def test_json_patch_operations(expected: Json, obj: Json, ops: list[Json]) -> None:
    before = copy.deepcopy(obj)
    assert expected == json_patch(obj, ops)
    assert before == obj


@pytest.mark.parametrize(
    ("status", "ops"),
    [
        (422, [op("remove", "/b")]),
        (422, [op("add", "/b/c", value=1)]),
        (422, [op("add", "/l/4", value=1)]),
        (422, [op("remove", "/l/2")]),
        (422, [op("replace", "/l/x", value=1)]),
        (422, [op("move", "/c", **{"from": "/b"})]),
        (422, [op("copy", "/c")]),
        (422, [op("add", "/c")]),
        (422, [op("paint", "/a")]),
        (422, [{"op": "add", "value": 1}]),
        (422, [op("add", "a", value=1)]),
        (422, [op("add", "/a/b", value=1)]),
        (422, [op("replace", "", value=[])]),
        (422, [op("test", "/b/c", value=1)]),
        (400, {"op": "add"}),
        (400, [1]),
        (413, [op("test", "/a", value=1)] * 10_001),
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused(status: int, ops: Any) -> None:
    with pytest.raises(PatchError) as caught:
        json_patch({"a": 1, "l": [1, 2]}, ops)
    assert status == caught.value.status


@pytest.mark.parametrize("value", [2, True, "1", None, [1]])
def test_a_failed_test_is_told_apart(value: Any) -> None:
    with pytest.raises(TestFailed, match="testing value /a failed: test failed") as caught:
        json_patch({"a": 1}, [op("test", "/a", value=value)])
    assert caught.value.status == 422


def test_nothing_of_a_failed_patch_is_kept() -> None:
    obj = {"a": [1]}
    with pytest.raises(PatchError):
        json_patch(obj, [op("add", "/a/-", value=2), op("remove", "/b")])
    assert obj == {"a": [1]}


def test_a_copied_value_is_its_own() -> None:
    copied = json_patch({"a": {}}, [op("copy", "/b", **{"from": "/a"}), op("add", "/b/x", value=1)])
    assert copied == {"a": {}, "b": {"x": 1}}


# ── merge patch ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expected", "obj", "patch"),
    [
        ({"a": "c"}, {"a": "b"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": "b"}, {"b": "c"}),
        ({}, {"a": "b"}, {"a": None}),
        ({"b": "c"}, {"a": "b", "b": "c"}, {"a": None}),
        ({"a": "c"}, {"a": ["b"]}, {"a": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": ["b"]}),
        ({"a": {"b": "d"}}, {"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}),
        ({"a": [1]}, {"a": [{"b": "c"}]}, {"a": [1]}),
        ({"e": None, "a": 1}, {"e": None}, {"a": 1}),
        ({"a": {"bb": {}}}, {}, {"a": {"bb": {"ccc": None}}}),
        ({"a": {}}, {"a": 1}, {"a": {"b": None}}),
        ({"a": [None, {}]}, {}, {"a": [None, {"x": None}]}),
    ],
)
def test_merge_patch(expected: Json, obj: Json, patch: Json) -> None:
    before = copy.deepcopy(obj)
    assert expected == merge_patch(obj, patch)
    assert before == obj


@pytest.mark.parametrize("patch", [None, 1, "x", []])
def test_a_merge_patch_is_an_object(patch: Any) -> None:
    with pytest.raises(PatchError) as caught:
        merge_patch({}, patch)
    assert caught.value.status == 400


values = st.recursive(
    st.one_of(st.none(), st.integers(0, 2), st.lists(st.integers(0, 2), max_size=2)),
    lambda children: st.dictionaries(st.sampled_from("abc"), children),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), values)


@given(objects, objects)
def test_merging_the_same_patch_twice_changes_nothing_more(obj: Json, patch: Json) -> None:
    once = merge_patch(obj, patch)
    assert once == merge_patch(once, patch)


# ── strategic merge patch ───────────────────────────────────────────────────────────────────────────


def pod(**spec: Any) -> Json:
    return {"metadata": {"name": "p"}, "spec": spec}


def container(name: str, **rest: Any) -> Json:
    return {"name": name, **rest}


@pytest.mark.parametrize(
    ("expected", "obj", "patch"),
    [
        # Lists with a merge key are merged item by item, what the patch names comes in its order.
        (
            [container("a", image="2"), container("b")],
            [container("a", image="1"), container("b")],
            {"containers": [container("a", image="2")]},
        ),
        ([container("b"), container("a")], [container("a")], {"containers": [container("b")]}),
        (
            [container("a"), container("x"), container("b", image="2")],
            [container("a"), container("x"), container("b")],
            {"containers": [container("b", image="2")]},
        ),
        (
            [container("b")],
            [container("a"), container("b")],
            {"containers": [{"$patch": "delete", "name": "a"}]},
        ),
        (
            [container("c")],
            [container("a"), container("b")],
            {"containers": [container("c"), {"$patch": "replace"}]},
        ),
        (
            [container("b"), container("a")],
            [container("a"), container("b")],
            {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]},
        ),
        (
            [container("b", image="2"), container("a"), container("c")],
            [container("a"), container("b"), container("c")],
            {
                "containers": [container("b", image="2")],
                "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
            },
        ),
        # Lists without one are replaced.
        ([container("a", args=["z"])], [container("a", args=["x", "y"])], {"containers": [container("a", args=["z"])]}),
        # A null removes a field of an item.
        ([container("a")], [container("a", image="1")], {"containers": [container("a", image=None)]}),
        # Nested merge keys.
        (
            [container("a", env=[{"name": "x", "value": "2"}, {"name": "y", "value": "1"}])],
            [container("a", env=[{"name": "x", "value": "1"}, {"name": "y", "value": "1"}])],
            {"containers": [container("a", env=[{"name": "x", "value": "2"}])]},
        ),
    ],
)
def test_strategic_merge_of_containers(expected: list[Json], obj: list[Json], patch: Json) -> None:
    assert expected == strategic_merge_patch(pod(containers=obj), {"spec": patch}, POD)["spec"]["containers"]


@pytest.mark.parametrize(
    ("expected", "patch"),
    [
        ({"labels": {"a": "1", "b": "2"}}, {"labels": {"b": "2"}}),
        ({"labels": {}}, {"labels": {"a": None}}),
        ({}, {"labels": None}),
        ({"labels": {"c": "3"}}, {"labels": {"$patch": "replace", "c": "3"}}),
        ({"labels": {}}, {"labels": {"$patch": "delete"}}),
        ({"labels": {"a": "1"}, "annotations": {"x": "y"}}, {"annotations": {"x": "y", "z": None}}),
        ({"labels": {"a": "1"}}, {"annotations": {"$patch": "delete"}}),
    ],
)
def test_strategic_merge_of_maps(expected: Json, patch: Json) -> None:
    obj = {"metadata": {"labels": {"a": "1"}}}
    assert expected == strategic_merge_patch(obj, {"metadata": patch}, POD)["metadata"]


@pytest.mark.parametrize(
    ("expected", "patch"),
    [
        (["a", "b", "c"], {"finalizers": ["c"]}),
        (["a"], {"$deleteFromPrimitiveList/finalizers": ["b"]}),
        (["b", "a"], {"$setElementOrder/finalizers": ["b", "a"]}),
        (["c", "b"], {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}),
    ],
)
def test_strategic_merge_of_a_set(expected: list[str], patch: Json) -> None:
    obj = {"metadata": {"finalizers": ["a", "b"]}}
    assert sorted(expected) == sorted(strategic_merge_patch(obj, {"metadata": patch}, POD)["metadata"]["finalizers"])


def test_an_order_of_a_set_is_kept() -> None:
    patch = {"metadata": {"$setElementOrder/finalizers": ["b", "a"]}}
    assert strategic_merge_patch({"metadata": {"finalizers": ["a", "b"]}}, patch, POD) == {
        "metadata": {"finalizers": ["b", "a"]}
    }


def test_ports_of_a_service_merge_by_port() -> None:
    obj = {"spec": {"ports": [{"port": 80, "name": "http"}, {"port": 81}]}}
    patch = {"spec": {"ports": [{"port": 80, "name": "web"}]}}
    assert strategic_merge_patch(obj, patch, SERVICE)["spec"]["ports"] == [{"port": 80, "name": "web"}, {"port": 81}]


def test_retained_keys_drop_the_others() -> None:
    obj = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge_patch(obj, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_a_directive_does_not_reach_a_new_item() -> None:
    patch = {"spec": {"containers": [container("a", **{"$setElementOrder/env": [{"name": "x"}]})]}}
    assert strategic_merge_patch({}, patch, POD) == {"spec": {"containers": [container("a")]}}


@pytest.mark.parametrize(
    ("status", "patch"),
    [
        (400, []),
        (400, {"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}}),
        (400, {"spec": {"strategy": {"$retainKeys": "type"}}}),
        (500, {"spec": {"strategy": {"$patch": "paint"}}}),
        (500, {"spec": {"template": {"spec": {"containers": [{"image": "no-name"}]}}}}),
        (
            500,
            {
                "spec": {
                    "template": {
                        "spec": {"containers": [container("b")], "$setElementOrder/containers": [{"name": "a"}]}
                    }
                }
            },
        ),
    ],
)
def test_a_strategic_patch_that_does_not_fit_is_refused(status: int, patch: Any) -> None:
    obj = {"spec": {"strategy": {"type": "Recreate"}, "template": {"spec": {"containers": [container("a")]}}}}
    with pytest.raises(PatchError) as caught:
        strategic_merge_patch(obj, patch, DEPLOYMENT)
    assert status == caught.value.status


@given(st.permutations(["a", "b", "c"]), st.permutations(["a", "b", "c"]))
def test_a_full_order_decides_the_result(live: list[str], wanted: list[str]) -> None:
    patch = {"spec": {"$setElementOrder/containers": [{"name": name} for name in wanted]}}
    found = strategic_merge_patch(pod(containers=[container(name) for name in live]), patch, POD)
    assert wanted == [item["name"] for item in found["spec"]["containers"]]
