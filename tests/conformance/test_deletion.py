"""Finalizers, deletion timestamps, and what is still allowed on an object that is going."""

from __future__ import annotations

from controller.kube.resources import CONFIG_MAPS
from tests.conformance.api import Api, causes, ok, refused
from tests.conformance.kinds import WIDGETS, config_map, widget

HELD = ["example.com/held"]


async def test_delete_of_a_finalized_object_only_marks_it(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=HELD)))
    answer = ok(await api.delete(WIDGETS, "it"))
    assert answer["kind"] == "Widget"
    metadata = ok(await api.get(WIDGETS, "it"))["metadata"]
    assert metadata["deletionTimestamp"] >= metadata["creationTimestamp"]
    assert metadata["deletionGracePeriodSeconds"] == 0
    assert metadata["finalizers"] == HELD


async def test_delete_of_a_finalized_custom_resource_raises_the_generation(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=HELD)))
    assert ok(await api.delete(WIDGETS, "it"))["metadata"]["generation"] == 2


async def test_a_second_delete_changes_nothing(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=HELD)))
    first = ok(await api.delete(WIDGETS, "it"))
    ok(await api.delete(WIDGETS, "it"))
    assert ok(await api.get(WIDGETS, "it")) == first


async def test_the_last_finalizer_takes_the_object_with_it(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=[*HELD, "example.com/other"])))
    ok(await api.delete(WIDGETS, "it"))
    ok(await api.patch(WIDGETS, "it", {"metadata": {"finalizers": HELD}}))
    ok(await api.get(WIDGETS, "it"))
    ok(await api.patch(WIDGETS, "it", {"metadata": {"finalizers": None}}))
    refused(404, "NotFound", await api.get(WIDGETS, "it"))


async def test_a_finalized_deletion_is_seen_as_modified_and_then_deleted(api: Api) -> None:
    created = ok(await api.create(CONFIG_MAPS, config_map(finalizers=HELD)))
    async with api.watch(CONFIG_MAPS, resourceVersion=created["metadata"]["resourceVersion"]) as watch:
        ok(await api.delete(CONFIG_MAPS, "it"))
        kind, obj = await watch.next()
        assert kind == "MODIFIED"
        assert "deletionTimestamp" in obj["metadata"]
        ok(await api.patch(CONFIG_MAPS, "it", {"metadata": {"finalizers": []}}))
        kind, obj = await watch.next()
    assert kind == "DELETED"
    assert obj["metadata"]["finalizers"] == HELD  # the last version that was stored


async def test_a_deleted_event_has_a_resource_version_of_its_own(api: Api) -> None:
    created = ok(await api.create(CONFIG_MAPS, config_map()))
    async with api.watch(CONFIG_MAPS, resourceVersion=created["metadata"]["resourceVersion"]) as watch:
        ok(await api.delete(CONFIG_MAPS, "it"))
        kind, obj = await watch.next()
    assert kind == "DELETED"
    assert int(obj["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])
    assert obj["metadata"]["uid"] == created["metadata"]["uid"]


async def test_no_finalizer_joins_an_object_that_is_going(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map(finalizers=HELD)))
    ok(await api.delete(CONFIG_MAPS, "it"))
    answer = await api.patch(CONFIG_MAPS, "it", {"metadata": {"finalizers": [*HELD, "example.com/late"]}})
    status = refused(422, "Invalid", answer)
    assert causes(status) == {("FieldValueForbidden", "metadata.finalizers")}


async def test_an_object_that_is_going_may_still_be_changed(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=HELD)))
    ok(await api.delete(WIDGETS, "it"))
    ok(await api.patch(WIDGETS, "it", {"spec": {"size": 3}, "metadata": {"labels": {"a": "b"}}}))
    after = ok(await api.patch(WIDGETS, "it", {"status": {"phase": "Going"}}, subresource="status"))
    assert (after["spec"]["size"], after["status"]["phase"]) == (3, "Going")


async def test_the_deletion_timestamp_cannot_be_taken_back(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=HELD)))
    marked = ok(await api.delete(WIDGETS, "it"))
    ok(await api.patch(WIDGETS, "it", {"metadata": {"deletionTimestamp": None}}))
    assert ok(await api.get(WIDGETS, "it")) == marked


async def test_a_name_is_taken_until_its_object_is_gone(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=HELD)))
    ok(await api.delete(WIDGETS, "it"))
    status = refused(409, "AlreadyExists", await api.create(WIDGETS, widget()))
    assert status["message"].startswith("object is being deleted: ")


async def test_finalizers_of_an_object_that_stays_come_and_go(api: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    ok(await api.patch(WIDGETS, "it", {"metadata": {"finalizers": HELD}}))
    ok(await api.patch(WIDGETS, "it", {"metadata": {"finalizers": []}}))
    ok(await api.get(WIDGETS, "it"))


async def test_foreground_deletion_waits_as_a_finalizer(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=HELD)))
    marked = ok(await api.delete(WIDGETS, "it", {"propagationPolicy": "Foreground"}))
    assert set(marked["metadata"]["finalizers"]) == {*HELD, "foregroundDeletion"}


async def test_orphaning_waits_as_a_finalizer(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=HELD)))
    marked = ok(await api.delete(WIDGETS, "it", {"propagationPolicy": "Orphan"}))
    assert set(marked["metadata"]["finalizers"]) == {*HELD, "orphan"}


async def test_an_unknown_propagation_policy_is_invalid(api: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    refused(422, "Invalid", await api.delete(WIDGETS, "it", {"propagationPolicy": "Sideways"}))
    ok(await api.get(WIDGETS, "it"))


async def test_delete_options_may_be_parameters(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=HELD)))
    marked = ok(await api.delete(WIDGETS, "it", propagationPolicy="Foreground"))
    assert "foregroundDeletion" in marked["metadata"]["finalizers"]
