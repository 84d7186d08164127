"""What comes back: a whole body, or a stream of lines, each within its cap and uncompressed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import aiohttp
from aiohttp import hdrs

from controller.kube import errors
from controller.kube.aiohttp_errors import translate
from controller.kube.transport import Response

LINE_CAP: Final = 8 * 2**20  # bytes of one watch line; etcd's own limit for an object is 1.5 MiB


async def whole(response: aiohttp.ClientResponse, host: str, cap: int) -> Response:
    """The response with its body, which may not be over ``cap`` bytes or compressed."""
    try:
        return await _read(response, host, cap)
    except BaseException:
        abort(response)  # the rest of the body is not wanted, so the connection is of no more use
        raise


async def _read(response: aiohttp.ClientResponse, host: str, cap: int) -> Response:
    refuse_compressed(response, host)
    if (response.content_length or 0) > cap:
        raise errors.TooLarge(f"{host}: the response is over {cap} bytes")
    parts, size = [], 0
    while part := await response.content.readany():
        parts.append(part)
        size += len(part)
        if size > cap:
            raise errors.TooLarge(f"{host}: the response is over {cap} bytes")
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(status=response.status, headers=headers, body=b"".join(parts))


def abort(response: aiohttp.ClientResponse) -> None:
    """Break the connection at once: a polite end of TLS would keep the socket until the peer has answered it."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


def refuse_compressed(response: aiohttp.ClientResponse, host: str) -> None:
    if response.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
        abort(response)
        raise errors.Malformed(f"{host}: the response is compressed, which was not asked for")


class Lines:
    """Lines of an open response, in the batches in which the socket delivers them."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        host: str,
        silence: float,
        closed: Callable[[Lines], None],
    ) -> None:
        self._closed = closed
        self._response = response
        self._content = response.content
        self._host = host
        self._silence = silence
        self._tail: list[bytes] = []  # the begun line, in pieces
        self._tail_size = 0

    async def read(self) -> list[bytes]:
        asked: float | None = None
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
            # Bytes alone are no sign of life: a line that never ends, or empty ones, must not pass for a watch.
            now = asyncio.get_running_loop().time()
            asked = now if asked is None else asked
            if now - asked > self._silence:
                raise errors.StreamSilent(f"{self._host}: no whole line was sent for {self._silence:g} s")

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
        abort(self._response)
        self._closed(self)
