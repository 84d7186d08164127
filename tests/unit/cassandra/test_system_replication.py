from __future__ import annotations

import pytest

from controller.cassandra.system_replication import format_replication, initial_system_replication, parse_replication
from controller.cassandra.types import K8ssandraCluster
from tests.unit.cassandra.samples import cluster, datacenter


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (cluster(datacenter("dc1"), datacenter("dc2")), {"dc1": 3}),
        (cluster(datacenter("dc1", size=2)), {"dc1": 2}),
        (cluster(datacenter("dc1", size=9, datacenterName="DC One")), {"DC One": 3}),
        (cluster(spec={"externalDatacenters": ["old", "older"]}), {"dc1": 3, "old": 3, "older": 3}),
        (K8ssandraCluster(), {}),
    ],
)
def test_the_first_datacenter_and_the_external_ones_count(given: K8ssandraCluster, expected: dict[str, int]) -> None:
    assert initial_system_replication(given) == expected


def test_the_annotation_is_compact_json_with_sorted_keys() -> None:
    assert format_replication({"b": 3, "a": 1}) == '{"a":1,"b":3}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"dc1":3}', {"dc1": 3}),
        ('{"datacenters":["dc1","dc2"],"replicationFactor":2}', {"dc1": 2, "dc2": 2}),
        ("{}", {}),
        ("", None),
        ("[]", None),
        ('{"dc1":"3"}', None),
        ('{"datacenters":["dc1"]}', None),
        ("[" * 100_000, None),
    ],
)
def test_an_annotation_is_read_in_both_forms(text: str, expected: dict[str, int] | None) -> None:
    assert parse_replication(text) == expected
