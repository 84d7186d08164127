"""What changes in clusters, and of clusters, leads to the items that it concerns, and to no others."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, cast

import msgspec
import pytest

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.cassandra.routing import Router
from controller.change_handlers import TAKE_OVER, ChangeHandlers
from controller.engine.chance import Chance
from controller.engine.store import Delta
from controller.engine.worker import Item
from controller.fleet.cache import WatchSpec
from controller.fleet.cluster import Cluster
from controller.fleet.pace import CLIENT_QPS
from controller.fleet.pool import Moves, Pool
from controller.fleet.state import ClusterState, Reason
from controller.fleet.status import KIND, ClientConfigStatus
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.objects import Object, parse
from controller.kube.resources import SECRETS
from controller.replication.reconcile import ReplicatedSecretReconciler
from tests.unit.fleet.test_pool import config, naming

CONNECTED = ClusterState(True, Reason.CONNECTED)
AWAY = ClusterState(False, Reason.UNREACHABLE, "no answer")


class Route:
    """Stands for what routes changes: the contexts that it was told of."""

    def __init__(self) -> None:
        self.routed: list[tuple[str, str]] = []
        self.revisited: list[str] = []

    def route(self, cluster: Cluster, resource: Any, deltas: list[Delta]) -> None:
        self.routed += [(cluster.context, delta.object.head.name) for delta in deltas]

    def revisit(self, cluster: Cluster) -> None:
        self.revisited.append(cluster.context)


class Shown:
    """Stands for the status of ClientConfigs: one of each cluster."""

    def items(self, cluster: Cluster) -> list[Item]:
        return [Item(KIND, "ns", cluster.context)]


class Scene:
    """A control plane and the ClientConfigs ``east`` and ``west``, by their contexts, and the handlers over them."""

    def __init__(self, *, hot_reload: bool = False, built: bool = True) -> None:
        def cluster(context: str) -> Cluster:
            specs = [] if context else [WatchSpec(CLIENT_CONFIGS)]
            return Cluster(context, specs, ("",), Random(0))

        self.pool = Pool(cluster(""), cluster, lambda credentials, context: None, Chance(Random(0)), ())  # type: ignore[arg-type, return-value]
        if built:
            self.pool.build([config(name, naming(name, f"of-{name}")) for name in ("east", "west")])
        self.clusters, self.secrets = Route(), Route()
        self.moves: list[Moves] = []
        self.handlers = ChangeHandlers(
            self.pool,
            cast(Router, self.clusters),
            cast(ReplicatedSecretReconciler, self.secrets),
            cast(ClientConfigStatus, Shown()),
            self.moves.append,
            hot_reload=hot_reload,
        )

    def cluster(self, context: str) -> Cluster:
        found = self.pool.get(context)
        assert found is not None
        return found

    def queued(self) -> int:
        return self.pool.local.queue.depth

    async def shown(self) -> list[str]:
        """The ClientConfigs in the control plane's queue, which are taken out."""
        queue = self.pool.local.queue
        queue.resume()
        return [(await queue.get()).name for _ in range(queue.depth)]


def called(name: str) -> Object:
    return parse(msgspec.json.encode({"metadata": {"name": name, "namespace": "ns", "uid": name}}))


def new(obj: Object) -> Delta:
    return Delta(None, obj)


async def test_what_changes_is_told_to_all_who_route() -> None:
    scene = Scene()
    scene.handlers.changed(scene.cluster("east"), CASSANDRA_DATACENTERS, [new(called("dc1")), new(called("dc2"))])
    assert scene.clusters.routed == [("east", "dc1"), ("east", "dc2")]
    assert scene.secrets.routed == scene.clusters.routed


async def test_what_an_ended_connection_still_says_concerns_nobody() -> None:
    scene = Scene()
    former = scene.cluster("east")
    scene.pool.follow("ns", "east", None)
    scene.handlers.changed(former, CASSANDRA_DATACENTERS, [new(called("dc1"))])
    scene.handlers.visited(former)
    assert (scene.clusters.routed, scene.clusters.revisited, scene.queued()) == ([], [], 0)


async def test_before_the_client_configs_are_read_only_our_own_kinds_are_routed() -> None:
    scene = Scene(built=False)
    local = scene.pool.local
    scene.handlers.changed(local, K8SSANDRA_CLUSTERS, [new(called("demo"))])
    scene.handlers.changed(local, CLIENT_CONFIGS, [new(config("east", naming("east")))])
    scene.handlers.changed(local, SECRETS, [new(called("of-east"))])
    scene.handlers.visited(local)
    assert (scene.clusters.routed, scene.clusters.revisited, scene.queued()) == ([("", "demo")], [], 0)


@pytest.mark.looptime
async def test_new_credentials_are_shown_when_they_have_had_time_to_be_used() -> None:
    scene = Scene()
    scene.handlers.changed(scene.pool.local, SECRETS, [new(called("of-west")), new(called("another"))])
    assert scene.queued() == 0
    await asyncio.sleep(TAKE_OVER + 0.1)
    assert await scene.shown() == ["west"]
    assert scene.clusters.routed == [("", "of-west"), ("", "another")]


