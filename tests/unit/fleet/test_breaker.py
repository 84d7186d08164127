from __future__ import annotations

import asyncio
import time

import pytest

from controller.fleet.breaker import END_MARGIN, Doubt, Guarded
from controller.kube.errors import (
    ClusterUnavailable,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    KubeError,
    StreamSilent,
    TransportError,
)
from controller.kube.transport import LineStream, Request, Response

pytestmark = pytest.mark.looptime

GET = Request(method="GET", path="/version")
CHANGE = Request(method="POST", path="/api/v1/namespaces/default/configmaps", deadline=15.0)
WATCH = Request(method="GET", path="/api/v1/pods", query=(("watch", "true"), ("timeoutSeconds", "300")))
AWAY = ClusterUnavailable("east", "connection refused", since=1.0, next_retry=4.0)


class Lines:
    """A stream: each arrival is a batch, the end (``[]``), or an error; after ``seconds`` each."""

    def __init__(self, *arrivals: list[bytes] | TransportError, seconds: float = 0.0) -> None:
        self.arrivals = list(arrivals)
        self.seconds = seconds
        self.closed = False

    async def read(self) -> list[bytes]:
        await asyncio.sleep(self.seconds)
        arrival = self.arrivals.pop(0)
        if isinstance(arrival, TransportError):
            raise arrival
        return arrival

    async def close(self) -> None:
        self.closed = True


class Server:
    """A transport that answers everything with ``answer``, after ``seconds``."""

    def __init__(self) -> None:
        self.answer: Response | Lines | TransportError = Response(status=200)
        self.seconds = 0.0
        self.asked: list[Request] = []
        self.closed = False

    async def request(self, request: Request) -> Response:
        answer = await self._carry(request)
        assert isinstance(answer, Response)
        return answer

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        return await self._carry(request)

    async def close(self) -> None:
        self.closed = True

    @property
    def sent(self) -> int:
        return len(self.asked)

    async def _carry(self, request: Request) -> Response | Lines:
        self.asked.append(request)
        await asyncio.sleep(self.seconds)
        if isinstance(self.answer, TransportError):
            raise self.answer
        return self.answer


class Breaker:
    """A guarded transport with its owner."""

    def __init__(self) -> None:
        self.server = Server()
        self.refusal: KubeError | None = None
        self.heard: list[str] = []
        self.doubt = Doubt()
        self.guarded = Guarded(self.server, refuse=lambda: self.refusal, on_outcome=self._heard, doubt=self.doubt)

    def _heard(self, ok: bool, error: KubeError | None) -> None:
        assert ok is (error is None)
        self.heard.append(type(error).__name__ if error else "ok")

    async def watch(self, *arrivals: list[bytes] | TransportError, seconds: float = 0.0) -> LineStream:
        self.server.answer = Lines(*arrivals, seconds=seconds)
        stream = await self.guarded.stream(WATCH, silence=90.0)
        assert not isinstance(stream, Response)
        return stream


@pytest.fixture
def breaker() -> Breaker:
    return Breaker()


# ── open and closed ─────────────────────────────────────────────────────────────────────────────────


async def test_while_the_cluster_is_away_every_call_fails_at_once_and_nothing_is_sent(breaker: Breaker) -> None:
    breaker.refusal = AWAY
    calls = 1000
    started = time.perf_counter()
    for _ in range(calls):
        with pytest.raises(ClusterUnavailable):
            await breaker.guarded.request(GET)
        with pytest.raises(ClusterUnavailable):
            await breaker.guarded.stream(WATCH, silence=90.0)
    assert (time.perf_counter() - started) / calls < 0.001
    assert (breaker.server.sent, breaker.heard) == (0, [])


async def test_when_it_is_back_calls_pass(breaker: Breaker) -> None:
    breaker.refusal = AWAY
    with pytest.raises(ClusterUnavailable):
        await breaker.guarded.request(GET)
    breaker.refusal = None
    assert await breaker.guarded.request(GET) == Response(status=200)


