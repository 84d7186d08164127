"""Keeps a store equal to what a server has: list, then watch, for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from random import Random
from typing import Any, Final, NoReturn, Protocol

from controller.engine.progress import MARKER_DEADLINE, MAX_OBJECTS, PAGE_SIZE, Progress
from controller.engine.steps import Counters, Discover, PageList, Pause, Phase, State, Step, StreamList, Watch
from controller.engine.store import Store
from controller.kube.client import Page
from controller.kube.errors import KubeError, Malformed
from controller.kube.watch import Event

__all__ = ["Counters", "ListerWatcher", "Phase", "Reflector", "State", "Stream"]

MAX_PAGES: Final = 400  # of one list: twice what all objects need that may be held; empty ones could go on for ever
WATCH_TIMEOUT: Final = (300, 600)  # s after which the server ends a watch, uniform: the streams of a fleet spread out


class Stream(Protocol):
    """An open watch, as ``kube.watch.EventStream``."""

    async def read(self) -> list[Event]:
        """Every event that has arrived: at least one, ``[]`` only at the end. Raises ``TransportError``."""
        ...

    async def close(self) -> None: ...


class ListerWatcher(Protocol):
    """One kind of one cluster, as the server has it. Raises only ``KubeError`` and its children."""

    async def page(self, *, limit: int, continue_token: str) -> Page:
        """A page of a consistent list; ``limit`` 0: everything in one."""
        ...

    async def watch(self, *, resource_version: str, send_initial_events: bool, timeout_seconds: int) -> Stream:
        """An open watch with bookmarks; ``send_initial_events``: everything that exists first, then a marked one."""
        ...

    async def served(self) -> bool:
        """Whether the server knows the kind."""
        ...


class Reflector:
    """Mirrors ``source`` into ``store``.

    ``lists`` bounds the lists under way in one cluster (a list is the peak of memory); it is never shared
    between clusters. ``on_state`` is called synchronously with each new state, and must not raise. Nothing begins
    while ``available`` is not set: who waits for a cluster to be back waits for it, not for a timer.
    """

    def __init__(
        self,
        source: ListerWatcher,
        store: Store,
        *,
        rng: Random,
        lists: AbstractAsyncContextManager[Any, Any] | None = None,
        on_state: Callable[[State], None] | None = None,
        available: asyncio.Event | None = None,
        marker_deadline: float = MARKER_DEADLINE,
        page_size: int = PAGE_SIZE,
        max_objects: int = MAX_OBJECTS,
    ) -> None:
        self.store: Final = store
        self._source = source
        self._rng = rng
        self._lists = lists or nullcontext()
        self._available = available
        self._progress = Progress(
            store,
            rng,
            on_state=on_state,
            marker_deadline=marker_deadline,
            page_size=page_size,
            max_objects=max_objects,
        )
        self._scope: asyncio.Timeout | None = None
        self._interrupted = False
        self._waiting = False  # for available

    @property
    def name(self) -> str:
        """The kind, as its store names it."""
        return self.store.resource_name

    @property
    def state(self) -> State:
        return self._progress.state

    @property
    def counters(self) -> Counters:
        return self._progress.counters

    def reconnect(self) -> None:
        """End what is under way, a pause too, and go on at once from the last version, with the source as it is now."""
        if self._waiting:
            self._progress.interrupted(asyncio.get_running_loop().time())  # there is nothing to end
        elif self._scope is not None and not self._interrupted:
            self._interrupted = True
            self._scope.reschedule(asyncio.get_running_loop().time())

    def relist(self, reason: str = "requested") -> None:
        """List again at once."""
        self._progress.demand_list(reason)
        self.reconnect()

    def forget_fallback(self) -> None:
        """Try streaming lists again: the server's version changed."""
        self._progress.forget_fallback()

    async def run(self) -> NoReturn:
        """Mirror until cancelled. Errors of the server and the way to it end nothing; see ``state``."""
        loop = asyncio.get_running_loop()
        progress = self._progress
        while True:
            if not progress.pausing:  # a pause may pass meanwhile
                await self._wait_available()
            step = progress.next_step(loop.time())
            self._interrupted = False
            try:
                # A scope that has no deadline until reconnect() sets one: nothing to pay for each read.
                async with asyncio.timeout(None) as self._scope:
                    await self._carry_out(step, loop)
            except TimeoutError:
                if not self._interrupted:
                    raise
            except KubeError as error:
                progress.failed(error, loop.time())
            finally:
                self._scope = None
            if self._interrupted:
                progress.interrupted(loop.time())

    async def _wait_available(self) -> None:
        if self._available is not None and not self._available.is_set():
            self._waiting = True
            try:
                await self._available.wait()
            finally:
                self._waiting = False

    async def _carry_out(self, step: Step, loop: asyncio.AbstractEventLoop) -> None:
        match step:
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Discover():
                self._progress.discovered(await self._source.served(), loop.time())
            case PageList(limit):
                async with self._lists:
                    await self._list(limit, loop)
            case StreamList():
                await self._list_and_follow(loop)
            case Watch(version):
                stream = await self._open(version, initial=False)
                try:
                    self._progress.opened(loop.time())
                    await self._follow(stream, loop)
                finally:
                    await stream.close()

    async def _list(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        # The first list is a consistent read, not one of resourceVersion "0" as client-go's: a cache of the
        # server that lags would show objects that are gone, and lists that go back could not be told from
        # a restored etcd. It costs the server one quorum read per kind and start.
        token, version = "", None
        for _ in range(MAX_PAGES):
            page = await self._source.page(limit=limit, continue_token=token)
            if self._interrupted:
                return
            self._progress.paged(page.objects, page.unreadable, loop.time())
            version = page.resource_version if version is None else version
            if not page.continue_token:
                self._progress.listed(version, loop.time())
                return
            if page.continue_token == token:
                raise Malformed("the list goes round in circles")
            token = page.continue_token
        raise Malformed(f"the list has not ended after {MAX_PAGES} pages")

    async def _list_and_follow(self, loop: asyncio.AbstractEventLoop) -> None:
        stream: Stream | None = None
        try:
            async with self._lists:
                stream = await self._open("", initial=True)
                self._progress.opened(loop.time())
                if not await self._collect(stream, loop):
                    return
            await self._follow(stream, loop)
        finally:
            if stream is not None:
                await stream.close()

    async def _collect(self, stream: Stream, loop: asyncio.AbstractEventLoop) -> bool:
        """Read up to the end marker; False when the stream ended or stopped before it."""
        progress = self._progress
        while progress.collecting:
            try:
                async with asyncio.timeout_at(progress.marker_due):
                    events = await stream.read()
            except TimeoutError:
                progress.marker_missing(loop.time())
                return False
            if self._interrupted:
                return False
            if not events:
                progress.ended(loop.time())
                return False
            if (error := progress.received(events, loop.time())) is not None:
                raise error
        return True

    async def _follow(self, stream: Stream, loop: asyncio.AbstractEventLoop) -> None:
        progress = self._progress
        while events := await stream.read():
            if self._interrupted:
                return  # it came over a connection that another one has replaced, which will send it again
            if (error := progress.received(events, loop.time())) is not None:
                raise error
        progress.ended(loop.time())

    async def _open(self, version: str, *, initial: bool) -> Stream:
        return await self._source.watch(
            resource_version=version,
            send_initial_events=initial,
            timeout_seconds=self._rng.randint(*WATCH_TIMEOUT),
        )
