"""What the schema of a custom kind refuses, drops, fills in and keeps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.api import Api, causes, ok, refused
from tests.conformance.kinds import GADGETS, WIDGETS, gadget, widget


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({"size": "big"}, ("FieldValueTypeInvalid", "spec.size")),
        ({"size": 1.5}, ("FieldValueTypeInvalid", "spec.size")),
        ({"size": -1}, ("FieldValueInvalid", "spec.size")),
        ({"size": 101}, ("FieldValueInvalid", "spec.size")),
        ({"mode": "Medium"}, ("FieldValueNotSupported", "spec.mode")),
        ({"code": "ABC"}, ("FieldValueInvalid", "spec.code")),
        ({"code": "abcdefghi"}, ("FieldValueTooLong", "spec.code")),
        ({"enabled": "yes"}, ("FieldValueTypeInvalid", "spec.enabled")),
        ({"quota": True}, ("FieldValueTypeInvalid", "spec.quota")),
        ({"settings": {"a": 1}}, ("FieldValueTypeInvalid", "spec.settings.a")),
        ({"atoms": "a"}, ("FieldValueTypeInvalid", "spec.atoms")),
        ({"ports": [{"number": 1}]}, ("FieldValueRequired", "spec.ports[0].name")),
        ({"ports": [{"name": "a"}, {"name": "a"}]}, ("FieldValueDuplicate", "spec.ports[1]")),
        ({"tags": ["a", "b", "a"]}, ("FieldValueDuplicate", "spec.tags[2]")),
        ({"free": "text"}, ("FieldValueTypeInvalid", "spec.free")),
    ],
)
async def test_a_value_that_the_schema_refuses_is_named(api: Api, spec: Any, cause: tuple[str, str]) -> None:
    status = refused(422, "Invalid", await api.create(WIDGETS, widget(spec=spec)))
    assert cause in causes(status)
    assert status["details"] | {"causes": []} == {
        "name": "it",
        "group": WIDGETS.group,
        "kind": "Widget",
        "causes": [],
    }


async def test_every_wrong_value_is_named(api: Api) -> None:
    status = refused(422, "Invalid", await api.create(WIDGETS, widget(spec={"size": -1, "mode": "x"})))
    assert causes(status) >= {("FieldValueInvalid", "spec.size"), ("FieldValueNotSupported", "spec.mode")}


@pytest.mark.parametrize("quota", [5, "5Gi", "50%", ""])
async def test_an_int_or_string_is_kept_as_it_came(api: Api, quota: int | str) -> None:
    assert ok(await api.create(WIDGETS, widget(spec={"quota": quota})))["spec"]["quota"] == quota


async def test_unknown_fields_are_dropped_at_every_depth(api: Api) -> None:
    spec = {"bogus": 1, "size": 2, "ports": [{"name": "a", "bogus": 1}], "where": {"bogus": 1, "zone": "z"}}
    created = ok(await api.create(WIDGETS, {**widget(spec=spec), "extra": True}))
    assert created["spec"] == {
        "size": 2,
        "replicas": 3,
        "ports": [{"name": "a", "protocol": "TCP"}],
        "where": {"zone": "z"},
    }
    assert "extra" not in created


async def test_unknown_fields_of_metadata_are_dropped(api: Api) -> None:
    created = ok(await api.create(WIDGETS, widget(bogus=1)))
    assert "bogus" not in created["metadata"]


async def test_unknown_fields_of_the_status_are_dropped(api: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    change = {"status": {"phase": "Up", "bogus": 1, "conditions": [{"type": "A", "status": "True", "reason": "x"}]}}
    after = ok(await api.patch(WIDGETS, "it", change, subresource="status"))
    assert after["status"] == {"phase": "Up", "conditions": [{"type": "A", "status": "True"}]}


async def test_unknown_fields_are_kept_where_the_schema_says_so(api: Api) -> None:
    free = {"a": {"b": [1, "two", None, {"c": 1.5}]}}
    assert ok(await api.create(WIDGETS, widget(spec={"free": free})))["spec"]["free"] == free
    assert ok(await api.create(GADGETS, gadget(spec=free)))["spec"] == free


async def test_defaults_are_filled_in(api: Api) -> None:
    created = ok(await api.create(WIDGETS, widget(spec={"ports": [{"name": "a"}, {"name": "b", "protocol": "UDP"}]})))
    assert created["spec"]["replicas"] == 3
    assert [port["protocol"] for port in created["spec"]["ports"]] == ["TCP", "UDP"]


async def test_a_default_needs_its_parent(api: Api) -> None:
    body = widget()
    del body["spec"]
    assert "spec" not in ok(await api.create(WIDGETS, body))


async def test_a_removed_field_is_filled_in_again(api: Api) -> None:
    ok(await api.create(WIDGETS, widget(spec={"replicas": 9})))
    assert ok(await api.patch(WIDGETS, "it", {"spec": {"replicas": None}}))["spec"]["replicas"] == 3


async def test_null_is_dropped_where_a_default_is(api: Api) -> None:
    assert ok(await api.create(WIDGETS, widget(spec={"replicas": None})))["spec"] == {"replicas": 3}


async def test_null_is_kept_where_the_schema_allows_it(api: Api) -> None:
    assert ok(await api.create(WIDGETS, widget(spec={"note": None})))["spec"] == {"note": None, "replicas": 3}


async def test_null_is_dropped_where_the_schema_does_not_allow_it(api: Api) -> None:
    assert ok(await api.create(WIDGETS, widget(spec={"mode": None})))["spec"] == {"replicas": 3}


async def test_a_whole_number_may_be_written_with_a_point(api: Api) -> None:
    body = b'{"apiVersion": "%s", "kind": "Widget", "metadata": {"name": "it"}, "spec": {"size": 2.0}}'
    answer = await api.call("POST", api.path(WIDGETS), body % WIDGETS.api_version.encode())
    assert ok(answer)["spec"]["size"] == 2


async def test_an_integer_is_a_number(api: Api) -> None:
    assert ok(await api.create(WIDGETS, widget(spec={"ratio": 2})))["spec"]["ratio"] == 2


async def test_long_integers_keep_every_digit(api: Api) -> None:
    assert ok(await api.create(GADGETS, gadget(spec={"n": 2**63 - 1})))["spec"]["n"] == 2**63 - 1
