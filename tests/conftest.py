"""Which servers the conformance and integration suites run against."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.real.binaries import BinariesMissing, obtain
from tests.servers import EMBEDDED, REAL, Server, servers


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--real",
        action="store_true",
        help="run what needs API servers against real kube-apiservers; fails where they cannot be had",
    )


def pytest_configure() -> None:
    # Before Python 3.12 asking for the current loop makes one when none was ever set; pytest-asyncio asks, and
    # nobody would close that loop. Having been told that there is none, the policy makes none.
    asyncio.set_event_loop(None)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have the real servers' binaries before the first test, whose own timeout is far shorter than their build."""
    if session.config.getoption("--real"):
        capture = session.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            try:
                obtain()
            except BinariesMissing as missing:
                pytest.exit(str(missing), returncode=pytest.ExitCode.TESTS_FAILED)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whatever asks for ``server_kind`` runs on real servers, or on every kind of embedded one."""
    if "server_kind" in metafunc.fixturenames:
        real = metafunc.config.getoption("--real")
        kinds = [pytest.param(kind, marks=pytest.mark.real) for kind in REAL] if real else list(EMBEDDED)
        metafunc.parametrize("server_kind", kinds, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is about real servers only is left out, not skipped, unless they are asked for."""
    if config.getoption("--real"):
        return
    left_out = [item for item in items if item.get_closest_marker("real")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("real")]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def four_servers(server_kind: str) -> AsyncIterator[list[Server]]:
    """A control plane and three data planes, for all suites that run the whole controller."""
    async with servers(server_kind, 4) as found:
        yield found
