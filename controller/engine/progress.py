"""Where a reflector stands and what it does next: decided synchronously, without I/O, from what it is told."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from controller.engine.backoff import HEALTHY, Backoff, full_jitter, jitter
from controller.engine.steps import Counters, Discover, PageList, Pause, Phase, State, Step, StreamList, Watch
from controller.engine.store import Key, Store
from controller.engine.versions import older
from controller.kube import errors
from controller.kube.errors import KubeError
from controller.kube.objects import Object
from controller.kube.watch import Bookmark, Change, Event, Unreadable

MARKER_DEADLINE: Final = 10.0  # s from the last initial event to the end marker; a server that never sends it is known
ABSENT_RECHECK: Final = 30.0  # s ± 20 % between looks whether the kind is installed by now
FORBIDDEN_RECHECK: Final = 60.0  # s ± 20 % until a forbidden kind is tried again: roles change by hand
SHORT_WATCH: Final = 1.0  # s; a watch that ends sooner without a change is an error, or a broken proxy makes a hot loop
SERVER_ERRORS: Final = 60.0  # s of server errors after which the version may be the reason: list again
MUTE_TRIES: Final = (2, 16)  # watches in a row without a line, after which a list has to tell; doubled when it does not
UNREADABLE_TRIES: Final = 3  # times that one version may break a stream before a list goes around it
RELIST_AFTER: Final = (6 * 3600.0, 12 * 3600.0)  # s; a full list as a safety net against what nobody thought of
MAX_OBJECTS: Final = 100_000  # of one kind; a list that never ends must not fill the memory
PAGE_SIZE: Final = 500  # objects


class Progress:
    """The state machine of one reflector. Times are of the event loop, in seconds.

    The caller asks ``next_step``, carries it out, and tells what came of it: ``opened``, ``received``, ``ended``,
    ``marker_missing``, ``paged``, ``listed``, ``discovered``, ``failed``, ``interrupted``. The store changes here only.
    """

    def __init__(
        self,
        store: Store,
        rng: Random,
        *,
        on_state: Callable[[State], None] | None = None,
        marker_deadline: float = MARKER_DEADLINE,
        page_size: int = PAGE_SIZE,
        max_objects: int = MAX_OBJECTS,
    ) -> None:
        self.state = State(Phase.STARTING)
        self.counters = Counters()
        self.marker_due = 0.0
        self._store = store
        self._rng = rng
        self._on_state = on_state
        self._marker_deadline = marker_deadline
        self._page_size = page_size
        self._max_objects = max_objects
        self._backoff = Backoff(rng)
        self._step: Step = Pause(0.0)
        self._wait = 0.0
        self._list_needed = True
        self._absent = False
        self._fallback = False  # the server cannot do streaming lists
        self._page_next = False  # one streaming list broke; the next list is paged
        self._pages_expired = 0
        self._collected: dict[Key, Object] | None = None
        self._listed_at = 0.0
        self._relist_after = rng.uniform(*RELIST_AFTER)
        self._opened_at: float | None = None
        self._changes = 0  # seen on the open stream
        self._mute = 0  # watches in a row, with the open one, on which nothing came
        self._mute_tries = MUTE_TRIES[0]
        self._dropped = False  # the last stream was accepted and dropped: being accepted proves nothing
        self._server_errors_since: float | None = None
        self._unreadable_at = ("", 0)  # version at which the stream broke, and how often

    @property
    def collecting(self) -> bool:
        """Whether a list is under way: what arrives is not in the store yet."""
        return self._collected is not None

    @property
    def pausing(self) -> bool:
        """Whether the next step is a pause."""
        return self._wait > 0

    # ── what next ───────────────────────────────────────────────────────────────────────────────────

    def next_step(self, now: float) -> Step:
        if self._wait > 0:
            seconds, self._wait = self._wait, 0.0
            return Pause(seconds)
        if self._absent:
            self._step = Discover()
        elif self._list_needed:
            self._collected = {}
            self.marker_due = now + self._marker_deadline
            if self.state.phase in (Phase.STARTING, Phase.LIVE):
                self._enter(Phase.SYNCING, None, now)
            if self._fallback or self._page_next:
                self._step = PageList(0 if self._pages_expired > 1 else self._page_size)
            else:
                self._step = StreamList()
        else:
            self._step = Watch(self._store.resource_version)
        return self._step

    def forget_fallback(self) -> None:
        """Streaming lists may be tried again: the server was upgraded, or is another one."""
        self._fallback = False

    def demand_list(self, reason: str) -> None:
        """The next step is a list."""
        if not self._list_needed:
            self._list_needed = True
            self.counters.relists[reason] += 1

    # ── what happened ───────────────────────────────────────────────────────────────────────────────

    def opened(self, now: float) -> None:
        """The server accepted the watch."""
        self._opened_at = now
        self._changes = 0
        self._mute += 1
        self.marker_due = now + self._marker_deadline
        if isinstance(self._step, Watch) and not self._dropped:
            self._enter(Phase.LIVE, None, now)

    def received(self, events: list[Event], now: float) -> KubeError | None:
        """Take over a batch; returns the error that ends the stream, if one is among it. What precedes it counts."""
        if not _lags(events, self._store.resource_version):
            self._store.last_heard = now
        self._mute = 0
        if self._collected is None:
            self._mute_tries = MUTE_TRIES[0]  # what streams send comes through
        changes: list[Change] = []
        bookmark = ""
        error: KubeError | None = None
        for event in events:
            if type(event) is Change:
                changes.append(event)
            elif type(event) is Bookmark:
                self.counters.bookmarks += 1
                if self._collected is None:
                    self._apply(changes)  # an earlier version must not follow a later one
                    changes = []
                    bookmark = event.resource_version
                    self._store.advance(bookmark)
                elif event.initial_events_end:
                    self._collect(changes, now)
                    changes = []
                    self._finish_list("streaming", event.resource_version, now)
            elif type(event) is Unreadable:
                self.counters.unreadable += 1
            else:
                error = event.error  # type: ignore[union-attr]  # a Failure: nothing else is left
                break
        if self._collected is not None:
            self._collect(changes, now)
            return error
        self._apply(changes)
        if error is None:
            self._server_errors_since = None
            self._dropped = False
            if self.state.phase is not Phase.LIVE:
                self._enter(Phase.LIVE, None, now)
        return error

    def ended(self, now: float) -> None:
        """The stream ended without an error."""
        if self._collected is not None:
            self._broken_list(errors.ConnectionLost("the stream ended before everything was listed"), now)
            return
        lasted = self._close(now)
        if lasted < SHORT_WATCH and not self._changes:
            self.counters.restarts["short"] += 1
            self._dropped = True
            self._wait = self._backoff.next()
            self._enter(Phase.FAILING, errors.ConnectionLost("the watch ended at once"), now)
            return
        self.counters.restarts["ended"] += 1
        if lasted < SHORT_WATCH:
            self._wait = full_jitter(self._rng, 0)

    def marker_missing(self, now: float) -> None:
        """The initial events stopped, and their end was not marked: the server does not know streaming lists."""
        self._close(now)
        self._fall_back()

    def paged(self, found: list[Object], unreadable: int, now: float) -> None:
        """A page of a list arrived. Raises ``TooLarge`` when the list has too many objects."""
        self.counters.unreadable += unreadable
        self._store.last_heard = now
        assert self._collected is not None
        for each in found:
            self._keep(self._collected, each)

    def listed(self, resource_version: str, now: float) -> None:
        """The last page was the last."""
        self._finish_list("paged", resource_version, now)

    def discovered(self, served: bool, now: float) -> None:
        """The server said whether it serves the kind."""
        if served:
            self._absent = False
            self.demand_list("installed")
            self._enter(Phase.SYNCING, None, now)
        else:
            self._wait = jitter(self._rng, ABSENT_RECHECK, 0.2)

    def interrupted(self, now: float) -> None:
        """Somebody wants a new start at once: the connection is another one, or a list is demanded."""
        if self._opened_at is not None:
            self.counters.restarts["interrupted"] += 1
        self._close(now)
        self._wait = 0.0
        self._backoff.reset()

    def failed(self, error: KubeError, now: float) -> None:
        """The step failed. Decides what is kept (almost always the version), and how long to wait."""
        step = self._step
        opened = self._opened_at is not None
        short = self._is_short(now)
        listing = self._collected is not None
        self._close(now)
        if isinstance(step, Watch):
            self.counters.restarts[errors.cause(error)] += 1
        match error:
            case errors.NotFound():
                self._absent = True
                self._wait = jitter(self._rng, ABSENT_RECHECK, 0.2)
                self._enter(Phase.ABSENT, error, now)
                return
            case errors.Forbidden() if isinstance(step, Discover):
                self.discovered(True, now)  # discovery is not for everybody: the list itself will tell
                return
            case errors.Forbidden():
                self._wait = jitter(self._rng, FORBIDDEN_RECHECK, 0.2)
                self._enter(Phase.FORBIDDEN, error, now)
                return
            case errors.ApiError(retry_after=seconds) if seconds is not None:
                # Not all streams of a cluster at the same moment.
                self._wait = max(self._backoff.next(), seconds * self._rng.uniform(1.0, 1.2))
            case _:
                self._wait = self._backoff.next()
        if isinstance(step, Watch):
            if isinstance(error, errors.Expired):
                self.demand_list("expired")
                return  # the normal end of a version, no failure
            self._watch_failed(error, step.resource_version, now)
            self._dropped = short
            if opened and not short and isinstance(error, errors.ConnectionLost | errors.StreamSilent):
                return  # a stream that broke is not a server that is lost: opening it again will tell
        elif listing:
            if isinstance(error, errors.Expired) and isinstance(step, PageList):
                self._pages_expired += 1
            if isinstance(step, StreamList) and self._refuses_streaming(error):
                self._wait = 0.0
                self._fall_back()
                return
            self._page_next = isinstance(step, StreamList) and _may_be_streaming(error)
        elif isinstance(step, Discover):
            self._wait = jitter(self._rng, ABSENT_RECHECK, 0.2)
            return
        self._enter(Phase.FAILING, error, now)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _apply(self, changes: list[Change]) -> None:
        if changes:
            self._changes += len(changes)
            self.counters.events += len(changes)
            self._store.apply(changes)

    def _collect(self, changes: list[Change], now: float) -> None:
        collected = self._collected
        assert collected is not None
        self.counters.events += len(changes)
        for change in changes:
            if change.type == "DELETED":
                collected.pop((change.object.head.namespace, change.object.head.name), None)
                continue
            known = len(collected)
            self._keep(collected, change.object)
            if change.type == "ADDED" and len(collected) > known:
                # Others are live already; on a busy kind they would put off the deadline for ever. So would one object
                # again and again.
                self.marker_due = now + self._marker_deadline

    def _keep(self, collected: dict[Key, Object], found: Object) -> None:
        kept = self._store.admit(found)
        if kept is not None:
            collected[kept.head.namespace, kept.head.name] = kept
        if len(collected) > self._max_objects:
            raise errors.TooLarge(f"the list has more than {self._max_objects} objects")

    def _finish_list(self, way: str, resource_version: str, now: float) -> None:
        assert self._collected is not None
        collected, self._collected = self._collected, None
        self._store.last_heard = now
        if self._store.replace(collected.values(), resource_version, admitted=True):
            self._mute_tries = MUTE_TRIES[0]
        self.counters.lists[way] += 1
        self._changes += 1
        self._list_needed = self._page_next = False
        self._pages_expired = 0
        self._listed_at = now
        self._relist_after = self._rng.uniform(*RELIST_AFTER)
        self._server_errors_since = None
        self._step = Watch(resource_version)
        self._enter(Phase.LIVE, None, now)

    def _close(self, now: float) -> float:
        """The stream is over; returns how long it was open (0 when it never was)."""
        lasted = 0.0 if self._opened_at is None else now - self._opened_at
        self._opened_at = None
        self._collected = None
        if lasted >= HEALTHY:
            self._backoff.reset()
        if not self._list_needed and now - self._listed_at >= self._relist_after:
            self.demand_list("periodic")
        return lasted

    def _broken_list(self, error: KubeError, now: float) -> None:
        self._close(now)
        self._page_next = True
        self._wait = self._backoff.next()
        self._enter(Phase.FAILING, error, now)

    def _watch_failed(self, error: KubeError, version: str, now: float) -> None:
        """Lists again where the version may be the cause; everything else resumes from it."""
        if isinstance(error, errors.ResourceVersionTooLarge):
            self.demand_list("version_too_large")
        elif isinstance(error, errors.StreamSilent) and self._mute >= self._mute_tries:
            # A proxy may keep back what streams send for ever; and a server may be silent about a kind that rests.
            self.demand_list("mute")
            self._mute, self._mute_tries = 0, min(self._mute_tries * 2, MUTE_TRIES[1])
        elif isinstance(error, errors.ServerError):
            if self._server_errors_since is None:
                self._server_errors_since = now
            elif now - self._server_errors_since >= SERVER_ERRORS:
                self._server_errors_since = None
                self.demand_list("server_error")
        elif isinstance(error, errors.Malformed | errors.TooLarge):
            at, times = self._unreadable_at
            times = times + 1 if at == self._store.resource_version else 1
            self._unreadable_at = (self._store.resource_version, times)
            if times >= UNREADABLE_TRIES:
                self._unreadable_at = ("", 0)
                self.demand_list("unreadable")
        elif isinstance(error, errors.ApiError) and not isinstance(error, errors.Unauthorized | errors.TooManyRequests):
            self.demand_list("rejected")

    def _refuses_streaming(self, error: KubeError) -> bool:
        return (
            isinstance(error, errors.ApiError)
            and 400 <= error.status < 500
            and not isinstance(error, errors.Unauthorized | errors.TooManyRequests | errors.Expired)
        )

    def _fall_back(self) -> None:
        if not self._fallback:
            self._fallback = True
            self.counters.fallbacks += 1

    def _is_short(self, now: float) -> bool:
        return self._opened_at is not None and now - self._opened_at < SHORT_WATCH and not self._changes

    def _enter(self, phase: Phase, error: KubeError | None, now: float) -> None:
        before = self.state
        if before.phase is phase and _alike(before.error, error):
            return
        self.state = State(phase, before.since if before.phase is phase else now, error)
        if self._on_state is not None:
            self._on_state(self.state)


def _lags(events: list[Event], position: str) -> bool:
    """Whether these are only bookmarks of a server that is behind what was seen: a restored one, as a rule."""
    return all(type(event) is Bookmark and older(event.resource_version, position) for event in events)


def _may_be_streaming(error: KubeError) -> bool:
    """Errors that a streaming list may be the cause of, where listing in pages may work."""
    return isinstance(
        error,
        errors.ConnectionLost
        | errors.DeadlineExceeded
        | errors.StreamSilent
        | errors.TooLarge
        | errors.Malformed
        | errors.ServerError,
    )


def _alike(left: KubeError | None, right: KubeError | None) -> bool:
    return left is right or (left is not None and type(left) is type(right) and str(left) == str(right))
