"""One controller, data planes that are well, and whatever a test puts beside them; nothing that it says is lost."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import socket
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from random import Random
from typing import Any, Final

import structlog
import trustme
from prometheus_client.parser import text_string_to_metric_families

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.definitions import definitions
from controller.engine.clock import SystemClock
from controller.engine.reflector import Phase
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.access import Access
from controller.kube.addresses import AddressPolicy, Resolver, policy
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.client import Client
from controller.kube.conditions import find
from controller.kube.credentials import Credentials, StaticCredentials
from controller.kube.errors import AlreadyExists, NotFound
from controller.kube.resources import EVENTS, SECRETS, Resource
from controller.kube.transport import LineStream, Request, Response, Transport
from controller.observability import logging
from controller.replication.types import REPLICATED_SECRETS
from controller.sandbox.apiserver import ApiServer, InProcessTransport
from controller.sandbox.cass_operator import CassOperator
from controller.sandbox.crds import data_plane_crds
from controller.settings import Settings
from controller.supervisor import Controller
from tests.unit.kube.kubeconfigs import document, dump

NAMESPACE: Final = "k8ssandra-operator"
OWN: Final = "https://10.0.0.1:6443"  # of the control plane
STEADY: Final = "steady"  # a context that is well all the time
SUBJECT: Final = "subject"  # a context that is well at first
CANARY: Final = "canary"  # in everything that is secret; nothing that leaves the process may hold it
DEADLINE: Final = 10.0  # s for anything to become true; generous, because machines are shared
AUTHORITY: Final = trustme.CA()

Json = dict[str, Any]
# "canary" in base64, wherever in a text it begins
_ENCODED: Final = ("Y2FuYXJ5", "NhbmFye", "jYW5hcn")


class Lies:
    """What a data plane of this process says instead of the truth."""

    async def request(self, request: Request, tell: Callable[[Request], Awaitable[Response]]) -> Response:
        """The answer to a request; ``tell``: what the server itself answers."""
        return await tell(request)

    def lines(self, request: Request, lines: list[bytes]) -> list[bytes]:
        """Lines of a watch, in the place of ``lines``."""
        return lines


class _LyingStream:
    def __init__(self, inner: LineStream, request: Request, lies: Lies) -> None:
        self._inner = inner
        self._request = request
        self._lies = lies

    async def read(self) -> list[bytes]:
        while batch := await self._inner.read():
            if told := self._lies.lines(self._request, batch):
                return told
        return []

    async def close(self) -> None:
        await self._inner.close()


class Way:
    """A ``Transport`` of the controller that is noted: to a server in this process as its administrator, or ``out``."""

    def __init__(self, stand: Stand, credentials: Credentials, out: Transport | None) -> None:
        self.credentials = credentials
        self.server = credentials.access.server
        self.closed = False
        self._stand = stand
        self._out = out

    def _transport(self) -> Transport:
        if self._out is None:
            server = self._stand.servers[self.server]
            self._out = InProcessTransport(server, server.admin_token)
        return self._out

    async def request(self, request: Request) -> Response:
        self._stand.note(self, request)
        if (lies := self._stand.lies.get(self.server)) is not None:
            return await lies.request(request, self._transport().request)
        return await self._transport().request(request)

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        self._stand.note(self, request)
        if status := self._stand.refused.get(self.server, lambda _: 0)(request):
            return Response(status=status, body=b"{}")
        opened = await self._transport().stream(request, silence=silence)
        if isinstance(opened, Response):
            return opened
        self._stand.watches[self.server] += 1
        if (lies := self._stand.lies.get(self.server)) is not None:
            return _LyingStream(opened, request, lies)
        return opened

    def forget(self) -> None:
        """From now on whatever is at the server's URL by then."""
        self._out = None

    async def close(self) -> None:
        self.closed = True
        if self._out is not None:
            await self._out.close()


