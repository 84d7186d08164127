"""``sandbox``: a control plane and data planes on this machine, with the controller, to try things out."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Final, TextIO

import anyio
import click
import yaml

from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.cli.failures import first
from controller.cli.run import transports
from controller.kube.access import Access
from controller.kube.addresses import policy as address_policy
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.client import Client
from controller.kube.credentials import StaticCredentials
from controller.kube.errors import KubeError
from controller.observability import logging
from controller.sandbox.apiserver import ApiServer, Endpoint, kubeconfig, serve
from controller.sandbox.applier import read_file
from controller.sandbox.display import Display, Lines, Table
from controller.sandbox.progress import Change, Progress
from controller.sandbox.tally import tally
from controller.sandbox.world import CONTEXTS, NAMESPACE, World
from controller.settings import Settings
from controller.supervisor import Controller

CONTROL_PLANE: Final = "control-plane"
PREFIX: Final = "kind-k8ssandra-"  # contexts are named as those of the reference's kind clusters


@click.command()
@click.option("--clusters", type=click.IntRange(1, 50), default=3, show_default=True, help="Number of data planes.")
@click.option(
    "--ready-after",
    type=click.FloatRange(min=0.0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a simulated datacenter takes to be Ready.",
)
@click.option(
    "--apply",
    "files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Manifest to apply; repeatable. An object goes to the control plane, or to the contexts that its annotation "
    f"{CONTEXTS} names.",
)
@click.option("--until-ready", is_flag=True, help="End when everything applied is Ready: exit code 0; 1 on a time-out.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="For --until-ready.",
)
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="For kubeconfigs and the controller's log. [default: ./sandbox, when it can be written]",
)
@click.option("--no-controller", is_flag=True, help="Leave the controller to you: k8ssandra-controller run ...")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def sandbox(**options: Any) -> None:
    """Run API servers for one control plane and some data planes, with a simulated cass-operator in each.

    kubectl works on all of them, with the kubeconfigs in DIR. Ctrl-C ends everything.
    """
    try:
        documents = [document for path in options.pop("files") for document in read_file(path)]
        ready = anyio.run(lambda: _Sandbox(documents, **options).run())
    except KubeError as error:
        raise click.ClickException(str(error)) from None
    except BaseExceptionGroup as group:
        if (cause := first(group, KubeError)) is None:
            raise
        raise click.ClickException(str(cause)) from None
    sys.exit(0 if ready else 1)


class _Sandbox:
    """One sandbox: its servers, its world, the controller, and what is shown of them."""

    def __init__(
        self,
        documents: Sequence[dict[str, Any]],
        *,
        clusters: int,
        ready_after: float,
        until_ready: bool,
        timeout: float,
        directory: Path | None,
        no_controller: bool,
        log_level: Any,
    ) -> None:
        self._documents = documents
        self._contexts = [f"{PREFIX}{number}" for number in range(1, clusters + 1)]
        self._ready_after = ready_after
        self._until_ready = until_ready
        self._timeout = timeout
        self._directory = directory
        self._with_controller = not no_controller
        self._controller: Controller | None = None
        self._log_level = log_level
        self._rng: Random = SystemRandom()
        self._change = Change()

    async def run(self) -> bool:
        """Run until Ctrl-C, or until ready; whether everything applied became Ready (True after Ctrl-C)."""
        ready = True  # which it stays when somebody ends it
        async with AsyncExitStack() as stack:
            place = _writable(self._directory)
            _log_to(stack, place, self._log_level)
            endpoints = {
                name: await stack.enter_async_context(serve(ApiServer(name=name)))
                for name in (CONTROL_PLANE, *self._contexts)
            }
            world = World(
                _access(endpoints[CONTROL_PLANE]),
                {name: _access(endpoints[name]) for name in self._contexts},
                lambda access: Client(AiohttpTransport(StaticCredentials(access))),
                rng=self._rng,
            )
            stack.push_async_callback(_shielded, world.close)
            await world.prepare()
            _introduce(place, endpoints, controller=self._with_controller)
            async with anyio.create_task_group() as group:
                progress = Progress(world.control.client, self._rng, self._change.set)
                group.start_soon(progress.run)
                group.start_soon(world.operate, self._ready_after)
                if self._with_controller:
                    self._controller = self._make_controller(endpoints[CONTROL_PLANE])
                    group.start_soon(self._controller.run)
                display: Display = Table() if sys.stdout.isatty() else Lines()
                group.start_soon(self._end_on_signal, group)
                with display:
                    ready = await self._follow(world, progress, display)
                group.cancel_scope.cancel()
        return ready

    def _make_controller(self, endpoint: Endpoint) -> Controller:
        settings = Settings(metrics_address="", health_address="", own_namespace=NAMESPACE)
        credentials = StaticCredentials(_access(endpoint))
        return Controller(settings, credentials, transports(address_policy(allow_loopback=True)), rng=self._rng)

    async def _follow(self, world: World, progress: Progress, display: Display) -> bool:
        """Apply the documents and show what becomes of them."""
        if self._controller is not None:  # so that what is counted is for the documents alone
            await self._controller.started.wait()
            for cluster in self._controller.pool:
                await cluster.wait_first_usable()
        before = tally(self._controller)
        wanted = await self._apply(world)
        started = asyncio.get_running_loop().time()
        done = False
        try:
            async with asyncio.timeout(self._timeout if self._until_ready else None):
                while True:
                    display.show(progress.rows())
                    if not done and wanted and progress.ready(wanted):
                        done = True
                        seconds = asyncio.get_running_loop().time() - started
                        display.say(f"everything applied is Ready after {seconds:.2f} s")
                        if self._controller is not None:
                            display.say(f"the controller made {tally(self._controller) - before} for it")
                    if self._until_ready and (done or not wanted):
                        return True
                    await self._change.wait()
        except TimeoutError:
            display.say(f"not everything is Ready after {self._timeout:g} s")
            for row in progress.rows():
                if row.detail:
                    display.say(f"{row.cluster}/{row.datacenter}: {row.detail}")
            return False

    async def _apply(self, world: World) -> list[tuple[str, str]]:
        """Apply the documents; (namespace, name) of the K8ssandraClusters among them."""
        applied = [(document, await world.apply(document)) for document in self._documents]
        return [
            (obj.head.namespace, obj.head.name)
            for document, obj in applied
            if document.get("kind") == K8SSANDRA_CLUSTERS.kind
        ]

    async def _end_on_signal(self, group: anyio.abc.TaskGroup) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                group.cancel_scope.cancel()
                return


async def _shielded(close: Callable[[], Awaitable[None]]) -> None:
    """Close something even though everything around is being cancelled."""
    with anyio.CancelScope(shield=True):
        await close()


def _access(endpoint: Endpoint) -> Access:
    return Access(server=endpoint.url, certificate_authority=endpoint.ca_pem, token=endpoint.admin_token)


def _writable(directory: Path | None) -> Path | None:
    """The directory to write to, made if need be; None when the default one cannot be written."""
    place = directory if directory is not None else Path("sandbox")
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / "controller.log").touch()
    except OSError as error:
        if directory is not None:
            raise click.ClickException(f"--directory {directory}: {error.strerror}") from None
        return None
    return place


def _log_to(stack: AsyncExitStack, place: Path | None, level: Any) -> None:
    """The controller's log goes to a file: the terminal shows the datacenters."""
    out: TextIO = sys.stderr
    if place is not None:
        out = stack.enter_context((place / "controller.log").open("w", encoding="utf-8"))
        logging.configure("json", level, out)
    else:
        logging.configure("console", "warning", out)


def _introduce(place: Path | None, endpoints: dict[str, Endpoint], *, controller: bool) -> None:
    """Write the kubeconfigs and say how to look around."""
    click.echo(f"control plane {endpoints[CONTROL_PLANE].url}, {len(endpoints) - 1} data planes, all registered")
    if place is None:
        click.echo("no directory can be written here, so there are no kubeconfigs; name one with --directory")
        return
    for name, endpoint in endpoints.items():
        path = place / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(kubeconfig(endpoint, name), sort_keys=False), "utf-8")
    control = place / f"{CONTROL_PLANE}.kubeconfig"
    click.echo("look around, in another terminal:")
    click.echo(f"  kubectl --kubeconfig {control} get clientconfigs -A")
    click.echo(f"  kubectl --kubeconfig {control} get k8ssandraclusters -A")
    click.echo(f"  kubectl --kubeconfig {place / PREFIX}1.kubeconfig get cassandradatacenters,pods,endpointslices -A")
    if controller:
        click.echo(f"  tail -f {place / 'controller.log'}")
    else:
        click.echo(f"  k8ssandra-controller run --kubeconfig {control} --log-format console")
