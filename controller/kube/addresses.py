"""Which addresses the controller connects to, and how a host name becomes one."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, TypeAlias
from weakref import WeakValueDictionary

import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from controller.kube.errors import AddressNotAllowed, NameResolutionFailed

Network: TypeAlias = IPv4Network | IPv6Network
Lookup: TypeAlias = Callable[..., list[tuple[Any, ...]]]

RESOLVE_DEADLINE: Final = 2.0  # s; one dead DNS server must not hold up a connection attempt for longer
LAST_GOOD_AFTER: Final = 0.5  # s for an answer where there is a good one: a probe has 2 s for everything


class _Refusal(msgspec.Struct, frozen=True):
    network: Network
    what: str
    relaxable: bool = True


def _refusals(what: str, *networks: str, relaxable: bool = True) -> tuple[_Refusal, ...]:
    return tuple(_Refusal(ip_network(network), what, relaxable) for network in networks)


# Metadata services hand out the node's own cloud credentials to whoever asks: AWS, Azure, Google and others on
# 169.254.169.254, and the addresses below besides.
_REFUSED: Final = (
    *_refusals("an unspecified", "0.0.0.0/8", "::/128", relaxable=False),
    *_refusals("a multicast", "224.0.0.0/4", "ff00::/8", relaxable=False),
    *_refusals("a reserved", "240.0.0.0/4", relaxable=False),
    *_refusals(
        "a cloud metadata",
        "169.254.169.254/32",
        "169.254.170.2/32",  # AWS container credentials
        "169.254.170.23/32",  # EKS pod identity
        "fd00:ec2::254/128",  # AWS
        "fd00:ec2::23/128",  # EKS pod identity
        "fd20:ce::254/128",  # Google
        "fd00:42::42/128",  # Scaleway
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's wire server
        "192.0.0.192/32",  # Oracle
    ),
    *_refusals("a link-local", "169.254.0.0/16", "fe80::/10"),
)
_LOOPBACK: Final = _refusals("a loopback", "127.0.0.0/8", "::1/128")

# Prefixes behind which an IPv6 address carries an IPv4 address, and the bit where that begins, from the right.
_EMBEDDED: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),  # mapped
    (IPv6Network("::ffff:0:0:0/96"), 0),  # translated (SIIT)
    (IPv6Network("::/96"), 0),  # compatible
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("64:ff9b:1::/48"), 0),  # NAT64 of a site, with a /96 prefix
    (IPv6Network("2002::/16"), 80),  # 6to4
)


class AddressPolicy(msgspec.Struct, frozen=True):
    """Which addresses may be connected to.

    Link-local, cloud metadata, unspecified, multicast and reserved addresses are refused, loopback ones unless
    ``allow_loopback``. A network of ``allow`` exempts link-local, metadata or loopback addresses only when it names
    them, that is, when it lies within what is refused: ``0.0.0.0/0`` does not open the metadata service.
    """

    allow_loopback: bool = False
    allow: tuple[Network, ...] = ()

    def check(self, ip: str, host: str) -> None:
        """Raise ``AddressNotAllowed`` unless ``ip`` (any text form, a zone too) may be connected to for ``host``."""
        try:
            address = ip_address(ip.partition("%")[0])
        except ValueError:
            raise AddressNotAllowed(f"{host}: not an IP address") from None
        for form in _forms(address):
            if refusal := self._refusal(form):
                way_out = "; --allow-server-cidr can allow it" if refusal.relaxable else ""
                at = "" if ip == host else f" is at {ip},"
                raise AddressNotAllowed(f"{host}{at} {refusal.what} address: not allowed{way_out}")

    def _refusal(self, address: IPv4Address | IPv6Address) -> _Refusal | None:
        for refusal in _REFUSED if self.allow_loopback else _REFUSED + _LOOPBACK:
            if address in refusal.network:
                return None if refusal.relaxable and self._named(address, refusal.network) else refusal
        return None

    def _named(self, address: IPv4Address | IPv6Address, refused: Network) -> bool:
        return any(address in network and network.prefixlen >= refused.prefixlen for network in self.allow)


def policy(*, allow_loopback: bool, allow_server_cidr: Sequence[str] = ()) -> AddressPolicy:
    """The policy that the flags say; raises ``ValueError`` naming the network that is none."""
    return AddressPolicy(allow_loopback, tuple(ip_network(text, strict=False) for text in allow_server_cidr))


def _forms(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address itself and, of an IPv6 address that carries an IPv4 address, that one."""
    forms: list[IPv4Address | IPv6Address] = [address]
    if isinstance(address, IPv6Address) and int(address) > 1:  # :: and ::1 are no compatible forms
        for network, shift in _EMBEDDED:
            if address in network:
                forms.append(IPv4Address(int(address) >> shift & 0xFFFFFFFF))
                break
    return forms


class _Flight(msgspec.Struct):
    """A lookup under way."""

    key: tuple[str, int]
    done: asyncio.Future[list[str] | OSError]


