"""A rig in a namespace of its own for each test, on the servers that all share."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from zlib import crc32

import pytest
import pytest_asyncio

from tests.integration.rig import Rig, rig
from tests.parity.stage import FOR_EVER
from tests.servers import Server

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests run in the loop of the servers that they share."""
    for item in items:
        if item.path.is_relative_to(HERE) and isinstance(item, pytest.Function) and "server_kind" in item.fixturenames:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(loop_scope="session")
async def one(four_servers: list[Server], namespace: str) -> AsyncIterator[Rig]:
    """The controller runs, and datacenters become Ready a moment after they were made."""
    async with rig(namespace, four_servers) as made:
        await made.start()
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def by_hand(four_servers: list[Server], namespace: str) -> AsyncIterator[Rig]:
    """The controller runs; pods come at once, but a datacenter becomes Ready when the test says so."""
    async with rig(namespace, four_servers, ready_after=FOR_EVER) as made:
        await made.start()
        yield made


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    """A namespace named after the test; names that begin alike stay apart."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    return f"{name[:40].strip('-')}-{crc32(name.encode()):08x}"
