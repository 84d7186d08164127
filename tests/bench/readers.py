"""A process that reads a watch: as the controller does, with bare aiohttp and msgspec, or with kubernetes-asyncio."""

from __future__ import annotations

import asyncio
import ssl
import sys
import tempfile
import time
from collections.abc import Mapping
from random import Random
from typing import Any, Final, Protocol

import aiohttp
import msgspec

from controller.engine.reflector import Reflector
from controller.engine.source import ResourceSource
from controller.engine.store import Delta, Store
from controller.engine.worker import Item
from controller.engine.workqueue import WorkQueue
from controller.kube import tls_buffers
from controller.kube.access import Access
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.client import Client
from controller.kube.credentials import StaticCredentials
from controller.kube.objects import Head
from tests.bench import corpus
from tests.bench.child import Json, cpu_seconds, serve

TOKEN: Final = "a-token-of-the-usual-length-which-nobody-checks"
BARE_BUFFER: Final = 2**21  # bytes; the fastest of those that were tried


class Stopwatch:
    """Wall and CPU time from the first change to the last."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.done = asyncio.Event()
        self._count = count
        self._wall = self._cpu = 0.0

    def start(self) -> None:
        """Called when the reader is at rest, before the first change."""
        self._cpu = cpu_seconds()

    def seen(self, count: int) -> None:
        if self.left == self._count:
            self._wall = time.monotonic()
        self.left -= count
        if self.left <= 0:
            self._wall, self._cpu = time.monotonic() - self._wall, cpu_seconds() - self._cpu
            self.done.set()

    def result(self) -> Json:
        return {"events": self._count, "seconds": self._wall, "cpu": self._cpu}


class Reader(Protocol):
    async def read(self, plural: str, watch: Stopwatch) -> None:
        """Read the changes of ``plural``; tell ``watch`` of each batch."""
        ...


class Ours:
    """Transport, EventStream, Reflector, Store, WorkQueue, and a worker that takes the items out."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def read(self, plural: str, watch: Stopwatch) -> None:
        client = Client(AiohttpTransport(StaticCredentials(self._access)))
        store = Store(plural)
        queue = WorkQueue[Item]()
        reflector = Reflector(ResourceSource(lambda: client, corpus.resource(plural)), store, rng=Random(1))

        def changed(deltas: list[Delta]) -> None:
            for delta in deltas:
                head = delta.object.head
                queue.add(Item("Widget", head.namespace, head.name))

        async def work() -> None:
            while True:
                item = await queue.get()
                assert store.get(item.namespace, item.name) is not None
                queue.done(item)

        counters = reflector.counters
        before = 0

        def count(_: list[Delta]) -> None:
            nonlocal before
            if store.synced and (news := counters.events - before) and before:
                watch.seen(news)
            before = counters.events

        store.subscribe(changed)
        tasks = [asyncio.create_task(reflector.run()), asyncio.create_task(work())]
        try:
            await store.wait_synced()
            store.subscribe(count)
            before = counters.events
            while queue.depth or queue.processing:
                await asyncio.sleep(0.01)
            watch.start()
            await watch.done.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await client.close()


class _Object(msgspec.Struct, gc=False):
    metadata: Head


class _Line(msgspec.Struct, gc=False):
    type: str
    object: _Object


class Bare:
    """What cannot be done with less: a line, its head, a place in a dictionary."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def read(self, plural: str, watch: Stopwatch) -> None:
        context = ssl.create_default_context(cadata=self._access.certificate_authority.decode())
        decode = msgspec.json.Decoder(_Line).decode
        url = f"{self._access.server}{corpus.resource(plural).path()}"
        found: dict[tuple[str, str], bytes] = {}
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context),
                headers={"Authorization": f"Bearer {self._access.token}"},
                timeout=aiohttp.ClientTimeout(total=None),
                read_bufsize=BARE_BUFFER,
            ) as session,
            session.get(url, params={"watch": "true", "resourceVersion": "1"}) as response,
        ):
            content = response.content
            watch.start()
            while not watch.done.is_set():
                line = await content.readline()
                head = decode(line).object.metadata
                found[head.namespace, head.name] = line
                watch.seen(1)


class KubernetesAsyncio:
    """``Watch`` on custom objects, as its documentation shows it."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def read(self, plural: str, watch: Stopwatch) -> None:
        from kubernetes_asyncio import client
        from kubernetes_asyncio import watch as watches

        with tempfile.NamedTemporaryFile() as authority:
            authority.write(self._access.certificate_authority)
            authority.flush()
            configuration = client.Configuration(host=self._access.server)
            configuration.ssl_ca_cert = authority.name
            configuration.api_key = {"BearerToken": f"Bearer {self._access.token}"}
            found: dict[tuple[str, str], Mapping[str, Any]] = {}
            async with client.ApiClient(configuration) as api:
                listing = client.CustomObjectsApi(api).list_cluster_custom_object
                asked = (corpus.GROUP, corpus.VERSION, plural)
                stream = watches.Watch().stream(listing, *asked, resource_version="1")
                watch.start()
                async for event in stream:
                    metadata = event["object"]["metadata"]
                    found[metadata["namespace"], metadata["name"]] = event["object"]
                    watch.seen(1)
                    if watch.done.is_set():
                        break
                await stream.close()


READERS: Final = {"ours": Ours, "bare": Bare, "kubernetes-asyncio": KubernetesAsyncio}


async def main() -> None:
    name, server, authority = sys.argv[1:]
    if name == "ours":
        tls_buffers.shrink()  # as the command `run` does
    reader: Reader = READERS[name](Access(server=server, certificate_authority=authority.encode(), token=TOKEN))

    async def handle(question: Json) -> Json:
        watch = Stopwatch(question["count"])
        await reader.read(question["plural"], watch)
        return watch.result()

    await serve(handle)


if __name__ == "__main__":
    asyncio.run(main())
