"""What an update changes besides what it says: resourceVersion, generation, events, and what never changes."""

from __future__ import annotations

import pytest

from controller.kube.resources import CONFIG_MAPS
from tests.conformance.api import Api, causes, ok, refused
from tests.conformance.kinds import GADGETS, WIDGETS, config_map, gadget, widget


async def test_a_replace_that_changes_nothing_keeps_the_resource_version(api: Api) -> None:
    before = ok(await api.create(CONFIG_MAPS, config_map()))
    assert ok(await api.replace(CONFIG_MAPS, before)) == before


async def test_a_patch_that_changes_nothing_keeps_the_resource_version(api: Api) -> None:
    before = ok(await api.create(WIDGETS, widget(spec={"size": 1})))
    assert ok(await api.patch(WIDGETS, "it", {"spec": {"size": 1}})) == before


async def test_an_update_that_changes_nothing_sends_no_event(api: Api) -> None:
    before = ok(await api.create(CONFIG_MAPS, config_map()))
    async with api.watch(CONFIG_MAPS, resourceVersion=before["metadata"]["resourceVersion"]) as watch:
        ok(await api.replace(CONFIG_MAPS, before))
        ok(await api.patch(CONFIG_MAPS, "it", {"data": {"a": "2"}}))
        kind, obj = await watch.next()
    assert (kind, obj["data"]) == ("MODIFIED", {"a": "2"})


async def test_a_config_map_has_no_generation(api: Api) -> None:
    assert "generation" not in ok(await api.create(CONFIG_MAPS, config_map()))["metadata"]


async def test_the_first_generation_is_one_whatever_the_body_says(api: Api) -> None:
    assert ok(await api.create(WIDGETS, widget(generation=7)))["metadata"]["generation"] == 1


async def test_a_change_of_spec_raises_the_generation(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(spec={"size": 1})))
    assert ok(await api.patch(WIDGETS, "it", {"spec": {"size": 2}}))["metadata"]["generation"] == 2


async def test_a_change_of_metadata_keeps_the_generation(api: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    change = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}
    assert ok(await api.patch(WIDGETS, "it", change))["metadata"]["generation"] == 1


