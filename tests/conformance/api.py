"""A bare way to speak to an API server: every call gives the status and the body, whatever they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Literal

import msgspec

from controller.kube.errors import ConnectionLost
from controller.kube.resources import Resource
from controller.kube.transport import LineStream, Request, Response, Transport

Json = dict[str, Any]

PATCHES: Final = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
DEADLINE: Final = 30.0  # s for whatever a server does in its own time
POLL: Final = 0.05  # s between two looks at what no watch tells of
QUIET: Final = 120.0  # s; longer than any test, so a test's own timeout is what ends it


class Answer(msgspec.Struct, frozen=True):
    """The status, the decoded body (text when it is no JSON) and the headers of one response."""

    status: int
    body: Any
    headers: Mapping[str, str]


def answer(response: Response) -> Answer:
    try:
        body = msgspec.json.decode(response.body) if response.body else None
    except msgspec.DecodeError:
        body = response.body.decode(errors="replace")
    return Answer(response.status, body, response.headers)


def ok(given: Answer) -> Any:
    """The body of a success."""
    assert 200 <= given.status < 300, f"{given.status}: {given.body}"
    return given.body


def refused(status: int, reason: str, given: Answer) -> Json:
    """The ``Status`` of a refusal with that code and reason."""
    assert (status, reason) == (given.status, given.body.get("reason", "")), f"{given.status}: {given.body}"
    assert given.body["kind"] == "Status"
    assert given.body["apiVersion"] == "v1"
    assert given.body["status"] == "Failure"
    assert given.body["code"] == status
    body: Json = given.body
    return body


def causes(status: Json) -> set[tuple[str, str]]:
    """(reason, field) of every cause of a ``Status``."""
    return {(cause.get("reason", ""), cause.get("field", "")) for cause in status["details"].get("causes", ())}


class Watch:
    """The events of an open watch, one at a time."""

    def __init__(self, lines: LineStream) -> None:
        self._lines = lines
        self._waiting: list[Json] = []

    async def next(self) -> tuple[str, Json]:
        """(type, object) of the next event that is no bookmark; fails when the stream ends first."""
        while True:
            kind, obj = await self.next_or_bookmark()
            if kind != "BOOKMARK":
                return kind, obj

    async def next_or_bookmark(self) -> tuple[str, Json]:
        event = await self._event()
        assert event is not None, "the stream ended"
        return event["type"], event["object"]

    async def named(self, count: int) -> list[tuple[str, str]]:
        """(type, name) of the next ``count`` events."""
        found = []
        for _ in range(count):
            kind, obj = await self.next()
            found.append((kind, obj["metadata"]["name"]))
        return found

    async def rest(self) -> list[tuple[str, Json]]:
        """Everything up to the end of the stream, bookmarks too."""
        found = []
        while (event := await self._event()) is not None:
            found.append((event["type"], event["object"]))
        return found

    async def _event(self) -> Json | None:
        if not self._waiting:
            self._waiting = [msgspec.json.decode(line) for line in await self._lines.read()]
        return self._waiting.pop(0) if self._waiting else None


class Api:
    """One identity at one server, with a namespace of its own; ``namespace=""`` in a call means all of them."""

    def __init__(self, transport: Transport, namespace: str) -> None:
        self.transport = transport
        self.namespace = namespace

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content: str = "application/json",
        accept: str = "",
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        """Any request. ``body``: bytes as they are, anything else as JSON."""
        headers: tuple[tuple[str, str], ...] = (("content-type", content),) if body is not None else ()
        if accept:
            headers += (("accept", accept),)
        raw = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        request = Request(
            method=method, path=path, query=_query(query or {}), headers=headers, body=raw, deadline=DEADLINE
        )
        return answer(await self.transport.request(request))

    def path(self, kind: Resource, name: str = "", subresource: str = "", *, namespace: str | None = None) -> str:
        return kind.path(self.namespace if namespace is None else namespace, name, subresource)

    async def get(self, kind: Resource, name: str, subresource: str = "", *, accept: str = "", **query: str) -> Answer:
        return await self.call("GET", self.path(kind, name, subresource), accept=accept, query=query)

    async def list(self, kind: Resource, *, namespace: str | None = None, accept: str = "", **query: str) -> Answer:
        return await self.call("GET", self.path(kind, namespace=namespace), accept=accept, query=query)

    async def create(self, kind: Resource, obj: Json, *, subresource: str = "", **query: str) -> Answer:
        name = obj["metadata"]["name"] if subresource else ""
        return await self.call("POST", self.path(kind, name, subresource), obj, query=query)

    async def replace(self, kind: Resource, obj: Json, subresource: str = "", **query: str) -> Answer:
        return await self.call("PUT", self.path(kind, obj["metadata"]["name"], subresource), obj, query=query)

    async def patch(
        self,
        kind: Resource,
        name: str,
        patch: Any,
        how: Literal["json", "merge", "strategic", "apply"] = "merge",
        *,
        subresource: str = "",
        **query: str,
    ) -> Answer:
        path = self.path(kind, name, subresource)
        return await self.call("PATCH", path, patch, content=PATCHES[how], query=query)

    async def apply(
        self,
        kind: Resource,
        obj: Json,
        manager: str = "us",
        *,
        force: bool = False,
        subresource: str = "",
        **query: str,
    ) -> Answer:
        """Server-side apply; kind and apiVersion are added."""
        full = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        parameters = {"fieldManager": manager, **({"force": "true"} if force else {}), **query}
        return await self.patch(kind, obj["metadata"]["name"], full, "apply", subresource=subresource, **parameters)

    async def delete(self, kind: Resource, name: str, options: Json | None = None, **query: str) -> Answer:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options} if options is not None else None
        return await self.call("DELETE", self.path(kind, name), body, query=query)

    async def try_watch(self, kind: Resource, *, namespace: str | None = None, **query: str) -> Answer:
        """What a watch is answered with when it is refused outright."""
        opened = await self._open(kind, namespace, "", query)
        assert isinstance(opened, Response), "the watch was opened"
        return answer(opened)

    @asynccontextmanager
    async def watch(
        self, kind: Resource, *, namespace: str | None = None, accept: str = "", **query: str
    ) -> AsyncIterator[Watch]:
        """An open watch; ends after 60 s unless ``timeoutSeconds`` says otherwise."""
        opened = await self._open(kind, namespace, accept, {"timeoutSeconds": "60", **query})
        assert not isinstance(opened, Response), f"the watch was refused: {answer(opened)}"
        try:
            yield Watch(opened)
        finally:
            await opened.close()

    async def _open(
        self, kind: Resource, namespace: str | None, accept: str, query: Mapping[str, str]
    ) -> Response | LineStream:
        request = Request(
            method="GET",
            path=self.path(kind, namespace=namespace),
            query=_query({"watch": "true", **query}),
            headers=(("accept", accept),) if accept else (),
            deadline=DEADLINE,
        )
        return await self.transport.stream(request, silence=QUIET)


def _query(parameters: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """``continue_`` stands for the parameter whose name Python keeps for itself."""
    return tuple((name.rstrip("_"), value) for name, value in parameters.items())


async def until(found: Callable[[], Awaitable[Any]], *, within: float = DEADLINE) -> Any:
    """The first truthy result; for what a server does later and no watch tells.

    A kube-apiserver that exchanges the handlers of a definition may break connections: such a look has found nothing.
    """
    async with asyncio.timeout(within):
        while True:
            with suppress(ConnectionLost):
                if result := await found():
                    return result
            await asyncio.sleep(POLL)
