"""What the figures stand on: verdicts, histories, and the arithmetic of rates."""

from __future__ import annotations

import asyncio

import pytest

from controller.kube.access import Access
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.client import Client
from controller.kube.credentials import StaticCredentials
from controller.kube.resources import CONFIG_MAPS
from controller.sandbox.apiserver import ApiServer, InProcessTransport, serve
from tests.bench.report import Figure
from tests.remotes.limits import BURST, QPS, excess
from tests.remotes.seen import Asked, asked, tokens, writes
from tests.remotes.verdicts import Findings, at_most
from tests.remotes.watching import history


def test_a_figure_is_judged_by_its_worst_round() -> None:
    assert at_most("group", "name", [1, 1, 1, 1, 5], 4).verdict == "missed"
    assert at_most("group", "name", [1, 1, 1, 1, 4], 4).verdict == "met"


def test_one_of_two_hundred_rounds_may_be_worse() -> None:
    assert at_most("group", "name", [1.0] * 199 + [5.0], 4).verdict == "met"


def test_a_figure_without_a_bound_has_no_verdict() -> None:
    assert at_most("group", "name", [1], None).verdict == ""


async def test_a_part_that_fails_is_named_and_the_others_count(capsys: pytest.CaptureFixture[str]) -> None:
    async def fails() -> list[Figure]:
        raise RuntimeError("the world is gone")

    async def works() -> list[Figure]:
        return [at_most("group", "name", [1], 2)]

    found = Findings()
    await found.measure("first", fails())
    await found.measure("second", works())
    assert (found.failed, len(found.figures)) == (["first"], 1)
    assert "the world is gone" in capsys.readouterr().err


def test_a_bucket_that_is_obeyed_leaves_no_excess() -> None:
    burst = [Asked(0.0, "get", "secrets", 200)] * BURST
    steady = [Asked((number + 1) / QPS, "get", "secrets", 200) for number in range(20)]
    assert excess([*burst, *steady]) <= 1
    assert excess([*burst, *burst]) == BURST


async def test_a_history_tells_when_an_object_came_to_be_as_wanted() -> None:
    server = ApiServer()
    client = Client(InProcessTransport(server, server.admin_token))
    async with history(server, CONFIG_MAPS) as found:
        since = asyncio.get_running_loop().time()
        await client.create(CONFIG_MAPS, "default", {"metadata": {"name": "it"}, "data": {"size": "3"}})
        await client.patch(CONFIG_MAPS, "default", "it", {"data": {"size": "4"}}, kind="merge")
        seen = await found.first(
            lambda event: event.object["data"]["size"] == "4", since=since, within=5, what="it is 4"
        )
        assert (seen.name, len(found.events)) == ("it", 2)
        with pytest.raises(RuntimeError, match="it is 5"):
            await found.first(
                lambda event: event.object["data"]["size"] == "5", since=since, within=0.05, what="it is 5"
            )
    await client.close()


async def test_what_a_server_is_asked_is_noted_with_its_answer() -> None:
    server = ApiServer()
    async with serve(server) as endpoint:
        access = Access(server=endpoint.url, certificate_authority=endpoint.ca_pem, token=server.admin_token)
        client = Client(AiohttpTransport(StaticCredentials(access)))
        with asked(server) as requests, tokens(server) as used:
            await client.create(CONFIG_MAPS, "default", {"metadata": {"name": "it"}})
            await client.raw("GET", "/version")
        await client.list_all(CONFIG_MAPS, "default")
        await client.close()
    assert [(each.verb, each.status, each.limited) for each in requests] == [("create", 201, True), ("", 200, False)]
    assert list(used) == [server.admin_token]
    assert writes(server) == 1
