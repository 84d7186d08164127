"""Watches in time: bookmarks, timeouts, slow readers, changed kinds. Times are virtual."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from controller.kube.client import Client
from controller.kube.resources import CONFIG_MAPS
from controller.kube.transport import Request
from controller.kube.watch import Bookmark, Change, Event
from controller.sandbox.apiserver import ApiServer, InProcessTransport
from controller.sandbox.apiserver.watches import Watch
from tests.unit.sandbox.apiserver.conftest import THINGS, Asker, thing

pytestmark = pytest.mark.looptime

MAPS = "/api/v1/namespaces/default/configmaps"


def make(ask: Asker, name: str, **labels: str) -> dict[str, Any]:
    return ask.ok("POST", MAPS, {"metadata": {"name": name, "labels": labels}})


async def rest(stream: Any) -> list[Event]:
    """Everything until the stream ends."""
    found: list[Event] = []
    while batch := await stream.read():
        found += batch
    return found


def opened(server: ApiServer, path: str = MAPS, accept: str = "", **query: str) -> Watch:
    headers = (("accept", accept),) if accept else ()
    request = Request(method="GET", path=path, query=(("watch", "true"), *query.items()), headers=headers)
    answer = server.handle(request, token=server.admin_token)
    assert isinstance(answer, Watch)
    return answer


def lines(watch: Watch) -> list[dict[str, Any]]:
    return [json.loads(line) for line in watch.take()]


async def test_a_quiet_watch_gets_a_bookmark_every_minute_and_one_before_its_end(
    transport: InProcessTransport, looptime: Any
) -> None:
    stream = await Client(transport).watch(CONFIG_MAPS, resource_version="1", timeout_seconds=150)
    times = []
    while batch := await stream.read():
        assert [Bookmark] == [type(event) for event in batch]
        times.append(round(asyncio.get_running_loop().time()))
    assert times == [60, 120, 148]
    assert round(asyncio.get_running_loop().time()) == 150


async def test_bookmarks_can_be_withheld(server: ApiServer, transport: InProcessTransport) -> None:
    server.reader.bookmarks = False
    stream = await Client(transport).watch(CONFIG_MAPS, resource_version="1", timeout_seconds=150, silence=1000)
    assert await rest(stream) == []


async def test_streaming_lists_can_be_switched_off(server: ApiServer, ask: Asker) -> None:
    server.reader.streaming_lists = False
    answer = ask("GET", MAPS, watch="1", sendInitialEvents="true", resourceVersionMatch="NotOlderThan")
    assert answer.status == 422


async def test_a_watch_without_timeout_ends_within_the_hour(server: ApiServer) -> None:
    watch = opened(server)
    await asyncio.sleep(1800)
    assert not watch.ended
    await asyncio.sleep(1800)
    assert watch.ended


async def test_a_reader_that_lags_too_far_is_cut_off(server: ApiServer, ask: Asker) -> None:
    server.reader.watch_buffer = 3
    watch = opened(server, resourceVersion=str(server.resource_version))
    for name in "abc":
        make(ask, name)
    assert not watch.overrun
    make(ask, "d")
    assert watch.overrun
    assert watch.take() == []
    assert server.watches == 0


async def test_a_long_initial_list_does_not_count_as_lag(server: ApiServer, ask: Asker) -> None:
    server.reader.watch_buffer = 3
    for name in "abcdefgh":
        make(ask, name)
    assert len(lines(opened(server))) == 8


async def test_an_object_is_serialised_once_however_many_watch(server: ApiServer, ask: Asker) -> None:
    start = str(server.resource_version)
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    watches = [opened(server, accept=accept, resourceVersion=start) for _ in range(3)]
    make(ask, "a")
    assert len({line for watch in watches for line in watch.take()}) == 1
    (version,) = server.core.storage.collection("configmaps").objects.values()
    assert len(version.forms or ()) == 1


async def test_an_object_that_leaves_the_selector_is_shown_as_it_was_inside(server: ApiServer, ask: Asker) -> None:
    make(ask, "a", app="x")
    watch = opened(server, resourceVersion=str(server.resource_version), labelSelector="app=x")
    ask.merge(f"{MAPS}/a", {"metadata": {"labels": {"app": "y"}}})
    ask.merge(f"{MAPS}/a", {"data": {"seen": "no"}})
    ask.merge(f"{MAPS}/a", {"metadata": {"labels": {"app": "x"}}})
    gone, back = lines(watch)
    assert (gone["type"], gone["object"]["metadata"]["labels"]) == ("DELETED", {"app": "x"})
    assert (back["type"], back["object"]["metadata"]["labels"]) == ("ADDED", {"app": "x"})
    assert int(gone["object"]["metadata"]["resourceVersion"]) == server.resource_version - 2


async def test_a_watch_of_a_changed_kind_ends(server: ApiServer, ask: Asker, things: str) -> None:
    watch = opened(server, things)
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com"
    ask.merge(path, {"metadata": {"labels": {"a": "b"}}})
    assert not watch.ended
    ask.merge(path, {"spec": {"names": {"shortNames": ["thing"]}}})
    assert watch.ended


async def test_a_table_names_its_columns_in_the_first_event_only(server: ApiServer, ask: Asker) -> None:
    watch = opened(server, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
    for name in ("a", "b"):
        make(ask, name)
    first, second = lines(watch)
    assert [len(event["object"]["columnDefinitions"]) for event in (first, second)] == [3, 0]
    assert second["object"]["rows"][0]["cells"][0] == "b"


async def test_metadata_only_watches_show_no_content(server: ApiServer, ask: Asker) -> None:
    watch = opened(server, accept="application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
    ask.ok("POST", MAPS, {"metadata": {"name": "a"}, "data": {"secret": "x"}})
    (event,) = lines(watch)
    assert event["object"]["kind"] == "PartialObjectMetadata"
    assert {"kind", "apiVersion", "metadata"} == set(event["object"])


async def test_a_watch_resumes_over_what_happened_meanwhile(
    ask: Asker, things: str, transport: InProcessTransport
) -> None:
    first = ask.ok("POST", things, thing("a"))["metadata"]["resourceVersion"]
    for size in range(3):
        ask.merge(f"{things}/a", {"spec": {"size": size}})
    ask.ok("DELETE", f"{things}/a")
    stream = await Client(transport).watch(THINGS, "default", resource_version=first, timeout_seconds=1)
    changes = [event.type for event in await rest(stream) if isinstance(event, Change)]
    assert changes == ["MODIFIED"] * 3 + ["DELETED"]


async def test_dropped_watches_end_without_an_error(server: ApiServer, transport: InProcessTransport) -> None:
    stream = await Client(transport).watch(CONFIG_MAPS, resource_version="1", timeout_seconds=100)
    assert server.drop_watches("configmaps") == 1
    assert await stream.read() == []


async def test_a_last_bookmark_is_sent_once_whatever_the_clock_rounds(server: ApiServer) -> None:
    sent = []
    for _ in range(100):
        watch = opened(server, timeoutSeconds="3", allowWatchBookmarks="true")
        await asyncio.sleep(3.1)
        sent.append(len(watch.take()))
        await asyncio.sleep(12.345678)
    assert sent == [1] * 100
