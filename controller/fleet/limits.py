"""What this process may use: how many files, and that means sockets, and how many its clusters need; no core dumps."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from typing import Final

import structlog

from controller.kube.aiohttp_transport import UNARY_CONNECTIONS

PROCESS: Final = 64  # its own: standard streams, the loop's, endpoints and who asks them, a lookup's, a plugin's pipes
PROBES: Final = 2  # a probe has a connection of its own, and so has what proves itself before it is taken over

_log = structlog.get_logger(__name__)


def forbid_core_dumps() -> None:
    """Have no memory of this process written to a disk when it is killed: tokens and keys are in it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def raise_open_files() -> int:
    """Raise the limit of open files as far as this process may; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems have a lower limit that they do not tell
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return open_files()


def open_files() -> int:
    """The limit of open files now; ``sys.maxsize`` when there is none."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def open_files_needed(clusters: int, watches: int) -> int:
    """Files open at worst with ``clusters``, the control plane among them, of ``watches`` streams each."""
    return PROCESS + clusters * (watches + UNARY_CONNECTIONS + PROBES)


def say_if_too_low(remotes: int, watches: int) -> bool:
    """Warn when the limit of open files is too low for the control plane and ``remotes`` clusters; whether it is.

    ``watches``: streams of one cluster, that is, kinds by namespaces watched.
    """
    limit, needed = open_files(), open_files_needed(remotes + 1, watches)
    if limit >= needed:
        return False
    _log.warning(
        "the limit of open files is too low for the clusters configured: some may not be reached at times; "
        "raise it (ulimit -n, LimitNOFILE of the container runtime)",
        limit=limit,
        needed=needed,
        client_configs=remotes,
        watches=watches,
    )
    return True
