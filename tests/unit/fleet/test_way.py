from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.fleet.breaker import Guard
from controller.fleet.probe import RIGHTS_DEADLINE, rights, version, within
from controller.fleet.way import Way
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.errors import DeadlineExceeded, Forbidden, KubeError, Malformed, ServerError, Unauthorized
from controller.kube.resources import CONFIG_MAPS
from controller.kube.transport import LineStream, Request, Response

pytestmark = pytest.mark.looptime

LIST = b'{"metadata":{"resourceVersion":"1"},"items":[]}'


class Scripted:
    """Answers each path with the status and body given for it; closing takes ``closing`` seconds."""

    def __init__(self, closing: float = 0.0, **answers: tuple[int, bytes]) -> None:
        self.answers = {path.replace("_", "/"): answer for path, answer in answers.items()}
        self.asked: list[Request] = []
        self.seconds = 0.0
        self.closing = closing
        self.closed = False

    async def request(self, request: Request) -> Response:
        self.asked.append(request)
        await asyncio.sleep(self.seconds)
        status, body = self.answers[request.path]
        return Response(status=status, body=body)

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        raise AssertionError("no look opens a stream")

    async def close(self) -> None:
        await asyncio.sleep(self.closing)
        self.closed = True


# ── the version ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (200, b'{"gitVersion":"v1.36.0","more":1}', "v1.36.0"),
        (200, b"{}", ""),
        (403, b"", ""),  # it knows us, and tells us nothing
        (429, b"", None),  # it has no time to tell, but lives
    ],
)
async def test_a_server_that_lives_may_tell_its_version(status: int, body: bytes, found: str | None) -> None:
    assert await version(Client(Scripted(_version=(status, body))), 2.0) == found


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"", Unauthorized),
        (500, b"", ServerError),
        (503, b"", ServerError),
        (200, b"<html>", Malformed),
        (200, b"[]", Malformed),
        (200, b"\xff", Malformed),
        (200, b'{"gitVersion":"' + b"v" * 65 + b'"}', Malformed),
    ],
)
async def test_what_is_no_answer_of_an_api_server_is_a_failure(status: int, body: bytes, error: type) -> None:
    with pytest.raises(error):
        await version(Client(Scripted(_version=(status, body))), 2.0)


async def test_a_look_has_a_deadline() -> None:
    server = Scripted(_version=(200, b"{}"))
    await version(Client(server), 2.0)
    assert server.asked[0].deadline == 2.0


# ── rights ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("first", "second", "asked"), [(200, 200, 1), (403, 200, 2), (404, 403, 1), (429, 403, 1), (410, 403, 1)]
)
async def test_one_namespace_that_we_may_read_is_enough(first: int, second: int, asked: int) -> None:
    server = Scripted(_api_v1_namespaces_one_configmaps=(first, LIST), _api_v1_namespaces_two_configmaps=(second, LIST))
    await rights(Client(server), CONFIG_MAPS, ("one", "two"))
    assert len(server.asked) == asked
    assert ("limit", "1") in server.asked[0].query


async def test_none_that_we_may_read_is_no_rights() -> None:
    server = Scripted(_api_v1_configmaps=(403, b""))
    with pytest.raises(Forbidden):
        await rights(Client(server), CONFIG_MAPS, ("",))


@pytest.mark.parametrize(("status", "error"), [(401, Unauthorized), (500, ServerError)])
async def test_a_server_that_fails_says_nothing_of_rights(status: int, error: type[KubeError]) -> None:
    with pytest.raises(error):
        await rights(Client(Scripted(_api_v1_configmaps=(status, b""))), CONFIG_MAPS, ("",))


async def test_a_server_that_answers_from_memory_only_fails_the_look_at_rights() -> None:
    server = Scripted(_api_v1_configmaps=(200, LIST))
    server.seconds = 60.0
    started = asyncio.get_running_loop().time()
    with pytest.raises(DeadlineExceeded):
        await rights(Client(server), CONFIG_MAPS, ("",))
    assert asyncio.get_running_loop().time() - started == pytest.approx(RIGHTS_DEADLINE)


async def test_within_lets_other_cancellations_pass() -> None:
    call = asyncio.ensure_future(within(10.0, asyncio.sleep(60.0)))
    await asyncio.sleep(1.0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


# ── the end ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_way_is_closed_whoever_is_cancelled_meanwhile() -> None:
    server = Scripted(closing=0.5)

    def make_client(credentials: Any, context: str, guard: Guard | None = None) -> Client:
        return Client(server)

    way = Way(Access(server="https://10.0.0.1", certificate_authority=b"", token="x"), "east", make_client)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await way.close()
    assert server.closed
