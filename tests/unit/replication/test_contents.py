from __future__ import annotations

import asyncio
from random import Random

import pytest

from controller.fleet.cluster import Cluster
from controller.kube import errors
from controller.kube.objects import Object, parse
from controller.replication.contents import HOLD, Contents

pytestmark = pytest.mark.looptime


def secret(version: str = "1") -> Object:
    return parse(
        b'{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":"ns","uid":"u","resourceVersion":"%s"}}'
        % version.encode()
    )


class Slow:
    """A client that takes a second to answer, and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.asked = 0
        self._failures = failures

    async def get(self, *_: object) -> Object:
        self.asked += 1
        failed = self.asked <= self._failures
        await asyncio.sleep(1.0)
        if failed:
            raise errors.ConnectionLost("it broke")
        return secret()


def contents(client: Slow) -> Contents:
    local = Cluster("", (), (), Random(0))
    local.connect(client)  # type: ignore[arg-type]
    return Contents(local)


async def test_contexts_that_need_one_secret_together_cost_one_read() -> None:
    client = Slow()
    read = contents(client)
    await asyncio.gather(*(read.get(secret()) for _ in range(5)))
    await read.get(secret())
    assert client.asked == 1


async def test_a_content_is_forgotten_soon() -> None:
    client = Slow()
    read = contents(client)
    await read.get(secret())
    await asyncio.sleep(HOLD + 0.1)
    assert read._reads == {}
    await read.get(secret())
    assert client.asked == 2


async def test_another_version_is_read_anew() -> None:
    client = Slow()
    read = contents(client)
    await read.get(secret("1"))
    await read.get(secret("2"))
    assert client.asked == 2


async def test_a_read_that_fails_fails_for_one_and_is_tried_by_another() -> None:
    client = Slow(failures=1)
    read = contents(client)
    found = await asyncio.gather(*(read.get(secret()) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [errors.ConnectionLost, Object, Object]
    assert client.asked == 2


async def test_a_read_that_is_cancelled_cancels_nobody_else() -> None:
    client = Slow()
    read = contents(client)
    first = asyncio.create_task(read.get(secret()))
    second = asyncio.create_task(read.get(secret()))
    await asyncio.sleep(0.5)
    first.cancel()
    assert (await second).head.name == "s"
    assert client.asked == 2


async def test_what_was_just_written_is_not_read() -> None:
    client = Slow()
    read = contents(client)
    read.keep(secret())
    assert (await read.get(secret())).head.name == "s"
    assert client.asked == 0
    await asyncio.sleep(HOLD + 0.1)
    assert read._reads == {}
