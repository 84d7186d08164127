"""The golden manifests: the product makes of them what stands there, and so does a second writing of the rules."""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import yaml

from controller.cassandra.types import K8ssandraClusterSpec
from tests import golden
from tests.golden import CASES, EXPECTED, oracle

NAMES = golden.names()
SERVERS = {*(("cassandra", line) for line in ("3.11", "4.0", "4.1", "5.0")), ("dse", "6.8"), ("hcd", "1.1")}


@pytest.mark.parametrize("name", NAMES)
def test_the_product_makes_what_is_expected(name: str) -> None:
    assert golden.expected(name) == golden.made(golden.rendered(golden.documents(name)))


@pytest.mark.parametrize("name", NAMES)
def test_the_rules_say_what_is_expected(name: str) -> None:
    expected = with_read_files(golden.expected(name)["objects"])
    assert expected == with_read_files(golden.foretold(golden.documents(name)))


def with_read_files(objects: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The metrics agent's file as what it says: the rules do not say how it is written."""
    found = copy.deepcopy(objects)
    for obj in (each for entries in found.values() for each in entries):
        if (text := obj.get("data", {}).get(oracle.METRICS)) is not None:
            text = golden.DEFAULT_RULES if text == golden.THE_DEFAULT else text
            obj["data"][oracle.METRICS] = yaml.safe_load(text)
    return found


def test_there_is_nothing_expected_of_no_manifest() -> None:
    expected = sorted(str(path.relative_to(EXPECTED).with_suffix("")) for path in EXPECTED.rglob("*.yaml"))
    assert expected == NAMES


def test_every_manifest_says_what_it_is_about() -> None:
    assert [name for name in NAMES if not (CASES / f"{name}.yaml").read_text("utf-8").startswith("# ")] == []


def test_every_kind_of_server_is_there() -> None:
    found = set()
    for name in NAMES:
        template = golden.cluster(golden.documents(name)).spec.cassandra
        assert template is not None
        for level in (template, *template.datacenters):
            found.add((template.server_type, ".".join(level.server_version.removeprefix("v").split(".")[:2])))
    assert found >= SERVERS


def test_every_field_of_the_types_occurs_in_a_manifest() -> None:
    present: set[tuple[str, str]] = set()
    for name in NAMES:
        for document in golden.documents(name):
            if document["kind"] == "K8ssandraCluster":
                present |= set(_fields_in(K8ssandraClusterSpec, document["spec"]))
    assert sorted(set(_fields_of(K8ssandraClusterSpec)) - present) == []


def _fields_of(kind: type[msgspec.Struct], known: tuple[type, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every field of a struct and of those inside it, as (struct, field)."""
    for field in msgspec.structs.fields(kind):
        yield kind.__name__, field.encode_name
        for inner in _structs(field.type):
            if inner not in known:
                yield from _fields_of(inner, (*known, kind))


def _fields_in(kind: type[msgspec.Struct], value: Any) -> Iterator[tuple[str, str]]:
    """The fields that a manifest has, by the types."""
    for field in msgspec.structs.fields(kind):
        if field.encode_name not in value:
            continue
        yield kind.__name__, field.encode_name
        given = value[field.encode_name]
        for inner in _structs(field.type):
            for entry in given if isinstance(given, list) else [given]:
                yield from _fields_in(inner, entry)


def _structs(hint: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
    elif isinstance(hint, types.UnionType) or typing.get_origin(hint) is not None:
        for inner in typing.get_args(hint):
            yield from _structs(inner)
