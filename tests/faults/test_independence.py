"""While one datacenter is not Ready or out of reach, everything but creation and roll-out goes on for the others."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, PODS, SECRETS
from tests.faults import faults
from tests.faults.virtual import simulate
from tests.faults.world import NAMESPACE, World, k8ssandra_cluster, until, world

ALL: Final = ("east", "north", "west")
OTHERS: Final = ALL[1:]  # behind the first in the order of roll-out
SOON: Final = 1.0  # s, although the first is away
AGENT: Final = "metrics-collector.yaml"

Trouble = Callable[[World], Awaitable[None]]


async def not_ready(one: World) -> None:
    """The first datacenter loses its nodes."""
    status = {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    await patch(one, CASSANDRA_DATACENTERS, "wide-east", {"status": status}, "east", "status")
    await until(lambda: said(one, "east") == "DatacenterNotReady", "it is seen that it is not Ready", SOON)


async def unreachable(one: World) -> None:
    """The first datacenter's cluster answers nothing any more."""
    one.paths["east"].begin(faults.BlackHole())
    await until(lambda: said(one, "east") == "DatacenterUnreachable", "it is seen that it is away", 20.0)


TROUBLES: Final[tuple[Trouble, ...]] = (not_ready, unreachable)


@asynccontextmanager
async def troubled(trouble: Trouble) -> AsyncIterator[World]:
    """Three datacenters, all Ready once, and then trouble with the first."""
    async with world(ALL) as one:
        for context in ALL:
            one.register(context)
        one.apply(k8ssandra_cluster("wide", dict.fromkeys(ALL, 1)))
        one.start()
        await until(lambda: one.ready("wide"), "all are Ready", 30.0)
        await trouble(one)
        yield one


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_others_report_is_shown(trouble: Trouble) -> None:
    async def run() -> None:
        async with troubled(trouble) as one:
            for context in OTHERS:
                change = {"status": {"quietPeriod": "2026-02-02T00:00:00Z"}}
                await patch(one, CASSANDRA_DATACENTERS, f"wide-{context}", change, context, "status")
                await until(
                    lambda context=context: shown(one, context).get("quietPeriod") == "2026-02-02T00:00:00Z",
                    f"the status of {context} is shown",
                    SOON,
                )
            assert shown(one, "east")["conditions"]  # what was known of the first stays

    simulate(run)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_seeds_of_others_follow_their_pods(trouble: Trouble) -> None:
    async def run() -> None:
        async with troubled(trouble) as one:
            first = seeds(one, "north")
            await move(one, "west", "10.99.0.1")
            await until(lambda: "10.99.0.1" in seeds(one, "north"), "north knows the new address", SOON)
            assert len(seeds(one, "north")) == len(first)  # that of the first stays, the old one goes
            await move(one, "north", "10.99.0.2")
            await until(lambda: "10.99.0.2" in seeds(one, "west"), "west knows the new address", SOON)

    simulate(run)


def test_one_that_is_not_ready_knows_the_seeds_of_others() -> None:
    async def run() -> None:
        async with troubled(not_ready) as one:
            await move(one, "west", "10.99.0.1")
            await until(lambda: "10.99.0.1" in seeds(one, "east"), "east knows the new address", SOON)

    simulate(run)


def test_one_that_was_away_knows_the_seeds_of_others_when_it_is_back() -> None:
    async def run() -> None:
        async with troubled(unreachable) as one:
            await move(one, "west", "10.99.0.1")
            await asyncio.sleep(30.0)
            one.paths["east"].end()
            await until(lambda: "10.99.0.1" in seeds(one, "east"), "east knows the new address", 10.0)

    simulate(run)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_secrets_are_replicated_to_others(trouble: Trouble) -> None:
    async def run() -> None:
        async with troubled(trouble) as one:
            word = base64.b64encode(b"another").decode()
            await patch(one, SECRETS, "wide-superuser", {"data": {"password": word}})
            for context in OTHERS:
                await until(
                    lambda context=context: password(one, context) == word, f"{context} has the new password", SOON
                )
                await remove(one, SECRETS, "wide-superuser", context)
                await until(lambda context=context: password(one, context) == word, f"{context} has it again", SOON)

    simulate(run)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_config_maps_of_others_are_repaired(trouble: Trouble) -> None:
    async def run() -> None:
        async with troubled(trouble) as one:
            for context in OTHERS:
                name = f"wide-wide-{context}-metrics-agent-config"
                before = agent(one, context)
                await patch(one, CONFIG_MAPS, name, {"data": {AGENT: "theirs"}}, context)
                await until(lambda context=context, text=before: agent(one, context) == text, "it is repaired", SOON)
                await remove(one, CONFIG_MAPS, name, context)
                await until(lambda context=context, text=before: agent(one, context) == text, "it is made again", SOON)

    simulate(run)


