from __future__ import annotations

import asyncio
import base64
from contextlib import AsyncExitStack
from typing import Any

import pytest

from controller.kube.resources import SECRETS
from controller.replication.types import FINALIZER, ORPHAN, REPLICATED_FROM, REPLICATED_SECRETS
from controller.sandbox.apiserver import Fault
from controller.sandbox.crds import published_crds
from tests.unit.cassandra.rig import NAMESPACE, Rig, Seen, eventually, rig

pytestmark = pytest.mark.looptime

A, B = "kind-dc1", "kind-dc2"
BOTH = ({"k8sContextName": A}, {"k8sContextName": B})


def secret(name: str = "s", value: str = "one", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": "x"}, **fields.pop("metadata", {})}
    data = {"k": base64.b64encode(value.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data, **fields}


def replicated(*targets: dict[str, Any], name: str = "rs", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": REPLICATED_SECRETS.api_version,
        "kind": REPLICATED_SECRETS.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "replicationTargets": list(targets or BOTH), **spec},
    }


async def conditions(one: Rig, name: str = "rs") -> list[tuple[str, str, str]]:
    """Context, status and reason of every condition."""
    found = ((await one.get(REPLICATED_SECRETS, name)).get("status") or {}).get("conditions") or []
    return [(entry["cluster"], entry["status"], entry.get("reason", "")) for entry in found]


async def become(one: Rig, *expected: tuple[str, str, str], name: str = "rs") -> None:
    async def same() -> bool:
        return await conditions(one, name) == list(expected)

    try:
        await eventually(same, "the conditions")
    except AssertionError:
        assert await conditions(one, name) == list(expected)


async def settled(one: Rig) -> None:
    await become(one, (A, "True", "Replicated"), (B, "True", "Replicated"))
    await asyncio.sleep(5.0)


async def copies(one: Rig, context: str) -> list[str]:
    return await one.names(SECRETS, context)


async def message(one: Rig, context: str) -> str:
    found = (await one.get(REPLICATED_SECRETS, "rs"))["status"]["conditions"]
    return str(next(entry["message"] for entry in found if entry["cluster"] == context))


class replicating:
    """A rig with Secret ``s`` copied to both data planes."""

    def __init__(self, *targets: dict[str, Any], source: dict[str, Any] | None = None, **options: Any) -> None:
        self._targets, self._source, self._options = targets, source, options

    async def __aenter__(self) -> Rig:
        self._stack = AsyncExitStack()
        one = await self._stack.enter_async_context(rig(**self._options))
        one.apply(self._source or secret())
        one.apply(replicated(*self._targets))
        if not self._targets:
            await settled(one)
        return one

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.aclose()


async def test_a_secret_is_copied_everywhere_with_one_status_write_and_then_no_write() -> None:
    async with replicating() as one:
        for context in (A, B):
            assert (await one.get(SECRETS, "s", context))["data"] == secret()["data"]
        assert FINALIZER in (await one.get(REPLICATED_SECRETS, "rs"))["metadata"]["finalizers"]
        assert len([seen for seen in one.writes() if seen.path.endswith("replicatedsecrets/rs/status")]) == 1
        assert await one.quiet() == []


async def test_crds_that_prune_conditions_cost_no_write_either() -> None:
    async with rig(crds=published_crds()) as one:
        one.apply(secret())
        one.apply(replicated())
        await become(one, (A, "True", ""), (B, "True", ""))
        assert await one.quiet() == []


async def test_a_source_that_changes_is_copied_again() -> None:
    async with replicating() as one:
        await one.patch(SECRETS, "s", {"data": secret(value="two")["data"]})
        await asyncio.sleep(5.0)
        assert [(await one.get(SECRETS, "s", context))["data"] for context in (A, B)] == [
            secret(value="two")["data"]
        ] * 2


@pytest.mark.parametrize(
    "drift", [{"data": {"k": "dHdv"}}, {"data": {"more": "dHdv"}}, {"metadata": {"labels": {"app": None}}}]
)
async def test_drift_of_a_copy_is_repaired(drift: dict[str, Any]) -> None:
    async with replicating() as one:
        before = await one.get(SECRETS, "s", A)
        await one.patch(SECRETS, "s", drift, A)
        await asyncio.sleep(5.0)
        after = await one.get(SECRETS, "s", A)
        assert (after["data"], after["metadata"]["labels"]) == (before["data"], before["metadata"]["labels"])
        assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_a_copy_that_is_deleted_is_made_again() -> None:
    async with replicating() as one:
        await one.delete(SECRETS, "s", A)
        await asyncio.sleep(5.0)
        assert (await one.get(SECRETS, "s", A))["data"] == secret()["data"]


async def test_what_cass_operator_puts_on_a_copy_stays() -> None:
    async with replicating() as one:
        theirs = {
            "labels": {"cassandra.datastax.com/watched": "true"},
            "annotations": {"cassandra.datastax.com/by": "x"},
        }
        await one.patch(SECRETS, "s", {"metadata": theirs}, A)
        await one.patch(SECRETS, "s", {"data": secret(value="two")["data"]})
        await asyncio.sleep(5.0)
        found = await one.get(SECRETS, "s", A)
        assert found["data"] == secret(value="two")["data"]
        assert found["metadata"]["labels"]["cassandra.datastax.com/watched"] == "true"
        assert found["metadata"]["annotations"] == theirs["annotations"]


# ── what is not touched ─────────────────────────────────────────────────────────────────────────────


async def test_a_foreign_secret_is_never_overwritten() -> None:
    async with rig() as one:
        one.apply(secret(value="theirs"), A)
        before = await one.get(SECRETS, "s", A)
        one.apply(secret())
        one.apply(replicated())
        await become(one, (A, "False", "NameConflict"), (B, "True", "Replicated"))
        await asyncio.sleep(300.0)
        assert await one.get(SECRETS, "s", A) == before
        await one.delete(SECRETS, "s", A)
        await settled(one)


async def test_a_copy_of_another_replicated_secret_is_foreign_too() -> None:
    async with replicating() as one:
        before = await one.get(SECRETS, "s", A)
        one.apply(replicated({"k8sContextName": A}, name="second"))
        await become(one, (A, "False", "NameConflict"), name="second")
        assert await one.get(SECRETS, "s", A) == before


@pytest.mark.parametrize(
    "kind", ["kubernetes.io/service-account-token", "helm.sh/release.v1", "bootstrap.kubernetes.io/token"]
)
async def test_credentials_of_other_systems_are_refused(kind: str) -> None:
    source = secret(type=kind, metadata={"annotations": {"kubernetes.io/service-account.name": "default"}})
    async with replicating(*BOTH, source=source) as one:
        await become(one, (A, "False", "SecretTypeRefused"), (B, "False", "SecretTypeRefused"))
        assert [await copies(one, context) for context in (A, B)] == [[], []]
        assert await one.quiet() == []


async def test_kubeconfigs_are_refused() -> None:
    async with replicating() as one:
        await one.patch(SECRETS, A, {"metadata": {"labels": {"app": "x"}}})
        await become(one, (A, "False", "SecretRefused"), (B, "False", "SecretRefused"))
        assert await copies(one, B) == ["s"]


@pytest.mark.parametrize("selector", [None, {}, {"matchExpressions": [{"key": "app", "operator": "Like"}]}])
async def test_a_selector_that_is_wrong_copies_nothing_and_deletes_nothing(selector: Any) -> None:
    async with replicating() as one:
        await one.client().patch(
            REPLICATED_SECRETS,
            NAMESPACE,
            "rs",
            [{"op": "replace", "path": "/spec/selector", "value": selector}],
            kind="json",
        )
        await become(one, (A, "False", "InvalidSpec"), (B, "False", "InvalidSpec"))
        assert [await copies(one, context) for context in (A, B)] == [["s"], ["s"]]


async def test_the_source_itself_as_target_is_skipped_without_a_loop() -> None:
    async with replicating({}) as one:
        await become(one, ("", "True", "Replicated"))
        assert REPLICATED_FROM not in (await one.get(SECRETS, "s"))["metadata"]["labels"]
        assert await one.quiet() == []


# ── targets that do not work ────────────────────────────────────────────────────────────────────────


async def test_a_target_without_a_cluster_is_named_and_the_others_work() -> None:
    async with replicating({"k8sContextName": "nowhere"}, {"k8sContextName": A}) as one:
        await become(one, ("nowhere", "False", "ContextNotFound"), (A, "True", "Replicated"))


async def test_a_target_that_does_not_answer_is_named_and_the_others_work() -> None:
    async with rig(started=False) as one:
        one.links[B].blacken()
        one.start()
        one.apply(secret())
        one.apply(replicated())
        await become(one, (A, "True", "Replicated"), (B, "False", "Unreachable"))
        one.links[B].restore()
        await settled(one)


async def test_a_target_whose_secrets_may_not_be_listed_is_named_and_the_others_work() -> None:
    async with rig(started=False) as one:
        faults = [
            one.servers[B].faults.add(Fault(verb=verb, resource="secrets", status=403, reason="Forbidden", times=None))
            for verb in ("list", "watch")
        ]
        one.start()
        one.apply(secret())
        one.apply(replicated())
        await become(one, (A, "True", "Replicated"), (B, "False", "Forbidden"))
        for fault in faults:
            one.servers[B].faults.remove(fault)
        await settled(one)


@pytest.mark.parametrize(
    ("status", "server_says", "reason"),
    [(403, "Forbidden", "Forbidden"), (422, "Invalid", "Rejected"), (500, "", "Rejected")],
)
async def test_a_refusal_is_shown_and_goes_when_it_is_mended(status: int, server_says: str, reason: str) -> None:
    async with rig() as one:
        fault = one.servers[B].faults.add(
            Fault(verb="create", resource="secrets", status=status, reason=server_says, times=None)
        )
        one.apply(secret())
        one.apply(replicated())
        await become(one, (A, "True", "Replicated"), (B, "False", reason))
        one.servers[B].faults.remove(fault)
        await settled(one)


async def test_a_namespace_that_is_missing_is_named_and_not_made() -> None:
    async with replicating({"k8sContextName": A, "namespace": "missing"}) as one:
        await become(one, (A, "False", "NamespaceNotFound"))
        one.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "missing"}}, A)
        await become(one, (A, "True", "Replicated"))
        assert await one.names(SECRETS, A, "missing") == ["s"]


