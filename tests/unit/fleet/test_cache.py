from __future__ import annotations

from random import Random

import pytest

from controller.engine.store import Delta
from controller.engine.worker import Item
from controller.fleet.cache import Cache, WatchSpec
from controller.fleet.cluster import Cluster
from controller.fleet.state import ClusterState, Reason
from controller.kube.errors import ClusterUnavailable
from controller.kube.objects import Object, parse
from controller.kube.resources import CONFIG_MAPS, PODS, SECRETS, Resource

SPECS = [WatchSpec(CONFIG_MAPS, indexers={"name": lambda obj: [obj.head.name]}), WatchSpec(PODS)]
UP = ClusterState(True, Reason.CONNECTED)
DOWN = ClusterState(False, Reason.UNREACHABLE, "no route")


def obj(namespace: str, name: str, version: int = 1) -> Object:
    text = '{"metadata":{"namespace":"%s","name":"%s","uid":"%s/%s","resourceVersion":"%d"}}'
    return parse((text % (namespace, name, namespace, name, version)).encode())


# ── the cache ───────────────────────────────────────────────────────────────────────────────────────


def test_several_namespaces_are_read_as_one() -> None:
    cache = Cache(SPECS, ("a", "b"))
    for namespace in ("b", "a", "c"):
        cache.write_through(CONFIG_MAPS, obj(namespace, "it"))
    assert cache.get(CONFIG_MAPS, "a", "it") == obj("a", "it")
    assert cache.get(CONFIG_MAPS, "c", "it") is None  # not watched, so not kept
    assert [found.head.namespace for found in cache.objects(CONFIG_MAPS)] == ["a", "b"]
    assert [found.head.namespace for found in cache.by_index(CONFIG_MAPS, "name", "it")] == ["a", "b"]
    assert (cache.covers("a"), cache.covers("c")) == (True, False)


def test_all_namespaces_are_one_store() -> None:
    cache = Cache(SPECS, ())
    cache.write_through(CONFIG_MAPS, obj("anywhere", "it"))
    assert cache.get(CONFIG_MAPS, "anywhere", "it") == obj("anywhere", "it")
    assert cache.covers("anywhere")


def test_a_kind_is_synced_when_all_its_namespaces_are() -> None:
    cache = Cache(SPECS, ("a", "b"))
    cache.stores[CONFIG_MAPS]["a"].replace([], "1")
    assert not cache.synced(CONFIG_MAPS)
    cache.stores[CONFIG_MAPS]["b"].replace([], "1")
    assert cache.synced(CONFIG_MAPS)
    assert cache.unsynced() == [PODS]


def test_answers_about_kinds_that_are_not_cached_go_nowhere() -> None:
    cache = Cache(SPECS, ())
    cache.write_through(SECRETS, obj("a", "it"))
    cache.write_deleted(SECRETS, obj("a", "it").head)


def test_a_deletion_of_ours_is_seen_at_once() -> None:
    cache = Cache(SPECS, ())
    cache.write_through(CONFIG_MAPS, obj("a", "it"))
    cache.write_deleted(CONFIG_MAPS, obj("a", "it").head)
    assert cache.get(CONFIG_MAPS, "a", "it") is None


# ── the cluster ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def cluster() -> Cluster:
    return Cluster("east", SPECS, (), Random(0))


async def test_the_queue_follows_the_state(cluster: Cluster) -> None:
    assert cluster.queue.paused
    for state in (UP, DOWN, UP):
        cluster.update(state)
        assert cluster.queue.paused is not state.usable


async def test_listeners_hear_of_each_change_once(cluster: Cluster) -> None:
    heard: list[ClusterState] = []
    cluster.on_state(lambda changed: heard.append(changed.state.shown))
    for state in (UP, UP, DOWN, DOWN, UP):
        cluster.update(state)
    assert heard == [UP, DOWN, UP]


async def test_what_was_parked_runs_when_the_cluster_is_back(cluster: Cluster) -> None:
    cluster.update(UP)
    cluster.update(DOWN)
    cluster.queue.park(Item("Kind", "ns", "name", "east"), "east", since=cluster.queue.returns)
    cluster.update(UP)
    assert (cluster.queue.parked, cluster.queue.depth) == (0, 1)


async def test_without_a_connection_the_client_is_an_error_that_says_why(cluster: Cluster) -> None:
    with pytest.raises(ClusterUnavailable, match=r"^east: not connected yet$"):
        _ = cluster.client
    cluster.disconnect(DOWN)
    with pytest.raises(ClusterUnavailable, match=r"^east: no route$") as caught:
        _ = cluster.client
    assert caught.value.context == "east"


async def test_changes_come_with_their_cluster_and_kind(cluster: Cluster) -> None:
    heard: list[tuple[Cluster, Resource, int]] = []

    def listener(source: Cluster, resource: Resource, deltas: list[Delta]) -> None:
        heard.append((source, resource, len(deltas)))

    cluster.on_change(listener)
    cluster.cache.write_through(PODS, obj("a", "it"))
    assert heard == [(cluster, PODS, 1)]
