"""Seeds and contact points on API servers, embedded and real: what leads to pods follows them, and goes with them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.cassandra import labels
from controller.cassandra.contact_points import SUFFIX
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from tests.integration.rig import CONTEXTS, Rig, converged, eventually, quiet

FIRST, SECOND, THIRD = CONTEXTS
SEEDS = "demo-demo-dc{}-additional-seed-service-ipv4"
ALL_PODS = "demo-dc2-all-pods-service-sim"


def addresses_in(slice_: dict[str, Any] | None) -> set[str]:
    endpoints = (slice_ or {}).get("endpoints") or []
    return {address for endpoint in endpoints for address in endpoint["addresses"]}


async def seeds(one: Rig, number: int) -> set[str]:
    """Those that a datacenter knows of the others."""
    return addresses_in(await one.get(ENDPOINT_SLICES, SEEDS.format(number), CONTEXTS[number - 1]))


async def contacts(one: Rig, number: int = 2) -> set[str]:
    return addresses_in(await one.get(ENDPOINT_SLICES, f"demo-dc{number}{SUFFIX}-ipv4"))


async def pod_addresses(one: Rig, context: str) -> set[str]:
    pods = await one.client(context).list_all(PODS, one.namespace)
    return {pod.decode(dict)["status"]["podIP"] for pod in pods}


async def test_an_address_of_a_seed_that_changes_is_known_elsewhere_within_a_second(one: Rig) -> None:
    await converged(one)
    pod = (await one.client(SECOND).list_all(PODS, one.namespace, label_selector=f"{labels.SEED_NODE}=true"))[0]
    since = len(one.seen)
    change = {"status": {"podIP": "10.77.0.1", "podIPs": [{"ip": "10.77.0.1"}]}}
    await one.client(SECOND).patch(PODS, one.namespace, pod.head.name, change, kind="merge", subresource="status")

    async def known() -> bool:
        return "10.77.0.1" in await seeds(one, 1) and "10.77.0.1" in await seeds(one, 3)

    await eventually(known, "the others know the new address", within=1.0)
    await quiet(one)
    assert sorted(seen.context for seen in one.writes(since=since)) == [FIRST, THIRD]


async def test_each_datacenter_has_contact_points_with_the_addresses_of_its_pods(one: Rig) -> None:
    await converged(one)
    for number, context in enumerate(CONTEXTS, 1):
        service = await one.get(SERVICES, f"demo-dc{number}{SUFFIX}") or {}
        assert service["spec"]["clusterIP"] == "None"
        assert "selector" not in service["spec"]
        assert {port["name"]: port["port"] for port in service["spec"]["ports"]}["native"] == 9042
        assert await contacts(one, number) == await pod_addresses(one, context)


async def test_contact_points_follow_the_pods_and_then_nothing_is_written(one: Rig) -> None:
    await converged(one)
    ready = {"ready": True, "serving": True}
    waiting = {"ready": True, "serving": False}
    endpoints = [
        {"addresses": ["10.78.0.2"], "conditions": waiting},
        {"addresses": ["10.78.0.1"], "conditions": ready},
    ]
    await one.client(SECOND).patch(ENDPOINT_SLICES, one.namespace, ALL_PODS, {"endpoints": endpoints}, kind="merge")

    async def followed() -> bool:
        return await contacts(one) == {"10.78.0.1", "10.78.0.2"}

    await eventually(followed, "the contact points have followed")
    slice_ = await one.get(ENDPOINT_SLICES, f"demo-dc2{SUFFIX}-ipv4") or {}
    assert [(each["addresses"], each["conditions"].get("ready")) for each in slice_["endpoints"]] == [
        (["10.78.0.1"], None),
        (["10.78.0.2"], False),
    ]
    await quiet(one)
    since = len(one.seen)
    turned = {"endpoints": endpoints[::-1]}
    await one.client(SECOND).patch(ENDPOINT_SLICES, one.namespace, ALL_PODS, turned, kind="merge")
    await asyncio.sleep(1.5)
    assert one.requests(since=since) == []


async def test_several_slices_of_more_than_a_hundred_pods_become_one(one: Rig) -> None:
    await converged(one)
    many = [f"10.79.{index // 250}.{index % 250 + 1}" for index in range(150)]
    first = await one.get(ENDPOINT_SLICES, ALL_PODS, SECOND) or {}
    metadata = {"name": "another", "labels": first["metadata"]["labels"]}
    another = {**first, "metadata": metadata, "endpoints": [{"addresses": [address]} for address in many[100:]]}
    await one.client(SECOND).create(ENDPOINT_SLICES, one.namespace, another)
    change = {"endpoints": [{"addresses": [address]} for address in many[:100]]}
    await one.client(SECOND).patch(ENDPOINT_SLICES, one.namespace, ALL_PODS, change, kind="merge")

    async def all_there() -> bool:
        return await contacts(one) == set(many)

    await eventually(all_there, "every pod is a contact point")
    slice_ = await one.get(ENDPOINT_SLICES, f"demo-dc2{SUFFIX}-ipv4") or {}
    assert [len(each["addresses"]) for each in slice_["endpoints"]] == [100, 50]


async def test_slices_of_a_same_named_cluster_in_another_namespace_do_not_mix(one: Rig) -> None:
    await converged(one)
    before = await contacts(one)
    ours = await one.get(ENDPOINT_SLICES, ALL_PODS, SECOND) or {}
    metadata = {"name": f"of-{one.namespace}", "labels": ours["metadata"]["labels"]}
    theirs = {**ours, "metadata": metadata, "endpoints": [{"addresses": ["10.99.0.1"]}]}
    made = await one.client(SECOND).create(ENDPOINT_SLICES, "default", theirs)
    since = len(one.seen)
    await asyncio.sleep(1.0)
    assert await contacts(one) == before
    assert one.requests(since=since) == []
    await one.client(SECOND).delete(ENDPOINT_SLICES, "default", made.head.name, uid=made.head.uid)


@pytest.mark.parametrize("stopped", [True, False])
async def test_contact_points_go_with_a_datacenter(one: Rig, stopped: bool) -> None:
    await converged(one)
    found = await one.get(K8SSANDRA_CLUSTERS, "demo") or {}
    datacenters = found["spec"]["cassandra"]["datacenters"]
    if stopped:
        datacenters[1]["stopped"] = True
    else:
        del datacenters[1]
    patch = {"spec": found["spec"]}
    await one.client().patch(K8SSANDRA_CLUSTERS, one.namespace, "demo", patch, kind="merge")
    if not stopped:
        live = await one.client(SECOND).get(CASSANDRA_DATACENTERS, one.namespace, "dc2")
        await one.client(SECOND).delete(CASSANDRA_DATACENTERS, one.namespace, "dc2", uid=live.head.uid)
        held = {"metadata": {"finalizers": []}}
        await one.client(SECOND).patch(CASSANDRA_DATACENTERS, one.namespace, "dc2", held, kind="merge")

    async def gone() -> bool:
        left = [name for name in await one.names(ENDPOINT_SLICES) if name.startswith(f"demo-dc2{SUFFIX}")]
        kept = f"demo-dc2{SUFFIX}" in await one.names(SERVICES)
        beside = SEEDS.format(2) in await one.names(ENDPOINT_SLICES, SECOND)
        return (bool(left), kept, beside) == (False, stopped, stopped)

    await eventually(gone, "what led to it is gone")
    assert await contacts(one, 1) != set()


async def test_everything_that_leads_to_a_cluster_goes_with_it(one: Rig) -> None:
    await converged(one)
    found = await one.client().get(K8SSANDRA_CLUSTERS, one.namespace, "demo")
    await one.client().delete(K8SSANDRA_CLUSTERS, one.namespace, "demo", uid=found.head.uid)

    async def gone() -> bool:
        names = [*await one.names(SERVICES), *await one.names(ENDPOINT_SLICES)]
        return not any(SUFFIX in name for name in names)

    await eventually(gone, "no contact points are left")


async def test_what_the_reference_made_is_taken_over_in_place(one: Rig) -> None:
    name = f"demo-dc2{SUFFIX}"
    marks = {**labels.owner("demo", one.namespace), labels.DATACENTER: "dc2"}
    owned = {labels.SERVICE_NAME: name, labels.ENDPOINT_SLICE_MANAGED_BY: labels.OPERATOR_NAME}
    port = {"name": "old", "port": 1, "protocol": "TCP"}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": marks},
               "spec": {"clusterIP": "None", "ports": [port]}}  # fmt: skip
    slice_ = {"apiVersion": ENDPOINT_SLICES.api_version, "kind": "EndpointSlice", "addressType": "IPv4",
              "metadata": {"name": f"{name}-ipv4", "labels": {**marks, **owned}},
              "endpoints": [{"addresses": ["10.99.0.1"]}], "ports": [port]}  # fmt: skip
    former = [
        await one.client().create(resource, one.namespace, made, field_manager="manager")
        for resource, made in ((SERVICES, service), (ENDPOINT_SLICES, slice_))
    ]
    await converged(one)
    assert await contacts(one) == await pod_addresses(one, SECOND)
    live = await one.client().get(SERVICES, one.namespace, name)
    assert live.head.uid == former[0].head.uid
    assert "old" not in {entry["name"] for entry in live.decode(dict)["spec"]["ports"]}


async def test_endpoints_of_old_releases_are_removed_for_kubernetes_copies_them(one: Rig) -> None:
    name, marks = f"demo-dc2{SUFFIX}", labels.owner("demo", one.namespace)
    body = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name, "labels": marks}, "subsets": []}
    legacy = await one.client().create(ENDPOINTS, one.namespace, body)
    mirrored = {labels.SERVICE_NAME: name, labels.ENDPOINT_SLICE_MANAGED_BY: labels.MIRRORING}
    owner = {"apiVersion": "v1", "kind": "Endpoints", "name": name, "uid": legacy.head.uid}
    metadata = {"name": f"{name}-abc", "labels": {**marks, **mirrored}, "ownerReferences": [owner]}
    await one.apply(
        {"apiVersion": ENDPOINT_SLICES.api_version, "kind": "EndpointSlice", "metadata": metadata,
         "addressType": "IPv4", "endpoints": [{"addresses": ["10.99.0.1"]}]}
    )  # fmt: skip
    await one.start()
    await one.apply(one.sample())

    async def gone() -> bool:
        return await one.get(ENDPOINTS, name) is None

    await eventually(gone, "the Endpoints are gone")