# ── copies that are wanted no more ──────────────────────────────────────────────────────────────────


async def none_in(one: Rig, *contexts: str) -> bool:
    return all([not await copies(one, context) for context in contexts])


async def drop_label(one: Rig) -> None:
    await one.patch(SECRETS, "s", {"metadata": {"labels": {"app": None}}})


async def delete_source(one: Rig) -> None:
    await one.delete(SECRETS, "s")


async def drop_targets(one: Rig) -> None:
    await one.patch(REPLICATED_SECRETS, "rs", {"spec": {"replicationTargets": []}})


async def delete_replicated(one: Rig) -> None:
    await one.delete(REPLICATED_SECRETS, "rs")


WAYS = [drop_label, delete_source, drop_targets, delete_replicated]


@pytest.mark.parametrize("way", WAYS)
async def test_copies_that_are_wanted_no_more_go_each_after_a_live_read_and_by_uid(way: Any) -> None:
    async with replicating() as one:
        uids = {context: (await one.get(SECRETS, "s", context))["metadata"]["uid"] for context in (A, B)}
        since = len(one.seen)
        await way(one)
        await eventually(lambda: none_in(one, A, B), "no copy is left")
        seen = one.requests(since)
        for context, uid in uids.items():
            own = [entry for entry in seen if entry.context == context and entry.path.endswith("/secrets/s")]
            assert [entry.method for entry in own[:2]] == ["GET", "DELETE"]
            assert own[1].body["preconditions"]["uid"] == uid
            assert asked_control_plane(seen[: seen.index(own[1])])
        await asyncio.sleep(5.0)
        assert (await one.get(REPLICATED_SECRETS, "rs") == {}) is (way is delete_replicated)


