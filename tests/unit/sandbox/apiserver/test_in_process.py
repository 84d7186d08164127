"""The in-process transport: deadlines, silence, and links that break. Times are virtual."""

from __future__ import annotations

import asyncio

import pytest

from controller.kube import errors
from controller.kube.client import Client
from controller.kube.resources import CONFIG_MAPS, NAMESPACES
from controller.kube.transport import Request, Response
from controller.sandbox.apiserver import ApiServer, Fault, InProcessTransport
from tests.unit.sandbox.apiserver.conftest import Asker

pytestmark = pytest.mark.looptime

GET = Request(method="GET", path="/api/v1/namespaces", deadline=5.0)
WATCH = Request(method="GET", path="/api/v1/namespaces", query=(("watch", "1"), ("resourceVersion", "1")))


async def test_a_refused_link_fails_at_once(transport: InProcessTransport) -> None:
    transport.link.refuse()
    with pytest.raises(errors.ConnectFailed):
        await transport.request(GET)
    transport.link.restore()
    assert (await transport.request(GET)).status == 200


async def test_a_black_link_costs_the_whole_deadline(transport: InProcessTransport) -> None:
    transport.link.blacken()
    with pytest.raises(errors.DeadlineExceeded):
        await transport.request(GET)
    assert asyncio.get_running_loop().time() == pytest.approx(5.0)


async def test_a_stream_over_a_black_link_is_silent(ask: Asker, transport: InProcessTransport) -> None:
    stream = await transport.stream(WATCH, silence=30.0)
    assert not isinstance(stream, Response)
    await stream.read()
    transport.link.blacken()
    ask.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "unseen"}})
    with pytest.raises(errors.StreamSilent):
        await stream.read()
    assert asyncio.get_running_loop().time() == pytest.approx(30.0)


async def test_a_cut_breaks_streams_and_requests_under_way(server: ApiServer, transport: InProcessTransport) -> None:
    server.faults.add(Fault(verb="list", delay=2.0))
    stream = await transport.stream(WATCH, silence=30.0)
    assert not isinstance(stream, Response)
    await stream.read()
    under_way = asyncio.create_task(transport.request(GET))
    await asyncio.sleep(1.0)
    transport.link.cut()
    with pytest.raises(errors.ConnectionLost):
        await under_way
    with pytest.raises(errors.ConnectionLost):
        await stream.read()
    assert server.watches == 0


async def test_a_link_takes_its_time_both_ways(transport: InProcessTransport) -> None:
    transport.link.latency = lambda: 0.25
    await transport.request(GET)
    assert asyncio.get_running_loop().time() == pytest.approx(0.5)


async def test_closing_breaks_what_is_under_way(server: ApiServer) -> None:
    transport = InProcessTransport(server, server.admin_token)
    server.faults.add(Fault(delay=2.0))
    under_way = asyncio.create_task(transport.request(GET))
    await asyncio.sleep(1.0)
    await transport.close()
    with pytest.raises(errors.ConnectionLost):
        await under_way
    with pytest.raises(errors.ConnectFailed):
        await transport.request(GET)


async def test_a_closed_stream_leaves_no_watch_behind(server: ApiServer, transport: InProcessTransport) -> None:
    stream = await transport.stream(WATCH, silence=30.0)
    assert not isinstance(stream, Response)
    assert server.watches == 1
    await stream.close()
    await stream.close()
    assert server.watches == 0


async def test_a_fault_answers_in_place_of_the_server_as_often_as_was_asked(
    server: ApiServer, transport: InProcessTransport
) -> None:
    client = Client(transport)
    server.faults.add(
        Fault(verb="create", resource="configmaps", status=429, reason="TooManyRequests", retry_after=3, times=2)
    )
    for _ in range(2):
        with pytest.raises(errors.TooManyRequests) as caught:
            await client.create(CONFIG_MAPS, "default", {"metadata": {"name": "x"}})
        assert caught.value.retry_after == 3
    await client.list_all(NAMESPACES)
    await client.create(CONFIG_MAPS, "default", {"metadata": {"name": "x"}})


@pytest.mark.parametrize(("effect", "carried_out"), [("reset", False), ("lose", True)])
async def test_a_connection_may_break_before_or_after_the_write(
    server: ApiServer, transport: InProcessTransport, effect: str, carried_out: bool
) -> None:
    client = Client(transport)
    server.faults.add(Fault(verb="create", effect="lose" if carried_out else "reset"))
    with pytest.raises(errors.ConnectionLost):
        await client.create(CONFIG_MAPS, "default", {"metadata": {"name": "x"}})
    assert carried_out == bool(await client.list_all(CONFIG_MAPS))


async def test_a_watch_may_be_refused_as_expired(server: ApiServer, transport: InProcessTransport) -> None:
    server.faults.add(Fault(verb="watch", resource="configmaps", status=410, reason="Expired"))
    with pytest.raises(errors.Expired):
        await Client(transport).watch(CONFIG_MAPS, resource_version="1", timeout_seconds=60)


async def test_the_server_remembers_who_asked_for_what(server: ApiServer) -> None:
    transport = InProcessTransport(server, server.admin_token, user_agent="controller/1.0")
    client = Client(transport)
    made = await client.create(CONFIG_MAPS, "default", {"metadata": {"name": "x"}})
    await client.list_all(CONFIG_MAPS)
    await client.list_all(CONFIG_MAPS)
    assert server.record.requests(verb="list", resource="configmaps", user_agent="controller") == 2
    (entry,) = server.record.writes
    assert (entry.subject.verb, entry.subject.resource, entry.subject.namespace) == ("create", "configmaps", "default")
    assert (201, made.head.resource_version) == (entry.status, entry.resource_version)
    await transport.close()
