"""Everything that flags and environment may say about a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

LogFormat: TypeAlias = Literal["json", "console"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]

# Variables of the reference operator that mean nothing here: said once at start, never silently dropped.
IGNORED_ENVIRONMENT: Final[dict[str, str]] = {
    "REQUEUE_DEFAULT_DELAY": "work is woken by events, not by polling",
    "REQUEUE_LONG_DELAY": "work is woken by events, not by polling",
    "DEFAULT_REGISTRY": "images are chosen by cass-operator",
    "IMAGE_PULL_SECRETS": "images are chosen by cass-operator",
    "SERVICE_ACCOUNT_NAME": "the pod's own service account is used",
}


WEBHOOK_CERTIFICATES: Final = "/var/run/k8ssandra-controller/webhook"  # where manifests/webhook mounts the Secret

_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the controller.

    ``kubeconfig`` and ``context``: the control plane when run outside a cluster; both "" means in-cluster
    credentials if there are any, else the user's default kubeconfig. ``watch_namespaces``: () is all of them.
    ``metrics_address`` and ``health_address``: ``host:port``, "" for off, port 0 for any. ``workers``: per cluster; 0
    only looks on.
    ``allow_proxy``: proxy URLs or globs a kubeconfig may name. ``allow_server_cidr``: networks exempt from the
    address rules. ``hot_reload``: act on ClientConfigs that are created, changed or deleted after the start.
    ``renew_tokens``: ask remote clusters for new tokens before the present ones end. ``own_namespace``: where the
    reference operator's ImageConfig is looked for, "" for nowhere. ``per_node_config_image``: of the init container
    that merges the configuration of single nodes, when no ImageConfig names it; "" for the built-in one.
    ``webhook_address``: ``host:port`` of the validating webhook, "" for off. ``webhook_certificates``: the folder with
    its ``tls.crt`` and ``tls.key``.
    """

    kubeconfig: str = ""
    context: str = ""
    watch_namespaces: tuple[str, ...] = ()
    metrics_address: str = ":8080"
    health_address: str = ":8081"
    log_format: LogFormat = "json"
    log_level: LogLevel = "info"
    workers: int = 4
    control_plane: bool = True
    allow_proxy: tuple[str, ...] = ()
    allow_server_cidr: tuple[str, ...] = ()
    hot_reload: bool = False
    renew_tokens: bool = False
    management_api: str = "auto"
    own_namespace: str = ""
    per_node_config_image: str = ""
    webhook_address: str = ""
    webhook_certificates: str = WEBHOOK_CERTIFICATES


def watch_namespaces(value: str | None) -> tuple[str, ...]:
    """``WATCH_NAMESPACE`` as the reference reads it: unset or empty is all namespaces, else a comma list.

    Raises ``ValueError`` for what cannot be a namespace: the API would answer an empty list, for ever.
    """
    names = tuple(dict.fromkeys(name.strip() for name in (value or "").split(",") if name.strip()))
    for name in names:
        if not _NAMESPACE.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a namespace (lower-case letters, digits and '-')")
    return names


def ignored(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set and have no effect here, each with the reason."""
    return {name: why for name, why in IGNORED_ENVIRONMENT.items() if environment.get(name)}
