"""Secrets of ClientConfigs (S): absent, unreadable, too large, changing, replaced and deleted."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from controller.kube.resources import SECRETS, SERVICE_ACCOUNTS
from controller.sandbox.apiserver.faults import Fault
from tests.hardening.stand import CANARY, NAMESPACE, SUBJECT, Stand, kubeconfig, stand

pytestmark = pytest.mark.looptime


@pytest.fixture
async def one() -> AsyncIterator[Stand]:
    """A stand that is not started yet; at the end the good cluster has kept its watches, and nothing secret was said.

    It has to be started in the test: only there time is virtual.
    """
    async with stand() as made:
        yield made
        assert made.watched() == made.steady
        assert made.alive
        assert await made.leaks() == []


async def fresh(one: Stand, content: bytes | None, **fields: Any) -> None:
    """Take the Secret away, so that there is no last good content, then put another one there."""
    await one.delete(SECRETS, SUBJECT)
    await one.says(SUBJECT, "SecretNotFound")
    await one.put_secret(SUBJECT, content, **fields)


async def repaired(one: Stand) -> None:
    """The right content leads back, soon."""
    await one.put_secret(SUBJECT, one.kubeconfig(SUBJECT))
    await one.says(SUBJECT, "Connected", within=10.0)


def smuggle(one: Stand, data: Any, **fields: Any) -> None:
    """Put a Secret into the store that no API server would let in."""
    metadata = {"name": SUBJECT, "namespace": NAMESPACE, "creationTimestamp": "2026-01-01T00:00:00Z"}
    one.control.inject(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data, **fields})


async def test_s01_a_secret_that_is_missing_is_named_and_used_when_it_appears(one: Stand) -> None:
    await one.begin()
    await one.delete(SECRETS, SUBJECT)
    message = await one.says(SUBJECT, "SecretNotFound", f"Secret {NAMESPACE}/{SUBJECT} does not exist")
    assert 'create it with the kubeconfig under the key "kubeconfig"' in message
    assert "spec.kubeConfigSecret.name" in message
    await one.put_secret(SUBJECT, one.kubeconfig(SUBJECT))
    await one.says(SUBJECT, "Connected", within=5.0)


async def test_s02_a_missing_key_is_named_and_no_other(one: Stand) -> None:
    await one.begin()
    await fresh(one, b"canary", key="canary-key")
    message = await one.says(SUBJECT, "SecretKeyMissing", 'no key "kubeconfig"')
    assert CANARY not in message
    await repaired(one)


async def test_s03_an_empty_value_is_malformed(one: Stand) -> None:
    await one.begin()
    for content in (b"", b" ", b"\n\n\t"):
        await fresh(one, content)
        await one.says(SUBJECT, "KubeconfigMalformed", SUBJECT)
        await repaired(one)


async def test_s04_what_is_not_base64_is_malformed(one: Stand) -> None:
    await one.begin()
    for value in ("canary!", "Y2Fu=YXJ5", "ä", 7, None, ["canary"], {"a": "canary"}):
        says = 'no key "kubeconfig"' if value is None else "is not base64"
        smuggle(one, {"kubeconfig": value})
        await one.says(SUBJECT, "RotationFailed", says)
        await one.delete(SECRETS, SUBJECT)
        await one.says(SUBJECT, "SecretNotFound")
        smuggle(one, {"kubeconfig": value})
        await one.says(SUBJECT, "SecretKeyMissing" if value is None else "KubeconfigMalformed", says)
        await one.delete(SECRETS, SUBJECT)
        await repaired(one)


async def test_s04_a_secret_of_another_shape_is_malformed(one: Stand) -> None:
    await one.begin()
    for data in ("canary", ["canary"], 7):
        smuggle(one, data)
        await one.says(SUBJECT, "RotationFailed", SUBJECT)
        await one.delete(SECRETS, SUBJECT)
        await repaired(one)


async def test_s05_what_is_not_utf_8_is_malformed(one: Stand) -> None:
    await one.begin()
    good = one.kubeconfig(SUBJECT)
    for content in (
        good.decode().encode("utf-16"),
        good.decode().encode("utf-16-be"),
        good + b"\xff\xfe",
        good.replace(b"kind", b"ki\x00nd"),
    ):
        await fresh(one, content)
        await one.says(SUBJECT, "KubeconfigMalformed", "not ")
        await repaired(one)


async def test_s05_a_byte_order_mark_is_taken(one: Stand) -> None:
    await one.begin()
    await fresh(one, b"\xef\xbb\xbf" + one.kubeconfig(SUBJECT))
    await one.says(SUBJECT, "Connected")


async def test_s06_what_is_too_large_is_not_parsed(one: Stand) -> None:
    await one.begin()
    for content in (b"#" * (64 * 1024 + 1), b"[" * 700_000, b"&a " * 230_000):
        await fresh(one, content)
        await one.says(SUBJECT, "KubeconfigTooLarge", "at most 64 KiB")
        await repaired(one)


async def test_s07_the_type_does_not_count(one: Stand) -> None:
    await one.begin()
    for kind in ("Opaque", "example.com/custom", "config.k8ssandra.io/kubeconfig"):
        await fresh(one, one.kubeconfig(SUBJECT), type=kind)
        await one.says(SUBJECT, "Connected")


async def test_s07_a_token_secret_is_no_kubeconfig(one: Stand) -> None:
    await one.begin()
    await one.client.create(SERVICE_ACCOUNTS, NAMESPACE, {"metadata": {"name": "somebody"}})
    metadata = {"name": SUBJECT, "annotations": {"kubernetes.io/service-account.name": "somebody"}}
    await fresh(one, None, type="kubernetes.io/service-account-token", metadata=metadata)
    await one.says(SUBJECT, "SecretKeyMissing", 'no key "kubeconfig"')


async def test_s08_an_immutable_secret_is_replaced_by_another(one: Stand) -> None:
    await one.begin()
    await fresh(one, one.kubeconfig(SUBJECT), immutable=True)
    await one.says(SUBJECT, "Connected")
    await fresh(one, b"canary: [", immutable=True)
    await one.says(SUBJECT, "KubeconfigMalformed")


async def test_s09_of_many_changes_the_last_counts_and_few_are_tried(one: Stand) -> None:
    await one.begin()
    urls = [f"https://10.2.0.{number}:6443" for number in range(1, 51)]
    for url in urls:
        one.servers[url] = one.servers[one.urls[SUBJECT]]
    before = len(one.ways)
    started = asyncio.get_running_loop().time()
    for url in urls:
        await one.put_secret(SUBJECT, one.kubeconfig(SUBJECT, server=url))
        await asyncio.sleep(0.1)
    seconds = asyncio.get_running_loop().time() - started
    await one.until(lambda: one.open_at(urls[-1]) > 0, "the last one is connected")
    await one.says(SUBJECT, "Connected")
    await asyncio.sleep(30)
    tried = {way.server for way in one.ways[before:]}
    assert len(tried) <= seconds + 2  # one a second
    assert [url for url in urls[:-1] if one.open_at(url)] == []


async def test_s10_a_change_beside_the_content_changes_nothing(one: Stand) -> None:
    await one.begin()
    before, watched = len(one.ways), one.watched(SUBJECT)
    for number in range(5):
        patch = {"metadata": {"annotations": {"n": str(number)}, "labels": {"n": str(number)}}}
        await one.client.patch(SECRETS, NAMESPACE, SUBJECT, patch, kind="merge")
        await asyncio.sleep(1)
    assert (len(one.ways), one.watched(SUBJECT)) == (before, watched)


async def test_s11_a_bad_content_between_two_good_ones_costs_nothing(one: Stand) -> None:
    await one.begin()
    watched = one.watched(SUBJECT)
    await one.put_secret(SUBJECT, b"canary: [")
    message = await one.says(SUBJECT, "RotationFailed", "the last good credentials are still in use")
    assert "not YAML" in message
    assert (await one.condition(SUBJECT))["status"] == "True"
    await one.put_secret(SUBJECT, kubeconfig(SUBJECT, one.urls[SUBJECT], token=f"{CANARY}-second"))
    await one.says(SUBJECT, "Connected")
    await one.until(lambda: one.bearers(SUBJECT) == {f"{CANARY}-second"}, "the new token is in use")
    assert one.watched(SUBJECT) == watched


async def test_s12_a_secret_that_is_deleted_ends_the_connection_and_is_forgotten(one: Stand) -> None:
    await one.begin()
    (kept,) = {weakref.ref(way.credentials) for way in one.made(one.urls[SUBJECT]) if not way.closed} or {None}
    remote = one.servers[one.urls[SUBJECT]]
    writes = len(remote.record.writes)
    started = asyncio.get_running_loop().time()
    await one.delete(SECRETS, SUBJECT)
    await one.until(lambda: one.open_at(one.urls[SUBJECT]) == 0, "it is disconnected", within=5.0)
    assert asyncio.get_running_loop().time() - started <= 5.0
    assert one.open_watches(SUBJECT) == 0
    assert len(remote.record.writes) == writes  # nothing was touched there
    one.ways.clear()
    gc.collect()
    assert kept is not None
    assert kept() is None


async def test_s13_a_secret_that_may_not_be_read_names_the_right_that_is_missing(one: Stand) -> None:
    await one.begin()
    fault = Fault(verb="get", resource="secrets", name=SUBJECT, status=403, reason="Forbidden", times=None)
    await one.delete(SECRETS, SUBJECT)
    await one.says(SUBJECT, "SecretNotFound")
    one.control.faults.add(fault)
    await one.put_secret(SUBJECT, one.kubeconfig(SUBJECT))
    await one.says(SUBJECT, "Forbidden", f"grant `get` on secrets in namespace {NAMESPACE}")
    one.control.faults.clear()
    await one.says(SUBJECT, "Connected", within=60.0)


async def test_s14_annotations_with_the_kubeconfig_are_neither_read_nor_told(one: Stand) -> None:
    await one.begin()
    annotations = {
        "kubectl.kubernetes.io/last-applied-configuration": one.kubeconfig(SUBJECT).decode(),
        "huge": CANARY * 30_000,
    }
    metadata = {"metadata": {"annotations": annotations}}
    await one.client.patch(SECRETS, NAMESPACE, SUBJECT, metadata, kind="merge")
    await one.put_secret(SUBJECT, None, metadata={"name": SUBJECT, "annotations": annotations})
    await one.says(SUBJECT, "RotationFailed", 'no key "kubeconfig"')
    await repaired(one)
