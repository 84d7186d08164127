"""One server for the whole suite, one namespace for each case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from controller.kube.resources import NAMESPACES
from controller.kube.transport import Transport
from tests.conformance.api import Api, ok
from tests.conformance.kinds import GADGETS, WIDGETS, gadget_crd, install, widget_crd
from tests.servers import Server, servers

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All cases run in the loop of the server that they share."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(server_kind: str) -> AsyncIterator[Server]:
    async with servers(server_kind) as (one,):
        yield one


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def admin(server: Server) -> AsyncIterator[Transport]:
    """The admin's transport, with the CRDs of the suite installed."""
    transport = server.transport()
    try:
        api = Api(transport, "default")
        await install(api, widget_crd(), WIDGETS)
        await install(api, gadget_crd(), GADGETS)
        yield transport
    finally:
        await transport.close()


@pytest_asyncio.fixture(loop_scope="session")
async def api(admin: Transport) -> Api:
    """The admin in a new namespace."""
    return Api(admin, await new_namespace(admin))


async def new_namespace(admin: Transport, **labels: Any) -> str:
    created = await Api(admin, "").create(NAMESPACES, {"metadata": {"generateName": "case-", "labels": labels}})
    name: str = ok(created)["metadata"]["name"]
    return name
