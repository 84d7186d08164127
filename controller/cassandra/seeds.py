"""Seed nodes of other datacenters, as EndpointSlices behind the Service that cass-operator makes for them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final

from controller.cassandra import labels, names
from controller.cassandra.compare import stamped
from controller.cassandra.types import K8ssandraCluster
from controller.kube.resources import ENDPOINT_SLICES

if TYPE_CHECKING:
    from controller.cassandra.render import RenderedDatacenter

ADDRESSES: Final = 100  # in one endpoint, the API's limit


def seed_slices(
    cluster: K8ssandraCluster,
    datacenter: RenderedDatacenter,
    addresses: Iterable[str],
    *,
    status_name: str = "",
    marks: str = "",
    kinds: Collection[str] = (),
) -> list[dict[str, Any]]:
    """The slices with the seeds of ``datacenter``: none, one or two, by kind of address.

    ``addresses``: of the seed nodes of all other datacenters, and additional seeds; in any order, which does not
    matter to the result. What is no address, or none that an endpoint may have, is left out. ``status_name``: the
    live CassandraDatacenter's ``status.datacenterName``, by which cass-operator calls the Service of old ones.
    ``marks``: which of them are stale, for the annotation; ``kinds``: those of which a slice stays for it, if empty.
    """
    found = usable_addresses(addresses)
    by_kind = {
        "IPv4": [str(address) for address in found if isinstance(address, IPv4Address)],
        "IPv6": [str(address) for address in found if isinstance(address, IPv6Address)],
    }
    service = names.additional_seed_service(cluster.cass_name, status_name or datacenter.name)
    stem = f"{cluster.name}-{names.additional_seed_service(cluster.cass_name, datacenter.name)}"
    return [
        _slice(cluster, datacenter, f"{stem}-{kind.lower()}", service, kind, entries, marks)
        for kind, entries in by_kind.items()
        if entries or (marks and kind in kinds)
    ]


def with_addresses(live: dict[str, Any], addresses: Iterable[str]) -> dict[str, Any] | None:
    """A live slice of ours with these addresses instead of its own; for a datacenter that cannot be rendered now.

    None when it has them already, or when there is none of its kind.
    """
    version = {"IPv4": 4, "IPv6": 6}.get(str(live.get("addressType")))
    found = [str(address) for address in usable_addresses(addresses) if address.version == version]
    have = [address for endpoint in live.get("endpoints") or [] for address in endpoint.get("addresses") or []]
    if not found or found == have:
        return None
    metadata = live["metadata"]
    kept = {key: dict(metadata[key]) for key in ("labels", "annotations") if metadata.get(key)}
    kept.get("annotations", {}).pop(labels.RESOURCE_HASH, None)
    return stamped(
        {
            "apiVersion": ENDPOINT_SLICES.api_version,
            "kind": ENDPOINT_SLICES.kind,
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], **kept},
            "addressType": live["addressType"],
            "endpoints": _endpoints(found),
        }
    )


def host_names(cluster: K8ssandraCluster) -> list[str]:
    """Additional seeds that are host names."""
    template = cluster.spec.cassandra
    return [seed for seed in dict.fromkeys(template.additional_seeds if template else []) if is_host_name(seed)]


def is_host_name(seed: str) -> bool:
    """Whether it is no address but a name that DNS may know. One that ends in digits would be read as an address."""
    name = seed.lower().removesuffix(".")
    last = name.rpartition(".")[2]
    return _parse(seed) is None and names.is_subdomain(name) and not last.isdigit() and not last.startswith("0x")


def usable_addresses(addresses: Iterable[str]) -> list[IPv4Address | IPv6Address]:
    """Each address once, in canonical form and numeric order, without those that an endpoint may not have."""
    parsed = {address for text in addresses if (address := _parse(text)) is not None and usable(address)}
    return sorted(parsed, key=lambda address: (address.version, int(address)))


def usable(address: IPv4Address | IPv6Address) -> bool:
    """Whether the API accepts it in an endpoint: an address of one other machine."""
    return not (address.is_unspecified or address.is_loopback or address.is_link_local or address.is_multicast)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """The address; an IPv4 address in IPv6 clothes comes as IPv4, one with a zone is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def _slice(
    cluster: K8ssandraCluster,
    datacenter: RenderedDatacenter,
    name: str,
    service: str,
    kind: str,
    addresses: Sequence[str],
    marks: str,
) -> dict[str, Any]:
    spec = datacenter.object["spec"]
    cass_cluster = names.label_value(cluster.cass_name)
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": datacenter.namespace,
        "labels": {
            labels.APP_MANAGED_BY: labels.CASS_OPERATOR,
            labels.APP_NAME: "cassandra",
            labels.APP_VERSION: datacenter.version,
            labels.APP_INSTANCE: f"cassandra-{cass_cluster}",
            labels.APP_CREATED_BY: labels.CASS_OPERATOR,
            **{key: names.label_value(value) for key, value in spec.get("additionalLabels", {}).items()},
            # Nobody overrides what the slice is found by.
            labels.CASS_CLUSTER: cass_cluster,
            labels.CASS_DATACENTER: names.label_value(datacenter.name),
            labels.SERVICE_NAME: service,
            labels.ENDPOINT_SLICE_MANAGED_BY: labels.OPERATOR_NAME,
            **labels.owner(cluster.name, cluster.namespace),
        },
    }
    if annotations := spec.get("additionalAnnotations"):
        metadata["annotations"] = dict(annotations)
    if marks:
        metadata["labels"][labels.STALE_SEEDS] = "true"
        metadata["annotations"] = {**metadata.get("annotations", {}), labels.SEEDS_STALE_SINCE: marks}
    return stamped(
        {
            "apiVersion": ENDPOINT_SLICES.api_version,
            "kind": ENDPOINT_SLICES.kind,
            "metadata": metadata,
            "addressType": kind,
            "endpoints": _endpoints(addresses),
        }
    )


def _endpoints(addresses: Sequence[str]) -> list[dict[str, Any]]:
    return [{"addresses": list(addresses[start : start + ADDRESSES])} for start in range(0, len(addresses), ADDRESSES)]
