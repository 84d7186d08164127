"""One rig in a namespace of its own for each test, on the servers that all share."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.rig import Rig, rig
from tests.servers import Server, servers

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """All tests run in the loop of the servers that they share; what needs sockets only where there are some."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
    left_out = [item for item in items if item.get_closest_marker("sockets") and _kind(item) == "embedded"]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _kind(item: pytest.Item) -> str:
    return str(item.callspec.params.get("server_kind", "")) if isinstance(item, pytest.Function) else ""


@pytest_asyncio.fixture(loop_scope="session")
async def one(four_servers: list[Server], namespace: str) -> AsyncIterator[Rig]:
    """A rig with the controller not started yet."""
    async with rig(namespace, four_servers) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def their_servers(server_kind: str) -> AsyncIterator[list[Server]]:
    """Four servers of a module's own, for tests that change what a whole cluster has, its definitions above all."""
    async with servers(server_kind, 4) as found:
        yield found


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    """A namespace named after the test."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:50].strip("-")
