from __future__ import annotations

from random import Random

import msgspec
import pytest
import trustme

from controller.fleet.cache import WatchSpec
from controller.fleet.cluster import Cluster
from controller.fleet.evidence import WAY_OUT, Evidence
from controller.fleet.state import ClusterState, Reason
from controller.kube import objects
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS, SECRETS
from controller.kube.watch import Change

OURS, THEIRS, NEXT = (trustme.CA().cert_pem.bytes() for _ in range(3))


class World:
    """A cluster whose main kind are ConfigMaps, and what speaks for its being the same."""

    def __init__(self) -> None:
        self.authority = OURS
        self.cluster = Cluster("dc-1", [WatchSpec(CONFIG_MAPS), WatchSpec(SECRETS)], (), Random(1))
        self.evidence = Evidence(self.cluster, lambda: self.authority)
        self.store = self.cluster.cache.stores[CONFIG_MAPS][""]
        self._version = 10

    def connect(self, uid: str = "") -> None:
        self.cluster.update(ClusterState(False, Reason.CONNECTING))
        self.cluster.update(ClusterState(True, Reason.CONNECTED, cluster_uid=uid))

    def list(self, *found: Object) -> None:
        self._version += 1
        self.store.replace(found, str(self._version))

    def changes(self, kind: str, obj: Object) -> None:
        self.store.apply([Change(kind, obj)])  # type: ignore[arg-type]

    def datacenter(self, uid: str, *, going: bool = False) -> Object:
        self._version += 1
        metadata = {"name": "dc1", "namespace": "ns", "uid": uid, "resourceVersion": str(self._version)}
        if going:
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        return objects.parse(msgspec.json.encode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))


@pytest.fixture
async def world() -> World:
    made = World()
    made.connect()
    made.list(made.datacenter("one"))
    return made


GONE = f"ConfigMap ns/dc1 with UID one is gone without having been deleted; {WAY_OUT}"
OTHER = f"ConfigMap ns/dc1 has UID two, recorded was one; {WAY_OUT}"
AUTHORITY = f"its certificate authority is not the one of the first connection; {WAY_OUT}"


async def test_nothing_speaks_against_a_cluster_that_stays_as_it_was(world: World) -> None:
    world.connect()
    world.list(world.datacenter("one"))
    assert world.evidence.against() is None


async def test_another_authority_speaks_against_it_until_the_first_is_back(world: World) -> None:
    world.authority = THEIRS
    world.connect()
    assert world.evidence.against() == AUTHORITY
    world.authority = OURS
    world.connect()
    assert world.evidence.against() is None


async def test_an_authority_may_be_exchanged_by_way_of_a_bundle(world: World) -> None:
    for world.authority in (OURS + NEXT, NEXT):
        world.connect()
        assert world.evidence.against() is None
    world.authority = OURS
    world.connect()
    assert world.evidence.against() == AUTHORITY


async def test_a_datacenter_with_another_uid_speaks_against_it(world: World) -> None:
    world.list(world.datacenter("two"))
    assert world.evidence.against() == OTHER


async def test_a_datacenter_that_is_missing_speaks_against_it(world: World) -> None:
    world.list()
    assert world.evidence.against() == GONE


async def test_a_datacenter_that_we_made_anew_is_the_recorded_one(world: World) -> None:
    world.evidence.created(CONFIG_MAPS, world.datacenter("two"))
    world.list(world.datacenter("two"))
    assert world.evidence.against() is None


async def test_a_datacenter_that_was_deleted_before_our_eyes_is_missed_by_nobody(world: World) -> None:
    world.changes("MODIFIED", world.datacenter("one", going=True))
    world.changes("DELETED", world.datacenter("one", going=True))
    assert world.evidence.against() is None
    world.changes("ADDED", world.datacenter("two"))
    assert world.evidence.against() is None


async def test_a_datacenter_that_we_deleted_is_missed_by_nobody(world: World) -> None:
    world.evidence.removed(CONFIG_MAPS, world.datacenter("one"))
    world.list()
    assert world.evidence.against() is None


async def test_objects_of_other_kinds_are_not_recorded(world: World) -> None:
    world.evidence.created(SECRETS, world.datacenter("two"))
    assert world.evidence.against() is None


async def test_a_cluster_that_was_accepted_anew_is_recorded_anew(world: World) -> None:
    world.connect("first")
    world.authority = THEIRS
    world.connect("second")
    world.list(world.datacenter("two"))
    assert world.evidence.against() is None
