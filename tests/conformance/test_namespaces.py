"""Namespaces: nothing is made in an absent or a going one, and what is in it goes with it."""

from __future__ import annotations

from controller.kube.resources import CONFIG_MAPS, NAMESPACES, SECRETS
from controller.kube.transport import Transport
from tests.conformance.api import Api, ok, refused, until
from tests.conformance.kinds import WIDGETS, config_map, secret, widget

HELD = ["example.com/held"]


async def test_create_in_an_absent_namespace_is_not_found(admin: Transport) -> None:
    status = refused(404, "NotFound", await Api(admin, "absent").create(CONFIG_MAPS, config_map()))
    assert status["details"] == {"name": "absent", "kind": "namespaces"}
    refused(404, "NotFound", await Api(admin, "absent").create(WIDGETS, widget()))


async def test_apply_in_an_absent_namespace_is_not_found(admin: Transport) -> None:
    refused(404, "NotFound", await Api(admin, "absent").apply(CONFIG_MAPS, config_map()))


async def test_get_in_an_absent_namespace_is_not_found(admin: Transport) -> None:
    status = refused(404, "NotFound", await Api(admin, "absent").get(CONFIG_MAPS, "it"))
    assert status["details"] == {"name": "it", "kind": "configmaps"}


async def test_a_deleted_namespace_takes_its_contents_with_it(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map()))
    ok(await api.create(SECRETS, secret()))
    ok(await api.create(WIDGETS, widget()))
    start = ok(await api.list(WIDGETS))["metadata"]["resourceVersion"]
    async with api.watch(WIDGETS, resourceVersion=start) as watch:
        ok(await api.delete(NAMESPACES, api.namespace))
        assert await watch.named(1) == [("DELETED", "it")]

    async def gone() -> bool:
        return (await api.get(NAMESPACES, api.namespace)).status == 404

    await until(gone)
    for kind in (CONFIG_MAPS, SECRETS, WIDGETS):
        refused(404, "NotFound", await api.get(kind, "it"))


async def test_a_namespace_terminates_as_long_as_something_in_it_is_held(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=HELD)))
    marked = ok(await api.delete(NAMESPACES, api.namespace))
    assert marked["status"]["phase"] == "Terminating"

    async def deleting() -> bool:
        return "deletionTimestamp" in ok(await api.get(WIDGETS, "it"))["metadata"]

    await until(deleting)
    assert ok(await api.get(NAMESPACES, api.namespace))["status"]["phase"] == "Terminating"
    ok(await api.patch(WIDGETS, "it", {"metadata": {"finalizers": None}}))


async def test_create_in_a_going_namespace_is_forbidden(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=HELD)))
    ok(await api.delete(NAMESPACES, api.namespace))
    status = refused(403, "Forbidden", await api.create(CONFIG_MAPS, config_map()))
    assert "because it is being terminated" in status["message"]
    assert {cause["reason"] for cause in status["details"]["causes"]} == {"NamespaceTerminating"}
    ok(await api.patch(WIDGETS, "it", {"metadata": {"finalizers": None}}))


async def test_what_is_in_a_going_namespace_may_still_be_changed(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(finalizers=HELD)))
    ok(await api.delete(NAMESPACES, api.namespace))
    after = ok(await api.patch(WIDGETS, "it", {"status": {"phase": "Going"}}, subresource="status"))
    assert after["status"] == {"phase": "Going"}
    ok(await api.patch(WIDGETS, "it", {"metadata": {"finalizers": None}}))


async def test_a_new_namespace_is_active_and_holds_its_own_finalizer(api: Api) -> None:
    namespace = ok(await api.get(NAMESPACES, api.namespace))
    assert namespace["spec"] == {"finalizers": ["kubernetes"]}
    assert namespace["status"] == {"phase": "Active"}
