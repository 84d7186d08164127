"""Credentials and addresses that change, Secrets that vanish, and a cluster that is suddenly another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final, cast

import msgspec
import trustme

from controller.kube.access import Access
from controller.sandbox.apiserver import ApiServer, serve
from controller.sandbox.crds import data_plane_crds
from tests import manifests
from tests.bench import stage
from tests.bench.report import Figure
from tests.remotes.events import Shown, events
from tests.remotes.fleet import NAMESPACE, Fleet, Plane, datacenters, fleet, names, shows_size
from tests.remotes.process import RunningController
from tests.remotes.proxy import Proxy
from tests.remotes.seen import tokens, watches, writes
from tests.remotes.verdicts import Findings, at_most

WITHIN: Final = 35.0  # s
SETTLE: Final = 3.0  # s after a rotation in which a watch that it ended would be opened again
OBSERVED: Final = 6.0  # s in which a cluster that is not the one it was must not be written to


async def rotation(found: Findings, *, quick: bool) -> None:
    """Each kind of change on a cluster of its own."""
    contexts = names(5)
    rotated, moved, signed, gone, exchanged = contexts
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(fleet(contexts))
        for context in contexts:
            await world.register(context)
            await world.create(f"{context}-k", context)
        running = await stack.enter_async_context(world.controller())
        await stack.enter_async_context(world.operated(contexts))
        await running.ready(within=WITHIN)
        await world.connected(contexts)
        await world.ready([f"{context}-k" for context in contexts])
        rounds = 1 if quick else 3
        parts = {
            "a new token": _tokens(world, rotated, 2 if quick else 5),
            "a bad token": _bad_token(world, rotated),
            "another address": _moves(world, running, moved, stack, rounds),
            "another CA": _authority(world, running, signed, stack),
            "another cluster": _exchange(world, exchanged, stack),
            "no Secret": _vanish(world, gone),
        }
        for name, part in parts.items():
            await found.measure(name, part)


# ── tokens ──────────────────────────────────────────────────────────────────────────────────────────


async def _tokens(world: Fleet, context: str, rounds: int) -> list[Figure]:
    plane = world.planes[context]
    used: list[float] = []
    before = watches(plane.server)
    with tokens(plane.server) as first_use:
        async with events(world, context, f"{context}-k-dc1") as shown:
            for _ in range(rounds):
                token = await plane.new_token()
                changed = await world.rewrite(context, msgspec.structs.replace(plane.access, token=token))
                await stage.until(_holds(lambda token=token: token in first_use), "the new token is in use")  # type: ignore[misc]
                used.append(first_use[token] - changed)
                plane.token = token
            await asyncio.sleep(SETTLE)
    group = f"a new token in the Secret, {rounds} times"
    dropped = float(watches(plane.server) - before)
    return [
        at_most(group, "G13 in use after", used, 2),
        at_most(group, "G13 watches that were dropped", (dropped,), 0, ""),
        *_of_events(group, shown),
    ]


async def _bad_token(world: Fleet, context: str) -> list[Figure]:
    plane = world.planes[context]
    before = watches(plane.server)
    async with events(world, context, f"{context}-k-dc1") as shown:
        bad = msgspec.structs.replace(plane.access, token="expired")
        changed = await world.rewrite(context, bad)
        said = await world.said(context, changed, "True", WITHIN, "RotationFailed")
        await asyncio.sleep(SETTLE)
        changed = await world.rewrite(context, plane.access)
        over = await world.said(context, changed, "True", WITHIN, "Connected")
    group = "a new token that the server refuses"
    return [
        at_most(group, "RotationFailed is said after", (said,), 5),
        at_most(group, "watches that were dropped", (float(watches(plane.server) - before),), 0, ""),
        at_most(group, "Connected again with the right one after", (over,), 5),
        *_of_events(group, shown),
    ]


# ── addresses and authorities ───────────────────────────────────────────────────────────────────────


async def _moves(
    world: Fleet, running: RunningController, context: str, stack: AsyncExitStack, rounds: int
) -> list[Figure]:
    plane = world.planes[context]
    found = []
    for _ in range(rounds):
        former = plane.proxy
        way = Proxy("https://{}:{}".format(*former.target))
        stack.push_async_callback(way.close)
        plane.proxy = way
        found.append(await _swap(world, running, plane, former, plane.access))
    return _of_swaps("another address of the same cluster", found)


async def _authority(world: Fleet, running: RunningController, context: str, stack: AsyncExitStack) -> list[Figure]:
    """The same cluster behind another certificate of another CA, at another address."""
    plane = world.planes[context]
    former, other = plane.proxy, cast(ApiServer, _Signed(plane.server, trustme.CA()))
    endpoint = await stack.enter_async_context(serve(other))
    plane.proxy = Proxy(endpoint.url)
    stack.push_async_callback(plane.proxy.close)
    access = msgspec.structs.replace(plane.access, certificate_authority=endpoint.ca_pem)
    return _of_swaps("another CA and certificate", [await _swap(world, running, plane, former, access)])


class _Signed:
    """A server that shows another CA's certificate."""

    def __init__(self, server: ApiServer, authority: trustme.CA) -> None:
        self._server = server
        self.authority = authority
        self.ca_pem = authority.cert_pem.bytes()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)


