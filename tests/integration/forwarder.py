"""A TCP port on loopback that can be silent, refuse, or lead to a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_CHUNK = 64 * 1024  # bytes


class Forwarder:
    """``silent``: connections are accepted and nothing is ever answered; else they lead to ``target``."""

    def __init__(self, target: str, *, silent: bool) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 443)
        self.silent = silent
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            try:
                if self.silent:
                    await reader.read()  # until the other side gives up
                    return
                there, back = await asyncio.open_connection(*self._target)
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(_pump(reader, back))
                        group.create_task(_pump(there, writer))
                finally:
                    back.close()
            finally:
                writer.close()


@asynccontextmanager
async def forwarder(target: str, *, silent: bool = False) -> AsyncIterator[Forwarder]:
    """A forwarder to the URL ``target``; its own is ``url``."""
    one = Forwarder(target, silent=silent)
    server = await asyncio.start_server(one.connected, "127.0.0.1", 0)
    one.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield one
    finally:
        server.close()
        await one.stop()
        await server.wait_closed()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(_CHUNK):
            sink.write(data)
            await sink.drain()
    sink.close()
