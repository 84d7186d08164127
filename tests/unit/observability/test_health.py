from __future__ import annotations

import asyncio

import aiohttp
import pytest

from controller.observability.health import serve, split_address
from controller.observability.metrics import Metrics


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_a_process_that_waits_lives_and_is_not_ready() -> None:
    missing = ["the list of secrets", "the list of pods"]
    async with serve("127.0.0.1:0", ready=lambda: missing) as port:
        assert await get(port, "/healthz") == (200, "ok\n")
        assert await get(port, "/readyz") == (503, "waiting for the list of secrets\nwaiting for the list of pods\n")
        missing.clear()
        assert await get(port, "/readyz") == (200, "ok\n")


async def test_metrics_are_on_an_address_of_their_own() -> None:
    async with serve("127.0.0.1:0", ready=list) as health, serve("127.0.0.1:0", metrics=Metrics()) as metrics:
        assert (await get(health, "/metrics"))[0] == 404
        assert (await get(metrics, "/readyz"))[0] == 404
        status, text = await get(metrics, "/metrics")
    assert status == 200
    assert "process_cpu_seconds_total" in text


async def test_a_scrape_of_many_clusters_leaves_turns_to_others() -> None:
    metrics, turns = Metrics(), 0
    for number in range(100):
        metrics.observer(f"context-{number}")("get", "secrets", "200", 0.1)

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with serve("127.0.0.1:0", metrics=metrics) as port:
        task = asyncio.create_task(others())
        assert (await get(port, "/metrics"))[0] == 200
        before = turns
        list(metrics.render())  # whoever does it at once
        assert turns == before
        task.cancel()
    assert before > 200  # one piece for each cluster and each metric that has a series there


async def test_the_port_is_free_afterwards() -> None:
    async with serve("127.0.0.1:0", ready=list) as port:
        pass
    async with serve(f"127.0.0.1:{port}", ready=list) as again:
        assert again == port


async def test_an_address_in_use_is_an_error() -> None:
    async with serve("127.0.0.1:0", ready=list) as port:
        with pytest.raises(OSError, match=str(port)):
            async with serve(f"127.0.0.1:{port}", ready=list):
                pass


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        (":8080", (None, 8080)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:9", ("::1", 9)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_an_address_is_host_and_port(address: str, parts: tuple[str | None, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["", "8080", "host", "host:", "host:http", ":65536", ":-1", ":²", "host:80 "])
def test_another_address_is_refused_by_name(address: str) -> None:
    with pytest.raises(ValueError, match="is not host:port, for example"):
        split_address(address)
