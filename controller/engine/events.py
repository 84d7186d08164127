"""Kubernetes Events about our objects: counted up instead of repeated, and never in anybody's way."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from random import Random
from typing import Any, Final, Literal, NoReturn, Protocol, TypeAlias

import msgspec
import structlog

from controller.engine.backoff import full_jitter
from controller.engine.clock import Clock, rfc3339
from controller.kube.client import PatchType
from controller.kube.errors import (
    AlreadyExists,
    ApiError,
    KubeError,
    NotFound,
    ServerError,
    TooManyRequests,
    TransportError,
    clean,
)
from controller.kube.objects import Object
from controller.kube.resources import EVENTS, Resource

MESSAGE_BYTES: Final = 1024  # the API's limit for a message
REASON_CHARACTERS: Final = 128
NAME_CHARACTERS: Final = 253
CAPACITY: Final = 1000  # events that wait to be sent; more are dropped
REMEMBERED: Final = 4096  # events that may be counted up
BURST: Final = 25  # events about one object at once, as client-go
REFILL: Final = 300.0  # s until one more may be sent about it, as client-go
TRIES: Final = 3
SENT_AT_ONCE: Final = 10  # events after a rest, as client-go; what a fleet says does not hold up what it does
SENT_PER_SECOND: Final = 5.0

EventType: TypeAlias = Literal["Normal", "Warning"]

_log = structlog.get_logger(__name__)


class Reference(msgspec.Struct, frozen=True):
    """The object that an event is about. ``namespace`` "" for one that has none."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


class EventClient(Protocol):
    """The part of ``kube.client.Client`` that recording needs."""

    async def create(
        self, resource: Resource, namespace: str, obj: dict[str, Any], *, field_manager: str = ""
    ) -> Object: ...

    async def patch(
        self, resource: Resource, namespace: str, name: str, patch: dict[str, Any], *, kind: PatchType
    ) -> Object: ...


class _Identity(msgspec.Struct, frozen=True):
    """What makes two events the same."""

    about: Reference
    type: EventType
    reason: str
    message: str


class _Recorded(msgspec.Struct):
    name: str
    count: int


class _Bucket(msgspec.Struct):
    tokens: float
    at: float  # loop time

    def fill(self, now: float, burst: float, rate: float) -> None:
        self.tokens = min(burst, self.tokens + (now - self.at) * rate)
        self.at = now

    def take(self, now: float, burst: float, rate: float) -> float:
        """Take a token, perhaps of the future; returns the seconds until it is there."""
        self.fill(now, burst, rate)
        self.tokens -= 1
        return max(0.0, -self.tokens / rate)


