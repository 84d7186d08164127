from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from controller.cassandra.seed_names import REFRESH, RETRY, SeedNames
from controller.cassandra.snapshot import SeedName
from controller.cassandra.types import K8ssandraCluster
from controller.kube.errors import NameResolutionFailed
from tests.unit.cassandra.samples import cluster

pytestmark = pytest.mark.looptime

NAME = "seed.example.org"


class Dns:
    """Answers of a test, and who asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = answers
        self.asked: list[tuple[float, str]] = []
        self.changed: list[tuple[str, str]] = []

    async def resolve(self, name: str) -> list[str]:
        self.asked.append((asyncio.get_running_loop().time(), name))
        answer = self.answers.get(name)
        if answer is None:
            raise NameResolutionFailed(f"{name}: the name cannot be resolved")
        if answer == "hangs":
            await asyncio.sleep(2.0)
            raise NameResolutionFailed(f"{name}: no answer")
        return list(answer)


@asynccontextmanager
async def names(dns: Dns) -> AsyncIterator[SeedNames]:
    found = SeedNames(dns.resolve, lambda namespace, name: dns.changed.append((namespace, name)))
    task = asyncio.create_task(found.run())
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def naming(*seeds: str, uid: str = "uid-1") -> K8ssandraCluster:
    given = cluster(additionalSeeds=list(seeds))
    return msgspec.structs.replace(given, metadata=msgspec.structs.replace(given.metadata, uid=uid))


async def test_a_name_becomes_usable_addresses_and_whoever_names_it_is_told() -> None:
    dns = Dns(**{NAME: ["192.0.2.2", "127.0.0.1", "192.0.2.1"]})
    async with names(dns) as found:
        assert found.look(naming(NAME, "10.0.0.1")) == (SeedName(NAME, None),)
        await asyncio.sleep(0.1)
        assert found.look(naming(NAME)) == (SeedName(NAME, ("192.0.2.1", "192.0.2.2")),)
        assert dns.changed == [("ns", "demo")]


async def test_it_is_asked_again_and_the_order_of_answers_is_no_news() -> None:
    dns = Dns(**{NAME: ["192.0.2.1", "192.0.2.2"]})
    async with names(dns) as found:
        found.look(naming(NAME))
        await asyncio.sleep(0.1)
        dns.answers[NAME] = ["192.0.2.2", "192.0.2.1"]
        await asyncio.sleep(REFRESH + 0.1)
        assert len(dns.asked) == 2
        assert len(dns.changed) == 1


async def test_the_last_good_addresses_stay_and_what_is_wrong_is_said() -> None:
    dns = Dns(**{NAME: ["192.0.2.1"]})
    async with names(dns) as found:
        found.look(naming(NAME))
        await asyncio.sleep(0.1)
        dns.answers.clear()
        await asyncio.sleep(REFRESH + 0.1)
        (seen,) = found.look(naming(NAME))
        assert seen.addresses == ("192.0.2.1",)
        assert "cannot be resolved" in seen.error
        assert len(dns.changed) == 2


async def test_a_name_without_an_address_is_tried_soon() -> None:
    dns = Dns()
    async with names(dns) as found:
        found.look(naming(NAME))
        await asyncio.sleep(0.1)
        dns.answers[NAME] = ["192.0.2.1"]
        await asyncio.sleep(RETRY)
        assert found.look(naming(NAME)) == (SeedName(NAME, ("192.0.2.1",)),)


async def test_a_name_that_leads_nowhere_is_said() -> None:
    async with names(Dns(**{NAME: ["127.0.0.1"]})) as found:
        found.look(naming(NAME))
        await asyncio.sleep(0.1)
        assert found.look(naming(NAME)) == (SeedName(NAME, None, "it has no address that a seed can have"),)


async def test_a_name_that_hangs_holds_up_no_other() -> None:
    async with names(Dns(**{"hangs.example.org": "hangs", NAME: ["192.0.2.1"]})) as found:
        found.look(naming("hangs.example.org", NAME))
        await asyncio.sleep(0.1)
        assert found.look(naming(NAME)) == (SeedName(NAME, ("192.0.2.1",)),)


async def test_what_nobody_names_any_more_is_not_asked_for() -> None:
    dns = Dns(**{NAME: ["192.0.2.1"]})
    async with names(dns) as found:
        found.look(naming(NAME))
        found.look(naming(NAME, uid="uid-2"))
        await asyncio.sleep(0.1)
        found.look(naming())
        found.forget("uid-2")
        await asyncio.sleep(10 * REFRESH)
        assert len(dns.asked) == 1


async def test_without_names_nothing_is_asked() -> None:
    dns = Dns()
    async with names(dns) as found:
        assert found.look(naming("10.0.0.1")) == ()
        await asyncio.sleep(10 * REFRESH)
        assert dns.asked == []
