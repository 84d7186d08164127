from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec
import pytest

from controller.engine.events import SENT_AT_ONCE, SENT_PER_SECOND, EventRecorder, Reference
from controller.kube import errors
from controller.kube.objects import Object, parse

pytestmark = pytest.mark.looptime

ABOUT = Reference("config.k8ssandra.io/v1beta1", "ClientConfig", "ns", "dc-2", "uid-1")


class FixedClock:
    moment = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


class Server:
    """Keeps what was created and patched; raises ``failures`` first."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.patched: list[tuple[str, dict[str, Any]]] = []
        self.failures: list[Exception] = []
        self.calls = 0

    async def create(self, resource: object, namespace: str, obj: dict[str, Any], *, field_manager: str = "") -> Object:
        self._fail()
        self.created.append(obj)
        return parse(msgspec.json.encode({"metadata": {"name": obj["metadata"]["name"], "namespace": namespace}}))

    async def patch(self, resource: object, namespace: str, name: str, patch: dict[str, Any], *, kind: str) -> Object:
        self._fail()
        self.patched.append((name, patch))
        return parse(msgspec.json.encode({"metadata": {"name": name, "namespace": namespace}}))

    def _fail(self) -> None:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def recorder(server: Server) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(server, "k8ssandra-controller", FixedClock(), rng=Random(1), capacity=100)
    task = asyncio.create_task(recorder.run())
    yield recorder
    assert not task.done()
    task.cancel()


async def test_an_event_says_what_happened_to_which_object(recorder: EventRecorder, server: Server) -> None:
    recorder.record(ABOUT, "Warning", "SecretMissing", "Secret dc-2-kubeconfig does not exist")
    await recorder.idle()
    (event,) = server.created
    name = event["metadata"].pop("name")
    assert name.startswith("dc-2.")
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "ns"},
        "involvedObject": {
            "apiVersion": "config.k8ssandra.io/v1beta1",
            "kind": "ClientConfig",
            "namespace": "ns",
            "name": "dc-2",
            "uid": "uid-1",
        },
        "type": "Warning",
        "reason": "SecretMissing",
        "message": "Secret dc-2-kubeconfig does not exist",
        "count": 1,
        "firstTimestamp": "2026-11-23T12:00:00Z",
        "lastTimestamp": "2026-11-23T12:00:00Z",
        "source": {"component": "k8ssandra-controller"},
        "reportingComponent": "k8ssandra-controller",
        "reportingInstance": "k8ssandra-controller",
    }


async def test_the_same_event_again_raises_the_count(recorder: EventRecorder, server: Server) -> None:
    for _ in range(3):
        recorder.record(ABOUT, "Normal", "Ready", "is ready")
        await recorder.idle()
    name = server.created[0]["metadata"]["name"]
    assert len(server.created) == 1
    assert [(name, 2), (name, 3)] == [(patched, patch["count"]) for patched, patch in server.patched]


async def test_what_happens_often_before_it_is_sent_is_sent_once(recorder: EventRecorder, server: Server) -> None:
    for _ in range(500):
        recorder.record(ABOUT, "Normal", "Ready", "is ready")
    await recorder.idle()
    assert [event["count"] for event in server.created] == [500]
    assert server.calls == 1


@pytest.mark.parametrize(
    "other",
    [
        (msgspec.structs.replace(ABOUT, uid="uid-2"), "Normal", "Ready", "is ready"),
        (ABOUT, "Warning", "Ready", "is ready"),
        (ABOUT, "Normal", "Other", "is ready"),
        (ABOUT, "Normal", "Ready", "differs"),
    ],
    ids=["object", "type", "reason", "message"],
)
async def test_events_that_differ_are_events_of_their_own(recorder: EventRecorder, server: Server, other: Any) -> None:
    recorder.record(ABOUT, "Normal", "Ready", "is ready")
    recorder.record(*other)
    await recorder.idle()
    assert len({event["metadata"]["name"] for event in server.created}) == 2


async def test_an_event_whose_time_is_over_begins_anew(recorder: EventRecorder, server: Server) -> None:
    recorder.record(ABOUT, "Normal", "Ready", "is ready")
    await recorder.idle()
    server.failures = [errors.NotFound(404, "NotFound")]
    recorder.record(ABOUT, "Normal", "Ready", "is ready")
    await recorder.idle()
    assert [event["count"] for event in server.created] == [1, 1]


async def test_one_object_may_send_25_at_once_and_then_one_in_five_minutes(
    recorder: EventRecorder, server: Server
) -> None:
    for number in range(40):
        recorder.record(ABOUT, "Normal", "Flood", str(number))
    await recorder.idle()
    assert (len(server.created), recorder.dropped) == (25, 15)
    await asyncio.sleep(301)
    recorder.record(ABOUT, "Normal", "Flood", "later")
    recorder.record(ABOUT, "Normal", "Flood", "too soon")
    await recorder.idle()
    assert (len(server.created), recorder.dropped) == (26, 16)


async def test_a_flood_about_one_object_does_not_silence_another(recorder: EventRecorder, server: Server) -> None:
    for number in range(40):
        recorder.record(ABOUT, "Normal", "Flood", str(number))
    recorder.record(msgspec.structs.replace(ABOUT, name="dc-3", uid="uid-3"), "Normal", "Ready", "is ready")
    await recorder.idle()
    assert "dc-3" in [event["involvedObject"]["name"] for event in server.created]


async def test_what_does_not_fit_the_queue_is_dropped_and_counted(server: Server) -> None:
    recorder = EventRecorder(server, "c", FixedClock(), rng=Random(1), capacity=3)  # nobody sends
    for number in range(5):
        recorder.record(msgspec.structs.replace(ABOUT, uid=str(number)), "Normal", "Ready", "x")
    assert recorder.dropped == 2


@pytest.mark.parametrize("message", ["x" * 5000, "é" * 5000, "\N{GRINNING FACE}" * 5000])
async def test_a_long_message_is_cut_to_one_kibibyte(recorder: EventRecorder, server: Server, message: str) -> None:
    recorder.record(ABOUT, "Normal", "Ready", message)
    await recorder.idle()
    sent = server.created[0]["message"]
    assert 1000 < len(sent.encode()) <= 1024
    assert sent.endswith("…")


async def test_control_characters_are_escaped(recorder: EventRecorder, server: Server) -> None:
    recorder.record(ABOUT, "Normal", "Ready", "line\nbreak\x1b[31m")
    await recorder.idle()
    assert server.created[0]["message"] == "line\\nbreak\\x1b[31m"


async def test_names_fit_whatever_the_object_is_called(recorder: EventRecorder, server: Server) -> None:
    recorder.record(msgspec.structs.replace(ABOUT, name="a" * 230 + "." + "b" * 22), "Normal", "Ready", "x")
    await recorder.idle()
    name = server.created[0]["metadata"]["name"]
    assert len(name) <= 253
    assert ".." not in name


async def test_events_about_objects_without_namespace_belong_to_default(
    recorder: EventRecorder, server: Server
) -> None:
    recorder.record(msgspec.structs.replace(ABOUT, namespace=""), "Normal", "Ready", "x")
    await recorder.idle()
    assert server.created[0]["metadata"]["namespace"] == "default"
    assert "namespace" not in server.created[0]["involvedObject"]


@pytest.mark.parametrize(
    "error",
    [errors.ConnectFailed("refused"), errors.ServerError(500), errors.AlreadyExists(409, "AlreadyExists")],
    ids=lambda error: type(error).__name__,
)
async def test_passing_trouble_is_tried_again(recorder: EventRecorder, server: Server, error: Exception) -> None:
    server.failures = [error, error]
    recorder.record(ABOUT, "Normal", "Ready", "x")
    await recorder.idle()
    assert (len(server.created), recorder.sent, recorder.dropped) == (1, 1, 0)


async def test_retry_after_is_obeyed(recorder: EventRecorder, server: Server) -> None:
    server.failures = [errors.TooManyRequests(429, "", "", 9.0)]
    recorder.record(ABOUT, "Normal", "Ready", "x")
    await recorder.idle()
    assert asyncio.get_running_loop().time() == 9.0


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (errors.Forbidden(403), 1),
        (errors.WritesForbidden("no lease"), 1),
        (ValueError("defect"), 1),
        (errors.ConnectFailed("refused"), 3),
        (errors.AlreadyExists(409), 3),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_lasting_trouble_costs_the_event_and_nothing_else(
    recorder: EventRecorder, server: Server, error: Exception, calls: int
) -> None:
    server.failures = [error] * calls
    recorder.record(ABOUT, "Normal", "Lost", "x")
    await recorder.idle()
    assert (server.calls, recorder.dropped) == (calls, 1)
    recorder.record(ABOUT, "Normal", "Ready", "x")
    await recorder.idle()
    assert [event["reason"] for event in server.created] == ["Ready"]


async def test_recording_never_waits_for_a_server_that_hangs() -> None:
    class Hanging(Server):
        async def create(self, *_: Any, **__: Any) -> Object:
            await asyncio.Event().wait()
            raise AssertionError

    recorder = EventRecorder(Hanging(), "c", FixedClock(), rng=Random(1))
    task = asyncio.create_task(recorder.run())
    for number in range(10):
        recorder.record(ABOUT, "Normal", "Ready", str(number))
        await asyncio.sleep(0)
    assert asyncio.get_running_loop().time() == 0.0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_flood_of_events_goes_out_slowly_and_warnings_go_first(server: Server, recorder: EventRecorder) -> None:
    for number in range(45):
        about = msgspec.structs.replace(ABOUT, uid=f"uid-{number}")
        recorder.record(about, "Normal", "Fine", "all is well")
    recorder.record(ABOUT, "Warning", "Broken", "something is wrong")
    started = asyncio.get_running_loop().time()
    await recorder.idle()
    assert asyncio.get_running_loop().time() - started == pytest.approx((46 - SENT_AT_ONCE) / SENT_PER_SECOND)
    assert [event["reason"] for event in server.created] == ["Broken"] + ["Fine"] * 45
