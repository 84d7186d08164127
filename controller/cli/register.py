"""``register``: makes a data plane known to the control plane."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click
import yaml

from controller.fleet.registration import Registration, Wish
from controller.fleet.registration import register as register_cluster
from controller.kube.access import Access
from controller.kube.addresses import Resolver
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.client import Client
from controller.kube.credentials import Credentials, StaticCredentials
from controller.kube.errors import KubeError
from controller.kube.own_kubeconfig import load_own

NAMESPACE = "k8ssandra-operator"
SERVICE_ACCOUNT = "k8ssandra-controller"  # that of manifests/data-plane


@click.command()
@click.option(
    "--source-kubeconfig", metavar="FILE", default="", help="Kubeconfig of the data plane. [default: as kubectl]"
)
@click.option(
    "--source-context", metavar="NAME", default="", help="Context of the data plane in it. [default: the current one]"
)
@click.option("--kubeconfig", metavar="FILE", default="", help="Kubeconfig of the control plane. [default: as kubectl]")
@click.option(
    "--context", metavar="NAME", default="", help="Context of the control plane in it. [default: the current one]"
)
@click.option(
    "--namespace",
    default=NAMESPACE,
    show_default=True,
    help="Of the Secret and the ClientConfig, in the control plane.",
)
@click.option(
    "--source-namespace", default="", help="Of the service account, in the data plane. [default: --namespace]"
)
@click.option(
    "--service-account",
    default=SERVICE_ACCOUNT,
    show_default=True,
    help="In the data plane: who the control plane will be there.",
)
@click.option(
    "--context-name",
    default="",
    help="The name that k8sContext of datacenters uses. [default: the data plane's context]",
)
@click.option("--name", default="", help="Of the ClientConfig. [default: made of --context-name]")
@click.option(
    "--server",
    metavar="URL",
    default="",
    help="Address by which the control plane reaches the data plane. [default: the source kubeconfig's]",
)
@click.option(
    "--tls-server-name", default="", help="Name in the server's certificate, where it is not the host of --server."
)
@click.option(
    "--certificate-authority",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file of the CA of --server. [default: the cluster's, then the source kubeconfig's]",
)
@click.option(
    "--token-lifetime",
    type=int,
    default=0,
    metavar="SECONDS",
    help="Ask for a token that ends, instead of the token Secret's. It must be renewed by running this again.",
)
@click.option("--force", is_flag=True, help="Overwrite a Secret or ClientConfig that was not made by this command.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Write nothing; print the YAML for kubectl apply, the Secret's content included. "
    "Without --kubeconfig and --context the control plane is not looked at.",
)
def register(
    source_kubeconfig: str,
    source_context: str,
    kubeconfig: str,
    context: str,
    certificate_authority: Path | None,
    **options: Any,
) -> None:
    """Make a data plane known to the control plane.

    Takes the token of a service account of the data plane, proves that it works, and puts it as a kubeconfig into a
    Secret of the control plane, with the ClientConfig that names it. May be run again at any time: it changes what
    differs, in place, and nothing else.
    """
    if not (source_kubeconfig or source_context):
        raise click.UsageError("name the data plane: --source-context, --source-kubeconfig or both")
    options["source_namespace"] = options["source_namespace"] or options["namespace"]
    options["certificate_authority"] = certificate_authority.read_bytes() if certificate_authority else b""
    try:
        done = asyncio.run(_register((source_kubeconfig, source_context), (kubeconfig, context), options))
    except KubeError as error:
        raise click.ClickException(str(error) or type(error).__name__) from None
    _report(done, dry_run=options["dry_run"])


async def _register(source: tuple[str, str], target: tuple[str, str], options: dict[str, Any]) -> Registration:
    source_credentials = await load_own(*source)
    options["context"] = options.pop("context_name") or source_credentials.context
    clients = [source_client := _client(source_credentials)]
    try:
        target_client = None
        if not options["dry_run"] or any(target):
            clients.append(target_client := _client(await load_own(*target)))
        wish = Wish(**options)
        return await register_cluster(source_client, source_credentials.access, target_client, wish, _connect)
    finally:
        for client in clients:
            await client.close()


def _client(credentials: Credentials) -> Client:
    return Client(AiohttpTransport(credentials, resolver=Resolver()))


def _connect(access: Access) -> Client:
    return _client(StaticCredentials(access))


def _report(done: Registration, *, dry_run: bool) -> None:
    if dry_run:
        click.echo(yaml.safe_dump_all(done.manifests, sort_keys=False, allow_unicode=True), nl=False)
    would = "would be " if dry_run else ""
    for change in done.changes:
        what, _, verb = change.rpartition(" ")
        click.echo(f"{what} {would}{verb}", err=True)
    if not done.changes and not dry_run:
        click.echo(
            f"ClientConfig {done.namespace}/{done.name} and Secret {done.namespace}/{done.secret} unchanged", err=True
        )
    for warning in done.warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo(f"Context {done.context}: {done.server} as {done.user}", err=True)
