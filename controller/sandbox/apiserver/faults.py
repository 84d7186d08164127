"""Faults that a test asks for, and the record of what was asked of the server."""

from __future__ import annotations

from collections import Counter, deque
from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec

from controller.sandbox.apiserver.failures import Failure

AUDIT: Final = 100_000  # entries kept

Effect: TypeAlias = Literal["answer", "reset", "lose"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong with a matching request; "" matches anything.

    ``effect``: ``answer`` answers with ``status`` (0: as if nothing were wrong, after ``delay``), ``reset`` breaks
    the connection before the request is carried out, ``lose`` after it. ``delay`` is in seconds, before
    everything else. ``times``: for how many requests; None for ever.
    """

    verb: str = ""
    resource: str = ""  # plural, or plural.group
    namespace: str = ""
    name: str = ""
    effect: Effect = "answer"
    status: int = 0
    reason: str = ""
    message: str = "a fault that was asked for"
    retry_after: int | None = None  # s
    delay: float = 0.0
    times: int | None = 1

    def failure(self) -> Failure:
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        details = None if self.retry_after is None else {"retryAfterSeconds": self.retry_after}
        return Failure(self.status, self.reason, self.message, headers=headers, details=details)


class Subject(msgspec.Struct, frozen=True):
    """What a request is about, as authorisation would see it."""

    verb: str  # get, list, watch, create, update, patch, apply, delete, deletecollection; "" for no resource
    resource: str = ""  # plural.group
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class Entry(msgspec.Struct, frozen=True):
    """One write in the audit log, with the status it was answered with."""

    moment: datetime
    user: str
    user_agent: str
    subject: Subject
    status: int
    resource_version: str = ""


class Faults:
    """The faults in force, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._left: dict[int, int] = {}

    def add(self, fault: Fault) -> Fault:
        """Put a fault in force; returns it, for ``remove``."""
        self._waiting.append(fault)
        if fault.times is not None:
            self._left[id(fault)] = fault.times
        return fault

    def remove(self, fault: Fault) -> None:
        self._waiting = [f for f in self._waiting if f is not fault]
        self._left.pop(id(fault), None)

    def clear(self) -> None:
        self._waiting.clear()
        self._left.clear()

    def take(self, subject: Subject) -> Fault | None:
        """The fault that strikes this request, used up once."""
        for fault in self._waiting:
            if _strikes(fault, subject):
                if fault.times is not None:
                    self._left[id(fault)] -= 1
                    if self._left[id(fault)] <= 0:
                        self.remove(fault)
                return fault
        return None


def _strikes(fault: Fault, subject: Subject) -> bool:
    plural = subject.resource.partition(".")[0]
    return (
        fault.verb in ("", subject.verb)
        and (fault.resource in ("", subject.resource, plural))
        and fault.namespace in ("", subject.namespace)
        and fault.name in ("", subject.name)
    )


class Record:
    """Counts of requests, and the log of writes."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()  # (verb, resource, user agent)
        self.writes: deque[Entry] = deque(maxlen=AUDIT)

    def requests(self, *, verb: str = "", resource: str = "", user_agent: str = "") -> int:
        """How many requests were of this kind; "" counts all, ``user_agent`` matches by its beginning."""
        return sum(
            count
            for (v, r, agent), count in self.counts.items()
            if verb in ("", v) and resource in ("", r, r.partition(".")[0]) and agent.startswith(user_agent)
        )
