from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.kube.addresses import AddressPolicy, Resolver, Resolvers, policy
from controller.kube.errors import AddressNotAllowed, NameResolutionFailed

REFUSED = [
    *("169.254.169.254", "169.254.1.1", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    *("fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::1%eth0", "febf::1"),
    *("0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.255.255.255", "ff02::1", "255.255.255.255", "240.0.0.1"),
    *("::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::169.254.169.254", "64:ff9b::169.254.169.254"),
    *("64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "::ffff:0:169.254.169.254", "::ffff:0.0.0.0"),
    *("", "localhost", "2130706433", "127.1", "1.2.3.4.5"),
]
LOOPBACK = ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "::127.0.0.1"]
ALLOWED = ["10.0.0.1", "172.18.0.2", "192.168.1.1", "8.8.8.8", "2001:db8::1", "fd00::1", "::ffff:10.0.0.1"]


def allowed(ip: str, *networks: str, loopback: bool = False) -> bool:
    try:
        policy(allow_loopback=loopback, allow_server_cidr=networks).check(ip, "api.example")
    except AddressNotAllowed:
        return False
    return True


@pytest.mark.parametrize("ip", REFUSED)
def test_refused_whether_or_not_loopback_is_allowed(ip: str) -> None:
    assert not allowed(ip)
    assert not allowed(ip, loopback=True)


@pytest.mark.parametrize("ip", LOOPBACK)
def test_loopback_is_for_those_who_may(ip: str) -> None:
    assert not allowed(ip)
    assert allowed(ip, loopback=True)


@pytest.mark.parametrize("ip", ALLOWED)
def test_other_addresses_are_allowed(ip: str) -> None:
    assert allowed(ip)


@pytest.mark.parametrize(
    ("expected", "ip", "network"),
    [
        (True, "169.254.10.1", "169.254.10.0/24"),
        (True, "::ffff:169.254.10.1", "169.254.10.0/24"),
        (True, "169.254.10.1", "169.254.0.0/16"),
        (False, "169.254.10.1", "0.0.0.0/0"),
        (False, "169.254.10.1", "169.254.11.0/24"),
        (False, "169.254.169.254", "169.254.0.0/16"),
        (True, "169.254.169.254", "169.254.169.254/32"),
        (True, "127.0.0.1", "127.0.0.1/32"),
        (True, "127.0.0.1", "127.0.0.0/8"),
        (False, "127.0.0.1", "126.0.0.0/7"),
        (True, "fe80::1", "fe80::/64"),
        (False, "fe80::1", "::/0"),
        (False, "0.0.0.0", "0.0.0.0/32"),
        (False, "224.0.0.1", "224.0.0.1/32"),
    ],
)
def test_a_network_opens_only_what_it_names(expected: bool, ip: str, network: str) -> None:
    assert expected is allowed(ip, network)


def test_the_error_names_host_address_and_way_out() -> None:
    with pytest.raises(AddressNotAllowed, match=r"^api.example is at 127.0.0.1, a loopback .*-cidr"):
        AddressPolicy().check("127.0.0.1", "api.example")
    with pytest.raises(AddressNotAllowed, match=r"^127.0.0.1 a loopback"):
        AddressPolicy().check("127.0.0.1", "127.0.0.1")


@given(st.ip_addresses(v=4).map(str))
def test_an_ipv4_address_is_judged_alike_in_every_ipv6_dress(ip: str) -> None:
    for dress in (f"::ffff:{ip}", f"64:ff9b::{ip}"):
        assert allowed(ip) == allowed(dress)


# ── names ───────────────────────────────────────────────────────────────────────────────────────────


class Names:
    """A DNS to command: answers by host, and a gate that makes every lookup hang while it is shut."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str]] = {"api.example": ["10.0.0.1"]}
        self.asked: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.dead: set[str] = set()  # these hang although the gate is open
        self.end = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def lookup(self, host: str, *args: Any, **options: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        self.threads.add(threading.current_thread())
        self.gate.wait(30)
        if host in self.dead:
            self.end.wait(30)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (ip, 0) if "." in ip else (ip, 0, 0, 0)) for ip in self.answers[host]]


@pytest.fixture
def names() -> Iterator[Names]:
    names = Names()
    yield names
    names.end.set()
    names.gate.set()
    for thread in names.threads:
        thread.join(5)


async def resolve(resolver: Resolver, host: str = "api.example") -> list[str]:
    return [found["host"] for found in await resolver.resolve(host, 6443)]


async def test_a_name_becomes_its_addresses(names: Names) -> None:
    names.answers["api.example"] = ["10.0.0.1", "2001:db8::1", "10.0.0.1"]
    resolver = Resolver(AddressPolicy(), lookup=names.lookup)
    found = await resolver.resolve("api.example", 6443)
    assert [(one["host"], one["port"], one["family"]) for one in found] == [
        ("10.0.0.1", 6443, socket.AF_INET),
        ("2001:db8::1", 6443, socket.AF_INET6),
    ]


async def test_every_resolve_asks_anew(names: Names) -> None:
    resolver = Resolver(lookup=names.lookup)
    await resolve(resolver)
    names.answers["api.example"] = ["10.0.0.2"]
    assert await resolve(resolver) == ["10.0.0.2"]


async def test_addresses_that_are_not_allowed_are_left_out(names: Names) -> None:
    names.answers["api.example"] = ["169.254.169.254", "10.0.0.1", "::1"]
    assert await resolve(Resolver(AddressPolicy(), lookup=names.lookup)) == ["10.0.0.1"]


async def test_a_name_with_nothing_allowed_is_refused(names: Names) -> None:
    names.answers["api.example"] = ["169.254.169.254", "::1"]
    with pytest.raises(AddressNotAllowed, match="metadata"):
        await resolve(Resolver(AddressPolicy(), lookup=names.lookup))


async def test_the_last_good_address_is_judged_again_too(names: Names) -> None:
    names.answers["api.example"] = ["127.0.0.1"]
    resolver = Resolver(AddressPolicy(), lookup=names.lookup)
    for _ in range(2):
        with pytest.raises(AddressNotAllowed):
            await resolve(resolver)
        names.answers.clear()


@pytest.mark.parametrize("host", ["gone.example", "a" * 300, "x\x00y"])
async def test_a_name_without_addresses_fails(names: Names, host: str) -> None:
    with pytest.raises(NameResolutionFailed):
        await resolve(Resolver(lookup=names.lookup), host)


async def test_what_is_no_name_for_the_system_fails() -> None:
    with pytest.raises(NameResolutionFailed):
        await resolve(Resolver(), "a" * 100 + ".example")


async def test_the_last_good_address_serves_while_the_name_fails(names: Names) -> None:
    resolver = Resolver(lookup=names.lookup)
    await resolve(resolver)
    names.answers.clear()
    assert await resolve(resolver) == ["10.0.0.1"]


async def test_the_last_good_address_serves_while_the_dns_hangs(names: Names) -> None:
    resolver = Resolver(lookup=names.lookup, deadline=0.05)
    await resolve(resolver)
    names.gate.clear()
    assert await resolve(resolver) == ["10.0.0.1"]


async def test_with_a_good_address_a_dns_that_hangs_costs_half_a_second(names: Names) -> None:
    loop = asyncio.get_running_loop()
    resolver = Resolver(lookup=names.lookup)
    await resolve(resolver)
    names.gate.clear()
    started = loop.time()
    assert await resolve(resolver) == ["10.0.0.1"]
    assert loop.time() - started == pytest.approx(0.5, abs=0.3)


async def test_the_answer_that_was_late_replaces_the_last_good_one(names: Names) -> None:
    resolver = Resolver(lookup=names.lookup, deadline=0.05)
    await resolve(resolver)
    names.gate.clear()
    names.answers["api.example"] = ["10.0.0.2"]
    assert await resolve(resolver) == ["10.0.0.1"]
    assert resolver._flight is not None
    names.gate.set()
    await asyncio.wait([resolver._flight.done], timeout=5)
    names.answers.clear()
    assert await resolve(resolver) == ["10.0.0.2"]


async def test_a_dns_that_hangs_costs_the_deadline_and_one_thread(names: Names) -> None:
    names.gate.clear()
    resolver = Resolver(lookup=names.lookup, deadline=0.05)
    for _ in range(3):
        with pytest.raises(NameResolutionFailed, match=r"no answer within 0\.05 s"):
            await resolve(resolver)
    assert names.asked == ["api.example"]
    assert [thread.daemon for thread in names.threads] == [True]


async def test_an_answer_that_came_too_late_serves_the_next(names: Names) -> None:
    names.gate.clear()
    resolver = Resolver(lookup=names.lookup, deadline=0.05)
    with pytest.raises(NameResolutionFailed):
        await resolve(resolver)
    names.gate.set()
    late = Resolver(lookup=names.lookup)
    late._flight, late._good = resolver._flight, resolver._good
    assert await resolve(late) == ["10.0.0.1"]


async def test_those_who_ask_at_once_share_a_lookup(names: Names) -> None:
    resolver = Resolver(lookup=names.lookup)
    assert await asyncio.gather(*(resolve(resolver) for _ in range(5))) == [["10.0.0.1"]] * 5
    assert names.asked == ["api.example"]


async def test_two_names_are_looked_up_one_after_the_other(names: Names) -> None:
    names.answers["proxy.example"] = ["10.0.0.9"]
    resolver = Resolver(lookup=names.lookup)
    found = await asyncio.gather(resolve(resolver), resolve(resolver, "proxy.example"))
    assert found == [["10.0.0.1"], ["10.0.0.9"]]


async def test_one_who_gives_up_does_not_take_the_lookup_from_the_others(names: Names) -> None:
    names.gate.clear()
    resolver = Resolver(lookup=names.lookup)
    one, other = asyncio.ensure_future(resolve(resolver)), asyncio.ensure_future(resolve(resolver))
    await asyncio.sleep(0)
    one.cancel()
    names.gate.set()
    assert await other == ["10.0.0.1"]


async def test_with_49_of_50_names_hanging_the_50th_resolves(names: Names) -> None:
    resolvers = Resolvers(lookup=names.lookup)
    hosts = [f"c{number}.example" for number in range(50)]
    names.answers = {host: ["10.0.0.1"] for host in hosts}
    names.dead = set(hosts[:49])
    loop = asyncio.get_running_loop()
    started = loop.time()
    kept = [resolvers.of(host) for host in hosts]
    dead = [asyncio.ensure_future(resolve(*pair)) for pair in zip(kept[:49], hosts[:49], strict=True)]
    assert await resolve(kept[49], hosts[49]) == ["10.0.0.1"]
    assert loop.time() - started < 1.0
    outcomes = await asyncio.gather(*dead, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NameResolutionFailed] * 49
    assert 2.0 <= loop.time() - started < 3.0
    assert len(names.threads) == 50


async def test_connections_that_are_made_anew_share_a_lookup_that_hangs(names: Names) -> None:
    names.dead = {"api.example"}
    resolvers = Resolvers(lookup=names.lookup, deadline=0.02)
    for _ in range(5):
        with pytest.raises(NameResolutionFailed):
            await resolve(resolvers.of("api.example"))
        gc.collect()
    assert names.asked == ["api.example"]
    assert len(names.threads) == 1


async def test_the_last_good_address_outlives_the_connection_that_asked_for_it(names: Names) -> None:
    resolvers = Resolvers(lookup=names.lookup)
    present = resolvers.of("api.example")
    await resolve(present)
    await present.close()
    names.answers.clear()
    assert await resolve(resolvers.of("api.example")) == ["10.0.0.1"]


async def test_a_resolver_is_gone_with_the_last_who_uses_it(names: Names) -> None:
    resolvers = Resolvers(lookup=names.lookup)
    present = resolvers.of("api.example")
    await resolve(present)
    del present
    gc.collect()
    assert len(resolvers) == 0


def test_a_process_that_ends_waits_for_no_name() -> None:
    """Five names hang for ever; the transports are closed and the process ends at once, with a clean exit."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-W", "error", "-c", HANGING], check=True, timeout=30, stderr=subprocess.STDOUT)
    assert time.monotonic() - started < 10  # s; most of it is starting Python


