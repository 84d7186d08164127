"""The circuit breaker on the way to one remote cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import msgspec

from controller.fleet.cluster import Cluster
from controller.fleet.counters import ConnectionCounters
from controller.kube import errors
from controller.kube.transport import LineStream, Request, Response, Transport

T = TypeVar("T")

END_MARGIN: Final = 5.0  # s; a watch that ends more than this before its time was ended by something else

Guard: TypeAlias = Callable[[Transport], Transport]  # what the owner puts around a transport it will use
Refuse: TypeAlias = Callable[[], errors.KubeError | None]  # why nothing may be sent now; None: it may


class OutcomeListener(Protocol):
    """Told what came of each request, of each stream's opening, of what it sent and of its end."""

    def __call__(self, ok: bool, error: errors.KubeError | None) -> None:
        """``ok``: the server answered. Else ``error`` says what happened; a stream that ended early has one too."""
        ...


class Doubt:
    """Whether a connection still leads to the cluster that it led to: while it may not, changes wait."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._news.set()

    def __bool__(self) -> bool:
        return not self._news.is_set()

    def begin(self) -> None:
        """Signs came that something is wrong, of which no look knows yet."""
        self._news.clear()

    def end(self) -> None:
        """A look has shown that all is well."""
        self._news.set()

    def tell(self) -> None:
        """Who waits looks whether it is still worth it: the doubt goes on, but something has changed."""
        if self:
            self._news.set()
            self._news.clear()

    async def news(self) -> None:
        """Return when the doubt is over, or something has changed."""
        await self._news.wait()


class Guarded:
    """A ``Transport`` that sends nothing while ``refuse`` says why not, and reports what came of all it sent.

    ``refuse`` is asked before each call: what it returns is raised, without I/O. A change waits, within its deadline,
    while there is ``doubt``: a connection that broke may lead elsewhere when it is made again. ``abort`` ends what is
    under way with ``ConnectionLost``; streams are left to their readers. After ``retire`` nothing new is sent.
    """

    def __init__(
        self,
        inner: Transport,
        *,
        refuse: Refuse,
        on_outcome: OutcomeListener,
        doubt: Doubt,
    ) -> None:
        self._inner = inner
        self._refuse = refuse
        self._on_outcome = on_outcome
        self._doubt = doubt
        self._under_way: dict[asyncio.Timeout, None] = {}
        self._aborted: set[asyncio.Timeout] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._retired = False

    async def request(self, request: Request) -> Response:
        self._admit()
        if self._doubt and request.method != "GET":
            request = await self._wait_for_certainty(request)
        response = await self._carry(self._inner.request(request), apart=request.apart)
        if not request.apart:  # else a pod may have said it
            self._judge(response)
        return response

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        self._admit()
        opened = await self._carry(self._inner.stream(request, silence=silence))
        if isinstance(opened, Response):
            self._judge(opened)
            return opened
        self._on_outcome(True, None)
        return _GuardedStream(opened, self._on_outcome, _ends(request))

    async def close(self) -> None:
        await self._inner.close()

    # ── for the owner ───────────────────────────────────────────────────────────────────────────────

    def abort(self) -> None:
        """End every request under way, and every stream that is being opened."""
        now = asyncio.get_running_loop().time()
        for scope in self._under_way:
            if scope not in self._aborted:
                self._aborted.add(scope)
                scope.reschedule(now)

    def retire(self) -> None:
        """Send nothing new: another connection serves from now on."""
        self._retired = True

    async def wait_idle(self) -> None:
        """Return once no request is under way."""
        await self._idle.wait()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    async def _wait_for_certainty(self, request: Request) -> Request:
        """The request, with the time that is left for it, when it may be sent; nothing was sent if this raises."""
        loop = asyncio.get_running_loop()
        due = loop.time() + request.deadline
        try:
            async with asyncio.timeout_at(due):
                while self._doubt:
                    await self._doubt.news()
                    self._admit()
        except TimeoutError:
            raise errors.DeadlineExceeded(
                f"{request.method} was not sent: within {request.deadline:g} s it did not turn out whether the server "
                "behind the address is still the same"
            ) from None
        return msgspec.structs.replace(request, deadline=due - loop.time())

    def _admit(self) -> None:
        if self._retired:
            # Not ClusterUnavailable: who waits for a cluster to be back would wait for ever for one that is there.
            raise errors.ConnectionLost("the connection was replaced by another one")
        if (refusal := self._refuse()) is not None:
            raise refusal

    async def _carry(self, call: Coroutine[Any, Any, T], *, apart: bool = False) -> T:
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._under_way[scope] = None
                self._idle.clear()
                return await call
        except errors.TransportError as error:
            if not apart or isinstance(error, _NOT_REACHED):
                self._on_outcome(False, error)
            raise
        except TimeoutError:
            if scope not in self._aborted:
                raise
            raise errors.ConnectionLost("the cluster was lost while the request was under way") from None
        finally:
            self._under_way.pop(scope, None)
            self._aborted.discard(scope)
            if not self._under_way:
                self._idle.set()

    def _judge(self, response: Response) -> None:
        if response.status == 401:
            self._on_outcome(False, errors.Unauthorized(401))
        else:
            self._on_outcome(True, None)


def _ends(request: Request) -> float:
    """Seconds after which the server was asked to end a watch; 0 when it was not."""
    seconds = dict(request.query).get("timeoutSeconds", "")
    return float(seconds) if seconds.isdecimal() else 0.0


# Of a call to something behind the server these alone say that the server itself was not reached.
_NOT_REACHED: Final = (errors.ConnectFailed, errors.NameResolutionFailed, errors.TLSFailed)

_SIGNS: Final = (
    errors.ConnectFailed,
    errors.ConnectionLost,
    errors.DeadlineExceeded,
    errors.NameResolutionFailed,
    errors.StreamSilent,
    errors.TLSFailed,
    errors.Unauthorized,
)


class Breaker:
    """The breaker of ``cluster`` over all its connections, of which one at a time is in use.

    It is open while the cluster is not usable. ``on_sign``: something went wrong on the way, so look at once.
    ``generation``: of the connection in use; what an older one reports is ignored.
    """

    def __init__(self, cluster: Cluster, counters: ConnectionCounters, on_sign: Callable[[], None]) -> None:
        self.generation = 0
        self.doubt: Final = Doubt()
        self._cluster = cluster
        self._counters = counters
        self._on_sign = on_sign

    def renew(self) -> None:
        """From now on another connection is in use, or none."""
        self.generation += 1

    def guard(self, inner: Transport) -> Guarded:
        """The transport of the connection in use."""
        generation = self.generation

        def heard(ok: bool, error: errors.KubeError | None) -> None:
            if generation == self.generation:
                self._heard(ok, error)

        return Guarded(inner, refuse=self._refuse, on_outcome=heard, doubt=self.doubt)

    def answered(self) -> None:
        """The server has answered just now, whatever the question."""
        self._counters.last_success = asyncio.get_running_loop().time()
        self._cluster.answered()

    def trust(self) -> None:
        """A look has shown that all is well."""
        self.doubt.end()
        self._cluster.release()

    def _refuse(self) -> errors.KubeError | None:
        state = self._cluster.state
        if state.usable:
            return None
        next_retry = self._counters.next_retry
        return errors.ClusterUnavailable(self._cluster.context, state.message, since=state.since, next_retry=next_retry)

    def _heard(self, ok: bool, error: errors.KubeError | None) -> None:
        if ok:
            self.answered()
        elif isinstance(error, _SIGNS):
            self._on_sign()
            if not isinstance(error, errors.Unauthorized) and not self.doubt:
                # No watch and no change begins before that look was answered.
                self.doubt.begin()
                self._cluster.hold()


class _GuardedStream:
    """A stream that reports what it sends, and how it ends."""

    def __init__(self, inner: LineStream, on_outcome: OutcomeListener, ends: float) -> None:
        self._inner = inner
        self._on_outcome = on_outcome
        self._due = asyncio.get_running_loop().time() + ends - END_MARGIN

    async def read(self) -> list[bytes]:
        try:
            lines = await self._inner.read()
        except errors.TransportError as error:
            self._on_outcome(False, error)
            raise
        if lines:
            self._on_outcome(True, None)
        elif asyncio.get_running_loop().time() < self._due:
            self._on_outcome(False, errors.ConnectionLost("the stream ended before its time"))
        return lines

    async def close(self) -> None:
        await self._inner.close()
