"""What commands share that look at every cluster and write nowhere: options, the way in, errors in one line."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from random import SystemRandom
from typing import Any, Final, TypeVar

import anyio
import click

from controller.cli.failures import first
from controller.cli.run import own_namespace, transports, watched
from controller.kube.addresses import policy as address_policy
from controller.kube.errors import KubeError
from controller.kube.in_cluster import InCluster
from controller.kube.own_kubeconfig import OwnKubeconfig, own_credentials
from controller.preview import Preview, preview
from controller.settings import Settings

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., None])
Options = dict[str, Any]

_OPTIONS: Final = (
    click.option("--kubeconfig", metavar="FILE", default="", help="Kubeconfig of the control plane. [default: as run]"),
    click.option("--context", metavar="NAME", default="", help="Context in it. [default: the current one]"),
    click.option(
        "--watch-namespace",
        metavar="NAME",
        multiple=True,
        help="Where credentials may read no more than that: as for run. [env: WATCH_NAMESPACE; default: all]",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(1.0),
        default=15.0,
        show_default=True,
        metavar="SECONDS",
        help="For the clusters to be seen; one that was not is named.",
    ),
    click.option("--allow-proxy", metavar="URL", multiple=True, help="As for run."),
    click.option("--allow-server-cidr", metavar="CIDR", multiple=True, help="As for run."),
)


def looks(command: Command) -> Command:
    """Give a command the options that say where to look."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


async def credentials_of(options: Options) -> InCluster | OwnKubeconfig:
    """The credentials that the options name; raises ``KubeconfigError`` of the own kubeconfig."""
    return await own_credentials(options["kubeconfig"], options["context"])


def looking(
    credentials: InCluster | OwnKubeconfig, options: Options, *, asks: bool = False
) -> AbstractAsyncContextManager[Preview]:
    """Every cluster, seen with ``credentials``; ``asks``: what these may do is asked, too."""
    try:
        policy = address_policy(
            allow_loopback=not isinstance(credentials, InCluster), allow_server_cidr=options["allow_server_cidr"]
        )
    except ValueError as error:
        raise click.ClickException(f"--allow-server-cidr: {error}") from None
    settings = Settings(
        watch_namespaces=watched(options["watch_namespace"], os.environ.get("WATCH_NAMESPACE", "")),
        allow_proxy=options["allow_proxy"],
        own_namespace=own_namespace(credentials, os.environ),
        per_node_config_image=options.get("per_node_config_image", ""),
    )
    return preview(settings, credentials, transports(policy), rng=SystemRandom(), within=options["timeout"], asks=asks)


def run(look: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """What ``look`` finds; what goes wrong is said in one line."""
    try:
        return anyio.run(look, *arguments)
    except KubeError as error:
        raise click.ClickException(str(error)) from None
    except BaseExceptionGroup as group:
        cause = first(group, KubeError, click.ClickException)
        if cause is None:
            raise
        raise click.ClickException(str(cause)) from None
