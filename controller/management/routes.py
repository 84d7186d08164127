"""The two ways to a pod: carried by its API server, or straight to its address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from controller.kube import objects
from controller.kube.client import Client
from controller.kube.errors import from_response
from controller.kube.resources import PODS
from controller.kube.transport import Request, Transport
from controller.management.pods import Pod

ANSWER_CAP: Final = 2**20  # bytes of an answer; the schema versions of a thousand nodes have 40 KiB


class Call(msgspec.Struct, frozen=True):
    """One HTTP call. ``deadline``: seconds for one pod's answer."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None
    deadline: float = 20.0

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def request(self, prefix: str, deadline: float) -> Request:
        return Request(
            method=self.method,
            path=prefix + self.path,
            query=self.query,
            headers=(("content-type", "application/json"),) if self.body is not None else (),
            body=b"" if self.body is None else objects.encode(self.body),
            deadline=deadline,
            cap=ANSWER_CAP,
            apart=True,
        )


class ClientCertificate(msgspec.Struct, frozen=True):
    """What a pod that wants to know who calls is shown, and the CA that it has to be of. All PEM, in memory only."""

    authority: bytes
    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "ClientCertificate()"


OpenWay: TypeAlias = Callable[[Pod, ClientCertificate | None], Transport]
"""Makes the way straight to a pod, over TLS with a certificate; raises ``TLSFailed`` when that cannot be used."""


class Route(Protocol):
    """A way to pods. ``name`` for messages."""

    name: str

    async def send(self, pod: Pod, call: Call, deadline: float) -> bytes:
        """The body of a good answer; raises ``KubeError`` for all others. Changes pass the write gate."""
        ...


class ProxyRoute:
    """Through the API server of the pod's cluster; needs the right ``pods/proxy`` and plain HTTP at the pod."""

    name = "the API server's pod proxy"

    def __init__(self, client: Client) -> None:
        self._client = client

    async def send(self, pod: Pod, call: Call, deadline: float) -> bytes:
        prefix = PODS.path(pod.namespace, f"{pod.name}:{pod.port}", "proxy")
        return await self._client.proxy(call.request(prefix, deadline))


class DirectRoute:
    """Straight to the pod's address; needs a way from here to the pods' network. ``gate``: the cluster's client."""

    name = "the pod's own address"

    def __init__(self, gate: Client, open_way: OpenWay, certificate: ClientCertificate | None) -> None:
        self._gate = gate
        self._open_way = open_way
        self._certificate = certificate

    async def send(self, pod: Pod, call: Call, deadline: float) -> bytes:
        if call.method != "GET":
            deadline = self._gate.write_deadline(deadline)
        way = self._open_way(pod, self._certificate)
        try:
            response = await way.request(call.request("", deadline))
        finally:
            await way.close()
        if 200 <= response.status < 300:
            return response.body
        raise from_response(response)
