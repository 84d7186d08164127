"""Another cluster behind the address of a data plane: what is there is not ours, whatever it looks like."""

from __future__ import annotations

from typing import Any

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.fleet.identity import ANNOTATION
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.credentials import Credentials
from controller.kube.resources import NAMESPACES
from controller.kube.transport import LineStream, Request, Response, Transport
from tests.integration.rig import CONTEXTS, Rig, eventually
from tests.servers import Server

FIRST, OTHER, LEFT = CONTEXTS


class Detours:
    """Leads requests for a context to another server, as its administrator, and notes what was written there."""

    def __init__(self, one: Rig) -> None:
        self.servers: dict[str, Server] = {}
        self.written: list[tuple[str, str]] = []
        self._ways: list[Detour] = []
        self._make = one.make_transport
        self._by_url = {one.url(context): context for context in CONTEXTS}
        one.make_transport = self._make_transport  # type: ignore[method-assign]

    async def lead(self, context: str, server: Server | None) -> None:
        """From now on; None is the way back. Open streams end."""
        if server is None:
            del self.servers[context]
        else:
            self.servers[context] = server
        for way in self._ways:
            if way.context == context:
                await way.turn()

    def _make_transport(self, credentials: Credentials, *, remote: bool) -> Transport:
        context = self._by_url.get(credentials.access.server, "")
        way = Detour(self, context, lambda: self._make(credentials, remote=remote))
        self._ways.append(way)
        return way


class Detour:
    """The way to one context's server, or to the one that is in its place."""

    def __init__(self, detours: Detours, context: str, make: Any) -> None:
        self.context = context
        self._detours = detours
        self._make = make
        self._inner: Transport = make()
        self._closed = False

    async def turn(self) -> None:
        former, server = self._inner, self._detours.servers.get(self.context)
        if not self._closed:
            self._inner = self._make() if server is None else server.transport()
            await former.close()

    async def request(self, request: Request) -> Response:
        if self.context in self._detours.servers and request.method != "GET":
            self._detours.written.append((request.method, request.path))
        return await self._inner.request(request)

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        return await self._inner.stream(request, silence=silence)

    async def close(self) -> None:
        self._closed = True
        await self._inner.close()


async def datacenter(one: Rig, name: str, context: str) -> dict[str, Any]:
    found = await one.get(CASSANDRA_DATACENTERS, name, context)
    assert found is not None
    return found


async def uid(one: Rig, context: str) -> str:
    return (await one.client(context).get(NAMESPACES, "", "kube-system")).head.uid


async def test_a_cluster_in_the_place_of_another_loses_nothing_when_everything_is_deleted(one: Rig) -> None:
    detours = Detours(one)
    await one.start()
    wanted = one.sample()
    entries = wanted["spec"]["cassandra"]["datacenters"]
    entries[:] = [entry for entry in entries if entry["k8sContext"] != OTHER]
    await one.apply(wanted)
    await one.ready()
    ours = await datacenter(one, "dc3", LEFT)
    kept = ("name", "labels", "annotations", "finalizers")
    alike = {**ours, "metadata": {key: ours["metadata"][key] for key in kept}}
    alike.pop("status")
    await one.client(OTHER).create(CASSANDRA_DATACENTERS, one.namespace, alike)

    await detours.lead(LEFT, one.servers[OTHER])
    found = await one.client().get(K8SSANDRA_CLUSTERS, one.namespace, "demo")
    await one.client().delete(K8SSANDRA_CLUSTERS, one.namespace, "demo", uid=found.head.uid)

    async def is_noticed() -> bool:
        return await one.reason(LEFT) == "IdentityChanged"

    await eventually(is_noticed, "the other cluster is noticed")
    message = (await one.condition(CLIENT_CONFIGS, LEFT))["message"]
    assert await uid(one, LEFT) in message
    assert await uid(one, OTHER) in message

    async def others_are_gone() -> bool:
        return await one.names(CASSANDRA_DATACENTERS, FIRST) == []

    await eventually(others_are_gone, "what is in good clusters is deleted")
    assert detours.written == []
    assert "dc3" in await one.names(CASSANDRA_DATACENTERS, OTHER)
    left = await one.get(K8SSANDRA_CLUSTERS, "demo")
    assert left is not None
    assert labels.FINALIZER in left["metadata"]["finalizers"]
    assert "dc3" in await one.names(CASSANDRA_DATACENTERS, LEFT)

    await detours.lead(LEFT, None)

    async def is_gone() -> bool:
        return await one.get(K8SSANDRA_CLUSTERS, "demo") is None

    await eventually(is_gone, "with the right cluster back everything is deleted")
    assert await one.names(CASSANDRA_DATACENTERS, LEFT) == []
    assert await one.names(CASSANDRA_DATACENTERS, OTHER) == ["dc3"]


async def test_the_identity_is_pinned_with_the_rights_of_the_manifests(one: Rig) -> None:
    await one.start()

    async def are_connected() -> bool:
        return [await one.reason(context) for context in CONTEXTS] == ["Connected"] * 3

    await eventually(are_connected, "everything is connected")
    for context in CONTEXTS:
        config = await one.get(CLIENT_CONFIGS, context)
        assert config is not None
        assert config["metadata"]["annotations"][ANNOTATION] == await uid(one, context)
        assert "IdentityUnverified" not in (await one.condition(CLIENT_CONFIGS, context))["message"]
