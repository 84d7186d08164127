from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from controller.engine import reflector
from controller.engine.reflector import Reflector
from controller.engine.steps import Phase, State
from controller.engine.store import Store
from controller.kube import errors
from controller.kube.client import Page
from controller.kube.errors import KubeError
from controller.kube.watch import Bookmark, Unreadable
from tests.unit.engine.world import (
    END,
    Arrival,
    ScriptedServer,
    added,
    deleted,
    failure,
    marker,
    modified,
    obj,
)

pytestmark = pytest.mark.looptime

SILENT = errors.StreamSilent("silent")
LOST = errors.ConnectionLost("reset")
GONE = errors.Expired(410, "Expired")


class Run:
    def __init__(self, server: ScriptedServer, **options: Any) -> None:
        self.server = server
        self.store = Store("things")
        self.states: list[State] = []
        self.batches: list[int] = []
        self.store.subscribe(lambda deltas: self.batches.append(len(deltas)))
        self.reflector = Reflector(server, self.store, rng=Random(7), on_state=self.states.append, **options)
        self.task: asyncio.Task[Any] | None = None

    @property
    def phase(self) -> Phase:
        return self.reflector.state.phase

    @property
    def here(self) -> list[str]:
        return [f"{found.head.name}@{found.head.resource_version}" for found in self.store.list()]

    def gaps(self) -> list[float]:
        at = [call.at for call in self.server.calls]
        return [later - earlier for earlier, later in itertools.pairwise(at)]


@asynccontextmanager
async def running(server: ScriptedServer, **options: Any) -> AsyncIterator[Run]:
    run = Run(server, **options)
    run.task = asyncio.create_task(run.reflector.run())
    try:
        yield run
    finally:
        assert not run.task.done(), run.task
        run.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run.task
        assert all(stream.closed for stream in server.streams)


def initial(*more: Arrival, version: int = 10) -> list[Arrival]:
    """A streaming list of a and b, then ``more``."""
    return [(0.0, [added("a", 3), added("b", 4)]), (0.0, [marker(version)]), *more]


def pages(version: int = 10) -> list[Page]:
    return [Page([obj("a", 3)], str(version), "next"), Page([obj("b", 4)], str(version))]


# ── the streaming list ──────────────────────────────────────────────────────────────────────────────


async def test_everything_that_exists_enters_at_once_when_its_end_is_marked() -> None:
    script: list[Arrival] = [(1.0, [added("a", 3)]), (1.0, [added("b", 4), modified("a", 5)]), (1.0, [marker(10)])]
    async with running(ScriptedServer(watches=[script])) as run:
        await asyncio.sleep(2.5)
        assert (run.here, run.store.synced, run.phase) == ([], False, Phase.SYNCING)
        await asyncio.sleep(1)
        assert (run.here, run.store.synced, run.phase) == (["a@5", "b@4"], True, Phase.LIVE)
        assert run.batches == [2]
        assert run.server.said() == ["initial"]


async def test_the_same_stream_goes_on_after_the_list() -> None:
    script = initial((1.0, [modified("a", 11), deleted("b", 12)]), (1.0, [added("c", 13)]))
    async with running(ScriptedServer(watches=[script])) as run:
        await asyncio.sleep(5)
        assert run.here == ["a@11", "c@13"]
        assert run.batches == [2, 2, 1]
        assert run.server.said() == ["initial"]


async def test_changes_behind_the_marker_in_the_same_batch_count() -> None:
    script: list[Arrival] = [(0.0, [added("a", 3), marker(10), modified("a", 11)])]
    async with running(ScriptedServer(watches=[script])) as run:
        await asyncio.sleep(1)
        assert (run.here, run.store.resource_version) == (["a@11"], "11")


async def test_what_is_deleted_before_the_marker_does_not_enter() -> None:
    script: list[Arrival] = [(0.0, [added("a", 3), added("b", 4)]), (0.0, [deleted("a", 9), marker(10)])]
    async with running(ScriptedServer(watches=[script])) as run:
        await asyncio.sleep(1)
        assert run.here == ["b@4"]


async def test_the_version_comes_from_the_marker_not_from_the_initial_events() -> None:
    script: list[Arrival] = [(0.0, [added("a", 3), added("b", 4)]), (1.0, LOST)]
    async with running(ScriptedServer(watches=[script, initial(version=50)], pages=pages(50))) as run:
        await asyncio.sleep(10)
        assert run.server.said() == ["initial", "page", "page next", "watch 50"]


