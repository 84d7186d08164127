"""The real servers as tests need them: apart from each other, restartable, pausable, and gone afterwards."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from controller.kube import errors
from controller.kube.access import Access
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.client import Client
from controller.kube.credentials import StaticCredentials
from controller.kube.resources import CONFIG_MAPS
from tests.real.servers import real_servers

pytestmark = pytest.mark.real

NAME = {"metadata": {"name": "it"}}


@asynccontextmanager
async def client(access: Access) -> AsyncIterator[Client]:
    found = Client(AiohttpTransport(StaticCredentials(access)))
    try:
        yield found
    finally:
        await found.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_servers_over_one_etcd_share_neither_objects_nor_identities() -> None:
    async with real_servers(["one", "two"], controllers=False) as world:
        one, two = world.servers
        async with client(one.access) as here, client(two.access) as there:
            await here.create(CONFIG_MAPS, "default", NAME)
            with pytest.raises(errors.NotFound):
                await there.get(CONFIG_MAPS, "default", "it")
        stranger = msgspec.structs.replace(two.access, token=one.admin_token)
        async with client(stranger) as wrong_token:
            with pytest.raises(errors.Unauthorized):
                await wrong_token.get(CONFIG_MAPS, "default", "it")
        async with client(msgspec.structs.replace(two.access, certificate_authority=one.ca_pem)) as wrong_ca:
            with pytest.raises(errors.TLSFailed):
                await wrong_ca.get(CONFIG_MAPS, "default", "it")


async def test_a_client_certificate_of_the_ca_is_an_identity() -> None:
    async with real_servers(controllers=False) as world:
        (server,) = world.servers
        certificate, key = server.pki.client_certificate("somebody", "system:masters")
        access = Access(
            server=server.url,
            certificate_authority=server.ca_pem,
            client_certificate=certificate,
            client_key=key,
        )
        async with client(access) as somebody:
            assert await somebody.list_all(CONFIG_MAPS, "default") == []


async def test_a_killed_server_comes_back_with_what_it_had() -> None:
    async with real_servers(controllers=False) as world:
        (server,) = world.servers
        async with client(server.access) as admin:
            created = await admin.create(CONFIG_MAPS, "default", NAME)
            server.kill()
            with pytest.raises(errors.TransportError):
                await admin.get(CONFIG_MAPS, "default", "it")
            await server.restart()
            assert (await admin.get(CONFIG_MAPS, "default", "it")).head == created.head


async def test_a_paused_server_is_silent_until_it_is_resumed() -> None:
    async with real_servers(controllers=False) as world:
        (server,) = world.servers
        async with client(server.access) as admin:
            await admin.create(CONFIG_MAPS, "default", NAME)
            server.api_server.pause()
            with pytest.raises(errors.TransportError):
                await admin.raw("GET", "/version", deadline=1.0)
            server.api_server.resume()
            assert (await admin.get(CONFIG_MAPS, "default", "it")).head.name == "it"


async def test_no_process_outlives_its_servers_even_when_the_body_fails() -> None:
    pids: list[int] = []

    async def fail() -> None:
        async with real_servers() as world:
            pids.extend(process.pid for process in world.processes)
            raise RuntimeError("the body failed")

    with pytest.raises(RuntimeError, match="the body failed"):
        await fail()
    assert len(pids) == 3
    assert [pid for pid in pids if alive(pid)] == []
