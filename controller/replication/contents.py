"""Contents of the Secrets to be copied: read when they are needed, once for all contexts that need them together."""

from __future__ import annotations

import asyncio
from typing import Final

from controller.fleet.cluster import Cluster
from controller.kube.objects import Object
from controller.kube.resources import SECRETS

HOLD: Final = 5.0  # s for which a content stays in memory: the passes of other contexts are under way


class Contents:
    """Whole Secrets of the control plane, of which the caches hold the heads only."""

    def __init__(self, local: Cluster) -> None:
        self._local = local
        self._reads: dict[tuple[str, str], asyncio.Future[Object]] = {}  # by UID and version of the head

    async def get(self, source: Object) -> Object:
        """The Secret whose head the cache shows, at that version or a later one. Raises what the client raises."""
        key = (source.head.uid, source.head.resource_version)
        while (read := self._reads.get(key)) is not None:
            if read.done():
                return read.result()
            await asyncio.wait([read])  # when it fails, one of those who wait tries for itself
        loop = asyncio.get_running_loop()
        read = self._reads[key] = loop.create_future()
        try:
            whole = await self._local.client.get(SECRETS, source.head.namespace, source.head.name)
        except BaseException:
            del self._reads[key]
            read.cancel()
            raise
        self._hold(key, read, whole)
        return whole

    def keep(self, written: Object) -> None:
        """A Secret of the control plane as the answer to our own write shows it: it need not be read at once."""
        key = (written.head.uid, written.head.resource_version)
        if key not in self._reads:
            read = self._reads[key] = asyncio.get_running_loop().create_future()
            self._hold(key, read, written)

    def _hold(self, key: tuple[str, str], read: asyncio.Future[Object], whole: Object) -> None:
        read.set_result(whole)
        asyncio.get_running_loop().call_later(HOLD, self._reads.pop, key, None)
