"""The production ``Transport``: one API server over TLS with aiohttp sessions of our own."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

import controller
from controller.kube import errors
from controller.kube.addresses import AddressPolicy, Resolver
from controller.kube.credentials import Credentials
from controller.kube.tls import client_context
from controller.kube.transport import LineStream, Request, Response

CONNECT_DEADLINE: Final = 3.0  # s for TCP and TLS together; the resolver has a deadline of its own
UNARY_CONNECTIONS: Final = 10  # of one cluster at once; watches have connections of their own
BODY_CAP: Final = 64 * 2**20  # bytes of a whole response
LINE_CAP: Final = 8 * 2**20  # bytes of one watch line; etcd's own limit for an object is 1.5 MiB
READ_BUFFER: Final = 2**18  # bytes; what a stream hands over at once: large batches, yet no loop turn over ~3 ms
ABORT_TURNS: Final = 20  # of the loop, in which an aborted connection closes its socket; it takes three or four
USER_AGENT: Final = f"k8ssandra-controller/{controller.__version__}"

# A peer that vanished is noticed after 15 + 3·5 s when idle and after 30 s with data under way; aiohttp sets neither.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}


class _Connector(aiohttp.TCPConnector):
    """Can end the connections, too, that were closed and wait for the peer to take its leave of TLS (30 s)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._sockets: WeakKeyDictionary[asyncio.Transport, TransportSocket] = WeakKeyDictionary()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        if (transport := connection.transport) is not None and transport not in self._sockets:
            self._sockets[transport] = transport.get_extra_info("socket")
        return connection

    async def abort(self) -> None:
        """Break every connection that is left, and see the sockets closed."""
        left = [sock for sock in self._sockets.values() if sock.fileno() != -1]
        for sock in left:
            # Not ``transport.abort()``: that does nothing for a TLS transport that was closed twice.
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for _ in range(ABORT_TURNS):
            await asyncio.sleep(0)
            if all(sock.fileno() == -1 for sock in left):
                return


