"""Lists: paging, selectors, and how fresh a list must be."""

from __future__ import annotations

from typing import Any

import pytest

from controller.kube.resources import CONFIG_MAPS, NAMESPACES, PODS, SECRETS
from controller.kube.transport import Transport
from tests.conformance.api import Api, Json, causes, ok, refused
from tests.conformance.conftest import new_namespace
from tests.conformance.kinds import WIDGETS, config_map, pod, secret, widget


async def make(api: Api, *names: str, **metadata: Any) -> None:
    for name in names:
        ok(await api.create(CONFIG_MAPS, config_map(name, **metadata)))


def names(page: Json) -> list[str]:
    return [item["metadata"]["name"] for item in page["items"]]


async def test_a_list_has_a_version_and_items_in_the_order_of_their_names(api: Api) -> None:
    await make(api, "b", "c", "a")
    page = ok(await api.list(CONFIG_MAPS))
    assert (page["kind"], page["apiVersion"]) == ("ConfigMapList", "v1")
    assert int(page["metadata"]["resourceVersion"]) > 0
    assert names(page) == ["a", "b", "c"]
    assert "kind" not in page["items"][0]  # the list says it for all


async def test_items_of_a_list_of_custom_resources_say_their_kind(api: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    page = ok(await api.list(WIDGETS))
    assert page["kind"] == "WidgetList"
    assert page["items"][0]["kind"] == "Widget"


async def test_a_list_of_nothing_is_an_empty_list(api: Api) -> None:
    assert ok(await api.list(CONFIG_MAPS))["items"] == []
    assert ok(await api.list(WIDGETS))["items"] == []


async def test_a_list_of_an_absent_namespace_is_empty(api: Api) -> None:
    assert ok(await api.list(CONFIG_MAPS, namespace="absent"))["items"] == []


async def test_a_list_of_all_namespaces_is_ordered_by_namespace(api: Api, admin: Transport) -> None:
    spaces = [api.namespace] + [await new_namespace(admin) for _ in range(2)]
    for space in spaces:
        await make(Api(admin, space), "it", labels={"case": api.namespace})
    page = ok(await api.list(CONFIG_MAPS, namespace="", labelSelector=f"case={api.namespace}"))
    assert [item["metadata"]["namespace"] for item in page["items"]] == sorted(spaces)


# ── paging ──────────────────────────────────────────────────────────────────────────────────────────


async def test_pages_go_on_where_the_last_one_ended(api: Api) -> None:
    await make(api, *"abcde")
    first = ok(await api.list(CONFIG_MAPS, limit="2"))
    second = ok(await api.list(CONFIG_MAPS, limit="2", continue_=first["metadata"]["continue"]))
    third = ok(await api.list(CONFIG_MAPS, limit="2", continue_=second["metadata"]["continue"]))
    assert [names(page) for page in (first, second, third)] == [["a", "b"], ["c", "d"], ["e"]]
    assert "continue" not in third["metadata"]


async def test_a_page_tells_how_many_remain(api: Api) -> None:
    await make(api, *"abcde")
    first = ok(await api.list(CONFIG_MAPS, limit="2"))
    assert first["metadata"]["remainingItemCount"] == 3
    last = ok(await api.list(CONFIG_MAPS, limit="9", continue_=first["metadata"]["continue"]))
    assert "remainingItemCount" not in last["metadata"]


async def test_a_page_with_a_selector_does_not_tell_how_many_remain(api: Api) -> None:
    await make(api, *"abc", labels={"app": "a"})
    first = ok(await api.list(CONFIG_MAPS, limit="1", labelSelector="app=a"))
    assert "remainingItemCount" not in first["metadata"]
    assert "continue" in first["metadata"]


async def test_pages_show_the_collection_as_it_was_at_the_first(api: Api) -> None:
    await make(api, *"abc")
    first = ok(await api.list(CONFIG_MAPS, limit="1"))
    ok(await api.delete(CONFIG_MAPS, "c"))
    await make(api, "bb")
    second = ok(await api.list(CONFIG_MAPS, limit="9", continue_=first["metadata"]["continue"]))
    assert names(second) == ["b", "c"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_a_selector_applies_to_every_page(api: Api) -> None:
    await make(api, "a", "c", "e", labels={"app": "x"})
    await make(api, "b", "d")
    first = ok(await api.list(CONFIG_MAPS, limit="2", labelSelector="app=x"))
    rest = {"labelSelector": "app=x", "continue_": first["metadata"]["continue"]}
    second = ok(await api.list(CONFIG_MAPS, limit="2", **rest))
    assert [names(first), names(second)] == [["a", "c"], ["e"]]


async def test_a_limit_with_version_zero_may_be_served_whole(api: Api) -> None:
    await make(api, *"abc")
    version = ok(await api.list(CONFIG_MAPS))["metadata"]["resourceVersion"]
    ok(await api.list(CONFIG_MAPS, resourceVersion=version))
    page = ok(await api.list(CONFIG_MAPS, limit="1", resourceVersion="0"))
    assert names(page) == ["a", "b", "c"]
    assert "continue" not in page["metadata"]


async def test_a_continue_token_that_is_no_token_is_refused(api: Api) -> None:
    refused(400, "BadRequest", await api.list(CONFIG_MAPS, limit="1", continue_="nonsense"))


# ── selectors ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("app=a", "12"),
        ("app==a", "12"),
        ("app!=a", "34"),
        ("app in (a,b)", "123"),
        ("app in (b)", "3"),
        ("app notin (a)", "34"),
        ("tier", "13"),
        ("!tier", "24"),
        ("app=a,tier=front", "1"),
        ("app=a,!tier", "2"),
        ("app,app!=b", "12"),
        ("app=", ""),
        ("size>1", "3"),
        ("size<2", "1"),
        ("", "1234"),
    ],
)
async def test_label_selectors(api: Api, selector: str, found: str) -> None:
    for name, labels in {
        "1": {"app": "a", "tier": "front", "size": "1"},
        "2": {"app": "a"},
        "3": {"app": "b", "tier": "back", "size": "2"},
        "4": {},
    }.items():
        await make(api, name, labels=labels)
    assert names(ok(await api.list(CONFIG_MAPS, labelSelector=selector))) == list(found)


