"""Weaknesses 10 to 12 of the reference operator: one datacenter with trouble holds up work for all others.

Every fault, on virtual time, is in tests/faults/test_independence.py; here the same on real servers too.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

import pytest

from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, PODS, SECRETS
from tests.integration.rig import CONTEXTS, Rig, eventually
from tests.parity import stage

PASSWORD = base64.b64encode(b"another").decode()


async def not_ready(one: Rig) -> None:
    await stage.set_progress(one, 1, "Updating", Initialized=True, Ready=False)
    await eventually(lambda: says(one, 1, "DatacenterNotReady"), "dc1 is not Ready")


async def unreachable(one: Rig) -> None:
    """Its credentials are taken away."""
    name = f"{CONTEXTS[0]}-config"
    secret = await one.client().get(SECRETS, one.namespace, name)
    await one.client().delete(SECRETS, one.namespace, name, uid=secret.head.uid)
    await eventually(lambda: says(one, 1, "DatacenterUnreachable"), "dc1 is out of reach")


async def says(one: Rig, number: int, reason: str) -> bool:
    condition = await one.condition(K8SSANDRA_CLUSTERS, "test", f"DatacenterReady.dc{number}")
    return condition.get("reason") == reason


@pytest.mark.parametrize("trouble", [not_ready, unreachable])
async def test_status_seeds_secrets_and_config_maps_of_others_go_on(
    by_hand: Rig, trouble: Callable[[Rig], Awaitable[None]]
) -> None:
    one = by_hand
    await one.apply(stage.cluster(*(stage.datacenter(number) for number in (1, 2, 3))))
    for number in (1, 2, 3):
        await stage.set_ready(one, number)
    await one.ready("test")
    await trouble(one)
    await stage.set_status(one, 3, {"quietPeriod": "2026-02-02T00:00:00Z"})
    moved = {"status": {"podIP": "10.99.0.1", "podIPs": [{"ip": "10.99.0.1"}]}}
    third = one.client(CONTEXTS[2])
    await third.patch(PODS, one.namespace, "test-dc3-default-sts-0", moved, kind="merge", subresource="status")
    await one.client().patch(SECRETS, one.namespace, "test-superuser", {"data": {"password": PASSWORD}}, kind="merge")
    lost = await third.get(CONFIG_MAPS, one.namespace, "test-dc3-metrics-agent-config")
    await third.delete(CONFIG_MAPS, one.namespace, lost.head.name, uid=lost.head.uid)

    async def all_done() -> bool:
        slice_ = await one.get(ENDPOINT_SLICES, "test-test-dc2-additional-seed-service-ipv4", CONTEXTS[1]) or {}
        copies = [await one.get(SECRETS, "test-superuser", context) for context in CONTEXTS[1:]]
        made = await one.get(CONFIG_MAPS, lost.head.name, CONTEXTS[2])
        return (
            (await stage.shown(one, 3)).get("quietPeriod") == "2026-02-02T00:00:00Z"
            and "10.99.0.1" in [address for entry in slice_["endpoints"] for address in entry["addresses"]]
            and all(copy is not None and copy["data"]["password"] == PASSWORD for copy in copies)
            and made is not None
        )

    await eventually(all_done, "everything of the others goes on", 10)
    assert (await one.condition(K8SSANDRA_CLUSTERS, "test"))["status"] == "False"


@pytest.mark.parametrize("number", [2, 3])
async def test_secrets_and_config_maps_come_before_the_turn_of_a_datacenter(by_hand: Rig, number: int) -> None:
    one = by_hand
    await one.apply(stage.cluster(*(stage.datacenter(each) for each in (1, 2, 3))))
    await stage.found(one, SECRETS, "test-superuser", CONTEXTS[number - 1])
    await stage.found(one, CONFIG_MAPS, f"test-dc{number}-metrics-agent-config", CONTEXTS[number - 1])
    await eventually(lambda: says(one, number, "WaitingForDatacenter"), "it is said what it waits for")
    assert await stage.made_so_far(one) in ([], ["dc1"])
