"""ReplicatedSecrets end to end, for themselves: what is copied, kept right, and taken away."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

from controller.kube.resources import EVENTS, SECRETS, Resource
from controller.replication.types import FINALIZER, ORPHAN, REPLICATED_FROM, REPLICATED_SECRETS
from controller.sandbox.applier import Applier
from tests.integration.rig import CONTEXTS, Rig, eventually, quiet

A, B, C = CONTEXTS
LARGEST = 1024 * 1024  # bytes of all values together, the API's limit
REPAIRED = 1.0  # s within which a copy is right again
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def secret(name: str = "s", value: str = "one", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"app": "x", "tier": "db"}, **fields.pop("metadata", {})}
    data = {"k": base64.b64encode(value.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data, **fields}


def replicated(*targets: dict[str, Any], name: str = "rs") -> dict[str, Any]:
    return {
        "apiVersion": REPLICATED_SECRETS.api_version,
        "kind": REPLICATED_SECRETS.kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "replicationTargets": list(targets) or to(A, B)},
    }


def to(*contexts: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"k8sContextName": context, **fields} for context in contexts]


async def put(one: Rig, manifest: dict[str, Any], context: str = "") -> None:
    """Create it in one cluster."""
    await Applier(one.client(context)).apply(manifest, namespace=one.namespace)


async def change(one: Rig, context: str, patch: dict[str, Any], name: str = "s") -> None:
    await one.client(context).patch(SECRETS, one.namespace, name, patch, kind="merge")


async def remove(one: Rig, context: str, name: str = "s") -> None:
    await delete(one, SECRETS, name, context)


async def delete(one: Rig, resource: Resource, name: str, context: str = "") -> None:
    found = await one.client(context).get(resource, one.namespace, name)
    await one.client(context).delete(resource, one.namespace, name, uid=found.head.uid)


async def become(one: Rig, expected: dict[str, str], name: str = "rs") -> None:
    """Wait until the conditions say this of the contexts: a reason, or True."""

    async def same() -> bool:
        found = await one.get(REPLICATED_SECRETS, name) or {}
        entries = (found.get("status") or {}).get("conditions") or []
        return {e["cluster"]: "True" if e["status"] == "True" else e["reason"] for e in entries} == expected

    await eventually(same, f"the conditions are {expected}")


async def replicating(one: Rig, *targets: dict[str, Any], source: dict[str, Any] | None = None) -> None:
    """The controller runs, and Secret ``s`` is where the targets want it."""
    await one.start()
    await put(one, source or secret())
    await one.apply(replicated(*targets))
    await become(one, {target["k8sContextName"]: "True" for target in targets or to(A, B)})


async def data(one: Rig, context: str, name: str = "s") -> Any:
    return (await one.get(SECRETS, name, context) or {}).get("data")


async def repaired(one: Rig, context: str, expected: Any) -> float:
    """Seconds until a copy has this content."""
    started = time.monotonic()

    async def same() -> bool:
        return bool(await data(one, context) == expected)

    await eventually(same, "the copy is right")
    return time.monotonic() - started


async def test_single_cluster_do_nothing_to_secrets(one: Rig) -> None:
    await one.start()
    await put(one, secret())
    before = await one.get(SECRETS, "s")
    await one.apply(replicated({"namespace": one.namespace}))
    await become(one, {"": "True"})
    await quiet(one)
    assert await one.get(SECRETS, "s") == before


async def test_multi_cluster_sync_secrets(one: Rig) -> None:
    annotations = {"team": "a", LAST_APPLIED: "{}"}
    await replicating(one, source=secret(metadata={"annotations": annotations}))
    copy = await one.get(SECRETS, "s", A) or {}
    assert copy["data"] == secret()["data"]
    mark = {REPLICATED_FROM: f"{one.namespace}.rs"}
    assert copy["metadata"]["labels"] == {"app": "x", "tier": "db", **mark}
    assert copy["metadata"]["annotations"] == {"team": "a"}
    assert "ownerReferences" not in copy["metadata"]
    await change(one, "", {"data": secret(value="two")["data"]})
    for context in (A, B):
        await repaired(one, context, secret(value="two")["data"])
    found = (await one.get(REPLICATED_SECRETS, "rs") or {})["status"]["conditions"]
    assert [(entry["cluster"], entry["namespace"], entry["type"]) for entry in found] == [
        (context, one.namespace, "Replication") for context in (A, B)
    ]
    await quiet(one)
    since = len(one.seen)
    await asyncio.sleep(1.0)
    assert one.requests(since=since) == []


async def test_drift_of_a_copy_is_repaired_within_a_second(one: Rig) -> None:
    await replicating(one)
    wanted = secret()["data"]
    await change(one, A, {"data": {"k": "ZHJpZnQ=", "more": "ZHJpZnQ="}})
    assert await repaired(one, A, wanted) < REPAIRED
    await remove(one, A)
    assert await repaired(one, A, wanted) < REPAIRED
    await change(one, "", {"data": secret(value="two")["data"]})
    assert await repaired(one, B, secret(value="two")["data"]) < REPAIRED


async def test_verify_finalizer_in_multi_cluster(one: Rig) -> None:
    await replicating(one)
    assert FINALIZER in (await one.get(REPLICATED_SECRETS, "rs") or {})["metadata"]["finalizers"]
    await delete(one, REPLICATED_SECRETS, "rs")

    async def gone() -> bool:
        return await one.get(REPLICATED_SECRETS, "rs") is None

    await eventually(gone, "the ReplicatedSecret is gone")
    assert [await one.get(SECRETS, "s", context) for context in (A, B)] == [None, None]
    assert await data(one, "") == secret()["data"]


async def test_target_secrets_prefix(one: Rig) -> None:
    shape = {"targetPrefix": "p-", "dropLabels": ["tier"], "addLabels": {"more": "yes"}}
    await replicating(one, *to(A, **shape), *to(B))
    copy = (await one.get(SECRETS, "p-s", A) or {})["metadata"]
    assert copy["labels"] == {"app": "x", "more": "yes", REPLICATED_FROM: f"{one.namespace}.rs"}
    assert await one.get(SECRETS, "s", A) is None
    assert await one.get(SECRETS, "s", B) is not None


async def test_verify_secret_is_deleted_complicated(one: Rig) -> None:
    await one.start()
    await put(one, secret("theirs"), A)
    await change(one, A, {"metadata": {"labels": {"app": "y"}}}, "theirs")
    await put(one, secret("orphan", metadata={"annotations": {ORPHAN: "true"}}))
    await replicating_more(one)
    await one.client().patch(
        SECRETS, one.namespace, "out", {"metadata": {"labels": {"app": "deselected"}}}, kind="merge"
    )
    await remove(one, "", "deleted")

    async def names(context: str, expected: set[str]) -> bool:
        found = await one.names(SECRETS, context)
        return {name for name in found if name in {"s", "out", "deleted", "orphan", "theirs"}} == expected

    await eventually(lambda: names(A, {"s", "orphan", "theirs"}), "what is selected no more is gone")
    targets = {"spec": {"replicationTargets": to(A)}}
    await one.client().patch(REPLICATED_SECRETS, one.namespace, "rs", targets, kind="merge")
    await eventually(lambda: names(B, {"orphan"}), "a target that is removed loses its copies")
    await delete(one, REPLICATED_SECRETS, "rs")
    await eventually(lambda: names(A, {"orphan", "theirs"}), "only our own copies are gone")
    assert await names("", {"s", "out", "orphan"})


async def replicating_more(one: Rig) -> None:
    for name in ("s", "out", "deleted"):
        await put(one, secret(name))
    await one.apply(replicated())
    await become(one, {A: "True", B: "True"})


async def test_guard_infinite_replication(one: Rig) -> None:
    await one.start()
    await put(one, secret())
    await one.apply(replicated({"targetPrefix": "p-"}))
    await become(one, {"": "True"})
    await quiet(one)
    assert [name for name in await one.names(SECRETS) if name.startswith("p-")] == []


async def test_one_dead_or_unknown_context_hides_and_delays_nothing(one: Rig) -> None:
    await one.start()
    await put(one, secret())
    await one.apply(replicated(*to("nowhere", A, B)))
    await become(one, {"nowhere": "ContextNotFound", A: "True", B: "True"})


async def test_a_foreign_secret_is_not_overwritten_and_that_is_an_event(one: Rig) -> None:
    await one.start()
    await put(one, secret(value="theirs"), A)
    await put(one, secret())
    await one.apply(replicated())
    await become(one, {A: "NameConflict", B: "True"})
    assert await data(one, A) == secret(value="theirs")["data"]

    async def said() -> bool:
        found = [obj.decode(dict) for obj in await one.client().list_all(EVENTS, one.namespace)]
        return any(e["reason"] == "NameConflict" and e["involvedObject"]["name"] == "rs" for e in found)

    await eventually(said, "an Event tells of the conflict")


async def test_immutable_secrets_and_other_types_converge(one: Rig) -> None:
    await replicating(one, source=secret(immutable=True))
    await remove(one, "")
    await put(one, secret(value="two", immutable=True))
    for context in (A, B):
        await repaired(one, context, secret(value="two")["data"])
    await become(one, {A: "True", B: "True"})
    assert (await one.get(SECRETS, "s", A) or {})["immutable"] is True
    await remove(one, "")
    await put(one, secret(type="example.com/other"))

    async def other() -> bool:
        found = [await one.get(SECRETS, "s", context) or {} for context in (A, B)]
        return [each.get("type") for each in found] == ["example.com/other"] * 2

    await eventually(other, "the copies have the type of their source")
    await become(one, {A: "True", B: "True"})


async def test_the_largest_secret_of_any_bytes_is_copied(one: Rig) -> None:
    content = bytes(range(256)) * (LARGEST // 256)
    source = {**secret(), "data": {"k": base64.b64encode(content).decode()}}
    await one.start()
    await one.client().create(SECRETS, one.namespace, source)
    await one.apply(replicated())
    await become(one, {A: "True", B: "True"})
    assert base64.b64decode((await data(one, A))["k"]) == content
