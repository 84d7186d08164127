"""A way to an API server on which nothing can be changed."""

from __future__ import annotations

from typing import Final

from controller.kube.errors import WritesForbidden
from controller.kube.transport import LineStream, Request, Response, Transport

# What credentials may do is asked by POST; the answer is stored nowhere.
QUESTION: Final = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"


class ReadOnly:
    """A ``Transport`` that sends GET and nothing else; raises ``WritesForbidden`` for the rest.

    ``asks``: it may also ask what its own credentials are allowed to do.
    """

    def __init__(self, inner: Transport, *, asks: bool = False) -> None:
        self._inner = inner
        self._asks = asks

    async def request(self, request: Request) -> Response:
        if not (self._asks and (request.method, request.path) == ("POST", QUESTION)):
            _check(request)
        return await self._inner.request(request)

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        _check(request)
        return await self._inner.stream(request, silence=silence)

    async def close(self) -> None:
        await self._inner.close()


def _check(request: Request) -> None:
    if request.method != "GET":
        raise WritesForbidden(f"{request.method} {request.path}: this connection only reads")
