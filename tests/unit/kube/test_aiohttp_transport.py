from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing, contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import aiohttp
import pytest

from controller.kube import aiohttp_connector, aiohttp_response, errors
from controller.kube.access import Access
from controller.kube.addresses import AddressPolicy, Resolver, policy
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.credentials import StaticCredentials
from controller.kube.transport import LineStream, Request, Response
from tests.remotes.packets import keep, lose
from tests.unit.kube.https import CHUNKED, Received, Server, chunk, head, https, listening, reply

GET = Request(method="GET", path="/version", deadline=5.0)
Writer = asyncio.StreamWriter


async def ok(received: Received, writer: Writer) -> None:
    await reply(writer)


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., AiohttpTransport]]:
    """Makes transports that are closed when the test ends."""
    made: list[AiohttpTransport] = []

    def make(access: Access, **options: Any) -> AiohttpTransport:
        made.append(AiohttpTransport(StaticCredentials(access), **options))
        return made[-1]

    yield make
    for transport in made:
        await transport.close()


async def open_stream(transport: AiohttpTransport, silence: float = 5.0) -> LineStream:
    opened = await transport.stream(Request(method="GET", path="/watch", deadline=5.0), silence=silence)
    assert not isinstance(opened, Response)
    return opened


# ── what is sent ────────────────────────────────────────────────────────────────────────────────────


async def test_a_request_arrives_as_it_was_meant(connect: Any) -> None:
    async with https(ok) as server:
        request = Request(
            method="PATCH",
            path="/api/v1/namespaces/a%2Fb/secrets",
            query=(("labelSelector", "a=b,c in (d,e)"), ("fieldManager", "x+y&z")),
            headers=(("content-type", "application/apply-patch+yaml"),),
            body=b'{"a":1}',
        )
        response = await connect(server.access()).request(request)
    [seen] = server.seen
    assert (response.status, response.body) == (200, b"{}")
    assert seen.method == "PATCH"
    assert seen.target == "/api/v1/namespaces/a%2Fb/secrets?labelSelector=a%3Db,c+in+(d,e)&fieldManager=x%2By%26z"
    assert seen.body == b'{"a":1}'
    assert seen.headers["content-type"] == "application/apply-patch+yaml"
    assert seen.headers["authorization"] == "Bearer abc"
    assert seen.headers["accept"] == "application/json"
    assert seen.headers["user-agent"].startswith("k8ssandra-controller/")


async def test_a_path_prefix_of_the_server_stays(connect: Any) -> None:
    async with https(ok) as server:
        await connect(server.access(server=server.url + "/k8s/clusters/c-1")).request(GET)
    assert server.seen[0].target == "/k8s/clusters/c-1/version"


async def test_compression_is_not_asked_for(connect: Any) -> None:
    async with https(ok) as server:
        await connect(server.access()).request(GET)
    assert server.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_redirects_are_not_followed(connect: Any, status: int, method: str) -> None:
    async with https(ok) as elsewhere:

        async def redirect(received: Received, writer: Writer) -> None:
            await reply(writer, status, b"", ("Location", elsewhere.url + "/stolen"))

        async with https(redirect) as server:
            response = await connect(server.access()).request(Request(method=method, path="/a", body=b"secret"))
    assert response.status == status
    assert (len(server.seen), elsewhere.seen) == (1, [])


async def test_a_watch_does_not_follow_redirects(connect: Any) -> None:
    async def redirect(received: Received, writer: Writer) -> None:
        await reply(writer, 302, b"", ("Location", "https://127.0.0.1:1/"))

    async with https(redirect) as server:
        opened = await connect(server.access()).stream(GET, silence=1.0)
    assert isinstance(opened, Response)
    assert opened.status == 302