HANGING = """
import asyncio, threading
from controller.kube.access import Access
from controller.kube.addresses import Resolver
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.credentials import StaticCredentials
from controller.kube.errors import ConnectionLost
from controller.kube.transport import Request
from tests.unit.kube.https import authority

def hang(*_, **__):
    threading.Event().wait()

async def main():
    access = Access(server="https://api.example:6443", certificate_authority=authority().cert_pem.bytes(), token="t")
    made = [AiohttpTransport(StaticCredentials(access), resolver=Resolver(lookup=hang)) for _ in range(5)]
    calls = [asyncio.ensure_future(one.request(Request(method="GET", path="/version"))) for one in made]
    while threading.active_count() < 6:
        await asyncio.sleep(0.01)
    for one in made:
        await one.close()
    outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
    assert all(isinstance(outcome, ConnectionLost) for outcome in outcomes), outcomes

asyncio.run(main())
"""


# ── in aiohttp ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://[::1]:9", "http://api.example:9"])
async def test_aiohttp_hands_the_refusal_on(names: Names, url: str) -> None:
    judge = AddressPolicy()
    names.answers["api.example"] = ["127.0.0.1", "::1"]

    def socket_factory(addr_info: aiohttp.AddrInfoType) -> socket.socket:
        judge.check(str(addr_info[4][0]), "api.example")
        raise AssertionError("a refused address must not get here")

    connector = aiohttp.TCPConnector(
        resolver=Resolver(judge, lookup=names.lookup), use_dns_cache=False, socket_factory=socket_factory
    )
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(AddressNotAllowed):
            await session.get(url)
