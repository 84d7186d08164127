"""A process that lists objects and keeps them: in the controller's store, or as dictionaries."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import sys
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

import controller.cli.run  # noqa: F401 - the whole controller is in memory, as it is in production
from controller.engine.reflector import Reflector
from controller.engine.source import ResourceSource
from controller.engine.store import Store
from controller.kube.access import Access
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.client import Client
from controller.kube.credentials import StaticCredentials
from tests.bench import corpus
from tests.bench.child import Json, answer, resident_mib
from tests.bench.readers import TOKEN


class Gauge:
    """Memory before, while and after something."""

    def __init__(self) -> None:
        gc.collect()
        self._before = resident_mib()
        Path("/proc/self/clear_refs").write_text("5")  # the most that was held, from here on

    def result(self) -> Json:
        gc.collect()
        final = resident_mib()
        return {"growth": final - self._before, "peak": resident_mib(key="VmHWM") - final, "process": final}


async def ours(access: Access, plural: str, count: int) -> Json:
    """A Reflector fills a Store; ``listed<n>`` as a stream, ``paged<n>`` in pages."""
    client = Client(AiohttpTransport(StaticCredentials(access)))
    await client.get(corpus.resource("call"), "default", corpus.SINGLE)  # TLS and HTTP are loaded
    gauge = Gauge()
    store = Store(plural)
    task = asyncio.create_task(
        Reflector(ResourceSource(lambda: client, corpus.resource(plural)), store, rng=Random(1)).run()
    )
    try:
        await store.wait_synced()
        assert store.size == count
        return gauge.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


async def dictionaries(access: Access, plural: str, count: int) -> Json:
    """Pages read with bare aiohttp, and ``json.loads``."""
    context = ssl.create_default_context(cadata=access.certificate_authority.decode())
    url = f"{access.server}{corpus.resource(plural).path()}"
    found: dict[tuple[str, str], Any] = {}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        async with session.get(f"{access.server}{corpus.resource('call').path()}") as response:
            await response.read()
        gauge, token = Gauge(), "0"
        while token:
            async with session.get(url, params={"limit": "500", "continue": token}) as response:
                body = json.loads(await response.read())
            for obj in body["items"]:
                found[obj["metadata"]["namespace"], obj["metadata"]["name"]] = obj
            token = body["metadata"].get("continue", "")
        del body
        assert len(found) == count
        return gauge.result()


async def main() -> None:
    name, plural, count, server, authority = sys.argv[1:]
    access = Access(server=server, certificate_authority=authority.encode(), token=TOKEN)
    hold = {"ours": ours, "dictionaries": dictionaries}[name]
    answer(await hold(access, plural, int(count)))


if __name__ == "__main__":
    asyncio.run(main())
