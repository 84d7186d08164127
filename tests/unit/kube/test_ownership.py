from __future__ import annotations

from typing import Any

import pytest

from controller.kube.ownership import adoption_patch, entries

MINE, FORMER, THEIRS = "us", "manager", "them"


def entry(manager: str, operation: str, fields: dict[str, Any], subresource: str = "") -> dict[str, Any]:
    made = {
        "manager": manager,
        "operation": operation,
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return made | ({"subresource": subresource} if subresource else {})


def live(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": "7", "managedFields": list(entries)}}


def managed(patch: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    assert patch is not None
    replaced, guard = patch
    assert guard == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}
    assert (replaced["op"], replaced["path"]) == ("replace", "/metadata/managedFields")
    found: list[dict[str, Any]] = replaced["value"]
    return found


def test_what_was_created_by_post_becomes_applied() -> None:
    fields = {"f:data": {"f:a": {}}}
    assert managed(adoption_patch(live(entry(MINE, "Update", fields)), MINE, {})) == [entry(MINE, "Apply", fields)]


@pytest.mark.parametrize(
    "fields",
    [
        {"f:data": {".": {}, "f:a": {}}},
        {"f:ports": {'k:{"name":"x"}': {".": {}, "f:name": {}, "f:port": {}}}},
        {"f:finalizers": {'v:"one"': {}}},
        {"f:endpoints": {}},
    ],
)
def test_an_apply_that_names_every_field_needs_no_adoption(fields: dict[str, Any]) -> None:
    applied = {
        "data": {"a": "1", "b": "2"},
        "ports": [{"name": "y"}, {"name": "x", "port": 1}],
        "finalizers": ["one", "two"],
        "endpoints": [{"addresses": ["10.0.0.1"]}],
    }
    assert adoption_patch(live(entry(MINE, "Update", fields)), MINE, applied) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"f:data": {"f:c": {}}},
        {"f:other": {}},
        {"f:ports": {'k:{"name":"z"}': {".": {}}}},
        {"f:ports": {'k:{"name":"x"}': {"f:protocol": {}}}},
        {"f:finalizers": {'v:"three"': {}}},
        {"f:data": {"f:a": {"f:deeper": {}}}},
    ],
)
def test_an_apply_that_leaves_a_field_out_needs_adoption(fields: dict[str, Any]) -> None:
    applied = {"data": {"a": "1"}, "ports": [{"name": "x", "port": 1}], "finalizers": ["one", "two"]}
    assert adoption_patch(live(entry(MINE, "Update", fields)), MINE, applied) is not None


def test_there_is_nothing_to_do_for_what_is_applied_already() -> None:
    assert adoption_patch(live(entry(MINE, "Apply", {"f:a": {}}), entry(THEIRS, "Update", {})), MINE, {}) is None
    assert adoption_patch({"metadata": {"resourceVersion": "7"}}, MINE, {}) is None


def test_entries_are_united_field_by_field() -> None:
    patch = adoption_patch(
        live(
            entry(MINE, "Apply", {"f:data": {"f:a": {}}}),
            entry(MINE, "Update", {"f:data": {"f:b": {}}}),
            entry(FORMER, "Update", {"f:data": {"f:a": {}, "f:c": {"f:d": {}}}}),
        ),
        MINE,
        {},
        lambda entry: entry["fieldsV1"] if entry["manager"] == FORMER else {},
    )
    assert managed(patch) == [entry(MINE, "Apply", {"f:data": {"f:a": {}, "f:b": {}, "f:c": {"f:d": {}}}})]


def test_entries_of_others_and_of_the_status_stay() -> None:
    theirs, status = entry(THEIRS, "Update", {"f:x": {}}), entry(MINE, "Update", {"f:status": {}}, "status")
    patch = adoption_patch(live(theirs, entry(MINE, "Update", {"f:a": {}}), status), MINE, {})
    assert managed(patch) == [entry(MINE, "Apply", {"f:a": {}}), theirs, status]


def nested(depth: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for _ in range(depth):
        fields = {"f:a": fields}
    return fields


def test_what_is_nested_deeper_than_anybody_can_walk_is_no_entry() -> None:
    fine = entry(MINE, "Update", nested(100))
    assert entries(live(fine, entry(THEIRS, "Update", nested(900)))) == [fine]


@pytest.mark.parametrize("inside", [0, "", None, [], False, 1, "x", [{}]])
def test_what_is_not_maps_all_the_way_down_is_no_entry(inside: Any) -> None:
    assert entries(live(entry(MINE, "Update", {"f:a": {"f:b": inside}}))) == []
