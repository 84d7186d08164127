"""Which changes of a ReplicatedSecret are looked at where: its copies are made in their own contexts."""

from __future__ import annotations

from typing import Any, cast

import pytest

from controller.engine.clock import SystemClock
from controller.engine.events import EventRecorder
from controller.engine.store import Delta
from controller.replication.contents import Contents
from controller.replication.reconcile import ReplicatedSecretReconciler
from controller.replication.types import EXISTING, FINALIZER, KEEP, REPLICATED_SECRETS
from tests.unit.cassandra.caches import Fleet, bare, stored

TARGETS = [{"k8sContextName": "kind-dc1"}]
SPEC = {"selector": {"matchLabels": {"app": "x"}}, "replicationTargets": TARGETS}
EVERYWHERE = ["", "kind-dc1"]


def replicated(spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **metadata: Any) -> Any:
    obj = bare(REPLICATED_SECRETS, "rs", spec=spec or SPEC, status=status or {})
    return stored(obj, finalizers=[FINALIZER], **metadata)


def queued(old: Any, new: Any) -> list[str]:
    """The contexts with an item after a change from ``old`` to ``new``."""
    fleet = Fleet("kind-dc1", "kind-dc2")
    local = fleet.cluster("")
    nobody = cast(EventRecorder, None)  # routing tells nobody anything
    reconciler = ReplicatedSecretReconciler(fleet.pool, nobody, SystemClock(), Contents(local))
    reconciler.route(local, REPLICATED_SECRETS, [Delta(old, new)])
    return [cluster.context for cluster in fleet.pool if vars(cluster.queue)["_dirty"]]


async def test_a_change_of_the_status_alone_concerns_the_control_plane() -> None:
    assert queued(replicated(), replicated(status={"conditions": []}, resourceVersion="6")) == [""]


@pytest.mark.parametrize(
    "new",
    [
        replicated({**SPEC, "selector": {"matchLabels": {"app": "y"}}}),
        replicated(annotations={EXISTING: KEEP}),
        replicated(deletionTimestamp="2026-11-23T00:00:00Z"),
        replicated(uid="another"),
        None,
    ],
)
async def test_whatever_copies_depend_on_concerns_their_contexts(new: Any) -> None:
    assert queued(replicated(), new) == EVERYWHERE


async def test_a_new_one_concerns_all_contexts_of_its() -> None:
    assert queued(None, replicated()) == EVERYWHERE


async def test_a_target_that_is_left_is_looked_at_once_more() -> None:
    elsewhere = replicated({**SPEC, "replicationTargets": [{"k8sContextName": "kind-dc2"}]})
    assert queued(replicated(), elsewhere) == ["", "kind-dc1", "kind-dc2"]
