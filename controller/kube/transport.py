"""The seam between the controller and an API server: one request gives one response, or a stream of lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

OBJECT_CAP: Final = 4 * 2**20  # bytes of one object's JSON; etcd's own limit is 1.5 MiB
LIST_CAP: Final = 64 * 2**20  # bytes of a page of a list


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request to an API server.

    ``path`` begins with ``/`` and is percent-encoded already; ``query`` is not encoded.
    ``deadline`` is in seconds, from the start to the last byte of the response (of a stream: to its head).
    ``body`` is JSON or, for ``application/apply-patch+yaml``, JSON as well (JSON is YAML).
    ``headers`` never hold credentials: the transport adds its own. ``cap``: bytes that the response may have.
    ``apart``: what answers is something behind the server, a pod: its silence or refusal says nothing of the server,
    and while it is waited for it holds no connection that others wait for.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    deadline: float = 10.0
    cap: int = OBJECT_CAP
    apart: bool = False

    def __repr__(self) -> str:
        # Bodies may hold Secrets; they are never shown.
        return f"Request({self.method} {self.path}, {len(self.body)} bytes)"


def shortened(request: Request, remaining: float) -> Request:
    """``request`` with ``remaining`` seconds left, of which the server is told as well where it was told before."""
    query = tuple((name, f"{max(int(remaining), 1)}s" if name == "timeout" else value) for name, value in request.query)
    return msgspec.structs.replace(request, deadline=remaining, query=query)


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A whole response; ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.body)} bytes)"


class LineStream(Protocol):
    """The lines of an open watch response, in batches."""

    async def read(self) -> list[bytes]:
        """All complete lines that have arrived and were not read yet: at least one, ``[]`` only at the end.

        Lines come without their newline; empty lines are left out. Raises ``StreamSilent`` when nothing
        came for the silence deadline, ``ConnectionLost`` when the stream broke, ``TooLarge`` when a
        line is over the cap.
        """
        ...

    async def close(self) -> None:
        """Close the stream; may be called twice."""
        ...


class Transport(Protocol):
    """Carries requests to one API server. Raises only ``TransportError`` and its children.

    What is put around another one to keep requests back also raises ``ClusterUnavailable`` or ``RateLimited``: then
    nothing was sent.
    """

    async def request(self, request: Request) -> Response:
        """Send one request; return the whole response, whatever its status."""
        ...

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        """Open a stream: a ``LineStream`` when the status is 200, else the whole response.

        ``silence``: seconds without one byte after which ``read`` raises ``StreamSilent``.
        """
        ...

    async def close(self) -> None:
        """Close every connection; requests under way fail with ``ConnectionLost``."""
        ...
