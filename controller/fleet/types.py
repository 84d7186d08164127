"""ClientConfig: a remote cluster, and the Secret with the kubeconfig that leads to it."""

# ruff: noqa: RUF012  (msgspec copies empty defaults)

from __future__ import annotations

from typing import Final

from msgspec import field

from controller.kube.resources import Resource
from controller.kube.structs import Conditions, LocalObjectReference, ObjectMeta, Struct, Time

CLIENT_CONFIGS: Final = Resource("config.k8ssandra.io", "v1beta1", "ClientConfig", "clientconfigs")


class ClientConfigSpec(Struct, frozen=True, kw_only=True):
    """How a remote cluster is reached."""

    context_name: str = ""
    """Name of the context, here and in the kubeconfig; metadata.name when absent."""

    kube_config_secret: LocalObjectReference = LocalObjectReference()
    """Secret of the same namespace with a kubeconfig under the key "kubeconfig"."""


class ClientConfigStatus(Struct, frozen=True, kw_only=True):
    """What is known about the connection."""

    conditions: Conditions = []
    """Ready says whether the cluster can be used, and if not, why."""

    server_version: str = ""
    """Version of the cluster's API server."""

    cluster_uid: str = field(default="", name="clusterUID")
    """Identity of the cluster: the UID of its namespace kube-system."""

    credentials_expire_at: Time = ""
    """When the credentials end, if they do."""

    observed_generation: int = 0
    """The generation that the connection was made from."""

    failed_attempts: int = 0
    """While something is wrong: how many attempts to reach the cluster have failed since; at most 5 minutes old."""

    last_success_time: Time = ""
    """While something is wrong: when the cluster last answered."""

    next_retry_time: Time = ""
    """While something is wrong: when it was to be tried again, as of the time of writing."""


class ClientConfig(Struct, frozen=True, kw_only=True):
    """A remote cluster that datacenters can be placed in."""

    metadata: ObjectMeta = ObjectMeta()
    spec: ClientConfigSpec = ClientConfigSpec()
    status: ClientConfigStatus = ClientConfigStatus()

    @property
    def context_name(self) -> str:
        """The name by which specifications call the cluster."""
        return self.spec.context_name or self.metadata.name
