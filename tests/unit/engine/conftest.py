from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog

# pytest-asyncio asks for the current loop before it sets its own; until one was ever set, asyncio answers by making
# one that nobody closes, and its ResourceWarning fails whichever test the garbage collector runs in.
asyncio.set_event_loop(None)


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged, instead of printing it."""
    with structlog.testing.capture_logs() as entries:
        yield entries
