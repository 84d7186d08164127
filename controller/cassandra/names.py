"""Names derived from names: made valid for Kubernetes exactly as cass-operator does it, so that both agree."""

from __future__ import annotations

import functools
import re
from typing import Final

_LABEL: Final = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")  # RFC 1035
_SUBDOMAIN: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")  # RFC 1123
_DNS_LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")  # RFC 1123, as namespaces are
_LABEL_VALUE: Final = re.compile(r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")

LABEL_LENGTH: Final = 63  # characters, RFC 1035; also of a label's value
SUBDOMAIN_LENGTH: Final = 253  # characters
STATEFUL_SET_LENGTH: Final = 60  # characters, so that the names of its pods are still labels
DEFAULT_RACK: Final = "default"


def is_label(name: str) -> bool:
    """Whether ``name`` is an RFC 1035 label: a service or CassandraDatacenter may be called so."""
    return len(name) <= LABEL_LENGTH and _LABEL.fullmatch(name) is not None


def is_namespace(name: str) -> bool:
    """Whether ``name`` is an RFC 1123 label."""
    return len(name) <= LABEL_LENGTH and _DNS_LABEL.fullmatch(name) is not None


def is_subdomain(name: str) -> bool:
    """Whether ``name`` is an RFC 1123 subdomain: most objects may be called so."""
    return len(name) <= SUBDOMAIN_LENGTH and _SUBDOMAIN.fullmatch(name) is not None


def is_label_value(value: str) -> bool:
    """Whether ``value`` may stand in a label."""
    return not value or (len(value) <= LABEL_LENGTH and _LABEL_VALUE.fullmatch(value) is not None)


def kubernetes_name(name: str) -> str:
    """``name`` itself when it is an RFC 1035 label, else what of it can stand in one; not truncated, may be ""."""
    if is_label(name):
        return name
    return "".join(_LABEL.findall(name.lower().replace("_", "-")))


def subdomain(name: str) -> str:
    """``name`` itself when it is an RFC 1123 subdomain, else what of it can stand in one."""
    if is_subdomain(name):
        return name
    return "".join(_SUBDOMAIN.findall(name.lower().replace("_", "-")))


@functools.lru_cache(maxsize=4096)
def label_value(value: str) -> str:
    """``value`` without blanks and without what cannot stand in a label."""
    return "".join(_LABEL_VALUE.findall(value.replace(" ", "")))


def default_superuser_secret(cluster: str) -> str:
    """Name of the superuser Secret when the specification gives none."""
    return f"{kubernetes_name(cluster)}-superuser"


def metrics_config_map(cluster: str, datacenter: str) -> str:
    """Name of the metrics agent's ConfigMap."""
    return kubernetes_name(f"{cluster}-{datacenter}-metrics-agent-config")


def per_node_config_map(cluster: str, datacenter: str) -> str:
    """Name of the ConfigMap with the initial tokens."""
    return kubernetes_name(f"{cluster}-{datacenter}-per-node-config")


def stateful_set(cluster: str, datacenter: str, rack: str) -> str:
    """Name of the StatefulSet of a rack; pods are ``<this>-<ordinal>``."""
    return f"{kubernetes_name(cluster)}-{kubernetes_name(datacenter)}-{subdomain(rack)}-sts"


def seed_service(cluster: str) -> str:
    """Name of the Service of a cluster's own seeds."""
    return f"{kubernetes_name(cluster)}-seed-service"


def additional_seed_service(cluster: str, datacenter: str) -> str:
    """Name of the Service that cass-operator makes for the seeds of other datacenters."""
    return f"{kubernetes_name(cluster)}-{kubernetes_name(datacenter)}-additional-seed-service"


def all_pods_service(cluster: str, datacenter: str) -> str:
    """Name of the Service that lists all pods of a datacenter."""
    return f"{kubernetes_name(cluster)}-{kubernetes_name(datacenter)}-all-pods-service"


def contact_points_service(cluster: str, datacenter: str) -> str:
    """Name of the Service in the control plane that lists the pods of a remote datacenter."""
    return f"{kubernetes_name(cluster)}-{kubernetes_name(datacenter)}-contact-points-service"
