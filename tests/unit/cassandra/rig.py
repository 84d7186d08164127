"""The whole controller in this process, on virtual time: one control plane and data planes without sockets."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final, NamedTuple

import msgspec
import yaml

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.definitions import definitions
from controller.engine.clock import Clock, SystemClock
from controller.kube import errors
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.conditions import find
from controller.kube.credentials import Credentials, StaticCredentials
from controller.kube.resources import EVENTS, Resource
from controller.kube.transport import LineStream, Request, Response
from controller.sandbox.apiserver import ApiServer, InProcessTransport, Link
from controller.sandbox.cass_operator import CassOperator
from controller.sandbox.crds import data_plane_crds
from controller.settings import Settings
from controller.supervisor import Controller
from tests.unit.cassandra.samples import datacenter, manifest

NAMESPACE: Final = "ns"
CONTEXTS: Final = ("kind-dc1", "kind-dc2")
READY_AFTER: Final = 5.0  # s of virtual time that a datacenter takes
DEADLINE: Final = 300.0  # s of virtual time for anything to become true


class Seen(NamedTuple):
    """One request of the controller; ``body`` is the JSON that it carried, None for none.

    ``look``: the connection's owner looks at its cluster.
    """

    context: str
    method: str
    path: str
    status: int
    body: Any
    look: bool = False

    @property
    def writes(self) -> bool:
        return self.method != "GET"


class _Recording:
    """The way to whatever server is behind a context's address at the moment, as ``credentials``."""

    def __init__(self, rig: Rig, credentials: Credentials, context: str) -> None:
        self._rig = rig
        self._credentials = credentials
        self._context = context
        self._made: dict[ApiServer, InProcessTransport] = {}

    @property
    def _inner(self) -> InProcessTransport:
        server = self._rig.servers[self._context]
        if server not in self._made:
            link = self._rig.links[self._context]
            self._made[server] = InProcessTransport(server, self._credentials.bearer(), link=link)
        return self._made[server]

    async def request(self, request: Request) -> Response:
        response = await self._inner.request(request)
        body = msgspec.json.decode(request.body) if request.body else None
        look = request.path.endswith(("/version", "/kube-system")) or ("limit", "1") in request.query
        seen = Seen(self._context, request.method, request.path, response.status, body, look)
        self._rig.seen.append(seen)
        await self._rig.on_answer(seen)
        return response

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        return await self._inner.stream(request, silence=silence)

    async def close(self) -> None:
        for made in self._made.values():
            await made.close()


