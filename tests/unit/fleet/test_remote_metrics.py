"""Every metric is documented, bounded in its labels, and gone with its ClientConfig."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from controller.definitions import definitions
from controller.fleet.state import Phase
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.resources import CRDS
from controller.observability.metrics import PREFIX, Metrics
from tests.unit.fleet.world import FIRST, NAMESPACE, SECOND, Fleet, eventually
from tests.unit.fleet.world import fleet as make_fleet
from tests.unit.test_supervisor import Run, kubeconfig, running, two_members

pytestmark = pytest.mark.looptime

TABLE = Path(__file__).parents[3] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<type>\w+) \|(?P<labels>[^|]*)\| \S", re.MULTILINE)

# What remote_clusters.md asks for, under the names that it has here.
WANTED = {
    "remote_cluster_state": ["context", "state"],
    "remote_cluster_up": ["context"],
    "remote_cluster_last_success_timestamp_seconds": ["context"],
    "remote_cluster_probe_duration_seconds": ["context"],
    "remote_cluster_probe_failures": ["class", "context"],
    "remote_cluster_state_transitions": ["context", "from", "to"],
    "remote_cluster_connect_attempts": ["context", "result"],
    "remote_cluster_next_retry_timestamp_seconds": ["context"],
    "remote_cluster_throttle_wait_seconds": ["context"],
    "remote_cluster_server_throttled": ["context"],
    "remote_cluster_credentials_expiry_timestamp_seconds": ["context"],
    "watch_streams": ["context", "resource", "state"],
    "watch_restarts": ["context", "reason", "resource"],
    "watch_last_event_age_seconds": ["context", "resource"],
    "relists": ["context", "reason", "resource"],
    "initial_sync_seconds": ["context", "resource"],
    "api_requests": ["code", "context", "resource", "verb"],
    "api_request_seconds": ["context", "verb"],
    "queue_parked": ["context"],
    "inflight_reconciles": ["context"],
}


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with make_fleet() as made:
        for name, definition in definitions().items():
            if not name.startswith("clientconfigs"):
                await made.client.create(CRDS, "", definition)
        yield made


async def troubled(fleet: Fleet) -> Run:
    """A controller with a healthy and a lost cluster."""
    await two_members(fleet)
    run = await running(fleet)
    await run.until("east", "CRDMissing")
    await run.until("west", "CRDMissing")
    fleet.links[SECOND].refuse()
    await run.until("west", "Unreachable")
    return run


def families(run: Run) -> dict[str, Metric]:
    found = text_string_to_metric_families(b"".join(run.controller.metrics.render()).decode())
    return {
        family.name.removeprefix(PREFIX): family
        for family in found
        if family.name.startswith(PREFIX) and not family.name.endswith("_created")  # the client library's own
    }


def labels_of(family: Metric) -> list[str]:
    return sorted({label for sample in family.samples for label in sample.labels} - {"le"})


async def test_every_metric_that_is_asked_for_is_there(fleet: Fleet) -> None:
    found = families(await troubled(fleet))
    assert set(WANTED) - set(found) == set()
    # Labels are known of those that have something to say in this world.
    assert {name: WANTED[name] for name in WANTED if found[name].samples} == {
        name: labels_of(found[name]) for name in WANTED if found[name].samples
    }


async def test_every_metric_is_documented_and_nothing_else(fleet: Fleet) -> None:
    found = families(await troubled(fleet))
    documented = {row["name"]: row for row in ROW.finditer(TABLE.read_text())}
    names = {f"{name}_total" if family.type == "counter" else name: family for name, family in found.items()}
    assert set(documented) == set(names)
    assert {name: row["type"] for name, row in documented.items()} == {
        name: family.type for name, family in names.items()
    }
    for name, family in names.items():
        if family.samples:
            assert sorted(re.findall(r"`(\w+)`", documented[name]["labels"])) == labels_of(family)


async def test_the_phase_is_one_of_all(fleet: Fleet) -> None:
    run = await troubled(fleet)
    for context, phase in (("east", Phase.READY), ("west", Phase.UNREACHABLE)):
        samples = [s for s in families(run)["remote_cluster_state"].samples if s.labels["context"] == context]
        assert {s.labels["state"]: s.value for s in samples} == {each: float(each is phase) for each in Phase}


async def test_what_happened_to_a_cluster_is_counted(fleet: Fleet) -> None:
    run = await troubled(fleet)
    moves = run.metric("remote_cluster_state_transitions_total", context="west", to="Unreachable")
    assert moves == 1.0
    assert (run.metric("remote_cluster_probe_failures_total", context="west", **{"class": "connect_failed"}) or 0) >= 3
    assert (run.metric("remote_cluster_connect_attempts_total", context="east", result="ok") or 0) >= 1
    assert run.metric("remote_cluster_next_retry_timestamp_seconds", context="west") is not None
    assert run.metric("remote_cluster_next_retry_timestamp_seconds", context="east") is None
    assert run.metric("watch_streams", context="east", resource="secrets", state="live") == 1.0
    assert run.metric("watch_streams", context="east", resource="pods", state="live") == 1.0
    age = run.metric("watch_last_event_age_seconds", context="east", resource="secrets")
    assert age is not None
    assert 0.0 <= age < 90.0
    first = run.metric("initial_sync_seconds", context="east", resource="secrets")
    assert first is not None
    assert 0.0 <= first < 5.0
    assert run.metric("initial_sync_seconds", context="", resource="secrets") is not None


async def test_the_end_of_credentials_is_a_metric(fleet: Fleet) -> None:
    await two_members(fleet)
    run = await running(fleet)
    await run.until("east", "CRDMissing")
    assert run.metric("remote_cluster_credentials_expiry_timestamp_seconds", context="east") is None
    token = await fleet.token(FIRST)
    await fleet.put_secret(kubeconfig(fleet, FIRST, "east", token), "east")
    await eventually(
        lambda: run.metric("remote_cluster_credentials_expire_soon", context="east") == 0.0, "the end is known"
    )
    ends = run.metric("remote_cluster_credentials_expiry_timestamp_seconds", context="east")
    await asyncio.sleep(5)
    found = (await fleet.client.get(CLIENT_CONFIGS, NAMESPACE, "east")).decode(dict)
    assert datetime.fromisoformat(found["status"]["credentialsExpireAt"]).timestamp() == ends


def test_a_server_cannot_make_up_codes() -> None:
    metrics = Metrics()
    observe = metrics.observer("east")
    for code in range(100, 1000):
        observe("get", "pods", str(code), 0.01)
    text = b"".join(metrics.render()).decode()
    assert text.count('api_requests_total{code="') < 80
    assert 'code="2xx"' in text
    assert 'code="404"' in text


def test_a_context_that_was_forgotten_comes_back_only_with_a_new_client() -> None:
    metrics = Metrics()
    late = metrics.observer("east")
    late("get", "pods", "200", 0.01)
    metrics.observer("west")("get", "pods", "200", 0.01)
    metrics.forget("east")
    late("list", "pods", "ConnectionLost", 0.01)
    text = b"".join(metrics.render()).decode()
    assert ('context="east"' in text, 'context="west"' in text) == (False, True)
    metrics.observer("east")("get", "pods", "200", 0.01)
    assert 'context="east"' in b"".join(metrics.render()).decode()
