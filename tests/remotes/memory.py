"""What idle remote clusters cost: memory of each and of 200, and the CPU of watching and probing them.

``python -m tests.remotes.memory [--quick]``. The controller is a process of its own, as in production; the data planes
are as many simple answers behind one TLS port of this process, told apart by the first part of the path.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from controller.cassandra import watches as cassandra
from controller.definitions import definitions
from controller.fleet.proof import render_kubeconfig
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.access import Access
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.client import Client
from controller.kube.credentials import StaticCredentials
from controller.kube.resources import CRDS, NAMESPACES, SECRETS
from controller.replication import reconcile as replication
from controller.sandbox.apiserver import ApiServer, serve
from tests.bench.child import ROOT, cpu_of, end, resident_mib
from tests.bench.report import Figure, Goal, show
from tests.unit.kube.https import CHUNKED, Received, Server, authority, chunk, head, listening, reply, server_context
from tests.unit.kube.kubeconfigs import b64

GROUP: Final = "idle remote clusters"
NAMESPACE: Final = "k8ssandra-operator"
MANY: Final = 200
READY_WITHIN: Final = 180.0  # s; 200 clusters connect at once, and both sides of the TLS share the machine
SETTLE: Final = 17.0  # s; aiohttp keeps idle connections for 15
BOOKMARKS: Final = 60.0  # s between two, as API servers send them
BUFFER: Final = 2**14  # bytes; of this process's own TLS streams, which hold little and are many


class DataPlanes:
    """As many clusters as anybody asks for, all empty; ``streams``: watches open now, by cluster."""

    def __init__(self) -> None:
        self.streams: dict[str, int] = {}
        self._writers: set[asyncio.StreamWriter] = set()

    def hang_up(self) -> None:
        """Break every watch."""
        for writer in self._writers:
            writer.transport.abort()

    async def answer(self, received: Received, writer: asyncio.StreamWriter) -> None:
        _, cluster, path = received.target.split("/", 2)
        path, _, query = path.partition("?")
        if "watch=true" in query:
            await self._watch(cluster, writer)
        elif path == "version":
            await _json(writer, {"gitVersion": "v1.36.0"})
        elif path == "api/v1/namespaces/kube-system":
            metadata = {"name": "kube-system", "uid": f"uid-of-{cluster}", "resourceVersion": "1"}
            await _json(writer, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        elif received.method == "POST" and path.startswith("apis/authorization.k8s.io/"):
            await _json(writer, {**json.loads(received.body), "status": {"allowed": True}}, 201)
        elif received.method == "GET" and "limit=" in query:
            await _json(writer, {"kind": "List", "metadata": {"resourceVersion": "1"}, "items": []})
        else:
            await _json(writer, {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}, 404)

    async def _watch(self, cluster: str, writer: asyncio.StreamWriter) -> None:
        self.streams[cluster] = self.streams.get(cluster, 0) + 1
        self._writers.add(writer)
        try:
            await head(writer, 200, CHUNKED, ("Content-Type", "application/json"))
            while True:
                await chunk(writer, _BOOKMARK)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BOOKMARKS):
                        await writer.wait_closed()
        finally:
            self._writers.discard(writer)
            self.streams[cluster] -= 1

    @property
    def open(self) -> int:
        return sum(self.streams.values())


_BOOKMARK: Final = (
    b'{"type":"BOOKMARK","object":{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1",'
    b'"annotations":{"k8s.io/initial-events-end":"true"}}}}\n'
)


async def _json(writer: asyncio.StreamWriter, body: Mapping[str, Any], status: int = 200) -> None:
    await reply(writer, status, json.dumps(body).encode(), ("Content-Type", "application/json"))


class Idle(msgspec.Struct, frozen=True):
    """A controller at rest. ``mib``: resident; ``core``: CPU seconds a second; ``streams``: watches open.

    ``afterwards``: resident after every watch had broken at once and was open again; ``peak``: the most so far.
    """

    remotes: int
    mib: float
    core: float
    streams: int
    files: int
    afterwards: float
    peak: float


async def idle(remotes: int, *, seconds: float) -> Idle:
    """Run a controller with so many idle remote clusters; its CPU is taken over ``seconds``."""
    planes = DataPlanes()
    async with serve(ApiServer(name="control-plane")) as endpoint, listening(planes.answer, server_context()) as server:
        control = Access(server=endpoint.url, certificate_authority=endpoint.ca_pem, token=endpoint.admin_token)
        client = Client(AiohttpTransport(StaticCredentials(control)))
        try:
            await _prepare(client, server, remotes)
            async with _controller(control) as process:
                await _until_watching(client, planes, remotes, process)
                await asyncio.sleep(SETTLE)
                used = cpu_of(process.pid)
                await asyncio.sleep(seconds)
                core = (cpu_of(process.pid) - used) / seconds
                resting = resident_mib(process.pid)
                files = len(os.listdir(f"/proc/{process.pid}/fd"))
                streams = planes.open
                planes.hang_up()
                await _until_watching(client, planes, remotes, process)
                await asyncio.sleep(SETTLE)
                afterwards, peak = resident_mib(process.pid), resident_mib(process.pid, "VmHWM")
                return Idle(remotes, resting, core, streams, files, afterwards, peak)
        finally:
            await client.close()


async def _prepare(client: Client, server: Server, remotes: int) -> None:
    await client.create(NAMESPACES, "", {"metadata": {"name": NAMESPACE}})
    for definition in definitions().values():
        await client.create(CRDS, "", definition)
    while not await client.served(CLIENT_CONFIGS):
        await asyncio.sleep(0.05)
    for number in range(remotes):
        name = f"dc-{number}"
        access = Access(
            server=f"{server.url}/{name}", certificate_authority=authority().cert_pem.bytes(), token=f"token-{number}"
        )
        secret = {"metadata": {"name": name}, "data": {"kubeconfig": b64(render_kubeconfig(access, name, "k8ssandra"))}}
        await client.create(SECRETS, NAMESPACE, secret)
        spec = {"contextName": name, "kubeConfigSecret": {"name": name}}
        config = {
            "apiVersion": CLIENT_CONFIGS.api_version,
            "kind": CLIENT_CONFIGS.kind,
            "metadata": {"name": name},
            "spec": spec,
        }
        await client.create(CLIENT_CONFIGS, NAMESPACE, config)


@asynccontextmanager
async def _controller(control: Access) -> AsyncIterator[asyncio.subprocess.Process]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        kubeconfig = Path(folder, "kubeconfig")
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_bytes(render_kubeconfig(control, "control-plane", "admin"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "controller", "run",
            "--kubeconfig", str(kubeconfig),
            "--metrics-bind-address", "0",
            "--health-probe-bind-address", "0",
            "--log-level", "error",
            cwd=ROOT,
            stdout=sys.stderr,
        )  # fmt: skip
        try:
            yield process
        finally:
            await end(process)


async def _until_watching(
    client: Client, planes: DataPlanes, remotes: int, process: asyncio.subprocess.Process
) -> None:
    """Wait until every ClientConfig is Ready, and every kind of each is watched."""
    streams = remotes * (len(cassandra.REMOTE_WATCHES) + len(replication.REMOTE_WATCHES))
    async with asyncio.timeout(READY_WITHIN):
        while True:
            await asyncio.sleep(1.0)
            assert process.returncode is None, "the controller has ended; what it said is above"
            found = await client.list_all(CLIENT_CONFIGS, NAMESPACE)
            ready = sum(_ready(config.decode(dict)) for config in found)
            if ready == remotes and planes.open == streams:
                return


def _ready(config: Mapping[str, Any]) -> bool:
    conditions = (config.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


async def figures(*, quick: bool = False) -> list[Figure]:
    """Memory and CPU of a controller without remote clusters and with 200 (50 when ``quick``)."""
    _lean()
    seconds = 5.0 if quick else 30.0
    none = await idle(0, seconds=seconds)
    many = await idle(50 if quick else MANY, seconds=seconds)
    each = (many.mib - none.mib) / many.remotes
    core = many.core - none.core
    note = f"{many.streams / many.remotes:g} watches each, {many.files} files open"
    return [
        Figure(GROUP, "memory without a remote cluster", "MiB", (none.mib,), Goal("<=", 120, "MiB")),
        Figure(GROUP, "memory of one idle remote cluster", "MiB", (each,), Goal("<=", 1, "MiB"), note),
        Figure(GROUP, f"memory with {many.remotes} of them", "MiB", (many.mib,), Goal("<=", 300, "MiB")),
        Figure(
            GROUP,
            "the same, after all watches broke at once",
            "MiB",
            (many.afterwards,),
            Goal("<=", 300, "MiB"),
            f"at most {many.peak:.0f} MiB in all this",
        ),
        Figure(GROUP, f"CPU of {many.remotes}, watched and probed", "cores", (core,), Goal("<=", 0.15, "cores")),
        Figure(GROUP, "CPU without a remote cluster", "cores", (none.core,)),
    ]


def _lean() -> None:
    """Keep the memory of this process's own streams small: it is not what is measured."""
    with contextlib.suppress(AttributeError):
        asyncio.sslproto.SSLProtocol.max_size = BUFFER


def main() -> int:
    """0 when every goal was met, 1 when one was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.remotes.memory", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="50 clusters, 5 seconds: a look, no measurement")
    found = asyncio.run(figures(quick=parser.parse_args().quick))
    show(found)
    return int(any(figure.verdict == "missed" for figure in found))


if __name__ == "__main__":
    raise SystemExit(main())
