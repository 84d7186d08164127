"""Host names among the additional seeds: resolved again and again, beside every reconcile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec

from controller.cassandra.seeds import host_names, usable_addresses
from controller.cassandra.snapshot import SeedName
from controller.cassandra.types import K8ssandraCluster
from controller.kube.addresses import Resolver, Resolvers
from controller.kube.errors import KubeError

Resolve: TypeAlias = Callable[[str], Awaitable[list[str]]]
"""A host name to its addresses; raises ``KubeError``. Bounded in time."""
Owner: TypeAlias = tuple[str, str]  # namespace and name of a K8ssandraCluster

REFRESH: Final = 30.0  # s; what a record in a cluster's DNS lasts by default, and what Java remembers a name for
RETRY: Final = 5.0  # s until a name that was never resolved is tried again
AT_ONCE: Final = 8  # names


class _Name(msgspec.Struct):
    wanted_by: dict[str, Owner]  # by UID
    due: float  # loop time
    addresses: tuple[str, ...] | None = None
    error: str = ""


class SeedNames:
    """Addresses of host names, for all who name them. The last good ones stay when a name cannot be resolved again."""

    def __init__(self, resolve: Resolve, on_change: Callable[[str, str], None]) -> None:
        """``on_change`` gets the namespace and name of each K8ssandraCluster that something is new for."""
        self._resolve = resolve
        self._on_change = on_change
        self._names: dict[str, _Name] = {}
        self._news = asyncio.Event()

    def look(self, cluster: K8ssandraCluster) -> tuple[SeedName, ...]:
        """What is known of the names in a specification; from now on they are followed, and no others for it."""
        uid, wanted = cluster.metadata.uid, host_names(cluster)
        if wanted:
            now = asyncio.get_running_loop().time()
            for name in wanted:
                if name not in self._names:
                    self._names[name] = _Name({}, now)
                    self._news.set()
                self._names[name].wanted_by[uid] = (cluster.namespace, cluster.name)
        if self._names:
            self._let_go(uid, frozenset(wanted))
        return tuple(SeedName(name, self._names[name].addresses, self._names[name].error) for name in wanted)

    def forget(self, uid: str) -> None:
        """The K8ssandraCluster is gone."""
        self._let_go(uid, frozenset())

    async def run(self) -> None:
        """Resolve what is due, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            due = [name for name, entry in self._names.items() if entry.due <= loop.time()]
            for start in range(0, len(due), AT_ONCE):
                await asyncio.gather(*(self._refresh(name) for name in due[start : start + AT_ONCE]))
            if any(entry.due <= loop.time() for entry in self._names.values()):
                continue
            wait = min((entry.due for entry in self._names.values()), default=None)
            try:
                async with asyncio.timeout_at(wait):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _refresh(self, name: str) -> None:
        if (entry := self._names.get(name)) is None:
            return
        before = (entry.addresses, entry.error)
        try:
            usable = usable_addresses(await self._resolve(name))
            if usable:
                entry.addresses, entry.error = tuple(str(address) for address in usable), ""
            else:
                entry.error = "it has no address that a seed can have"
        except KubeError as error:
            entry.error = str(error)
        entry.due = asyncio.get_running_loop().time() + (RETRY if entry.addresses is None else REFRESH)
        if (entry.addresses, entry.error) != before:
            for namespace, owner in list(entry.wanted_by.values()):
                self._on_change(namespace, owner)

    def _let_go(self, uid: str, wanted: frozenset[str]) -> None:
        for name in [name for name, entry in self._names.items() if uid in entry.wanted_by and name not in wanted]:
            del self._names[name].wanted_by[uid]
            if not self._names[name].wanted_by:
                del self._names[name]


def system_resolve() -> Resolve:
    """By this machine's DNS, each name in at most two seconds, and with at most one thread."""
    resolvers = Resolvers()
    kept: dict[str, Resolver] = {}  # of lookups under way

    async def resolve(name: str) -> list[str]:
        resolver = kept[name] = resolvers.of(name)
        try:
            return [found["host"] for found in await resolver.resolve(name)]
        finally:
            kept.pop(name, None)

    return resolve
