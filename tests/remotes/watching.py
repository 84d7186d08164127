"""What happens in an embedded server, told at the moment of the commit: nothing is polled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import msgspec

from controller.kube.resources import Resource
from controller.kube.transport import Request
from controller.sandbox.apiserver import ApiServer
from controller.sandbox.apiserver.watches import Watch

Json = dict[str, Any]

LONG: Final = "7200"  # s; no measurement takes as long


@contextmanager
def inside(server: ApiServer, resource: Resource, see: Callable[[bytes], None]) -> Iterator[None]:
    """Have ``see`` called with the line of every event of a kind, without a connection."""
    query = (("watch", "true"), ("resourceVersion", str(server.resource_version)), ("timeoutSeconds", LONG))
    watch = server.handle(Request(method="GET", path=resource.path(), query=query), token=server.admin_token)
    assert isinstance(watch, Watch)

    def ready() -> None:
        for line in watch.take():
            see(line)

    watch.on_ready = ready
    try:
        yield
    finally:
        watch.on_ready = lambda: None
        watch.end()


class Seen(msgspec.Struct, frozen=True):
    """One event of an object, with the loop time at which it was seen."""

    at: float
    name: str
    object: Json


class History:
    """The events of one kind, in order; others may wait for one."""

    def __init__(self) -> None:
        self.events: list[Seen] = []
        self._news = asyncio.Event()

    def see(self, line: bytes) -> None:
        event = msgspec.json.decode(line)
        if event["type"] in ("ADDED", "MODIFIED"):
            found = event["object"]
            self.events.append(Seen(asyncio.get_running_loop().time(), found["metadata"]["name"], found))
            self._news.set()

    async def first(self, wanted: Callable[[Seen], bool], *, since: float, within: float, what: str) -> Seen:
        """The first event after loop time ``since`` that is ``wanted``; fails naming ``what``."""
        looked = 0
        try:
            async with asyncio.timeout(max(0.0, since + within - asyncio.get_running_loop().time())):
                while True:
                    for seen in self.events[looked:]:
                        if seen.at >= since and wanted(seen):
                            return seen
                    looked = len(self.events)
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise RuntimeError(f"not within {within:g} s: {what}") from None


@asynccontextmanager
async def history(server: ApiServer, resource: Resource) -> AsyncIterator[History]:
    """The events of ``resource`` from now on."""
    found = History()
    with inside(server, resource, found.see):
        yield found


def condition(found: Json, kind: str = "Ready") -> Json:
    """The condition of that type of an object, {} when it has none."""
    entries = (found.get("status") or {}).get("conditions") or []
    return next((entry for entry in entries if entry["type"] == kind), {})
