from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controller.cassandra import labels
from controller.cassandra.contact_points import is_of_all_pods, pods
from controller.cassandra.types import CassandraDatacenter
from controller.kube.objects import Object, decode, encode, parse
from controller.sandbox.cass_operator import objects
from tests.unit.cassandra.samples import cluster, datacenter, rendered


def made(**fields: Any) -> CassandraDatacenter:
    """The datacenter dc1 of ns/demo, as cass-operator sees it."""
    (found,) = rendered(cluster(datacenter(**fields))).datacenters
    return decode(msgspec.json.encode(found.object), CassandraDatacenter)


def slices(*addresses: str) -> list[Object]:
    return [parse(encode(each)) for each in objects.all_pods_slices(made(), addresses)]


@pytest.mark.parametrize(("count", "expected"), [(0, [0]), (3, [3]), (100, [100]), (101, [100, 1])])
def test_a_slice_has_at_most_a_hundred_pods_and_without_any_there_is_an_empty_one(
    count: int, expected: list[int]
) -> None:
    found = slices(*(f"10.0.{index // 250}.{index % 250 + 1}" for index in range(count)))
    assert [len(each.decode(dict)["endpoints"]) for each in found] == expected
    assert len({each.head.name for each in found}) == len(found)


def test_a_slice_has_the_labels_of_its_service_and_its_name() -> None:
    (found,) = slices("10.0.0.1")
    service = objects.services(made())[2]["metadata"]
    have = found.head.labels or {}
    assert have.items() >= service["labels"].items()
    assert have[labels.SERVICE_NAME] == service["name"] == "demo-dc1-all-pods-service"
    assert have[labels.CASS_CLUSTER] == "demo"
    assert is_of_all_pods(found)


def test_pods_of_a_slice_take_requests() -> None:
    assert pods(slices("10.0.0.1", "10.0.0.2")).serving == ("10.0.0.1", "10.0.0.2")
