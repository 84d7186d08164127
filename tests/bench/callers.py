"""A process that makes API calls: with the controller's client, or with bare aiohttp and msgspec."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import msgspec

from controller.kube import tls_buffers
from controller.kube.access import Access
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.client import Client
from controller.kube.credentials import StaticCredentials
from controller.kube.objects import Head
from tests.bench import corpus
from tests.bench.child import Json, cpu_seconds, serve
from tests.bench.readers import TOKEN

CALL: Final = corpus.resource("call")
PATCH: Final[dict[str, Any]] = {
    "metadata": {"annotations": {"note": "x" * 64}},
    "status": {"conditions": [{"type": kind, "status": "True"} for kind in ("Ready", "Progressing")]},
}
PATH: Final = CALL.path("default", corpus.SINGLE)

Caller = Callable[[], Awaitable[object]]


def ours(access: Access) -> dict[str, Caller]:
    client = Client(AiohttpTransport(StaticCredentials(access)))
    return {
        "get": lambda: client.get(CALL, "default", corpus.SINGLE),
        "patch": lambda: client.patch(CALL, "default", corpus.SINGLE, PATCH, kind="merge", field_manager="bench"),
    }


class _Object(msgspec.Struct, gc=False):
    metadata: Head


def bare(access: Access) -> dict[str, Caller]:
    context = ssl.create_default_context(cadata=access.certificate_authority.decode())
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context), headers={"Authorization": f"Bearer {access.token}"}
    )
    decode = msgspec.json.Decoder(_Object).decode
    url = access.server + PATH

    async def get() -> object:
        async with session.get(url) as response:
            return decode(await response.read())

    async def patch() -> object:
        headers = {"Content-Type": "application/merge-patch+json"}
        body = msgspec.json.encode(PATCH)
        async with session.patch(url, params={"fieldManager": "bench"}, data=body, headers=headers) as response:
            return decode(await response.read())

    return {"get": get, "patch": patch}


async def main() -> None:
    name, server, authority = sys.argv[1:]
    if name == "ours":
        tls_buffers.shrink()  # as the command `run` does
    access = Access(server=server, certificate_authority=authority.encode(), token=TOKEN)
    calls = {"ours": ours, "bare": bare}[name](access)

    async def handle(question: Json) -> Json:
        call, count = calls[question["verb"]], question["count"]
        await call()  # the connection is open
        before = cpu_seconds()
        for _ in range(count):
            await call()
        return {"cpu": (cpu_seconds() - before) / count}

    await serve(handle)


if __name__ == "__main__":
    asyncio.run(main())
