"""One server process: started, watched until it is ready, ended by its pid whatever happens."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

POLL: Final = 0.05  # s between two looks whether a server is ready; there is nothing to be told by
TERM_GRACE: Final = 5.0  # s for a server to end by itself; its data is thrown away, so it loses nothing
TAIL: Final = 6000  # bytes of a log that a failure shows

_PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class ServerFailed(Exception):
    """A server ended, or was not ready in time; the text ends with the end of its log."""


def free_port() -> int:
    """A loopback port that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _die_with_parent() -> None:
    """Runs in the child: a test run that is killed takes its servers with it."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A command that may be started, paused and ended again and again; its output goes to ``log``."""

    def __init__(self, name: str, command: Sequence[str], log: Path, **environment: str) -> None:
        self.name = name
        self.log = log
        self._environment = environment
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The running process; raises ``ServerFailed`` when there is none."""
        if self._process is None:
            raise ServerFailed(f"{self.name} is not running")
        return self._process.pid

    def spawn(self) -> None:
        if self._process is not None:
            raise ServerFailed(f"{self.name} is running already")
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
                start_new_session=True,  # a Ctrl-C in the terminal is for us; we end it in our own order
                preexec_fn=_die_with_parent,
            )

    async def wait_until(self, ready: Callable[[], Awaitable[bool]], *, within: float) -> None:
        """Return when ``ready()``; raise ``ServerFailed`` when the process ends first or after ``within`` seconds."""
        try:
            async with asyncio.timeout(within):
                while not await ready():
                    if self._process is None or self._process.poll() is not None:
                        raise ServerFailed(f"{self.name} ended before it was ready\n{self.tail()}")
                    await asyncio.sleep(POLL)
        except TimeoutError:
            raise ServerFailed(f"{self.name} was not ready within {within:g} s\n{self.tail()}") from None

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers, as when a network swallows packets."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a crash does; may be called when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def terminate(self) -> None:
        """Ask it to end, and end it when it does not; may be called when it is not running."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(TERM_GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def tail(self) -> str:
        """The end of its log."""
        text = self.log.read_bytes()[-TAIL:] if self.log.exists() else b""
        return f"--- {self.log} ---\n{text.decode(errors='replace')}"

    def resident_mib(self) -> float:
        """MiB of memory that the process holds now (Linux)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise ServerFailed(f"{self.name}: no VmRSS")