async def test_while_there_is_doubt_changes_wait_and_reads_do_not(breaker: Breaker) -> None:
    breaker.doubt.begin()
    change = asyncio.create_task(breaker.guarded.request(CHANGE))
    await breaker.guarded.request(GET)
    await asyncio.sleep(3.0)
    assert (breaker.server.sent, change.done()) == (1, False)
    breaker.doubt.end()
    await change
    assert breaker.server.sent == 2


async def test_a_change_that_waited_has_the_time_that_is_left(breaker: Breaker) -> None:
    breaker.doubt.begin()
    breaker.server.seconds = 100.0
    asyncio.get_running_loop().call_later(4.0, breaker.doubt.end)
    change = asyncio.create_task(breaker.guarded.request(CHANGE))
    await asyncio.sleep(5.0)
    assert breaker.server.asked[-1].deadline == pytest.approx(CHANGE.deadline - 4.0)
    change.cancel()


async def test_a_change_that_waits_in_vain_is_not_sent(breaker: Breaker) -> None:
    breaker.doubt.begin()
    with pytest.raises(DeadlineExceeded, match="was not sent"):
        await breaker.guarded.request(CHANGE)
    assert breaker.server.sent == 0


async def test_a_change_that_waits_learns_that_the_cluster_is_lost(breaker: Breaker) -> None:
    breaker.doubt.begin()
    change = asyncio.create_task(breaker.guarded.request(CHANGE))
    await asyncio.sleep(1.0)
    breaker.refusal = AWAY
    breaker.doubt.tell()
    with pytest.raises(ClusterUnavailable):
        await change
    assert (breaker.server.sent, bool(breaker.doubt)) == (0, True)


async def test_the_refusal_says_since_when_and_until_when(breaker: Breaker) -> None:
    breaker.refusal = AWAY
    with pytest.raises(ClusterUnavailable, match=r"^east: connection refused$") as caught:
        await breaker.guarded.request(GET)
    assert (caught.value.context, caught.value.since, caught.value.next_retry) == ("east", 1.0, 4.0)


async def test_close_closes_what_is_inside(breaker: Breaker) -> None:
    await breaker.guarded.close()
    assert breaker.server.closed


# ── what the owner hears ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "heard"), [(200, "ok"), (404, "ok"), (403, "ok"), (429, "ok"), (500, "ok"), (401, "Unauthorized")]
)
async def test_any_answer_but_401_is_a_sign_of_life(breaker: Breaker, status: int, heard: str) -> None:
    breaker.server.answer = Response(status=status)
    await breaker.guarded.request(GET)
    await breaker.guarded.stream(WATCH, silence=90.0)
    assert breaker.heard == [heard, heard]


async def test_what_breaks_a_call_is_heard_and_raised(breaker: Breaker) -> None:
    breaker.server.answer = error = ConnectFailed("refused")
    with pytest.raises(ConnectFailed) as caught:
        await breaker.guarded.request(GET)
    assert caught.value is error
    with pytest.raises(ConnectFailed):
        await breaker.guarded.stream(WATCH, silence=90.0)
    assert breaker.heard == ["ConnectFailed", "ConnectFailed"]


APART = Request(method="GET", path="/api/v1/namespaces/default/pods/a:8080/proxy/", apart=True)


@pytest.mark.parametrize(
    ("error", "heard"),
    [(DeadlineExceeded("no answer"), []), (ConnectionLost("broke"), []), (ConnectFailed("refused"), ["ConnectFailed"])],
)
async def test_a_pod_that_does_not_answer_says_nothing_of_the_server(
    breaker: Breaker, error: TransportError, heard: list[str]
) -> None:
    breaker.server.answer = error
    with pytest.raises(type(error)):
        await breaker.guarded.request(APART)
    assert breaker.heard == heard


@pytest.mark.parametrize("status", [200, 401, 503])
async def test_what_a_pod_answers_says_nothing_of_the_server(breaker: Breaker, status: int) -> None:
    breaker.server.answer = Response(status=status)
    assert (await breaker.guarded.request(APART)).status == status
    assert breaker.heard == []