async def test_a_generation_in_the_body_is_ignored(api: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    change = {"metadata": {"generation": 9, "labels": {"a": "b"}}}
    assert ok(await api.patch(WIDGETS, "it", change))["metadata"]["generation"] == 1


async def test_a_change_of_status_keeps_the_generation(api: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    after = ok(await api.patch(WIDGETS, "it", {"status": {"phase": "Up"}}, subresource="status"))
    assert after["metadata"]["generation"] == 1


async def test_without_status_subresource_a_change_of_status_raises_the_generation(api: Api) -> None:
    ok(await api.create(GADGETS, gadget()))
    after = ok(await api.patch(GADGETS, "it", {"status": {"phase": "Up"}}))
    assert after["status"] == {"phase": "Up"}
    assert after["metadata"]["generation"] == 2


async def test_without_status_subresource_a_change_of_metadata_keeps_the_generation(api: Api) -> None:
    ok(await api.create(GADGETS, gadget()))
    after = ok(await api.patch(GADGETS, "it", {"metadata": {"labels": {"a": "b"}}}))
    assert after["metadata"]["generation"] == 1


async def test_create_drops_the_status_of_a_kind_with_status_subresource(api: Api) -> None:
    assert "status" not in ok(await api.create(WIDGETS, {**widget(), "status": {"phase": "Up"}}))


async def test_create_keeps_the_status_of_a_kind_without_status_subresource(api: Api) -> None:
    created = ok(await api.create(GADGETS, {**gadget(), "status": {"phase": "Up"}}))
    assert created["status"] == {"phase": "Up"}


async def test_an_update_of_the_object_leaves_the_status_alone(api: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    before = ok(await api.patch(WIDGETS, "it", {"status": {"phase": "Up"}}, subresource="status"))
    assert ok(await api.patch(WIDGETS, "it", {"status": {"phase": "Down"}})) == before
    after = ok(await api.replace(WIDGETS, {**before, "spec": {"size": 5}, "status": {}}))
    assert after["status"] == {"phase": "Up"}


async def test_an_update_of_the_status_leaves_the_spec_alone(api: Api) -> None:
    before = ok(await api.create(WIDGETS, widget(spec={"size": 1})))
    after = ok(await api.replace(WIDGETS, {**before, "spec": {"size": 2}, "status": {"phase": "Up"}}, "status"))
    assert after["spec"] == before["spec"]
    assert after["status"] == {"phase": "Up"}


async def test_an_update_of_the_status_leaves_labels_annotations_and_finalizers_alone(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(labels={"a": "b"})))
    metadata = {"labels": {"a": "c"}, "annotations": {"d": "e"}, "finalizers": ["example.com/x"]}
    change = {"metadata": metadata, "status": {"phase": "Up"}}
    after = ok(await api.patch(WIDGETS, "it", change, subresource="status"))["metadata"]
    assert after["labels"] == {"a": "b"}
    assert "annotations" not in after
    assert "finalizers" not in after


async def test_an_update_of_the_status_with_an_old_resource_version_conflicts(api: Api) -> None:
    before = ok(await api.create(WIDGETS, widget()))
    ok(await api.patch(WIDGETS, "it", {"spec": {"size": 2}}))
    refused(409, "Conflict", await api.replace(WIDGETS, {**before, "status": {"phase": "Up"}}, "status"))


async def test_a_patch_of_the_status_ignores_another_uid(api: Api) -> None:
    ok(await api.create(WIDGETS, widget("it")))
    patch = {"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}, "status": {"phase": "Ready"}}
    assert ok(await api.patch(WIDGETS, "it", patch, subresource="status"))["status"]["phase"] == "Ready"


async def test_a_patch_of_the_status_with_an_old_resource_version_conflicts(api: Api) -> None:
    old = ok(await api.create(WIDGETS, widget("it")))["metadata"]["resourceVersion"]
    ok(await api.patch(WIDGETS, "it", {"metadata": {"labels": {"a": "b"}}}))
    patch = {"metadata": {"resourceVersion": old}, "status": {"phase": "Ready"}}
    refused(409, "Conflict", await api.patch(WIDGETS, "it", patch, subresource="status"))


async def test_get_of_the_status_gives_the_whole_object(api: Api) -> None:
    created = ok(await api.create(WIDGETS, widget()))
    assert ok(await api.get(WIDGETS, "it", "status")) == created


async def test_a_kind_without_status_subresource_has_none(api: Api) -> None:
    ok(await api.create(GADGETS, gadget()))
    refused(404, "NotFound", await api.patch(GADGETS, "it", {"status": {}}, subresource="status"))
    refused(404, "NotFound", await api.get(GADGETS, "it", "status"))


async def test_the_uid_does_not_change(api: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    answer = await api.patch(WIDGETS, "it", {"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}})
    status = refused(422, "Invalid", answer)
    assert causes(status) == {("FieldValueInvalid", "metadata.uid")}


async def test_the_creation_time_does_not_change(api: Api) -> None:
    before = ok(await api.create(WIDGETS, widget()))
    change = {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}}
    assert ok(await api.patch(WIDGETS, "it", change)) == before


@pytest.mark.parametrize("field", ["name", "namespace"])
async def test_a_patch_cannot_move_an_object(api: Api, field: str) -> None:
    ok(await api.create(WIDGETS, widget()))
    refused(400, "BadRequest", await api.patch(WIDGETS, "it", {"metadata": {field: "other"}}))


async def test_nobody_sets_a_deletion_timestamp(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=["example.com/x"])))
    change = {"metadata": {"deletionTimestamp": "2001-01-01T00:00:00Z"}}
    status = refused(422, "Invalid", await api.patch(WIDGETS, "it", change))
    assert causes(status) == {("FieldValueInvalid", "metadata.deletionTimestamp")}


async def test_the_self_made_fields_of_managed_fields_are_kept_by_a_replace_without_them(api: Api) -> None:
    before = ok(await api.create(WIDGETS, widget(), fieldManager="us"))
    changed = {**before, "spec": {"size": 4}, "metadata": {**before["metadata"]}}
    del changed["metadata"]["managedFields"]
    after = ok(await api.replace(WIDGETS, changed, fieldManager="us"))
    assert [entry["manager"] for entry in after["metadata"]["managedFields"]] == ["us"]


async def test_a_transition_rule_of_the_schema_holds_on_update(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(spec={"frozen": "a"})))
    status = refused(422, "Invalid", await api.patch(WIDGETS, "it", {"spec": {"frozen": "b"}}))
    assert causes(status) == {("FieldValueInvalid", "spec.frozen")}
    assert "frozen does not change" in status["message"]


async def test_a_rule_may_work_out_its_message(api: Api) -> None:
    status = refused(422, "Invalid", await api.create(WIDGETS, widget(spec={"pair": {"left": "a", "right": "b"}})))
    assert "a is not b" in status["message"]
    assert "left and right differ" not in status["message"]


async def test_a_message_that_cannot_be_worked_out_is_the_fixed_one(api: Api) -> None:
    """It has no optional ``oldSelf``, whatever the rule has."""
    odd = widget(spec={"pair": {"left": "odd", "right": "odd"}})
    assert "left begins odd" in refused(422, "Invalid", await api.create(WIDGETS, odd))["message"]
