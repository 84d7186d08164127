"""Who managedFields says wrote what."""

from __future__ import annotations

from controller.kube.resources import CONFIG_MAPS
from tests.conformance.api import Api, ok, refused
from tests.conformance.kinds import WIDGETS, config_map, widget


async def test_create_records_the_fields_of_its_manager(api: Api) -> None:
    created = ok(await api.create(CONFIG_MAPS, config_map(labels={"x": "y"}), fieldManager="us"))
    (entry,) = created["metadata"]["managedFields"]
    assert entry.pop("time") >= created["metadata"]["creationTimestamp"]
    assert entry == {
        "manager": "us",
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {".": {}, "f:a": {}}, "f:metadata": {"f:labels": {".": {}, "f:x": {}}}},
    }


async def test_without_a_field_manager_the_user_agent_names_it(api: Api) -> None:
    path = api.path(CONFIG_MAPS)
    created = ok(await api.call("POST", path, config_map()))
    assert [entry["manager"] for entry in created["metadata"]["managedFields"]] != ["us"]


async def test_an_update_moves_a_field_to_its_last_writer(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map(data={"a": "1", "b": "1"}), fieldManager="first"))
    after = ok(await api.patch(CONFIG_MAPS, "it", {"data": {"b": "2"}}, fieldManager="second"))
    owned = {entry["manager"]: set(entry["fieldsV1"]["f:data"]) for entry in after["metadata"]["managedFields"]}
    assert owned == {"first": {".", "f:a"}, "second": {"f:b"}}


async def test_a_status_update_has_an_entry_of_its_own(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(spec={"size": 1}), fieldManager="us"))
    after = ok(await api.patch(WIDGETS, "it", {"status": {"phase": "Up"}}, subresource="status", fieldManager="us"))
    entries = [(e["manager"], e.get("subresource", ""), set(e["fieldsV1"])) for e in after["metadata"]["managedFields"]]
    assert entries == [("us", "", {"f:spec"}), ("us", "status", {"f:status"})]


async def test_items_of_a_list_map_are_named_by_their_key(api: Api) -> None:
    created = ok(await api.apply(WIDGETS, widget(spec={"ports": [{"name": "cql", "number": 9042}]})))
    (entry,) = created["metadata"]["managedFields"]
    assert entry["fieldsV1"] == {"f:spec": {"f:ports": {'k:{"name":"cql"}': {".": {}, "f:name": {}, "f:number": {}}}}}


async def test_items_of_a_set_are_named_by_their_value(api: Api) -> None:
    created = ok(await api.apply(WIDGETS, widget(spec={"tags": ["a"]})))
    (entry,) = created["metadata"]["managedFields"]
    assert entry["fieldsV1"] == {"f:spec": {"f:tags": {'v:"a"': {}}}}


async def test_an_empty_list_of_managed_fields_clears_them(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map(), fieldManager="us"))
    after = ok(await api.patch(CONFIG_MAPS, "it", {"metadata": {"managedFields": [{}]}}))
    assert "managedFields" not in after["metadata"]


async def test_a_field_manager_has_128_characters(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map(), fieldManager="x" * 128))
    refused(422, "Invalid", await api.create(CONFIG_MAPS, config_map("other"), fieldManager="x" * 129))


async def test_a_field_written_by_a_default_belongs_to_the_creator(api: Api) -> None:
    created = ok(await api.create(WIDGETS, widget(spec={"size": 1}), fieldManager="us"))
    (entry,) = created["metadata"]["managedFields"]
    assert set(entry["fieldsV1"]["f:spec"]) == {".", "f:size", "f:replicas"}


async def test_a_field_written_by_a_default_does_not_belong_to_the_applier(api: Api) -> None:
    created = ok(await api.apply(WIDGETS, widget(spec={"size": 1})))
    (entry,) = created["metadata"]["managedFields"]
    assert set(entry["fieldsV1"]["f:spec"]) == {"f:size"}
