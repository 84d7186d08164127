"""An open watch: the events it still has to send, and when it ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from controller.sandbox.apiserver.forms import Form
from controller.sandbox.apiserver.selectors import Selector
from controller.sandbox.apiserver.storage import Collection, Event, EventType, Version, encode

Json = dict[str, Any]

BATCH: Final = 500  # lines that one ``take`` gives at most
BATCH_BYTES: Final = 256 * 1024  # bytes after which it stops: what still fits the processor's cache is copied faster
BOOKMARK_MARGIN: Final = 2.0  # s before the end of a watch at which it sends a last bookmark
ROUNDING: Final = 1e-3  # s


class Watch:
    """One watch: events go in as they are committed, lines come out in batches.

    ``on_ready`` is called, without arguments, whenever there is something to take or the watch has ended.
    """

    def __init__(
        self,
        collection: Collection,
        *,
        identity: int,
        namespace: str,
        selector: Selector,
        form: Form,
        content_type: str,
        buffer: int,
        bookmarks: bool,
    ) -> None:
        self.content_type = content_type
        self.bookmarks = bookmarks
        self.on_ready: Callable[[], None] = _nobody
        self.ended = False
        self.overrun = False  # cut off because the reader was too slow
        self._collection = collection
        self._identity = identity
        self._namespace = namespace
        self._selector = selector
        self._form = form
        self._buffer = buffer
        self._after = 0  # events up to this resourceVersion are none of its business
        self._initial: Iterator[Version] = iter(())
        self._pending: deque[tuple[EventType, Event] | bytes] = deque()
        self._timers: list[asyncio.TimerHandle] = []
        collection.listeners[identity] = self._push
        collection.endings[identity] = self.end

    # ── what goes in ────────────────────────────────────────────────────────────────────────────────

    def begin(self, initial: Iterator[Version]) -> None:
        """Send these versions as ADDED before anything else."""
        self._initial = initial

    def resume(self, after: int, events: Iterator[Event]) -> None:
        """Send what happened after a resourceVersion, which may be in the future."""
        self._after = after
        for event in events:
            self._push(event)

    def _push(self, event: Event) -> None:
        version, previous = event.version, event.previous
        if event.rv <= self._after or (self._namespace and version.namespace != self._namespace):
            return
        kind: EventType = event.type
        if not self._selector.everything:
            now = kind != "DELETED" and self._selector.matches(version)
            before = previous is not None and self._selector.matches(previous)
            if not now and not before:
                return
            kind = "DELETED" if not now else "MODIFIED" if before else "ADDED"
        if len(self._pending) >= self._buffer:
            self.overrun = True
            self._pending.clear()
            self.end()
            return
        self._pending.append((kind, event))
        self.on_ready()

    def bookmark(self, *, initial_events_end: bool = False) -> None:
        """Say that everything up to now was sent."""
        metadata: Json = {"resourceVersion": str(self._collection.storage.rv)}
        if initial_events_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        self.line("BOOKMARK", self._form.bookmark(metadata))

    def line(self, type: str, obj: Json) -> None:
        """Send one event that is about no object: a bookmark or an error."""
        if not self.ended:
            self._pending.append(encode({"type": type, "object": obj}) + b"\n")
            self.on_ready()

    def fail(self, status: Json) -> None:
        """Send an ERROR event and end."""
        self.line("ERROR", status)
        self.end()

    def end(self) -> None:
        """No more events; what is pending may still be taken."""
        if not self.ended:
            self.ended = True
            self._collection.listeners.pop(self._identity, None)
            self._collection.endings.pop(self._identity, None)
            for timer in self._timers:
                timer.cancel()
            self.on_ready()

    # ── when ────────────────────────────────────────────────────────────────────────────────────────

    def schedule(self, *, timeout: float, bookmark_every: Callable[[], float]) -> None:
        """End after ``timeout`` seconds, and send bookmarks every so often and shortly before the end."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout
        self._timers = [loop.call_at(ends, self.end)]

        def next_time() -> float:
            last = ends - BOOKMARK_MARGIN
            regular = loop.time() + bookmark_every()
            # A timer may fire a rounding error early: what is that near is now, or it would be set again and again.
            return min(regular, last) if last > loop.time() + ROUNDING else regular

        def tick() -> None:
            if self.bookmarks:
                self.bookmark()
            self._timers[1] = loop.call_at(next_time(), tick)

        self._timers.append(loop.call_at(next_time(), tick))

    # ── what comes out ──────────────────────────────────────────────────────────────────────────────

    def take(self, most: int = BATCH, size: int = BATCH_BYTES) -> list[bytes]:
        """The next lines, each with its newline; [] when there is nothing now, and for good once ``ended``.

        Stops at ``most`` lines, or when they have ``size`` bytes.
        """
        lines: list[bytes] = []
        for line in self._ready():
            lines.append(line)
            size -= len(line)
            if len(lines) >= most or size <= 0:
                break
        return lines

    def _ready(self) -> Iterator[bytes]:
        for version in self._initial:
            yield self._form.added(version)
        while self._pending:
            item = self._pending.popleft()
            yield item if isinstance(item, bytes) else self._form.event(*item)


def _nobody() -> None:
    """Nobody listens yet."""