class Rig:
    """Servers by context ("" is the control plane), the way to each, and a controller that can be killed."""

    def __init__(self, contexts: tuple[str, ...], crds: list[dict[str, Any]] | None) -> None:
        self.contexts = contexts
        self.servers: dict[str, ApiServer] = {}
        self.dns: dict[str, list[str]] = {}  # addresses by host name; others cannot be resolved
        self.links = {context: Link() for context in ("", *contexts)}
        self.seen: list[Seen] = []
        self.controller: Controller | None = None
        self.clock: Clock = SystemClock()  # the controller's
        self.kill_after = 0  # writes of the controller after which it dies; 0 for never
        self.killed = asyncio.Event()
        self._urls: dict[str, str] = {}
        self.options: dict[str, Any] = {"metrics_address": "", "health_address": ""}
        self._task: asyncio.Task[None] | None = None
        for number, context in enumerate(("", *contexts)):
            self._urls[f"https://10.9.0.{number + 1}:6443"] = context
            found = (crds or list(definitions().values())) if not context else data_plane_crds()
            self.servers[context] = _server(context, number, found)
        for context in contexts:
            self.register(context)

    def register(self, context: str, server: str | None = None) -> None:
        """A ClientConfig and its Secret for a context; ``server``: that of another context, if it leads there."""
        access = self._access(context if server is None else server)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "clusters": [
                {
                    "name": "c",
                    "cluster": {
                        "server": access.server,
                        "certificate-authority-data": base64.b64encode(access.certificate_authority).decode(),
                    },
                }
            ],
            "users": [{"name": "u", "user": {"token": access.token}}],
            "contexts": [{"name": context, "context": {"cluster": "c", "user": "u"}}],
        }
        data = {"kubeconfig": base64.b64encode(yaml.safe_dump(config).encode()).decode()}
        meta = {"name": context, "namespace": NAMESPACE}
        spec = {"contextName": context, "kubeConfigSecret": {"name": context}}
        control = self.servers[""]
        control.apply_manifest({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
        control.apply_manifest(
            {"apiVersion": "config.k8ssandra.io/v1beta1", "kind": "ClientConfig", "metadata": meta, "spec": spec}
        )

    def replace(self, context: str) -> ApiServer:
        """Put another, empty cluster behind a context's address, which knows the same token; returns the former."""
        former = self.servers[context]
        other = self.servers[context] = _server(f"another {context}", 100 + len(self.servers), data_plane_crds())
        other.accounts.admin_token = former.admin_token
        return former

    # ── the controller ──────────────────────────────────────────────────────────────────────────────

    def start(self) -> Controller:
        def make_transport(credentials: Credentials, *, remote: bool) -> _Recording:
            return _Recording(self, credentials, self._urls[credentials.access.server])

        self.controller = Controller(
            Settings(**self.options),
            StaticCredentials(self._access("")),
            make_transport,
            rng=Random(7),
            clock=self.clock,
            make_password=lambda: "not-so-secret",
            resolve=self._resolve,
        )
        self._task = asyncio.create_task(self.controller.run(), name="controller")
        return self.controller

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def on_answer(self, seen: Seen) -> None:
        """Die with the answer to a write in the hand, when it is time for that."""
        if self.kill_after and seen.writes and not seen.path.endswith("/events"):
            self.kill_after -= 1
            if not self.kill_after:
                self.killed.set()
                await asyncio.get_running_loop().create_future()

    def requests(self, since: int = 0) -> list[Seen]:
        """Requests of the controller, without events and looks."""
        quiet = ("/events", "/apis/cassandra.datastax.com/v1beta1")
        return [
            seen
            for seen in self.seen[since:]
            if not seen.look and not seen.path.endswith(quiet) and "/proxy/" not in seen.path
        ]

    def writes(self, since: int = 0) -> list[Seen]:
        return [seen for seen in self.requests(since) if seen.writes]

    def created(self) -> Counter[tuple[str, str]]:
        """How often each object was created, by context and path."""
        return Counter(
            (seen.context, f"{seen.path.rpartition('/')[2]}/{seen.body['metadata']['name']}")
            for seen in self.writes()
            if seen.method == "POST" and seen.status == 201
        )

    # ── the world ───────────────────────────────────────────────────────────────────────────────────

    def client(self, context: str = "") -> Client:
        """An administrator's client, whose requests are not counted and which no fault hinders."""
        server = self.servers[context]
        return Client(InProcessTransport(server, server.admin_token))

    @asynccontextmanager
    async def operating(self, *contexts: str) -> AsyncIterator[None]:
        """With a simulated cass-operator in each of these clusters."""
        tasks = []
        for number, context in enumerate(contexts, 1):
            client = self.client(context)
            operator = CassOperator(
                client, rng=Random(3), clock=SystemClock(), ready_after=READY_AFTER, number=number + 100 * (not context)
            )
            tasks.append(asyncio.create_task(operator.run()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def apply(self, obj: Mapping[str, Any], context: str = "") -> dict[str, Any]:
        return self.servers[context].apply_manifest(dict(obj))

    def demo(self, **cassandra: Any) -> dict[str, Any]:
        """Two datacenters of one node each."""
        found = manifest(*(datacenter(name, size=1) for name in ("dc1", "dc2")), **cassandra)
        for key in ("uid", "generation"):
            del found["metadata"][key]
        return found

    async def get(self, resource: Resource, name: str, context: str = "", namespace: str = NAMESPACE) -> dict[str, Any]:
        """The object, {} when there is none."""
        try:
            return (await self.client(context).get(resource, namespace, name)).decode(dict)
        except errors.NotFound:
            return {}

    async def names(self, resource: Resource, context: str = "", namespace: str = NAMESPACE) -> list[str]:
        return [obj.head.name for obj in await self.client(context).list_all(resource, namespace)]

    async def delete(self, resource: Resource, name: str, context: str = "") -> None:
        found = await self.client(context).get(resource, NAMESPACE, name)
        await self.client(context).delete(resource, NAMESPACE, name, uid=found.head.uid)

    async def patch(
        self, resource: Resource, name: str, patch: dict[str, Any], context: str = "", sub: str = ""
    ) -> None:
        await self.client(context).patch(resource, NAMESPACE, name, patch, kind="merge", subresource=sub)

    async def condition(
        self, kind: str = "Ready", name: str = "demo", resource: Resource = K8SSANDRA_CLUSTERS
    ) -> dict[str, Any]:
        found = await self.get(resource, name)
        return find((found.get("status") or {}).get("conditions"), kind)

    async def is_ready(self, name: str = "demo") -> bool:
        found = await self.get(K8SSANDRA_CLUSTERS, name)
        ready = find((found.get("status") or {}).get("conditions"), "Ready")
        return (
            ready.get("status") == "True" and found["status"]["observedGeneration"] == found["metadata"]["generation"]
        )

    async def ready(self, name: str = "demo") -> None:
        await eventually(lambda: self.is_ready(name), f"K8ssandraCluster {name} is Ready")

    async def says(self, reason: str, kind: str = "Ready", name: str = "demo") -> dict[str, Any]:
        """Wait until a condition has this reason; returns it."""

        async def said() -> bool:
            return (await self.condition(kind, name)).get("reason") == reason

        await eventually(said, f"{kind} of {name} says {reason}")
        return await self.condition(kind, name)

    async def quiet(self, seconds: float = 600.0) -> list[Seen]:
        """The writes of the next so many seconds, when nothing happens any more: there should be none."""
        await asyncio.sleep(30.0)
        since = len(self.seen)
        await asyncio.sleep(seconds)
        return self.writes(since)

    async def events(self, reason: str) -> list[dict[str, Any]]:
        found = [obj.decode(dict) for obj in await self.client().list_all(EVENTS, NAMESPACE)]
        return [event for event in found if event["reason"] == reason]

    async def datacenters(self) -> dict[str, list[str]]:
        return {context: await self.names(CASSANDRA_DATACENTERS, context) for context in self.contexts}

    async def _resolve(self, name: str) -> list[str]:
        if name not in self.dns:
            raise errors.NameResolutionFailed(f"{name}: the name cannot be resolved")
        return self.dns[name]

    def _access(self, context: str) -> Access:
        server = self.servers[context]
        url = next(url for url, leads_to in self._urls.items() if leads_to == context)
        return Access(server=url, certificate_authority=server.ca_pem, token=server.admin_token)


def _server(name: str, seed: int, crds: list[dict[str, Any]]) -> ApiServer:
    server = ApiServer(name=name, rng=Random(seed))
    for crd in crds:
        server.apply_manifest(crd)
    server.apply_manifest({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    return server


@asynccontextmanager
async def rig(
    *contexts: str, crds: list[dict[str, Any]] | None = None, started: bool = True, **options: Any
) -> AsyncIterator[Rig]:
    """A rig with a cass-operator in each data plane; nothing is left running after it. ``options``: settings."""
    one = Rig(contexts or CONTEXTS, crds)
    one.options |= options
    async with one.operating(*one.contexts):
        if started:
            one.start()
        try:
            yield one
        finally:
            await one.stop()


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, within: float = DEADLINE) -> None:
    """Wait until ``condition`` holds; fails naming ``what`` when it does not within so many seconds of virtual time."""
    try:
        async with asyncio.timeout(within):
            while not await condition():
                await asyncio.sleep(0.5)
    except TimeoutError:
        raise AssertionError(f"not within {within:g} s: {what}") from None
