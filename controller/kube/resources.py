"""How kinds are addressed: group, version, plural and scope, and the paths made of them."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import msgspec


class Resource(msgspec.Struct, frozen=True):
    """One kind as the API serves it. ``group`` is "" for the core group.

    ``view`` tells two watches of one kind in one cluster apart, which select by different labels.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    view: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_path(self) -> str:
        """``/api/v1`` or ``/apis/<group>/<version>``: where discovery of this kind is."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def name(self) -> str:
        """``plural.group``: how kubectl and CRDs name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The percent-encoded path of a collection, an object or a subresource."""
        parts = [self.group_path]
        if namespace and self.namespaced:
            parts += ["namespaces", _segment(namespace)]
        parts.append(self.plural)
        if name:
            parts.append(_segment(name))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def __str__(self) -> str:
        return self.name


def _segment(text: str) -> str:
    """One path segment; a name can never climb out of its collection."""
    if text in (".", ".."):
        raise ValueError(f"{text!r} is not a name")
    return quote(text, safe="")


SECRETS: Final = Resource("", "v1", "Secret", "secrets")
CONFIG_MAPS: Final = Resource("", "v1", "ConfigMap", "configmaps")
PODS: Final = Resource("", "v1", "Pod", "pods")
PODS_PROXY: Final = Resource("", "v1", "Pod", "pods/proxy")  # for metrics only: what pods were asked
SERVICES: Final = Resource("", "v1", "Service", "services")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "ServiceAccount", "serviceaccounts")
NAMESPACES: Final = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
EVENTS: Final = Resource("", "v1", "Event", "events")
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
ENDPOINTS: Final = Resource("", "v1", "Endpoints", "endpoints")
LEASES: Final = Resource("coordination.k8s.io", "v1", "Lease", "leases")
CRDS: Final = Resource(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)
DEPLOYMENTS: Final = Resource("apps", "v1", "Deployment", "deployments")
VALIDATING_WEBHOOKS: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    namespaced=False,
)
MUTATING_WEBHOOKS: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    namespaced=False,
)