async def test_a_list_without_end_marker_falls_back_ten_seconds_after_the_last_event() -> None:
    script: list[Arrival] = [(2.0, [added("a", 3)]), (2.0, [added("b", 4)])]
    async with running(ScriptedServer(watches=[script], pages=pages())) as run:
        await asyncio.sleep(100)
        assert run.server.said() == ["initial", "page", "page next", "watch 10"]
        assert run.server.calls[1].at == pytest.approx(14.0)
        assert (run.here, run.phase) == (["a@3", "b@4"], Phase.LIVE)
        assert run.reflector.counters.fallbacks == 1


async def test_a_busy_server_without_end_marker_is_noticed_all_the_same() -> None:
    script: list[Arrival] = [(0.0, [added("a", 3)])]
    script += [(1.0, [modified("a", 20 + number), Bookmark("5")]) for number in range(100)]
    async with running(ScriptedServer(watches=[script], pages=pages())) as run:
        await asyncio.sleep(20)
        assert run.server.calls[1].at == pytest.approx(10.0)


async def test_one_object_again_and_again_does_not_put_off_the_end_of_a_list() -> None:
    script: list[Arrival] = [(1.0, [added("a", 20 + number)]) for number in range(100)]
    async with running(ScriptedServer(watches=[script], pages=pages())) as run:
        await asyncio.sleep(20)
        assert run.server.calls[1].at == pytest.approx(11.0)


async def test_a_fallback_is_remembered_until_it_is_forgotten() -> None:
    unmarked: list[Arrival] = [(0.0, [added("a", 3)])]
    expired: list[Arrival] = [(100.0, GONE)]
    server = ScriptedServer(watches=[unmarked, expired, expired, initial(version=30)], pages=pages() + pages(20))
    async with running(server) as run:
        await asyncio.sleep(150)
        assert run.server.said()[3:] == ["watch 10", "page", "page next", "watch 20"]
        run.reflector.forget_fallback()
        await asyncio.sleep(100)
        assert run.server.said()[7:] == ["initial"]


@pytest.mark.parametrize(
    "error",
    [
        errors.BadRequest(400, "BadRequest"),
        errors.Invalid(422, "Invalid", "sendInitialEvents is forbidden"),
        errors.NotSupported(405),
        errors.ApiError(418),
    ],
    ids=lambda error: str(error.status),
)
async def test_a_server_that_refuses_streaming_lists_is_listed_in_pages_at_once(error: KubeError) -> None:
    async with running(ScriptedServer(watches=[error], pages=pages())) as run:
        await asyncio.sleep(0.001)
        assert run.server.said() == ["initial", "page", "page next", "watch 10"]
        assert run.reflector.counters.fallbacks == 1
        assert Phase.FAILING not in [state.phase for state in run.states]


