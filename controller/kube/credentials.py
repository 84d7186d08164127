"""Who we are at one API server, asked before each request: credentials may change while watches are open."""

from __future__ import annotations

from typing import Protocol

import msgspec

from controller.kube.access import Access


class Credentials(Protocol):
    """A source of ``Access`` that keeps itself fresh.

    How a transport uses it: ``access = await credentials.access()`` before each request, and the bearer token of
    that answer goes into this request only. Open streams are left alone when the token changes: the server judged
    it when the stream was opened. When ``same_connection(old, access)`` is false the address, the CA or the client
    certificate changed: new connections need a new SSL context.

    On 401: ``credentials.rejected(access)``, then ``access()`` once more; if the token differs, the request may be
    sent again (once), for it was not carried out.
    """

    async def access(self) -> Access:
        """The access to use now. Costs no I/O unless it is due for renewal; the same object while nothing changed.

        Raises ``KubeError`` only when there never was a usable one: a failed renewal keeps the last good.
        """
        ...

    def rejected(self, access: Access) -> None:
        """The server answered 401 to ``access``. An ``access`` that was replaced meanwhile is ignored."""
        ...


def same_connection(one: Access, other: Access) -> bool:
    """Whether connections made with ``one`` serve ``other`` as well: at most the token differs."""
    return one is other or msgspec.structs.replace(one, token=other.token) == other


class StaticCredentials:
    """Credentials that only their owner changes: those of a kubeconfig from a Secret."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def access(self) -> Access:
        return self._access

    def rejected(self, access: Access) -> None:
        """Nothing to renew here: the Secret's next version brings the next token."""

    def replace(self, token: str) -> None:
        """Use ``token`` from the next request on; connections and open watches stay. ``ValueError`` when empty."""
        if not token or not self._access.token:
            raise ValueError("only a token can be replaced by a token; anything else needs a new connection")
        if token != self._access.token:
            self._access = msgspec.structs.replace(self._access, token=token)

    def __repr__(self) -> str:
        return f"StaticCredentials({self._access!r})"