def test_a_change_reaches_config_maps_at_once_and_datacenters_in_order() -> None:
    async def run() -> None:
        async with troubled(unreachable) as one:
            changed = k8ssandra_cluster("wide", dict.fromkeys(ALL, 1))
            changed["spec"]["cassandra"]["telemetry"] = {"cassandra": {"endpoint": {"port": "9999"}}}
            changed["spec"]["cassandra"]["config"] = {"cassandraYaml": {"concurrent_reads": 8}}
            one.apply(changed)
            for context in OTHERS:
                await until(lambda context=context: "9999" in agent(one, context), "the rules are there", SOON)
            await asyncio.sleep(30.0)
            assert [reads(one, context) for context in OTHERS] == [None, None]

    simulate(run)


# ── what was not made yet ───────────────────────────────────────────────────────────────────────────


def test_datacenters_that_wait_for_their_turn_have_secrets_config_maps_and_a_status() -> None:
    async def run() -> None:
        async with world(ALL, operated=OTHERS) as one:  # nobody brings the first up
            for context in ALL:
                one.register(context)
            one.apply(k8ssandra_cluster("wide", dict.fromkeys(ALL, 1)))
            one.start()
            for context in ALL:
                await until(lambda context=context: bool(password(one, context)), f"the Secret of {context}", 5.0)
                await until(lambda context=context: bool(agent(one, context)), f"the ConfigMap of {context}", 5.0)
            await asyncio.sleep(30.0)
            assert {context: said(one, context) for context in ALL} == {
                "east": "DatacenterNotReady",
                "north": "WaitingForDatacenter",
                "west": "WaitingForDatacenter",
            }
            assert [made(one, context) for context in ALL] == [True, False, False]

    simulate(run)


def test_one_that_is_out_of_reach_from_the_start_keeps_others_from_nothing_but_their_datacenters() -> None:
    """The first founds the ring, so the others wait for it, fully prepared."""

    async def run() -> None:
        async with world(ALL) as one:
            for context in ALL:
                one.register(context)
            one.paths["east"].begin(faults.Refused())
            one.apply(k8ssandra_cluster("wide", dict.fromkeys(ALL, 1)))
            one.start()
            for context in OTHERS:
                await until(lambda context=context: bool(password(one, context)), f"the Secret of {context}", 5.0)
                await until(lambda context=context: bool(agent(one, context)), f"the ConfigMap of {context}", 5.0)
            await until(lambda: said(one, "east") == "DatacenterUnreachable", "the first is named", 20.0)
            assert [made(one, context) for context in OTHERS] == [False, False]
            one.paths["east"].end()
            await until(lambda: one.ready("wide"), "all are Ready", 40.0)

    simulate(run)


# ── what is wrong in the specification ──────────────────────────────────────────────────────────────


def test_a_datacenter_with_a_wrong_specification_is_still_shown_and_still_knows_the_seeds_of_others() -> None:
    async def run() -> None:
        async with troubled(nothing) as one:
            wrong = k8ssandra_cluster("wide", dict.fromkeys(ALL, 1))
            wrong["spec"]["cassandra"]["datacenters"][0]["racks"] = [{"name": "r1"}, {"name": "r2"}]
            one.apply(wrong)
            await until(lambda: said(one, "east") == "InvalidSpec", "it is said what is wrong", SOON)
            await move(one, "west", "10.99.0.1")
            await until(lambda: "10.99.0.1" in seeds(one, "north"), "north knows the new address", SOON)
            await until(lambda: "10.99.0.1" in seeds(one, "east"), "east knows the new address", SOON)
            change = {"status": {"quietPeriod": "2026-02-02T00:00:00Z"}}
            await patch(one, CASSANDRA_DATACENTERS, "wide-east", change, "east", "status")
            await until(lambda: bool(shown(one, "east").get("quietPeriod")), "its status is shown", SOON)

    simulate(run)


