"""Owners: what goes with them, what waits for them, and what is orphaned."""

from __future__ import annotations

from typing import Any

from controller.kube.resources import CONFIG_MAPS, SECRETS
from tests.conformance.api import Api, Json, ok, refused, until
from tests.conformance.kinds import config_map, meta

NEVER = "00000000-0000-0000-0000-000000000000"


async def owner_and_dependant(api: Api, **reference: Any) -> Json:
    """A ConfigMap ``owner`` and a Secret ``it`` that it owns, both known to the collector; the reference."""
    uid = ok(await api.create(CONFIG_MAPS, config_map("owner")))["metadata"]["uid"]
    owned = reference_to("owner", uid) | reference
    ok(await api.create(SECRETS, meta("it", ownerReferences=[owned])))
    # The collector hears of Secrets in their order: when it has taken this one away it knows the one before.
    ok(await api.create(SECRETS, meta("canary", ownerReferences=[reference_to("never", NEVER)])))
    await gone(api, SECRETS, "canary")
    return owned


def reference_to(name: str, uid: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid}


async def gone(api: Api, kind: Any, name: str) -> None:
    async def absent() -> bool:
        return (await api.get(kind, name)).status == 404

    await until(absent)


async def test_a_dependant_goes_after_its_owner(api: Api) -> None:
    await owner_and_dependant(api)
    ok(await api.delete(CONFIG_MAPS, "owner"))
    await gone(api, SECRETS, "it")


async def test_a_dependant_with_another_owner_stays_and_loses_the_reference(api: Api) -> None:
    first = await owner_and_dependant(api)
    uid = ok(await api.create(CONFIG_MAPS, config_map("second")))["metadata"]["uid"]
    second = {**first, "name": "second", "uid": uid}
    ok(await api.patch(SECRETS, "it", {"metadata": {"ownerReferences": [first, second]}}))
    ok(await api.delete(CONFIG_MAPS, "owner"))

    async def left() -> Any:
        return ok(await api.get(SECRETS, "it"))["metadata"]["ownerReferences"] == [second]

    await until(left)


async def test_an_orphan_stays_and_loses_the_reference(api: Api) -> None:
    await owner_and_dependant(api)
    ok(await api.delete(CONFIG_MAPS, "owner", {"propagationPolicy": "Orphan"}))
    await gone(api, CONFIG_MAPS, "owner")
    assert "ownerReferences" not in ok(await api.get(SECRETS, "it"))["metadata"]


async def test_in_the_foreground_the_owner_waits_for_a_blocking_dependant(api: Api) -> None:
    await owner_and_dependant(api, blockOwnerDeletion=True)
    ok(await api.patch(SECRETS, "it", {"metadata": {"finalizers": ["example.com/held"]}}))
    ok(await api.delete(CONFIG_MAPS, "owner", {"propagationPolicy": "Foreground"}))

    async def deleting() -> bool:
        return "deletionTimestamp" in ok(await api.get(SECRETS, "it"))["metadata"]

    await until(deleting)
    assert ok(await api.get(CONFIG_MAPS, "owner"))["metadata"]["finalizers"] == ["foregroundDeletion"]
    ok(await api.patch(SECRETS, "it", {"metadata": {"finalizers": None}}))
    await gone(api, CONFIG_MAPS, "owner")
    refused(404, "NotFound", await api.get(SECRETS, "it"))


async def test_a_dependant_of_an_owner_that_never_was_goes(api: Api) -> None:
    ok(await api.create(SECRETS, meta("it", ownerReferences=[reference_to("never", NEVER)])))
    await gone(api, SECRETS, "it")


async def test_a_dependant_of_an_owner_that_was_replaced_goes(api: Api) -> None:
    owned = await owner_and_dependant(api)
    ok(await api.delete(CONFIG_MAPS, "owner", {"propagationPolicy": "Background"}))
    ok(await api.create(CONFIG_MAPS, config_map("owner")))
    assert ok(await api.get(CONFIG_MAPS, "owner"))["metadata"]["uid"] != owned["uid"]
    await gone(api, SECRETS, "it")


async def test_an_owner_stays_when_its_dependant_goes(api: Api) -> None:
    await owner_and_dependant(api)
    ok(await api.delete(SECRETS, "it"))
    ok(await api.get(CONFIG_MAPS, "owner"))
