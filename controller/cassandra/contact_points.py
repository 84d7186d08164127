"""Contact points: in the control plane, a headless Service for each datacenter, with the addresses of its pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from controller.cassandra import labels, names
from controller.cassandra.compare import stamped
from controller.cassandra.memo import Memo
from controller.cassandra.render import RenderedDatacenter
from controller.cassandra.secrets import owner_reference
from controller.cassandra.seeds import ADDRESSES, usable_addresses
from controller.cassandra.types import K8ssandraCluster
from controller.kube.errors import Malformed
from controller.kube.objects import Object
from controller.kube.resources import ENDPOINT_SLICES, SERVICES

SUFFIX: Final = "-contact-points-service"
FAMILIES: Final = {4: "IPv4", 6: "IPv6"}
PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
PORTS: Final = 100  # of a Service here; cass-operator's have four


class Port(msgspec.Struct, frozen=True):
    """A port of pods."""

    name: str
    port: int
    protocol: str


class Pods(msgspec.Struct, frozen=True):
    """Where the pods of a datacenter are reached.

    Addresses are canonical, sorted, each once. ``serving``: of those that take requests; ``waiting``: of the others.
    """

    serving: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.serving or self.waiting)


class _Conditions(msgspec.Struct, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None

    @property
    def takes_requests(self) -> bool:
        """The Service of all pods publishes those that are not ready, so that only ``serving`` tells; old clusters
        say nothing of it."""
        if self.terminating:
            return False
        return self.ready is not False if self.serving is None else self.serving


class _Endpoint(msgspec.Struct, frozen=True):
    addresses: tuple[str, ...] = ()
    conditions: _Conditions = _Conditions()


class _Port(msgspec.Struct, frozen=True):
    name: str = ""
    port: int = 0
    protocol: str = "TCP"


class _Slice(msgspec.Struct, frozen=True):
    endpoints: tuple[_Endpoint, ...] = ()
    ports: tuple[_Port, ...] = ()


_READ: Final = Memo[bytes, _Slice](1024)
_GATHERED: Final = Memo[tuple[bytes, ...], Pods](1024)
_RENDERED: Final = Memo[tuple[Any, ...], tuple[dict[str, Any], list[dict[str, Any]]]](1024)


def is_of_all_pods(found: Object) -> bool:
    """Whether a slice belongs to a Service of all pods of some datacenter."""
    return (found.head.labels or {}).get(labels.SERVICE_NAME, "").endswith("-all-pods-service")


def pods(slices: Iterable[Object]) -> Pods:
    """What the slices of one Service say together, in any order; what cannot be read in one is left out."""
    found = sorted(slices, key=lambda each: each.head.name)
    return _GATHERED.get(tuple(each.raw for each in found), lambda: _pods(found))


def contact_points(
    cluster: K8ssandraCluster, datacenter: RenderedDatacenter, found: Pods, *, status_name: str = ""
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The Service of one datacenter and its slices, one by kind of address, with as many endpoints as it takes.

    ``status_name``: the live CassandraDatacenter's ``status.datacenterName``, as for the seeds.
    """
    stamp = datacenter.object["metadata"]["annotations"][labels.RESOURCE_HASH]
    key = (cluster.metadata.uid, cluster.name, cluster.cass_name, stamp, status_name, found)
    return _RENDERED.get(key, lambda: _render(cluster, datacenter, found, status_name))


def _pods(slices: Iterable[Object]) -> Pods:
    serving: list[str] = []
    waiting: list[str] = []
    ports: dict[str, Port] = {}
    for each in slices:
        read = _READ.get(each.raw, lambda each=each: _read(each))  # type: ignore[misc]
        for endpoint in read.endpoints:
            (serving if endpoint.conditions.takes_requests else waiting).extend(endpoint.addresses)
        if any(endpoint.addresses for endpoint in read.endpoints):
            for port in read.ports:
                if _is_port(port):
                    ports.setdefault(port.name, Port(port.name, port.port, port.protocol))
    if len(ports) > 1:
        ports.pop("", None)  # where there are several each needs a name
    usable = {str(address) for address in usable_addresses(serving)}
    return Pods(
        serving=tuple(str(address) for address in usable_addresses(serving)),
        # While an endpoint moves from one slice to another it is in both.
        waiting=tuple(text for address in usable_addresses(waiting) if (text := str(address)) not in usable),
        ports=tuple(ports.values())[:PORTS],
    )


