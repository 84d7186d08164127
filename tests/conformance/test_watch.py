"""Watches: where they begin, what selectors do to them, bookmarks, and how they end."""

from __future__ import annotations

import pytest

from controller.kube.resources import CONFIG_MAPS
from controller.kube.transport import Transport
from tests.conformance.api import Api, Json, causes, ok, refused
from tests.conformance.conftest import new_namespace
from tests.conformance.kinds import WIDGETS, config_map, widget

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def version(obj: Json) -> str:
    found: str = obj["metadata"]["resourceVersion"]
    return found


async def test_a_watch_from_a_version_gives_what_came_after_it(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map("before")))
    start = version(ok(await api.list(CONFIG_MAPS)))
    created = ok(await api.create(CONFIG_MAPS, config_map("after")))
    changed = ok(await api.patch(CONFIG_MAPS, "after", {"data": {"a": "2"}}))
    ok(await api.delete(CONFIG_MAPS, "before"))
    async with api.watch(CONFIG_MAPS, resourceVersion=start) as watch:
        assert await watch.next() == ("ADDED", created)
        assert await watch.next() == ("MODIFIED", changed)
        kind, obj = await watch.next()
    assert (kind, obj["metadata"]["name"]) == ("DELETED", "before")


async def test_a_watch_tells_what_happens_while_it_is_open(api: Api) -> None:
    start = version(ok(await api.list(CONFIG_MAPS)))
    async with api.watch(CONFIG_MAPS, resourceVersion=start) as watch:
        created = ok(await api.create(CONFIG_MAPS, config_map()))
        assert await watch.next() == ("ADDED", created)


@pytest.mark.parametrize("start", ["0", ""])
async def test_a_watch_from_nowhere_begins_with_what_exists(api: Api, start: str) -> None:
    first = ok(await api.create(CONFIG_MAPS, config_map("a")))
    ok(await api.list(CONFIG_MAPS, resourceVersion=version(first)))  # a cache has it from here on
    async with api.watch(CONFIG_MAPS, resourceVersion=start) as watch:
        assert await watch.named(1) == [("ADDED", "a")]
        ok(await api.create(CONFIG_MAPS, config_map("b")))
        assert await watch.named(1) == [("ADDED", "b")]


async def test_events_come_in_the_order_of_their_versions(api: Api) -> None:
    start = version(ok(await api.list(CONFIG_MAPS)))
    async with api.watch(CONFIG_MAPS, resourceVersion=start) as watch:
        for number in range(10):
            ok(await api.create(CONFIG_MAPS, config_map(f"n{number}")))
        seen = [await watch.next() for _ in range(10)]
    versions = [int(version(obj)) for _, obj in seen]
    assert versions == sorted(set(versions))
    assert [obj["metadata"]["name"] for _, obj in seen] == [f"n{number}" for number in range(10)]


async def test_an_object_that_enters_a_selector_is_added_and_one_that_leaves_is_deleted(api: Api) -> None:
    start = version(ok(await api.create(CONFIG_MAPS, config_map())))
    async with api.watch(CONFIG_MAPS, resourceVersion=start, labelSelector="app=a") as watch:
        entered = ok(await api.patch(CONFIG_MAPS, "it", {"metadata": {"labels": {"app": "a"}}}))
        assert await watch.next() == ("ADDED", entered)
        changed = ok(await api.patch(CONFIG_MAPS, "it", {"data": {"a": "2"}}))
        assert await watch.next() == ("MODIFIED", changed)
        left = ok(await api.patch(CONFIG_MAPS, "it", {"metadata": {"labels": {"app": "b"}}}))
        kind, obj = await watch.next()
    assert kind == "DELETED"
    assert obj["metadata"]["labels"] == {"app": "a"}  # as it was when it was last inside
    assert version(obj) == version(left)


async def test_an_object_outside_the_selector_is_never_told(api: Api) -> None:
    start = version(ok(await api.list(CONFIG_MAPS)))
    async with api.watch(CONFIG_MAPS, resourceVersion=start, labelSelector="app=a") as watch:
        ok(await api.create(CONFIG_MAPS, config_map("outside", labels={"app": "b"})))
        ok(await api.delete(CONFIG_MAPS, "outside"))
        ok(await api.create(CONFIG_MAPS, config_map("inside", labels={"app": "a"})))
        assert await watch.named(1) == [("ADDED", "inside")]


