"""How fast one cluster is spoken to: a token bucket of its own, which the server's Retry-After pauses."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from typing import Final

from controller.kube.client import WRITE_MINIMUM
from controller.kube.errors import RateLimited, from_response
from controller.kube.transport import LineStream, Request, Response, Transport, shortened

QPS: Final = 50.0  # requests a second to one cluster in the long run
BURST: Final = 100  # requests at once after a rest
RETRIES: Final = 3  # of one call that the server answered with 429; client-go allows 10
_HEALTH: Final = frozenset({"/version", "/readyz", "/livez", "/healthz"})
_LEASES: Final = "/apis/coordination.k8s.io/"
_SOON: Final = 1e-9  # s; below this a wait is a rounding error
_NEVER: Final = -math.inf


class Bucket:
    """Tokens of one cluster: ``burst`` after a rest, ``qps`` a second in the long run; who comes first goes first.

    ``waited``: seconds that callers have spent here in all. ``throttled``: answers of the server that paused it.
    """

    def __init__(self, qps: float = QPS, burst: int = BURST) -> None:
        self.waited = 0.0
        self.throttled = 0
        self._at = _NEVER  # loop time for which ``_tokens`` is right; none is handed out before it, so a pause moves it
        self._timer: asyncio.TimerHandle | None = None
        self._queue: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._tokens = math.inf
        self.set_rate(qps, burst)

    @property
    def queued(self) -> int:
        """How many callers wait now."""
        return len(self._queue)

    def set_rate(self, qps: float, burst: int) -> None:
        """Go at another rate from now on; raises ``ValueError`` for one at which nobody would ever go."""
        if not 0 < qps < math.inf or burst < 1:
            raise ValueError("a rate needs more than 0 requests a second and a burst of at least 1")
        if self._at != _NEVER:
            self._refill(asyncio.get_running_loop().time())  # what came until now came at the old rate
        self._qps = qps
        self._burst = burst
        self._tokens = min(self._tokens, float(burst))
        if self._queue:
            self._serve()

    def pause(self, seconds: float) -> None:
        """Hand out nothing for ``seconds``, and begin again at the steady rate: no burst onto a server that is busy."""
        now = asyncio.get_running_loop().time()
        self._refill(now)
        self._at = max(self._at, now + seconds)
        self._tokens = min(self._tokens, 1.0)
        if self._queue:
            self._serve()

    def try_take(self) -> bool:
        """Take a token if there is one and nobody waits for it."""
        if self._queue or self._missing(asyncio.get_running_loop().time()) > _SOON:
            return False
        self._tokens -= 1.0
        return True

    def expected(self) -> float:
        """Seconds until one who came now would get a token, as things are."""
        return self._missing(asyncio.get_running_loop().time()) + len(self._queue) / self._qps

    async def take(self, within: float) -> None:
        """Wait for a token; raises ``TimeoutError`` after ``within`` seconds. One who gives up takes none along."""
        if self.try_take():
            return
        loop = asyncio.get_running_loop()
        started = loop.time()
        turn: asyncio.Future[None] = loop.create_future()
        self._queue[turn] = None
        if self._timer is None:
            self._serve()
        try:
            async with asyncio.timeout(within):
                await turn
        except BaseException:
            self._queue.pop(turn, None)
            if turn.done() and not turn.cancelled():  # a token came in the same turn of the loop as the end
                self._tokens += 1.0
            self._serve()
            raise
        finally:
            self.waited += loop.time() - started

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(float(self._burst), self._tokens + (now - self._at) * self._qps)
            self._at = now

    def _missing(self, now: float) -> float:
        """Seconds until there is a token."""
        self._refill(now)
        return max(self._at - now, 0.0) + max(1.0 - self._tokens, 0.0) / self._qps

    def _serve(self) -> None:
        """Hand tokens to those who wait, and come again when there is the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._queue:
            now = loop.time()
            if (missing := self._missing(now)) > _SOON:
                self._timer = loop.call_at(now + missing, self._serve)
                return
            turn, _ = self._queue.popitem(last=False)
            if not turn.done():  # cancelled, and its owner has not run yet
                self._tokens -= 1.0
                turn.set_result(None)


class Throttled:
    """A ``Transport`` at the pace of ``bucket``.

    Watches, leases and looks at the server's health never wait, nor do calls ``apart``: the server only carries them to
    a pod, and there is a bounded number of connections for them. An answer 429 with Retry-After pauses the bucket, and
    with it this cluster only; the call, which was not carried out, is sent again at most ``RETRIES`` times within its
    deadline, of which the waiting is part. Raises ``RateLimited`` when a call cannot be sent within it.
    """

    def __init__(self, inner: Transport, bucket: Bucket) -> None:
        self._inner = inner
        self._bucket = bucket

    async def request(self, request: Request) -> Response:
        if request.apart:
            return await self._inner.request(request)  # a 429 may be the pod's
        if _exempt(request.path):
            response = await self._inner.request(request)
            self._heed(response)
            return response
        loop = asyncio.get_running_loop()
        end = loop.time() + request.deadline
        tries = 0
        sent = request
        while True:
            if not self._bucket.try_take():
                await self._turn(request, end)
                sent = shortened(request, end - loop.time())
            response = await self._inner.request(sent)
            if self._heed(response) is None or tries == RETRIES or loop.time() + self._bucket.expected() >= end:
                return response
            tries += 1
            sent = shortened(request, end - loop.time())

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        opened = await self._inner.stream(request, silence=silence)
        if isinstance(opened, Response):
            self._heed(opened)
        return opened

    async def close(self) -> None:
        await self._inner.close()

    async def _turn(self, request: Request, end: float) -> None:
        within = end - asyncio.get_running_loop().time()
        if _has_timeout(request):
            within -= WRITE_MINIMUM
        expected = self._bucket.expected()
        if expected <= within:  # else whoever asks gets on with something else meanwhile
            try:
                await self._bucket.take(within)
                return
            except TimeoutError:
                expected = self._bucket.expected()
        raise RateLimited(expected)

    def _heed(self, response: Response) -> float | None:
        """Seconds for which the server asked to be left alone, from which on the bucket rests; None when it did not."""
        if response.status != 429:
            return None
        seconds = from_response(response).retry_after
        if seconds is not None:
            self._bucket.throttled += 1
            self._bucket.pause(seconds)
        return seconds


def _exempt(path: str) -> bool:
    """Whether a request must not wait: it is what says that the server, or this process, is alive."""
    return path in _HEALTH or path.startswith(_LEASES)


def _has_timeout(request: Request) -> bool:
    return any(name == "timeout" for name, _ in request.query)
