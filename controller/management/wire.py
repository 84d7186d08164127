"""The way straight to one pod, with aiohttp: plain HTTP, or TLS with a client certificate."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import aiohttp
from aiohttp import hdrs
from yarl import URL

from controller.kube import errors
from controller.kube.addresses import AddressPolicy, Resolver
from controller.kube.aiohttp_connector import Connector
from controller.kube.aiohttp_errors import translate
from controller.kube.aiohttp_response import whole
from controller.kube.aiohttp_transport import USER_AGENT
from controller.kube.tls import pod_context
from controller.kube.transport import LineStream, Request, Response
from controller.management.pods import Pod
from controller.management.routes import ClientCertificate, OpenWay

_HEADERS: Final = {
    str(hdrs.USER_AGENT): USER_AGENT,
    str(hdrs.ACCEPT): "application/json",
    str(hdrs.ACCEPT_ENCODING): "identity",
}


class PodWire:
    """A ``Transport`` to one pod, for a call or two. No credentials but the certificate ever go over it.

    ``policy`` judges the address, which came from a remote API server: where that lies, a call goes where it says.
    """

    def __init__(self, pod: Pod, certificate: ClientCertificate | None, policy: AddressPolicy) -> None:
        self._host = f"pod {pod} at {pod.address}"
        self._policy = policy
        scheme = "http" if certificate is None else "https"
        try:
            self._url = URL.build(scheme=scheme, host=pod.address, port=pod.port)
        except ValueError:
            raise errors.AddressNotAllowed(f"{self._host}: not an IP address") from None
        self._address = pod.address
        self._context: ssl.SSLContext | bool = (
            pod_context(certificate.authority, certificate.certificate, certificate.key)
            if certificate is not None
            else False
        )
        self._session: aiohttp.ClientSession | None = None

    async def request(self, request: Request) -> Response:
        self._policy.check(self._address, self._address)
        try:
            async with asyncio.timeout(request.deadline):
                return await self._exchange(request)
        except TimeoutError as error:
            if isinstance(error, aiohttp.ClientError):
                raise translate(error, self._host) from error
            raise errors.DeadlineExceeded(f"{self._host}: no answer within {request.deadline:g} s") from error
        except Exception as error:
            raise translate(error, self._host) from error

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        """Pods are only asked, never watched: the whole answer."""
        return await self.request(request)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(self, request: Request) -> Response:
        if self._session is None:
            connector = Connector(self._check, limit=1, ssl=self._context, resolver=Resolver(self._policy))
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
            )
        url = self._url.with_path(request.path, encoded=True)
        response = await self._session.request(
            request.method,
            url.with_query(request.query) if request.query else url,
            data=request.body or None,
            headers={**_HEADERS, **{name.title(): value for name, value in request.headers}},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )
        return await whole(response, self._host, request.cap)

    def _check(self, ip: str) -> None:
        self._policy.check(ip, self._address)


def ways(policy: AddressPolicy) -> OpenWay:
    """Ways to pods whose addresses ``policy`` allows."""

    def open_way(pod: Pod, certificate: ClientCertificate | None) -> PodWire:
        return PodWire(pod, certificate, policy)

    return open_way