class EventRecorder:
    """Records events in the background.

    ``record`` never waits and never raises; ``run`` sends, and has to run for anything to be sent. The same event
    again raises the count of the first. Warnings go first, and all go at a rate that takes nothing from the writes
    they tell of. What exceeds the rate of its object, the queue, or three tries is dropped and counted in
    ``dropped``: events tell people, nothing may depend on them.
    """

    def __init__(
        self,
        client: EventClient,
        component: str,
        clock: Clock,
        *,
        rng: Random,
        instance: str = "",
        capacity: int = CAPACITY,
    ) -> None:
        self.sent = 0
        self.dropped = 0
        self._client = client
        self._component = component
        self._instance = instance or component
        self._clock = clock
        self._rng = rng
        self._capacity = capacity
        self._pending: OrderedDict[_Identity, int] = OrderedDict()  # with how often each happened meanwhile
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._recorded: OrderedDict[_Identity, _Recorded] = OrderedDict()
        self._buckets: OrderedDict[Reference, _Bucket] = OrderedDict()
        self._sequence = 0

    def record(self, about: Reference, type: EventType, reason: str, message: str) -> None:
        """Note that ``reason`` happened to ``about``; ``message`` is cut to 1 KiB."""
        event = _Identity(about, type, clean(reason, REASON_CHARACTERS), _cut(clean(message, MESSAGE_BYTES)))
        if event in self._pending:
            self._pending[event] += 1
            return
        if len(self._pending) >= self._capacity or not self._may_send(about):
            self.dropped += 1
            return
        self._pending[event] = 1
        self._idle.clear()
        self._arrived.set()

    async def idle(self) -> None:
        """Wait until everything that was recorded is sent or dropped."""
        await self._idle.wait()

    async def run(self) -> NoReturn:
        """Send events, of a kind the oldest first, until cancelled."""
        loop = asyncio.get_running_loop()
        await self._arrived.wait()
        pace = _Bucket(SENT_AT_ONCE, loop.time())
        while True:
            await self._arrived.wait()
            while self._pending:
                await asyncio.sleep(pace.take(loop.time(), SENT_AT_ONCE, SENT_PER_SECOND))
                event = next((each for each in self._pending if each.type == "Warning"), next(iter(self._pending)))
                await self._deliver(event, self._pending.pop(event))
            self._arrived.clear()
            self._idle.set()

    def _may_send(self, about: Reference) -> bool:
        now = asyncio.get_running_loop().time()
        bucket = self._buckets.get(about)
        if bucket is None:
            bucket = self._buckets[about] = _Bucket(BURST, now)
            if len(self._buckets) > REMEMBERED:
                self._buckets.popitem(last=False)
        bucket.fill(now, BURST, 1 / REFILL)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    async def _deliver(self, event: _Identity, count: int) -> None:
        for attempt in range(TRIES):
            try:
                await self._send(event, count)
            except AlreadyExists:
                continue  # another process took the name; the next try has another
            except (TransportError, ServerError, TooManyRequests) as error:
                wait = error.retry_after if isinstance(error, ApiError) else None
                if attempt + 1 < TRIES:
                    await asyncio.sleep(max(wait or 0.0, full_jitter(self._rng, attempt)))
                    continue
                self._give_up(event, error)
                return
            except KubeError as error:
                self._give_up(event, error)
                return
            except Exception as error:  # noqa: BLE001 - a defect here must not end recording
                self._give_up(event, error)
                return
            else:
                self.sent += 1
                return
        self.dropped += 1

    def _give_up(self, event: _Identity, error: Exception) -> None:
        self.dropped += 1
        about = event.about
        _log.warning(
            "event not recorded",
            kind=about.kind,
            namespace=about.namespace,
            name=about.name,
            reason=event.reason,
            error=f"{type(error).__name__}: {error}",
        )

    async def _send(self, event: _Identity, count: int) -> None:
        namespace = event.about.namespace or "default"  # where events about objects without namespace belong
        recorded = self._recorded.get(event)
        if recorded is not None:
            total = recorded.count + count
            try:
                await self._client.patch(
                    EVENTS,
                    namespace,
                    recorded.name,
                    {"count": total, "lastTimestamp": rfc3339(self._clock.now())},
                    kind="merge",
                )
            except NotFound:
                del self._recorded[event]  # its time to live is over: begin anew
            else:
                recorded.count = total
                self._recorded.move_to_end(event)
                return
        name = self._name(event.about.name)
        await self._client.create(EVENTS, namespace, self._body(event, namespace, name, count))
        self._recorded[event] = _Recorded(name, count)
        if len(self._recorded) > REMEMBERED:
            self._recorded.popitem(last=False)

    def _name(self, about: str) -> str:
        # The microsecond makes names differ between processes, the sequence within one.
        self._sequence += 1
        suffix = f".{int(self._clock.now().timestamp() * 1e6):x}{self._sequence & 0xFFFF:04x}"
        return about[: NAME_CHARACTERS - len(suffix)].rstrip("-.") + suffix

    def _body(self, event: _Identity, namespace: str, name: str, count: int) -> dict[str, Any]:
        about, now = event.about, rfc3339(self._clock.now())
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": about.api_version,
                "kind": about.kind,
                "name": about.name,
                "uid": about.uid,
                **({"namespace": about.namespace} if about.namespace else {}),
            },
            "type": event.type,
            "reason": event.reason,
            "message": event.message,
            "count": count,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }


def _cut(message: str) -> str:
    encoded = message.encode("utf-8", "replace")
    if len(encoded) <= MESSAGE_BYTES:
        return encoded.decode()
    return encoded[: MESSAGE_BYTES - len("…".encode())].decode(errors="ignore") + "…"
