"""The production ``Transport``: one API server over TLS with aiohttp sessions of our own."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import ip_address
from typing import Final, TypeVar

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from yarl import URL

import controller
from controller.kube import errors
from controller.kube.addresses import AddressPolicy, Resolver
from controller.kube.aiohttp_connector import CONNECT_DEADLINE, Connector
from controller.kube.aiohttp_errors import translate
from controller.kube.aiohttp_response import Lines, refuse_compressed, whole
from controller.kube.credentials import Credentials
from controller.kube.tls import client_context
from controller.kube.transport import LineStream, Request, Response, shortened

UNARY_CONNECTIONS: Final = 10  # of one cluster at once; watches have connections of their own
APART_CONNECTIONS: Final = 100  # of one cluster at once to what is behind its server; each may hang for a minute
READ_BUFFER: Final = 2**18  # bytes; what a stream hands over at once: large batches, yet no loop turn over ~3 ms
LARGE: Final = 2**20  # bytes of a body, from which on aiohttp wants a file; only Secrets of nearly 1 MiB are as large
USER_AGENT: Final = f"k8ssandra-controller/{controller.__version__}"

T = TypeVar("T")


class AiohttpTransport:
    """One API server, reached as its credentials' ``access`` says.

    No proxy or netrc of the environment, no redirects, no cookies, no compression (a bomb would have to be
    unpacked to be noticed). ``policy`` judges every address at connect time, literal ones too; ``resolver`` is this
    cluster's own, which outlives the transport.
    Unary requests share ``connections`` connections, calls ``apart`` have others, and each stream has one of its own.
    Raises ``TLSFailed`` when the access's certificates cannot be used.
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
        self._apart: aiohttp.ClientSession | None = None
        self._connectors: list[Connector] = []
        self._open_streams: set[Lines] = set()
        self._under_way: set[asyncio.Timeout] = set()
        self._closed = False

    async def request(self, request: Request) -> Response:
        """Send one request; a 401 asks for another token and tries once more, unless a pod may have said so."""
        if request.apart:
            if self._apart is None:
                self._apart = self._session(APART_CONNECTIONS)
            return await self._within(request, self._unary_exchange(self._apart, request, self._credentials.bearer()))
        if self._unary is None:
            self._unary = self._session(self._limit)
        return await self._authenticated(request, partial(self._unary_exchange, self._unary))

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        """Open a stream; a 401 asks for another token and tries once more."""
        if self._streams is None:
            self._streams = self._session(0)
        return await self._authenticated(request, partial(self._stream_exchange, self._streams, silence))

    async def close(self) -> None:
        self._closed = True
        now = asyncio.get_running_loop().time()
        for deadline in self._under_way:  # of those that resolve a name nobody else would tell
            if not deadline.expired():
                deadline.reschedule(now)
        for stream in tuple(self._open_streams):  # whoever reads one is told, and who forgot one leaks nothing
            await stream.close()
        for session in (self._unary, self._streams, self._apart):
            if session is not None:
                await session.close()
        for connector in self._connectors:
            await connector.abort()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _session(self, limit: int) -> aiohttp.ClientSession:
        if self._closed:
            raise self._lost()
        connector = Connector(self._check, limit=limit, ssl=self._context, resolver=self._resolver)
        self._connectors.append(connector)
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            read_bufsize=READ_BUFFER,
        )
        # Or aiohttp sends GET, PUT and DELETE again over a second new connection when a server hangs up: twice the
        # load on one that is in trouble, and a write sent twice without anybody's knowing. There is no public way.
        session._retry_connection = False
        return session

    def _check(self, ip: str) -> None:
        if self._policy is not None:
            self._policy.check(ip, self._peer)

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
            data=_body(request.body),
            headers=headers,
            allow_redirects=False,
            server_hostname=self._access.tls_server_name or None,
            proxy=self._access.proxy or None,
            timeout=_untimed(silence) if silence is not None else _UNTIMED,
        )

    async def _authenticated(self, request: Request, exchange: Callable[[Request, str], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        end = loop.time() + request.deadline
        token = self._credentials.bearer()
        found = await self._within(request, exchange(request, token))
        if not isinstance(found, Response) or found.status != 401 or not await self._credentials.rejected(token):
            return found
        # A plugin may have taken a minute to give another token: the right to write may have ended meanwhile.
        remaining = end - loop.time()
        if remaining <= 0:
            return found
        again = shortened(request, remaining)
        return await self._within(again, exchange(again, self._credentials.bearer()))

    async def _unary_exchange(self, session: aiohttp.ClientSession, request: Request, token: str) -> Response:
        return await whole(await self._send(session, request, token), self._host, request.cap)

    async def _stream_exchange(
        self, session: aiohttp.ClientSession, silence: float, request: Request, token: str
    ) -> Response | LineStream:
        response = await self._send(session, request, token, silence)
        if response.status != 200:
            return await whole(response, self._host, request.cap)
        refuse_compressed(response, self._host)
        stream = Lines(response, self._host, silence, self._open_streams.discard)
        self._open_streams.add(stream)
        return stream

    async def _within(self, request: Request, exchange: Awaitable[T]) -> T:
        """The outcome of ``exchange`` within the request's deadline; everything that can go wrong, as ours."""
        try:
            async with asyncio.timeout(request.deadline) as deadline:
                self._under_way.add(deadline)
                try:
                    return await exchange
                finally:
                    self._under_way.discard(deadline)
        except asyncio.CancelledError as error:
            # A connector that is closed cancels whoever waits for one of its connections: that is no cancellation.
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise self._lost() from error
            raise
        except TimeoutError as error:
            if self._closed:
                raise self._lost() from error
            if isinstance(error, aiohttp.ClientError):
                raise translate(error, self._host) from error
            raise errors.DeadlineExceeded(
                f"{self._host}: no response to {request.method} within {request.deadline:g} s"
            ) from error
        except Exception as error:
            raise translate(error, self._host) from error

    def _lost(self) -> errors.ConnectionLost:
        return errors.ConnectionLost(f"{self._host}: the connection was closed")


def _body(body: bytes) -> bytes | io.BytesIO | None:
    """A body as aiohttp wants it: it sends a large one in pieces, so that the loop is not held up by it."""
    if len(body) > LARGE:
        return io.BytesIO(body)
    return body or None


def _untimed(silence: float | None) -> aiohttp.ClientTimeout:
    """Deadlines are the transport's own: aiohttp watches the connecting, and the silence of a stream."""
    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_DEADLINE, sock_read=silence)


_UNTIMED: Final = _untimed(None)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
