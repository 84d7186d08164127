"""Server-side apply: identity, ownership, conflicts, merging, and what an apply leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from controller.kube.resources import CONFIG_MAPS, SECRETS
from tests.conformance.api import Api, Json, causes, ok, refused
from tests.conformance.kinds import WIDGETS, config_map, meta, widget

SOMEBODY = "00000000-0000-0000-0000-000000000000"


def spec(**fields: Any) -> Json:
    return {**meta("it"), "spec": fields}


def managers(obj: Json) -> list[tuple[str, str]]:
    return [(entry["manager"], entry["operation"]) for entry in obj["metadata"].get("managedFields", ())]


# ── identity ────────────────────────────────────────────────────────────────────────────────────────


async def test_apply_creates_what_is_absent(api: Api) -> None:
    answer = await api.apply(CONFIG_MAPS, config_map())
    assert answer.status == 201
    assert managers(answer.body) == [("us", "Apply")]


async def test_apply_onto_what_exists_answers_200(api: Api) -> None:
    ok(await api.apply(CONFIG_MAPS, config_map()))
    answer = await api.apply(CONFIG_MAPS, config_map(data={"a": "2"}))
    assert answer.status == 200
    assert answer.body["data"] == {"a": "2"}


@pytest.mark.parametrize("kind", [CONFIG_MAPS, WIDGETS], ids=str)
async def test_apply_with_a_uid_onto_an_absent_object_conflicts_and_creates_nothing(api: Api, kind: Any) -> None:
    refused(409, "Conflict", await api.apply(kind, meta("it", uid=SOMEBODY), force=True))
    refused(404, "NotFound", await api.get(kind, "it"))


@pytest.mark.parametrize("kind", [CONFIG_MAPS, SECRETS], ids=str)
async def test_apply_with_the_uid_of_a_replaced_object_is_refused(api: Api, kind: Any) -> None:
    gone = ok(await api.create(kind, meta("it")))["metadata"]["uid"]
    ok(await api.delete(kind, "it"))
    replaced = ok(await api.create(kind, meta("it")))
    status = refused(422, "Invalid", await api.apply(kind, meta("it", uid=gone, labels={"a": "b"}), force=True))
    assert causes(status) == {("FieldValueInvalid", "metadata.uid")}
    assert ok(await api.get(kind, "it")) == replaced


async def test_apply_with_the_uid_of_a_replaced_custom_resource_is_refused(api: Api) -> None:
    gone = ok(await api.create(WIDGETS, widget()))["metadata"]["uid"]
    ok(await api.delete(WIDGETS, "it"))
    replaced = ok(await api.create(WIDGETS, widget()))
    answer = await api.apply(WIDGETS, {**meta("it", uid=gone), "spec": {"size": 7}}, force=True)
    status = refused(422, "Invalid", answer)
    assert causes(status) == {("FieldValueInvalid", "metadata.uid")}
    assert ok(await api.get(WIDGETS, "it")) == replaced


async def test_apply_with_the_right_uid_succeeds(api: Api) -> None:
    uid = ok(await api.create(WIDGETS, widget()))["metadata"]["uid"]
    assert ok(await api.apply(WIDGETS, {**meta("it", uid=uid), "spec": {"size": 7}}))["spec"]["size"] == 7


async def test_apply_with_an_old_resource_version_conflicts(api: Api) -> None:
    version = ok(await api.create(WIDGETS, widget()))["metadata"]["resourceVersion"]
    ok(await api.patch(WIDGETS, "it", {"spec": {"size": 1}}))
    late = {**meta("it", resourceVersion=version), "spec": {"size": 2}}
    refused(409, "Conflict", await api.apply(WIDGETS, late, force=True))


async def test_apply_with_a_resource_version_alone_creates_what_is_absent(api: Api) -> None:
    # So a resourceVersion does not keep an apply from bringing a deleted object back; only a UID does.
    assert (await api.apply(CONFIG_MAPS, config_map(resourceVersion="1"))).status == 201


async def test_apply_with_uid_and_resource_version_of_a_deleted_object_conflicts(api: Api) -> None:
    metadata = ok(await api.create(WIDGETS, widget()))["metadata"]
    ok(await api.delete(WIDGETS, "it"))
    held = {key: metadata[key] for key in ("uid", "resourceVersion")}
    refused(409, "Conflict", await api.apply(WIDGETS, {**meta("it", **held), "spec": {"size": 1}}, force=True))
    refused(404, "NotFound", await api.get(WIDGETS, "it"))


async def test_apply_with_uid_and_resource_version_of_a_replaced_object_is_refused(api: Api) -> None:
    metadata = ok(await api.create(WIDGETS, widget()))["metadata"]
    ok(await api.delete(WIDGETS, "it"))
    ok(await api.create(WIDGETS, widget()))
    held = {key: metadata[key] for key in ("uid", "resourceVersion")}
    refused(409, "Conflict", await api.apply(WIDGETS, {**meta("it", **held), "spec": {"size": 1}}, force=True))


async def test_apply_without_uid_merges_silently_into_a_foreign_object(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map(data={"theirs": "1"}), fieldManager="them"))
    after = ok(await api.apply(CONFIG_MAPS, config_map(data={"ours": "2"})))
    assert after["data"] == {"theirs": "1", "ours": "2"}
    assert sorted(managers(after)) == [("them", "Update"), ("us", "Apply")]


async def test_apply_does_not_finish_an_object_that_is_going(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=["example.com/held"])))
    ok(await api.delete(WIDGETS, "it"))
    after = ok(await api.apply(WIDGETS, spec(size=1)))
    assert "deletionTimestamp" in after["metadata"]
    assert after["metadata"]["finalizers"] == ["example.com/held"]


# ── conflicts ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_field_of_another_manager_conflicts(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(size=1), "them"))
    status = refused(409, "Conflict", await api.apply(WIDGETS, spec(size=2)))
    assert causes(status) == {("FieldManagerConflict", ".spec.size")}
    assert 'conflict with "them"' in status["details"]["causes"][0]["message"]
    assert ok(await api.get(WIDGETS, "it"))["spec"]["size"] == 1


async def test_a_field_that_was_updated_by_another_manager_conflicts(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(size=1)))
    ok(await api.patch(WIDGETS, "it", {"spec": {"size": 2}}, fieldManager="them"))
    status = refused(409, "Conflict", await api.apply(WIDGETS, spec(size=1)))
    assert causes(status) == {("FieldManagerConflict", ".spec.size")}


async def test_the_same_manager_conflicts_with_its_own_update(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(spec={"size": 1}), fieldManager="us"))
    refused(409, "Conflict", await api.apply(WIDGETS, spec(size=2)))


async def test_force_takes_the_field_over(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(size=1, mode="Fast"), "them"))
    after = ok(await api.apply(WIDGETS, spec(size=2), force=True))
    assert after["spec"]["size"] == 2
    owned = {entry["manager"]: entry["fieldsV1"]["f:spec"] for entry in after["metadata"]["managedFields"]}
    assert owned == {"them": {"f:mode": {}}, "us": {"f:size": {}}}


async def test_the_same_value_is_shared_without_conflict(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(size=1), "them"))
    after = ok(await api.apply(WIDGETS, spec(size=1)))
    assert sorted(managers(after)) == [("them", "Apply"), ("us", "Apply")]


async def test_a_shared_field_stays_until_its_last_owner_leaves_it_out(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(size=1), "them"))
    ok(await api.apply(WIDGETS, spec(size=1)))
    assert ok(await api.apply(WIDGETS, spec(), "them"))["spec"]["size"] == 1
    assert "size" not in ok(await api.apply(WIDGETS, spec()))["spec"]


# ── what is left out ────────────────────────────────────────────────────────────────────────────────


async def test_a_field_no_longer_applied_is_removed(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(size=1, mode="Fast")))
    assert ok(await api.apply(WIDGETS, spec(mode="Fast")))["spec"] == {"mode": "Fast", "replicas": 3}


async def test_a_label_no_longer_applied_is_removed(api: Api) -> None:
    ok(await api.apply(CONFIG_MAPS, config_map(labels={"a": "1", "b": "2"})))
    assert ok(await api.apply(CONFIG_MAPS, config_map(labels={"b": "2"})))["metadata"]["labels"] == {"b": "2"}


async def test_a_default_comes_back_when_its_field_is_no_longer_applied(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(size=1, replicas=9)))
    assert ok(await api.apply(WIDGETS, spec(size=1)))["spec"] == {"size": 1, "replicas": 3}


async def test_a_field_of_an_update_entry_survives_an_apply_that_leaves_it_out(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(spec={"size": 1, "mode": "Fast"}), fieldManager="us"))
    ok(await api.apply(WIDGETS, spec(size=1, mode="Fast")))
    after = ok(await api.apply(WIDGETS, spec(size=1)))
    assert after["spec"]["mode"] == "Fast"
    assert sorted(managers(after)) == [("us", "Apply"), ("us", "Update")]


async def test_an_update_entry_becomes_an_apply_entry_by_a_guarded_json_patch(api: Api) -> None:
    created = ok(await api.create(WIDGETS, widget(spec={"size": 1, "mode": "Fast"}), fieldManager="us"))
    (entry,) = created["metadata"]["managedFields"]
    guarded = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": created["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": [{**entry, "operation": "Apply"}]},
    ]
    turned = ok(await api.patch(WIDGETS, "it", guarded, "json", fieldManager="us"))
    assert managers(turned) == [("us", "Apply")]
    after = ok(await api.apply(WIDGETS, spec(size=2)))
    assert after["spec"] == {"size": 2, "replicas": 3}
    assert managers(after) == [("us", "Apply")]


async def test_the_turning_of_managed_fields_fails_when_the_object_has_moved_on(api: Api) -> None:
    created = ok(await api.create(WIDGETS, widget(), fieldManager="us"))
    ok(await api.patch(WIDGETS, "it", {"spec": {"size": 2}}, fieldManager="them"))
    (entry,) = created["metadata"]["managedFields"]
    turn = {"op": "replace", "path": "/metadata/managedFields", "value": [{**entry, "operation": "Apply"}]}
    version = {"path": "/metadata/resourceVersion", "value": created["metadata"]["resourceVersion"]}
    refused(422, "Invalid", await api.patch(WIDGETS, "it", [{"op": "test", **version}, turn], "json"))
    refused(409, "Conflict", await api.patch(WIDGETS, "it", [{"op": "replace", **version}, turn], "json"))
    assert ("us", "Update") in managers(ok(await api.get(WIDGETS, "it")))


async def test_apply_cannot_remove_a_key_of_another_manager(api: Api) -> None:
    ok(await api.create(SECRETS, {**meta("it"), "data": {"theirs": "YQ=="}}, fieldManager="them"))
    after = ok(await api.apply(SECRETS, {**meta("it"), "data": {"ours": "Yg=="}}, force=True))
    assert after["data"] == {"theirs": "YQ==", "ours": "Yg=="}


async def test_an_apply_that_changes_nothing_keeps_the_resource_version(api: Api) -> None:
    before = ok(await api.apply(WIDGETS, spec(size=1)))
    assert ok(await api.apply(WIDGETS, spec(size=1))) == before


async def test_an_apply_that_changes_nothing_sends_no_event(api: Api) -> None:
    before = ok(await api.apply(WIDGETS, spec(size=1)))
    async with api.watch(WIDGETS, resourceVersion=before["metadata"]["resourceVersion"]) as watch:
        ok(await api.apply(WIDGETS, spec(size=1), force=True))
        ok(await api.apply(WIDGETS, spec(size=2)))
        _, obj = await watch.next()
    assert obj["spec"]["size"] == 2


# ── lists and maps ──────────────────────────────────────────────────────────────────────────────────


async def test_list_maps_are_merged_by_their_key(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(ports=[{"name": "cql", "number": 9042}]), "them"))
    after = ok(await api.apply(WIDGETS, spec(ports=[{"name": "http", "number": 80}])))
    assert after["spec"]["ports"] == [
        {"name": "cql", "number": 9042, "protocol": "TCP"},
        {"name": "http", "number": 80, "protocol": "TCP"},
    ]


async def test_an_item_of_a_list_map_no_longer_applied_is_removed(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(ports=[{"name": "cql", "number": 9042}]), "them"))
    ok(await api.apply(WIDGETS, spec(ports=[{"name": "http", "number": 80}, {"name": "x", "number": 1}])))
    after = ok(await api.apply(WIDGETS, spec(ports=[{"name": "x", "number": 1}])))
    assert [port["name"] for port in after["spec"]["ports"]] == ["cql", "x"]


async def test_two_managers_may_own_fields_of_one_item(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(ports=[{"name": "cql", "number": 9042}]), "them"))
    after = ok(await api.apply(WIDGETS, spec(ports=[{"name": "cql", "protocol": "UDP"}]), force=True))
    assert after["spec"]["ports"] == [{"name": "cql", "number": 9042, "protocol": "UDP"}]


async def test_sets_are_merged(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(tags=["a", "b"]), "them"))
    after = ok(await api.apply(WIDGETS, spec(tags=["b", "c"])))
    assert sorted(after["spec"]["tags"]) == ["a", "b", "c"]


async def test_atomic_lists_belong_to_one_manager(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(atoms=["a"]), "them"))
    status = refused(409, "Conflict", await api.apply(WIDGETS, spec(atoms=["a", "b"])))
    assert causes(status) == {("FieldManagerConflict", ".spec.atoms")}
    assert ok(await api.apply(WIDGETS, spec(atoms=["b"]), force=True))["spec"]["atoms"] == ["b"]


async def test_atomic_maps_are_replaced_whole(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(where={"zone": "a", "rack": "r1"}), "them"))
    after = ok(await api.apply(WIDGETS, spec(where={"zone": "b"}), force=True))
    assert after["spec"]["where"] == {"zone": "b"}


async def test_free_maps_are_merged_by_key(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(free={"a": {"b": 1}}), "them"))
    after = ok(await api.apply(WIDGETS, spec(free={"a": {"c": 2}})))
    assert after["spec"]["free"] == {"a": {"b": 1, "c": 2}}


async def test_a_duplicate_key_in_an_applied_list_map_fails(api: Api) -> None:
    answer = await api.apply(WIDGETS, spec(ports=[{"name": "a"}, {"name": "a"}]))
    assert answer.status == 500
    assert "duplicate entries" in answer.body["message"]


# ── status, and what makes an apply wrong ───────────────────────────────────────────────────────────


async def test_status_is_applied_through_its_subresource(api: Api) -> None:
    before = ok(await api.apply(WIDGETS, spec(size=1)))
    status = {**meta("it"), "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    after = ok(await api.apply(WIDGETS, status, subresource="status"))
    assert after["status"]["conditions"] == [{"type": "Ready", "status": "True"}]
    assert after["spec"] == before["spec"]
    owned = [(e["manager"], e.get("subresource", "")) for e in after["metadata"]["managedFields"]]
    assert owned == [("us", ""), ("us", "status")]


async def test_an_applied_status_of_the_main_resource_is_dropped(api: Api) -> None:
    after = ok(await api.apply(WIDGETS, {**spec(size=1), "status": {"phase": "Up"}}))
    assert "status" not in after


async def test_apply_of_the_status_of_an_absent_object_is_not_found(api: Api) -> None:
    answer = await api.apply(WIDGETS, {**meta("it"), "status": {"phase": "Up"}}, subresource="status")
    refused(404, "NotFound", answer)


async def test_apply_needs_a_field_manager(api: Api) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", **config_map()}
    status = refused(422, "Invalid", await api.patch(CONFIG_MAPS, "it", body, "apply"))
    assert causes(status) == {("FieldValueRequired", "fieldManager")}


async def test_apply_needs_kind_and_version(api: Api) -> None:
    refused(400, "BadRequest", await api.patch(CONFIG_MAPS, "it", config_map(), "apply", fieldManager="us"))


async def test_apply_refuses_managed_fields(api: Api) -> None:
    managed = [{"manager": "us", "operation": "Apply"}]
    refused(400, "BadRequest", await api.apply(CONFIG_MAPS, config_map(managedFields=managed)))


async def test_apply_of_a_field_that_the_schema_does_not_know_fails(api: Api) -> None:
    answer = await api.apply(WIDGETS, spec(size=1, bogus=True))
    assert answer.status == 500
    assert ".spec.bogus: field not declared in schema" in answer.body["message"]


async def test_apply_of_an_invalid_value_is_invalid(api: Api) -> None:
    status = refused(422, "Invalid", await api.apply(WIDGETS, spec(size=1000)))
    assert causes(status) == {("FieldValueInvalid", "spec.size")}


async def test_apply_raises_the_generation_only_with_the_spec(api: Api) -> None:
    ok(await api.apply(WIDGETS, spec(size=1)))
    assert ok(await api.apply(WIDGETS, spec(size=2)))["metadata"]["generation"] == 2
    labelled = {**spec(size=2), "metadata": {"name": "it", "labels": {"a": "b"}}}
    assert ok(await api.apply(WIDGETS, labelled))["metadata"]["generation"] == 2
