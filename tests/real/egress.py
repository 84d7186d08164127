"""The way from real API servers to simulated pods: an HTTP CONNECT proxy, so that no address of theirs has to exist."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from controller.kube.transport import Request
from controller.sandbox.pod_network import Unreachable, pod_network

HEAD_CAP: Final = 4096  # bytes of a CONNECT request


def configuration(folder: Path) -> str:
    """The file for ``--egress-selector-config-file``; API servers find the proxy at a socket in ``folder``."""
    selection = {
        "name": "cluster",
        "connection": {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": str(_socket(folder))}}},
    }
    file = folder / "egress.json"
    file.write_text(
        json.dumps(
            {
                "apiVersion": "apiserver.k8s.io/v1beta1",
                "kind": "EgressSelectorConfiguration",
                "egressSelections": [selection],
            }
        )
    )
    return str(file)


def _socket(folder: Path) -> Path:
    return folder / "egress.sock"


@asynccontextmanager
async def pods_behind(folder: Path) -> AsyncIterator[None]:
    """Carry whatever API servers send to pods to the pod network of this event loop."""
    tunnels: set[_Tunnel] = set()
    server = await asyncio.get_running_loop().create_unix_server(lambda: _Tunnel(tunnels), _socket(folder))
    try:
        yield
    finally:
        server.close()
        for tunnel in tuple(tunnels):
            tunnel.abort()


class _Pod:
    """What speaks HTTP at the far end of one tunnel."""

    def __init__(self, address: str, port: int) -> None:
        self._address, self._port = address, port

    async def answer(self, http: web.BaseRequest) -> web.StreamResponse:
        request = Request(
            method=http.method,
            path=http.rel_url.raw_path,
            query=tuple(http.rel_url.query.items()),
            headers=tuple((name.lower(), value) for name, value in http.headers.items()),
            body=await http.read(),
        )
        try:
            answer = await pod_network().call(self._address, self._port, request)
        except Unreachable as error:
            # Too late for a refusal of the connection: it breaks instead.
            if http.transport is not None:
                http.transport.abort()
            return web.Response(status=502, text=str(error))
        return web.Response(status=answer.status, headers=dict(answer.headers), body=answer.body)


class _Tunnel(asyncio.Protocol):
    """Reads one CONNECT and hands the connection over to the HTTP server."""

    def __init__(self, tunnels: set[_Tunnel]) -> None:
        self._tunnels = tunnels
        self._head = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._tunnels.add(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._head += data
        if b"\r\n\r\n" not in self._head:
            if len(self._head) > HEAD_CAP:
                self._transport.abort()
            return
        method, target, _ = self._head.split(b" ", 2)
        host, _, port = target.decode().rpartition(":")
        if method != b"CONNECT":
            self._transport.abort()
            return
        inner = web.Server(_Pod(host.strip("[]"), int(port)).answer, access_log=None)()
        self._transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._transport.set_protocol(inner)
        inner.connection_made(self._transport)
