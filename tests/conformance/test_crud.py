"""Creating, reading, replacing and deleting objects, and how each is refused."""

from __future__ import annotations

import re

import pytest

from controller.kube.resources import CONFIG_MAPS, LEASES, NAMESPACES, SECRETS
from tests.conformance.api import Api, Json, causes, ok, refused
from tests.conformance.kinds import WIDGETS, config_map, secret, widget


async def test_create_answers_201_with_identity(api: Api) -> None:
    created = await api.create(CONFIG_MAPS, config_map())
    assert created.status == 201
    assert (created.body["kind"], created.body["apiVersion"]) == ("ConfigMap", "v1")
    metadata = created.body["metadata"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata["uid"])
    assert int(metadata["resourceVersion"]) > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])
    assert metadata["namespace"] == api.namespace
    assert created.body["data"] == {"a": "1"}


async def test_get_gives_what_create_answered(api: Api) -> None:
    created = ok(await api.create(CONFIG_MAPS, config_map()))
    assert ok(await api.get(CONFIG_MAPS, "it")) == created


async def test_second_create_of_a_name_is_already_exists(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map()))
    status = refused(409, "AlreadyExists", await api.create(CONFIG_MAPS, config_map()))
    assert status["details"] == {"name": "it", "kind": "configmaps"}
    assert status["message"] == 'configmaps "it" already exists'


async def test_second_create_of_a_custom_resource_names_its_group(api: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    status = refused(409, "AlreadyExists", await api.create(WIDGETS, widget()))
    assert status["details"] == {"name": "it", "group": WIDGETS.group, "kind": "widgets"}


async def test_create_without_a_name_is_invalid(api: Api) -> None:
    status = refused(422, "Invalid", await api.create(CONFIG_MAPS, {"metadata": {}}))
    assert causes(status) == {("FieldValueRequired", "metadata.name")}


async def test_generate_name_appends_five_characters(api: Api) -> None:
    created = ok(await api.create(CONFIG_MAPS, {"metadata": {"generateName": "it-"}}))
    assert re.fullmatch(r"it-[a-z0-9]{5}", created["metadata"]["name"])
    assert created["metadata"]["generateName"] == "it-"


async def test_generate_name_gives_a_new_name_each_time(api: Api) -> None:
    answers = [await api.create(CONFIG_MAPS, {"metadata": {"generateName": "it-"}}) for _ in range(5)]
    assert len({ok(answer)["metadata"]["name"] for answer in answers}) == 5


async def test_a_name_wins_over_generate_name(api: Api) -> None:
    created = ok(await api.create(CONFIG_MAPS, config_map("chosen", generateName="it-")))
    assert created["metadata"]["name"] == "chosen"


async def test_create_with_another_namespace_in_the_body_is_refused(api: Api) -> None:
    answer = await api.create(CONFIG_MAPS, config_map(namespace="another"))
    status = refused(400, "BadRequest", answer)
    assert "does not match the namespace" in status["message"]


async def test_create_with_a_resource_version_fails(api: Api) -> None:
    answer = await api.create(CONFIG_MAPS, config_map(resourceVersion="5"))
    status = refused(500, "", answer)  # the server takes it for a failure of its storage
    assert "resourceVersion should not be set" in status["message"]


async def test_create_ignores_the_uid_and_the_creation_time_of_the_body(api: Api) -> None:
    given: Json = {"uid": "00000000-0000-0000-0000-000000000000", "creationTimestamp": "2001-01-01T00:00:00Z"}
    created = ok(await api.create(CONFIG_MAPS, config_map(**given)))
    assert created["metadata"]["uid"] != given["uid"]
    assert created["metadata"]["creationTimestamp"] > "2020"


async def test_create_ignores_a_deletion_timestamp(api: Api) -> None:
    created = ok(await api.create(CONFIG_MAPS, config_map(deletionTimestamp="2001-01-01T00:00:00Z")))
    assert "deletionTimestamp" not in created["metadata"]


async def test_create_of_another_kind_is_refused(api: Api) -> None:
    answer = await api.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "Secret", **secret()})
    refused(400, "BadRequest", answer)


async def test_a_built_in_kind_may_be_left_out_of_the_body(api: Api) -> None:
    assert ok(await api.create(CONFIG_MAPS, config_map()))["kind"] == "ConfigMap"


async def test_a_custom_kind_may_not_be_left_out_of_the_body(api: Api) -> None:
    body = widget()
    del body["kind"]
    refused(400, "BadRequest", await api.create(WIDGETS, body))


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"", b'{"metadata": 5}'])
async def test_a_body_that_is_no_object_is_refused(api: Api, body: bytes) -> None:
    refused(400, "BadRequest", await api.call("POST", api.path(CONFIG_MAPS), body))


async def test_a_field_of_the_wrong_type_is_refused(api: Api) -> None:
    answer = await api.create(CONFIG_MAPS, {"metadata": {"name": "it"}, "data": {"a": 1}})
    refused(400, "BadRequest", answer)


async def test_an_unknown_content_type_is_not_supported(api: Api) -> None:
    answer = await api.call("POST", api.path(CONFIG_MAPS), b"x", content="text/plain")
    refused(415, "UnsupportedMediaType", answer)


async def test_get_of_an_absent_object_names_it(api: Api) -> None:
    status = refused(404, "NotFound", await api.get(CONFIG_MAPS, "absent"))
    assert status["details"] == {"name": "absent", "kind": "configmaps"}
    assert status["message"] == 'configmaps "absent" not found'


