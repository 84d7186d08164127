"""Every kubeconfig of the tables, in the whole controller: from its start, and put in the place of one that worked."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.hardening import traps
from tests.hardening.kubeconfigs import CONNECTED, HOSTILE, SHAPES, Kubeconfig
from tests.hardening.stand import NAMESPACE, STEADY, SUBJECT, Stand, data_plane, stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABLE = {row.id: row for row in (*SHAPES, *HOSTILE)}
REFUSED = [name for name, row in TABLE.items() if row.reason != CONNECTED]
TAKEN = [name for name, row in TABLE.items() if row.reason == CONNECTED]
GOOD = "https://10.1.0.2:6443"  # of the subject


class Scene:
    """A controller that has all of them, each in a ClientConfig of its own, and the traps around it."""

    def __init__(self, one: Stand, places: dict[str, str], deeds: list[traps.Deed], trap: traps.Listener) -> None:
        self.stand = one
        self.places = places
        self.deeds = deeds
        self.listener = trap

    def content(self, row: Kubeconfig, context: str) -> bytes:
        return row.content(context, self.places)

    def unharmed(self) -> None:
        """No trap has sprung, and nobody else has noticed anything."""
        one = self.stand
        assert self.listener.callers == 0
        assert not Path(self.places["MARKER"]).exists()
        assert [deed for deed in self.deeds if deed[0] in traps.PROCESSES | traps.CODE - {"exec", "compile"}] == []
        assert traps.files(self.deeds) == []
        assert traps.peers(self.deeds) == set()
        assert one.watched(STEADY) == one.steady
        assert one.alive


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("traps")
    os.mkfifo(folder / "fifo")
    with (folder / "sparse").open("wb") as sparse:
        sparse.truncate(10 * 2**30)
    async with traps.listener() as trap, stand() as one:
        places = {
            "PORT": str(trap.port),
            "MARKER": str(folder / "marker"),
            "FIFO": str(folder / "fifo"),
            "SPARSE": str(folder / "sparse"),
            "GOOD": GOOD,
        }
        one.names |= {
            "localhost": lambda: "127.0.0.1",
            "inward.example": lambda: "127.0.0.1",
            "metadata.example": lambda: "169.254.169.254",
        }
        for number, row in enumerate(TABLE.values()):
            # Of those that are taken each has a cluster of its own: two names of one cluster would be refused.
            server = f"https://10.3.0.{number}:6443"
            if row.reason == CONNECTED:
                one.servers[server] = one.servers[f"{server}/k8s/clusters/c-1"] = data_plane(row.id)
            here = {**places, "GOOD": server, "LOUD": server.replace("https", "HTTPS")}
            await one.put_secret(row.id.lower(), row.content(row.id.lower(), here))
            await one.put_config(row.id.lower())
        with traps.armed() as deeds:
            await one.begin()
            scene = Scene(one, places, deeds, trap)
            yield scene
            scene.unharmed()


@pytest.mark.parametrize("name", REFUSED)
async def test_it_is_refused_from_the_start_and_says_where_and_why(scene: Scene, name: str) -> None:
    row, one = TABLE[name], scene.stand
    message = await one.says(name.lower(), row.reason, row.says)
    assert f"ClientConfig {NAMESPACE}/{name.lower()}" in message
    assert row.field in message
    assert message.isprintable()
    assert len(message) <= 1024
    assert (await one.condition(name.lower()))["status"] == "False"
    scene.unharmed()


@pytest.mark.parametrize("name", REFUSED)
async def test_it_does_not_take_the_place_of_one_that_works(scene: Scene, name: str) -> None:
    row, one = TABLE[name], scene.stand
    watched = one.watched(SUBJECT)
    await one.put_secret(SUBJECT, scene.content(row, SUBJECT))
    message = await one.says(SUBJECT, "RotationFailed", row.says)
    assert row.field in message
    assert (await one.condition(SUBJECT))["status"] == "True"
    await one.put_secret(SUBJECT, one.kubeconfig(SUBJECT))
    await one.says(SUBJECT, CONNECTED, within=10.0)
    assert one.watched(SUBJECT) == watched  # the connection that worked was never touched
    scene.unharmed()


@pytest.mark.parametrize("name", TAKEN)
async def test_it_is_taken(scene: Scene, name: str) -> None:
    await scene.stand.says(name.lower(), CONNECTED)
    scene.unharmed()


async def test_events_and_metrics_say_it_too(scene: Scene) -> None:
    one = scene.stand
    up = {labels["context"]: value for labels, value in one.samples("remote_cluster_up")}
    assert {name: up[name.lower()] for name in TABLE} == {name: float(name in TAKEN) for name in TABLE}
    for name in REFUSED:
        await one.until(lambda name=name: one.has_event(name.lower(), TABLE[name].reason), f"an event says {name}")


async def test_nothing_of_all_this_is_in_logs_events_statuses_metrics_or_requests(scene: Scene) -> None:
    assert await scene.stand.leaks() == []
    assert {entry["level"] for entry in scene.stand.events_logged()} >= {"debug", "info"}


async def test_a_leak_is_seen(scene: Scene) -> None:
    for text in ("canary", "xY2FuYXJ5", "NhbmFye"):
        scene.stand.said.append(text.encode())
        assert await scene.stand.leaks() != []
        scene.stand.said.pop()
