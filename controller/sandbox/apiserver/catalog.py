"""The built-in kinds."""

from __future__ import annotations

from typing import Final

from controller.kube.resources import (
    CONFIG_MAPS,
    CRDS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    LEASES,
    MUTATING_WEBHOOKS,
    NAMESPACES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    VALIDATING_WEBHOOKS,
    Resource,
)
from controller.sandbox.apiserver import strategies, workloads
from controller.sandbox.apiserver.builtin import BUILTIN
from controller.sandbox.apiserver.columns import COLUMNS
from controller.sandbox.apiserver.crds import Definitions
from controller.sandbox.apiserver.kinds import Kind, Registry, Strategy

_RBAC: Final = "rbac.authorization.k8s.io"
ROLES: Final = Resource(_RBAC, "v1", "Role", "roles")
ROLE_BINDINGS: Final = Resource(_RBAC, "v1", "RoleBinding", "rolebindings")
CLUSTER_ROLES: Final = Resource(_RBAC, "v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS: Final = Resource(_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False)
STATEFUL_SETS: Final = Resource("apps", "v1", "StatefulSet", "statefulsets")
NETWORK_POLICIES: Final = Resource("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")


def _kind(
    resource: Resource,
    strategy: Strategy,
    *short_names: str,
    categories: tuple[str, ...] = (),
    has_status: bool = False,
) -> Kind:
    return Kind(
        resource,
        strategy=strategy,
        short_names=short_names,
        categories=categories,
        has_status=has_status,
        schema=BUILTIN.get((resource.group, resource.version, resource.kind)),
        columns=COLUMNS.get(resource.plural, ()),
    )


def builtin_registry() -> Registry:
    """A registry of the built-in kinds; every server has its own."""
    everything = ("all",)
    return Registry(
        [
            _kind(NAMESPACES, strategies.Namespaces(), "ns", has_status=True),
            _kind(SECRETS, strategies.Secrets()),
            _kind(CONFIG_MAPS, strategies.ConfigMaps(), "cm"),
            _kind(PODS, workloads.Pods(), "po", categories=everything, has_status=True),
            _kind(SERVICES, workloads.Services(), "svc", categories=everything, has_status=True),
            _kind(SERVICE_ACCOUNTS, strategies.ServiceAccounts(), "sa"),
            _kind(EVENTS, strategies.Events(), "ev"),
            _kind(ENDPOINTS, strategies.ConfigMaps(), "ep"),
            _kind(ENDPOINT_SLICES, workloads.EndpointSlices()),
            _kind(LEASES, strategies.Leases()),
            _kind(
                CRDS,
                Definitions(),
                "crd",
                "crds",
                categories=("api-extensions",),
                has_status=True,
            ),
            _kind(ROLES, strategies.Rbac()),
            _kind(ROLE_BINDINGS, strategies.Rbac()),
            _kind(CLUSTER_ROLES, strategies.Rbac()),
            _kind(CLUSTER_ROLE_BINDINGS, strategies.Rbac()),
            _kind(DEPLOYMENTS, workloads.Workloads(), "deploy", categories=everything, has_status=True),
            _kind(STATEFUL_SETS, workloads.Workloads(), "sts", categories=everything, has_status=True),
            _kind(NETWORK_POLICIES, strategies.Generational(), "netpol"),
            _kind(
                VALIDATING_WEBHOOKS,
                strategies.Webhooks(),
                categories=("api-extensions",),
            ),
            _kind(
                MUTATING_WEBHOOKS,
                strategies.Webhooks(),
                categories=("api-extensions",),
            ),
        ]
    )
