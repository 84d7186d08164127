"""Who we are at one API server: the token of a live connection may change, the connection stays."""

from __future__ import annotations

from typing import Protocol

import msgspec

from controller.kube.access import Access


class Credentials(Protocol):
    """What a transport asks. Address, CA and client certificate are fixed for the transport's life; the token is not.

    ``bearer()`` goes into each request; open streams are left alone when it changes, for the server judged it when
    the stream was opened. On 401: ``if await rejected(token)``, the request may be sent once more (it was not
    carried out) with the new ``bearer()``.
    """

    @property
    def access(self) -> Access:
        """The current access; all but its token is what connections are made of."""
        ...

    def bearer(self) -> str:
        """The token for the next request, "" when a client certificate speaks for us. Cheap; never raises."""
        ...

    async def rejected(self, token: str) -> bool:
        """The server answered 401 to ``token``: whether there is another one to try now. Never raises."""
        ...


def same_connection(one: Access, other: Access) -> bool:
    """Whether connections made with ``one`` serve ``other`` as well: at most the token differs."""
    return bool(one.token) == bool(other.token) and msgspec.structs.replace(one, token=other.token) == other


class StaticCredentials:
    """Credentials that only their owner changes: those of a kubeconfig from a Secret."""

    def __init__(self, access: Access) -> None:
        self._access = access

    @property
    def access(self) -> Access:
        return self._access

    def bearer(self) -> str:
        return self._access.token

    async def rejected(self, token: str) -> bool:
        """True only when the token was replaced while the rejected request was under way."""
        return token != self._access.token

    def replace(self, token: str) -> None:
        """Use ``token`` from the next request on; connections and open watches stay.

        Raises ``ValueError`` when there was no token or would be none: that needs a new connection.
        """
        if not token or not self._access.token:
            raise ValueError("only a token can be replaced by a token; anything else needs a new connection")
        if token != self._access.token:
            self._access = msgspec.structs.replace(self._access, token=token)

    def __repr__(self) -> str:
        return f"StaticCredentials({self._access!r})"
