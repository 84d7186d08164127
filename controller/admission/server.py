"""The HTTPS endpoint that API servers send K8ssandraClusters to before they store them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from aiohttp import web

from controller.admission.certificate import Certificate
from controller.admission.review import BadReview, Rules, answer
from controller.observability.health import split_address
from controller.observability.metrics import Metrics

PATH: Final = "/validate-k8ssandra-io-v1alpha1-k8ssandracluster"
BODY_CAP: Final = 8 * 1024 * 1024  # bytes; the object twice, each as large as an API server takes it
BODY_DEADLINE: Final = 8.0  # s until a body is there; API servers wait ten
HANDSHAKE_DEADLINE: Final = 5.0  # s

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def serve(address: str, certificate: Certificate, rules: Rules, metrics: Metrics) -> AsyncIterator[int]:
    """Serve on ``host:port`` while the block runs; gives the port."""
    loop = asyncio.get_running_loop()

    async def validate(request: web.Request) -> web.Response:
        begun = loop.time()
        outcome = "error"
        try:
            async with asyncio.timeout(BODY_DEADLINE):
                body = await request.read()
            found = answer(body, rules)
            outcome = found.outcome
            return web.Response(body=found.body, content_type="application/json")
        except BadReview as error:
            outcome = "invalid"
            return web.Response(status=400, text=f"{error}\n")
        except web.HTTPRequestEntityTooLarge:
            outcome = "invalid"
            return web.Response(status=413, text=f"a review may have {BODY_CAP} bytes\n")
        except TimeoutError:
            outcome = "invalid"
            return web.Response(status=408, text="the review did not come in time\n")
        except Exception:  # noqa: BLE001 -- whatever it was: the API server goes by its failurePolicy
            _log.exception("a review was not answered")
            return web.Response(status=500, text="internal error\n")
        finally:
            metrics.admission_reviews.labels(outcome).inc()
            metrics.admission_seconds.observe(loop.time() - begun)

    app = web.Application(client_max_size=BODY_CAP)
    app.router.add_post(PATH, validate)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=75.0)
    await runner.setup()
    server: asyncio.Server | None = None
    try:
        assert runner.server is not None
        host, port = split_address(address)
        server = await loop.create_server(
            runner.server, host, port, ssl=certificate.context, ssl_handshake_timeout=HANDSHAKE_DEADLINE
        )
        yield server.sockets[0].getsockname()[1]
    finally:
        if server is not None:
            server.close()
        await runner.cleanup()
