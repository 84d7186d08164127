"""Processes of a measurement: a line of JSON on stdin is a question, a line on stdout its answer."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

ANSWER_WITHIN: Final = 120.0  # s; nothing that is measured takes half as long
ROOT: Final = Path(__file__).parents[2]

# ── in the child ────────────────────────────────────────────────────────────────────────────────────


def answer(found: Mapping[str, Any]) -> None:
    print(json.dumps(found), flush=True)


async def serve(handle: Callable[[Json], Awaitable[Mapping[str, Any]]]) -> None:
    """Answer the questions on stdin until it ends."""
    reader = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    answer({})
    while line := await reader.readline():
        answer(await handle(json.loads(line)))


def cpu_seconds() -> float:
    """CPU time that this process has used, in the kernel too."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# ── in the parent ───────────────────────────────────────────────────────────────────────────────────


class ChildFailed(Exception):
    """A process of the measurement ended, or did not answer."""


class Child:
    """A running ``python -m <module>``; ``hello`` is its first line."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.hello: Json = {}
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, question: str | Mapping[str, Any] = "") -> Json:
        """Send one line, wait for one."""
        text = question if isinstance(question, str) else json.dumps(question)
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")
        return await self.hear()

    async def hear(self) -> Json:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise ChildFailed(f"{self.name} did not answer within {ANSWER_WITHIN:g} s") from None
        if not line:
            raise ChildFailed(f"{self.name} ended; what it said is above")
        found: Json = json.loads(line)
        return found


@asynccontextmanager
async def child(module: str, arguments: Sequence[str] = ()) -> AsyncIterator[Child]:
    """Start ``python -m tests.bench.<module>`` and wait for its first line; it is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"tests.bench.{module}",
        *arguments,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    one = Child(" ".join((module, *arguments[:2])), process)
    try:
        one.hello = await one.hear()
        yield one
    finally:
        await end(process)


async def end(process: asyncio.subprocess.Process, *, within: float = 5.0) -> int:
    """Ask the process to end, and end it when it does not; its exit code."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(within):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode


def cpu_of(pid: int) -> float:
    """CPU time in seconds that another process has used (Linux): exact, where /proc counts ticks of 10 ms."""
    return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid makes it


def resident_mib(pid: int | str = "self", key: str = "VmRSS") -> float:
    """MiB of memory that a process holds; ``VmHWM`` is the most it has held (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    raise ChildFailed(f"process {pid} has no {key}")
