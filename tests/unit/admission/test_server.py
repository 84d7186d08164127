"""The endpoint on real sockets with TLS: reviews, and whatever else may come to an open port."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from controller.admission import server
from controller.admission.certificate import Certificate
from controller.admission.review import Rules
from controller.admission.server import PATH, serve
from controller.cassandra.judgement import Contexts
from controller.observability.metrics import Metrics
from tests.unit.admission.reviews import encoded
from tests.unit.admission.test_certificate import mount, pair, trusting
from tests.unit.cassandra.samples import datacenter, manifest

METRICS = Metrics()
CONTEXTS = Contexts(frozenset({"kind-dc1"}))


@asynccontextmanager
async def webhook(folder: Path, contexts: Any = lambda: CONTEXTS) -> AsyncIterator[aiohttp.ClientSession]:
    """A session to a webhook that serves."""
    mount(folder, "..1", *pair())
    certificate = Certificate(str(folder), lambda _: None)
    certificate.refresh()
    async with serve("127.0.0.1:0", certificate, Rules(contexts), METRICS) as port:
        connector = aiohttp.TCPConnector(ssl=trusting())
        async with aiohttp.ClientSession(f"https://127.0.0.1:{port}", connector=connector) as session:
            yield session


def count(outcome: str) -> float:
    return METRICS.registry.get_sample_value("k8ssandra_controller_admission_reviews_total", {"outcome": outcome}) or 0


@pytest.mark.parametrize(("size", "outcome"), [(3, "allowed"), (0, "denied")])
async def test_a_review_is_answered(tmp_path: Path, size: int, outcome: str) -> None:
    before = count(outcome)
    async with webhook(tmp_path) as session:
        answer = await session.post(PATH, params={"timeout": "10s"}, data=encoded(manifest(datacenter(size=size))))
        made = msgspec.json.decode(await answer.read())
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert made["response"]["allowed"] is (outcome == "allowed")
    assert count(outcome) == before + 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", PATH, b"{", 400),
        ("POST", PATH, b'{"kind":"Status"}', 400),
        ("GET", PATH, b"", 405),
        ("POST", "/", b"{}", 404),
    ],
)
async def test_what_is_no_review_is_refused(tmp_path: Path, method: str, path: str, body: bytes, status: int) -> None:
    async with webhook(tmp_path) as session:
        assert (await session.request(method, path, data=body)).status == status


async def test_a_body_without_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_CAP", 1000)
    async with webhook(tmp_path) as session:
        assert (await session.post(PATH, data=b"x" * 1001)).status == 413


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_DEADLINE", 0.05)
    never = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await never.wait()

    async with webhook(tmp_path) as session:
        try:
            assert (await session.post(PATH, data=body())).status == 408
        finally:
            never.set()


async def test_a_failure_of_our_own_is_an_error_and_no_verdict(tmp_path: Path) -> None:
    def broken() -> Contexts:
        raise RuntimeError("a defect")

    before = count("error")
    async with webhook(tmp_path, broken) as session:
        answer = await session.post(PATH, data=encoded(manifest()))
        assert (answer.status, await answer.text()) == (500, "internal error\n")
    assert count("error") == before + 1


async def test_nothing_is_said_without_tls(tmp_path: Path) -> None:
    async with webhook(tmp_path) as session:
        port = session._base_url.port  # type: ignore[union-attr]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"HTTP/" not in await reader.read()
        writer.close()
        await writer.wait_closed()
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context())


async def test_a_session_lives_on_while_the_pair_is_exchanged(tmp_path: Path) -> None:
    mount(tmp_path, "..1", *pair("first"))
    certificate = Certificate(str(tmp_path), lambda _: None)
    certificate.refresh()
    async with serve("127.0.0.1:0", certificate, Rules(lambda: CONTEXTS), METRICS) as port:
        url = f"https://127.0.0.1:{port}{PATH}"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting())) as session:
            assert (await session.post(url, data=encoded(manifest()))).status == 200
            mount(tmp_path, "..2", *pair("second"))
            certificate.refresh()
            assert (await session.post(url, data=encoded(manifest()))).status == 200
