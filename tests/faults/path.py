"""The way from the controller to one API server, on which a fault may lie, and the record of what went over it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from controller.kube import errors
from controller.kube.credentials import Credentials
from controller.kube.transport import LineStream, Request, Response
from controller.sandbox.apiserver import ApiServer, InProcessTransport
from tests.faults.faults import Fault, for_ever

if TYPE_CHECKING:
    from tests.faults.world import World

T = TypeVar("T")
TokenAt: TypeAlias = "Callable[[Path, str], str]"  # the token as which the server of a path knows a kubeconfig's

KEEPALIVE: Final = 30.0  # s after which the kernel gives up a connection over which nothing arrives
NEVER: Final = 1e9  # s
TICK: Final = 1e-6  # s; a timer may be a rounding error early
REMEMBERED: Final = 20  # lines of a stream
IDLE: Final = 15.0  # s for which a connection of the pool is kept without use
LINE_CAP: Final = 8 * 2**20  # bytes of one line, as over sockets


class Seen(NamedTuple):
    """One request of the controller, when it was answered; ``status`` 0 when it was not, and ``error`` says why."""

    time: float
    context: str
    method: str  # WATCH for a stream
    path: str
    name: str  # of the object
    status: int
    error: str = ""

    @property
    def writes(self) -> bool:
        return self.method not in ("GET", "WATCH")


class Path:
    """The network between the controller and one address. ``server``: who answers there now."""

    def __init__(self, context: str, world: World, *, latency: float = 0.0) -> None:
        self.context: Final = context
        self.world: Final = world
        self.server: ApiServer = world.servers[context]
        self.fault: Fault | None = None
        self.latency = latency
        self.attempts: list[tuple[float, bool]] = []  # connections begun: when, and whether they came about
        self.on_request: Callable[[Request, bool], None] | None = None  # before (False) and after (True) it is served
        self.changed = asyncio.Event()  # set and replaced whenever a fault begins or ends
        self.strays = 0  # changes that reached a cluster that was put in this one's place
        self.idle_writes: list[str] = []  # changes that changed nothing
        self.streams: dict[Lines, None] = {}  # open ones
        self.wires: dict[Wire, None] = {}

    # ── for the test ────────────────────────────────────────────────────────────────────────────────

    def begin(self, fault: Fault) -> None:
        """From now on ``fault`` lies on the way."""
        assert self.fault is None
        self.fault = fault
        fault.began = asyncio.get_running_loop().time()
        fault.begin(self)
        self._changed()

    def end(self) -> None:
        """All is well again."""
        fault, self.fault = self.fault, None
        if fault is not None:
            fault.end(self)
        self._changed()

    def cut(self) -> None:
        """Break every connection, open or in the pool."""
        for wire in tuple(self.wires):
            wire.cut()
        self.cut_streams()

    def cut_streams(self) -> None:
        """Break every stream."""
        for stream in tuple(self.streams):
            stream.lose()

    def kill(self, *, acknowledged: bool = False) -> None:
        """Nothing arrives any more over what is open now, and nobody is told: as when a firewall forgets.

        ``acknowledged``: though somebody on the way answers the kernel's questions whether the other side is there.
        """
        for wire in tuple(self.wires):
            wire.kill()
        for stream in tuple(self.streams):
            stream.kill(0.0 if not acknowledged else NEVER)

    # ── for the wires ───────────────────────────────────────────────────────────────────────────────

    def note(self, request: Request, method: str, status: int, error: BaseException | None = None) -> None:
        name = request.path.rpartition("/")[2]
        if request.method == "POST":
            try:
                name = str(msgspec.json.decode(request.body)["metadata"].get("name", ""))
            except (msgspec.MsgspecError, KeyError):
                name = ""
        why = "" if error is None else type(error).__name__
        now = asyncio.get_running_loop().time()
        self.world.seen.append(Seen(now, self.context, method, request.path, name, status, why))

    async def connect(self) -> None:
        """A new connection; raises when there is none to be had."""
        now = asyncio.get_running_loop().time()
        try:
            if self.fault is not None:
                await self.fault.connect(self)
        except BaseException:
            self.attempts.append((now, False))
            raise
        self.attempts.append((now, True))

    def tell(self, request: Request, *, served: bool) -> None:
        """A request is at the server (``served``: was carried out there)."""
        if self.on_request is not None:
            self.on_request(request, served)

    def _changed(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()
        for stream in tuple(self.streams):
            stream.wake()


class Wire:
    """A ``Transport`` over a path: a pool of connections for requests, and one for each stream, as over sockets."""

    def __init__(self, path: Path, credentials: Credentials, token_at: TokenAt) -> None:
        self._path = path
        self._credentials = credentials
        self._token_at = token_at
        self._idle: list[_Pooled] = []
        self._under_way: dict[object, asyncio.Future[None]] = {}
        self._closed = False
        path.wires[self] = None

    async def request(self, request: Request) -> Response:
        return await self._with_token(request, self._request)

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        return await self._with_token(request, lambda request, token: self._stream(request, token, silence))

    async def close(self) -> None:
        self._closed = True
        self.cut()
        self._path.wires.pop(self, None)
        for stream in tuple(self._path.streams):
            if stream.wire is self:
                stream.lose()
                await stream.close()

    # ── what happens to connections ─────────────────────────────────────────────────────────────────

    def cut(self) -> None:
        self._idle.clear()
        for lost in self._under_way.values():
            if not lost.done():
                lost.set_result(None)

    def kill(self) -> None:
        for pooled in self._idle:
            pooled.dead = True

    async def _dial(self) -> None:
        """A connection of the pool, or a new one."""
        self._check()
        now = asyncio.get_running_loop().time()
        self._idle = [pooled for pooled in self._idle if now - pooled.used < IDLE]
        if not self._idle:
            await self._path.connect()
        elif self._idle.pop().dead:
            await for_ever()

    def _check(self) -> None:
        if self._closed:
            raise errors.ConnectionLost("the connection was closed")
        authority = self._path.server.ca_pem.strip()
        if self._credentials.access.certificate_authority.strip() != authority:
            raise errors.TLSFailed("certificate verify failed: unable to get local issuer certificate")

    # ── carrying ────────────────────────────────────────────────────────────────────────────────────

    async def _with_token(self, request: Request, carry: Callable[[Request, str], Coroutine[Any, Any, T]]) -> T:
        """What ``carry`` gives, within the deadline; a 401 asks for another token and tries once more."""
        method = "WATCH" if ("watch", "true") in request.query else request.method
        token = self._credentials.bearer()
        answer = await self._noted(request, method, carry(request, token))
        if isinstance(answer, Response) and answer.status == 401 and await self._credentials.rejected(token):
            answer = await self._noted(request, method, carry(request, self._credentials.bearer()))
        return answer

    async def _noted(self, request: Request, method: str, call: Coroutine[Any, Any, T]) -> T:
        try:
            answer = await self._bounded(request, call)
        except BaseException as error:
            self._path.note(request, method, 0, error)
            raise
        self._path.note(request, method, answer.status if isinstance(answer, Response) else 200)
        return answer

    async def _bounded(self, request: Request, call: Coroutine[Any, Any, T]) -> T:
        """What ``call`` gives within the request's deadline, unless the connection breaks meanwhile."""
        key = object()
        lost = self._under_way[key] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(call)
        try:
            async with asyncio.timeout(request.deadline):
                await asyncio.wait((task, lost), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise errors.ConnectionLost("the connection broke")
            return task.result()
        except TimeoutError:
            raise errors.DeadlineExceeded(f"no response to {request.method} within {request.deadline:g} s") from None
        finally:
            del self._under_way[key]
            lost.cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _request(self, request: Request, token: str) -> Response:
        await self._dial()
        path = self._path
        path.tell(request, served=False)
        answer = await path.fault.answer(path, request) if path.fault is not None else None
        if answer is None:
            await asyncio.sleep(path.latency)
            version = path.server.resource_version
            answer = await self._server(token).request(request)
            if (
                request.method != "GET"
                and not request.apart
                and answer.status == 200
                and path.server.resource_version == version
            ):
                path.idle_writes.append(request.path)
            path.tell(request, served=True)
            await asyncio.sleep(path.latency)
        if path.fault is not None:
            answer = await path.fault.deliver(path, request, answer)
        self._idle.append(_Pooled(asyncio.get_running_loop().time()))
        return answer

    async def _stream(self, request: Request, token: str, silence: float) -> Response | LineStream:
        self._check()
        path = self._path
        await path.connect()
        path.tell(request, served=False)
        fault = path.fault  # as it was when the request went off; it may be over before the answer is there
        if fault is not None:
            answer = await fault.answer(path, request)
            if answer is not None:
                return await fault.deliver(path, request, answer)
            request = fault.rewrite(path, request)
        await asyncio.sleep(2 * path.latency)
        opened = await self._server(token).stream(request, silence=NEVER)
        if isinstance(opened, Response):
            return opened
        lines = Lines(opened, self, path, silence)
        path.streams[lines] = None
        return lines

    def _server(self, token: str) -> InProcessTransport:
        return InProcessTransport(self._path.server, self._token_at(self._path, token), user_agent="controller")


class Lines:
    """The lines of a stream as they arrive over a path."""

    def __init__(self, inner: LineStream, wire: Wire, path: Path, silence: float) -> None:
        self.wire: Final = wire
        self.held: list[bytes] = []  # lines that a fault keeps back
        self.sent: list[bytes] = []  # the last lines that arrived
        self._inner = inner
        self._path = path
        self._silence = silence
        self._heard = asyncio.get_running_loop().time()
        self._dead_since: float | None = None
        self._lost = False
        self._news = asyncio.Event()
        self._reading: asyncio.Task[list[bytes]] | None = None
        self._ended = False

    async def read(self) -> list[bytes]:
        loop = asyncio.get_running_loop()
        while True:
            if self._lost:
                raise errors.ConnectionLost("the stream broke")
            fault, now = self._path.fault, loop.time() + TICK
            dead_since = self._dead_since
            if dead_since is None and fault is not None and fault.swallows:
                dead_since = max(fault.began, self._heard)
            due = self._heard + self._silence
            if dead_since is not None and dead_since + KEEPALIVE <= now:
                raise errors.ConnectionLost("keepalive: connection timed out")
            if now >= due:
                raise errors.StreamSilent(f"nothing was sent for {self._silence:g} s")
            if dead_since is not None:
                await self._wait(None, min(due, dead_since + KEEPALIVE))
                continue
            cut_at = None if fault is None or fault.idle is None else self._heard + fault.idle
            if cut_at is not None and now >= cut_at:
                self._ended = True
            if self._ended:
                return []
            if self._reading is None:
                self._reading = asyncio.ensure_future(self._inner.read())
            await self._wait(self._reading, due if cut_at is None else min(due, cut_at))
            if not self._reading.done() or self._lost:
                continue
            lines, self._reading = self._reading.result(), None
            if not lines:
                self._ended = True
                if not self.held:
                    continue
                lines, self.held = self.held, []  # what a proxy has kept comes with the end
            elif self._path.fault is not None:
                lines = await self._path.fault.lines(self, lines)
            if any(len(line) > LINE_CAP for line in lines):
                raise errors.TooLarge(f"a line of the stream is over {LINE_CAP} bytes")
            if lines:
                self._heard = loop.time()
                self.sent = (self.sent + lines)[-REMEMBERED:]
                return lines

    async def _wait(self, reading: asyncio.Task[list[bytes]] | None, until: float) -> None:
        """Wait for lines, for news of the path or this stream, or until a moment."""
        news = asyncio.ensure_future(self._news.wait())
        try:
            async with asyncio.timeout_at(until):
                await asyncio.wait((news, reading) if reading else (news,), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            pass
        finally:
            news.cancel()
            self._news.clear()

    def wake(self) -> None:
        """Something about the path has changed."""
        self._news.set()

    def lose(self) -> None:
        self._lost = True
        self._news.set()

    def kill(self, later: float) -> None:
        """Nothing arrives any more; the kernel counts from ``later`` (s) on."""
        if self._dead_since is None:
            self._dead_since = asyncio.get_running_loop().time() + later
            self._news.set()

    async def close(self) -> None:
        # Whoever closes may have been cancelled: nothing is left to do after the first turn of the loop.
        self._path.streams.pop(self, None)
        if self._reading is not None:
            self._reading.add_done_callback(_heard)
            self._reading.cancel()
            self._reading = None
        await self._inner.close()


def _heard(reading: asyncio.Task[list[bytes]]) -> None:
    """Whatever came of it, nobody wants to know any more."""
    if not reading.cancelled():
        reading.exception()


class _Pooled(msgspec.Struct):
    """A connection that waits for its next request."""

    used: float
    dead: bool = False
