"""HTTP endpoints of the process: /healthz, /readyz and /metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from controller.observability.metrics import Metrics


def split_address(address: str) -> tuple[str | None, int]:
    """``host:port`` as (host, port); an empty host is every interface. Raises ValueError naming the address."""
    host, separator, port = address.rpartition(":")
    if not separator or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{address!r} is not host:port, for example ':8080' or '127.0.0.1:8080'")
    return host.strip("[]") or None, int(port)


@asynccontextmanager
async def serve(
    address: str, *, ready: Callable[[], list[str]] | None = None, metrics: Metrics | None = None
) -> AsyncIterator[int]:
    """Serve on ``host:port`` while the block runs; gives the port.

    ``ready`` names what is still missing, [] when nothing is: with it /healthz and /readyz are served.
    ``metrics``: with it /metrics is served.
    """
    app = web.Application()
    if ready is not None:

        async def healthz(_: web.Request) -> web.Response:
            return web.Response(text="ok\n")

        async def readyz(_: web.Request) -> web.Response:
            missing = ready()
            text = "".join(f"waiting for {what}\n" for what in missing) or "ok\n"
            return web.Response(status=503 if missing else 200, text=text)

        app.router.add_get("/healthz", healthz)
        app.router.add_get("/readyz", readyz)
    if metrics is not None:

        async def scrape(_: web.Request) -> web.Response:
            pieces = []
            for piece in metrics.render():
                pieces.append(piece)
                await asyncio.sleep(0)  # with many clusters the whole takes a good part of a second
            return web.Response(body=b"".join(pieces), headers={"Content-Type": CONTENT_TYPE_LATEST})

        app.router.add_get("/metrics", scrape)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        host, port = split_address(address)
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
