"""A process that does the least: for every status event of a datacenter elsewhere it patches one status here.

That status is as large as the controller's, because what a server does for a patch grows with the object.
Bare aiohttp and msgspec, one watch for each data plane, no cache, no comparison: what is left is what the servers take.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from tests.bench.child import answer

NAME: Final = "relay"
NAMESPACE: Final = "default"
LABEL: Final = "bench"


class _Status(msgspec.Struct):
    lastServerNodeStarted: str = ""


class _Datacenter(msgspec.Struct):
    status: _Status = msgspec.field(default_factory=_Status)


class _Line(msgspec.Struct):
    type: str
    object: _Datacenter


class _Access(msgspec.Struct):
    server: str
    authority: str
    token: str


def _session(access: _Access) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cadata=access.authority)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        headers={"Authorization": f"Bearer {access.token}"},
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=2**21,
    )


async def _relay(context: str, plane: _Access, control: aiohttp.ClientSession, target: str, opened: Any) -> None:
    decode = msgspec.json.Decoder(_Line).decode
    url = plane.server + CASSANDRA_DATACENTERS.path(NAMESPACE)
    query = {"watch": "true", "labelSelector": f"{LABEL}={NAME}"}
    said = ""
    async with _session(plane) as session, session.get(url, params=query) as response:
        opened.set()
        while line := await response.content.readline():
            started = decode(line).object.status.lastServerNodeStarted
            if started and started != said:
                said = started
                status = {"datacenters": {f"{NAME}-dc{context[-1]}": {"cassandra": {"lastServerNodeStarted": started}}}}
                async with control.patch(
                    target,
                    data=msgspec.json.encode({"status": status}),
                    headers={"Content-Type": "application/merge-patch+json"},
                ) as answered:
                    assert answered.status == 200, answered.status
                    await answered.read()


async def main() -> None:
    accesses = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=dict[str, _Access])
    own = accesses.pop("")
    target = own.server + K8SSANDRA_CLUSTERS.path(NAMESPACE, NAME, "status")
    async with _session(own) as control, asyncio.TaskGroup() as group:
        opened = [asyncio.Event() for _ in accesses]
        for (context, plane), event in zip(accesses.items(), opened, strict=True):
            group.create_task(_relay(context, plane, control, target, event))
        for event in opened:
            await event.wait()
        answer({})


if __name__ == "__main__":
    asyncio.run(main())
