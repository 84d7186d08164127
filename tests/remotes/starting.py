"""Starting with clusters that are dead, and with ClientConfigs that cannot be used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Final

from controller.fleet.proof import render_kubeconfig
from controller.kube.access import Access
from controller.kube.resources import EVENTS, SECRETS
from controller.sandbox.world import ACCOUNT
from tests.bench.report import Figure
from tests.remotes.fleet import NAMESPACE, Fleet, datacenters, fleet, names, secret
from tests.remotes.proxy import Proxy
from tests.remotes.verdicts import Findings, at_most
from tests.remotes.watching import history

WITHIN: Final = 60.0  # s
LIFETIME: Final = 600  # s, of a token
LATE: Final = 500  # s of it that are over
WAYS_TO_BE_DEAD: Final[Sequence[Callable[[Proxy], None]]] = (
    Proxy.refuse,
    Proxy.black_hole,
    Proxy.freeze,
    Proxy.reset,
)


async def start(found: Findings, *, quick: bool) -> None:
    """Bad ClientConfigs among good ones; 49 dead clusters of 50; a token that ends soon."""
    rounds = 1 if quick else 3
    await found.measure("bad ClientConfigs", _bad(rounds))
    await found.measure("49 of 50 dead", _nearly_all_dead(rounds))
    await found.measure("credentials that end", _ending())


# ── bad ClientConfigs ───────────────────────────────────────────────────────────────────────────────


async def _bad(rounds: int) -> list[Figure]:
    good = names(3, "good")
    ready: list[float] = []
    said: list[float] = []
    connected: list[float] = []
    flips = 0
    async with fleet(good) as world:
        for context in good:
            await world.register(context)
        reasons = await _make_bad(world, world.planes[good[0]].access)
        for number in range(rounds):
            async with world.controller() as running:
                ready.append(await running.ready(within=WITHIN))
                if number == 0:  # later rounds find the conditions as they are, and write nothing
                    for context, reason in reasons.items():
                        said.append(await world.said(context, running.started, "False", WITHIN, reason))
                    for context in good:
                        connected.append(await world.said(context, running.started, "True", WITHIN))
                else:
                    await world.connected(good, WITHIN)
                await asyncio.sleep(4)
                flips += sum(world.flips(context, running.started) for context in (*good, *reasons))
                assert not running.exited
    group = f"start with {len(reasons)} bad ClientConfigs beside {len(good)} good ones"
    return [
        at_most(group, "/readyz after the start of the process", ready, 5),
        at_most(group, "G7 each says its own reason, after the start", said, 2, note="with Python's own start"),
        at_most(group, "G7 the good ones are connected, after the start", connected, 5),
        at_most(group, "G7 exits, restarts, condition changes", (float(flips),), 0, ""),
    ]


async def _make_bad(world: Fleet, good: Access) -> Mapping[str, str]:
    """ClientConfigs that cannot be used, and the reason that each has to say."""
    kubeconfig = render_kubeconfig(good, "elsewhere", ACCOUNT)
    content: dict[str, tuple[dict[str, bytes] | None, str]] = {
        "no-secret": (None, "SecretNotFound"),
        "no-key": ({"config": kubeconfig}, "SecretKeyMissing"),
        "no-yaml": ({"kubeconfig": b"clusters: ["}, "KubeconfigMalformed"),
        "no-context": ({"kubeconfig": kubeconfig}, "ContextNotFound"),
        "a-program": (
            {"kubeconfig": kubeconfig.replace(b"elsewhere", b"a-program").replace(b"token:", b"tokenFile:")},
            "InsecureKubeconfig",
        ),
    }
    for name, (data, _) in content.items():
        if data is not None:
            await world.control.client.create(SECRETS, NAMESPACE, secret(name, data))
        await world.configure(name)
    return {name: reason for name, (_, reason) in content.items()}


# ── dead clusters ───────────────────────────────────────────────────────────────────────────────────


async def _nearly_all_dead(rounds: int) -> list[Figure]:
    (alive,) = names(1, "alive")
    dead = names(49, "dead")
    ready: list[float] = []
    connected: list[float] = []
    written: list[float] = []
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(fleet([alive]))
        await world.register(alive)
        await bury(world, dead, stack)
        for number in range(rounds):
            made = await stack.enter_async_context(datacenters(world.planes[alive]))
            await world.create(f"first-{number}", alive)
            async with world.controller() as running:
                ready.append(await running.ready(within=WITHIN))
                seen = await made.first(
                    lambda event, name=f"first-{number}-dc1": event.name == name,
                    since=running.started,
                    within=WITHIN,
                    what="the cluster that is alive gets its datacenter",
                )
                written.append(seen.at - running.started)
                if number == 0:
                    connected.append(await world.said(alive, running.started, "True", WITHIN))
    group = "start with 49 of 50 clusters dead"
    return [
        at_most(group, "G6 /readyz after the start of the process", ready, 5),
        at_most(group, "G6 the healthy one is connected", connected, 5),
        at_most(group, "G6 the healthy one gets its first datacenter", written, 5),
    ]


async def bury(world: Fleet, contexts: Sequence[str], stack: AsyncExitStack) -> None:
    """ClientConfigs that lead to addresses where nothing lives, in every way of not living in turn."""
    authority, token = world.control.server.ca_pem, world.control.token
    for context, die in zip(contexts, cycle(WAYS_TO_BE_DEAD), strict=False):
        way = Proxy(world.control.proxy.url)
        stack.push_async_callback(way.close)
        die(way)
        await world.register(context, Access(server=way.url, certificate_authority=authority, token=token))


# ── credentials that end ────────────────────────────────────────────────────────────────────────────


class _Late:
    """A clock that is behind: the tokens of a server that goes by it have less of their life left."""

    def now(self) -> datetime:
        return datetime.now(UTC) - timedelta(seconds=LATE)


async def _ending() -> list[Figure]:
    """The token has a sixth of its life left, which is less than the fifth at which people are warned."""
    (context,) = names(1, "ending")
    async with fleet([context], _Late()) as world:
        plane = world.planes[context]
        plane.token = await plane.new_token(LIFETIME)
        ends = datetime.now(UTC) + timedelta(seconds=LIFETIME - LATE)
        await world.register(context)
        async with history(world.control.server, EVENTS) as said, world.controller() as running:
            warned = await said.first(
                lambda event: event.object["reason"] == "CredentialsExpireSoon",
                since=running.started,
                within=WITHIN,
                what="the end of the credentials is announced",
            )
            shown = await world.configs.first(
                lambda event: bool((event.object.get("status") or {}).get("credentialsExpireAt")),
                since=running.started,
                within=WITHIN,
                what="status.credentialsExpireAt",
            )
            metric = await running.total("remote_cluster_credentials_expiry_timestamp_seconds", context=context)
    end = datetime.fromisoformat(shown.object["status"]["credentialsExpireAt"])
    group = f"a token with {LIFETIME - LATE} of its {LIFETIME} s left"
    return [
        at_most(group, "G22 a Warning event says so, after the start", (warned.at - running.started,), 5),
        at_most(group, "G22 status.credentialsExpireAt is wrong by", (abs((end - ends).total_seconds()),), 2),
        at_most(group, "G22 the metric is wrong by", (abs(metric - ends.timestamp()),), 2),
    ]
