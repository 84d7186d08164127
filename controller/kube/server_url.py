"""URLs of API servers and proxies as untrusted files give them: taken apart, judged and put together again."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import msgspec

LENGTH_CAP: Final = 2048  # characters of a URL

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(/[^?#]*|)(.*)", re.DOTALL)
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_SEGMENT: Final = re.compile(r"([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")
# Characters that must not come back out of a percent-encoding: dot, slash, backslash and control characters.
_SMUGGLED: Final = re.compile(r"%(2e|2f|5c|[01][0-9a-f]|7f)", re.IGNORECASE)
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


class BadURL(ValueError):
    """Not such a URL. ``unsafe``: it is one, but asks for something that is not allowed."""

    def __init__(self, problem: str, *, unsafe: bool = False) -> None:
        super().__init__(problem)
        self.unsafe = unsafe


class Parts(msgspec.Struct, frozen=True):
    """A URL taken apart: scheme and host lower-case, ``host`` without brackets, ``port`` 0 when not given."""

    scheme: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{f':{self.port}' if self.port else ''}{self.path}"


def split(url: str) -> Parts:
    """The parts of ``url``, its path without trailing slashes. Raises ``BadURL`` (with no part of it in the text)."""
    if len(url) > LENGTH_CAP:
        raise BadURL(f"longer than {LENGTH_CAP} characters")
    if not url or not url.isprintable() or any(c.isspace() for c in url):
        raise BadURL("empty, or with spaces or control characters")
    match = _URL.fullmatch(url)
    if not match:
        raise BadURL("must be a URL like https://host:port")
    scheme, authority, path, rest = match.groups()
    if "@" in authority:
        raise BadURL("must not hold a user or password", unsafe=True)
    if rest:
        raise BadURL("must not have a query or fragment", unsafe=True)
    name, port = _authority(authority)
    return Parts(scheme.lower(), host(name), port, _path(path))


def host(name: str) -> str:
    """A DNS name (IDN as punycode) or an IP address in its usual form; raises ``BadURL``."""
    if name.startswith("[") and name.endswith("]"):
        try:
            address = IPv6Address(name[1:-1])
        except ValueError:
            raise BadURL("not an IPv6 address between the brackets") from None
        if address.scope_id is not None:
            raise BadURL("an IPv6 address must not have a zone")
        return address.compressed
    if not name.isascii():
        name = _punycode(name)
    name = name.lower()
    labels = name.removesuffix(".").split(".")
    if _NUMERIC.fullmatch(labels[-1]):
        # Resolvers take 2130706433, 127.1, 0177.0.0.1 and 0x7f000001 for addresses too: one spelling is enough.
        try:
            return str(IPv4Address(name))
        except ValueError:
            raise BadURL("an IPv4 address must be four decimal numbers", unsafe=True) from None
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadURL("not a host name")
    return name


def server_name(name: str) -> str:
    """A name to verify a certificate against: a DNS name or an IP address; raises ``BadURL``."""
    try:
        return str(ip_address(name))
    except ValueError:
        return host(name)


def is_loopback(name: str) -> bool:
    """Whether a host, as ``Parts.host``, is this machine by its very spelling."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        plain = name.removesuffix(".")
        return plain == "localhost" or plain.endswith(".localhost")


def _authority(authority: str) -> tuple[str, int]:
    name, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):  # no port; the colon was inside an IPv6 address
        return authority, 0
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise BadURL("the port must be a number from 1 to 65535")
    return name, int(port)


def _path(path: str) -> str:
    path = path.rstrip("/")
    segments = path.split("/")[1:]
    if any(not _SEGMENT.fullmatch(segment) for segment in segments):
        raise BadURL("the path has a character that must be percent-encoded")
    if any(segment in ("", ".", "..") for segment in segments) or _SMUGGLED.search(path):
        raise BadURL("the path must not have empty or dot segments", unsafe=True)
    return path


def _punycode(name: str) -> str:
    import idna  # rarely needed; comes with aiohttp

    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise BadURL("not a host name") from None
