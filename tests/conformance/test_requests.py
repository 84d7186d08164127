"""Identity, verbs, timeouts, dry runs and strictness: what holds for every request."""

from __future__ import annotations

import pytest

from controller.kube.resources import CONFIG_MAPS
from controller.kube.transport import Transport
from tests.conformance.api import Api, ok, refused
from tests.conformance.kinds import WIDGETS, config_map, widget
from tests.servers import Server


async def test_a_wrong_token_is_unauthorized(api: Api, server: Server) -> None:
    stranger = server.transport("wrong")
    try:
        status = refused(401, "Unauthorized", await Api(stranger, api.namespace).list(CONFIG_MAPS))
        assert status["message"] == "Unauthorized"
        refused(401, "Unauthorized", await Api(stranger, api.namespace).try_watch(CONFIG_MAPS))
    finally:
        await stranger.close()


async def test_nobody_is_forbidden_what_a_role_must_allow(api: Api, server: Server) -> None:
    nobody = server.transport("")
    try:
        status = refused(403, "Forbidden", await Api(nobody, api.namespace).list(CONFIG_MAPS))
        assert 'User "system:anonymous" cannot list resource "configmaps"' in status["message"]
        refused(403, "Forbidden", await Api(nobody, api.namespace).create(CONFIG_MAPS, config_map()))
    finally:
        await nobody.close()


async def test_nobody_may_see_version_and_health(server: Server, admin: Transport) -> None:
    nobody = server.transport("")
    try:
        for path in ("/version", "/readyz"):
            assert (await Api(nobody, "").call("GET", path)).status == 200
    finally:
        await nobody.close()


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_verb_that_a_collection_does_not_have_is_not_allowed(api: Api, method: str) -> None:
    content = "application/merge-patch+json" if method == "PATCH" else "application/json"
    answer = await api.call(method, api.path(CONFIG_MAPS), config_map(), content=content)
    refused(405, "MethodNotAllowed", answer)


async def test_post_to_an_object_is_not_allowed(api: Api) -> None:
    refused(405, "MethodNotAllowed", await api.call("POST", api.path(CONFIG_MAPS, "it"), config_map()))


async def test_create_outside_a_namespace_is_not_allowed(api: Api) -> None:
    answer = await api.call("POST", CONFIG_MAPS.path(), config_map())
    assert answer.status in (400, 405)


async def test_a_timeout_in_seconds_is_accepted(api: Api) -> None:
    assert ok(await api.create(CONFIG_MAPS, config_map(), timeout="5s"))["data"] == {"a": "1"}


async def test_a_timeout_that_is_no_duration_is_refused(api: Api) -> None:
    assert (await api.create(CONFIG_MAPS, config_map(), timeout="soon")).status == 400


async def test_a_dry_run_of_a_create_changes_nothing(api: Api) -> None:
    answer = await api.create(CONFIG_MAPS, config_map(), dryRun="All")
    assert answer.status == 201
    assert answer.body["metadata"]["uid"]
    refused(404, "NotFound", await api.get(CONFIG_MAPS, "it"))


async def test_a_dry_run_of_a_patch_changes_nothing(api: Api) -> None:
    before = ok(await api.create(WIDGETS, widget(spec={"size": 1})))
    assert ok(await api.patch(WIDGETS, "it", {"spec": {"size": 2}}, dryRun="All"))["spec"]["size"] == 2
    assert ok(await api.get(WIDGETS, "it")) == before


async def test_a_dry_run_of_an_apply_changes_nothing(api: Api) -> None:
    assert (await api.apply(WIDGETS, widget(spec={"size": 2}), dryRun="All")).status == 201
    refused(404, "NotFound", await api.get(WIDGETS, "it"))


async def test_a_dry_run_of_a_delete_changes_nothing(api: Api) -> None:
    before = ok(await api.create(CONFIG_MAPS, config_map()))
    ok(await api.delete(CONFIG_MAPS, "it", dryRun="All"))
    assert ok(await api.get(CONFIG_MAPS, "it")) == before


async def test_a_dry_run_still_refuses_what_is_invalid(api: Api) -> None:
    refused(422, "Invalid", await api.create(WIDGETS, widget(spec={"size": 1000}), dryRun="All"))


async def test_an_unknown_dry_run_is_invalid(api: Api) -> None:
    refused(422, "Invalid", await api.create(CONFIG_MAPS, config_map(), dryRun="Some"))


async def test_strict_validation_refuses_a_field_that_nobody_knows(api: Api) -> None:
    body = {**config_map(), "bogus": 1}
    status = refused(400, "BadRequest", await api.create(CONFIG_MAPS, body, fieldValidation="Strict"))
    assert 'strict decoding error: unknown field "bogus"' in status["message"]


async def test_strict_validation_refuses_an_unknown_field_of_a_custom_resource(api: Api) -> None:
    body = widget(spec={"bogus": 1})
    status = refused(400, "BadRequest", await api.create(WIDGETS, body, fieldValidation="Strict"))
    assert 'unknown field "spec.bogus"' in status["message"]


async def test_strict_validation_refuses_a_field_that_is_there_twice(api: Api) -> None:
    body = b'{"metadata": {"name": "it"}, "data": {"a": "1"}, "data": {"b": "2"}}'
    answer = await api.call("POST", api.path(CONFIG_MAPS), body, query={"fieldValidation": "Strict"})
    status = refused(400, "BadRequest", answer)
    assert 'duplicate field "data"' in status["message"]


async def test_validation_that_warns_drops_the_field_and_says_so(api: Api) -> None:
    answer = await api.create(WIDGETS, widget(spec={"bogus": 1, "size": 2}), fieldValidation="Warn")
    assert ok(answer)["spec"] == {"size": 2, "replicas": 3}
    assert answer.headers["warning"] == r'299 - "unknown field \"spec.bogus\""'


async def test_validation_that_ignores_drops_the_field_in_silence(api: Api) -> None:
    answer = await api.create(WIDGETS, widget(spec={"bogus": 1, "size": 2}), fieldValidation="Ignore")
    assert ok(answer)["spec"] == {"size": 2, "replicas": 3}
    assert "warning" not in answer.headers


async def test_an_unknown_field_validation_is_invalid(api: Api) -> None:
    refused(422, "Invalid", await api.create(CONFIG_MAPS, config_map(), fieldValidation="Maybe"))


async def test_a_name_may_be_percent_encoded(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map("a.b")))
    assert ok(await api.call("GET", api.path(CONFIG_MAPS) + "/a%2Eb"))["metadata"]["name"] == "a.b"


async def test_an_unknown_parameter_is_ignored(api: Api) -> None:
    assert ok(await api.create(CONFIG_MAPS, config_map(), pretty="true", whatever="x"))["data"] == {"a": "1"}
