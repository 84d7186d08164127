"""Pods are tried in turn, answers are judged, and errors name the pod and the call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from controller.kube import errors
from controller.management.api import ManagementApi, ManagementApiUnreachable, SchemaDisagreement
from controller.management.pods import Pod
from controller.management.replication import NETWORK_TOPOLOGY, Replication
from controller.management.routes import Call

PODS = [Pod("ns", name, f"10.0.0.{number}") for number, name in enumerate("abc", 1)]
GOOD = {"class": NETWORK_TOPOLOGY, "dc1": "3"}
AGREED = {"version": ["10.0.0.1"]}

Answer = Callable[[Pod, Call], Any]


class Answering:
    """A ``Route`` on which ``answer`` says what comes of each call: JSON, or an error."""

    name = "test"

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.calls: list[tuple[str, str]] = []

    async def send(self, pod: Pod, call: Call, deadline: float) -> bytes:
        self.calls.append((pod.name, str(call)))
        answer = self._answer(pod, call)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else msgspec.json.encode(answer)


def api(*routes: Answering, pods: list[Pod] | None = None) -> ManagementApi:
    return ManagementApi("datacenter dc1 in east", PODS if pods is None else pods, routes)


def of(pods: str, error: Exception, otherwise: Any = GOOD) -> Answering:
    """One that fails for these pods."""
    return Answering(lambda pod, _: error if pod.name in pods else otherwise)


async def test_the_first_pod_that_answers_is_enough() -> None:
    route = of("", errors.ConnectFailed("x"))
    assert await api(route).replication("system_auth") == Replication(NETWORK_TOPOLOGY, {"dc1": 3})
    assert [name for name, _ in route.calls] == ["a"]


@pytest.mark.parametrize(
    "error",
    [
        errors.ServerError(503, "ServiceUnavailable", "error trying to reach service"),
        errors.DeadlineExceeded("no answer"),
        errors.NotFound(404, "NotFound"),
        errors.ConnectFailed("refused"),
    ],
)
async def test_a_pod_that_does_not_answer_gives_way_to_the_next(error: Exception) -> None:
    route = of("ab", error)
    asked = api(route)
    await asked.replication("system_auth")
    await asked.replication("system_traces")
    assert [name for name, _ in route.calls] == ["a", "b", "c", "c"]  # who answered is asked first the next time


async def test_an_error_names_pod_call_and_place() -> None:
    with pytest.raises(ManagementApiUnreachable) as caught:
        await api(of("abc", errors.ConnectFailed("refused"))).replication("system_auth")
    text = str(caught.value)
    assert "datacenter dc1 in east: pod ns/a did not answer to GET /api/v0/ops/keyspace/replication" in text
    assert "ConnectFailed: refused (and 2 more)" in text


async def test_without_a_ready_pod_nobody_is_asked() -> None:
    with pytest.raises(ManagementApiUnreachable, match="no pod is ready"):
        await api(of("", errors.ConnectFailed("x")), pods=[]).agreed()


async def test_all_pods_together_have_a_deadline() -> None:
    async def hang(pod: Pod, call: Call, deadline: float) -> bytes:
        await asyncio.sleep(0)
        asked.append(deadline)
        raise errors.DeadlineExceeded("no answer")

    asked: list[float] = []
    route = of("", errors.ConnectFailed("x"))
    route.send = hang  # type: ignore[method-assign]
    with pytest.raises(ManagementApiUnreachable):
        await api(route).replication("system_auth")
    assert max(asked) <= 20.0


async def test_a_keyspace_that_does_not_exist_is_none() -> None:
    assert await api(of("abc", errors.KindNotFound(404))).replication("dse_perf") is None


@pytest.mark.parametrize("answer", [b"", b"[", b"[1, 2]", b'{"class": 3}', b"\xff" * 10, b"[" * 5000])
async def test_an_answer_that_makes_no_sense_is_an_error(answer: bytes) -> None:
    with pytest.raises(ManagementApiUnreachable, match="cannot be used"):
        await api(Answering(lambda *_: answer)).replication("system_auth")


@pytest.mark.parametrize("error", [errors.ClusterUnavailable("east", "away"), errors.WritesForbidden("no lease")])
async def test_what_concerns_the_cluster_is_no_fault_of_the_pod(error: Exception) -> None:
    with pytest.raises(type(error)):
        await api(of("a", error)).replication("system_auth")


async def test_a_change_is_made_when_the_nodes_agree() -> None:
    route = of("", errors.ConnectFailed("x"), AGREED)
    await api(route).change("system_auth", {"dc1": 3})
    assert [call for _, call in route.calls] == [
        "GET /api/v1/ops/node/schema/versions",
        "POST /api/v0/ops/keyspace/alter",
    ]


async def test_a_change_waits_while_the_nodes_disagree() -> None:
    route = of("", errors.ConnectFailed("x"), {"one": ["10.0.0.1"], "two": ["10.0.0.2"]})
    with pytest.raises(SchemaDisagreement):
        await api(route).change("system_auth", {"dc1": 3})
    assert all(call.startswith("GET") for _, call in route.calls)


async def test_a_change_whose_answer_was_lost_is_not_sent_to_another_node() -> None:
    route = Answering(lambda _, call: AGREED if call.method == "GET" else errors.DeadlineExceeded("no answer"))
    with pytest.raises(ManagementApiUnreachable):
        await api(route).change("system_auth", {"dc1": 3})
    assert [call for _, call in route.calls if call.startswith("POST")] == ["POST /api/v0/ops/keyspace/alter"]


async def test_a_route_that_the_role_does_not_grant_gives_way_for_good() -> None:
    forbidden, other = of("abc", errors.Forbidden(403, "Forbidden")), of("", errors.ConnectFailed("x"))
    asked = api(forbidden, other)
    await asked.replication("system_auth")
    await asked.replication("system_traces")
    assert (len(forbidden.calls), len(other.calls)) == (1, 2)


async def test_a_pods_own_refusal_does_not_change_the_route() -> None:
    refusing, other = of("abc", errors.Forbidden(403)), of("", errors.ConnectFailed("x"))
    with pytest.raises(ManagementApiUnreachable):
        await api(refusing, other).replication("system_auth")
    assert other.calls == []