class Resolver(AbstractResolver):
    """Host names of one cluster, resolved beside the loop's own thread pool, which one dead DNS would starve.

    For all connections to the cluster, one after the other and side by side: at most one thread, alive only while a
    lookup runs, and nothing waits for it at exit. Each ``resolve`` asks anew
    (so ``use_dns_cache=False`` in the connector) and waits at most ``deadline`` seconds. The last good addresses serve
    when the lookup fails or takes longer than ``LAST_GOOD_AFTER``. Every address returned has passed ``policy``.

    aiohttp does not ask a resolver about literal addresses: there, and against any other way around, the
    connector's ``socket_factory`` calls ``policy.check(addr_info[4][0], host)``. With more than one address aiohttp
    loses exceptions of a socket factory that are not ``OSError``; it cannot come to that, since several addresses
    come from here only and are checked by then.
    """

    def __init__(
        self,
        policy: AddressPolicy | None = None,
        *,
        deadline: float = RESOLVE_DEADLINE,
        lookup: Lookup = socket.getaddrinfo,
    ) -> None:
        self._policy = policy
        self._deadline = deadline
        self._lookup = lookup
        self._flight: _Flight | None = None
        self._good: dict[tuple[str, int], list[str]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises ``NameResolutionFailed``, or ``AddressNotAllowed`` when no address is allowed."""
        key = (host, int(family))
        try:
            async with asyncio.timeout(min(self._deadline, LAST_GOOD_AFTER) if key in self._good else self._deadline):
                outcome = await self._fly(key)
        except TimeoutError:
            outcome = OSError(f"no answer within {self._deadline:g} s")
        addresses = self._good.get(key) if isinstance(outcome, OSError) else outcome
        if not addresses:
            cause = outcome.strerror or str(outcome) if isinstance(outcome, OSError) else "no address"
            raise NameResolutionFailed(f"{host}: the name cannot be resolved: {cause}")
        return [_result(host, port, address) for address in self._allowed(host, addresses)]

    async def close(self) -> None:
        """Nothing to close: other connections may use it, and a lookup under way ends on its own."""

    def _allowed(self, host: str, addresses: list[str]) -> list[str]:
        if self._policy is None:
            return addresses
        allowed = []
        refused: AddressNotAllowed | None = None
        for address in addresses:
            try:
                self._policy.check(address, host)
                allowed.append(address)
            except AddressNotAllowed as error:
                refused = refused or error
        if refused is not None and not allowed:
            raise refused
        return allowed

    async def _fly(self, key: tuple[str, int]) -> list[str] | OSError:
        while self._flight is not None and self._flight.key != key:
            await asyncio.wait([self._flight.done])
        if self._flight is None:
            self._flight = self._start(key)
        # Not the future itself: whoever gives up waiting must not cancel the lookup for the others.
        done = self._flight.done
        await asyncio.wait([done])
        return done.result()

    def _start(self, key: tuple[str, int]) -> _Flight:
        loop = asyncio.get_running_loop()
        flight = _Flight(key, loop.create_future())

        def land(outcome: list[str] | OSError) -> None:
            self._flight = None
            if not isinstance(outcome, OSError) and outcome:
                self._good[key] = outcome
            flight.done.set_result(outcome)

        def run() -> None:
            outcome = self._ask(*key)
            try:
                loop.call_soon_threadsafe(land, outcome)
            except RuntimeError:  # the loop was closed meanwhile: nobody waits any more
                return

        # A daemon: getaddrinfo cannot be interrupted, and a process that ends does not wait for a dead DNS.
        threading.Thread(target=run, name=f"resolve {key[0]}", daemon=True).start()
        return flight

    def _ask(self, host: str, family: int) -> list[str] | OSError:
        try:
            infos = self._lookup(host, None, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        except OSError as error:
            return error
        except (UnicodeError, ValueError) as error:  # a name that cannot be a name
            return OSError(type(error).__name__)
        return list(dict.fromkeys(_literal(info[4]) for info in infos))


class Resolvers:
    """A ``Resolver`` for each host name, the same one for all who connect to it; gone with the last of them.

    A connection to a cluster is made anew whenever it is tried anew. Had each a resolver of its own, and a dead DNS
    hung for longer than the tries are apart, the threads would pile up.
    """

    def __init__(
        self,
        policy: AddressPolicy | None = None,
        *,
        deadline: float = RESOLVE_DEADLINE,
        lookup: Lookup = socket.getaddrinfo,
    ) -> None:
        self._make = partial(Resolver, policy, deadline=deadline, lookup=lookup)
        self._by_host: WeakValueDictionary[str, Resolver] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._by_host)

    def of(self, host: str) -> Resolver:
        """The resolver of those who connect to ``host``; alive while somebody has it or a lookup runs."""
        found = self._by_host.get(host)
        if found is None:
            found = self._by_host[host] = self._make()
        return found


def _literal(sockaddr: tuple[Any, ...]) -> str:
    """The address as text; with the zone where there is one, without which link-local addresses mean nothing."""
    address = str(sockaddr[0])
    if len(sockaddr) == 4 and sockaddr[3] and "%" not in address:
        return f"{address}%{sockaddr[3]}"
    return address


def _result(host: str, port: int, address: str) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
