"""Only ready pods of the right namespace, cluster and datacenter are asked."""

from __future__ import annotations

from typing import Any

import pytest

from controller.kube.objects import Object, encode, parse
from controller.management.pods import DEFAULT_PORT, Pod, callees

MARKS = {"cluster": "demo", "datacenter": "dc1"}


def pod(name: str = "a", *, ready: bool = True, port: Any = 8081, **metadata: Any) -> dict[str, Any]:
    container = {"name": "cassandra", "ports": [{"name": "mgmt-api-http", "containerPort": port}]}
    return {
        "metadata": {"name": name, "namespace": "ns", "labels": MARKS, "uid": name, "resourceVersion": "1", **metadata},
        "spec": {"containers": [container]},
        "status": {"podIP": "10.0.0.1", "containerStatuses": [{"name": "cassandra", "ready": ready}]},
    }


def found(*pods: dict[str, Any]) -> list[Pod]:
    objects: list[Object] = [parse(encode(each)) for each in pods]
    return callees(objects, "ns", MARKS)


def test_a_ready_pod_is_asked_at_the_port_that_it_names() -> None:
    assert found(pod()) == [Pod("ns", "a", "10.0.0.1", 8081)]


def test_pods_are_asked_in_the_order_of_their_names() -> None:
    assert [each.name for each in found(pod("c"), pod("a"), pod("b"))] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "other",
    [
        pod(ready=False),
        pod(namespace="elsewhere"),
        pod(labels={"cluster": "demo", "datacenter": "dc2"}),
        pod(labels={"cluster": "other", "datacenter": "dc1"}),
        pod(labels={}),
        pod(deletionTimestamp="2026-01-01T00:00:00Z"),
        {**pod(), "status": {"containerStatuses": [{"name": "cassandra", "ready": True}]}},
        {**pod(), "status": {"podIP": "10.0.0.1", "containerStatuses": [{"name": "sidecar", "ready": True}]}},
        {**pod(), "status": {"podIP": "10.0.0.1"}},
        {**pod(), "status": {"podIP": ["10.0.0.1"]}},
    ],
)
def test_other_pods_are_not(other: dict[str, Any]) -> None:
    assert found(other) == []


@pytest.mark.parametrize("port", [22, 0, 70000])
def test_a_port_that_cannot_be_it_is_not_called(port: int) -> None:
    assert [each.port for each in found(pod(port=port))] == [DEFAULT_PORT]