class AiohttpTransport:
    """One API server, reached as its credentials' ``access`` says.

    No proxy or netrc of the environment, no redirects, no cookies, no compression (a bomb would have to be
    unpacked to be noticed). ``policy`` judges every address at connect time, literal ones too; ``resolver`` is this
    cluster's own, closed with the transport.
    Unary requests share ``connections`` connections; each stream has one of its own. Raises ``TLSFailed`` when the
    access's certificates cannot be used.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        policy: AddressPolicy | None = None,
        resolver: AbstractResolver | None = None,
        connections: int = UNARY_CONNECTIONS,
        user_agent: str = USER_AGENT,
    ) -> None:
        self._credentials = credentials
        self._policy = policy
        # Never aiohttp's own: it resolves in the loop's thread pool, which one dead DNS would starve.
        self._resolver = resolver if resolver is not None else Resolver(policy)
        # "identity" is asked for, and not the header left out: aiohttp copies all headers of a request to skip one.
        self._headers = {
            str(hdrs.USER_AGENT): user_agent,
            str(hdrs.ACCEPT): "application/json",
            str(hdrs.ACCEPT_ENCODING): "identity",
        }
        self._access = credentials.access
        self._context = client_context(self._access)
        server = URL(self._access.server)
        self._host = server.authority  # host:port, for messages
        self._target = server.host or ""
        # Whom the sockets are connected to; the server's own name is the proxy's to resolve.
        self._peer = (URL(self._access.proxy).host or "") if self._access.proxy else self._target
        self._limit = connections
        self._unary: aiohttp.ClientSession | None = None
        self._streams: aiohttp.ClientSession | None = None
        self._connectors: list[_Connector] = []
        self._open_streams: set[_AiohttpStream] = set()
        self._closed = False

    async def request(self, request: Request) -> Response:
        """Send one request; a 401 asks for another token and tries once more."""
        if self._unary is None:
            self._unary = self._session(self._limit)
        token = self._credentials.bearer()
        response = await self._once(self._unary, request, token)
        if response.status == 401 and await self._credentials.rejected(token):
            response = await self._once(self._unary, request, self._credentials.bearer())
        return response

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        """Open a stream; a 401 asks for another token and tries once more."""
        if self._streams is None:
            self._streams = self._session(0)
        token = self._credentials.bearer()
        opened = await self._open(self._streams, request, token, silence)
        if isinstance(opened, Response) and opened.status == 401 and await self._credentials.rejected(token):
            opened = await self._open(self._streams, request, self._credentials.bearer(), silence)
        return opened

    async def close(self) -> None:
        self._closed = True
        for stream in tuple(self._open_streams):  # whoever reads one is told, and who forgot one leaks nothing
            await stream.close()
        for session in (self._unary, self._streams):
            if session is not None:
                await session.close()
        for connector in self._connectors:
            await connector.abort()
        await self._resolver.close()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _session(self, limit: int) -> aiohttp.ClientSession:
        if self._closed:
            raise errors.ConnectionLost(f"{self._host}: the connection was closed")
        connector = _Connector(
            limit=limit,
            ssl=self._context,
            resolver=self._resolver,
            use_dns_cache=False,  # the resolver keeps the last good address itself
            socket_factory=self._socket,
        )
        self._connectors.append(connector)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            read_bufsize=READ_BUFFER,
        )

    def _socket(self, addr_info: aiohttp.AddrInfoType) -> socket.socket:
        """A socket towards one address: judged here, because here is the address that is really used."""
        family, kind, protocol, _, address = addr_info
        if self._policy is not None:
            self._policy.check(str(address[0]), self._peer)
        sock = socket.socket(family=family, type=kind, proto=protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE.items():
                if (option := getattr(socket, name, None)) is not None:  # Linux has all, others some
                    sock.setsockopt(socket.IPPROTO_TCP, option, value)
        except OSError:
            sock.close()
            raise
        return sock

    async def _send(
        self, session: aiohttp.ClientSession, request: Request, token: str, silence: float | None = None
    ) -> aiohttp.ClientResponse:
        if self._access.proxy and self._policy is not None and _is_address(self._target):
            self._policy.check(self._target, self._target)  # no socket of ours will go there
        headers: dict[str, str] = {**self._headers}
        for name, value in request.headers:
            headers[name.title()] = value
        if token:
            headers[hdrs.AUTHORIZATION] = f"Bearer {token}"
        url = URL(self._access.server + request.path, encoded=True)
        if request.query:
            url = url.with_query(request.query)
        return await session.request(
            request.method,
            url,
            data=request.body or None,
            headers=headers,
            allow_redirects=False,
            server_hostname=self._access.tls_server_name or None,
            proxy=self._access.proxy or None,
            timeout=_untimed(silence) if silence is not None else _UNTIMED,
        )

    async def _once(self, session: aiohttp.ClientSession, request: Request, token: str) -> Response:
        try:
            async with asyncio.timeout(request.deadline):
                return await _whole(await self._send(session, request, token), self._host)
        except asyncio.CancelledError as error:
            raise self._cancelled(error) from error
        except Exception as error:
            raise _translate(error, self._host, request) from error

    async def _open(
        self, session: aiohttp.ClientSession, request: Request, token: str, silence: float
    ) -> Response | LineStream:
        try:
            async with asyncio.timeout(request.deadline):
                response = await self._send(session, request, token, silence)
                if response.status == 200:
                    _refuse_compressed(response, self._host)
                    stream = _AiohttpStream(response, self._host, silence, self._open_streams.discard)
                    self._open_streams.add(stream)
                    return stream
                return await _whole(response, self._host)
        except asyncio.CancelledError as error:
            raise self._cancelled(error) from error
        except Exception as error:
            raise _translate(error, self._host, request) from error

    def _cancelled(self, error: asyncio.CancelledError) -> BaseException:
        """A connector that is closed cancels whoever waits for one of its connections: that is no cancellation."""
        task = asyncio.current_task()
        if self._closed and task is not None and not task.cancelling():
            return errors.ConnectionLost(f"{self._host}: the connection was closed")
        return error


def _untimed(silence: float | None) -> aiohttp.ClientTimeout:
    """Deadlines are the transport's own: aiohttp watches the connecting, and the silence of a stream."""
    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_DEADLINE, sock_read=silence)


_UNTIMED: Final = _untimed(None)


def _translate(error: Exception, host: str, request: Request) -> Exception:
    """The one place where foreign exceptions become ours; the text names the host and the cause."""
    if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
        return errors.DeadlineExceeded(f"{host}: no response to {request.method} within {request.deadline:g} s")
    return translate(error, host)