async def test_replace_changes_the_resource_version_and_keeps_the_identity(api: Api) -> None:
    before = ok(await api.create(CONFIG_MAPS, config_map()))
    after = ok(await api.replace(CONFIG_MAPS, {**before, "data": {"a": "2"}}))
    assert after["data"] == {"a": "2"}
    assert int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])
    for kept in ("uid", "creationTimestamp"):
        assert after["metadata"][kept] == before["metadata"][kept]


async def test_replace_removes_what_is_left_out(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map(labels={"x": "y"})))
    after = ok(await api.replace(CONFIG_MAPS, config_map(data={"b": "2"})))
    assert after["data"] == {"b": "2"}
    assert "labels" not in after["metadata"]


async def test_replace_of_an_absent_object_is_not_found(api: Api) -> None:
    refused(404, "NotFound", await api.replace(CONFIG_MAPS, config_map()))


async def test_replace_of_an_absent_lease_creates_it(api: Api) -> None:
    lease = {"metadata": {"name": "it"}, "spec": {"holderIdentity": "me"}}
    assert (await api.replace(LEASES, lease)).status == 201


async def test_replace_under_another_name_is_refused(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map()))
    answer = await api.call("PUT", api.path(CONFIG_MAPS, "it"), config_map("other"))
    refused(400, "BadRequest", answer)


async def test_replace_without_resource_version_is_unconditional_for_a_config_map(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map()))
    assert ok(await api.replace(CONFIG_MAPS, config_map(data={"b": "2"})))["data"] == {"b": "2"}


async def test_replace_without_resource_version_is_invalid_for_a_custom_resource(api: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    status = refused(422, "Invalid", await api.replace(WIDGETS, widget()))
    assert causes(status) == {("FieldValueInvalid", "metadata.resourceVersion")}


async def test_replace_with_an_old_resource_version_conflicts(api: Api) -> None:
    before = ok(await api.create(CONFIG_MAPS, config_map()))
    ok(await api.replace(CONFIG_MAPS, {**before, "data": {"a": "2"}}))
    status = refused(409, "Conflict", await api.replace(CONFIG_MAPS, {**before, "data": {"a": "3"}}))
    assert "the object has been modified" in status["message"]


async def test_replace_with_another_uid_conflicts(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map()))
    foreign = config_map(uid="00000000-0000-0000-0000-000000000000")
    status = refused(409, "Conflict", await api.replace(CONFIG_MAPS, foreign))
    assert "Precondition failed: UID in precondition" in status["message"]


async def test_replace_with_the_right_uid_and_resource_version_succeeds(api: Api) -> None:
    metadata = ok(await api.create(SECRETS, secret()))["metadata"]
    held = {key: metadata[key] for key in ("uid", "resourceVersion")}
    after = ok(await api.replace(SECRETS, {"metadata": {"name": "it", **held}, "stringData": {"a": "b"}}))
    assert after["data"] == {"a": "Yg=="}


async def test_delete_answers_success_with_the_uid(api: Api) -> None:
    uid = ok(await api.create(CONFIG_MAPS, config_map()))["metadata"]["uid"]
    status = ok(await api.delete(CONFIG_MAPS, "it"))
    assert (status["kind"], status["status"]) == ("Status", "Success")
    assert status["details"] == {"name": "it", "kind": "configmaps", "uid": uid}
    refused(404, "NotFound", await api.get(CONFIG_MAPS, "it"))


async def test_delete_of_an_absent_object_is_not_found(api: Api) -> None:
    refused(404, "NotFound", await api.delete(CONFIG_MAPS, "absent"))


async def test_a_name_created_again_is_another_object(api: Api) -> None:
    before = ok(await api.create(CONFIG_MAPS, config_map()))
    ok(await api.delete(CONFIG_MAPS, "it"))
    after = ok(await api.create(CONFIG_MAPS, config_map()))
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])


async def test_delete_with_another_uid_conflicts_and_deletes_nothing(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map()))
    wrong = {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}
    refused(409, "Conflict", await api.delete(CONFIG_MAPS, "it", wrong))
    ok(await api.get(CONFIG_MAPS, "it"))


async def test_delete_with_an_old_resource_version_conflicts(api: Api) -> None:
    before = ok(await api.create(CONFIG_MAPS, config_map()))["metadata"]
    ok(await api.patch(CONFIG_MAPS, "it", {"data": {"a": "2"}}))
    old = {"preconditions": {"uid": before["uid"], "resourceVersion": before["resourceVersion"]}}
    refused(409, "Conflict", await api.delete(CONFIG_MAPS, "it", old))


async def test_delete_with_the_right_preconditions_succeeds(api: Api) -> None:
    metadata = ok(await api.create(CONFIG_MAPS, config_map()))["metadata"]
    right = {"preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}}
    ok(await api.delete(CONFIG_MAPS, "it", right))
    refused(404, "NotFound", await api.get(CONFIG_MAPS, "it"))


async def test_delete_of_a_collection_takes_what_the_selector_matches(api: Api) -> None:
    for name, app in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        ok(await api.create(CONFIG_MAPS, config_map(name, labels={"app": app})))
    ok(await api.call("DELETE", api.path(CONFIG_MAPS), query={"labelSelector": "app=a"}))
    left = ok(await api.list(CONFIG_MAPS, labelSelector="app"))["items"]
    assert [item["metadata"]["name"] for item in left] == ["b1"]


async def test_a_cluster_scoped_object_has_no_namespace(api: Api) -> None:
    namespace = ok(await api.get(NAMESPACES, api.namespace))
    assert "namespace" not in namespace["metadata"]
    assert namespace["status"] == {"phase": "Active"}
    assert namespace["metadata"]["labels"]["kubernetes.io/metadata.name"] == api.namespace
