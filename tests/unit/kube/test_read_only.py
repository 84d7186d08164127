from __future__ import annotations

import pytest

from controller.kube.errors import WritesForbidden
from controller.kube.read_only import QUESTION, ReadOnly
from controller.kube.transport import LineStream, Request, Response


class Line:
    """Answers everything, and remembers what."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def request(self, request: Request) -> Response:
        self.sent.append(request.method)
        return Response(status=200)

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        self.sent.append(request.method)
        return Response(status=200)

    async def close(self) -> None:
        self.sent.append("close")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "get", ""])
async def test_nothing_but_a_get_is_sent(method: str) -> None:
    line = Line()
    transport = ReadOnly(line)
    with pytest.raises(WritesForbidden, match="only reads"):
        await transport.request(Request(method=method, path="/"))
    with pytest.raises(WritesForbidden, match="only reads"):
        await transport.stream(Request(method=method, path="/"), silence=1.0)
    assert line.sent == []


async def test_what_the_credentials_may_do_is_asked_only_where_that_is_wanted() -> None:
    line = Line()
    question = Request(method="POST", path=QUESTION)
    await ReadOnly(line, asks=True).request(question)
    assert line.sent == ["POST"]
    with pytest.raises(WritesForbidden):
        await ReadOnly(line).request(question)
    with pytest.raises(WritesForbidden):
        await ReadOnly(line, asks=True).request(Request(method="PUT", path=QUESTION))
    with pytest.raises(WritesForbidden):
        await ReadOnly(line, asks=True).request(Request(method="POST", path=f"{QUESTION}/x"))
    assert line.sent == ["POST"]


async def test_reading_goes_through() -> None:
    line = Line()
    transport = ReadOnly(line)
    await transport.request(Request(method="GET", path="/"))
    await transport.stream(Request(method="GET", path="/"), silence=1.0)
    await transport.close()
    assert line.sent == ["GET", "GET", "close"]
