"""What names, labels, annotations and the other parts of metadata may hold."""

from __future__ import annotations

import pytest

from controller.kube.resources import CONFIG_MAPS, NAMESPACES, SERVICES
from tests.conformance.api import Api, causes, ok, refused
from tests.conformance.kinds import WIDGETS, config_map, service, widget

INVALID = "FieldValueInvalid"


@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "dot.", "a b", "x" * 254])
async def test_a_name_is_a_dns_subdomain(api: Api, name: str) -> None:
    status = refused(422, "Invalid", await api.create(CONFIG_MAPS, config_map(name)))
    assert causes(status) == {(INVALID, "metadata.name")}


async def test_a_name_may_have_dots_and_253_characters(api: Api) -> None:
    for name in ("a.b-c.9", "x" * 253):
        ok(await api.create(CONFIG_MAPS, config_map(name)))


async def test_a_custom_resource_has_the_same_rules_for_names(api: Api) -> None:
    status = refused(422, "Invalid", await api.create(WIDGETS, widget("Upper")))
    assert causes(status) == {(INVALID, "metadata.name")}


async def test_the_name_of_a_namespace_is_a_dns_label(api: Api) -> None:
    status = refused(422, "Invalid", await api.create(NAMESPACES, {"metadata": {"name": "a.b"}}))
    assert causes(status) == {(INVALID, "metadata.name")}


async def test_the_name_of_a_service_is_a_dns_label(api: Api) -> None:
    status = refused(422, "Invalid", await api.create(SERVICES, service("a.b")))
    assert causes(status) == {(INVALID, "metadata.name")}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a", "x" * 64),
        ("a", "with space"),
        ("a", "-dash"),
        ("a", "ä"),
        ("", "empty"),
        ("a/b/c", "x"),
        ("Upper.Example/a", "x"),
        ("k" * 64, "x"),
        ("example.com/", "x"),
    ],
)
async def test_a_label_out_of_syntax_is_invalid(api: Api, key: str, value: str) -> None:
    status = refused(422, "Invalid", await api.create(CONFIG_MAPS, config_map(labels={key: value})))
    assert (INVALID, "metadata.labels") in causes(status)


async def test_labels_of_the_longest_allowed_kind_are_accepted(api: Api) -> None:
    labels = {"example.com/" + "k" * 63: "v" * 63, "a_b.c-d": "", "x": "A_b.c-9"}
    assert ok(await api.create(CONFIG_MAPS, config_map(labels=labels)))["metadata"]["labels"] == labels


async def test_a_label_of_a_custom_resource_out_of_syntax_is_invalid(api: Api) -> None:
    status = refused(422, "Invalid", await api.create(WIDGETS, widget(labels={"a": "b c"})))
    assert causes(status) == {(INVALID, "metadata.labels")}


async def test_a_label_that_is_no_string_is_refused(api: Api) -> None:
    refused(400, "BadRequest", await api.create(CONFIG_MAPS, config_map(labels={"a": 1})))


async def test_an_annotation_may_hold_any_text(api: Api) -> None:
    text = "line\nother ä \u0000 {}"
    created = ok(await api.create(CONFIG_MAPS, config_map(annotations={"a": text})))
    assert created["metadata"]["annotations"] == {"a": text}


async def test_the_key_of_an_annotation_has_the_syntax_of_a_label_key(api: Api) -> None:
    status = refused(422, "Invalid", await api.create(CONFIG_MAPS, config_map(annotations={"a b": "x"})))
    assert causes(status) == {(INVALID, "metadata.annotations")}


async def test_annotations_hold_256_kibibytes_in_all(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, config_map("small", annotations={"a": "x" * (2**18 - 1)})))
    status = refused(422, "Invalid", await api.create(CONFIG_MAPS, config_map(annotations={"a": "x" * 2**18})))
    assert causes(status) == {("FieldValueTooLong", "metadata.annotations")}


async def test_a_finalizer_without_a_domain_is_invalid(api: Api) -> None:
    status = refused(422, "Invalid", await api.create(CONFIG_MAPS, config_map(finalizers=["mine"])))
    assert causes(status) == {(INVALID, "metadata.finalizers[0]")}


async def test_an_owner_without_uid_is_invalid(api: Api) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": ""}
    status = refused(422, "Invalid", await api.create(CONFIG_MAPS, config_map(ownerReferences=[owner])))
    assert {field for _, field in causes(status)} == {"metadata.ownerReferences.uid"}


async def test_two_controlling_owners_are_invalid(api: Api) -> None:
    owners = [{"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": name, "controller": True} for name in "ab"]
    status = refused(422, "Invalid", await api.create(CONFIG_MAPS, config_map(ownerReferences=owners)))
    assert {field for _, field in causes(status)} == {"metadata.ownerReferences"}


async def test_a_config_map_key_out_of_syntax_is_invalid(api: Api) -> None:
    status = refused(422, "Invalid", await api.create(CONFIG_MAPS, config_map(data={"a/b": "x"})))
    assert causes(status) == {(INVALID, "data[a/b]")}
