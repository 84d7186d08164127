"""Secrets that cannot be changed, that are large or binary, or in whose place something is already."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from controller.kube.resources import EVENTS, SECRETS
from controller.replication.types import EXISTING, KEEP, ONLY, REPLICATED_FROM, REPLICATED_SECRETS
from tests.unit.cassandra.rig import NAMESPACE, Rig, rig
from tests.unit.replication.test_reconcile import (
    BOTH,
    A,
    B,
    become,
    conditions,
    copies,
    message,
    replicated,
    replicating,
    secret,
    settled,
)

pytestmark = pytest.mark.looptime

LARGEST = 1024 * 1024  # bytes of all values, the API's limit


async def again(one: Rig, source: dict[str, Any]) -> None:
    """The source is deleted and made anew, before anybody looks."""
    await one.delete(SECRETS, "s")
    one.apply(source)


async def data(one: Rig, context: str) -> Any:
    return (await one.get(SECRETS, "s", context)).get("data")


async def events(one: Rig, reason: str) -> list[dict[str, Any]]:
    await asyncio.sleep(30.0)
    found = [obj.decode(dict) for obj in await one.client().list_all(EVENTS, NAMESPACE)]
    return [entry for entry in found if entry["reason"] == reason]


async def test_an_immutable_source_and_its_copies_are_in_agreement() -> None:
    async with replicating(source=secret(immutable=True)) as one:
        assert (await one.get(SECRETS, "s", A))["immutable"] is True
        assert await one.quiet() == []


async def test_an_immutable_source_that_is_made_anew_replaces_its_copies_each_by_uid() -> None:
    async with replicating(source=secret(immutable=True)) as one:
        before = (await one.get(SECRETS, "s", A))["metadata"]["uid"]
        since = len(one.seen)
        await again(one, secret(value="two", immutable=True))
        await settled(one)
        assert [await data(one, context) for context in (A, B)] == [secret(value="two")["data"]] * 2
        assert (await one.get(SECRETS, "s", A))["metadata"]["uid"] != before
        deletes = [seen for seen in one.writes(since) if seen.method == "DELETE"]
        assert [bool(seen.body["preconditions"]["uid"]) for seen in deletes] == [True, True]
        assert await one.quiet() == []


async def test_a_copy_that_somebody_made_immutable_is_replaced() -> None:
    async with replicating() as one:
        await one.patch(SECRETS, "s", {"immutable": True, "data": {"k": "eA=="}}, A)
        await asyncio.sleep(5.0)
        found = await one.get(SECRETS, "s", A)
        assert (found["data"], found.get("immutable")) == (secret()["data"], None)


async def test_a_source_of_another_type_replaces_its_copies() -> None:
    async with replicating() as one:
        await again(one, secret(type="example.com/other"))
        await settled(one)
        assert [(await one.get(SECRETS, "s", context))["type"] for context in (A, B)] == ["example.com/other"] * 2


async def test_an_orphan_copy_is_replaced_too() -> None:
    metadata = {"annotations": {"replicatedresource.k8ssandra.io/orphan": "true"}}
    async with replicating(source=secret(immutable=True, metadata=metadata)) as one:
        await again(one, secret(value="two", immutable=True, metadata=metadata))
        await settled(one)
        assert await data(one, A) == secret(value="two")["data"]


async def test_bytes_of_any_kind_are_copied_up_to_the_largest_secret_that_there_can_be() -> None:
    content = bytes(range(256)) * (LARGEST // 256)
    source = secret()
    source["data"] = {"k": base64.b64encode(content).decode()}
    async with replicating(source=source) as one:
        assert base64.b64decode((await data(one, A))["k"]) == content


# ── what is wrong is an Event as well ───────────────────────────────────────────────────────────────


async def test_what_is_wrong_with_a_target_is_an_event_once() -> None:
    async with rig() as one:
        one.apply(secret(value="theirs"), A)
        one.apply(secret())
        one.apply(replicated(*BOTH, {"k8sContextName": "nowhere"}))
        conflict, unknown = ("A", "False", "NameConflict"), ("nowhere", "False", "ContextNotFound")
        await become(one, (A, *conflict[1:]), (B, "True", "Replicated"), unknown)
        await asyncio.sleep(600.0)
        (said,) = await events(one, "NameConflict")
        assert said["involvedObject"]["name"] == "rs"
        assert said["message"].startswith(f"{A}, namespace {NAMESPACE}: Secret {NAMESPACE}/s exists and belongs")
        assert said.get("count", 1) == 1
        (said,) = await events(one, "ContextNotFound")
        assert "no ClientConfig names context nowhere" in said["message"]


async def test_a_replicated_secret_that_copies_nothing_says_so() -> None:
    async with rig() as one:
        one.apply(replicated(selector={}))
        await become(one, (A, "False", "InvalidSpec"), (B, "False", "InvalidSpec"))
        assert {said["type"] for said in await events(one, "InvalidSpec")} == {"Warning"}


async def test_what_works_is_no_event() -> None:
    async with replicating() as one:
        assert await events(one, "Replicated") == []


# ── names that others have ──────────────────────────────────────────────────────────────────────────


async def test_a_taken_name_is_looked_at_and_not_tried_to_be_written() -> None:
    async with rig() as one:
        one.apply(secret(value="theirs"), A)
        one.apply(secret())
        one.apply(replicated())
        await become(one, (A, "False", "NameConflict"), (B, "True", "Replicated"))
        since = len(one.seen)
        await asyncio.sleep(600.0)
        tried = [seen for seen in one.seen[since:] if seen.path.endswith(("/secrets", "/secrets/s"))]
        assert {(seen.context, seen.method) for seen in tried} == {(A, "GET")}


async def test_a_name_that_a_copy_of_another_had_is_taken_at_once_when_it_is_free() -> None:
    async with replicating() as one:
        one.apply(replicated({"k8sContextName": A}, name="second"))
        await become(one, (A, "False", "NameConflict"), name="second")
        await one.patch(REPLICATED_SECRETS, "rs", {"spec": {"replicationTargets": [BOTH[1]]}})
        await asyncio.sleep(5.0)
        assert (await one.get(SECRETS, "s", A))["metadata"]["labels"][REPLICATED_FROM] == f"{NAMESPACE}.second"
        await become(one, (A, "True", "Replicated"), name="second")


async def test_targets_in_one_namespace_speak_for_themselves() -> None:
    async with rig() as one:
        one.apply(secret(value="theirs"), A)
        one.apply(secret())
        one.apply(replicated({"k8sContextName": A}, {"k8sContextName": A, "targetPrefix": "p-"}))
        await become(one, (A, "False", "NameConflict"), (A, "True", "Replicated"))
        assert await copies(one, A) == ["p-s", "s"]


def keeping(annotations: dict[str, str] | None = None) -> dict[str, Any]:
    found = replicated()
    found["metadata"]["annotations"] = {EXISTING: KEEP, **(annotations or {})}
    return found


async def test_what_is_there_is_kept_without_a_complaint_where_that_is_wanted() -> None:
    async with rig() as one:
        one.apply(secret(value="theirs"), A)
        one.apply(secret())
        one.apply(keeping())
        await settled(one)
        assert [await data(one, context) for context in (A, B)] == [secret(value="theirs")["data"], secret()["data"]]
        assert await message(one, A) == f"Secret {NAMESPACE}/s is not ours and stays as it is"
        assert [seen for seen in await one.quiet() if seen.writes] == []
        await one.delete(SECRETS, "s", A)
        await asyncio.sleep(400.0)
        assert await data(one, A) == secret()["data"]
        assert await conditions(one) == [(A, "True", "Replicated"), (B, "True", "Replicated")]


async def test_a_restriction_that_changes_moves_the_copy() -> None:
    async with rig() as one:
        one.apply(secret())
        one.apply(keeping({ONLY: f'{{"s": ["{A}/{NAMESPACE}"]}}'}))
        await settled(one)
        assert [await copies(one, context) for context in (A, B)] == [["s"], []]
        patch = {"metadata": {"annotations": {ONLY: f'{{"s": ["{B}/{NAMESPACE}"]}}'}}}
        await one.patch(REPLICATED_SECRETS, "rs", patch)
        await asyncio.sleep(30.0)
        assert [await copies(one, context) for context in (A, B)] == [[], ["s"]]