def _read(found: Object) -> _Slice:
    try:
        return found.decode(_Slice)
    except Malformed:
        return _Slice()


def _is_port(port: _Port) -> bool:
    """Whether a Service may have it: what another cluster says is not to be trusted to be right."""
    named = not port.name or names.is_namespace(port.name)
    return named and 1 <= port.port <= 65535 and port.protocol in PROTOCOLS


def _render(
    cluster: K8ssandraCluster, datacenter: RenderedDatacenter, found: Pods, status_name: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    name = names.contact_points_service(cluster.cass_name, status_name or datacenter.name)
    own = {
        labels.APP_NAME: labels.OPERATOR_NAME,
        labels.APP_PART_OF: labels.PART_OF,
        labels.APP_COMPONENT: "cassandra",
        labels.DATACENTER: datacenter.name,
        **labels.owner(cluster.name, cluster.namespace),
    }
    common = datacenter.object["spec"]
    service: dict[str, Any] = {
        "apiVersion": SERVICES.api_version,
        "kind": SERVICES.kind,
        "metadata": {
            "name": name,
            "namespace": cluster.namespace,
            "labels": {
                **{key: names.label_value(value) for key, value in common.get("additionalLabels", {}).items()},
                **own,
            },
            "annotations": dict(common.get("additionalAnnotations") or {}),
        },
        "spec": {"type": "ClusterIP", "clusterIP": "None", "ports": [_port(port) for port in found.ports]},
    }
    slices = [_slice(cluster, service, own, kind, found) for kind in FAMILIES if _of(found, kind)]
    return _owned(cluster, stamped(service)), [_owned(cluster, stamped(slice_)) for slice_ in slices]


def _owned(cluster: K8ssandraCluster, made: dict[str, Any]) -> dict[str, Any]:
    """``made`` with its owner, whose UID tells nothing of what it says and is no part of its hash."""
    return {**made, "metadata": {**made["metadata"], "ownerReferences": [owner_reference(cluster)]}}


def _slice(
    cluster: K8ssandraCluster, service: dict[str, Any], own: dict[str, str], version: int, found: Pods
) -> dict[str, Any]:
    kind, name = FAMILIES[version], service["metadata"]["name"]
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": {
            "name": f"{name}-{kind.lower()}",
            "namespace": cluster.namespace,
            "labels": {
                **own,
                labels.ENDPOINT_SLICE_MANAGED_BY: labels.OPERATOR_NAME,
                labels.SERVICE_NAME: name,
            },
        },
        "addressType": kind,
        "endpoints": list(_endpoints(found, version)),
        "ports": [_port(port) for port in found.ports],
    }


def _endpoints(found: Pods, version: int) -> Iterator[dict[str, Any]]:
    """At most two, but for the API's limit: those that take requests, and those that do not."""
    for addresses, conditions in ((found.serving, None), (found.waiting, {"ready": False, "serving": False})):
        chosen = [address for address in addresses if _version(address) == version]
        for start in range(0, len(chosen), ADDRESSES):
            endpoint: dict[str, Any] = {"addresses": chosen[start : start + ADDRESSES]}
            yield endpoint if conditions is None else {**endpoint, "conditions": conditions}


def _of(found: Pods, version: int) -> bool:
    return any(_version(address) == version for address in (*found.serving, *found.waiting))


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def _port(port: Port) -> dict[str, Any]:
    shown: dict[str, Any] = {"port": port.port, "protocol": port.protocol}
    return {"name": port.name, **shown} if port.name else shown
