from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.fleet.throttle import BURST, QPS, Bucket, Throttled
from controller.kube.client import Client
from controller.kube.errors import ConnectionLost, RateLimited, TooManyRequests
from controller.kube.resources import CONFIG_MAPS
from controller.kube.transport import LineStream, Request, Response

pytestmark = pytest.mark.looptime

GET = Request(method="GET", path="/api/v1/configmaps", deadline=10.0)
OK = Response(status=200, body=b"{}")


def busy(seconds: str = "5") -> Response:
    return Response(status=429, headers={"retry-after": seconds}, body=b"{}")


def now() -> float:
    return asyncio.get_running_loop().time()


class Server:
    """Answers what it was told to, 200 after that; notes when what came."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers = list(answers)
        self.came: list[tuple[float, Request]] = []
        self.takes = 0.0  # s for each answer

    async def request(self, request: Request) -> Response:
        self.came.append((now(), request))
        answer = self.answers.pop(0) if self.answers else OK
        if self.takes:
            await asyncio.sleep(self.takes)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        return await self.request(request)

    async def close(self) -> None:
        pass

    @property
    def times(self) -> list[float]:
        return [round(at, 6) for at, _ in self.came]


async def statuses(*calls: Awaitable[Response]) -> list[int]:
    return [response.status for response in await asyncio.gather(*calls)]


# ── the bucket ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    bucket = Bucket(10, 5)
    started = now()
    await asyncio.gather(*(bucket.take(60) for _ in range(5)))
    assert now() == started
    await asyncio.gather(*(bucket.take(60) for _ in range(20)))
    assert now() - started == pytest.approx(2.0)


async def test_the_default_is_fifty_a_second_after_a_hundred() -> None:
    bucket, started = Bucket(), now()
    await asyncio.gather(*(bucket.take(60) for _ in range(BURST + 100)))
    assert (QPS, BURST) == (50, 100)
    assert now() - started == pytest.approx(2.0)


async def test_who_comes_first_goes_first() -> None:
    bucket = Bucket(10, 1)
    order: list[int] = []

    async def call(number: int) -> None:
        await bucket.take(60)
        order.append(number)

    tasks = []
    for number in range(30):
        tasks.append(asyncio.create_task(call(number)))
        await asyncio.sleep(0.01)  # those who come later come while there is a token now and then
    await asyncio.gather(*tasks)
    assert order == list(range(30))


async def test_nobody_passes_those_who_wait() -> None:
    bucket = Bucket(1, 1)
    await bucket.take(1)
    passed: list[bool] = []
    asyncio.get_running_loop().call_at(1.0, lambda: passed.append(bucket.try_take()))  # just before who waits is served
    await bucket.take(60)
    assert (passed, now()) == ([False], pytest.approx(1.0))


async def test_one_who_gives_up_does_not_hold_up_the_next() -> None:
    bucket = Bucket(1, 1)
    await bucket.take(1)
    tasks = [asyncio.create_task(bucket.take(60)) for _ in range(10)]
    await asyncio.sleep(0.5)
    for task in tasks[:9]:
        task.cancel()
    await tasks[9]
    assert now() == pytest.approx(1.0)
    assert bucket.queued == 0


async def test_a_token_that_comes_with_the_cancellation_is_given_back() -> None:
    bucket = Bucket(1, 1)
    await bucket.take(1)
    first, second = asyncio.create_task(bucket.take(60)), asyncio.create_task(bucket.take(60))
    await asyncio.sleep(0)

    def cancel() -> None:
        bucket._serve()
        assert bucket.queued == 1  # the first has its token, and has not run yet
        first.cancel()

    asyncio.get_running_loop().call_at(1.0, cancel)
    await asyncio.wait([first])
    assert first.cancelled()
    await second
    assert now() == pytest.approx(1.0, abs=1e-3)


async def test_nothing_is_left_behind_when_all_have_given_up() -> None:
    bucket = Bucket(0.001, 1)
    await bucket.take(1)
    for _ in range(100):
        with pytest.raises(TimeoutError):
            await bucket.take(0.01)
    assert bucket.queued == 0
    assert bucket._timer is None
    assert bucket.waited == pytest.approx(1.0)
    assert bucket.expected() == pytest.approx(999.0)


async def test_a_pause_holds_everybody_up_and_ends_at_the_steady_rate() -> None:
    bucket = Bucket(10, 100)
    bucket.pause(5)
    await asyncio.gather(*(bucket.take(60) for _ in range(11)))
    assert now() == pytest.approx(6.0)  # the first at 5, ten more at ten a second


async def test_the_longer_of_two_pauses_counts() -> None:
    bucket = Bucket(10, 10)
    bucket.pause(5)
    bucket.pause(1)
    await bucket.take(60)
    assert now() == pytest.approx(5.0)


async def test_a_new_rate_serves_those_who_wait() -> None:
    bucket = Bucket(0.01, 1)
    await bucket.take(1)
    waiting = [asyncio.create_task(bucket.take(60)) for _ in range(10)]
    await asyncio.sleep(1)
    bucket.set_rate(10, 5)
    await asyncio.gather(*waiting)
    assert now() == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(("qps", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (1, 0)])
def test_a_rate_at_which_nobody_goes_is_refused(qps: float, burst: int) -> None:
    with pytest.raises(ValueError, match="a rate needs"):
        Bucket(qps, burst)


@given(
    st.integers(1, 20),
    st.integers(1, 10),
    st.lists(st.tuples(st.floats(0, 2), st.floats(0.01, 5), st.booleans()), min_size=1, max_size=40),
)
def test_never_more_than_the_rate_allows_and_no_token_is_lost(qps: int, burst: int, calls: Any) -> None:
    """Whoever comes, gives up or is cancelled: in [s, t] at most burst + qps·(t−s) go, and nobody waits in vain."""
    import looptime

    went: list[float] = []

    async def world() -> None:
        bucket = Bucket(qps, burst)

        async def call(within: float) -> None:
            await bucket.take(within)
            went.append(now())

        tasks = []
        for pause, within, cancelled in calls:
            await asyncio.sleep(pause)
            tasks.append(task := asyncio.create_task(call(within)))
            if cancelled:
                asyncio.get_running_loop().call_later(within / 2, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        rest = now() + burst / qps + 0.001
        await asyncio.sleep(rest - now())
        assert bucket.queued == 0
        assert [bucket.try_take() for _ in range(burst + 1)] == [True] * burst + [False]

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(world())
    for i, first in enumerate(went):
        for j in range(i, len(went)):
            assert j - i + 1 <= burst + qps * (went[j] - first) + 1e-3


# ── the transport ───────────────────────────────────────────────────────────────────────────────────


async def test_requests_go_at_the_rate_of_their_bucket() -> None:
    server = Server()
    throttled = Throttled(server, Bucket(2, 2))
    assert await statuses(*(throttled.request(GET) for _ in range(6))) == [200] * 6
    assert server.times == [0, 0, 0.5, 1.0, 1.5, 2.0]


@pytest.mark.parametrize(
    "path",
    ["/version", "/readyz", "/apis/coordination.k8s.io/v1/namespaces/a/leases/b"],
)
async def test_signs_of_life_do_not_wait(path: str) -> None:
    server, bucket = Server(), Bucket(1, 1)
    bucket.pause(60)
    await Throttled(server, bucket).request(Request(method="GET", path=path))
    assert server.times == [0]


async def test_watches_do_not_wait() -> None:
    server, bucket = Server(), Bucket(1, 1)
    bucket.pause(60)
    await Throttled(server, bucket).stream(GET, silence=90)
    assert server.times == [0]


async def test_retry_after_pauses_all_calls_of_this_cluster_and_no_other() -> None:
    server, other = Server(busy("5")), Server()
    throttled, elsewhere = Throttled(server, bucket := Bucket()), Throttled(other, Bucket())
    calls = asyncio.gather(throttled.request(GET), _later(1.0, throttled), _later(1.0, elsewhere))
    assert [response.status for response in await calls] == [200, 200, 200]
    assert server.times == [0, 5.0, 5.02]
    assert other.times == [1.0]
    assert bucket.throttled == 1


async def _later(seconds: float, throttled: Throttled) -> Response:
    await asyncio.sleep(seconds)
    return await throttled.request(GET)


async def test_a_watch_that_is_refused_for_load_pauses_the_bucket_too() -> None:
    server = Server(busy("4"))
    throttled = Throttled(server, Bucket())
    opened = await throttled.stream(GET, silence=90)
    assert isinstance(opened, Response)
    await throttled.request(GET)
    assert server.times == [0, 4.0]


async def test_a_call_is_sent_again_three_times_and_then_says_so() -> None:
    server = Server(*[busy("1")] * 10)
    response = await Throttled(server, Bucket()).request(GET)
    assert response.status == 429
    assert server.times == pytest.approx([0, 1.0, 2.0, 3.0], abs=0.05)


async def test_retry_after_zero_is_no_hot_loop() -> None:
    server = Server(*[busy("0")] * 10)
    await Throttled(server, Bucket()).request(GET)
    assert len(server.came) == 4


async def test_a_429_without_retry_after_is_an_answer() -> None:
    server = Server(Response(status=429), OK)
    bucket = Bucket()
    assert (await Throttled(server, bucket).request(GET)).status == 429
    assert (len(server.came), bucket.throttled) == (1, 0)


async def test_retry_after_in_the_body_counts_as_well() -> None:
    body = b'{"kind":"Status","code":429,"details":{"retryAfterSeconds":3}}'
    server = Server(Response(status=429, body=body))
    await Throttled(server, Bucket()).request(GET)
    assert server.times == [0, 3.0]


async def test_a_retry_that_would_come_after_the_deadline_is_left_to_the_caller() -> None:
    server = Server(busy("30"))
    response = await Throttled(server, Bucket()).request(GET)
    assert (response.status, server.times, now()) == (429, [0], 0)


async def test_what_failed_is_not_sent_again() -> None:
    server = Server(ConnectionLost("x"))
    with pytest.raises(ConnectionLost):
        await Throttled(server, Bucket()).request(GET)
    assert len(server.came) == 1


async def test_waiting_is_part_of_the_deadline() -> None:
    server, bucket = Server(), Bucket()
    bucket.pause(4)
    await Throttled(server, bucket).request(GET)
    [(_, sent)] = server.came
    assert sent.deadline == pytest.approx(6.0)


async def test_the_time_between_tries_is_part_of_the_deadline() -> None:
    server = Server(busy("1"), busy("0"))
    server.takes = 2.0
    await Throttled(server, Bucket()).request(GET)
    assert [sent.deadline for _, sent in server.came] == pytest.approx([10.0, 7.0, 5.0])


async def test_a_call_that_cannot_go_in_time_fails_at_once_and_says_when_it_could() -> None:
    server, bucket = Server(), Bucket()
    bucket.pause(30)
    with pytest.raises(RateLimited) as raised:
        await Throttled(server, bucket).request(GET)
    assert (server.times, now()) == ([], 0)
    assert raised.value.retry_after == pytest.approx(30)
    assert isinstance(raised.value, TooManyRequests)


async def test_a_pause_that_begins_while_a_call_waits_is_noticed_at_its_deadline() -> None:
    server, bucket = Server(), Bucket(1, 1)
    bucket.pause(5)
    call = asyncio.create_task(Throttled(server, bucket).request(GET))
    await asyncio.sleep(1)
    bucket.pause(30)
    with pytest.raises(RateLimited):
        await call
    assert (server.times, now()) == ([], pytest.approx(10.0))


async def test_the_server_is_told_how_little_time_a_delayed_write_has_left() -> None:
    server, bucket = Server(), Bucket()
    client = Client(Throttled(server, bucket), may_write=lambda: 12.0)
    bucket.pause(4.5)
    server.answers = [
        Response(
            status=201,
            body=b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"b","uid":"c",'
            b'"resourceVersion":"1"}}',
        )
    ]
    await client.create(CONFIG_MAPS, "b", {"metadata": {"name": "a"}})
    [(_, sent)] = server.came
    assert dict(sent.query)["timeout"] == "5s"
    assert sent.deadline == pytest.approx(5.5)


async def test_a_delayed_write_is_not_sent_in_its_last_second() -> None:
    server, bucket = Server(), Bucket()
    bucket.pause(9.5)
    write = Request(method="POST", path="/api/v1/configmaps", query=(("timeout", "10s"),), deadline=10.0)
    with pytest.raises(RateLimited):
        await Throttled(server, bucket).request(write)
    assert (await Throttled(server, bucket).request(GET)).status == 200  # a read may


async def test_calls_to_pods_neither_wait_nor_take_tokens_nor_pause_anybody() -> None:
    server, bucket, started = Server(busy("60")), Bucket(1, 1), now()
    throttled = Throttled(server, bucket)
    pod = Request(method="GET", path="/api/v1/namespaces/ns/pods/a:8080/proxy/api", deadline=10.0, apart=True)
    assert (await throttled.request(pod)).status == 429  # which the pod may have said
    assert await statuses(*(throttled.request(pod) for _ in range(20))) == [200] * 20
    assert (await throttled.request(GET)).status == 200
    assert (now() - started, bucket.waited, bucket.throttled) == (0.0, 0.0, 0)


async def test_a_cancelled_call_leaves_nothing_behind() -> None:
    server, bucket = Server(), Bucket()
    bucket.pause(5)
    call = asyncio.create_task(Throttled(server, bucket).request(GET))
    await asyncio.sleep(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (bucket.queued, bucket._timer, server.came) == (0, None, [])


async def test_a_call_that_need_not_wait_costs_next_to_nothing() -> None:
    bucket = Bucket(1e9, 10**9)
    inner = Server()
    best = min(_cpu(bucket) for _ in range(5))
    assert best < 10e-6  # s; about 0.5 µs on the machine where it was written, so a loop inside would show
    await Throttled(inner, bucket).request(GET)
    assert inner.came[0][1] is GET  # not even copied


def _cpu(bucket: Bucket, times: int = 2000) -> float:
    started = time.process_time()
    for _ in range(times):
        bucket.try_take()
    return (time.process_time() - started) / times