@pytest.mark.looptime
async def test_a_secret_in_a_data_plane_is_nobodys_credentials() -> None:
    scene = Scene()
    scene.handlers.changed(scene.cluster("east"), SECRETS, [new(called("of-west"))])
    await asyncio.sleep(TAKE_OVER + 0.1)
    assert await scene.shown() == []
    assert scene.clusters.routed == [("east", "of-west")]


async def test_a_state_is_visited_once_for_each_change_that_matters() -> None:
    scene = Scene()
    east = scene.cluster("east")
    for state in (CONNECTED, CONNECTED, AWAY):
        east.update(state)
        scene.handlers.visited(east)
        scene.handlers.visited(east)
    assert scene.clusters.revisited == scene.secrets.revisited == ["east", "east"]
    assert await scene.shown() == ["east"]


async def test_a_cluster_that_is_back_wakes_what_waits_for_it_elsewhere() -> None:
    scene = Scene()
    east, west = scene.cluster("east"), scene.cluster("west")
    waiting = Item("K8ssandraCluster", "ns", "demo", "west")
    west.queue.park(waiting, "east", since=west.queue.returns)
    for state, parked in ((AWAY, 1), (CONNECTED, 0)):
        east.update(state)
        scene.handlers.visited(east)
        assert west.queue.parked == parked
    west.queue.resume()
    assert await west.queue.get() == waiting


async def test_a_cluster_that_was_there_all_the_time_wakes_nothing() -> None:
    scene = Scene()
    east, west = scene.cluster("east"), scene.cluster("west")
    east.update(CONNECTED)
    scene.handlers.visited(east)
    west.queue.park(Item("K8ssandraCluster", "ns", "demo", "west"), "east", since=west.queue.returns)
    east.update(msgspec.structs.replace(CONNECTED, note="its credentials end soon"))
    scene.handlers.visited(east)
    assert west.queue.parked == 1
    assert scene.clusters.revisited == ["east", "east"]


async def test_one_that_comes_in_the_place_of_another_is_visited_whatever_that_was_like() -> None:
    scene = Scene(hot_reload=True)
    for _ in range(2):
        east = scene.cluster("east")
        east.update(CONNECTED)
        scene.handlers.visited(east)
        scene.pool.follow("ns", "east", None)
        scene.handlers.gone(east)
        scene.pool.follow("ns", "east", config("east", naming("east")))
    assert scene.clusters.revisited == ["east", "east"] * 2


async def test_what_waits_for_a_cluster_that_has_gone_waits_no_more() -> None:
    scene = Scene()
    former, west = scene.cluster("east"), scene.cluster("west")
    west.queue.park(Item("K8ssandraCluster", "ns", "demo", "west"), "east", since=west.queue.returns)
    scene.pool.follow("ns", "east", None)
    scene.handlers.gone(former)
    assert west.queue.parked == 0
    assert scene.clusters.revisited == scene.secrets.revisited == ["east"]


async def test_a_changed_client_config_moves_clusters_only_with_hot_reload() -> None:
    for hot_reload, contexts in ((False, ["", "east", "west"]), (True, ["", "west", "north"])):
        scene = Scene(hot_reload=hot_reload)
        changed = msgspec.structs.replace(
            config("east", naming("north")), head=msgspec.structs.replace(config("east", {}).head, generation=4)
        )
        scene.handlers.changed(scene.pool.local, CLIENT_CONFIGS, [new(changed)])
        assert [cluster.context for cluster in scene.pool] == contexts
        assert len(scene.moves) == int(hot_reload)
        assert await scene.shown() == ["east"]


@pytest.mark.parametrize("hot_reload", [False, True])
async def test_the_pace_follows_its_annotation_at_once(hot_reload: bool) -> None:
    scene = Scene(hot_reload=hot_reload)
    metadata = {"name": "east", "namespace": "ns", "uid": "east", "generation": 3, "annotations": {CLIENT_QPS: "7"}}
    slower = parse(msgspec.json.encode({"metadata": metadata, "spec": naming("east", "of-east")}))
    scene.handlers.changed(scene.pool.local, CLIENT_CONFIGS, [new(slower)])
    member = scene.pool.member("ns", "east")
    assert member is not None
    assert member.pace.qps == 7.0


async def test_a_deleted_client_config_is_said_to_its_users_or_let_go_of() -> None:
    for hot_reload in (False, True):
        scene = Scene(hot_reload=hot_reload)
        scene.handlers.changed(scene.pool.local, CLIENT_CONFIGS, [Delta(config("east", naming("east")), None)])
        assert (scene.pool.get("east") is None) is hot_reload
        assert scene.clusters.revisited == ([] if hot_reload else ["east"])  # else when its tasks have ended
        assert [member.name for moves in scene.moves for member in moves.ended] == (["east"] if hot_reload else [])


async def test_a_client_config_that_is_being_deleted_is_let_go_of_at_once() -> None:
    scene = Scene(hot_reload=True)
    going = config("east", naming("east"))
    head = msgspec.structs.replace(going.head, deletion_timestamp="2026-01-02T00:00:00Z")
    scene.handlers.changed(scene.pool.local, CLIENT_CONFIGS, [new(msgspec.structs.replace(going, head=head))])
    assert scene.pool.get("east") is None
