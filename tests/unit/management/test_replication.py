"""What answers about replication and schema versions mean, hostile ones among them."""

from __future__ import annotations

from typing import Any

import pytest

from controller.kube.errors import Malformed
from controller.management.replication import NETWORK_TOPOLOGY, Replication, parse_replication, parse_versions, settings


def test_replicas_come_as_text() -> None:
    found = parse_replication({"class": NETWORK_TOPOLOGY, "dc1": "3", "dc2": 1})
    assert found == Replication(NETWORK_TOPOLOGY, {"dc1": 3, "dc2": 1})


def test_a_short_class_name_is_the_same_class() -> None:
    assert parse_replication({"class": "NetworkTopologyStrategy", "dc1": "3"}).by_datacenter


def test_another_strategy_says_nothing_of_datacenters() -> None:
    found = parse_replication({"class": "org.apache.cassandra.locator.SimpleStrategy", "replication_factor": "1"})
    assert (found.by_datacenter, found.replicas) == (False, {})


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "dc1",
        {},
        {"dc1": "3"},
        {"class": 3},
        {"class": "x" * 300},
        {"class": NETWORK_TOPOLOGY, "dc1": "3/1"},  # transient replicas, which would be lost
        {"class": NETWORK_TOPOLOGY, "dc1": "-1"},
        {"class": NETWORK_TOPOLOGY, "dc1": True},
        {"class": NETWORK_TOPOLOGY, "dc1": "9" * 400},
        {"class": NETWORK_TOPOLOGY, "dc1": {"a": 1}},
        {"class": NETWORK_TOPOLOGY, **{f"dc{number}": "1" for number in range(2000)}},
    ],
)
def test_what_is_not_understood_is_refused(answer: Any) -> None:
    with pytest.raises(Malformed):
        parse_replication(answer)


def test_a_change_names_every_datacenter() -> None:
    assert settings("system_auth", {"dc2": 1, "dc1": 3}) == {
        "keyspace_name": "system_auth",
        "replication_settings": [
            {"dc_name": "dc1", "replication_factor": "3"},
            {"dc_name": "dc2", "replication_factor": "1"},
        ],
    }


def test_nodes_that_are_down_have_no_version() -> None:
    assert parse_versions({"a": ["10.0.0.1"], "UNREACHABLE": ["10.0.0.2"]}) == ["a"]


def test_versions_that_are_no_map_are_refused() -> None:
    with pytest.raises(Malformed):
        parse_versions(["a"])
