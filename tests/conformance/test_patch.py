"""JSON patches, merge patches and strategic merge patches, and how each is refused."""

from __future__ import annotations

from typing import Any

import pytest

from controller.kube.resources import CONFIG_MAPS, PODS, SECRETS
from tests.conformance.api import Api, causes, ok, refused
from tests.conformance.kinds import WIDGETS, config_map, pod, secret, widget


def op(kind: str, path: str, **rest: Any) -> list[dict[str, Any]]:
    return [{"op": kind, "path": path, **rest}]


@pytest.mark.parametrize(
    ("operations", "data"),
    [
        (op("add", "/data/b", value="2"), {"a": "1", "b": "2"}),
        (op("add", "/data/a", value="2"), {"a": "2"}),
        (op("replace", "/data/a", value="2"), {"a": "2"}),
        (op("replace", "/data/b", value="2"), {"a": "1", "b": "2"}),  # not what RFC 6902 says
        (op("remove", "/data/a") + op("add", "/data/c", value="3"), {"c": "3"}),
        (op("move", "/data/b", **{"from": "/data/a"}), {"b": "1"}),
        (op("copy", "/data/b", **{"from": "/data/a"}), {"a": "1", "b": "1"}),
        (op("test", "/data/a", value="1") + op("replace", "/data/a", value="2"), {"a": "2"}),
    ],
)
async def test_json_patch_operations(api: Api, operations: Any, data: dict[str, str]) -> None:
    ok(await api.create(CONFIG_MAPS, config_map()))
    assert ok(await api.patch(CONFIG_MAPS, "it", operations, "json"))["data"] == data


@pytest.mark.parametrize(
    "operations",
    [
        op("test", "/data/a", value="2"),
        op("remove", "/data/b"),
        op("add", "/absent/b", value="2"),
        op("move", "/data/b", **{"from": "/data/c"}),
    ],
)
async def test_a_json_patch_that_does_not_fit_is_invalid_and_changes_nothing(api: Api, operations: Any) -> None:
    before = ok(await api.create(CONFIG_MAPS, config_map()))
    change = op("add", "/data/x", value="y")
    refused(422, "Invalid", await api.patch(CONFIG_MAPS, "it", change + operations, "json"))
    assert ok(await api.get(CONFIG_MAPS, "it")) == before


async def test_json_pointers_escape_slash_and_tilde(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(spec={"settings": {"a/b~c": "1"}})))
    change = op("replace", "/spec/settings/a~1b~0c", value="2")
    assert ok(await api.patch(WIDGETS, "it", change, "json"))["spec"]["settings"] == {"a/b~c": "2"}


async def test_a_json_patch_reaches_into_lists(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(spec={"atoms": ["a", "b"]})))
    change = op("add", "/spec/atoms/-", value="c") + op("remove", "/spec/atoms/0")
    assert ok(await api.patch(WIDGETS, "it", change, "json"))["spec"]["atoms"] == ["b", "c"]


@pytest.mark.parametrize("body", [{"data": {}}, "text", [1], b"["])
async def test_a_json_patch_that_is_no_list_of_operations_is_refused(api: Api, body: Any) -> None:
    ok(await api.create(CONFIG_MAPS, config_map()))
    refused(400, "BadRequest", await api.patch(CONFIG_MAPS, "it", body, "json"))


async def test_a_json_patch_may_be_guarded_by_the_resource_version(api: Api) -> None:
    version = ok(await api.create(CONFIG_MAPS, config_map()))["metadata"]["resourceVersion"]
    guard = op("test", "/metadata/resourceVersion", value=version)
    ok(await api.patch(CONFIG_MAPS, "it", guard + op("replace", "/data/a", value="2"), "json"))
    late = await api.patch(CONFIG_MAPS, "it", guard + op("replace", "/data/a", value="3"), "json")
    refused(422, "Invalid", late)


async def test_a_json_patch_that_sets_an_old_resource_version_conflicts(api: Api) -> None:
    version = ok(await api.create(CONFIG_MAPS, config_map()))["metadata"]["resourceVersion"]
    ok(await api.patch(CONFIG_MAPS, "it", {"data": {"a": "2"}}))
    guard = op("replace", "/metadata/resourceVersion", value=version)
    refused(409, "Conflict", await api.patch(CONFIG_MAPS, "it", guard + op("add", "/data/b", value="1"), "json"))


async def test_a_merge_patch_sets_adds_and_removes(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map(data={"a": "1", "b": "2"})))
    after = ok(await api.patch(CONFIG_MAPS, "it", {"data": {"a": "9", "b": None, "c": "3"}}))
    assert after["data"] == {"a": "9", "c": "3"}


async def test_a_merge_patch_replaces_lists(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(spec={"atoms": ["a", "b"]})))
    assert ok(await api.patch(WIDGETS, "it", {"spec": {"atoms": ["c"]}}))["spec"]["atoms"] == ["c"]


