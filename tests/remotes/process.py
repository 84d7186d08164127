"""``python -m controller run`` as a process that is watched: when it was ready, what it logs, holds and counts."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from controller.fleet.proof import render_kubeconfig
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.resources import SERVICE_ACCOUNTS
from controller.sandbox.world import ACCOUNT
from tests.bench.child import ROOT, cpu_of, end, resident_mib
from tests.real.process import free_port

PREFIX: Final = "k8ssandra_controller_"
POLL: Final = 0.01  # s
KEPT: Final = 20_000  # lines of the log


class _Token(msgspec.Struct):
    token: str


class _TokenRequest(msgspec.Struct):
    status: _Token


async def account(client: Client, access: Access, namespace: str) -> Access:
    """The same server as the controller's own account; ``client`` is an administrator's."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    issued = await client.raw("POST", SERVICE_ACCOUNTS.path(namespace, ACCOUNT, "token"), body=body)
    token = msgspec.json.decode(issued, type=_TokenRequest).status.token
    return msgspec.structs.replace(access, token=token)


class Line(msgspec.Struct, frozen=True):
    """One line of the log, with the loop time at which it came."""

    at: float
    text: str


class RunningController:
    """The controller's process. ``started``: loop time at which it was begun."""

    def __init__(
        self, process: asyncio.subprocess.Process, started: float, health: int, metrics: int, session: Any
    ) -> None:
        self._process = process
        self._health = f"http://127.0.0.1:{health}"
        self._metrics = f"http://127.0.0.1:{metrics}/metrics"
        self._session: aiohttp.ClientSession = session
        self.started = started
        self.log: deque[Line] = deque(maxlen=KEPT)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exited(self) -> bool:
        return self._process.returncode is not None

    def cpu(self) -> float:
        """CPU seconds used so far."""
        return cpu_of(self.pid)

    def resident(self) -> float:
        """MiB of memory."""
        return resident_mib(self.pid)

    def descriptors(self) -> int:
        """Open file descriptors."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    async def ready(self, *, within: float) -> float:
        """Wait until /readyz says so; seconds since the process was begun."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(within):
            while True:
                try:
                    async with self._session.get(self._health + "/readyz") as response:
                        if response.status == 200:
                            return loop.time() - self.started
                except aiohttp.ClientError:
                    if self.exited:
                        raise RuntimeError("the controller ended before it was ready") from None
                await asyncio.sleep(POLL)

    async def answers(self) -> float:
        """Seconds that /healthz takes: how long its loop was busy with something else."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with self._session.get(self._health + "/healthz") as response:
            await response.read()
        return loop.time() - began

    async def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        """The samples of one metric, without its prefix; [] when there is none."""
        async with self._session.get(self._metrics) as response:
            families = list(text_string_to_metric_families(await response.text()))
        wanted = PREFIX + name
        return [(each.labels, each.value) for family in families for each in family.samples if each.name == wanted]

    async def total(self, name: str, **labels: str) -> float:
        """The sum over the samples that have these labels."""
        found = await self.samples(name)
        return sum(value for have, value in found if all(have.get(key) == wanted for key, wanted in labels.items()))


@asynccontextmanager
async def controller(
    access: Access, namespace: str, *flags: str, level: str = "info"
) -> AsyncIterator[RunningController]:
    """The controller as the account of ``access``; started, not yet ready, and gone afterwards."""
    metrics, health = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="remotes-") as folder:
        kubeconfig = Path(folder, "kubeconfig")
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_bytes(render_kubeconfig(access, "control-plane", ACCOUNT))
        started = asyncio.get_running_loop().time()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "controller", "run",
            "--kubeconfig", str(kubeconfig),
            "--watch-namespace", namespace,
            "--metrics-bind-address", f"127.0.0.1:{metrics}",
            "--health-probe-bind-address", f"127.0.0.1:{health}",
            "--log-level", level, "--log-format", "json",
            *flags,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=2**22,
        )  # fmt: skip
        reading: asyncio.Task[None] | None = None
        try:
            async with aiohttp.ClientSession() as session:
                one = RunningController(process, started, health, metrics, session)
                reading = asyncio.create_task(_read(process, one.log))
                yield one
                if one.exited:
                    raise RuntimeError("the controller ended by itself\n" + _tail(one.log))
        except BaseException:
            if reading is not None:
                print(_tail(one.log), file=sys.stderr)
            raise
        finally:
            await end(process)
            if reading is not None:
                await reading


async def _read(process: asyncio.subprocess.Process, log: deque[Line]) -> None:
    assert process.stdout is not None
    loop = asyncio.get_running_loop()
    while line := await process.stdout.readline():
        log.append(Line(loop.time(), line.decode(errors="replace").rstrip()))


def _tail(log: Sequence[Line] | deque[Line]) -> str:
    return "\n".join(line.text[:600] for line in list(log)[-30:])
