"""CustomResourceDefinitions: what they must say, when they take effect, and what goes with them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from controller.kube.resources import CRDS, Resource
from tests.conformance.api import Api, Json, causes, ok, refused, until
from tests.conformance.kinds import crd, custom, install

LOOSE: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def schema(**spec: Any) -> Json:
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}


@pytest_asyncio.fixture(loop_scope="session")
async def kind(api: Api) -> AsyncIterator[Resource]:
    """A kind in a group of its own; its CRD, if one was made, is deleted afterwards."""
    kind = Resource(f"g{secrets.token_hex(4)}.example.com", "v1", "Thing", "things")
    yield kind
    await api.delete(CRDS, kind.name)


async def test_a_definition_becomes_established(api: Api, kind: Resource) -> None:
    definition = await install(api, crd(kind, LOOSE), kind)
    conditions = {c["type"]: c["status"] for c in definition["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert definition["status"]["storedVersions"] == ["v1"]
    assert definition["status"]["acceptedNames"]["listKind"] == "ThingList"


async def test_a_kind_is_absent_until_its_definition_is_there(api: Api, kind: Resource) -> None:
    assert (await api.list(kind)).status == 404
    await install(api, crd(kind, LOOSE), kind)
    assert ok(await api.list(kind))["items"] == []


async def test_a_definition_is_named_after_its_plural_and_group(api: Api, kind: Resource) -> None:
    definition = crd(kind, LOOSE)
    definition["metadata"]["name"] = "wrong.example.com"
    status = refused(422, "Invalid", await api.create(CRDS, definition))
    assert ("FieldValueInvalid", "metadata.name") in causes(status)


async def test_a_definition_needs_a_schema(api: Api, kind: Resource) -> None:
    definition = crd(kind, LOOSE)
    del definition["spec"]["versions"][0]["schema"]
    refused(422, "Invalid", await api.create(CRDS, definition))


async def test_a_definition_needs_exactly_one_storage_version(api: Api, kind: Resource) -> None:
    definition = crd(kind, LOOSE)
    definition["spec"]["versions"][0]["storage"] = False
    refused(422, "Invalid", await api.create(CRDS, definition))


async def test_a_new_schema_takes_effect_for_new_writes(api: Api, kind: Resource) -> None:
    await install(api, crd(kind, schema(a={"type": "string"})), kind)
    assert ok(await api.create(kind, custom(kind, "old", {"a": "x", "b": "y"})))["spec"] == {"a": "x"}
    changed = schema(a={"type": "string", "enum": ["z"]}, b={"type": "string"})
    ok(await api.patch(CRDS, kind.name, {"spec": {"versions": crd(kind, changed)["spec"]["versions"]}}))

    async def in_effect() -> bool:
        return (await api.create(kind, custom(kind, "new", {"a": "x"}), dryRun="All")).status == 422

    await until(in_effect)
    assert ok(await api.create(kind, custom(kind, "new", {"a": "z", "b": "y"})))["spec"] == {"a": "z", "b": "y"}
    assert ok(await api.get(kind, "old"))["spec"] == {"a": "x"}


async def test_a_new_default_shows_in_what_was_stored_before(api: Api, kind: Resource) -> None:
    await install(api, crd(kind, schema(a={"type": "string"})), kind)
    before = ok(await api.create(kind, custom(kind)))
    changed = schema(a={"type": "string", "default": "x"})
    ok(await api.patch(CRDS, kind.name, {"spec": {"versions": crd(kind, changed)["spec"]["versions"]}}))

    async def shown() -> Any:
        found = ok(await api.get(kind, "it"))
        return found if found["spec"] else None

    found = await until(shown)
    assert found["spec"] == {"a": "x"}
    assert found["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_a_status_subresource_may_come_later(api: Api, kind: Resource) -> None:
    await install(api, crd(kind, LOOSE), kind)
    ok(await api.create(kind, {**custom(kind), "status": {"phase": "Up"}}))
    versions = crd(kind, LOOSE, subresources={"status": {}})["spec"]["versions"]
    ok(await api.patch(CRDS, kind.name, {"spec": {"versions": versions}}))

    async def served() -> bool:
        return (await api.get(kind, "it", "status")).status == 200

    await until(served)
    assert ok(await api.get(kind, "it"))["status"] == {"phase": "Up"}
    after = ok(await api.patch(kind, "it", {"status": {"phase": "Down"}}))
    assert after["status"] == {"phase": "Up"}


async def test_a_deleted_definition_takes_its_objects_with_it(api: Api, kind: Resource) -> None:
    await install(api, crd(kind, LOOSE), kind)
    ok(await api.create(kind, custom(kind)))
    ok(await api.delete(CRDS, kind.name))

    async def gone() -> bool:
        return (await api.get(CRDS, kind.name)).status == 404 and (await api.list(kind)).status == 404

    await until(gone)
    await install(api, crd(kind, LOOSE), kind)
    assert ok(await api.list(kind))["items"] == []


async def test_a_definition_waits_for_finalized_objects(api: Api, kind: Resource) -> None:
    await install(api, crd(kind, LOOSE), kind)
    ok(await api.create(kind, custom(kind, finalizers=["example.com/held"])))
    ok(await api.delete(CRDS, kind.name))

    async def marked() -> bool:
        return "deletionTimestamp" in ok(await api.get(kind, "it"))["metadata"]

    await until(marked)
    assert "deletionTimestamp" in ok(await api.get(CRDS, kind.name))["metadata"]
    ok(await api.patch(kind, "it", {"metadata": {"finalizers": None}}))

    async def gone() -> bool:
        return (await api.get(CRDS, kind.name)).status == 404

    await until(gone)


async def test_a_kind_that_is_going_takes_no_new_objects(api: Api, kind: Resource) -> None:
    await install(api, crd(kind, LOOSE), kind)
    ok(await api.create(kind, custom(kind, finalizers=["example.com/held"])))
    ok(await api.delete(CRDS, kind.name))
    try:

        async def refusal() -> Any:
            answer = await api.create(kind, custom(kind, "late"), dryRun="All")
            return answer if answer.status != 201 else None

        status = refused(403, "Forbidden", await until(refusal))
        assert "create not allowed while custom resource definition is terminating" in status["message"]
    finally:
        ok(await api.patch(kind, "it", {"metadata": {"finalizers": None}}))


async def test_a_watch_ends_when_its_kind_goes(api: Api, kind: Resource) -> None:
    await install(api, crd(kind, LOOSE), kind)
    created = ok(await api.create(kind, custom(kind)))
    async with api.watch(kind, resourceVersion=created["metadata"]["resourceVersion"]) as watch:
        ok(await api.delete(CRDS, kind.name))
        assert ("DELETED", "it") in [(event, obj["metadata"].get("name")) for event, obj in await watch.rest()]


async def test_a_cluster_scoped_kind_has_no_namespace(api: Api, kind: Resource) -> None:
    everywhere = Resource(kind.group, "v1", "Thing", "things", namespaced=False)
    await install(api, crd(everywhere, LOOSE), everywhere)
    created = ok(await api.create(everywhere, custom(everywhere)))
    assert "namespace" not in created["metadata"]
    assert (await api.list(kind)).status == 404


async def test_a_second_served_version_shows_the_same_objects(api: Api, kind: Resource) -> None:
    definition = crd(kind, LOOSE)
    (first,) = definition["spec"]["versions"]
    definition["spec"]["versions"] = [first, {**first, "name": "v1beta1", "storage": False}]
    await install(api, definition, kind)
    ok(await api.create(kind, custom(kind, spec={"a": 1})))
    older = Resource(kind.group, "v1beta1", "Thing", "things")
    found = ok(await api.get(older, "it"))
    assert (found["apiVersion"], found["spec"]) == (older.api_version, {"a": 1})
