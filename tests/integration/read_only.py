"""Imported at start as ``sitecustomize``: from then on this process can write no file, as in a read-only container.

Every attempt is noted on standard error as ``refused: <event> <path>``.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

CHANGES = {
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "tempfile.mkdtemp",
    "tempfile.mkstemp",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, int) or not (flags or 0) & WRITING or str(path).startswith("/dev/"):
            return
    elif event not in CHANGES:
        return
    print(f"refused: {event} {arguments[0]}", file=sys.stderr, flush=True)
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(arguments[0]))


sys.addaudithook(refuse)
