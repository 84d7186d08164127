"""What a server answers about a past that it has forgotten."""

from __future__ import annotations

import pytest_asyncio

from controller.kube.resources import CONFIG_MAPS
from controller.kube.transport import Transport
from tests.conformance.api import Answer, Api, Json, ok, refused, until
from tests.conformance.conftest import new_namespace
from tests.conformance.kinds import WIDGETS, config_map
from tests.servers import Server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def forgotten(admin: Transport, server: Server) -> tuple[Api, Json]:
    """A namespace with a, b, c and d, and the first page of a list of it before d, now out of the server's memory."""
    api = Api(admin, await new_namespace(admin))
    for name in "abc":
        ok(await api.create(CONFIG_MAPS, config_map(name)))
    page = ok(await api.list(CONFIG_MAPS, limit="1"))
    ok(await api.create(CONFIG_MAPS, config_map("d")))
    await server.compact(ok(await api.list(CONFIG_MAPS))["metadata"]["resourceVersion"])

    async def gone() -> bool:
        return (await _exactly(api, page)).status == 410

    await until(gone)
    return api, page


async def _exactly(api: Api, page: Json) -> Answer:
    version = page["metadata"]["resourceVersion"]
    return await api.list(CONFIG_MAPS, resourceVersion=version, resourceVersionMatch="Exact")


async def test_a_list_of_a_forgotten_exact_version_is_expired(forgotten: tuple[Api, Json]) -> None:
    refused(410, "Expired", await _exactly(*forgotten))


async def test_a_forgotten_continue_token_is_expired_and_offers_another(forgotten: tuple[Api, Json]) -> None:
    api, page = forgotten
    answer = await api.list(CONFIG_MAPS, continue_=page["metadata"]["continue"])
    status = refused(410, "Expired", answer)
    rest = ok(await api.list(CONFIG_MAPS, continue_=status["metadata"]["continue"]))  # at another version
    assert [item["metadata"]["name"] for item in rest["items"]] == ["b", "c", "d"]


async def test_a_list_not_older_than_a_forgotten_version_is_the_present(forgotten: tuple[Api, Json]) -> None:
    api, page = forgotten
    found = ok(await api.list(CONFIG_MAPS, resourceVersion=page["metadata"]["resourceVersion"]))
    assert [item["metadata"]["name"] for item in found["items"]] == ["a", "b", "c", "d"]


async def test_the_present_version_is_not_forgotten(forgotten: tuple[Api, Json]) -> None:
    api, _ = forgotten
    present = ok(await api.list(CONFIG_MAPS))
    assert ok(await _exactly(api, present))["metadata"] == present["metadata"]


async def test_a_watch_from_a_forgotten_version_is_told_so_and_ends(forgotten: tuple[Api, Json]) -> None:
    api, _ = forgotten
    # Of a kind that was defined later: what a kube-apiserver's cache has seen itself, it still tells.
    async with api.watch(WIDGETS, resourceVersion="1") as watch:
        kind, status = await watch.next()
        assert kind == "ERROR"
        assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
        assert await watch.rest() == []