async def test_a_watch_of_one_name_tells_of_it_alone(api: Api) -> None:
    start = version(ok(await api.list(CONFIG_MAPS)))
    async with api.watch(CONFIG_MAPS, resourceVersion=start, fieldSelector="metadata.name=b") as watch:
        for name in "abc":
            ok(await api.create(CONFIG_MAPS, config_map(name)))
        ok(await api.delete(CONFIG_MAPS, "b"))
        assert await watch.named(2) == [("ADDED", "b"), ("DELETED", "b")]


async def test_a_watch_of_one_namespace_is_silent_about_others(api: Api, admin: Transport) -> None:
    other = Api(admin, await new_namespace(admin))
    start = version(ok(await api.list(CONFIG_MAPS)))
    async with api.watch(CONFIG_MAPS, resourceVersion=start) as watch:
        ok(await other.create(CONFIG_MAPS, config_map("theirs")))
        ok(await api.create(CONFIG_MAPS, config_map("ours")))
        assert await watch.named(1) == [("ADDED", "ours")]


async def test_a_watch_of_all_namespaces_tells_of_each(api: Api, admin: Transport) -> None:
    other = Api(admin, await new_namespace(admin))
    start = version(ok(await api.list(CONFIG_MAPS, namespace="")))
    mine = {"labelSelector": f"case={api.namespace}", "resourceVersion": start}
    async with api.watch(CONFIG_MAPS, namespace="", **mine) as watch:
        for place in (api, other):
            ok(await place.create(CONFIG_MAPS, config_map(labels={"case": api.namespace})))
        seen = [(await watch.next())[1]["metadata"]["namespace"] for _ in range(2)]
    assert seen == [api.namespace, other.namespace]


async def test_a_watch_of_custom_resources_tells_of_status_too(api: Api) -> None:
    start = version(ok(await api.create(WIDGETS, widget())))
    async with api.watch(WIDGETS, resourceVersion=start) as watch:
        changed = ok(await api.patch(WIDGETS, "it", {"status": {"phase": "Up"}}, subresource="status"))
        assert await watch.next() == ("MODIFIED", changed)


async def test_a_watch_ends_by_itself_after_its_timeout(api: Api) -> None:
    start = version(ok(await api.list(CONFIG_MAPS)))
    async with api.watch(CONFIG_MAPS, resourceVersion=start, timeoutSeconds="1") as watch:
        ok(await api.create(CONFIG_MAPS, config_map()))
        assert [kind for kind, _ in await watch.rest()] == ["ADDED"]


async def test_a_bookmark_comes_before_the_timeout_when_asked_for(api: Api) -> None:
    start = version(ok(await api.list(CONFIG_MAPS)))
    asked = {"allowWatchBookmarks": "true", "timeoutSeconds": "4"}
    async with api.watch(CONFIG_MAPS, resourceVersion=start, **asked) as watch:
        created = ok(await api.create(CONFIG_MAPS, config_map()))
        assert await watch.next() == ("ADDED", created)
        kind, bookmark = await watch.next_or_bookmark()
    assert (kind, bookmark["kind"], bookmark["apiVersion"]) == ("BOOKMARK", "ConfigMap", "v1")
    assert int(version(bookmark)) >= int(version(created))


async def test_no_bookmark_comes_unasked(api: Api) -> None:
    start = version(ok(await api.list(CONFIG_MAPS)))
    async with api.watch(CONFIG_MAPS, resourceVersion=start, timeoutSeconds="2") as watch:
        assert await watch.rest() == []


async def test_a_streaming_list_ends_with_its_bookmark(api: Api) -> None:
    for name in "ab":
        ok(await api.create(CONFIG_MAPS, config_map(name)))
    start = version(ok(await api.list(CONFIG_MAPS)))
    asked = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watch(CONFIG_MAPS, **asked) as watch:
        assert sorted(await watch.named(2)) == [("ADDED", "a"), ("ADDED", "b")]
        kind, bookmark = await watch.next_or_bookmark()
        assert (kind, bookmark["metadata"]["annotations"]) == ("BOOKMARK", {INITIAL_EVENTS_END: "true"})
        assert int(version(bookmark)) >= int(start)
        created = ok(await api.create(CONFIG_MAPS, config_map("c")))
        assert await watch.next() == ("ADDED", created)


