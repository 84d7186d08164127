"""Workers take items from a queue, reconcile them within a deadline, and do with each what its outcome says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias

import msgspec
import structlog

from controller.engine.supervise import cancelled_from_outside
from controller.engine.workqueue import ShutDown, WorkQueue
from controller.kube.errors import ApiError, ClusterUnavailable, Conflict, KubeError

RECONCILE_DEADLINE: Final = 120.0  # s for one pass; every call inside has a shorter one of its own
SLOW_RECHECK: Final = 600.0  # s until a rejected object is looked at again although it did not change

_log = structlog.get_logger(__name__)


class Item(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """What to reconcile: an object by name, in one context ("" is the control plane)."""

    kind: str
    namespace: str
    name: str
    context: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" + (f" in {self.context}" if self.context else "")


class Done(msgspec.Struct, frozen=True):
    """The world is as it should be; an event starts the next pass."""


class Again(msgspec.Struct, frozen=True):
    """Nothing is wrong, but look again in ``after`` seconds."""

    after: float


class Retry(msgspec.Struct, frozen=True):
    """It failed and may work later: again with backoff, not before the server's Retry-After."""

    error: Exception


class Rejected(msgspec.Struct, frozen=True):
    """It cannot work until the object changes: only a slow re-check."""

    error: Exception


class Parked(msgspec.Struct, frozen=True):
    """The cluster ``context`` is away: nothing until it is back, or an event."""

    context: str


Result: TypeAlias = Done | Again | Retry | Rejected | Parked
Reconcile: TypeAlias = Callable[[Item], Awaitable[Result]]


class WorkerObserver(Protocol):
    """Told of every finished pass; for metrics. Called synchronously, must not raise."""

    def __call__(self, item: Item, outcome: str, seconds: float) -> None:
        """``outcome``: done, again, retry, rejected, parked; or error, deadline for what the reconcile let escape."""
        ...


class Workers:
    """``count`` workers of one queue.

    Whatever a reconcile raises is logged once and retried with backoff; a worker never dies of it. Only
    ``ClusterUnavailable`` parks the item. A pass that takes longer than ``deadline`` seconds is cancelled, and
    retried too.
    """

    def __init__(
        self,
        queue: WorkQueue[Item],
        reconcile: Reconcile,
        count: int,
        *,
        deadline: float = RECONCILE_DEADLINE,
        slow_recheck: float = SLOW_RECHECK,
        observer: WorkerObserver | None = None,
    ) -> None:
        if count < 1:
            raise ValueError("a queue needs at least one worker")
        self._queue = queue
        self._reconcile = reconcile
        self._count = count
        self._deadline = deadline
        self._slow_recheck = slow_recheck
        self._observer = observer

    async def run(self) -> None:
        """Work until the queue is shut down and empty. When cancelled, the items under way are queued again."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._work(), name=f"worker-{number}")

    async def _work(self) -> None:
        while True:
            try:
                item = await self._queue.get()
            except ShutDown:
                return
            returns = self._queue.returns
            finished = False
            try:
                result = await self._pass(item)
                self._settle(item, result, returns)
                finished = True
            finally:
                # A pass that was cancelled has not said what comes next: the item must not be lost with it.
                if not finished:
                    self._queue.add(item)
                self._queue.done(item)

    async def _pass(self, item: Item) -> Result:
        loop = asyncio.get_running_loop()
        started = loop.time()
        timeout = asyncio.timeout(self._deadline)
        try:
            async with timeout:
                result = await self._reconcile(item)
            outcome = _name(result)
        except asyncio.CancelledError as error:
            if cancelled_from_outside():
                raise
            # Something that the reconcile awaited was cancelled. Left alone it would end this worker silently,
            # because a task group takes a cancelled task for a finished one.
            outcome, result = "error", Retry(RuntimeError("a call was cancelled from elsewhere"))
            _log.error("reconcile failed", **_fields(item), exc_info=error)
        except ClusterUnavailable as error:
            outcome, result = "parked", Parked(error.context)
        except Exception as error:  # noqa: BLE001 - the one place that keeps a bad object from ending a worker
            if timeout.expired() and isinstance(error, TimeoutError):
                outcome, result = "deadline", Retry(error)
                _log.error("reconcile took too long", **_fields(item), deadline=self._deadline)
            else:
                outcome, result = "error", Retry(error)
                # Errors of the API name their cause; of others the traceback is wanted.
                known = isinstance(error, KubeError)
                _log.error(
                    "reconcile failed", **_fields(item), error=describe(error), exc_info=None if known else error
                )
        else:
            _report(item, result)
        if self._observer is not None:
            self._observer(item, outcome, loop.time() - started)
        return result

    def _settle(self, item: Item, result: Result, returns: int) -> None:
        queue = self._queue
        match result:
            case Done():
                queue.forget(item)
            case Again(after):
                queue.forget(item)
                queue.add_after(item, after)
            case Retry(error):
                wait = error.retry_after if isinstance(error, ApiError) else None
                queue.add_rate_limited(item, at_least=wait or 0.0)
            case Rejected():
                queue.forget(item)
                queue.add_after(item, self._slow_recheck)
            case Parked(context):
                queue.forget(item)
                queue.park(item, context, since=returns)


_NAMES: Final[dict[type, str]] = {
    Done: "done",
    Again: "again",
    Retry: "retry",
    Rejected: "rejected",
    Parked: "parked",
}


def _name(result: Result) -> str:
    try:
        return _NAMES[type(result)]
    except KeyError:
        raise TypeError(f"a reconcile returned {type(result).__name__}, which is no outcome") from None


def _report(item: Item, result: Result) -> None:
    match result:
        case Retry(error) if isinstance(error, Conflict):
            _log.info("reconcile will retry", **_fields(item), error=describe(error))  # somebody else wrote first
        case Retry(error):
            _log.warning("reconcile will retry", **_fields(item), error=describe(error))
        case Rejected(error):
            _log.warning("reconcile rejected the object", **_fields(item), error=describe(error))
        case _:
            pass


def _fields(item: Item) -> dict[str, str]:
    return {"kind": item.kind, "namespace": item.namespace, "name": item.name, "cluster": item.context}


def describe(error: BaseException) -> str:
    """The class and text of an error, on one line."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