@pytest.mark.parametrize(
    "error",
    [
        LOST,
        SILENT,
        errors.DeadlineExceeded("slow"),
        errors.TooLarge("line"),
        errors.Malformed("x"),
        errors.ServerError(500),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_streaming_list_that_broke_is_paged_once_and_not_remembered(error: KubeError) -> None:
    server = ScriptedServer(watches=[[(0.0, [added("a", 3)]), (0.0, error)], [(70.0, GONE)], initial()], pages=pages())
    async with running(server) as run:
        await asyncio.sleep(100)
        assert run.server.said() == ["initial", "page", "page next", "watch 10", "initial"]
        assert run.reflector.counters.fallbacks == 0


async def test_a_streaming_list_that_ends_early_is_paged() -> None:
    async with running(ScriptedServer(watches=[[(0.0, [added("a", 3)]), (0.0, END)]], pages=pages())) as run:
        await asyncio.sleep(10)
        assert run.server.said() == ["initial", "page", "page next", "watch 10"]
        assert run.here == ["a@3", "b@4"]


@pytest.mark.parametrize(
    "error",
    [
        errors.ConnectFailed("refused"),
        errors.NameResolutionFailed("x"),
        errors.TLSFailed("x"),
        errors.TooManyRequests(429),
        errors.Expired(410),
        errors.Unauthorized(401),
        errors.ClusterUnavailable("east", "away"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_errors_that_say_nothing_about_streaming_try_it_again(error: KubeError) -> None:
    async with running(ScriptedServer(watches=[error, error, initial()])) as run:
        await asyncio.sleep(60)
        assert run.server.said() == ["initial"] * 3
        assert [state.phase for state in run.states] == [Phase.SYNCING, Phase.FAILING, Phase.LIVE]


# ── pages ───────────────────────────────────────────────────────────────────────────────────────────


async def paged(run_watches: list[Any], found: list[Any]) -> ScriptedServer:
    return ScriptedServer(watches=[errors.BadRequest(400), *run_watches], pages=found)


async def test_pages_have_500_objects_and_the_first_version_counts() -> None:
    server = await paged([], [Page([obj("a", 3)], "10", "next"), Page([obj("b", 4)], "12")])
    async with running(server) as run:
        await asyncio.sleep(1)
        assert [call.number for call in server.calls if call.verb == "page"] == [500, 500]
        assert server.said()[-1] == "watch 10"
        assert run.reflector.counters.lists == {"paged": 1}


@pytest.mark.parametrize("error", [LOST, errors.ServerError(500), errors.DeadlineExceeded("slow"), GONE], ids=str)
async def test_a_partial_list_never_replaces(error: KubeError) -> None:
    expired: list[Arrival] = [(1.0, GONE)]
    broken = [Page([obj("a", 21)], "30", "next"), error]
    server = await paged([expired], [*pages(), *broken, *pages(40)])
    async with running(server) as run:
        while len([call for call in server.calls if call.verb == "page"]) < 4:
            assert run.here in ([], ["a@3", "b@4"])
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        assert run.here == ["a@3", "b@4"]
        assert run.store.resource_version == "10"


async def test_a_page_token_that_expires_again_and_again_leads_to_one_full_page() -> None:
    broken = [Page([obj("a", 3)], "10", "next"), GONE]
    server = await paged([], [*broken, *broken, Page([obj("a", 3)], "30")])
    async with running(server) as run:
        await asyncio.sleep(30)
        assert [call.number for call in server.calls if call.verb == "page"] == [500, 500, 500, 500, 0]
        assert run.here == ["a@3"]


async def test_a_list_that_goes_round_in_circles_is_an_error() -> None:
    server = await paged([], [Page([], "10", "same"), Page([], "10", "same"), Page([obj("a", 3)], "10")])
    async with running(server) as run:
        await asyncio.sleep(10)
        assert run.here == ["a@3"]
        assert Phase.FAILING in [state.phase for state in run.states]


async def test_a_list_that_never_ends_is_given_up() -> None:
    endless = [Page([obj(f"x{number}", 3)], "10", str(number)) for number in range(5)]
    server = await paged([], [*endless, *pages()])
    async with running(server, max_objects=4) as run:
        await asyncio.sleep(10)
        assert run.here == ["a@3", "b@4"]


async def test_a_list_of_empty_pages_that_never_ends_is_given_up() -> None:
    server = await paged([], [*(Page([], "10", str(number)) for number in range(reflector.MAX_PAGES)), *pages()])
    async with running(server) as run:
        await asyncio.sleep(10)
        assert run.here == ["a@3", "b@4"]
        assert Phase.FAILING in [state.phase for state in run.states]


async def test_lists_of_one_cluster_are_bounded() -> None:
    bound = asyncio.Semaphore(1)
    slow: list[Arrival] = [(5.0, [added("a", 3)]), (0.0, [marker(10)])]
    async with (
        running(ScriptedServer(watches=[slow]), lists=bound) as first,
        running(ScriptedServer(watches=[slow]), lists=bound) as second,
    ):
        await asyncio.sleep(6)
        assert (first.store.synced, second.store.synced) == (True, False)
        await asyncio.sleep(5)
        assert second.store.synced


# ── watching ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_watch_that_ends_is_opened_again_at_once_from_the_last_version() -> None:
    server = ScriptedServer(watches=[initial((300.0, [modified("a", 11)]), (50.0, END)), [(400.0, END)]])
    async with running(server) as run:
        await asyncio.sleep(1000)
        assert server.said() == ["initial", "watch 11", "watch 11"]
        assert [call.at for call in server.calls] == pytest.approx([0.0, 350.0, 750.0])
        assert run.reflector.counters.restarts == {"ended": 2}
        assert [state.phase for state in run.states] == [Phase.SYNCING, Phase.LIVE]


async def test_the_server_is_asked_to_end_watches_after_five_to_ten_minutes() -> None:
    server = ScriptedServer(watches=[initial((60.0, END)), *[[(60.0, END)]] * 200])
    async with running(server):
        await asyncio.sleep(60 * 200)
        timeouts = [call.number for call in server.calls]
        assert 300 <= min(timeouts) < 320
        assert 580 < max(timeouts) <= 600


async def test_bookmarks_advance_the_version_of_a_quiet_kind() -> None:
    server = ScriptedServer(watches=[initial((60.0, [Bookmark("77")]), (60.0, LOST))])
    async with running(server) as run:
        await asyncio.sleep(130)
        assert server.said() == ["initial", "watch 77"]
        assert run.store.last_heard == 60.0


@pytest.mark.parametrize("as_event", [False, True])
async def test_an_expired_version_is_listed_again(as_event: bool) -> None:
    gone: Any = [failure(GONE)] if as_event else GONE
    server = ScriptedServer(watches=[initial((70.0, gone)), initial(version=90)])
    async with running(server) as run:
        await asyncio.sleep(71)
        assert server.said() == ["initial", "initial"]
        assert 70.0 < server.calls[1].at <= 70.5  # not every stream at the same moment
        assert run.reflector.counters.relists == {"expired": 1}
        assert Phase.FAILING not in [state.phase for state in run.states]


async def test_an_expired_version_when_opening_is_listed_again() -> None:
    server = ScriptedServer(watches=[initial((70.0, END)), GONE, initial(version=90)])
    async with running(server) as run:
        await asyncio.sleep(80)
        assert server.said() == ["initial", "watch 10", "initial"]
        assert run.store.resource_version == "90"


async def test_what_precedes_an_error_in_its_batch_counts() -> None:
    server = ScriptedServer(watches=[initial((1.0, [modified("a", 11), failure(errors.ServerError(500))]))])
    async with running(server) as run:
        await asyncio.sleep(5)
        assert (run.here, server.said()) == (["a@11", "b@4"], ["initial", "watch 11"])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.ConnectFailed("refused"), "connect_failed"),
        (errors.NameResolutionFailed("x"), "name_resolution_failed"),
        (errors.TLSFailed("x"), "tls_failed"),
        (LOST, "connection_lost"),
        (errors.DeadlineExceeded("x"), "deadline_exceeded"),
        (errors.TooManyRequests(429), "too_many_requests"),
        (errors.Unauthorized(401), "unauthorized"),
        (errors.ClusterUnavailable("east", "away"), "cluster_unavailable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_trouble_on_the_way_keeps_the_version_and_lists_nothing(error: KubeError, reason: str) -> None:
    server = ScriptedServer(watches=[initial((70.0, END)), *[error] * 12])
    async with running(server) as run:
        await asyncio.sleep(400)
        assert server.said() == ["initial"] + ["watch 10"] * 13
        assert run.reflector.counters.restarts[reason] == 12
        assert run.reflector.counters.relists == {}
        assert [state.phase for state in run.states[-2:]] == [Phase.FAILING, Phase.LIVE]
        assert type(run.states[-2].error) is type(error)


async def test_waits_grow_with_full_jitter_up_to_30_seconds() -> None:
    server = ScriptedServer(watches=[errors.ConnectFailed("refused")] * 200)
    async with running(server) as run:
        await asyncio.sleep(1000)
        gaps = run.gaps()
        assert all(gap <= min(30.001, 0.501 * 2**number) for number, gap in enumerate(gaps))
        assert max(gaps) > 20
        assert 10 < sum(gaps[8:]) / len(gaps[8:]) < 20


async def test_a_minute_of_health_makes_the_next_wait_short_again() -> None:
    refused = [errors.ConnectFailed("refused")] * 10
    server = ScriptedServer(watches=[*refused, initial((61.0, LOST))])
    async with running(server) as run:
        await asyncio.sleep(600)
        assert server.said()[-1] == "watch 10"
        assert 61.0 <= run.gaps()[-1] <= 61.5


async def test_a_stream_that_broke_after_a_while_is_no_failure_yet() -> None:
    server = ScriptedServer(watches=[initial((70.0, LOST))])
    async with running(server) as run:
        await asyncio.sleep(100)
        assert [state.phase for state in run.states] == [Phase.SYNCING, Phase.LIVE]


async def test_a_silent_stream_is_opened_again_without_a_list() -> None:
    server = ScriptedServer(watches=[initial((90.0, SILENT))])
    async with running(server) as run:
        await asyncio.sleep(100)
        assert server.said() == ["initial", "watch 10"]
        assert 90.0 < server.calls[1].at <= 90.5
        assert run.reflector.counters.restarts == {"stream_silent": 1}
        assert run.phase is Phase.LIVE


async def test_where_nothing_comes_through_streams_lists_tell_what_happened() -> None:
    """A proxy keeps back what a stream sends until it has enough of it; a list it lets through."""
    mute: list[Arrival] = [(90.0, SILENT)]
    lists = [Page([obj("a", version)], str(version)) for version in (10, 11, 12)]
    server = ScriptedServer(lists=[[]] * 3, watches=[mute] * 6, pages=lists)
    async with running(server) as run:
        await asyncio.sleep(50.0)
        assert run.here == ["a@10"]
        await asyncio.sleep(100.0)
        assert run.here == ["a@11"]
        await asyncio.sleep(200.0)
        assert run.here == ["a@12"]
        assert run.reflector.counters.relists == {"mute": 2}


async def test_a_server_that_is_silent_about_a_kind_at_rest_is_listed_ever_more_rarely() -> None:
    mute: list[Arrival] = [(90.0, SILENT)]
    server = ScriptedServer(lists=[[]], watches=[mute] * 1000, pages=[Page([obj("a", 10)], "10")] * 100)
    async with running(server) as run:
        await asyncio.sleep(24 * 3600.0)
        assert run.reflector.counters.relists["mute"] <= 70


async def test_a_quiet_kind_whose_bookmarks_come_is_not_listed_again() -> None:
    quiet: list[Arrival] = [(60.0, [Bookmark("11")]), (90.0, SILENT)]
    async with running(ScriptedServer(watches=[initial(), *[quiet] * 5])) as run:
        run.reflector.reconnect()
        await asyncio.sleep(600.0)
        assert run.reflector.counters.relists == {}


async def test_watches_that_end_at_once_are_errors_with_growing_waits() -> None:
    server = ScriptedServer(watches=[initial((70.0, END)), *[[(0.1, END)]] * 12, [(5.0, [modified("a", 11)])]])
    async with running(server) as run:
        await asyncio.sleep(71)
        assert run.phase is Phase.FAILING
        await asyncio.sleep(400)
        assert run.reflector.counters.restarts == {"ended": 1, "short": 12}
        assert max(run.gaps()[1:]) > 10
        phases = [state.phase for state in run.states]
        assert phases == [Phase.SYNCING, Phase.LIVE, Phase.FAILING, Phase.LIVE]  # does not flap


async def test_watches_that_are_dropped_at_once_fail_and_do_not_flap() -> None:
    dropped: list[Arrival] = [(0.1, LOST)]
    server = ScriptedServer(watches=[initial((70.0, END)), *[dropped] * 8])
    async with running(server) as run:
        await asyncio.sleep(300)
        assert run.reflector.counters.restarts["connection_lost"] == 8
        assert [state.phase for state in run.states] == [Phase.SYNCING, Phase.LIVE, Phase.FAILING]


async def test_watches_that_end_at_once_after_a_change_do_not_make_a_hot_loop() -> None:
    short = [[(0.0, [modified("a", 11 + number)]), (0.0, END)] for number in range(1000)]
    server = ScriptedServer(watches=[initial((70.0, END)), *short])
    async with running(server):
        await asyncio.sleep(80)
        assert len(server.calls) < 80


@pytest.mark.parametrize("as_event", [False, True])
async def test_retry_after_is_obeyed(as_event: bool) -> None:
    error = errors.TooManyRequests(429, "TooManyRequests", "", 20.0)
    second: Any = [(0.0, [failure(error)])] if as_event else error
    server = ScriptedServer(watches=[initial((70.0, END)), second])
    async with running(server) as run:
        await asyncio.sleep(200)
        assert server.said() == ["initial", "watch 10", "watch 10"]
        assert 20.0 <= run.gaps()[-1] <= 24.0


async def test_server_errors_keep_the_version_for_a_minute_and_then_list() -> None:
    server = ScriptedServer(lists=[initial((70.0, END)), initial(version=90)], watches=[errors.ServerError(500)] * 50)
    async with running(server) as run:
        await asyncio.sleep(600)
        relisted = server.said().index("initial", 1)
        assert server.calls[relisted].at - 70.0 >= 60.0
        assert run.reflector.counters.relists == {"server_error": 1}


async def test_a_version_that_the_server_has_not_reached_is_listed_again() -> None:
    error = errors.ResourceVersionTooLarge(504, "Timeout")
    server = ScriptedServer(watches=[initial((70.0, END)), error, [(0.0, [added("a", 2)]), (0.0, [marker(5)])]])
    async with running(server) as run:
        await asyncio.sleep(100)
        assert run.reflector.counters.relists == {"version_too_large": 1}
        assert (run.store.epoch, run.here) == (1, ["a@2"])  # the server was restored from a backup


async def test_a_version_that_the_server_rejects_is_listed_again() -> None:
    server = ScriptedServer(watches=[initial((70.0, END)), errors.BadRequest(400), initial(version=90)])
    async with running(server) as run:
        await asyncio.sleep(100)
        assert run.reflector.counters.relists == {"rejected": 1}


@pytest.mark.parametrize("error", [errors.Malformed("not an event"), errors.TooLarge("4 MiB")], ids=str)
async def test_a_line_that_breaks_the_stream_three_times_is_gone_around_by_a_list(error: KubeError) -> None:
    poison: list[Arrival] = [(1.5, [failure(error)])]
    server = ScriptedServer(watches=[initial((70.0, END)), poison, poison, poison, initial(version=90)])
    async with running(server) as run:
        await asyncio.sleep(200)
        assert server.said() == ["initial", "watch 10", "watch 10", "watch 10", "initial"]
        assert run.reflector.counters.relists == {"unreadable": 1}


async def test_an_object_that_cannot_be_read_is_counted_and_the_stream_goes_on() -> None:
    server = ScriptedServer(watches=[initial((1.0, [Unreadable(errors.Malformed("x")), modified("a", 11)]))])
    async with running(server) as run:
        await asyncio.sleep(5)
        assert run.reflector.counters.unreadable == 1
        assert (run.here, server.said()) == (["a@11", "b@4"], ["initial"])


async def test_a_full_list_comes_every_few_hours_as_a_safety_net() -> None:
    server = ScriptedServer(lists=[initial((300.0, END)), initial(version=90)], watches=[[(300.0, END)]] * 150)
    async with running(server) as run:
        await asyncio.sleep(12.1 * 3600)
        assert run.reflector.counters.relists == {"periodic": 1}
        assert 6 * 3600 <= server.calls[server.said().index("initial", 1)].at <= 12.1 * 3600


# ── absent and forbidden ────────────────────────────────────────────────────────────────────────────

ABSENT = errors.NotFound(404, "NotFound")
FORBIDDEN = errors.Forbidden(403, "Forbidden", "cannot list things")


async def test_a_kind_that_is_not_installed_is_looked_for_every_30_seconds() -> None:
    server = ScriptedServer(watches=[ABSENT, initial()], served=[False, False, True])
    async with running(server) as run:
        await asyncio.sleep(1)
        assert (run.phase, run.store.synced) == (Phase.ABSENT, False)
        await asyncio.sleep(120)
        assert server.said() == ["initial", "served", "served", "served", "initial"]
        assert all(24 <= gap <= 36 for gap in run.gaps()[:3])
        assert run.gaps()[3] == 0.0
        assert [state.phase for state in run.states] == [Phase.SYNCING, Phase.ABSENT, Phase.SYNCING, Phase.LIVE]


async def test_a_kind_that_is_removed_is_absent_and_its_objects_stay_until_it_is_back() -> None:
    server = ScriptedServer(watches=[initial((70.0, END)), ABSENT, [(0.0, [marker(90)])]], served=[True])
    async with running(server) as run:
        await asyncio.sleep(80)
        assert (run.phase, run.here) == (Phase.ABSENT, ["a@3", "b@4"])
        await asyncio.sleep(60)
        assert (run.phase, run.here) == (Phase.LIVE, [])
        assert run.reflector.counters.relists == {"installed": 1}


async def test_discovery_that_fails_is_tried_again() -> None:
    server = ScriptedServer(watches=[ABSENT, initial()], served=[LOST, errors.ServerError(500), True])
    async with running(server) as run:
        await asyncio.sleep(150)
        assert server.said() == ["initial", "served", "served", "served", "initial"]
        assert run.phase is Phase.LIVE


async def test_discovery_that_is_forbidden_is_done_by_listing() -> None:
    server = ScriptedServer(watches=[ABSENT, ABSENT, initial()], served=[FORBIDDEN, FORBIDDEN])
    async with running(server) as run:
        await asyncio.sleep(150)
        assert server.said() == ["initial", "served", "initial", "served", "initial"]
        assert run.phase is Phase.LIVE


async def test_a_forbidden_kind_is_tried_again_every_minute() -> None:
    server = ScriptedServer(watches=[FORBIDDEN, FORBIDDEN, FORBIDDEN, initial()])
    async with running(server) as run:
        await asyncio.sleep(1)
        assert run.phase is Phase.FORBIDDEN
        await asyncio.sleep(300)
        assert server.said() == ["initial"] * 4
        assert all(48 <= gap <= 72 for gap in run.gaps())
        assert len(set(run.gaps())) == 3  # jittered
        assert [state.phase for state in run.states] == [Phase.SYNCING, Phase.FORBIDDEN, Phase.LIVE]


async def test_a_kind_that_becomes_forbidden_keeps_what_is_here() -> None:
    server = ScriptedServer(watches=[initial((70.0, END)), FORBIDDEN])
    async with running(server) as run:
        await asyncio.sleep(80)
        assert (run.phase, run.here) == (Phase.FORBIDDEN, ["a@3", "b@4"])
        await asyncio.sleep(80)
        assert (run.phase, server.said()) == (Phase.LIVE, ["initial", "watch 10", "watch 10"])


async def test_wrong_credentials_are_reported() -> None:
    async with running(ScriptedServer(watches=[errors.Unauthorized(401, "Unauthorized")] * 100)) as run:
        await asyncio.sleep(60)
        assert isinstance(run.reflector.state.error, errors.Unauthorized)


# ── states, connections, cancellation ───────────────────────────────────────────────────────────────


async def test_a_state_says_since_when_and_is_told_once() -> None:
    server = ScriptedServer(watches=[initial((70.0, END)), *[errors.ConnectFailed("refused")] * 5])
    async with running(server) as run:
        await asyncio.sleep(70.1)
        assert run.reflector.state.since == pytest.approx(70.0)
        await asyncio.sleep(200)
        assert [state.phase for state in run.states] == [Phase.SYNCING, Phase.LIVE, Phase.FAILING, Phase.LIVE]


async def test_another_error_in_the_same_phase_is_told_and_since_stays() -> None:
    refused, unresolved = errors.ConnectFailed("refused"), errors.NameResolutionFailed("no such host")
    server = ScriptedServer(watches=[initial((70.0, END)), refused, unresolved])
    async with running(server) as run:
        await asyncio.sleep(100)
        failing = [state for state in run.states if state.phase is Phase.FAILING]
        assert [state.error for state in failing] == [refused, unresolved]
        assert failing[0].since == failing[1].since


async def test_a_new_connection_resumes_from_the_last_version() -> None:
    server = ScriptedServer(watches=[initial((1.0, [modified("a", 11)]))])
    async with running(server) as run:
        await asyncio.sleep(100)
        run.reflector.reconnect()
        run.reflector.reconnect()
        await asyncio.sleep(0.01)
        assert server.said() == ["initial", "watch 11"]
        assert server.streams[0].closed
        assert run.reflector.counters.restarts == {"interrupted": 1}
        assert run.phase is Phase.LIVE


@pytest.mark.parametrize("error", [errors.ConnectFailed("refused"), FORBIDDEN], ids=lambda e: type(e).__name__)
async def test_a_new_connection_does_not_wait_for_a_backoff(error: KubeError) -> None:
    server = ScriptedServer(watches=[*[error] * 6])
    async with running(server) as run:
        await asyncio.sleep(0.01)
        for number in range(6):
            run.reflector.reconnect()
            await asyncio.sleep(0.001)
            assert len(server.calls) >= 2 + number


async def test_a_new_connection_looks_for_an_absent_kind_at_once() -> None:
    server = ScriptedServer(watches=[ABSENT, initial()], served=[True])
    async with running(server) as run:
        await asyncio.sleep(1)
        run.reflector.reconnect()
        await asyncio.sleep(1)
        assert run.phase is Phase.LIVE


async def test_a_new_connection_during_a_list_begins_it_anew() -> None:
    half: list[Arrival] = [(0.0, [added("stale", 3)])]
    server = ScriptedServer(watches=[half, initial()])
    async with running(server) as run:
        await asyncio.sleep(5)
        run.reflector.reconnect()
        await asyncio.sleep(1)
        assert (server.said(), run.here) == (["initial", "initial"], ["a@3", "b@4"])


async def test_a_list_can_be_demanded() -> None:
    server = ScriptedServer(watches=[initial(), [(0.0, [added("b", 4)]), (0.0, [marker(20)])]])
    async with running(server) as run:
        await asyncio.sleep(5)
        run.reflector.relist("identity")
        await asyncio.sleep(1)
        assert (server.said(), run.here) == (["initial", "initial"], ["b@4"])
        assert run.reflector.counters.relists == {"identity": 1}


async def test_a_reconnect_before_the_start_is_harmless() -> None:
    run = Run(ScriptedServer(watches=[initial()]))
    run.reflector.reconnect()
    assert run.reflector.state == State(Phase.STARTING)


async def test_listening_again_to_the_same_objects_tells_nobody() -> None:
    server = ScriptedServer(watches=[initial((70.0, GONE)), initial(version=90)])
    async with running(server) as run:
        await asyncio.sleep(100)
        assert run.batches == [2]


async def test_restarting_the_task_goes_on_from_the_last_version() -> None:
    server = ScriptedServer(watches=[initial()])
    async with running(server) as run:
        await asyncio.sleep(1)
    again = asyncio.create_task(run.reflector.run())
    await asyncio.sleep(1)
    again.cancel()
    assert server.said() == ["initial", "watch 10"]


async def test_counters_tell_what_was_done() -> None:
    script = initial((1.0, [modified("a", 11), Bookmark("12")]), (70.0, END))
    async with running(ScriptedServer(watches=[script])) as run:
        await asyncio.sleep(100)
        counters = run.reflector.counters
        assert (counters.events, counters.bookmarks) == (3, 2)
        assert counters.lists == {"streaming": 1}


# ── waiting for the cluster ─────────────────────────────────────────────────────────────────────────


async def test_nothing_begins_while_the_cluster_is_away() -> None:
    available = asyncio.Event()
    server = ScriptedServer(watches=[initial()])
    async with running(server, available=available) as run:
        await asyncio.sleep(3600)
        assert server.said() == []
        available.set()
        await asyncio.sleep(0.01)
        assert (server.said(), run.here) == (["initial"], ["a@3", "b@4"])


async def test_what_is_open_goes_on_while_the_cluster_is_away_and_waits_for_it_afterwards() -> None:
    available = asyncio.Event()
    available.set()
    server = ScriptedServer(watches=[initial((5.0, [modified("a", 11)]), (5.0, LOST))])
    async with running(server, available=available) as run:
        await asyncio.sleep(1)
        available.clear()
        await asyncio.sleep(3600)
        assert (server.said(), run.here) == (["initial"], ["a@11", "b@4"])
        available.set()
        await asyncio.sleep(0.01)
        assert server.said() == ["initial", "watch 11"]


@pytest.mark.parametrize("waited", [0.0, 3600.0])
async def test_when_the_cluster_is_back_no_backoff_is_waited_for(waited: float) -> None:
    available = asyncio.Event()
    available.set()
    refused = errors.ConnectFailed("refused")
    server = ScriptedServer(watches=[refused] * 1000)
    async with running(server, available=available) as run:
        await asyncio.sleep(60)  # the backoff is at its highest
        available.clear()
        await asyncio.sleep(waited)
        asked = len(server.calls)
        available.set()
        run.reflector.reconnect()
        await asyncio.sleep(0.01)
        assert len(server.calls) == asked + 1


async def test_a_list_that_is_demanded_meanwhile_comes_first() -> None:
    available = asyncio.Event()
    available.set()
    server = ScriptedServer(watches=[initial((1.0, LOST)), initial(version=20)])
    async with running(server, available=available) as run:
        await asyncio.sleep(0.5)
        available.clear()
        await asyncio.sleep(60)
        run.reflector.relist("identity")
        await asyncio.sleep(60)
        assert server.said() == ["initial"]
        available.set()
        await asyncio.sleep(0.01)
        assert server.said() == ["initial", "initial"]
        assert run.reflector.counters.relists == {"identity": 1}


async def test_what_comes_over_a_replaced_connection_is_left_to_the_next_one() -> None:
    server = ScriptedServer(watches=[initial((1.0, [modified("a", 11)])), [(0.0, [modified("a", 11)])]])
    async with running(server) as run:
        await asyncio.sleep(1.0)  # in this very turn of the loop something comes
        run.reflector.reconnect()
        await asyncio.sleep(5)
        assert (server.said(), run.here) == (["initial", "watch 10"], ["a@11", "b@4"])