@pytest.mark.parametrize("selector", ["a in b", "a=b=c", "a b", "=a", "a in (", "a>x"])
async def test_an_unreadable_label_selector_is_refused(api: Api, selector: str) -> None:
    refused(400, "BadRequest", await api.list(CONFIG_MAPS, labelSelector=selector))


@pytest.mark.parametrize(
    ("selector", "found"),
    [("metadata.name=b", ["b"]), ("metadata.name!=b", ["a", "c"]), ("metadata.name=b,metadata.name=c", [])],
)
async def test_the_name_is_a_field_to_select_by(api: Api, selector: str, found: list[str]) -> None:
    await make(api, *"abc")
    assert names(ok(await api.list(CONFIG_MAPS, fieldSelector=selector))) == found


async def test_custom_resources_are_selected_by_name_and_namespace(api: Api) -> None:
    for name in "ab":
        ok(await api.create(WIDGETS, widget(name)))
    selector = f"metadata.name=a,metadata.namespace={api.namespace}"
    assert names(ok(await api.list(WIDGETS, namespace="", fieldSelector=selector))) == ["a"]


async def test_secrets_are_selected_by_type(api: Api) -> None:
    ok(await api.create(SECRETS, secret("a")))
    ok(await api.create(SECRETS, secret("b", type="example.com/mine")))
    assert names(ok(await api.list(SECRETS, fieldSelector="type=example.com/mine"))) == ["b"]


async def test_pods_are_selected_by_phase(api: Api) -> None:
    ok(await api.create(PODS, pod()))
    assert names(ok(await api.list(PODS, fieldSelector="status.phase=Pending"))) == ["it"]
    assert names(ok(await api.list(PODS, fieldSelector="status.phase=Running"))) == []


async def test_namespaces_are_selected_by_name(api: Api) -> None:
    found = ok(await api.list(NAMESPACES, fieldSelector=f"metadata.name={api.namespace}"))
    assert names(found) == [api.namespace]


@pytest.mark.parametrize("kind", [CONFIG_MAPS, WIDGETS], ids=str)
async def test_a_field_that_cannot_be_selected_by_is_refused(api: Api, kind: Any) -> None:
    refused(400, "BadRequest", await api.list(kind, fieldSelector="spec.size=1"))


# ── freshness ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_list_sees_every_write_that_was_answered(api: Api) -> None:
    for number in range(20):
        await make(api, f"n{number:02}")
        assert len(ok(await api.list(CONFIG_MAPS))["items"]) == number + 1


async def test_a_list_not_older_than_a_write_has_it(api: Api) -> None:
    created = ok(await api.create(CONFIG_MAPS, config_map()))
    page = ok(await api.list(CONFIG_MAPS, resourceVersion=created["metadata"]["resourceVersion"]))
    assert page["items"][0]["metadata"]["uid"] == created["metadata"]["uid"]
    assert int(page["metadata"]["resourceVersion"]) >= int(created["metadata"]["resourceVersion"])


async def test_a_list_of_an_exact_version_shows_the_past(api: Api) -> None:
    await make(api, "a")
    past = ok(await api.list(CONFIG_MAPS))["metadata"]["resourceVersion"]
    await make(api, "b")
    page = ok(await api.list(CONFIG_MAPS, resourceVersion=past, resourceVersionMatch="Exact"))
    assert names(page) == ["a"]
    assert page["metadata"]["resourceVersion"] == past


async def test_a_list_not_older_than_the_future_is_too_early(api: Api) -> None:
    future = str(int(ok(await api.list(CONFIG_MAPS))["metadata"]["resourceVersion"]) + 10_000_000)
    answer = await api.list(CONFIG_MAPS, resourceVersion=future)
    status = refused(504, "Timeout", answer)
    assert causes(status) == {("ResourceVersionTooLarge", "")}
    assert "Too large resource version" in status["message"]
    assert status["details"]["retryAfterSeconds"] == 1


async def test_a_match_without_a_version_is_invalid(api: Api) -> None:
    refused(422, "Invalid", await api.list(CONFIG_MAPS, resourceVersionMatch="NotOlderThan"))


async def test_an_exact_version_zero_is_invalid(api: Api) -> None:
    refused(422, "Invalid", await api.list(CONFIG_MAPS, resourceVersion="0", resourceVersionMatch="Exact"))


async def test_a_match_with_a_continue_token_is_invalid(api: Api) -> None:
    await make(api, *"ab")
    token = ok(await api.list(CONFIG_MAPS, limit="1"))["metadata"]["continue"]
    answer = await api.list(CONFIG_MAPS, continue_=token, resourceVersion="1", resourceVersionMatch="NotOlderThan")
    refused(422, "Invalid", answer)


async def test_a_version_that_is_no_number_is_invalid(api: Api) -> None:
    refused(400, "BadRequest", await api.list(CONFIG_MAPS, resourceVersion="yesterday"))
