from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec
import pytest

from controller.cassandra.plan.model import Status
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.cassandra.status_writer import BUNDLED, MANY, PASSING, PATIENCE, StatusWriter
from controller.cassandra.watches import LOCAL_WATCHES
from controller.definitions import definitions
from controller.fleet.cluster import Cluster
from controller.kube.client import Client
from controller.kube.conditions import Condition
from controller.kube.objects import Object
from controller.sandbox.apiserver import ApiServer, InProcessTransport
from controller.sandbox.crds import published_crds
from tests.unit.cassandra.samples import manifest

SHAPES = {"ours": lambda: list(definitions().values()), "published": published_crds}


class Later:
    """A clock that is a minute on whenever it is read."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 23, tzinfo=UTC)

    def now(self) -> datetime:
        self._now += timedelta(minutes=1)
        return self._now


class Bench:
    """A K8ssandraCluster on a server, and a writer."""

    def __init__(self, shape: str) -> None:
        self.server = ApiServer(rng=Random(0))
        for crd in SHAPES[shape]():
            self.server.apply_manifest(crd)
        self.server.apply_manifest({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}})
        found = manifest()
        found["metadata"] = {"name": "demo", "namespace": "ns"}
        self.server.apply_manifest(found)
        self.client = Client(InProcessTransport(self.server, self.server.admin_token))
        self.local = Cluster("", LOCAL_WATCHES, (), Random(0))
        self.local.connect(self.client)
        self.writer = StatusWriter(self.local, Later())

    async def found(self) -> Object:
        return await self.client.get(K8SSANDRA_CLUSTERS, "ns", "demo")

    async def write(self, status: Status, found: Object | None = None) -> bool:
        """Whether something was written; ``found``: another view of the object than the server's."""
        since = len(self.server.record.writes)
        assert await self.writer.write(found or await self.found(), status) == 0.0
        return len(self.server.record.writes) > since

    async def others(self, number: int, error: str = "None") -> list[str]:
        """Write the status of so many other K8ssandraClusters; returns their UIDs."""
        uids = []
        for name in (f"other-{each}" for each in range(number)):
            obj = manifest()
            obj["metadata"] = {"name": name, "namespace": "ns"}
            self.server.apply_manifest(obj)
            found = await self.client.get(K8SSANDRA_CLUSTERS, "ns", name)
            assert await self.writer.write(found, status(error=error)) == 0.0
            uids.append(found.head.uid)
        return uids

    async def live(self) -> dict[str, Any]:
        return dict((await self.found()).decode(dict).get("status") or {})

    async def kinds(self) -> list[str]:
        return [entry["type"] for entry in (await self.live())["conditions"]]


@pytest.fixture(params=list(SHAPES))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    made = Bench(request.param)
    yield made
    await made.client.close()


@pytest.fixture
async def ours() -> AsyncIterator[Bench]:
    made = Bench("ours")
    yield made
    await made.client.close()


def status(*kinds: str, **changed: Any) -> Status:
    conditions = tuple(
        Condition(type=kind, status="True", reason="Fine", message="all is well", observed_generation=1)
        for kind in kinds or ("Ready",)
    )
    given: dict[str, Any] = {
        "conditions": conditions,
        "datacenters": {"dc1": {"contextName": "kind-dc1", "cassandra": {"observedGeneration": 1}}},
        "error": "None",
        "observed_generation": 1,
    }
    return Status(**{**given, **changed})


async def test_a_status_is_written_once(bench: Bench) -> None:
    assert await bench.write(status()) is True
    assert await bench.write(status()) is False
    assert (await bench.live())["observedGeneration"] == 1


async def test_a_status_without_datacenters_is_written_once(bench: Bench) -> None:
    assert await bench.write(status(datacenters={}, observed_generation=0)) is True
    assert await bench.write(status(datacenters={}, observed_generation=0)) is False


async def test_an_object_that_grows_costs_only_what_is_new(ours: Bench) -> None:
    await ours.write(status())
    since = len(ours.server.record.writes)
    more = {**status().datacenters, "dc2": {"contextName": "kind-dc2"}}
    assert await ours.write(status(datacenters=more)) is True
    assert len(ours.server.record.writes) == since + 1
    assert (await ours.live())["datacenters"] == more


async def test_a_datacenter_that_left_goes_from_the_status(bench: Bench) -> None:
    await bench.write(status(datacenters={"dc1": {}, "dc2": {"contextName": "kind-dc2"}}))
    await bench.write(status(datacenters={"dc1": {}}))
    assert list((await bench.live())["datacenters"]) == ["dc1"]
    await bench.write(status(datacenters={}))
    assert not (await bench.live()).get("datacenters")
    assert await bench.write(status(datacenters={})) is False