async def test_proxies_of_the_environment_are_not_used(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with https(ok) as server:
        assert (await connect(server.access()).request(GET)).status == 200


async def test_netrc_is_not_read(connect: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with https(ok) as server:
        await connect(server.access(token="")).request(GET)
    assert "authorization" not in server.seen[0].headers


async def test_cookies_are_not_sent_back(connect: Any) -> None:
    async def with_cookie(received: Received, writer: Writer) -> None:
        await reply(writer, 200, b"{}", ("Set-Cookie", "session=1; Path=/"))

    async with https(with_cookie) as server:
        transport = connect(server.access())
        await transport.request(GET)
        await transport.request(GET)
    assert ["cookie" in seen.headers for seen in server.seen] == [False, False]


async def test_connections_are_used_again(connect: Any) -> None:
    async with https(ok) as server:
        transport = connect(server.access())
        for _ in range(5):
            await transport.request(GET)
    assert (len(server.seen), server.connections) == (5, 1)


async def test_a_stream_does_not_take_a_connection_from_requests(connect: Any) -> None:
    async def watch_or_reply(received: Received, writer: Writer) -> None:
        if received.target == "/watch":
            await head(writer, 200, CHUNKED)
        else:
            await reply(writer)

    async with https(watch_or_reply) as server:
        transport = connect(server.access(), connections=1)
        streams = [await open_stream(transport) for _ in range(3)]
        assert (await transport.request(GET)).status == 200
        for stream in streams:
            await stream.close()


async def test_a_pod_that_hangs_does_not_take_a_connection_from_requests(connect: Any) -> None:
    async def hang_or_reply(received: Received, writer: Writer) -> None:
        if "/proxy/" in received.target:
            await asyncio.sleep(5.0)
        await reply(writer)

    async with https(hang_or_reply) as server:
        transport = connect(server.access(), connections=1)
        apart = Request(method="GET", path="/pods/a/proxy/", apart=True)
        hanging = [asyncio.create_task(transport.request(apart)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert (await transport.request(GET)).status == 200
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_server_that_answers_byte_by_byte_meets_the_deadline(connect: Any) -> None:
    async def drip(received: Received, writer: Writer) -> None:
        await head(writer, 200, ("Content-Length", "1000"))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with https(drip) as server:
        started = asyncio.get_running_loop().time()
        with pytest.raises(errors.DeadlineExceeded, match=r"no response to GET within 0\.3 s"):
            await connect(server.access()).request(Request(method="GET", path="/", deadline=0.3))
        assert asyncio.get_running_loop().time() - started < 2.0


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_the_cap_is_given_up(connect: Any, declared: bool) -> None:
    async def flood(received: Received, writer: Writer) -> None:
        await head(writer, 200, ("Content-Length", str(10**9)) if declared else CHUNKED)
        while True:
            await chunk(writer, b"x" * 10_000)

    async with https(flood) as server:
        with pytest.raises(errors.TooLarge, match="over 100000 bytes"):
            await connect(server.access()).request(Request(method="GET", path="/", cap=100_000))
        await asyncio.wait_for(server.closed.wait(), 5.0)


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_compressed_answer_is_refused(connect: Any, streaming: bool) -> None:
    async def bomb(received: Received, writer: Writer) -> None:
        await reply(writer, 200, b"\x1f\x8b", ("Content-Encoding", "gzip"))

    async with https(bomb) as server:
        transport = connect(server.access())
        with pytest.raises(errors.Malformed, match="compressed"):
            await (transport.stream(GET, silence=1.0) if streaming else transport.request(GET))


async def test_a_line_over_the_cap_ends_the_stream(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp_response, "LINE_CAP", 100_000)

    async def endless_line(received: Received, writer: Writer) -> None:
        await head(writer, 200, CHUNKED)
        while True:
            await chunk(writer, b"x" * 10_000)

    async with https(endless_line) as server:
        stream = await open_stream(connect(server.access()))
        with pytest.raises(errors.TooLarge, match="a line of the stream is over 100000 bytes"):
            await stream.read()
        await stream.close()


# ── streams ─────────────────────────────────────────────────────────────────────────────────────────


async def read_all(stream: LineStream) -> list[bytes]:
    lines: list[bytes] = []
    while batch := await stream.read():
        lines += batch
    await stream.close()
    return lines


async def test_lines_are_whole_however_they_are_cut(connect: Any) -> None:
    content = b'{"a":1}\n\n{"b":"' + b"x" * 700_000 + b'"}\n{"c":3}\n'

    async def in_pieces(received: Received, writer: Writer) -> None:
        await head(writer, 200, CHUNKED)
        for start in range(0, len(content), 99_991):
            await chunk(writer, content[start : start + 99_991])
        await chunk(writer, b"")

    async with https(in_pieces) as server:
        lines = await read_all(await open_stream(connect(server.access())))
    assert lines == [line for line in content.split(b"\n") if line]


async def test_a_stream_that_breaks_inside_a_line_is_lost(connect: Any) -> None:
    async def broken(received: Received, writer: Writer) -> None:
        await head(writer, 200, CHUNKED)
        await chunk(writer, b'{"a":1}\n{"b"')
        await chunk(writer, b"")

    async with https(broken) as server:
        stream = await open_stream(connect(server.access()))
        assert await stream.read() == [b'{"a":1}']
        with pytest.raises(errors.ConnectionLost, match="ended inside a line"):
            await stream.read()
        await stream.close()


async def test_a_silent_stream_is_noticed(connect: Any) -> None:
    async def silent(received: Received, writer: Writer) -> None:
        await head(writer, 200, CHUNKED)
        await chunk(writer, b'{"a":1}\n')

    async with https(silent) as server:
        stream = await open_stream(connect(server.access()), silence=0.2)
        assert await stream.read() == [b'{"a":1}']
        with pytest.raises(errors.StreamSilent, match=r"nothing was sent for 0\.2 s"):
            await stream.read()
        await stream.close()


@pytest.mark.parametrize("content", [b"x", b"\n"], ids=["a line that never ends", "empty lines"])
async def test_bytes_that_make_no_line_are_silence(connect: Any, content: bytes) -> None:
    async def drip(received: Received, writer: Writer) -> None:
        await head(writer, 200, CHUNKED)
        while True:
            await chunk(writer, content)
            await asyncio.sleep(0.02)

    async with https(drip) as server:
        stream = await open_stream(connect(server.access()), silence=0.2)
        with pytest.raises(errors.StreamSilent, match=r"no whole line was sent for 0\.2 s"):
            await stream.read()
        await stream.close()


async def test_a_stream_that_is_reset_is_lost(connect: Any) -> None:
    async def reset(received: Received, writer: Writer) -> None:
        await head(writer, 200, CHUNKED)
        writer.transport.abort()

    async with https(reset) as server:
        stream = await open_stream(connect(server.access()))
        with pytest.raises(errors.ConnectionLost):
            await stream.read()
        await stream.close()


async def test_a_head_that_does_not_come_meets_the_deadline(connect: Any) -> None:
    async def never(received: Received, writer: Writer) -> None:
        await asyncio.sleep(60)

    async with https(never) as server:
        with pytest.raises(errors.DeadlineExceeded):
            await connect(server.access()).stream(Request(method="GET", path="/", deadline=0.2), silence=60.0)


# ── credentials ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_token_changes_in_place_while_a_stream_stays_open() -> None:
    release = asyncio.Event()

    async def watch_or_reply(received: Received, writer: Writer) -> None:
        if received.target != "/watch":
            await reply(writer)
            return
        await head(writer, 200, CHUNKED)
        await chunk(writer, b"1\n")
        await release.wait()
        await chunk(writer, b"2\n")
        await chunk(writer, b"")

    async with https(watch_or_reply) as server:
        credentials = StaticCredentials(server.access(token="old"))
        async with aclosing(_Closing(AiohttpTransport(credentials))) as made:
            stream = await open_stream(made.transport)
            assert await stream.read() == [b"1"]
            await made.transport.request(GET)
            credentials.replace("new")
            await made.transport.request(GET)
            release.set()
            assert await read_all(stream) == [b"2"]
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer old", "Bearer old", "Bearer new"]
    assert server.connections == 2


class _Closing:
    def __init__(self, transport: AiohttpTransport) -> None:
        self.transport = transport

    async def aclose(self) -> None:
        await self.transport.close()


class Renewing:
    """Credentials that have one more token when the first is rejected."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._tokens = ["first", "second"]

    def bearer(self) -> str:
        return self._tokens[0]

    async def rejected(self, token: str) -> bool:
        if token == self._tokens[0] and len(self._tokens) > 1:
            self._tokens.pop(0)
            return True
        return False


async def unauthorized(received: Received, writer: Writer) -> None:
    await reply(writer, 401, b"{}", ("WWW-Authenticate", 'Basic realm="x"'))


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_rejected_token_is_tried_once_more_when_there_is_another(streaming: bool) -> None:
    async with https(unauthorized) as server:
        transport = AiohttpTransport(Renewing(server.access()))
        try:
            answer = await (transport.stream(GET, silence=1.0) if streaming else transport.request(GET))
        finally:
            await transport.close()
    assert isinstance(answer, Response)
    assert answer.status == 401
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer first", "Bearer second"]


async def test_both_tries_share_one_deadline() -> None:
    """The server takes half the time to say no: as much is left for the second try, and it is told so."""

    async def slow(received: Received, writer: Writer) -> None:
        if "first" in received.headers["authorization"]:
            await asyncio.sleep(1.5)
            await unauthorized(received, writer)
        else:
            await asyncio.Event().wait()

    async with https(slow) as server:
        transport = AiohttpTransport(Renewing(server.access()))
        started = asyncio.get_running_loop().time()
        with pytest.raises(errors.DeadlineExceeded):
            await transport.request(Request(method="PUT", path="/a", query=(("timeout", "3s"),), deadline=3.0))
        assert asyncio.get_running_loop().time() - started == pytest.approx(3.0, abs=0.4)
        await transport.close()
    assert [seen.target for seen in server.seen] == ["/a?timeout=3s", "/a?timeout=1s"]


async def test_a_token_that_comes_after_the_deadline_is_for_the_next_call() -> None:
    class Slow(Renewing):
        async def rejected(self, token: str) -> bool:
            await asyncio.sleep(0.6)
            return await super().rejected(token)

    async with https(unauthorized) as server:
        transport = AiohttpTransport(Slow(server.access()))
        response = await transport.request(Request(method="PUT", path="/a", deadline=0.5))
        await transport.close()
    assert (response.status, len(server.seen)) == (401, 1)


async def test_a_rejected_token_is_not_tried_again_when_there_is_no_other(connect: Any) -> None:
    async with https(unauthorized) as server:
        assert (await connect(server.access()).request(GET)).status == 401
    assert len(server.seen) == 1


# ── addresses and proxies ───────────────────────────────────────────────────────────────────────────

NO_LOOPBACK = AddressPolicy(allow_loopback=False)
LOOPBACK = AddressPolicy(allow_loopback=True)


def resolver(address: str, judged_by: AddressPolicy | None = None) -> Resolver:
    """Every name is at ``address``."""
    return Resolver(judged_by, lookup=lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))])


async def test_a_literal_address_is_judged(connect: Any) -> None:
    async with https(ok) as server:
        with pytest.raises(errors.AddressNotAllowed, match=r"^127.0.0.1 a loopback address: not allowed"):
            await connect(server.access(), policy=NO_LOOPBACK).request(GET)
    assert server.connections == 0


@pytest.mark.parametrize("judging_resolver", [True, False])
async def test_the_address_behind_a_name_is_judged(connect: Any, judging_resolver: bool) -> None:
    async with https(ok) as server:
        access = server.access(server=f"https://api.example:{server.port}")
        with pytest.raises(errors.AddressNotAllowed, match=r"^api.example is at 127.0.0.1, a loopback address"):
            await connect(
                access,
                policy=NO_LOOPBACK,
                resolver=resolver("127.0.0.1", NO_LOOPBACK if judging_resolver else None),
            ).request(GET)
    assert server.connections == 0


async def test_a_name_is_resolved_by_the_clusters_own_resolver(connect: Any) -> None:
    async with https(ok) as server:
        access = server.access(server=f"https://api.example:{server.port}")
        response = await connect(access, policy=LOOPBACK, resolver=resolver("127.0.0.1")).request(GET)
    assert response.status == 200
    assert server.seen[0].headers["host"] == f"api.example:{server.port}"


async def test_without_a_resolver_the_threads_of_the_loop_are_not_used(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("resolved in the loop's executor")

    async with https(ok) as server:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", forbidden)
        access = server.access(server=f"https://localhost:{server.port}")
        assert (await connect(access).request(GET)).status == 200


async def test_a_name_without_an_address_fails_by_name(connect: Any) -> None:
    def nowhere(*_: Any, **__: Any) -> list[Any]:
        raise OSError(-2, "Name or service not known")

    access = Access(server="https://api.example", certificate_authority=_pem(), token="abc")
    with pytest.raises(errors.NameResolutionFailed, match=r"^api.example.*cannot be resolved"):
        await connect(access, resolver=Resolver(lookup=nowhere)).request(GET)


def _pem() -> bytes:
    from tests.unit.kube.https import authority

    return authority().cert_pem.bytes()


async def tunnel(received: Received, writer: Writer) -> None:
    """A proxy that connects wherever it is asked to."""
    host, port = received.target.rsplit(":", 1)
    reader, onward = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await writer.drain()
    inner: asyncio.StreamReader = writer._reader  # type: ignore[attr-defined]  # the other direction
    back = asyncio.ensure_future(_pump(reader, writer))
    try:
        await _pump(inner, onward)
    finally:
        onward.close()
        back.cancel()
        await asyncio.gather(back, return_exceptions=True)


async def _pump(source: asyncio.StreamReader, sink: Writer) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()


async def test_a_named_proxy_is_used(connect: Any) -> None:
    async with https(ok) as server, listening(tunnel, None) as proxy:
        access = server.access(proxy=f"http://127.0.0.1:{proxy.port}")
        transport = connect(access, policy=LOOPBACK)
        assert (await transport.request(GET)).status == 200
        await transport.close()
    [connected] = proxy.seen
    assert (connected.method, connected.target) == ("CONNECT", f"127.0.0.1:{server.port}")
    assert "authorization" not in connected.headers


async def test_a_proxy_that_refuses_is_named(connect: Any) -> None:
    async def refuse(received: Received, writer: Writer) -> None:
        await reply(writer, 407, b"", ("Proxy-Authenticate", "Basic"))

    async with listening(refuse, None) as proxy:
        access = Access(
            server="https://192.0.2.1",
            certificate_authority=_pem(),
            token="abc",
            proxy=f"http://127.0.0.1:{proxy.port}",
        )
        with pytest.raises(errors.ConnectFailed, match=r"^192\.0\.2\.1.*the proxy refused to connect \(407\)"):
            await connect(access).request(GET)


async def test_a_proxy_does_not_open_the_way_to_addresses_that_are_refused(connect: Any) -> None:
    async with listening(tunnel, None) as proxy:
        access = Access(
            server="https://169.254.169.254",
            certificate_authority=_pem(),
            token="abc",
            proxy=f"http://127.0.0.1:{proxy.port}",
        )
        with pytest.raises(errors.AddressNotAllowed, match="cloud metadata"):
            await connect(access, policy=policy(allow_loopback=True)).request(GET)
    assert proxy.seen == []


# ── sockets ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refused_connection_is_named(connect: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        access = Access(server=f"https://127.0.0.1:{port}", certificate_authority=_pem(), token="abc")
        with pytest.raises(errors.ConnectFailed, match=f"^127.0.0.1:{port}: Connection refused$"):
            await connect(access).request(GET)


async def test_a_handshake_that_hangs_is_given_up_after_3_seconds(connect: Any) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        started = loop.time()
        with pytest.raises(errors.ConnectFailed, match="no connection within 3 s"):
            await connect(_access_at(mute)).request(GET)
        assert loop.time() - started == pytest.approx(3.0, abs=0.5)


async def test_packets_that_vanish_are_given_up_on_after_3_seconds(connect: Any) -> None:
    """The queue of the listening socket is full, so that not even SYN is answered, as in a black hole."""
    loop = asyncio.get_running_loop()
    with socket.socket() as deaf, ExitStack() as crowd:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(3):
            waiting = crowd.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        transport = connect(_access_at(deaf))
        started = loop.time()
        attempts = [transport.request(GET), transport.stream(GET, silence=90)]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [errors.ConnectFailed] * 2
        assert loop.time() - started == pytest.approx(3.0, abs=0.5)


async def test_a_name_with_many_addresses_does_not_take_many_deadlines(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiohttp_connector, "CONNECT_DEADLINE", 1.0)
    monkeypatch.setattr(aiohttp_connector, "RESOLVE_DEADLINE", 0.5)
    loop = asyncio.get_running_loop()
    with socket.socket() as mute:
        mute.bind(("0.0.0.0", 0))
        mute.listen()
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", 0)) for n in range(1, 9)]
        access = _access_at(mute, host="api.example")
        transport = connect(access, resolver=Resolver(lookup=lambda *_, **__: addresses))
        started = loop.time()
        with pytest.raises(errors.ConnectFailed):
            await transport.request(GET)
        assert loop.time() - started == pytest.approx(1.5, abs=0.5)


def _access_at(sock: socket.socket, host: str = "127.0.0.1") -> Access:
    return Access(server=f"https://{host}:{sock.getsockname()[1]}", certificate_authority=_pem(), token="abc")


async def test_sockets_notice_a_peer_that_vanished(server_sockets: list[socket.socket]) -> None:
    assert [
        (
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        )
        for sock in server_sockets
    ] == [(1, 15, 5, 3, 30_000)]


@pytest.fixture
async def server_sockets(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[socket.socket]]:
    """The sockets of a transport after one request."""
    made: list[socket.socket] = []
    original = aiohttp_connector._socket

    def spy(check: Any, addr_info: aiohttp.AddrInfoType) -> socket.socket:
        made.append(original(check, addr_info))
        return made[-1]

    monkeypatch.setattr(aiohttp_connector, "_socket", spy)
    async with https(ok) as server:
        transport = AiohttpTransport(StaticCredentials(server.access()))
        await transport.request(GET)
        yield made
        await transport.close()


async def test_a_stream_whose_peer_vanished_is_lost_when_nothing_is_acknowledged(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the times of production cut to a tenth: packets vanish, and the kernel of this side gives up."""
    times = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 3_000}
    monkeypatch.setattr(aiohttp_connector, "_KEEPALIVE", times)
    peers: list[Any] = []

    async def vanish(received: Received, writer: Writer) -> None:
        await head(writer, 200, CHUNKED)
        await chunk(writer, b"hello\n")
        peers.append(writer.get_extra_info("socket"))

    async with https(vanish) as server:
        stream = await open_stream(connect(server.access()), silence=30.0)
        assert await stream.read() == [b"hello"]
        assert lose(peers[0], 1.0), "the kernel lets nobody lose packets"
        started = asyncio.get_running_loop().time()
        with pytest.raises(errors.ConnectionLost):
            await stream.read()
        assert 2.0 < asyncio.get_running_loop().time() - started < 6.0
        keep(peers[0])
        await stream.close()


# ── a server that hangs up ──────────────────────────────────────────────────────────────────────────


async def hang_up(received: Received, writer: Writer) -> None:
    writer.transport.abort()


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
async def test_a_server_that_hangs_up_on_everybody_is_asked_once(connect: Any, method: str) -> None:
    async with https(hang_up) as server:
        with pytest.raises(errors.ConnectionLost):
            await connect(server.access()).request(Request(method=method, path="/", body=b"{}"))
    assert (server.connections, len(server.seen)) == (1, 1)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_what_was_sent_over_a_connection_that_breaks_is_not_sent_again(connect: Any, method: str) -> None:
    async with https(ok) as server:
        transport = connect(server.access())
        await transport.request(GET)
        server.handler = hang_up
        with pytest.raises(errors.ConnectionLost):
            await transport.request(Request(method=method, path="/again"))
        assert ([seen.target for seen in server.seen], server.connections) == (["/version", "/again"], 1)
        server.handler = ok
        assert (await transport.request(GET)).status == 200


async def test_a_connection_that_the_server_closed_while_it_was_idle_is_not_used_again(connect: Any) -> None:
    async def once(received: Received, writer: Writer) -> None:
        await reply(writer)
        writer.close()

    async with https(once) as server:
        transport = connect(server.access())
        for _ in range(3):
            assert (await transport.request(GET)).status == 200
            async with asyncio.timeout(5):
                await server.closed.wait()


async def test_fifty_requests_to_a_server_that_hangs_up_make_fifty_connections(connect: Any) -> None:
    async with https(hang_up) as server:
        transport = connect(server.access())
        await asyncio.gather(*(transport.request(GET) for _ in range(50)), return_exceptions=True)
        assert (server.connections, server.most <= 10) == (50, True)


async def test_an_answer_that_is_not_http_is_malformed(connect: Any) -> None:
    async def nonsense(received: Received, writer: Writer) -> None:
        writer.write(b"hello\r\n\r\n")
        await writer.drain()

    async with https(nonsense) as server:
        with pytest.raises(errors.Malformed, match="not HTTP"):
            await connect(server.access()).request(GET)


async def test_a_connection_that_breaks_before_the_answer_is_lost(connect: Any) -> None:
    async def hang_up(received: Received, writer: Writer) -> None:
        writer.transport.abort()

    async with https(hang_up) as server:
        with pytest.raises(errors.ConnectionLost):
            await connect(server.access()).request(Request(method="POST", path="/", body=b"{}"))
    assert len(server.seen) == 1  # a write is never repeated


# ── the end ─────────────────────────────────────────────────────────────────────────────────────────


async def test_close_ends_what_is_under_way_and_what_waits_for_a_connection() -> None:
    async def never(received: Received, writer: Writer) -> None:
        await asyncio.sleep(60)

    async with https(never) as server:
        transport = AiohttpTransport(StaticCredentials(server.access()), connections=1)
        requests = [asyncio.ensure_future(transport.request(GET)) for _ in range(3)]
        while not server.seen:
            await asyncio.sleep(0)
        await transport.close()
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
        with pytest.raises(errors.ConnectionLost):
            await transport.request(GET)
        with pytest.raises(errors.ConnectionLost):
            await transport.stream(GET, silence=1.0)
    assert [type(outcome) for outcome in outcomes] == [errors.ConnectionLost] * 3


async def test_close_leaves_no_socket() -> None:
    async def watch_or_reply(received: Received, writer: Writer) -> None:
        if received.target == "/watch":
            await head(writer, 200, CHUNKED)
        else:
            await reply(writer)

    async with https(watch_or_reply) as server:
        transport = AiohttpTransport(StaticCredentials(server.access()))
        await open_stream(transport)
        await asyncio.gather(*(transport.request(GET) for _ in range(4)))
        assert server.open >= 2
        await transport.close()
        await transport.close()
        await asyncio.wait_for(server.closed.wait(), 5.0)


async def test_a_stream_that_is_closed_frees_its_socket_at_once(connect: Any) -> None:
    async def watch(received: Received, writer: Writer) -> None:
        await head(writer, 200, CHUNKED)
        await asyncio.sleep(60)  # and never looks whether anybody is there

    async with https(watch) as server:
        before = sockets()
        stream = await open_stream(connect(server.access()))
        assert sockets() - before == 2
        await stream.close()
        await asyncio.sleep(0)
        assert sockets() - before == 1


async def test_a_request_that_was_cancelled_leaves_no_socket_after_close() -> None:
    async def never(received: Received, writer: Writer) -> None:
        await asyncio.sleep(60)

    async with https(never) as server:
        before = sockets()
        transport = AiohttpTransport(StaticCredentials(server.access()))
        request = asyncio.ensure_future(transport.request(GET))
        while not server.seen:
            await asyncio.sleep(0)
        request.cancel()
        await asyncio.wait([request])
        await transport.close()
        assert sockets() - before <= 1


@pytest.mark.parametrize("who", ["nobody", "the caller"])
@pytest.mark.parametrize("backlog", [100, 0], ids=["in the handshake", "before it"])
async def test_a_connection_in_the_making_leaves_no_socket_after_close(who: str, backlog: int) -> None:
    """Closed while the server is silent (in TLS, or with a full queue already in TCP); cancelled before or not."""
    with socket.socket() as mute, ExitStack() as crowd:
        mute.bind(("127.0.0.1", 0))
        mute.listen(backlog)
        for _ in range(0 if backlog else 3):
            waiting = crowd.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(mute.getsockname())
        before = sockets()
        transport = AiohttpTransport(StaticCredentials(_access_at(mute)))
        calls = [asyncio.ensure_future(transport.request(GET)) for _ in range(3)]
        calls += [asyncio.ensure_future(transport.stream(GET, silence=90)) for _ in range(3)]  # type: ignore[arg-type]
        while sockets() - before < 6:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        if who == "the caller":
            for call in calls:
                call.cancel()
        await transport.close()
        assert sockets() - before == 0
        outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 1.0)
        expected = errors.ConnectionLost if who == "nobody" else asyncio.CancelledError
        assert {type(outcome) for outcome in outcomes} == {expected}


def sockets() -> int:
    """Sockets that this process has open; the server's end of a connection is one of them."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    return found


async def test_a_cancelled_request_stays_cancelled(connect: Any) -> None:
    async def never(received: Received, writer: Writer) -> None:
        await asyncio.sleep(60)

    async with https(never) as server:
        request = asyncio.ensure_future(connect(server.access()).request(GET))
        while not server.seen:
            await asyncio.sleep(0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request


async def test_nothing_of_the_credentials_is_in_an_error(connect: Any) -> None:
    server: Server
    async with https(unauthorized) as server:
        pass
    with pytest.raises(errors.ConnectFailed) as caught:
        await connect(server.access(token="canary")).request(GET)
    chain: list[BaseException] = [caught.value]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    assert all("canary" not in f"{error} {error!r}" for error in chain)


async def test_a_stream_that_nobody_closed_goes_with_its_transport(connect: Any) -> None:
    async def silent(received: Received, writer: Writer) -> None:
        await head(writer, 200, CHUNKED)
        await asyncio.sleep(60)

    async with https(silent) as server:
        transport = connect(server.access())
        stream = await open_stream(transport)
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        await transport.close()
        with pytest.raises(errors.ConnectionLost):
            await reading


# ── what is left for the garbage collector, which searches rarely ───────────────────────────────────


@contextmanager
def garbage() -> Iterator[list[Any]]:
    """What became unreachable meanwhile without being freed: cycles of aiohttp's and ours, and the frames they hold."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    found: list[Any] = []
    try:
        yield found
        gc.collect()
        found += [one for one in gc.garbage if type(one).__module__.partition(".")[0] in ("aiohttp", "controller")]
        found += [one for one in gc.garbage if isinstance(one, FrameType | TracebackType)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.collect()


async def test_attempts_to_connect_in_vain_leave_no_garbage(connect: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        transport = connect(_access_at(unused))
        with garbage() as found:
            for _ in range(5):
                with suppress(errors.ConnectFailed):
                    await transport.request(GET)
    assert found == []


async def test_a_stream_that_breaks_leaves_no_garbage(connect: Any) -> None:
    async def breaks(received: Received, writer: Writer) -> None:
        await head(writer, 200, CHUNKED)
        await chunk(writer, b"hello\n")
        writer.transport.abort()

    async def watch() -> None:
        stream = await open_stream(transport)
        with suppress(errors.ConnectionLost):
            while await stream.read():
                pass
        await stream.close()

    async with https(breaks) as server:
        transport = connect(server.access())
        with garbage() as found:
            for _ in range(5):
                await watch()
            await server.closed.wait()
            await asyncio.sleep(0)
    assert found == []
