"""One embedded server with a clock that stands still until a test moves it."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from controller.kube.resources import Resource
from controller.kube.transport import Request, Response
from controller.sandbox.apiserver import ApiServer, InProcessTransport

Json = dict[str, Any]

THINGS = Resource("example.com", "v1", "Thing", "things")


class SetClock:
    """A wall clock that shows what it is told to."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def advance(self, **by: float) -> None:
        self.moment += timedelta(**by)


class Asker:
    """Requests in short, synchronously: the core has no I/O."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.token: str | None = server.admin_token

    def __call__(
        self, method: str, path: str, body: Any = None, *, content: str = "application/json", **query: str
    ) -> Response:
        request = Request(
            method=method,
            path=path,
            query=tuple(query.items()),
            headers=(("content-type", content), ("user-agent", "test/1")),
            body=b"" if body is None else json.dumps(body).encode(),
        )
        answer = self.server.handle(request, token=self.token)
        assert isinstance(answer, Response)
        return answer

    def ok(self, *args: Any, **kwargs: Any) -> Json:
        """The body of a success."""
        answer = self(*args, **kwargs)
        assert answer.status < 300, answer.body
        found: Json = json.loads(answer.body)
        return found

    def merge(self, path: str, patch: Json, **query: str) -> Json:
        """A merge patch."""
        return self.ok("PATCH", path, patch, content="application/merge-patch+json", **query)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def server(clock: SetClock) -> ApiServer:
    return ApiServer(clock=clock, rng=random.Random(7), name="under-test")


@pytest.fixture
def ask(server: ApiServer) -> Asker:
    return Asker(server)


@pytest_asyncio.fixture
async def transport(server: ApiServer) -> AsyncIterator[InProcessTransport]:
    opened = InProcessTransport(server, server.admin_token)
    yield opened
    await opened.close()


@pytest.fixture
def things(ask: Asker) -> str:
    """The path of a custom kind's collection in namespace default."""
    ask.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", thing_crd())
    return THINGS.path("default")


def thing_crd(**version: Any) -> Json:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {"size": {"type": "integer"}, "mode": {"type": "string", "default": "plain"}},
            },
            "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
        },
    }
    served = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"]},
            "versions": [served | version],
        },
    }


def thing(name: str, **rest: Any) -> Json:
    metadata = {"name": name} | rest.pop("metadata", {})
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": metadata, **rest}


def owned_by(owner: Json, **fields: Any) -> Json:
    """``metadata`` that names an owner."""
    metadata = owner["metadata"]
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    return {"ownerReferences": [reference | fields]}