class _Swap(msgspec.Struct):
    """One change of the connection. ``relists``: the most of any watch; ``closed``: s until the old way was empty."""

    closed: float
    relists: float
    flips: int
    shown: Shown


async def _swap(world: Fleet, running: RunningController, plane: Plane, former: Proxy, access: Access) -> _Swap:
    loop = asyncio.get_running_loop()
    context = plane.context
    before, begun = await _relists(running, context), loop.time()
    async with events(world, context, f"{context}-k-dc1") as shown:
        changed = await world.rewrite(context, access)
        await stage.until(_holds(lambda: former.open == 0), "the old connections are closed", WITHIN)
        closed = loop.time() - changed
        await asyncio.sleep(SETTLE)
    after = await _relists(running, context)
    most = max((after[resource] - before.get(resource, 0) for resource in after), default=0.0)
    return _Swap(closed, most, world.flips(context, begun), shown)


def _of_swaps(group: str, found: list[_Swap]) -> list[Figure]:
    merged = Shown([s for each in found for s in each.shown.seconds], sum(each.shown.lost for each in found))
    return [
        at_most(group, "G14 old sockets are closed after", (each.closed for each in found), 30),
        at_most(group, "G14 re-lists of a watch, the most", (each.relists for each in found), 1, ""),
        at_most(group, "condition changes", (float(each.flips) for each in found), 0, ""),
        *_of_events(group, merged),
    ]


# ── Secrets that vanish, clusters that are others ───────────────────────────────────────────────────


async def _vanish(world: Fleet, context: str) -> list[Figure]:
    plane, loop = world.planes[context], asyncio.get_running_loop()
    before = writes(plane.server)
    deleted = await world.remove(context, config=False)
    said = await world.said(context, deleted, "False", WITHIN, "SecretNotFound")
    await stage.until(_holds(lambda: plane.proxy.open == 0), "no connection is left", WITHIN)
    closed = loop.time() - deleted
    await asyncio.sleep(SETTLE)
    group = "the Secret is deleted"
    return [
        at_most(group, "SecretNotFound is said after", (said,), 5),
        at_most(group, "disconnected after", (closed,), 5),
        at_most(group, "writes there afterwards", (float(writes(plane.server) - before),), 0, ""),
    ]


async def _exchange(world: Fleet, context: str, stack: AsyncExitStack) -> list[Figure]:
    """The address leads to another cluster, which knows the certificate and the token: only its identity differs."""
    plane, loop = world.planes[context], asyncio.get_running_loop()
    other = Plane(context, ApiServer(name="other", rbac=True, authority=plane.server.authority), plane.proxy)
    stack.push_async_callback(other.client.close)
    await other.prepare(manifests.data_plane(NAMESPACE), data_plane_crds())
    other.server.accounts.admin_token = plane.token
    endpoint = await stack.enter_async_context(serve(other.server))
    before = writes(other.server)
    right = plane.proxy.target
    begun = loop.time()
    plane.proxy.target = _target(endpoint.url)
    plane.proxy.cut()
    said = await world.said(context, begun, "False", WITHIN, "IdentityChanged")
    await world.resize(f"{context}-k", 7)
    await asyncio.sleep(OBSERVED)
    written = writes(other.server) - before
    async with datacenters(plane) as history:
        back = loop.time()
        plane.proxy.target = right
        plane.proxy.cut()
        over = await world.said(context, back, "True", WITHIN, "Connected")
        wanted = shows_size(7, f"{context}-k-dc1")
        first = await history.first(wanted, since=back, within=WITHIN, what="the waiting change is written")
    group = "the address leads to another cluster"
    return [
        at_most(group, "G21 IdentityChanged is said after", (said,), 13),
        at_most(group, "G21 writes to the other cluster", (float(written),), 0, ""),
        at_most(group, "back at the right one: Connected after", (over,), 13),
        at_most(group, "back at the right one: the waiting change is written after", (first.at - back,), 15),
    ]


# ── what was noticed ────────────────────────────────────────────────────────────────────────────────


async def _relists(running: RunningController, context: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for labels, value in await running.samples("relists_total"):
        if labels["context"] == context:
            found[labels["resource"]] = found.get(labels["resource"], 0) + value
    return found


def _of_events(group: str, shown: Shown) -> list[Figure]:
    return [
        at_most(group, "events that were lost", (float(shown.lost),), 0, "", f"of {len(shown.seconds)}"),
        at_most(group, "an event is shown after, at most", (shown.longest,), None),
    ]


def _holds(condition: Callable[[], bool]) -> Callable[[], Any]:
    async def holds() -> bool:
        return condition()

    return holds


def _target(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("https://").rpartition(":")
    return host, int(port)