class Stand:
    """A world in this process. ``watches``: how many were opened so far, by the server's URL."""

    def __init__(self, contexts: Sequence[str], *, allow: Sequence[str] = ("127.0.0.2/32",), **settings: Any) -> None:
        self.control = ApiServer(name="control-plane", rng=Random(2), authority=AUTHORITY)
        self.urls = {context: f"https://10.1.0.{number}:6443" for number, context in enumerate(contexts, 1)}
        self.servers = {OWN: self.control}
        for context, url in self.urls.items():
            self.servers[url] = data_plane(context)
        self.client = Client(InProcessTransport(self.control, self.control.admin_token))
        self.lies: dict[str, Lies] = {}  # by the server's URL
        self.refused: dict[str, Callable[[Request], int]] = {}  # the status that a watch is refused with, 0 for none
        self.names: dict[str, Callable[[], str]] = {}  # host names, and what they resolve to
        self.watches: Counter[str] = Counter()
        self.steady = 0  # of the steady context, once all is watched
        self.ways: list[Way] = []
        self.log = io.StringIO()
        self.said: list[bytes] = []  # whatever was sent anywhere, but for contents of Secrets and credentials
        self.requests: list[tuple[str, str, str]] = []  # URL of the server, method and path
        self.on_transport: Callable[[Credentials], object] = lambda _: None
        self.controller: Controller | None = None
        self._policy = policy(allow_loopback=False, allow_server_cidr=allow)
        self._settings = {"metrics_address": "", "health_address": "", **settings}
        self._task: asyncio.Task[None] | None = None

    # ── the controller ──────────────────────────────────────────────────────────────────────────────

    async def start(self) -> Controller:
        """Start the controller; it logs everything."""
        access = Access(server=OWN, certificate_authority=b"", token=f"{CANARY}-own-token")
        settings = Settings(**self._settings)
        self.controller = Controller(settings, StaticCredentials(access), self._make_transport, rng=Random(1))
        self._task = asyncio.create_task(self.controller.run())
        await self.until(lambda: not self._waits(), "the controller is ready")
        return self.controller

    async def begin(self) -> int:
        """Start, and wait until every good cluster is connected and watched; the watches that the steady one has."""
        await self.start()
        assert self.controller is not None
        for context in self.urls:
            if (cluster := self.controller.pool.get(context)) is None:
                continue  # a test took it away
            await self.says(context, "Connected")
            reflectors = [reflector for _, reflector in cluster.reflectors]
            await self.until(lambda found=reflectors: all(r.state.phase is Phase.LIVE for r in found), "all is watched")
        self.steady = self.watched(STEADY) if STEADY in self.urls else 0
        return self.steady

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    @property
    def alive(self) -> bool:
        """Whether the controller runs, and no task of it had to be started again."""
        return self._task is not None and not self._task.done() and "task ended" not in self.log.getvalue()

    def _waits(self) -> list[str]:
        assert self._task is not None
        assert self.controller is not None
        if self._task.done():
            self._task.result()
        return self.controller.waiting_for()

    def _make_transport(self, credentials: Credentials, *, remote: bool) -> Transport:
        way = Way(self, credentials, self._way_out(credentials, self._policy))
        assert remote or way.server == OWN
        self.ways.append(way)
        self.on_transport(credentials)
        return way

    def _way_out(self, credentials: Credentials, judged_by: AddressPolicy) -> Transport | None:
        """The transport of production for what is not in this process; names are resolved as ``names`` says."""
        if credentials.access.server in self.servers:
            return None
        return AiohttpTransport(credentials, policy=judged_by, resolver=Resolver(judged_by, lookup=self._lookup))

    def _lookup(self, host: str, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.names[host](), 0))]

    # ── what it says ────────────────────────────────────────────────────────────────────────────────

    def note(self, way: Way, request: Request) -> None:
        self.requests.append((way.server, request.method, request.path))
        self.said.append(f"{request.method} {request.path} {request.query} {request.headers}".encode())
        if "/secrets" not in request.path:
            self.said.append(request.body)

    async def emissions(self) -> str:
        """Logs, events, metrics, statuses and requests: all that leaves the process, but for Secrets."""
        assert self.controller is not None
        parts = [self.log.getvalue().encode(), b"".join(self.controller.metrics.render()), *self.said]
        for resource in (EVENTS, CLIENT_CONFIGS, K8SSANDRA_CLUSTERS, REPLICATED_SECRETS):
            parts += [obj.raw for obj in await self.client.list_all(resource)]
        return "\n".join(part.decode("utf-8", "replace") for part in parts)

    async def leaks(self) -> list[str]:
        """Where a canary can be seen, with what stands around it; [] when nowhere."""
        text = await self.emissions()
        found = []
        for mark in (CANARY, *_ENCODED):
            at = text.find(mark)
            if at >= 0:
                found.append(text[max(0, at - 200) : at + 60])
        return found

    def events_logged(self) -> list[Json]:
        """The log, line by line."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def samples(self, name: str) -> list[tuple[Mapping[str, str], float]]:
        """What a metric says now: labels and value."""
        assert self.controller is not None
        families = text_string_to_metric_families(b"".join(self.controller.metrics.render()).decode())
        found = [sample for family in families for sample in family.samples]
        return [(sample.labels, sample.value) for sample in found if sample.name == f"k8ssandra_controller_{name}"]

    def metric(self, name: str, **labels: str) -> float | None:
        """The first sample of a metric that has these labels."""
        return next((value for found, value in self.samples(name) if labels.items() <= found.items()), None)

    # ── the world ───────────────────────────────────────────────────────────────────────────────────

    async def put_secret(self, name: str, content: bytes | None, key: str = "kubeconfig", **fields: Any) -> None:
        """Create or replace a Secret; ``content`` None: without the key."""
        data = {} if content is None else {key: b64encode(content).decode()}
        manifest = {"metadata": {"name": name}, "data": data, **fields}
        try:
            await self.client.create(SECRETS, NAMESPACE, manifest)
        except AlreadyExists:
            await self.client.replace(SECRETS, NAMESPACE, name, manifest)

    async def put_config(self, name: str, spec: Any = None, **metadata: Any) -> None:
        """Create a ClientConfig; ``spec`` is by default that of a context and a Secret of its name."""
        if spec is None:
            spec = {"contextName": name, "kubeConfigSecret": {"name": name}}
        head = {"apiVersion": CLIENT_CONFIGS.api_version, "kind": CLIENT_CONFIGS.kind}
        await self.client.create(
            CLIENT_CONFIGS, NAMESPACE, {**head, "metadata": {"name": name, **metadata}, "spec": spec}
        )

    async def delete(self, resource: Resource, name: str) -> None:
        found = await self.client.get(resource, NAMESPACE, name)
        await self.client.delete(resource, NAMESPACE, name, uid=found.head.uid)

    def kubeconfig(self, context: str, *, server: str = "", token: str = "") -> bytes:
        """A good kubeconfig for one of the servers of this process."""
        return kubeconfig(context, server or self.urls[context], token=token)

    async def condition(self, name: str, resource: Resource = CLIENT_CONFIGS, kind: str = "Ready") -> Json:
        try:
            found = (await self.client.get(resource, NAMESPACE, name)).decode(dict)
        except NotFound:
            return {}
        return find((found.get("status") or {}).get("conditions"), kind)

    async def says(self, name: str, reason: str, fragment: str = "", within: float = DEADLINE) -> str:
        """Wait until a ClientConfig has this reason, with ``fragment`` in the message; gives the message."""
        seen: Json = {}

        async def said() -> bool:
            nonlocal seen
            seen = await self.condition(name)
            return seen.get("reason") == reason and fragment in seen.get("message", "")

        try:
            await self.until(said, "", within)
        except AssertionError:
            raise AssertionError(f"{name} says {seen.get('reason')}: {seen.get('message')}") from None
        return str(seen["message"])

    async def events(self, name: str) -> list[Json]:
        """Events about an object."""
        found = [obj.decode(dict) for obj in await self.client.list_all(EVENTS, NAMESPACE)]
        return [event for event in found if event["involvedObject"]["name"] == name]

    async def has_event(self, name: str, reason: str) -> bool:
        """Whether the only events about an object are of this reason."""
        return {event["reason"] for event in await self.events(name)} == {reason}

    def watched(self, context: str = STEADY) -> int:
        """Watches opened so far in a context: it does not grow while its connection is left alone."""
        return self.watches[self.urls[context]]

    def made(self, server: str) -> list[Way]:
        """The transports that were made to a server."""
        return [way for way in self.ways if way.server == server]

    def remotes(self) -> dict[str, ApiServer]:
        """The data planes of this process, by context."""
        return {context: self.servers[url] for context, url in self.urls.items()}

    def datacenters(self) -> dict[str, list[str]]:
        """Names of the CassandraDatacenters in each data plane, read from its store."""
        return {context: sorted(names_of(server, CASSANDRA_DATACENTERS)) for context, server in self.remotes().items()}

    async def says_of_datacenter(self, datacenter: str, reason: str, fragment: str, name: str = "demo") -> bool:
        """Whether a K8ssandraCluster says this of one of its datacenters; ``reason`` "": that it is Ready."""
        found = await self.condition(name, K8SSANDRA_CLUSTERS, f"DatacenterReady.{datacenter}")
        if not reason:
            return found.get("status") == "True"
        return found.get("reason") == reason and fragment in found.get("message", "")

    def writes(self) -> list[tuple[str, str, str]]:
        """Requests so far that change something, but for events."""
        return [entry for entry in self.requests if entry[1] != "GET" and "/events" not in entry[2]]

    def deletes(self) -> list[tuple[str, str, str]]:
        return [entry for entry in self.requests if entry[1] == "DELETE"]

    def open_watches(self, context: str) -> int:
        """Watches that are open now at a data plane."""
        return self.servers[self.urls[context]].watches

    def open_at(self, server: str) -> int:
        """Transports to a server that are not closed."""
        return sum(not way.closed for way in self.made(server))

    def bearers(self, context: str) -> set[str]:
        """The tokens in use at a data plane."""
        return {way.credentials.bearer() for way in self.made(self.urls[context]) if not way.closed}

    async def until(self, condition: Callable[[], Any], what: str, within: float = DEADLINE) -> None:
        """Wait until a condition, which may be a coroutine function, holds."""
        try:
            async with asyncio.timeout(within):
                while True:
                    held = condition()
                    if await held if isinstance(held, Awaitable) else held:
                        return
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not within {within:g} s: {what}") from None


def kubeconfig(context: str, server: str, *, token: str = "", **cluster: Any) -> bytes:
    """A good kubeconfig, whose token is a canary."""
    changed = document(cluster={"server": server, **cluster}, user={"token": token or f"{CANARY}-token"})
    changed["contexts"][0]["name"] = context
    return dump(changed)


def cluster_of(*contexts: str, name: str = "demo", **cassandra: Any) -> Json:
    """A K8ssandraCluster with datacenters dc1, dc2, … in these contexts."""
    datacenters = [
        {"metadata": {"name": f"dc{number}"}, "k8sContext": context, "size": 1}
        for number, context in enumerate(contexts, 1)
    ]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}
    return {
        "apiVersion": K8SSANDRA_CLUSTERS.api_version,
        "kind": K8SSANDRA_CLUSTERS.kind,
        "metadata": {"name": name},
        "spec": {
            "cassandra": {
                "serverVersion": "4.0.1",
                "storageConfig": {"cassandraDataVolumeClaimSpec": claim},
                "datacenters": datacenters,
                **cassandra,
            }
        },
    }


def names_of(server: ApiServer, resource: Resource) -> list[str]:
    """Names of all objects of a kind, as they are stored."""
    return [key.rpartition("/")[2] for key in server.core.storage.collection(resource.name).keys]


def data_plane(name: str) -> ApiServer:
    """A cluster with cass-operator's kinds and the controller's namespace."""
    server = ApiServer(name=name, rng=Random(name), authority=AUTHORITY)
    server.apply_manifest({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for crd in _data_plane_definitions():
        server.apply_manifest(copy.deepcopy(crd))
    return server


@cache
def _definitions() -> list[Json]:
    return list(definitions().values())


@cache
def _data_plane_definitions() -> list[Json]:
    return data_plane_crds()


async def prepared(one: Stand) -> None:
    """Give the control plane its namespace and definitions."""
    one.control.apply_manifest({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for definition in _definitions():
        one.control.apply_manifest(copy.deepcopy(definition))


@asynccontextmanager
async def stand(contexts: Sequence[str] = (STEADY, SUBJECT), **options: Any) -> AsyncIterator[Stand]:
    """A stand with ClientConfigs for ``contexts``, each of which is a data plane that is well; not started yet."""
    one = Stand(contexts, **options)
    logging.configure("json", "debug", one.log)
    await prepared(one)
    try:
        for context in contexts:
            await one.put_secret(context, one.kubeconfig(context))
            await one.put_config(context)
        yield one
    finally:
        await one.stop()
        structlog.reset_defaults()


@asynccontextmanager
async def operated(servers: Mapping[str, ApiServer]) -> AsyncIterator[None]:
    """A simulated cass-operator in each of these, while the block runs."""
    clients = [Client(InProcessTransport(server, server.admin_token)) for server in servers.values()]
    tasks = [
        asyncio.create_task(
            CassOperator(client, rng=Random(3), clock=SystemClock(), ready_after=0.05, number=number).run()
        )
        for number, client in enumerate(clients, 1)
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
