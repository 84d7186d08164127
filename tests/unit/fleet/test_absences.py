from __future__ import annotations

from random import Random
from typing import cast

import pytest

from controller.fleet.absences import Absences
from controller.fleet.cache import WatchSpec
from controller.fleet.cluster import Cluster
from controller.fleet.identity import begin_epoch
from controller.fleet.pool import Pool
from controller.kube.resources import CONFIG_MAPS, SECRETS


class Clusters(dict[str, Cluster]):
    """As much of a pool as is asked."""


@pytest.fixture
async def clusters() -> Clusters:
    specs = [WatchSpec(CONFIG_MAPS), WatchSpec(SECRETS)]
    return Clusters({context: Cluster(context, specs, (), Random(1)) for context in ("dc-1", "dc-2")})


def proven(clusters: Clusters) -> Absences:
    absences = Absences(cast(Pool, clusters))
    for cluster in clusters.values():
        absences.add("uid", cluster, cluster.cache.epoch)
    return absences


async def test_what_was_proven_is_believed_of_that_object_only(clusters: Clusters) -> None:
    absences = proven(clusters)
    assert absences.contexts("uid") == {"dc-1", "dc-2"}
    assert absences.contexts("another") == set()


async def test_a_cluster_that_is_another_one_has_proven_nothing(clusters: Clusters) -> None:
    absences = proven(clusters)
    begin_epoch(clusters["dc-1"])
    assert absences.contexts("uid") == {"dc-2"}


async def test_another_history_of_one_kind_voids_the_proof(clusters: Clusters) -> None:
    absences = proven(clusters)
    secrets = clusters["dc-1"].cache.stores[SECRETS][""]
    secrets.replace([], "100")
    secrets.replace([], "90")
    assert absences.contexts("uid") == {"dc-2"}


async def test_a_proof_that_began_before_the_cluster_was_another_one_is_void(clusters: Clusters) -> None:
    absences = Absences(cast(Pool, clusters))
    epoch = clusters["dc-1"].cache.epoch
    begin_epoch(clusters["dc-1"])
    absences.add("uid", clusters["dc-1"], epoch)
    assert absences.contexts("uid") == set()


async def test_a_context_that_nobody_has_is_not_proven_empty(clusters: Clusters) -> None:
    absences = proven(clusters)
    del clusters["dc-1"]
    assert absences.contexts("uid") == {"dc-2"}


async def test_what_is_forgotten_is_not_believed(clusters: Clusters) -> None:
    absences = proven(clusters)
    absences.forget_context("dc-1")
    assert absences.contexts("uid") == {"dc-2"}
    absences.forget("uid")
    assert not absences
