"""Keeps a task running: one that dies is started again, later and later, and somebody is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import NoReturn, Protocol

import structlog

from controller.engine.backoff import BASE, CAP, HEALTHY, Backoff

_log = structlog.get_logger(__name__)


class RestartObserver(Protocol):
    """Told of every restart; for metrics."""

    def __call__(self, name: str, error: BaseException | None) -> None:
        """``error``: what the task died of, None when it returned."""
        ...


async def keep_running(
    name: str,
    make: Callable[[], Awaitable[None]],
    *,
    rng: Random,
    on_restart: RestartObserver | None = None,
    base: float = BASE,
    cap: float = CAP,
    healthy: float = HEALTHY,
) -> NoReturn:
    """Run ``make()`` for ever.

    When it raises or returns, it is logged, ``on_restart`` is told, and it runs again after a full-jitter
    backoff (seconds; the first again once it ran for ``healthy``). Cancellation passes through. A cancellation
    that nobody asked this task for, such as one of a future that ``make()`` awaited, is a death like others.
    """
    loop = asyncio.get_running_loop()
    backoff = Backoff(rng, base=base, cap=cap)
    while True:
        started = loop.time()
        death: BaseException | None = None
        try:
            await make()
        except asyncio.CancelledError as error:
            if cancelled_from_outside():
                raise
            death = error
        except Exception as error:  # noqa: BLE001 - whatever it was, the task has to live
            death = error
        if loop.time() - started >= healthy:
            backoff.reset()
        wait = backoff.next()
        _log.error("task ended, will be restarted", task=name, wait=round(wait, 3), exc_info=death)
        if on_restart is not None:
            on_restart(name, death)
        await asyncio.sleep(wait)


def cancelled_from_outside() -> bool:
    """Whether the running task itself was asked to stop; False for the CancelledError of something it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
