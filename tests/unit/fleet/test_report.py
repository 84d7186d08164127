from __future__ import annotations

import asyncio
from random import Random

import pytest
from structlog.testing import capture_logs

from controller.fleet.cluster import Cluster
from controller.fleet.counters import ConnectionCounters
from controller.fleet.report import REMIND_INTERVAL, Report
from controller.fleet.state import ClusterState, Phase, Reason
from controller.fleet.way import Answer
from controller.kube.errors import ConnectFailed, Forbidden, KubeError, TLSFailed, Unauthorized

pytestmark = pytest.mark.looptime

REFUSED = ConnectFailed("10.0.0.1:6443: connection refused")
WRONG_CA = TLSFailed("10.0.0.1:6443: certificate verify failed")
UNKNOWN_USER, FORBIDDEN = Unauthorized(401), Forbidden(403, "Forbidden", "no")
BAD = ClusterState(False, Reason.KUBECONFIG_MALFORMED, "the kubeconfig is no YAML")


class Told:
    """A report and the cluster that it is about."""

    def __init__(self) -> None:
        self.cluster = Cluster("east", [], (), Random(0))
        self.counters = ConnectionCounters()
        self.report = Report("ns/east", self.cluster, self.counters)

    def say(self, phase: Phase, *failures: KubeError, connected: bool = True) -> tuple[Phase, Reason, str]:
        for failure in failures:
            self.report.lost(failure)
        state = self.report.publish(phase, connected=connected)
        return self.cluster.state.phase, state.reason, state.message


@pytest.fixture
async def told() -> Told:
    return Told()


async def test_a_loss_is_told_with_its_cause_and_way_out(told: Told) -> None:
    assert told.say(Phase.UNREACHABLE, REFUSED) == (
        Phase.UNREACHABLE,
        Reason.UNREACHABLE,
        "ClientConfig ns/east: ConnectFailed: 10.0.0.1:6443: connection refused",
    )
    phase, reason, message = told.say(Phase.UNREACHABLE, WRONG_CA)
    assert (phase, reason) == (Phase.UNREACHABLE, Reason.TLS_ERROR)
    assert "compare the kubeconfig's CA" in message


async def test_of_several_sorts_of_failures_the_confirmed_one_is_told(told: Told) -> None:
    assert told.say(Phase.UNREACHABLE, REFUSED, UNKNOWN_USER)[1:] == (
        Reason.UNREACHABLE,
        "ClientConfig ns/east: ConnectFailed: 10.0.0.1:6443: connection refused",
    )
    assert told.say(Phase.AUTH_FAILED)[1] is Reason.UNAUTHORIZED


async def test_when_none_is_confirmed_it_is_only_lost(told: Told) -> None:
    phase, reason, message = told.say(Phase.UNREACHABLE, UNKNOWN_USER, FORBIDDEN, UNKNOWN_USER)
    assert (phase, reason) == (Phase.UNREACHABLE, Reason.UNREACHABLE)
    assert "(401)" in message  # the last one


async def test_a_cluster_in_use_is_told_with_what_is_known_of_it(told: Told) -> None:
    assert told.say(Phase.READY) == (Phase.READY, Reason.CONNECTED, "connected")
    identity = ClusterState(True, Reason.CONNECTED, cluster_uid="u-1", note="IdentityUnverified: no right")
    assert not told.report.learn(Answer("v1.36.0", identity))
    message = "connected, Kubernetes v1.36.0; IdentityUnverified: no right"
    for phase in (Phase.SUSPECT, Phase.READY):
        assert told.say(phase) == (phase, Reason.CONNECTED, message)
        assert (told.cluster.state.cluster_uid, told.cluster.state.server_version) == ("u-1", "v1.36.0")
    assert not told.report.learn(Answer(None))  # it had no time to say
    assert told.say(Phase.READY)[2] == message


async def test_another_uid_is_another_cluster(told: Told) -> None:
    def learn(uid: str) -> bool:
        return told.report.learn(Answer("", ClusterState(True, Reason.CONNECTED, cluster_uid=uid)))

    assert [learn("u-1"), learn("u-1"), learn(""), learn("u-2"), learn("u-2")] == [False, False, False, True, False]


async def test_a_secret_that_is_no_good_is_told_beside_what_is_in_use_and_instead_of_nothing(told: Told) -> None:
    told.report.problem = BAD
    message = "the last good credentials are still in use; the kubeconfig is no YAML"
    assert told.say(Phase.READY)[1:] == (Reason.ROTATION_FAILED, message)
    assert told.say(Phase.UNREACHABLE, REFUSED) == (Phase.UNREACHABLE, BAD.reason, BAD.message)
    assert told.say(Phase.CONFIG_INVALID, connected=False) == (Phase.CONFIG_INVALID, BAD.reason, BAD.message)


async def test_what_was_forgotten_is_told_no_more(told: Told) -> None:
    told.say(Phase.AUTH_FAILED, UNKNOWN_USER)
    told.report.forget()
    assert told.say(Phase.UNREACHABLE, REFUSED, UNKNOWN_USER)[1] is Reason.UNREACHABLE
    assert told.say(Phase.CONNECTING) == (Phase.CONNECTING, Reason.CONNECTING, "ClientConfig ns/east: connecting")


async def test_each_change_of_phase_is_counted_and_logged_once_and_a_loss_once_a_minute(told: Told) -> None:
    with capture_logs() as logs:
        told.say(Phase.READY)
        told.say(Phase.READY)
        told.say(Phase.UNREACHABLE, REFUSED)
        for _ in range(150):
            await asyncio.sleep(1.0)
            told.say(Phase.UNREACHABLE, REFUSED)
        await asyncio.sleep(REMIND_INTERVAL)
        told.say(Phase.READY)
        await asyncio.sleep(2 * REMIND_INTERVAL)
        told.say(Phase.READY)
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("cluster is Ready", "info"),
        ("cluster is Unreachable", "warning"),
        ("cluster is still Unreachable", "warning"),
        ("cluster is still Unreachable", "warning"),
        ("cluster is Ready", "info"),
    ]
    assert told.counters.transitions == {
        ("Unknown", "Ready"): 1,
        ("Ready", "Unreachable"): 1,
        ("Unreachable", "Ready"): 1,
    }