def translate(error: Exception, host: str) -> Exception:
    """An exception of aiohttp, ssl or the socket as one of ours; anything else is returned as it is."""
    match error:
        case errors.KubeError():
            return error
        case aiohttp.ClientConnectorDNSError():
            return errors.NameResolutionFailed(f"{host}: the name cannot be resolved")
        case aiohttp.ClientConnectorCertificateError():
            return errors.TLSFailed(f"{host}: {_certificate_cause(error.certificate_error)}")
        case aiohttp.ClientSSLError():
            return errors.TLSFailed(f"{host}: TLS handshake failed{_tls_cause(error.os_error)}")
        case aiohttp.ClientOSError() if isinstance(error.__cause__, ssl.SSLError):
            return errors.TLSFailed(f"{host}: TLS failed{_tls_cause(error.__cause__)}")
        case aiohttp.ConnectionTimeoutError():
            return errors.ConnectFailed(f"{host}: no connection within {CONNECT_DEADLINE:g} s")
        case aiohttp.ClientHttpProxyError():
            return errors.ConnectFailed(f"{host}: the proxy refused to connect ({error.status})")
        case aiohttp.ClientProxyConnectionError():
            return errors.ConnectFailed(f"{host}: no connection to the proxy")
        case aiohttp.ClientConnectorError() if error.errno is None:
            return errors.ConnectFailed(f"{host}: the connection was closed during the TLS handshake")
        case aiohttp.ClientConnectorError():
            return errors.ConnectFailed(f"{host}: {os.strerror(error.errno) if error.errno else 'cannot connect'}")
        case aiohttp.ServerTimeoutError():
            return errors.StreamSilent(f"{host}: the stream is silent")
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError():
            return errors.ConnectionLost(f"{host}: the connection broke")
        case aiohttp.ClientResponseError() | aiohttp.InvalidURL():
            return errors.Malformed(f"{host}: the response is not HTTP as an API server speaks it")
        case aiohttp.ClientError() | OSError():
            return errors.ConnectionLost(f"{host}: {type(error).__name__}")
        case RuntimeError() if "closed" in str(error).lower():
            return errors.ConnectionLost(f"{host}: the connection was closed")
        case _:
            return error


def _certificate_cause(error: BaseException) -> str:
    reason = getattr(error, "verify_message", "") or "certificate not accepted"
    return f"certificate verify failed: {errors.clean(str(reason), 200)}"


def _tls_cause(error: BaseException) -> str:
    """OpenSSL's own word for it, such as WRONG_VERSION_NUMBER (no TLS at all) or an alert of the server."""
    reason = getattr(error, "reason", None)
    return f": {errors.clean(str(reason), 200)}" if reason else ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _whole(response: aiohttp.ClientResponse, host: str) -> Response:
    """The response with its body, which may not be over the cap or compressed."""
    try:
        return await _read(response, host)
    except BaseException:
        _abort(response)  # the rest of the body is not wanted, so the connection is of no more use
        raise


async def _read(response: aiohttp.ClientResponse, host: str) -> Response:
    _refuse_compressed(response, host)
    if (response.content_length or 0) > BODY_CAP:
        raise errors.TooLarge(f"{host}: the response is over {BODY_CAP} bytes")
    parts, size = [], 0
    while part := await response.content.readany():
        parts.append(part)
        size += len(part)
        if size > BODY_CAP:
            raise errors.TooLarge(f"{host}: the response is over {BODY_CAP} bytes")
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(status=response.status, headers=headers, body=b"".join(parts))


def _abort(response: aiohttp.ClientResponse) -> None:
    """Break the connection at once: a polite end of TLS would keep the socket until the peer has answered it."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


def _refuse_compressed(response: aiohttp.ClientResponse, host: str) -> None:
    if response.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
        _abort(response)
        raise errors.Malformed(f"{host}: the response is compressed, which was not asked for")


class _AiohttpStream:
    """Lines of an open response, in the batches in which the socket delivers them."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        host: str,
        silence: float,
        closed: Callable[[_AiohttpStream], None],
    ) -> None:
        self._closed = closed
        self._response = response
        self._content = response.content
        self._host = host
        self._silence = silence
        self._tail: list[bytes] = []  # the begun line, in pieces
        self._tail_size = 0

    async def read(self) -> list[bytes]:
        while True:
            try:
                data = await self._content.readany()
            except Exception as error:
                raise self._translate(error) from error
            if not data:
                if self._tail_size:
                    raise errors.ConnectionLost(f"{self._host}: the stream ended inside a line")
                return []
            if lines := self._split(data):
                return lines

    def _split(self, data: bytes) -> list[bytes]:
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and self._tail:
            self._tail.append(lines[0])
            lines[0] = b"".join(self._tail)
            self._tail, self._tail_size = [], 0
        if rest:
            self._tail.append(rest)
            self._tail_size += len(rest)
            if self._tail_size > LINE_CAP:
                raise errors.TooLarge(f"{self._host}: a line of the stream is over {LINE_CAP} bytes")
        return [line for line in lines if line]

    def _translate(self, error: Exception) -> Exception:
        if isinstance(error, TimeoutError):
            return errors.StreamSilent(f"{self._host}: nothing was sent for {self._silence:g} s")
        return translate(error, self._host)

    async def close(self) -> None:
        _abort(self._response)
        self._closed(self)
