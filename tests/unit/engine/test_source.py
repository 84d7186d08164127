"""The reflector over a real ``Client``, on a transport that follows a script."""

from __future__ import annotations

import asyncio
from random import Random

import msgspec
import pytest

from controller.engine.reflector import Reflector
from controller.engine.source import ResourceSource
from controller.engine.steps import Phase
from controller.engine.store import Store
from controller.kube import errors
from controller.kube.client import Client
from controller.kube.resources import SECRETS
from controller.kube.transport import LineStream, Request, Response
from tests.unit.engine.world import obj

pytestmark = pytest.mark.looptime


class Lines:
    def __init__(self, batches: list[list[bytes]]) -> None:
        self.batches = batches
        self.closed = False

    async def read(self) -> list[bytes]:
        if self.batches:
            return self.batches.pop(0)
        await asyncio.Event().wait()
        return []

    async def close(self) -> None:
        self.closed = True


class ScriptedTransport:
    def __init__(self, *answers: Response | list[list[bytes]]) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.silences: list[float] = []

    async def request(self, request: Request) -> Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        assert isinstance(answer, Response)
        return answer

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        self.requests.append(request)
        self.silences.append(silence)
        answer = self.answers.pop(0)
        return answer if isinstance(answer, Response) else Lines(answer)

    async def close(self) -> None: ...


def line(kind: str, raw: bytes) -> bytes:
    return msgspec.json.encode({"type": kind, "object": msgspec.Raw(raw)})


def end(version: str) -> bytes:
    annotations = {"k8s.io/initial-events-end": "true"}
    return line("BOOKMARK", msgspec.json.encode({"metadata": {"resourceVersion": version, "annotations": annotations}}))


def query(request: Request) -> dict[str, str]:
    return dict(request.query)


async def test_bytes_become_objects_and_a_new_client_is_taken_over() -> None:
    first = ScriptedTransport([[line("ADDED", obj("a", 3).raw)], [end("10"), line("MODIFIED", obj("a", 11).raw)]])
    second = ScriptedTransport([[line("MODIFIED", obj("a", 12).raw)]])
    clients = [Client(first)]
    source = ResourceSource(lambda: clients[-1], SECRETS, "ns", label_selector="ours=yes", metadata_only=True)
    store = Store("secrets", metadata_only=True)
    reflector = Reflector(source, store, rng=Random(1))
    task = asyncio.create_task(reflector.run())
    await asyncio.sleep(1)
    assert store.resource_version == "11"
    clients.append(Client(second))
    reflector.reconnect()
    await asyncio.sleep(1)
    assert store.resource_version == "12"
    task.cancel()

    (opened,) = first.requests
    assert opened.path == "/api/v1/namespaces/ns/secrets"
    asked = query(opened)
    assert 300 <= int(asked.pop("timeoutSeconds")) <= 600
    assert asked == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "labelSelector": "ours=yes",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
    }
    assert ("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1") in opened.headers
    assert first.silences == [90.0]
    assert query(second.requests[0])["resourceVersion"] == "11"


async def test_pages_and_discovery_go_through_the_client() -> None:
    body = b'{"metadata":{"resourceVersion":"10"},"items":[%s]}' % obj("a", 3).raw
    transport = ScriptedTransport(
        Response(status=404, body=b"{}"),
        Response(status=200, body=b'{"resources":[{"name":"secrets"}]}'),
        Response(status=422, body=b"{}"),
        Response(status=200, body=body),
        [],
    )
    client = Client(transport)
    store = Store("secrets")
    reflector = Reflector(ResourceSource(lambda: client, SECRETS), store, rng=Random(1))
    task = asyncio.create_task(reflector.run())
    await asyncio.sleep(100)
    assert (store.size, reflector.state.phase) == (1, Phase.LIVE)
    assert [request.path for request in transport.requests] == [
        "/api/v1/secrets",
        "/api/v1",
        "/api/v1/secrets",
        "/api/v1/secrets",
        "/api/v1/secrets",
    ]
    assert query(transport.requests[3]) == {"limit": "500"}
    assert query(transport.requests[4])["resourceVersion"] == "10"
    task.cancel()


async def test_without_a_client_the_reflector_waits_for_one() -> None:
    transport = ScriptedTransport([[end("10")]])
    clients: list[Client] = []

    def client() -> Client:
        if not clients:
            raise errors.ClusterUnavailable("east", "not connected")
        return clients[0]

    store = Store("secrets")
    reflector = Reflector(ResourceSource(client, SECRETS), store, rng=Random(1))
    task = asyncio.create_task(reflector.run())
    await asyncio.sleep(1000)
    assert reflector.state.phase is Phase.FAILING
    clients.append(Client(transport))
    reflector.reconnect()
    await asyncio.sleep(0.001)
    assert store.synced
    task.cancel()