async def test_a_stream_is_heard_when_it_opens_and_with_each_batch(breaker: Breaker) -> None:
    stream = await breaker.watch([b"{}"], [b"{}", b"{}"])
    assert [await stream.read(), await stream.read()] == [[b"{}"], [b"{}", b"{}"]]
    assert breaker.heard == ["ok", "ok", "ok"]


@pytest.mark.parametrize("error", [ConnectionLost("reset"), StreamSilent("silent")])
async def test_a_stream_that_breaks_is_heard(breaker: Breaker, error: TransportError) -> None:
    stream = await breaker.watch(error)
    with pytest.raises(type(error)):
        await stream.read()
    assert breaker.heard == ["ok", type(error).__name__]


async def test_a_stream_that_ends_before_its_time_is_a_sign_that_something_is_wrong(breaker: Breaker) -> None:
    stream = await breaker.watch([], seconds=300.0 - END_MARGIN - 1.0)
    assert await stream.read() == []
    assert breaker.heard == ["ok", "ConnectionLost"]


async def test_a_stream_that_ends_when_it_was_to_end_is_none(breaker: Breaker) -> None:
    stream = await breaker.watch([], seconds=300.0 - END_MARGIN)
    assert await stream.read() == []
    assert breaker.heard == ["ok"]


async def test_closing_a_stream_is_no_sign_of_anything(breaker: Breaker) -> None:
    stream = await breaker.watch()
    await stream.close()
    assert isinstance(breaker.server.answer, Lines)
    assert breaker.server.answer.closed
    assert breaker.heard == ["ok"]


# ── what is under way ───────────────────────────────────────────────────────────────────────────────


async def test_what_is_under_way_ends_at_once_when_the_cluster_is_lost(breaker: Breaker) -> None:
    breaker.server.seconds = 15.0
    started = asyncio.get_running_loop().time()
    calls = [asyncio.ensure_future(breaker.guarded.request(GET)) for _ in range(3)]
    opening = asyncio.ensure_future(breaker.guarded.stream(WATCH, silence=90.0))
    await asyncio.sleep(1.0)
    breaker.guarded.abort()
    breaker.guarded.abort()
    found = await asyncio.gather(*calls, opening, return_exceptions=True)
    # Not ClusterUnavailable, which says that nothing was sent.
    assert [type(one) for one in found] == [ConnectionLost] * 4
    assert asyncio.get_running_loop().time() - started < 1.01
    assert breaker.heard == []  # the owner knows already


async def test_an_abort_touches_no_later_call(breaker: Breaker) -> None:
    breaker.guarded.abort()
    assert await breaker.guarded.request(GET) == Response(status=200)


async def test_a_caller_that_is_cancelled_is_cancelled(breaker: Breaker) -> None:
    breaker.server.seconds = 15.0
    call = asyncio.ensure_future(breaker.guarded.request(GET))
    await asyncio.sleep(1.0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert breaker.heard == []
    await asyncio.wait_for(breaker.guarded.wait_idle(), 0.1)


async def test_a_callers_own_deadline_stays_its_own(breaker: Breaker) -> None:
    breaker.server.seconds = 15.0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await breaker.guarded.request(GET)


async def test_a_retired_connection_finishes_what_is_under_way_and_takes_nothing_new(breaker: Breaker) -> None:
    breaker.server.seconds = 5.0
    started = asyncio.get_running_loop().time()
    call = asyncio.ensure_future(breaker.guarded.request(GET))
    await asyncio.sleep(1.0)
    breaker.guarded.retire()
    # Not ClusterUnavailable: who waits for a cluster to be back would wait for one that is not away.
    with pytest.raises(ConnectionLost, match="replaced"):
        await breaker.guarded.request(GET)
    await breaker.guarded.wait_idle()
    assert asyncio.get_running_loop().time() - started == pytest.approx(5.0)
    assert (await call).status == 200
    assert breaker.server.sent == 1
