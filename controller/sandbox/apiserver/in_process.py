"""The server behind the ``Transport`` seam, without sockets: for tests and simulations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from controller.kube import errors
from controller.kube.transport import LineStream, Request, Response
from controller.sandbox.apiserver.server import ApiServer
from controller.sandbox.apiserver.serving import dispatch
from controller.sandbox.apiserver.watches import Watch

USER_AGENT: Final = "in-process"


class Link:
    """The way between clients and one server, which a test may break.

    ``refused``: connecting fails. ``black``: nothing arrives in either direction, and nobody is told.
    ``latency``: seconds that a request takes on its way there, and its response on the way back.
    """

    def __init__(self) -> None:
        self.refused = False
        self.black = False
        self.latency: Callable[[], float] | None = None
        self._cuts: dict[int, Callable[[], None]] = {}
        self._count = 0

    def refuse(self) -> None:
        """From now on connections are refused, and open ones break."""
        self.refused = True
        self.cut()

    def blacken(self) -> None:
        """From now on nothing arrives any more."""
        self.black = True

    def restore(self) -> None:
        """All is well again; what was swallowed stays lost."""
        self.refused = self.black = False
        for cut in tuple(self._cuts.values()):
            cut()

    def cut(self) -> None:
        """Break every open connection: requests under way and streams fail with ``ConnectionLost``."""
        for cut in tuple(self._cuts.values()):
            cut()

    def register(self, cut: Callable[[], None]) -> Callable[[], None]:
        """``cut`` is called when connections break; returns how to forget it."""
        self._count += 1
        key = self._count
        self._cuts[key] = cut

        def forget() -> None:
            self._cuts.pop(key, None)

        return forget


class InProcessTransport:
    """A ``Transport`` that calls a server in the same process as the bearer of ``token``."""

    def __init__(
        self, server: ApiServer, token: str | None = None, *, link: Link | None = None, user_agent: str = USER_AGENT
    ) -> None:
        self.link = link or Link()
        self._server = server
        self._token = token
        self._user_agent = user_agent
        self._closed = False
        self._open: dict[asyncio.Future[None], None] = {}
        self._streams: dict[_Stream, None] = {}

    async def request(self, request: Request) -> Response:
        answer = await self._send(request)
        if isinstance(answer, Watch):
            answer.end()
            raise errors.Malformed("a stream was opened as a request")
        return answer

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        answer = await self._send(request)
        if isinstance(answer, Response):
            return answer
        stream = _Stream(answer, self.link, silence, self._streams)
        self._streams[stream] = None
        return stream

    async def close(self) -> None:
        self._closed = True
        for lost in tuple(self._open):
            if not lost.done():
                lost.set_result(None)
        for stream in tuple(self._streams):
            stream.lose()

    async def _send(self, request: Request) -> Response | Watch:
        """The answer within the request's deadline, unless the link is broken."""
        if self._closed or self.link.refused:
            raise errors.ConnectFailed("connection refused")
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def cut() -> None:
            if not lost.done():
                lost.set_result(None)

        forget = self.link.register(cut)
        self._open[lost] = None
        carried = asyncio.ensure_future(self._carry(request))
        answered = False
        try:
            async with asyncio.timeout(request.deadline):
                await asyncio.wait((carried, lost), return_when=asyncio.FIRST_COMPLETED)
            answered = carried.done()
        except TimeoutError:
            raise errors.DeadlineExceeded(f"no answer within {request.deadline:g} s") from None
        finally:
            forget()
            del self._open[lost]
            lost.cancel()
            if not answered:
                carried.cancel()
                carried.add_done_callback(_discard)
        if not answered:
            raise errors.ConnectionLost("the connection broke")
        return carried.result()

    async def _carry(self, request: Request) -> Response | Watch:
        headers = (*request.headers, ("user-agent", self._user_agent))
        if self.link.black:
            await _for_ever()
        await asyncio.sleep(self.link.latency() if self.link.latency else 0)
        answer = await dispatch(self._server, msgspec.structs.replace(request, headers=headers), self._token)
        if answer is None:
            raise errors.ConnectionLost("the server closed the connection")
        if self.link.latency:
            await asyncio.sleep(self.link.latency())
        if self.link.black:
            if isinstance(answer, Watch):
                answer.end()
            await _for_ever()
        return answer


def _discard(carried: asyncio.Future[Response | Watch]) -> None:
    """An answer that nobody waits for any more leaves nothing open."""
    if not carried.cancelled() and carried.exception() is None and isinstance(answer := carried.result(), Watch):
        answer.end()


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


class _Stream:
    """The lines of a watch, without their newlines."""

    def __init__(self, watch: Watch, link: Link, silence: float, siblings: dict[_Stream, None]) -> None:
        self._watch = watch
        self._link = link
        self._silence = silence
        self._siblings = siblings
        self._lost = False
        self._wake = asyncio.Event()
        self._wake.set()
        self._forget = link.register(self.lose)
        watch.on_ready = self._wake.set

    async def read(self) -> list[bytes]:
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while True:
            if self._lost:
                raise errors.ConnectionLost("the stream broke")
            if not self._link.black:
                if lines := self._watch.take():
                    return [line[:-1] for line in lines]
                if self._watch.overrun:
                    raise errors.ConnectionLost("the server cut off a slow reader")
                if self._watch.ended:
                    await self.close()
                    return []
            self._wake.clear()
            try:
                async with asyncio.timeout_at(heard + self._silence):
                    await self._wake.wait()
            except TimeoutError:
                raise errors.StreamSilent(f"nothing came for {self._silence:g} s") from None

    def lose(self) -> None:
        """The connection breaks."""
        self._lost = True
        self._watch.end()
        self._wake.set()
        self._forget()

    async def close(self) -> None:
        self._watch.on_ready = self._wake.set
        self._watch.end()
        self._forget()
        self._siblings.pop(self, None)