def test_a_specification_that_is_wrong_as_a_whole_stops_no_status() -> None:
    async def run() -> None:
        async with troubled(nothing) as one:
            wrong = k8ssandra_cluster("wide", dict.fromkeys(ALL, 1))
            wrong["spec"]["cassandra"]["datacenters"].append(dict(wrong["spec"]["cassandra"]["datacenters"][0]))
            one.apply(wrong)
            ready = "Ready"
            await until(
                lambda: one.condition("wide", ready, K8SSANDRA_CLUSTERS)["reason"] == "InvalidSpec", "it is said", SOON
            )
            for context in ALL:
                change = {"status": {"quietPeriod": "2026-02-02T00:00:00Z"}}
                await patch(one, CASSANDRA_DATACENTERS, f"wide-{context}", change, context, "status")
                await until(
                    lambda context=context: bool(shown(one, context).get("quietPeriod")), "its status is shown", SOON
                )

    simulate(run)


def test_a_datacenter_that_the_specification_names_no_more_is_shown_while_it_is_there() -> None:
    async def run() -> None:
        async with troubled(nothing) as one:
            one.apply(k8ssandra_cluster("wide", dict.fromkeys(ALL[:2], 1)))
            ready = "Ready"
            await until(
                lambda: one.condition("wide", ready, K8SSANDRA_CLUSTERS)["reason"] == "DatacenterNotInSpec",
                "it is said",
                SOON,
            )
            change = {"status": {"quietPeriod": "2026-02-02T00:00:00Z"}}
            await patch(one, CASSANDRA_DATACENTERS, "wide-west", change, "west", "status")
            await until(lambda: bool(shown(one, "west").get("quietPeriod")), "its status is shown", SOON)

    simulate(run)


async def nothing(one: World) -> None:
    """No trouble."""


# ── the world ───────────────────────────────────────────────────────────────────────────────────────


async def patch(one: World, resource: Any, name: str, change: Any, context: str = "", sub: str = "") -> None:
    await one.client(context).patch(resource, NAMESPACE, name, change, kind="merge", subresource=sub)


async def remove(one: World, resource: Any, name: str, context: str) -> None:
    found = await one.client(context).get(resource, NAMESPACE, name)
    await one.client(context).delete(resource, NAMESPACE, name, uid=found.head.uid)


async def move(one: World, context: str, address: str) -> None:
    """The seed pod of a datacenter comes back with another address."""
    status = {"podIP": address, "podIPs": [{"ip": address}]}
    await patch(one, PODS, f"wide-wide-{context}-default-sts-0", {"status": status}, context, "status")


def said(one: World, context: str) -> str:
    """Reason of a datacenter's condition."""
    return str(one.condition("wide", f"DatacenterReady.wide-{context}", K8SSANDRA_CLUSTERS).get("reason", ""))


def shown(one: World, context: str) -> dict[str, Any]:
    """A datacenter's status, as the K8ssandraCluster shows it."""
    status = (one.get(K8SSANDRA_CLUSTERS, "wide") or {})["status"]
    return dict(status.get("datacenters", {}).get(f"wide-{context}", {}).get("cassandra") or {})


def seeds(one: World, context: str) -> list[str]:
    """The addresses by which a datacenter finds the others."""
    found = one.get(ENDPOINT_SLICES, f"wide-wide-wide-{context}-additional-seed-service-ipv4", context) or {}
    return [address for endpoint in found.get("endpoints", []) for address in endpoint["addresses"]]


def password(one: World, context: str) -> str:
    return str(((one.get(SECRETS, "wide-superuser", context) or {}).get("data") or {}).get("password", ""))


def agent(one: World, context: str) -> str:
    found = one.get(CONFIG_MAPS, f"wide-wide-{context}-metrics-agent-config", context) or {}
    return str(found.get("data", {}).get(AGENT, ""))


def reads(one: World, context: str) -> Any:
    live = one.get(CASSANDRA_DATACENTERS, f"wide-{context}", context) or {}
    return live["spec"]["config"]["cassandra-yaml"].get("concurrent_reads")


def made(one: World, context: str) -> bool:
    live = one.get(CASSANDRA_DATACENTERS, f"wide-{context}", context) or {}
    return (live.get("metadata") or {}).get("labels", {}).get(labels.CLUSTER_NAME) == "wide"
