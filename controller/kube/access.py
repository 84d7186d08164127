"""What it takes to reach one API server: its address, its CA, and one identity. Lives in memory only."""

from __future__ import annotations

import msgspec


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server is and who we are there.

    ``server``: ``https://host[:port][/prefix]`` without a trailing slash. ``certificate_authority``: PEM.
    Either ``token`` or both ``client_certificate`` and ``client_key`` (PEM). ``tls_server_name``: the name to
    verify instead of the host. ``proxy``: URL of an HTTP proxy, "" for none.
    """

    server: str
    certificate_authority: bytes
    token: str = ""
    client_certificate: bytes = b""
    client_key: bytes = b""
    tls_server_name: str = ""
    proxy: str = ""

    def __repr__(self) -> str:
        # Credentials are never shown.
        return f"Access({self.server}, {'token' if self.token else 'client certificate'})"