def asked_control_plane(seen: list[Seen]) -> bool:
    """Whether the ReplicatedSecret was read there."""
    return any(entry.context == "" and entry.path.endswith("/replicatedsecrets/rs") for entry in seen)


@pytest.mark.parametrize("way", WAYS)
async def test_what_happened_while_the_controller_was_down_is_made_up_for(way: Any) -> None:
    async with replicating() as one:
        await one.stop()
        await way(one)
        one.start()
        await eventually(lambda: none_in(one, A, B), "no copy is left")


@pytest.mark.parametrize("way", WAYS)
async def test_orphans_stay(way: Any) -> None:
    async with replicating(source=secret(metadata={"annotations": {ORPHAN: "true"}})) as one:
        await way(one)
        await asyncio.sleep(60.0)
        assert [await copies(one, context) for context in (A, B)] == [["s"], ["s"]]
        assert (await one.get(REPLICATED_SECRETS, "rs") == {}) is (way is delete_replicated)


async def test_deletion_waits_for_a_cluster_that_is_away_and_says_so() -> None:
    async with replicating() as one:
        one.links[A].refuse()
        await asyncio.sleep(120.0)
        await delete_replicated(one)
        await become(one, (A, "False", "Unreachable"), (B, "False", "Deleted"))
        assert f"remove the finalizer {FINALIZER}" in await message(one, A)
        assert (await copies(one, A), await copies(one, B)) == (["s"], [])
        one.links[A].restore()
        await eventually(lambda: none_in(one, A), "no copy is left")
        await asyncio.sleep(5.0)
        assert await one.get(REPLICATED_SECRETS, "rs") == {}


