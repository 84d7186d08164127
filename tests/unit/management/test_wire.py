"""The way straight to pods: plain, or over TLS with a client certificate; never where a remote must not send us."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trustme
from aiohttp import web

from controller.kube.addresses import AddressPolicy
from controller.kube.client import Client
from controller.kube.errors import (
    AddressNotAllowed,
    ApiError,
    DeadlineExceeded,
    KubeError,
    TLSFailed,
    TooLarge,
    WritesForbidden,
)
from controller.kube.tls import readable
from controller.kube.transport import Request, Response
from controller.management.pods import Pod
from controller.management.routes import ANSWER_CAP, Call, ClientCertificate, DirectRoute
from controller.management.wire import PodWire, ways

LOOPBACK = AddressPolicy(allow_loopback=True)
CALL = Call("GET", "/api/v0/ops/keyspace", (("keyspaceName", "a b"),))
AUTHORITY = trustme.CA()

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def pod(answer: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[Pod]:
    runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield Pod("ns", "a", "127.0.0.1", runner.addresses[0][1])
    finally:
        await runner.cleanup()


def certificate(authority: trustme.CA = AUTHORITY, trusted: trustme.CA = AUTHORITY) -> ClientCertificate:
    made = authority.issue_cert("client")
    return ClientCertificate(trusted.cert_pem.bytes(), made.cert_chain_pems[0].bytes(), made.private_key_pem.bytes())


def asking_for_certificates() -> ssl.SSLContext:
    """A pod's: for another host name than its address, and for clients of the same CA only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made = AUTHORITY.issue_cert("mgmt-api.example.org")
    with readable(made.private_key_and_cert_chain_pem.bytes()) as path:
        context.load_cert_chain(path)
    context.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(context)
    return context


async def ask(pod: Pod, shown: ClientCertificate | None = None, call: Call = CALL, deadline: float = 5.0) -> bytes:
    return await DirectRoute(Client(Nowhere()), ways(LOOPBACK), shown).send(pod, call, deadline)


class Nowhere:
    """The way to the API server, which a direct call must not take."""

    async def request(self, request: Request) -> Response:
        raise AssertionError(request)

    async def stream(self, request: Request, *, silence: float) -> Response:
        raise AssertionError(request)

    async def close(self) -> None:
        pass


async def echo(http: web.BaseRequest) -> web.StreamResponse:
    assert "Authorization" not in http.headers
    return web.Response(text=f"{http.method} {http.path_qs} {await http.text()}")


async def test_a_pod_is_called_at_its_address() -> None:
    async with pod(echo) as one:
        assert await ask(one) == b"GET /api/v0/ops/keyspace?keyspaceName=a+b "
        assert await ask(one, call=Call("POST", "/x", body={"a": 1})) == b'POST /x {"a":1}'


async def test_a_client_certificate_is_shown_and_the_chain_is_verified_though_not_the_name() -> None:
    async with pod(echo, asking_for_certificates()) as one:
        assert (await ask(one, certificate())).startswith(b"GET /api")


async def test_a_pod_of_another_authority_is_refused() -> None:
    async with pod(echo, asking_for_certificates()) as one:
        with pytest.raises(TLSFailed):
            await ask(one, certificate(trusted=trustme.CA()))


async def test_a_certificate_of_another_authority_is_refused_by_the_pod() -> None:
    async with pod(echo, asking_for_certificates()) as one:
        with pytest.raises(KubeError):
            await ask(one, certificate(authority=trustme.CA()))


async def test_a_certificate_that_cannot_be_used_is_said_without_its_content() -> None:
    broken = ClientCertificate(AUTHORITY.cert_pem.bytes(), b"canary", b"canary")
    with pytest.raises(TLSFailed) as caught:
        PodWire(Pod("ns", "a", "10.0.0.1"), broken, LOOPBACK)
    assert "canary" not in str(caught.value) + repr(broken)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "100.100.100.200", "::ffff:127.0.0.1",
     "localhost", "kubernetes.default.svc", "10.0.0.1@127.0.0.1", "not an address", ""],
)  # fmt: skip
async def test_a_remote_cannot_send_us_where_no_pod_is(address: str) -> None:
    route = DirectRoute(Client(Nowhere()), ways(AddressPolicy()), None)
    with pytest.raises(AddressNotAllowed):
        await route.send(Pod("ns", "a", address), CALL, 1.0)


async def test_redirects_are_not_followed() -> None:
    async def away(http: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})

    async with pod(away) as one:
        with pytest.raises(ApiError) as caught:
            await ask(one)
    assert caught.value.status == 302


async def test_an_answer_without_end_is_cut_off() -> None:
    async def endless(http: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"x" * (ANSWER_CAP + 1))

    async with pod(endless) as one:
        with pytest.raises(TooLarge):
            await ask(one)


async def test_a_pod_that_hangs_has_a_deadline() -> None:
    async def hang(http: web.BaseRequest) -> web.StreamResponse:
        await asyncio.get_running_loop().create_future()
        return web.Response()

    async with pod(hang) as one:
        with pytest.raises(DeadlineExceeded):
            await ask(one, deadline=0.1)


async def test_changes_pass_the_write_gate() -> None:
    route = DirectRoute(Client(Nowhere(), may_write=lambda: 0.0), ways(LOOPBACK), None)
    with pytest.raises(WritesForbidden):
        await route.send(Pod("ns", "a", "127.0.0.1", 9), Call("POST", "/x", body={}), 5.0)
