from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from controller.fleet.cache import WatchSpec
from controller.fleet.cluster import Cluster
from controller.fleet.identity import ANNOTATION, PIN_DEADLINE, REFUSAL_AGE, Identities, Owner, Pin
from controller.fleet.state import Phase, Reason
from controller.fleet.types import CLIENT_CONFIGS, ClientConfig
from controller.kube import errors
from controller.kube.client import Client
from controller.kube.resources import CONFIG_MAPS, NAMESPACES
from controller.sandbox.apiserver import Fault
from tests.unit.fleet.world import FIRST, NAMESPACE, SECOND, Fleet, eventually
from tests.unit.fleet.world import fleet as make_fleet

pytestmark = pytest.mark.looptime


class Pinned:
    """A ClientConfig with its pin; ``doubts`` counts how often it was to be checked again."""

    def __init__(self, fleet: Fleet, name: str, identities: Identities, owner: Owner) -> None:
        self.name = name
        self.doubts = 0
        self.cluster = Cluster(owner.context, [WatchSpec(CONFIG_MAPS)], (), fleet.rng)
        self.pin = Pin(owner, self.cluster, local=fleet.local, identities=identities, on_doubt=self._doubt)

    def _doubt(self) -> None:
        self.doubts += 1


class World:
    """A fleet, and the identities of its ClientConfigs."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.identities = Identities()
        self._made = 0
        fleet.local.on_change(self._changed)

    def _changed(self, _: Cluster, resource: object, deltas: list[object]) -> None:
        if resource == CLIENT_CONFIGS:
            for delta in deltas:
                head = delta.object.head  # type: ignore[attr-defined]
                self.identities.config_changed(head.namespace, head.name)

    async def put(self, name: str) -> Pinned:
        """A ClientConfig; each is a second older than the next."""
        self._made += 1
        made = (await self.fleet.put_config(name, context=name)).decode(ClientConfig).metadata
        await eventually(lambda: self.fleet.local.cache.get(CLIENT_CONFIGS, NAMESPACE, name) is not None, "it is seen")
        owner = Owner(NAMESPACE, name, made.uid, f"2026-01-01T00:00:0{self._made}Z", name)
        return Pinned(self.fleet, name, self.identities, owner)

    async def annotation(self, of: Pinned) -> str | None:
        found = await self.fleet.client.get(CLIENT_CONFIGS, NAMESPACE, of.name)
        return found.decode(ClientConfig).metadata.annotations.get(ANNOTATION)

    async def annotate(self, of: Pinned, value: str | None) -> None:
        """As a person does it; returns when the controller has seen it."""
        patch = {"metadata": {"annotations": {ANNOTATION: value}}}
        made = await self.fleet.client.patch(CLIENT_CONFIGS, NAMESPACE, of.name, patch, kind="merge")
        cache = self.fleet.local.cache

        def seen() -> bool:
            found = cache.get(CLIENT_CONFIGS, NAMESPACE, of.name)
            return found is not None and found.head.resource_version == made.head.resource_version

        await eventually(seen, "the annotation is seen")

    async def uid(self, url: str = FIRST) -> str:
        return (await self.fleet.remote(url).get(NAMESPACES, "", "kube-system")).head.uid

    def client(self, url: str = FIRST) -> Client:
        return self.fleet.remote(url)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with make_fleet() as fleet:
        yield World(fleet)


# ── the pin ─────────────────────────────────────────────────────────────────────────────────────────


async def test_the_first_check_pins_the_uid_without_changing_the_generation(world: World) -> None:
    one = await world.put("dc-1")
    before = (await world.fleet.client.get(CLIENT_CONFIGS, NAMESPACE, "dc-1")).head
    state = await one.pin.check(world.client())
    after = (await world.fleet.client.get(CLIENT_CONFIGS, NAMESPACE, "dc-1")).head
    uid = await world.uid()
    assert (state.usable, state.cluster_uid, state.note) == (True, uid, "")
    assert (one.pin.verified, one.pin.uid) == (True, uid)
    assert await world.annotation(one) == uid
    assert (after.uid, after.generation) == (before.uid, before.generation)


async def test_the_same_cluster_is_not_pinned_twice(world: World) -> None:
    one = await world.put("dc-1")
    await one.pin.check(world.client())
    version = (await world.fleet.client.get(CLIENT_CONFIGS, NAMESPACE, "dc-1")).head.resource_version
    assert (await one.pin.check(world.client())).usable
    assert (await world.fleet.client.get(CLIENT_CONFIGS, NAMESPACE, "dc-1")).head.resource_version == version


async def test_a_pin_meets_a_client_config_that_changes_meanwhile(world: World) -> None:
    one = await world.put("dc-1")
    world.fleet.control.faults.add(Fault(verb="patch", resource="clientconfigs", status=409, reason="Conflict"))
    assert (await one.pin.check(world.client())).usable
    assert await world.annotation(one) == await world.uid()


async def test_a_person_who_pins_first_is_not_overwritten(world: World) -> None:
    one = await world.put("dc-1")
    patch = {"metadata": {"annotations": {ANNOTATION: "theirs"}}}
    await world.fleet.client.patch(CLIENT_CONFIGS, NAMESPACE, "dc-1", patch, kind="merge")
    state = await one.pin.check(world.client())  # the cache has not seen the annotation: the write is refused
    assert await world.annotation(one) == "theirs"
    assert state.reason is Reason.IDENTITY_CHANGED


async def test_another_cluster_is_refused_with_both_uids_and_the_way_out(world: World) -> None:
    one = await world.put("dc-1")
    await one.pin.check(world.client(FIRST))
    state = await one.pin.check(world.client(SECOND))
    first, second = await world.uid(FIRST), await world.uid(SECOND)
    assert (state.usable, state.reason, state.phase) == (False, Reason.IDENTITY_CHANGED, Phase.IDENTITY_MISMATCH)
    assert state.message == (
        f"ClientConfig {NAMESPACE}/dc-1: this is not the cluster that was connected before: its namespace kube-system "
        f"has UID {second}, not {first}; nothing is written there. If it is the right one, set the annotation "
        f"k8ssandra.io/cluster-uid of the ClientConfig to {second} or remove it; else correct the kubeconfig"
    )
    assert (one.pin.verified, one.pin.uid) == (False, "")
    assert await world.annotation(one) == first


async def test_the_cluster_that_was_pinned_is_welcome_back(world: World) -> None:
    one = await world.put("dc-1")
    await one.pin.check(world.client(FIRST))
    await one.pin.check(world.client(SECOND))
    assert (await one.pin.check(world.client(FIRST))).usable


async def test_a_pin_outlives_the_controller(world: World) -> None:
    one = await world.put("dc-1")
    await one.pin.check(world.client(FIRST))
    restarted = Pin(one.pin.owner, one.cluster, local=world.fleet.local, identities=Identities())
    assert (await restarted.check(world.client(SECOND))).reason is Reason.IDENTITY_CHANGED


async def test_a_removed_annotation_means_the_cluster_that_was_refused_and_not_the_one_in_use(world: World) -> None:
    one = await world.put("dc-1")
    await one.pin.check(world.client(FIRST))
    await one.pin.check(world.client(SECOND))  # behind a new access, while the former serves on
    await world.annotate(one, None)
    assert (await one.pin.check(world.client(FIRST))).usable
    assert await world.annotation(one) is None
    assert (await one.pin.check(world.client(SECOND))).usable
    assert await world.annotation(one) == await world.uid(SECOND)


async def test_a_refused_cluster_is_not_awaited_for_ever(world: World) -> None:
    one = await world.put("dc-1")
    await one.pin.check(world.client(FIRST))
    await one.pin.check(world.client(SECOND))
    await world.annotate(one, None)
    await asyncio.sleep(REFUSAL_AGE + 1.0)
    assert (await one.pin.check(world.client(FIRST))).usable
    assert await world.annotation(one) == await world.uid(FIRST)


@pytest.mark.parametrize("how", ["set", "removed"])
async def test_an_acknowledged_cluster_is_accepted(world: World, how: str) -> None:
    one = await world.put("dc-1")
    await one.pin.check(world.client(FIRST))
    await one.pin.check(world.client(SECOND))
    doubts, second = one.doubts, await world.uid(SECOND)
    await world.annotate(one, second if how == "set" else None)
    assert one.doubts == doubts + 1
    assert (await one.pin.check(world.client(SECOND))).usable
    assert await world.annotation(one) == second


async def test_a_forged_annotation_stops_writes_and_its_removal_mends_that(world: World) -> None:
    one = await world.put("dc-1")
    await one.pin.check(world.client())
    await world.annotate(one, "forged\n" + "x" * 500)
    state = await one.pin.check(world.client())
    assert state.reason is Reason.IDENTITY_CHANGED
    assert "not forged\\nx" in state.message
    assert len(state.message) < 600
    await world.annotate(one, None)
    assert (await one.pin.check(world.client())).usable


async def test_where_the_pin_cannot_be_written_it_is_remembered(world: World) -> None:
    one = await world.put("dc-1")
    fault = Fault(verb="patch", resource="clientconfigs", status=403, reason="Forbidden", times=None)
    world.fleet.control.faults.add(fault)
    assert (await one.pin.check(world.client(FIRST))).usable
    assert await world.annotation(one) is None
    assert (await one.pin.check(world.client(SECOND))).reason is Reason.IDENTITY_CHANGED
    world.fleet.control.faults.remove(fault)
    await world.annotate(one, await world.uid(SECOND))
    assert (await one.pin.check(world.client(SECOND))).usable


async def test_a_control_plane_that_hangs_keeps_no_cluster_from_use(world: World) -> None:
    one = await world.put("dc-1")
    world.fleet.own.blacken()
    started = asyncio.get_running_loop().time()
    assert (await one.pin.check(world.client(FIRST))).usable
    assert asyncio.get_running_loop().time() - started <= PIN_DEADLINE
    assert (await one.pin.check(world.client(SECOND))).reason is Reason.IDENTITY_CHANGED


async def test_a_failed_read_is_no_finding(world: World) -> None:
    one = await world.put("dc-1")
    await one.pin.check(world.client())
    world.fleet.servers[FIRST].faults.add(Fault(verb="get", resource="namespaces", status=500))
    with pytest.raises(errors.ServerError):
        await one.pin.check(world.client())
    assert one.pin.verified


# ── out of sight ────────────────────────────────────────────────────────────────────────────────────


async def test_a_namespace_that_may_not_be_read_leaves_the_cluster_usable_with_a_note(world: World) -> None:
    one = await world.put("dc-1")
    world.fleet.servers[FIRST].faults.add(Fault(verb="get", resource="namespaces", status=403, reason="Forbidden"))
    state = await one.pin.check(world.client())
    assert (state.usable, state.phase, state.cluster_uid) == (True, Phase.READY, "")
    assert state.note == (
        "IdentityUnverified: the credentials may not read namespace kube-system, so another cluster at this address "
        "could not be told from this one; apply manifests/data-plane there"
    )
    assert one.pin.verified is None
    assert await world.annotation(one) is None
    assert (await one.pin.check(world.client())).note == ""  # the right was granted
    assert one.pin.verified


# ── the caches ──────────────────────────────────────────────────────────────────────────────────────


def epochs(of: Pinned) -> list[int]:
    return [reflector.store.epoch for _, reflector in of.cluster.reflectors]


async def test_the_same_cluster_keeps_its_caches(world: World) -> None:
    one = await world.put("dc-1")
    await one.pin.check(world.client())
    await one.pin.check(world.client())
    assert epochs(one) == [0]


async def test_the_caches_begin_anew_when_another_cluster_is_accepted_and_not_before(world: World) -> None:
    one = await world.put("dc-1")
    await one.pin.check(world.client(FIRST))
    await one.pin.check(world.client(SECOND))
    assert epochs(one) == [0]
    await world.annotate(one, None)
    await one.pin.check(world.client(SECOND))
    assert epochs(one) == [1]
    assert not one.cluster.cache.synced(CONFIG_MAPS)


async def test_the_caches_begin_anew_when_the_pinned_cluster_is_back(world: World) -> None:
    one = await world.put("dc-1")
    for url in (FIRST, SECOND, FIRST):
        await one.pin.check(world.client(url))
    assert epochs(one) == [1]


# ── two contexts, one cluster ───────────────────────────────────────────────────────────────────────


async def test_of_two_contexts_of_one_cluster_the_newer_is_refused(world: World) -> None:
    older, newer = await world.put("dc-1"), await world.put("dc-2")
    assert (await older.pin.check(world.client())).usable
    state = await newer.pin.check(world.client())
    assert (state.usable, state.reason, state.phase) == (False, Reason.SAME_CLUSTER, Phase.IDENTITY_MISMATCH)
    assert state.message == (
        f"ClientConfig {NAMESPACE}/dc-2: context dc-2 is the same cluster as context dc-1 of the older ClientConfig "
        f"{NAMESPACE}/dc-1 (both have UID {await world.uid()} of namespace kube-system), which alone is used; name "
        f"context dc-1 in specifications and delete ClientConfig {NAMESPACE}/dc-2, or correct a kubeconfig"
    )


async def test_the_newer_one_gives_way_when_the_older_connects_later(world: World) -> None:
    older, newer = await world.put("dc-1"), await world.put("dc-2")
    assert (await newer.pin.check(world.client())).usable
    assert (await older.pin.check(world.client())).usable
    assert newer.doubts == 1
    assert (await newer.pin.check(world.client())).reason is Reason.SAME_CLUSTER
    assert (await older.pin.check(world.client())).usable


async def test_the_older_one_counts_although_it_is_away_when_it_was_pinned(world: World) -> None:
    older, newer = await world.put("dc-1"), await world.put("dc-2")
    await world.annotate(older, await world.uid())
    assert (await newer.pin.check(world.client())).reason is Reason.SAME_CLUSTER


@pytest.mark.parametrize("how", ["acknowledged elsewhere", "mismatched", "gone"])
async def test_the_newer_one_recovers_when_the_older_moves_away(world: World, how: str) -> None:
    older, newer = await world.put("dc-1"), await world.put("dc-2")
    await older.pin.check(world.client())
    await newer.pin.check(world.client())
    doubts = newer.doubts
    if how == "gone":
        older.pin.forget()
    else:
        if how == "acknowledged elsewhere":
            await world.annotate(older, await world.uid(SECOND))
        await older.pin.check(world.client(SECOND))
    assert newer.doubts == doubts + 1
    assert (await newer.pin.check(world.client())).usable


async def test_an_older_one_that_lands_on_anothers_cluster_unacknowledged_takes_nothing(world: World) -> None:
    older, newer = await world.put("dc-1"), await world.put("dc-2")
    await older.pin.check(world.client(FIRST))
    await newer.pin.check(world.client(SECOND))
    assert (await older.pin.check(world.client(SECOND))).reason is Reason.IDENTITY_CHANGED
    assert (await newer.pin.check(world.client(SECOND))).usable


async def test_an_older_one_keeps_its_cluster_while_a_new_access_leads_elsewhere(world: World) -> None:
    older, newer = await world.put("dc-1"), await world.put("dc-2")
    older.cluster.update(await older.pin.check(world.client(FIRST)))
    await older.pin.check(world.client(SECOND))  # not in use
    assert (await newer.pin.check(world.client(FIRST))).reason is Reason.SAME_CLUSTER
    doubts = newer.doubts
    await world.annotate(older, await world.uid(SECOND))
    older.cluster.update(await older.pin.check(world.client(SECOND)))
    assert newer.doubts == doubts + 1
    assert (await newer.pin.check(world.client(FIRST))).usable


async def test_three_of_one_cluster_are_used_one_after_the_other(world: World) -> None:
    first, second, third = [await world.put(f"dc-{number}") for number in (1, 2, 3)]
    assert [(await each.pin.check(world.client())).usable for each in (first, second, third)] == [True, False, False]
    first.pin.forget()
    assert [(await each.pin.check(world.client())).usable for each in (third, second)] == [False, True]


async def test_a_forged_claim_to_anothers_cluster_ends_when_its_own_is_seen(world: World) -> None:
    older, newer = await world.put("dc-1"), await world.put("dc-2")
    await newer.pin.check(world.client(SECOND))
    await world.annotate(older, await world.uid(SECOND))
    assert newer.doubts == 1
    assert (await newer.pin.check(world.client(SECOND))).reason is Reason.SAME_CLUSTER
    assert (await older.pin.check(world.client(FIRST))).reason is Reason.IDENTITY_CHANGED
    assert newer.doubts == 2
    assert (await newer.pin.check(world.client(SECOND))).usable