async def test_deletion_waits_for_copies_of_a_target_that_was_removed_while_its_cluster_was_away() -> None:
    async with replicating() as one:
        one.links[A].refuse()
        await asyncio.sleep(120.0)
        await one.patch(REPLICATED_SECRETS, "rs", {"spec": {"replicationTargets": [BOTH[1]]}})
        await delete_replicated(one)
        await eventually(lambda: none_in(one, B), "no copy is left in the other")
        await asyncio.sleep(5.0)
        assert FINALIZER in (await one.get(REPLICATED_SECRETS, "rs"))["metadata"]["finalizers"]
        one.links[A].restore()
        await eventually(lambda: none_in(one, A), "no copy is left")
        await asyncio.sleep(5.0)
        assert await one.get(REPLICATED_SECRETS, "rs") == {}


async def test_a_replicated_secret_without_a_copy_anywhere_can_be_deleted() -> None:
    async with replicating({"k8sContextName": A}, source=secret(metadata={"labels": {"app": "y"}})) as one:
        await become(one, (A, "True", "Replicated"))
        await delete_replicated(one)
        await asyncio.sleep(5.0)
        assert await one.get(REPLICATED_SECRETS, "rs") == {}


async def test_two_that_copy_into_each_others_namespace_do_not_grow() -> None:
    async with rig() as one:
        one.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns2"}})
        back = replicated({"namespace": NAMESPACE, "targetPrefix": "q-"}, name="back")
        back["metadata"]["namespace"] = "ns2"
        one.apply(secret())
        one.apply(replicated({"namespace": "ns2", "targetPrefix": "p-"}))
        one.apply(back)
        await asyncio.sleep(60.0)
        assert await one.names(SECRETS, "", "ns2") == ["p-s"]
        assert "q-p-s" not in await one.names(SECRETS)
        assert await one.quiet() == []


# ── when it is not certain what is there ────────────────────────────────────────────────────────────


def blind(one: Rig, context: str) -> Fault:
    """No bookmarks come from a context, and its Secrets cannot be listed; returns the fault."""
    server = one.servers[context]
    server.reader.bookmark_every = 1e9
    server.drop_watches()
    return server.faults.add(Fault(resource="secrets", verb="watch", status=500, times=None))


async def test_copies_stay_while_nobody_knows_what_is_there_and_the_status_says_so() -> None:
    async with replicating() as one:
        fault = blind(one, A)
        listing = one.servers[A].faults.add(Fault(resource="secrets", verb="list", status=500, times=None))
        await asyncio.sleep(200.0)
        since = len(one.seen)
        await one.delete(REPLICATED_SECRETS, "rs")
        await become(one, (A, "False", "RemovalWaits"), (B, "False", "Deleted"))
        assert "the secrets of context kind-dc1 could not be listed within 10 s: 500" in await message(one, A)
        await asyncio.sleep(100.0)
        assert [bool(await one.get(SECRETS, "s", context)) for context in (A, B)] == [True, False]
        assert [seen for seen in one.writes(since) if seen.context == A] == []
        for each in (fault, listing):
            one.servers[A].faults.remove(each)
        await eventually(lambda: is_gone(one), "the ReplicatedSecret is gone")
        assert await copies(one, A) == []


async def is_gone(one: Rig) -> bool:
    return not await one.get(REPLICATED_SECRETS, "rs")


async def test_a_copy_that_is_wanted_no_more_stays_too_and_that_is_said() -> None:
    async with replicating() as one:
        fault = blind(one, A)
        listing = one.servers[A].faults.add(Fault(resource="secrets", verb="list", status=500, times=None))
        await asyncio.sleep(200.0)
        await one.delete(SECRETS, "s")
        await asyncio.sleep(60.0)
        assert [bool(await one.get(SECRETS, "s", context)) for context in (A, B)] == [True, False]
        assert await conditions(one) == [(A, "True", "Replicated"), (B, "True", "Replicated")]
        assert "a copy that is wanted no more stays for now: the secrets of context kind-dc1" in await message(one, A)
        for each in (fault, listing):
            one.servers[A].faults.remove(each)
        await eventually(lambda: is_empty(one, A), "the copy is gone")
        await asyncio.sleep(60.0)
        assert await message(one, A) == ""


async def is_empty(one: Rig, context: str) -> bool:
    return await copies(one, context) == []


async def test_copies_in_another_cluster_at_the_same_address_are_not_ours() -> None:
    async with replicating() as one:
        ours = await one.get(SECRETS, "s", A)
        one.replace(A)
        kept = ("name", "namespace", "labels", "annotations")
        one.apply({**ours, "metadata": {key: ours["metadata"][key] for key in kept if key in ours["metadata"]}}, A)
        since = len(one.seen)
        await one.delete(REPLICATED_SECRETS, "rs")
        await become(one, (A, "False", "IdentityChanged"), (B, "False", "Deleted"))
        await asyncio.sleep(100.0)
        assert await copies(one, A) == ["s"]
        assert [seen for seen in one.writes(since) if seen.context == A] == []
        assert not await is_gone(one)
