"""What the rules in CEL cost an API server, which judges them at every write, of the status too."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cassandra.types import rules
from controller.sandbox.apiserver.cel import Maybe, compile_rule
from tests.unit.cassandra.samples import STORAGE


class Counted(dict[str, Any]):
    """A datacenter that counts how often one of its fields is read: that is what takes an API server its time."""

    reads = 0

    def __getitem__(self, key: str) -> Any:
        Counted.reads += 1
        return super().__getitem__(key)


def cluster(size: int) -> dict[str, Any]:
    datacenters = [Counted(metadata={"name": f"dc{number}"}, datacenterName=f"DC {number}") for number in range(size)]
    return {"datacenters": datacenters, "serverVersion": "4.0.17", "storageConfig": STORAGE}


def reads(rule: dict[str, Any], size: int) -> int:
    """How often fields of datacenters are read to judge a write that changes none of them."""
    now, before = cluster(size), cluster(size)
    Counted.reads = 0
    scope = {"self": now, "oldSelf": Maybe(True, before) if rule.get("optionalOldSelf") else before}
    assert compile_rule(rule["rule"])(scope) is True
    return Counted.reads


@pytest.mark.parametrize("rule", rules.OF_CASSANDRA, ids=lambda rule: rule["message"])
def test_each_datacenter_is_read_as_often_beside_many_as_beside_few(rule: dict[str, Any]) -> None:
    assert reads(rule, 64) == 8 * reads(rule, 8)


def test_a_write_reads_each_datacenter_a_few_times() -> None:
    """Each read is some 20 µs of every write, so what is asked of the names asks once."""
    assert sum(reads(rule, 8) for rule in rules.OF_CASSANDRA) <= 14 * 8
