"""The certificate that a server shows: read from a mounted Secret, and again whenever its files change."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeAlias

import structlog

from controller.kube.tls import readable
from controller.kube.validity import of_certificate

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
POLL: Final = 2.0  # s between two looks at the files; the kubelet takes up to a minute to bring a new Secret
MATERIAL_CAP: Final = 1024 * 1024  # bytes, the size of a Secret

Outcome: TypeAlias = Literal["loaded", "refused"]
_Mark: TypeAlias = tuple[tuple[int, int, int], ...]

_log = structlog.get_logger(__name__)


class Certificate:
    """``context`` is what a server listens with; each handshake uses the newest pair that was good.

    A connection that is open keeps the one it began with. A pair that cannot be used leaves the last good one in use,
    and is said once. ``told`` hears what became of each new pair.
    """

    def __init__(self, folder: str, told: Callable[[Outcome], None]) -> None:
        self.context: Final = _server_context()
        self.context.sni_callback = self._choose
        self.ends: float | None = None  # Unix seconds, None when not known
        self._folder = Path(folder)
        self._told = told
        self._current: ssl.SSLContext | None = None
        self._mark: _Mark | None = None
        self._seen: tuple[bytes, bytes] | None = None

    @property
    def usable(self) -> bool:
        """Whether there ever was a good pair."""
        return self._current is not None

    async def follow(self) -> None:
        """Look at the files for ever."""
        while True:
            self.refresh()
            await asyncio.sleep(POLL)

    def refresh(self) -> None:
        """Take over the pair in the files if it is another than before."""
        try:
            mark = self._look()
            if mark == self._mark:
                return
            found = self._read()
            if mark != self._look():
                return  # exchanged between the two files: looked at again soon
        except OSError as error:
            self._refuse((), f"{error.filename}: {error.strerror}")
            return
        self._mark = mark
        if found == self._seen:
            return
        self._seen = found
        fresh = _server_context()
        try:
            with readable(found[0] + b"\n" + found[1]) as path:
                fresh.load_cert_chain(path, password="")
        except (ssl.SSLError, ValueError):
            self._refuse(mark, f"{CERTIFICATE} and {KEY} cannot be used together")
            return
        self._current = fresh
        validity = of_certificate(found[0])
        self.ends = validity.ends if validity is not None else None
        _log.info("serving with a new certificate", folder=str(self._folder))
        self._told("loaded")

    def _look(self) -> _Mark:
        """What changes when the kubelet exchanges the folder behind the symlinks, or somebody writes the files."""
        stats = [os.stat(self._folder / name) for name in (CERTIFICATE, KEY)]
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

    def _read(self) -> tuple[bytes, bytes]:
        found = []
        for name in (CERTIFICATE, KEY):
            with open(self._folder / name, "rb") as file:
                found.append(file.read(MATERIAL_CAP))
        return found[0], found[1]

    def _refuse(self, mark: _Mark, why: str) -> None:
        if self._mark == mark and not mark:
            return  # still not there
        self._mark = mark
        kept = "the last good one stays in use" if self.usable else "there is none to serve with"
        _log.error("a certificate cannot be used", folder=str(self._folder), why=why, so=kept)
        self._told("refused")

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
        # Called for each handshake, whether the client names a server or not.
        if self._current is not None:
            connection.context = self._current


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
