"""What a reflector may do next, what it may be in, and what it has done."""

from __future__ import annotations

import enum
from collections import Counter
from typing import TypeAlias

import msgspec

from controller.kube.errors import KubeError


class Phase(enum.StrEnum):
    STARTING = "starting"
    SYNCING = "syncing"  # a list is under way
    LIVE = "live"
    ABSENT = "absent"  # the server does not serve this kind
    FORBIDDEN = "forbidden"
    FAILING = "failing"


class State(msgspec.Struct, frozen=True):
    """``since``: loop time at which the phase began; ``error``: why it is not live, None when nothing is wrong."""

    phase: Phase
    since: float = 0.0
    error: KubeError | None = None


# What to do next.


class StreamList(msgspec.Struct, frozen=True):
    """Open a watch that first sends everything that exists, and stay on it."""


class PageList(msgspec.Struct, frozen=True):
    """List in pages of ``limit`` objects; 0: in one."""

    limit: int


class Watch(msgspec.Struct, frozen=True):
    """Watch from ``resource_version``."""

    resource_version: str


class Discover(msgspec.Struct, frozen=True):
    """Ask whether the kind is served."""


class Pause(msgspec.Struct, frozen=True):
    """Wait ``seconds``."""

    seconds: float


Step: TypeAlias = StreamList | PageList | Watch | Discover | Pause


class Counters:
    """What a reflector has done since it was made."""

    __slots__ = ("bookmarks", "events", "fallbacks", "lists", "relists", "restarts", "unreadable")

    def __init__(self) -> None:
        self.lists: Counter[str] = Counter()  # completed, by "streaming" and "paged"
        self.relists: Counter[str] = Counter()  # begun again, by reason
        self.restarts: Counter[str] = Counter()  # of watches, by reason
        self.fallbacks = 0  # times that streaming lists were given up until forget_fallback
        self.events = 0
        self.bookmarks = 0
        self.unreadable = 0
