"""``run``: the controller against a control plane."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Mapping
from random import SystemRandom
from typing import Any

import anyio
import click
import msgspec
import structlog
from yarl import URL

from controller.cassandra.render.per_node import DEFAULT_IMAGE
from controller.cli.failures import first
from controller.fleet.limits import forbid_core_dumps, raise_open_files
from controller.kube import tls_buffers
from controller.kube.addresses import AddressPolicy, Resolvers
from controller.kube.addresses import policy as address_policy
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.credentials import Credentials
from controller.kube.errors import KubeError
from controller.kube.in_cluster import InCluster
from controller.kube.own_kubeconfig import own_credentials
from controller.management.choice import WAYS
from controller.management.wire import ways
from controller.observability import logging
from controller.observability.health import split_address
from controller.settings import WEBHOOK_CERTIFICATES, Settings, ignored, watch_namespaces
from controller.supervisor import Controller, MakeTransport

_log = structlog.get_logger(__name__)


def _address(_: click.Context, __: click.Parameter, value: str) -> str:
    """``host:port``; "0" and "" switch the endpoint off."""
    if value in ("", "0"):
        return ""
    try:
        split_address(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return value


def _networks(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    try:
        address_policy(allow_loopback=False, allow_server_cidr=values)
    except ValueError as error:
        raise click.BadParameter(f"{error}; for example 127.0.0.0/8") from None
    return values


@click.command()
@click.option(
    "--kubeconfig",
    metavar="FILE",
    default="",
    help="Kubeconfig of the control plane. [default: the pod's own credentials, else as kubectl]",
)
@click.option("--context", metavar="NAME", default="", help="Context in it. [default: the current one]")
@click.option(
    "--watch-namespace",
    "watch_namespace",
    metavar="NAME",
    multiple=True,
    help="Namespace to watch, in every cluster; repeatable. [env: WATCH_NAMESPACE, a comma list; default: all]",
)
@click.option(
    "--metrics-bind-address", default=":8080", show_default=True, callback=_address, help='host:port; "0" is off.'
)
@click.option(
    "--health-probe-bind-address", default=":8081", show_default=True, callback=_address, help='host:port; "0" is off.'
)
@click.option("--log-format", type=click.Choice(["json", "console"]), default="json", show_default=True)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option("--workers", type=click.IntRange(1, 64), default=4, show_default=True, help="For each cluster.")
@click.option(
    "--allow-proxy", metavar="URL", multiple=True, help="A proxy-url that kubeconfigs may name; may contain *."
)
@click.option(
    "--allow-server-cidr",
    metavar="CIDR",
    multiple=True,
    callback=_networks,
    help="A link-local or loopback network that API servers may be in.",
)
@click.option(
    "--hot-reload",
    is_flag=True,
    envvar="HOT_RELOAD",
    help="Act on ClientConfigs that are created, changed or deleted while running, instead of asking for a restart. "
    "[env: HOT_RELOAD]",
)
@click.option(
    "--renew-tokens",
    is_flag=True,
    envvar="RENEW_TOKENS",
    help="Ask remote clusters for a new token before the present one ends, and put it into the Secret. "
    "[env: RENEW_TOKENS]",
)
@click.option(
    "--per-node-config-image",
    metavar="IMAGE",
    default="",
    envvar="PER_NODE_CONFIG_IMAGE",
    help="Of the init container that merges the configuration of single nodes, where neither the K8ssandraCluster nor "
    f"an ImageConfig names one. [env: PER_NODE_CONFIG_IMAGE; default: {DEFAULT_IMAGE}]",
)
@click.option(
    "--webhook",
    is_flag=True,
    envvar="WEBHOOK",
    help="Serve the validating webhook; see manifests/webhook. [env: WEBHOOK]",
)
@click.option(
    "--webhook-bind-address",
    metavar="ADDRESS",
    default=":9443",
    show_default=True,
    envvar="WEBHOOK_BIND_ADDRESS",
    callback=_address,
    help="host:port of the webhook. [env: WEBHOOK_BIND_ADDRESS]",
)
@click.option(
    "--webhook-cert-dir",
    metavar="FOLDER",
    default=WEBHOOK_CERTIFICATES,
    show_default=True,
    envvar="WEBHOOK_CERT_DIR",
    help="Where tls.crt and tls.key are: a mounted Secret, followed as it changes. [env: WEBHOOK_CERT_DIR]",
)
@click.option(
    "--management-api",
    type=click.Choice(WAYS),
    default="auto",
    show_default=True,
    envvar="MANAGEMENT_API",
    help="How Cassandra's Management API is called where no ClientConfig says it: through the API server's pod proxy, "
    "or directly at the pods' addresses. [env: MANAGEMENT_API]",
)
def run(**options: Any) -> None:
    """Run the controller until SIGTERM or Ctrl-C."""
    logging.configure(options["log_format"], options["log_level"])
    for name, why in ignored(os.environ).items():
        _log.info("environment variable has no effect", variable=name, why=why)
    settings = Settings(
        kubeconfig=options["kubeconfig"],
        context=options["context"],
        watch_namespaces=watched(options["watch_namespace"], os.environ.get("WATCH_NAMESPACE", "")),
        metrics_address=options["metrics_bind_address"],
        health_address=options["health_probe_bind_address"],
        log_format=options["log_format"],
        log_level=options["log_level"],
        workers=options["workers"],
        control_plane=os.environ.get("K8SSANDRA_CONTROL_PLANE", "true") == "true",
        allow_proxy=options["allow_proxy"],
        allow_server_cidr=options["allow_server_cidr"],
        hot_reload=options["hot_reload"],
        renew_tokens=options["renew_tokens"],
        management_api=options["management_api"],
        per_node_config_image=options["per_node_config_image"],
        webhook_address=options["webhook_bind_address"] if options["webhook"] else "",
        webhook_certificates=options["webhook_cert_dir"],
    )
    forbid_core_dumps()
    try:
        anyio.run(_run, settings)
    except KubeError as error:
        raise click.ClickException(str(error)) from None
    except BaseExceptionGroup as group:
        if (cause := first(group, OSError)) is None:  # such as an address in use
            raise
        raise click.ClickException(str(cause)) from None


def watched(flags: tuple[str, ...], environment: str) -> tuple[str, ...]:
    """The flag wins over the environment; each may hold several names."""
    source, value = ("--watch-namespace", ",".join(flags)) if flags else ("WATCH_NAMESPACE", environment)
    try:
        return watch_namespaces(value)
    except ValueError as error:
        raise click.ClickException(f"{source}: {error}") from None


def own_namespace(credentials: Credentials, environment: Mapping[str, str]) -> str:
    """The namespace that the controller belongs to: its pod's, else ``OPERATOR_NAMESPACE``, else the kubeconfig's."""
    namespace: str = getattr(credentials, "namespace", "")
    return namespace if isinstance(credentials, InCluster) else environment.get("OPERATOR_NAMESPACE") or namespace


async def _run(settings: Settings) -> None:
    if not settings.control_plane:
        _log.warning("K8SSANDRA_CONTROL_PLANE is not 'true': a data plane has nothing for this controller to do")
        await until_signal()
        return
    credentials = await own_credentials(settings.kubeconfig, settings.context)
    settings = msgspec.structs.replace(settings, own_namespace=own_namespace(credentials, os.environ))
    policy = address_policy(
        # In a cluster, loopback is the pod itself; on a laptop it is where kind is.
        allow_loopback=not isinstance(credentials, InCluster),
        allow_server_cidr=settings.allow_server_cidr,
    )
    _log.info(
        "starting",
        server=credentials.access.server,
        namespaces=list(settings.watch_namespaces) or "all",
        workers=settings.workers,
        open_files=raise_open_files(),
    )
    controller = Controller(settings, credentials, transports(policy), rng=SystemRandom(), open_way=ways(policy))
    calm_collector()
    tls_buffers.shrink()
    async with anyio.create_task_group() as group:
        group.start_soon(controller.run)
        await until_signal()
        group.cancel_scope.cancel()
    _log.info("stopped")


def calm_collector() -> None:
    """Keep the garbage collector from pausing everything for tens of milliseconds.

    Modules and types, most of what it would look through, are taken out of its sight; and it looks less often, because
    what the controller allocates most, decoded JSON, is freed by reference counting.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def transports(policy: AddressPolicy) -> MakeTransport:
    """Connections with aiohttp; those to remote clusters are judged by ``policy``, and share a resolver by host."""
    resolvers = Resolvers(policy)

    def make(credentials: Credentials, *, remote: bool) -> AiohttpTransport:
        if not remote:
            return AiohttpTransport(credentials)
        access = credentials.access
        host = URL(access.proxy or access.server).host or ""
        return AiohttpTransport(credentials, policy=policy, resolver=resolvers.of(host))

    return make


async def until_signal() -> None:
    """Return when somebody asks the process to end."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            _log.info("stopping", signal=signal.Signals(number).name)
            return
