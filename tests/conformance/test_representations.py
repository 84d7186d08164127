"""Metadata-only answers, tables, and what else may be asked for by Accept."""

from __future__ import annotations

from typing import Any

import pytest

from controller.kube.resources import CONFIG_MAPS, SECRETS
from tests.conformance.api import Api, ok, refused
from tests.conformance.kinds import WIDGETS, config_map, secret, widget

METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


async def test_get_of_metadata_leaves_the_contents_out(api: Api) -> None:
    created = ok(await api.create(SECRETS, secret(data={"a": "Yg=="})))
    found = ok(await api.get(SECRETS, "it", accept=METADATA))
    assert found == {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": created["metadata"]}


async def test_list_of_metadata_leaves_the_contents_out(api: Api) -> None:
    created = ok(await api.create(SECRETS, secret(data={"a": "Yg=="})))
    found = ok(await api.list(SECRETS, accept=METADATA_LIST))
    assert (found["kind"], found["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    assert [item["metadata"] for item in found["items"]] == [created["metadata"]]
    assert all("data" not in item for item in found["items"])
    assert int(found["metadata"]["resourceVersion"]) > 0


async def test_list_of_metadata_comes_in_pages(api: Api) -> None:
    for name in "abc":
        ok(await api.create(WIDGETS, widget(name)))
    first = ok(await api.list(WIDGETS, accept=METADATA_LIST, limit="2"))
    rest = ok(await api.list(WIDGETS, accept=METADATA_LIST, continue_=first["metadata"]["continue"]))
    assert [[i["metadata"]["name"] for i in page["items"]] for page in (first, rest)] == [["a", "b"], ["c"]]


@pytest.mark.parametrize("kind", [SECRETS, WIDGETS], ids=str)
async def test_watch_of_metadata_leaves_the_contents_out(api: Api, kind: Any) -> None:
    start = ok(await api.list(kind))["metadata"]["resourceVersion"]
    async with api.watch(kind, accept=METADATA, resourceVersion=start) as watch:
        body = widget(spec={"size": 1}) if kind is WIDGETS else secret(data={"a": "Yg=="})
        created = ok(await api.create(kind, body))
        event, obj = await watch.next()
    assert event == "ADDED"
    assert obj == {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": created["metadata"]}


async def test_the_bookmark_of_a_metadata_watch_is_metadata_too(api: Api) -> None:
    asked = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watch(CONFIG_MAPS, accept=METADATA, **asked) as watch:
        kind, bookmark = await watch.next_or_bookmark()
    assert (kind, bookmark["kind"], bookmark["apiVersion"]) == ("BOOKMARK", "PartialObjectMetadata", "meta.k8s.io/v1")
    assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_table_has_columns_and_rows_with_metadata(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map(data={"a": "1", "b": "2"})))
    table = ok(await api.list(CONFIG_MAPS, accept=TABLE))
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    (row,) = table["rows"]
    assert row["cells"][:2] == ["it", 2]
    assert (row["object"]["kind"], row["object"]["metadata"]["name"]) == ("PartialObjectMetadata", "it")


async def test_a_table_of_custom_resources_has_their_printer_columns(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(spec={"size": 7})))
    ok(await api.patch(WIDGETS, "it", {"status": {"phase": "Up"}}, subresource="status"))
    table = ok(await api.list(WIDGETS, accept=TABLE))
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size", "Phase"]
    assert [row["cells"] for row in table["rows"]] == [["it", 7, "Up"]]


async def test_a_printer_column_without_a_value_is_null(api: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    table = ok(await api.get(WIDGETS, "it", accept=TABLE))
    assert [row["cells"] for row in table["rows"]] == [["it", None, None]]


async def test_the_first_acceptable_form_is_given(api: Api) -> None:
    found = ok(await api.list(CONFIG_MAPS, accept=f"{TABLE},application/json"))
    assert found["kind"] == "Table"


async def test_json_is_given_to_whoever_takes_anything(api: Api) -> None:
    assert ok(await api.list(CONFIG_MAPS, accept="*/*"))["kind"] == "ConfigMapList"


async def test_a_form_that_nobody_knows_is_not_acceptable(api: Api) -> None:
    refused(406, "NotAcceptable", await api.list(CONFIG_MAPS, accept="text/csv"))


async def test_custom_resources_have_no_protobuf(api: Api) -> None:
    answer = await api.list(WIDGETS, accept="application/vnd.kubernetes.protobuf,application/json")
    assert ok(answer)["kind"] == "WidgetList"
    assert (await api.list(WIDGETS, accept="application/vnd.kubernetes.protobuf")).status == 406