async def test_a_merge_patch_of_nulls_that_are_not_there_changes_nothing(api: Api) -> None:
    before = ok(await api.create(WIDGETS, widget()))
    assert ok(await api.patch(WIDGETS, "it", {"spec": {"free": {"a": None}, "size": None}}))["spec"] == {
        **before["spec"],
        "free": {},
    }


@pytest.mark.parametrize("body", [b"{", [], "text"])
async def test_a_merge_patch_that_is_no_object_is_refused(api: Api, body: Any) -> None:
    ok(await api.create(CONFIG_MAPS, config_map()))
    refused(400, "BadRequest", await api.patch(CONFIG_MAPS, "it", body))


async def test_a_merge_patch_with_an_old_resource_version_conflicts(api: Api) -> None:
    version = ok(await api.create(WIDGETS, widget()))["metadata"]["resourceVersion"]
    ok(await api.patch(WIDGETS, "it", {"spec": {"size": 2}}))
    stale = {"metadata": {"resourceVersion": version}, "spec": {"size": 3}}
    refused(409, "Conflict", await api.patch(WIDGETS, "it", stale))


async def test_a_merge_patch_with_the_present_resource_version_succeeds(api: Api) -> None:
    version = ok(await api.create(WIDGETS, widget()))["metadata"]["resourceVersion"]
    held = {"metadata": {"resourceVersion": version}, "spec": {"size": 3}}
    assert ok(await api.patch(WIDGETS, "it", held))["spec"]["size"] == 3


async def test_a_merge_patch_with_another_uid_is_invalid(api: Api) -> None:
    ok(await api.create(SECRETS, secret()))
    foreign = {"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}, "stringData": {"a": "b"}}
    status = refused(422, "Invalid", await api.patch(SECRETS, "it", foreign))
    assert causes(status) == {("FieldValueInvalid", "metadata.uid")}


async def test_a_patch_of_an_absent_object_is_not_found(api: Api) -> None:
    refused(404, "NotFound", await api.patch(CONFIG_MAPS, "absent", [], "json"))
    refused(404, "NotFound", await api.patch(CONFIG_MAPS, "absent", {}, "merge"))
    refused(404, "NotFound", await api.patch(CONFIG_MAPS, "absent", {}, "strategic"))


async def test_an_unknown_kind_of_patch_is_not_supported(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map()))
    answer = await api.call("PATCH", api.path(CONFIG_MAPS, "it"), {}, content="application/json")
    refused(415, "UnsupportedMediaType", answer)


async def test_a_strategic_merge_patch_merges_containers_by_name(api: Api) -> None:
    ok(await api.create(PODS, pod()))
    change = {"spec": {"containers": [{"name": "main", "image": "example.com/main:2"}]}}
    after = ok(await api.patch(PODS, "it", change, "strategic"))["spec"]["containers"]
    assert [(c["name"], c["image"]) for c in after] == [("main", "example.com/main:2")]
    assert after[0]["imagePullPolicy"] == "IfNotPresent"


async def test_a_strategic_merge_patch_merges_maps_and_removes_by_null(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map(labels={"a": "1", "b": "2"})))
    change = {"metadata": {"labels": {"a": None, "c": "3"}}}
    after = ok(await api.patch(CONFIG_MAPS, "it", change, "strategic"))
    assert after["metadata"]["labels"] == {"b": "2", "c": "3"}


async def test_a_strategic_merge_patch_merges_finalizers(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map(finalizers=["example.com/a"])))
    change = {"metadata": {"finalizers": ["example.com/b"]}}
    after = ok(await api.patch(CONFIG_MAPS, "it", change, "strategic"))["metadata"]["finalizers"]
    assert sorted(after) == ["example.com/a", "example.com/b"]


async def test_a_strategic_merge_patch_of_a_custom_resource_is_not_supported(api: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    refused(415, "UnsupportedMediaType", await api.patch(WIDGETS, "it", {"spec": {}}, "strategic"))


async def test_a_patch_that_makes_the_object_invalid_changes_nothing(api: Api) -> None:
    before = ok(await api.create(WIDGETS, widget(spec={"size": 1})))
    refused(422, "Invalid", await api.patch(WIDGETS, "it", {"spec": {"size": 1000}}))
    assert ok(await api.get(WIDGETS, "it")) == before


async def test_a_patch_to_another_type_is_invalid(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map()))
    refused(422, "Invalid", await api.patch(CONFIG_MAPS, "it", {"data": "text"}))


async def test_a_patch_cannot_change_the_kind(api: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    status = refused(422, "Invalid", await api.patch(WIDGETS, "it", {"kind": "Gadget"}))
    assert causes(status) == {("FieldValueInvalid", "kind")}