async def test_a_streaming_list_keeps_to_its_selector(api: Api) -> None:
    for name in "ab":
        ok(await api.create(CONFIG_MAPS, config_map(name, labels={"app": name})))
    asked = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watch(CONFIG_MAPS, labelSelector="app=b", **asked) as watch:
        assert await watch.named(1) == [("ADDED", "b")]
        assert (await watch.next_or_bookmark())[0] == "BOOKMARK"


async def test_a_streaming_list_of_nothing_is_one_bookmark(api: Api) -> None:
    asked = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watch(WIDGETS, **asked) as watch:
        kind, bookmark = await watch.next_or_bookmark()
    assert kind == "BOOKMARK"
    assert bookmark["metadata"]["annotations"] == {INITIAL_EVENTS_END: "true"}


async def test_a_streaming_list_sees_every_write_that_was_answered(api: Api) -> None:
    names = [f"n{number}" for number in range(20)]
    for name in names:
        ok(await api.create(WIDGETS, widget(name)))
    asked = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watch(WIDGETS, **asked) as watch:
        seen = []
        while (event := await watch.next_or_bookmark())[0] != "BOOKMARK":
            seen.append(event[1]["metadata"]["name"])
    assert sorted(seen) == sorted(names)


@pytest.mark.parametrize(
    "parameters",
    [
        {"sendInitialEvents": "true"},
        {"sendInitialEvents": "true", "resourceVersionMatch": "Exact"},
        {"resourceVersionMatch": "NotOlderThan"},
    ],
)
async def test_a_streaming_list_with_the_wrong_parameters_is_invalid(api: Api, parameters: dict[str, str]) -> None:
    refused(422, "Invalid", await api.try_watch(CONFIG_MAPS, allowWatchBookmarks="true", **parameters))


async def test_a_streaming_list_without_leave_for_bookmarks_has_no_end(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map()))
    asked = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "timeoutSeconds": "1"}
    async with api.watch(CONFIG_MAPS, **asked) as watch:
        assert [kind for kind, _ in await watch.rest()] == ["ADDED"]


async def test_a_streaming_list_not_older_than_the_future_is_too_early(api: Api) -> None:
    future = str(int(version(ok(await api.list(CONFIG_MAPS)))) + 10_000_000)
    asked = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watch(CONFIG_MAPS, resourceVersion=future, **asked) as watch:
        kind, status = await watch.next()
    assert kind == "ERROR"
    assert (status["code"], status["reason"]) == (504, "Timeout")
    assert causes(status) == {("ResourceVersionTooLarge", "")}


async def test_a_watch_without_initial_events_tells_only_what_is_new(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map("old")))
    asked = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watch(CONFIG_MAPS, **asked) as watch:
        ok(await api.create(CONFIG_MAPS, config_map("new")))
        assert await watch.named(1) == [("ADDED", "new")]


async def test_a_watch_from_a_version_that_is_no_number_fails(api: Api) -> None:
    refused(500, "", await api.try_watch(CONFIG_MAPS, resourceVersion="yesterday"))


async def test_a_watch_from_the_future_is_silent_until_it_ends(api: Api) -> None:
    # Nothing says that the version is wrong: after a restore from a backup only a list shows it.
    future = str(int(version(ok(await api.list(CONFIG_MAPS)))) + 10_000_000)
    async with api.watch(CONFIG_MAPS, resourceVersion=future, timeoutSeconds="2") as watch:
        ok(await api.create(CONFIG_MAPS, config_map()))
        assert await watch.rest() == []


async def test_a_watch_with_an_unreadable_selector_is_refused(api: Api) -> None:
    refused(400, "BadRequest", await api.try_watch(CONFIG_MAPS, labelSelector="a in b"))


async def test_watch_may_be_asked_for_as_1_or_true(api: Api) -> None:
    start = version(ok(await api.list(CONFIG_MAPS)))
    async with api.watch(CONFIG_MAPS, watch="1", resourceVersion=start) as watch:
        ok(await api.create(CONFIG_MAPS, config_map()))
        assert await watch.named(1) == [("ADDED", "it")]
