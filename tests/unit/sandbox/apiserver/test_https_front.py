"""The HTTPS front, through the controller's own transport and through a plain client."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from controller.kube.resources import CONFIG_MAPS
from controller.sandbox.apiserver import ApiServer, Endpoint, Fault, kubeconfig, serve
from tests.unit.sandbox.apiserver.conftest import Asker

MAPS = CONFIG_MAPS.path("default")


@pytest_asyncio.fixture
async def endpoint(server: ApiServer) -> AsyncIterator[Endpoint]:
    async with serve(server) as listening:
        yield listening


@pytest_asyncio.fixture
async def http(endpoint: Endpoint) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cadata=endpoint.ca_pem.decode())
    headers = {"authorization": f"Bearer {endpoint.admin_token}"}
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(endpoint.url, connector=connector, headers=headers) as session:
        yield session


async def test_a_request_goes_there_and_back(http: aiohttp.ClientSession) -> None:
    async with http.post(MAPS, json={"metadata": {"name": "x"}, "data": {"a": "b"}}) as created:
        assert created.status == 201
        assert created.content_type == "application/json"
    async with http.get(f"{MAPS}/x") as found:
        assert (await found.json())["data"] == {"a": "b"}


async def test_a_body_over_the_cap_is_refused_with_a_status(http: aiohttp.ClientSession) -> None:
    async with http.post(MAPS, data=io.BytesIO(b" " * (3 * 1024 * 1024 + 1))) as refused:
        assert (refused.status, (await refused.json())["reason"]) == (413, "RequestEntityTooLarge")


async def test_a_wrong_token_is_unauthorized(http: aiohttp.ClientSession) -> None:
    async with http.get(MAPS, headers={"authorization": "Bearer wrong"}) as refused:
        assert refused.status == 401


async def test_events_stream_as_they_happen(http: aiohttp.ClientSession, ask: Asker) -> None:
    async with http.get(MAPS, params={"watch": "1", "resourceVersion": "1"}) as watch:
        for name in ("a", "b"):
            ask.ok("POST", MAPS, {"metadata": {"name": name}})
            line = await watch.content.readline()
            assert f'"name":"{name}"'.encode() in line


async def test_what_happens_at_once_is_sent_at_once(http: aiohttp.ClientSession, ask: Asker) -> None:
    async with http.get(MAPS, params={"watch": "1", "resourceVersion": "1"}) as watch:
        for number in range(100):
            ask.ok("POST", MAPS, {"metadata": {"name": f"n{number}"}})
        first, _ = await watch.content.readchunk()
        assert first.count(b"\n") == 100


async def test_a_client_that_goes_away_leaves_no_watch_behind(http: aiohttp.ClientSession, server: ApiServer) -> None:
    async with http.get(MAPS, params={"watch": "1"}):
        assert server.watches == 1
    async with asyncio.timeout(5):
        while server.watches:
            await asyncio.sleep(0.01)


async def test_a_reset_breaks_the_connection(http: aiohttp.ClientSession, server: ApiServer) -> None:
    server.faults.add(Fault(effect="reset", times=None))
    try:
        await http.get(MAPS)
    except aiohttp.ClientConnectionError as broken:
        error: Exception | None = broken
    else:
        error = None
    assert error is not None


async def test_a_slow_reader_is_cut_off(http: aiohttp.ClientSession, server: ApiServer, ask: Asker) -> None:
    server.reader.watch_buffer = 50
    async with http.get(MAPS, params={"watch": "1"}) as watch:
        ask.ok("POST", MAPS, {"metadata": {"name": "big"}, "data": {"a": "x" * 900_000}})
        for number in range(100):
            ask.merge(f"{MAPS}/big", {"data": {"n": str(number)}})
            await asyncio.sleep(0)
        with pytest.raises(aiohttp.ClientError):
            await watch.read()
    assert server.watches == 0


async def test_leaving_the_block_ends_open_watches(server: ApiServer) -> None:
    async with serve(server) as endpoint:
        context = ssl.create_default_context(cadata=endpoint.ca_pem.decode())
        headers = {"authorization": f"Bearer {endpoint.admin_token}"}
        session = aiohttp.ClientSession(endpoint.url, connector=aiohttp.TCPConnector(ssl=context), headers=headers)
        watch = await session.get(MAPS, params={"watch": "1"})
    assert await watch.content.read() == b""
    await session.close()


async def test_a_kubeconfig_has_one_context_with_everything_in_it(endpoint: Endpoint) -> None:
    config = kubeconfig(endpoint, "dc-1")
    assert config["current-context"] == "dc-1"
    assert config["users"] == [{"name": "dc-1", "user": {"token": endpoint.admin_token}}]
    assert endpoint.admin_token not in repr(endpoint)
