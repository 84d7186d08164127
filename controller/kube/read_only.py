"""A way to an API server on which nothing can be changed."""

from __future__ import annotations

from controller.kube.errors import WritesForbidden
from controller.kube.transport import LineStream, Request, Response, Transport


class ReadOnly:
    """A ``Transport`` that sends GET and nothing else; raises ``WritesForbidden`` for the rest."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def request(self, request: Request) -> Response:
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
