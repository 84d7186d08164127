"""What all unit tests share."""

from __future__ import annotations

import asyncio
import inspect

import pytest


@pytest.fixture(autouse=True)
def _no_stray_loop(request: pytest.FixtureRequest) -> None:
    """looptime asks the policy for a loop before synchronous property tests too; once one was set, the policy says
    that there is none instead of making one that nobody closes."""
    if not inspect.iscoroutinefunction(request.function):
        asyncio.set_event_loop(None)
