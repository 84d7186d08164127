"""Traps: the interpreter itself tells of every process, file, name and connection, and a listener of every caller."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

PROCESSES: Final = frozenset(
    {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "os.system", "subprocess.Popen"}
)
FILES: Final = frozenset({"open", "tempfile.mkstemp", "tempfile.mkdtemp", "os.rename", "os.mkdir", "shutil.copyfile"})
NAMES: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
CONNECTIONS: Final = frozenset({"socket.connect", "socket.sendto", "urllib.Request"})
CODE: Final = frozenset({"pickle.find_class", "ctypes.dlopen", "exec", "compile"})
EVERYTHING: Final = PROCESSES | FILES | NAMES | CONNECTIONS | CODE

Deed = tuple[str, tuple[Any, ...]]  # an audit event and its arguments
_armed: list[tuple[frozenset[str], list[Deed]]] = []


def _notice(event: str, arguments: tuple[Any, ...]) -> None:
    for events, deeds in _armed:
        if event in events:
            deeds.append((event, arguments))


sys.addaudithook(_notice)  # for the whole process, since none can be removed: it sleeps until armed


@contextmanager
def armed(*kinds: Iterable[str]) -> Iterator[list[Deed]]:
    """What happens in this process while the block runs; of ``EVERYTHING`` unless ``kinds`` name less."""
    entry: tuple[frozenset[str], list[Deed]] = (frozenset().union(*kinds) if kinds else EVERYTHING, [])
    _armed.append(entry)
    try:
        yield entry[1]
    finally:
        _armed[:] = [other for other in _armed if other is not entry]


# What the controller opens besides: figures of its own process for metrics, a client certificate in anonymous memory.
ALLOWED: Final = re.compile(r"/proc/stat|/proc/(self|\d+)/(stat|limits|fd/\d+)")


def files(deeds: Iterable[Deed]) -> list[str]:
    """The files that were opened, but for those allowed, Python's own modules and what has no name."""
    paths = [str(arguments[0]) for event, arguments in deeds if event in FILES and not isinstance(arguments[0], int)]
    modules = (".py", ".pyc", ".so", "__pycache__")
    return [path for path in paths if not path.endswith(modules) and not ALLOWED.fullmatch(path)]


def peers(deeds: Iterable[Deed]) -> set[str]:
    """The IP addresses that somebody tried to connect to."""
    found = [arguments[1] for event, arguments in deeds if event == "socket.connect"]
    return {str(address[0]) if isinstance(address, tuple) else str(address) for address in found}


class Listener:
    """A port that nobody may connect to; ``callers``: how many did, and ``heard`` what they said."""

    def __init__(self) -> None:
        self.callers = 0
        self.heard = b""
        self.port = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.callers += 1
        try:
            self.heard += await reader.read(65536)
        finally:
            writer.close()


@asynccontextmanager
async def listener(host: str = "127.0.0.1") -> AsyncIterator[Listener]:
    """A listener on ``host``, at any free port."""
    one = Listener()
    server = await asyncio.start_server(one.accept, host, 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        await server.wait_closed()
