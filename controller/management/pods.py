"""Which pods of a datacenter may be asked: the ready ones of the right namespace, cluster and datacenter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from controller.kube.errors import Malformed
from controller.kube.objects import Object

CONTAINER: Final = "cassandra"
PORT_NAME: Final = "mgmt-api-http"
DEFAULT_PORT: Final = 8080
LOWEST_PORT: Final = 1024  # what a pod says of its ports must not lead to other services of a machine
PODS_CAP: Final = 20  # of a datacenter that are tried; more tell nothing new


class Pod(msgspec.Struct, frozen=True):
    """A pod that may be asked. ``address``: its IP address as its API server says it."""

    namespace: str
    name: str
    address: str
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class _Port(msgspec.Struct, rename="camel"):
    name: str = ""
    container_port: int = 0


class _Container(msgspec.Struct):
    name: str = ""
    ports: list[_Port] | None = None


class _Spec(msgspec.Struct):
    containers: list[_Container] | None = None


class _ContainerStatus(msgspec.Struct):
    name: str = ""
    ready: bool = False


class _Status(msgspec.Struct, rename="camel"):
    pod_ip: str = msgspec.field(default="", name="podIP")
    container_statuses: list[_ContainerStatus] | None = None


class _Pod(msgspec.Struct):
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


def callees(found: Iterable[Object], namespace: str, marks: Mapping[str, str]) -> list[Pod]:
    """Those of ``found`` that have all labels ``marks`` and whose Cassandra is ready, by name."""
    pods = []
    for obj in found:
        head = obj.head
        have = head.labels or {}
        if head.namespace != namespace or head.deletion_timestamp is not None:
            continue
        if any(have.get(key) != value for key, value in marks.items()):
            continue
        try:
            typed = obj.decode(_Pod)
        except Malformed:
            continue
        if typed.status.pod_ip and _is_ready(typed):
            pods.append(Pod(head.namespace, head.name, typed.status.pod_ip, _port(typed)))
    return sorted(pods, key=lambda pod: pod.name)[:PODS_CAP]


def _is_ready(pod: _Pod) -> bool:
    return any(status.name == CONTAINER and status.ready for status in pod.status.container_statuses or ())


def _port(pod: _Pod) -> int:
    for container in pod.spec.containers or ():
        for port in container.ports or () if container.name == CONTAINER else ():
            if port.name == PORT_NAME and LOWEST_PORT <= port.container_port <= 65535:
                return port.container_port
    return DEFAULT_PORT
