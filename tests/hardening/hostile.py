"""API servers that are well but for one thing, over real sockets and TLS, down to the byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlsplit

from controller.kube.transport import Request, Response
from controller.sandbox.apiserver import ApiServer
from controller.sandbox.apiserver.serving import dispatch
from controller.sandbox.apiserver.watches import Watch
from tests.unit.kube.https import CHUNKED, Received, Server, chunk, head, https, reply

Writer = asyncio.StreamWriter
Twist = Callable[[ApiServer, Received, Writer], Awaitable[bool]]  # True: it has answered


@asynccontextmanager
async def hostile(server: ApiServer, twist: Twist) -> AsyncIterator[Server]:
    """``server`` behind HTTPS, as its administrator to whoever asks, unless ``twist`` answers."""

    async def handle(received: Received, writer: Writer) -> None:
        if not await twist(server, received, writer):
            await honest(server, received, writer)

    async with https(handle) as front:
        yield front


async def honest(server: ApiServer, received: Received, writer: Writer, *extra: tuple[str, str]) -> None:
    """Answer as the embedded server does; ``extra``: headers beside its own."""
    parts = urlsplit(received.target)
    headers = tuple((name, value) for name, value in received.headers.items() if name != "authorization")
    request = Request(
        method=received.method,
        path=parts.path,
        query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
        headers=headers,
        body=received.body,
    )
    answer = await dispatch(server, request, server.admin_token)
    if isinstance(answer, Response):
        await reply(writer, answer.status, answer.body, *answer.headers.items(), *extra)
    elif answer is not None:
        await follow(answer, writer, *extra)


async def follow(watch: Watch, writer: Writer, *extra: tuple[str, str]) -> None:
    """Send what a watch brings, until it ends."""
    wake = asyncio.Event()
    watch.on_ready = wake.set
    try:
        await head(writer, 200, ("Content-Type", watch.content_type), CHUNKED, *extra)
        while True:
            wake.clear()
            if lines := watch.take():
                await chunk(writer, b"".join(lines))
                continue
            if watch.ended:
                await chunk(writer, b"")
                return
            await wake.wait()
    finally:
        watch.end()


def is_list(received: Received) -> bool:
    """Whether it asks for a list of CassandraDatacenters, in pages or as a stream."""
    return "/cassandradatacenters?" in received.target or received.target.endswith("/cassandradatacenters")


def is_page(received: Received) -> bool:
    return is_list(received) and "watch=true" not in received.target and "limit=1&" not in received.target + "&"


def is_stream(received: Received) -> bool:
    return is_list(received) and "watch=true" in received.target


def is_version(received: Received) -> bool:
    return received.target == "/version"


async def no_streaming_lists(_: ApiServer, received: Received, writer: Writer) -> bool:
    """Refuse streaming lists, as servers before 1.32 do, so that lists come in pages."""
    if "sendInitialEvents=true" not in received.target:
        return False
    body = b'{"kind":"Status","code":422,"reason":"Invalid","message":"sendInitialEvents is forbidden"}'
    await reply(writer, 422, body, ("Content-Type", "application/json"))
    return True