async def test_the_time_of_a_condition_moves_only_with_its_status(bench: Bench) -> None:
    await bench.write(status())
    before = (await bench.live())["conditions"][0]["lastTransitionTime"]
    await bench.write(status(error="something"))
    assert (await bench.live())["conditions"][0]["lastTransitionTime"] == before
    bad = Condition(type="Ready", status="False", reason="Broken")
    await bench.write(status(conditions=(bad,)))
    assert (await bench.live())["conditions"][0]["lastTransitionTime"] > before


async def test_conditions_of_others_stay_and_ours_of_the_moment_go(ours: Bench) -> None:
    await ours.write(
        status("Ready", "DatacenterReady.dc1", "DatacenterReady.dc2", "UnsupportedFields", "RequiresUpdate")
    )
    live = await ours.live()
    theirs = {"type": "Theirs", "status": "True", "lastTransitionTime": "2026-11-23T00:00:00Z"}
    await ours.client.patch(
        K8SSANDRA_CLUSTERS, "ns", "demo", {"status": {"conditions": [*live["conditions"], theirs]}},
        kind="merge", subresource="status",
    )  # fmt: skip
    await ours.write(status("Ready", "DatacenterReady.dc1"))
    assert await ours.kinds() == ["Ready", "DatacenterReady.dc1", "RequiresUpdate", "Theirs"]


async def test_what_others_wrote_elsewhere_in_the_status_stays(ours: Bench) -> None:
    await ours.write(status(datacenters={"dc1": {"stargate": {"theirs": "x"}}}))
    await ours.write(status(datacenters={"dc1": {"stargate": {"theirs": "x"}, "contextName": "kind-dc1"}}))
    assert (await ours.live())["datacenters"]["dc1"]["stargate"] == {"theirs": "x"}


async def test_an_object_that_was_replaced_or_is_gone_is_not_written(ours: Bench) -> None:
    found = await ours.found()
    await ours.client.delete(K8SSANDRA_CLUSTERS, "ns", "demo", uid=found.head.uid)
    assert await ours.writer.write(found, status()) == 0.0
    again = manifest()
    again["metadata"] = {"name": "demo", "namespace": "ns"}
    ours.server.apply_manifest(again)
    assert await ours.writer.write(found, status()) == 0.0
    assert "conditions" not in await ours.live()


@pytest.mark.parametrize("odd", ["text", [], {"conditions": "text"}, {"conditions": ["text", {"type": 7}]}])
async def test_a_live_status_of_any_shape_is_replaced(ours: Bench, odd: Any) -> None:
    found = (await ours.found()).decode(dict)
    weird = Object((await ours.found()).head, _encoded({**found, "status": odd}))
    assert await ours.write(status(), weird) is True
    assert "Ready" in await ours.kinds()


def _encoded(obj: dict[str, Any]) -> bytes:
    return msgspec.json.encode(obj)


async def test_other_words_about_the_same_state_wait_for_something_to_say(ours: Bench) -> None:
    await ours.write(status())
    words = tuple(msgspec.structs.replace(each, message="other words") for each in status().conditions)
    found, since = await ours.found(), len(ours.server.record.writes)
    assert 0 < await ours.writer.write(found, status(conditions=words), patient=True) <= PATIENCE
    assert len(ours.server.record.writes) == since
    assert await ours.writer.write(found, status(conditions=words, error="something"), patient=True) == 0.0
    assert (await ours.live())["conditions"][0]["message"] == "other words"


@pytest.mark.looptime
async def test_words_wait_half_a_second_at_most(ours: Bench) -> None:
    await ours.write(status())
    words = tuple(msgspec.structs.replace(each, message="other words") for each in status().conditions)
    found = await ours.found()
    await asyncio.sleep(await ours.writer.write(found, status(conditions=words), patient=True))
    assert await ours.writer.write(found, status(conditions=words), patient=True) == 0.0
    assert (await ours.live())["conditions"][0]["message"] == "other words"


async def test_words_about_something_wrong_do_not_wait(ours: Bench) -> None:
    await ours.write(status())
    words = tuple(msgspec.structs.replace(each, message="other words") for each in status().conditions)
    assert await ours.write(status(conditions=words))


def progress() -> Status:
    return status(datacenters={"dc1": {"contextName": "kind-dc1", "cassandra": {"observedGeneration": 2}}})


def of(*ready: str, cluster: str = "False") -> Status:
    """The cluster is Ready, or not, and so are its datacenters."""
    kinds = {"Ready": cluster} | {f"DatacenterReady.dc{number}": said for number, said in enumerate(ready, 1)}
    told = (Condition(type=kind, status=said, reason="R", observed_generation=1) for kind, said in kinds.items())
    return status(conditions=tuple(told))


