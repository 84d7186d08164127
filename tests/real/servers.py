"""Real API servers on loopback: one etcd, N kube-apiservers, a kube-controller-manager for each."""

from __future__ import annotations

import asyncio
import base64
import shutil
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from controller.kube.access import Access
from tests.real import commands, egress, pki
from tests.real.binaries import Binaries, obtain
from tests.real.process import Process, ServerFailed, free_port

START_DEADLINE: Final = 60.0  # s; alone a server is ready after a few, four at once on two cores take longer
PORT_ATTEMPTS: Final = 3  # a port that was free may be taken before the server binds it


class RealServer:
    """One kube-apiserver, perhaps with a kube-controller-manager, with keys and an address of its own.

    ``access`` is its admin's, in the group system:masters. ``started_in``: seconds until it was ready, the last time.
    """

    def __init__(
        self, name: str, binaries: Binaries, folder: Path, etcd_url: str, controllers: bool, egress: str
    ) -> None:
        folder.mkdir()
        self.name = name
        self.pki = pki.create(folder)
        self.started_in = 0.0
        self._binaries, self._folder, self._etcd_url = binaries, folder, etcd_url
        self._controllers = controllers
        self._egress = egress
        self._bind()

    @property
    def ca_pem(self) -> bytes:
        return self.pki.ca_pem

    @property
    def admin_token(self) -> str:
        return self.pki.admin_token

    def _bind(self) -> None:
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        self.access = Access(server=self.url, certificate_authority=self.ca_pem, token=self.admin_token)
        self.api_server = commands.api_server(
            self._binaries.kube_apiserver,
            self._folder,
            self.pki,
            port=port,
            etcd_url=self._etcd_url,
            prefix=self.name,
            egress=self._egress,
        )
        self.controller_manager = (
            commands.controller_manager(self._binaries.kube_controller_manager, self._folder, self.pki, self.access)
            if self._controllers
            else None
        )

    @property
    def processes(self) -> list[Process]:
        """In the order in which they start."""
        return [self.api_server] if self.controller_manager is None else [self.api_server, self.controller_manager]

    async def start(self) -> None:
        """Ready on return; takes another port when its own was taken meanwhile."""
        for attempt in range(1, PORT_ATTEMPTS + 1):
            try:
                await self.restart()
                return
            except ServerFailed as failed:
                self.kill()
                if attempt == PORT_ATTEMPTS or "address already in use" not in str(failed):
                    raise
                self._bind()

    async def restart(self) -> None:
        """Start it on its address, with the data it has; ready on return."""
        began = time.monotonic()
        context = ssl.create_default_context(cadata=self.ca_pem.decode())
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        self.api_server.spawn()
        async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(ssl=context)) as session:

            async def ready() -> bool:
                # The server says that it is ready a moment before it has made its first namespaces.
                paths = ("/readyz", "/api/v1/namespaces/default")
                return all([await _ok(session, self.url + path) for path in paths])

            await self.api_server.wait_until(ready, within=START_DEADLINE)
        self.started_in = time.monotonic() - began
        if self.controller_manager is not None:
            self.controller_manager.spawn()

    def kill(self) -> None:
        """End it as a crash does; ``restart`` brings it back."""
        for process in reversed(self.processes):
            process.kill()


class RealServers:
    """A set of API servers over one etcd."""

    def __init__(self, binaries: Binaries, folder: Path, names: Sequence[str], controllers: bool) -> None:
        self._etcd_url = f"http://127.0.0.1:{free_port()}"
        self.etcd = commands.etcd(binaries.etcd, folder, self._etcd_url, f"http://127.0.0.1:{free_port()}")
        egress_file = egress.configuration(folder)
        self.servers = [
            RealServer(name, binaries, folder / name, self._etcd_url, controllers, egress_file) for name in names
        ]

    @property
    def processes(self) -> list[Process]:
        """In the order in which they start."""
        return [self.etcd, *(process for server in self.servers for process in server.processes)]

    async def start(self) -> None:
        """All ready on return."""
        self.etcd.spawn()
        async with aiohttp.ClientSession() as session:
            await self.etcd.wait_until(lambda: _ok(session, f"{self._etcd_url}/health"), within=START_DEADLINE)
        await asyncio.gather(*(server.start() for server in self.servers))

    async def compact(self, revision: int) -> None:
        """Make etcd forget what was before ``revision``, the way the API servers do it every five minutes.

        They learn of it from the key in which they agree on it, and drop their own past within 15 s.
        """
        async with aiohttp.ClientSession(base_url=self._etcd_url) as session:
            await _post(session, "/v3/kv/put", key=_base64("compact_rev_key"), value=_base64(str(revision)))
            await _post(session, "/v3/kv/compaction", revision=str(revision), physical=True)

    def kill(self) -> None:
        for process in reversed(self.processes):
            process.kill()

    def show_logs(self) -> None:
        for process in self.processes:
            print(process.tail(), file=sys.stderr)


@asynccontextmanager
async def real_servers(names: Sequence[str] = ("server",), *, controllers: bool = True) -> AsyncIterator[RealServers]:
    """Servers of those names, all ready; their processes are gone afterwards, whatever happened.

    Raises ``BinariesMissing`` or ``ServerFailed``. When anything raises, the ends of the logs are printed and the
    logs are kept.
    """
    binaries = await asyncio.to_thread(obtain)
    folder = Path(tempfile.mkdtemp(prefix="real-servers-"))
    world = RealServers(binaries, folder, names, controllers)
    try:
        async with egress.pods_behind(folder):
            await world.start()
            yield world
    except BaseException:
        world.kill()
        world.show_logs()
        raise
    world.kill()
    shutil.rmtree(folder)


async def _ok(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=5)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def _post(session: aiohttp.ClientSession, path: str, **body: Any) -> None:
    """A call of etcd's JSON gateway, which wants keys and values in base64 and numbers as text."""
    async with session.post(path, json=body) as response:
        if response.status != 200:
            raise ServerFailed(f"etcd: {path}: {await response.text()}")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
