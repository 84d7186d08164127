"""The server behind HTTPS: for kubectl, people and benchmarks."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

from controller.kube.tls import readable
from controller.kube.transport import Request, Response
from controller.sandbox.apiserver.server import ApiServer
from controller.sandbox.apiserver.serving import dispatch
from controller.sandbox.apiserver.watches import Watch

Json = dict[str, Any]

_BODY_CAP: Final = 4 * 1024 * 1024  # bytes; above the server's own cap, which answers with a Status
_SHUTDOWN: Final = 1.0  # s for requests under way when the front closes


class Endpoint(msgspec.Struct, frozen=True):
    """Where a server listens, and what it takes to come in."""

    url: str
    ca_pem: bytes
    admin_token: str

    def __repr__(self) -> str:
        return f"Endpoint({self.url})"


@asynccontextmanager
async def serve(server: ApiServer, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Endpoint]:
    """Serve over HTTPS on ``host``; port 0 takes a free one. Open watches end when the block is left."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate = server.authority.issue_cert(host, "localhost", "kubernetes.default.svc")
    with readable(certificate.private_key_and_cert_chain_pem.bytes()) as path:  # trustme itself would need a disk
        context.load_cert_chain(path)
    front = _Front(server)
    runner = web.ServerRunner(
        web.Server(
            front.answer, request_factory=_request, handler_cancellation=True, access_log=None, keepalive_timeout=3600.0
        ),
        handle_signals=False,
        shutdown_timeout=_SHUTDOWN,
    )
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=context, backlog=512)
    try:
        await site.start()
        bound = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        yield Endpoint(f"https://{shown}:{bound}", server.ca_pem, server.admin_token)
    finally:
        server.drop_watches()
        await runner.cleanup()


class _Front:
    """Turns HTTP requests into the server's, and its answers into HTTP responses."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    async def answer(self, http: web.BaseRequest) -> web.StreamResponse:
        request = Request(
            method=http.method,
            path=http.rel_url.raw_path,
            query=tuple(http.rel_url.query.items()),
            headers=tuple((name.lower(), value) for name, value in http.headers.items() if name != "Authorization"),
            body=await http.read() if http.can_read_body else b"",
        )
        scheme, _, token = http.headers.get("Authorization", "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else None
        answer = await dispatch(self._server, request, bearer)
        if answer is None:
            return _reset(http)
        if isinstance(answer, Response):
            return web.Response(status=answer.status, headers=dict(answer.headers), body=answer.body)
        return await self._stream(http, answer)

    async def _stream(self, http: web.BaseRequest, watch: Watch) -> web.StreamResponse:
        """Send a watch's lines as they come, everything that is there in one write."""
        wake = asyncio.Event()
        wake.set()

        def ready() -> None:
            wake.set()
            if watch.overrun and http.transport is not None:
                http.transport.abort()  # a reader this slow may be blocking the writer below

        watch.on_ready = ready
        response = web.StreamResponse(
            headers={"content-type": watch.content_type, "cache-control": "no-cache, private"}
        )
        response.enable_chunked_encoding()
        try:
            await response.prepare(http)
            while True:
                if lines := watch.take():
                    await response.write(b"".join(lines))
                    continue
                if watch.ended:
                    break
                wake.clear()
                await wake.wait()
            await response.write_eof()
        except (ConnectionError, asyncio.CancelledError):
            if watch.ended:
                with suppress(ConnectionError):
                    return response
            raise
        finally:
            watch.end()
        return response


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_BODY_CAP)


def _reset(http: web.BaseRequest) -> web.StreamResponse:
    """Break the connection without an answer."""
    if http.transport is not None:
        http.transport.abort()
    return web.Response(status=500)


def kubeconfig(endpoint: Endpoint, context_name: str) -> Json:
    """A kubeconfig for the admin of a server; secret, since it holds the token."""
    authority = base64.b64encode(endpoint.ca_pem).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context_name,
        "contexts": [{"name": context_name, "context": {"cluster": context_name, "user": context_name}}],
        "clusters": [
            {
                "name": context_name,
                "cluster": {"server": endpoint.url, "certificate-authority-data": authority},
            }
        ],
        "users": [{"name": context_name, "user": {"token": endpoint.admin_token}}],
    }