async def test_progress_is_shown_at_once_while_little_else_is_written(ours: Bench) -> None:
    await ours.write(status())
    await ours.others(MANY - 1)
    assert await ours.writer.write(await ours.found(), progress(), patient=True) == 0.0
    assert (await ours.live())["datacenters"] == progress().datacenters


@pytest.mark.looptime
async def test_progress_is_bundled_while_many_others_are_written_and_a_turn_is_not(ours: Bench) -> None:
    await ours.write(status())
    await ours.others(MANY)
    found = await ours.found()
    assert await ours.writer.write(found, progress(), patient=True) == BUNDLED
    turned = (Condition(type="Ready", status="False", reason="Broken"),)
    assert await ours.writer.write(found, status(conditions=turned), patient=True) == 0.0
    assert (await ours.live())["conditions"][0]["status"] == "False"


@pytest.mark.looptime
async def test_progress_is_shown_as_soon_as_the_others_are_done(ours: Bench) -> None:
    await ours.write(status())
    await ours.others(MANY)
    assert await ours.writer.write(await ours.found(), progress(), patient=True) == BUNDLED
    await asyncio.sleep(1.1)
    assert await ours.writer.write(await ours.found(), progress(), patient=True) == 0.0
    assert (await ours.live())["datacenters"] == progress().datacenters


@pytest.mark.looptime
async def test_progress_does_not_wait_for_ever(ours: Bench) -> None:
    await ours.write(status())
    found = await ours.found()
    await ours.others(MANY)
    left = await ours.writer.write(found, progress(), patient=True)
    await asyncio.sleep(left)
    await ours.others(MANY, "still others")
    assert await ours.writer.write(found, progress(), patient=True) == 0.0


@pytest.mark.looptime
async def test_a_datacenter_that_turns_is_progress_as_long_as_the_cluster_does_not_turn(ours: Bench) -> None:
    await ours.write(of("False", "False"))
    await ours.others(MANY)
    found = await ours.found()
    assert await ours.writer.write(found, of("True", "False"), patient=True) == BUNDLED
    assert await ours.writer.write(found, of("True"), patient=True) == BUNDLED
    assert await ours.writer.write(found, of("True", "True", cluster="True"), patient=True) == 0.0
    assert {entry["status"] for entry in (await ours.live())["conditions"]} == {"True"}


@pytest.mark.looptime
async def test_the_first_status_is_progress_unless_it_says_ready(ours: Bench) -> None:
    await ours.others(MANY)
    found = await ours.found()
    assert await ours.writer.write(found, of("False"), patient=True) == BUNDLED
    assert await ours.writer.write(found, of("True", cluster="True"), patient=True) == 0.0
    assert {entry["status"] for entry in (await ours.live())["conditions"]} == {"True"}


async def test_who_is_gone_counts_no_more(ours: Bench) -> None:
    await ours.write(status())
    for uid in await ours.others(MANY):
        ours.writer.forget(uid)
    assert await ours.writer.write(await ours.found(), progress(), patient=True) == 0.0


def passing(said: str = "False", **changed: Any) -> Status:
    """A state that is about to be another."""
    conditions = (Condition(type="Ready", status=said, reason="RollingOut", observed_generation=1),)
    return status(**{"conditions": conditions, "brief": True, **changed})


@pytest.mark.looptime
async def test_a_passing_state_is_skipped_for_the_one_that_follows(ours: Bench) -> None:
    since = len(ours.server.record.writes)
    found = await ours.found()
    assert await ours.writer.write(found, passing(), patient=True) == PASSING
    await asyncio.sleep(PASSING / 2)
    assert await ours.writer.write(found, status(), patient=True) == 0.0
    assert len(ours.server.record.writes) == since + 1
    assert (await ours.live())["conditions"][0]["status"] == "True"


@pytest.mark.looptime
async def test_a_passing_state_that_lasts_is_shown(ours: Bench) -> None:
    found = await ours.found()
    await asyncio.sleep(await ours.writer.write(found, passing(), patient=True))
    assert await ours.writer.write(found, passing(), patient=True) == 0.0
    assert (await ours.live())["conditions"][0]["reason"] == "RollingOut"


async def test_ready_does_not_stand_while_it_is_not_so(ours: Bench) -> None:
    await ours.write(status())
    assert await ours.writer.write(await ours.found(), passing(), patient=True) == 0.0
    assert (await ours.live())["conditions"][0]["status"] == "False"


async def test_a_passing_state_with_something_wrong_is_shown_at_once(ours: Bench) -> None:
    assert await ours.write(passing(error="something"))
