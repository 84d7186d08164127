"""The whole controller on API servers, embedded or real: one world for each test, in a namespace of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import msgspec
import yaml

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.engine.clock import Clock
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube import errors
from controller.kube.access import Access
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.client import Client
from controller.kube.conditions import find
from controller.kube.credentials import Credentials, StaticCredentials
from controller.kube.resources import SERVICE_ACCOUNTS, Resource
from controller.kube.transport import LineStream, Request, Response, Transport
from controller.management.routes import OpenWay
from controller.sandbox.applier import Applier
from controller.sandbox.crds import published_crds
from controller.sandbox.management_api import Ring, rings
from controller.sandbox.pod_network import pod_network
from controller.sandbox.world import ACCOUNT, World
from controller.settings import Settings
from controller.supervisor import Controller
from tests import manifests
from tests.servers import Server

CONTEXTS: Final = ("kind-k8ssandra-1", "kind-k8ssandra-2", "kind-k8ssandra-3")
SAMPLES: Final = Path(__file__).parents[2] / "manifests" / "samples"
DEADLINE: Final = 30.0  # s for anything to become true; generous, because machines are shared
POLL: Final = 0.02  # s


class Seen(NamedTuple):
    """One request of the controller; ``status`` 0 when there was no response.

    ``look``: the connection's owner looks at its cluster.
    """

    context: str
    method: str
    path: str
    status: int
    look: bool = False

    @property
    def writes(self) -> bool:
        return self.method != "GET"


class Recording:
    """A ``Transport`` that notes what passes."""

    def __init__(self, inner: Transport, context: str, seen: list[Seen]) -> None:
        self._inner = inner
        self._context = context
        self._seen = seen

    async def request(self, request: Request) -> Response:
        status = 0
        try:
            response = await self._inner.request(request)
            status = response.status
            return response
        finally:
            look = request.path.endswith(("/version", "/kube-system")) or ("limit", "1") in request.query
            self._seen.append(Seen(self._context, request.method, request.path, status, look))

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        opened = await self._inner.stream(request, silence=silence)
        status = opened.status if isinstance(opened, Response) else 200
        self._seen.append(Seen(self._context, "WATCH", request.path, status))
        return opened

    async def close(self) -> None:
        await self._inner.close()


class _Current:
    """A way to a server in this process that uses the token of the moment, as sockets do."""

    def __init__(self, server: Server, credentials: Credentials) -> None:
        self._server = server
        self._credentials = credentials
        self._made: dict[str, Transport] = {}

    def _transport(self) -> Transport:
        token = self._credentials.bearer()
        if token not in self._made:
            self._made[token] = self._server.transport(token)
        return self._made[token]

    async def request(self, request: Request) -> Response:
        return await self._transport().request(request)

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        return await self._transport().stream(request, silence=silence)

    async def close(self) -> None:
        for transport in self._made.values():
            await transport.close()


class _Token(msgspec.Struct):
    token: str


class _TokenRequest(msgspec.Struct):
    status: _Token


class Rig:
    """A world on servers, and a controller in this process that uses only the accounts and roles of ``manifests/``."""

    def __init__(self, namespace: str, servers: Mapping[str, Server], *, published: bool = False) -> None:
        self.namespace = namespace
        self.servers = dict(servers)
        self.seen: list[Seen] = []
        self.provoked_forbidden = False
        self.open_way: OpenWay | None = None  # straight to pods
        self._by_url = {self.url(context): context for context in servers}
        accesses = {context: self.access(context) for context in servers}
        self.world = World(
            accesses[""],
            {context: access for context, access in accesses.items() if context},
            lambda access: Client(self._transport(StaticCredentials(access))),
            rng=Random(0),
            namespace=namespace,
            accounts=manifests.data_plane(namespace),
            control_accounts=manifests.control_plane(namespace),
            control_crds=published_crds() if published else manifests.crds(),
        )
        self.applier = Applier(self.world.control.client)
        self._group: asyncio.TaskGroup | None = None
        self._controller_task: asyncio.Task[None] | None = None
        self.controller: Controller | None = None

    # ── the controller ──────────────────────────────────────────────────────────────────────────────

    async def start(self, *, clock: Clock | None = None, **settings: Any) -> Controller:
        """Start the controller as its own service account."""
        credentials = await self.credentials()
        controller = Controller(
            self.settings(**settings),
            credentials,
            self.make_transport,
            rng=Random(1),
            clock=clock,
            open_way=self.open_way,
        )
        assert self._group is not None
        self.controller = controller
        self._controller_task = self._group.create_task(controller.run(), name="controller")
        return controller

    def settings(self, **settings: Any) -> Settings:
        """Those of a controller for this namespace."""
        options = {"watch_namespaces": (self.namespace,), "metrics_address": "", "health_address": "", **settings}
        return Settings(**options)

    async def credentials(self) -> Credentials:
        """Those of the controller's own service account."""
        return StaticCredentials(msgspec.structs.replace(self.access(""), token=await self.account_token()))

    def make_transport(self, credentials: Credentials, *, remote: bool) -> Transport:
        """The way to a server; what passes is noted in ``seen``."""
        context = self._by_url.get(credentials.access.server, "elsewhere")
        return Recording(self._transport(credentials), context, self.seen)

    async def stop(self) -> None:
        """Stop the controller and wait until it is gone."""
        if self._controller_task is not None:
            self._controller_task.cancel()
            await asyncio.gather(self._controller_task, return_exceptions=True)
            self._controller_task = None

    def leads_to(self, url: str, context: str) -> None:
        """Note requests to ``url`` as those to ``context``; others than the servers' own are noted as elsewhere."""
        self._by_url[url] = context

    @property
    def running(self) -> bool:
        """Whether the controller was started and has not ended by itself."""
        return self._controller_task is not None and not self._controller_task.done()

    def requests(self, *, since: int = 0) -> list[Seen]:
        """Unary requests of the controller, without events, looks, and what pods were asked."""
        return [
            seen
            for seen in self.seen[since:]
            if seen.method != "WATCH"
            and not seen.look
            and not seen.path.rstrip("/").endswith("/events")
            and "/proxy/" not in seen.path
        ]

    def calls(self, *, since: int = 0) -> list[Seen]:
        """Calls of Cassandra's Management API."""
        return [seen for seen in self.seen[since:] if "/proxy/" in seen.path]

    def ring(self, cluster: str = "demo") -> Ring:
        """The simulated Cassandra cluster of this namespace."""
        return rings(pod_network()).find(cluster, self.namespace)

    def writes(self, *, since: int = 0) -> list[Seen]:
        return [seen for seen in self.requests(since=since) if seen.writes]

    # ── the world ───────────────────────────────────────────────────────────────────────────────────

    def client(self, context: str = "") -> Client:
        """An administrator's client."""
        return self.world.planes[context].client if context else self.world.control.client

    async def apply(self, manifest: Mapping[str, Any]) -> None:
        await self.applier.apply(manifest, namespace=self.namespace)

    def sample(self, name: str = "demo.yaml") -> dict[str, Any]:
        document: dict[str, Any] = yaml.safe_load((SAMPLES / name).read_text("utf-8"))
        return document

    async def get(self, resource: Resource, name: str, context: str = "") -> dict[str, Any] | None:
        try:
            return (await self.client(context).get(resource, self.namespace, name)).decode(dict)
        except errors.NotFound:
            return None

    async def names(self, resource: Resource, context: str = "") -> list[str]:
        return [obj.head.name for obj in await self.client(context).list_all(resource, self.namespace)]

    async def condition(self, resource: Resource, name: str, kind: str = "Ready") -> dict[str, Any]:
        found = await self.get(resource, name) or {}
        return find((found.get("status") or {}).get("conditions"), kind)

    async def cluster_is_ready(self, name: str = "demo") -> bool:
        found = await self.get(K8SSANDRA_CLUSTERS, name) or {}
        ready = find((found.get("status") or {}).get("conditions"), "Ready")
        # Published CRDs keep no observedGeneration of a condition; the status' own says the same.
        return (
            ready.get("status") == "True"
            and found["status"].get("observedGeneration") == found["metadata"]["generation"]
        )

    async def ready(self, name: str = "demo") -> None:
        await eventually(lambda: self.cluster_is_ready(name), f"K8ssandraCluster {name} is Ready")

    async def reason(self, name: str) -> str:
        """Reason of a ClientConfig's Ready condition."""
        return str((await self.condition(CLIENT_CONFIGS, name)).get("reason", ""))

    async def datacenters(self) -> dict[str, list[str]]:
        """Names of the CassandraDatacenters in each context."""
        return {context: await self.names(CASSANDRA_DATACENTERS, context) for context in self.world.planes}

    def url(self, context: str) -> str:
        number = list(self.servers).index(context)
        return getattr(self.servers[context], "url", f"https://10.255.0.{number + 1}:6443")

    async def wait_for_roles(self) -> None:
        """Wait until every API server acts on the roles that were just made: its authorizer follows them by watches."""
        asked = {
            "clientconfigs": "config.k8ssandra.io",
            "cassandradatacenters": "cassandra.datastax.com",
            "secrets": "",
        }
        for context in self.servers:
            token = await self.account_token(context)
            access = msgspec.structs.replace(self.access(context), token=token)
            client = Client(self._transport(StaticCredentials(access)))
            try:
                for resource, group in asked.items():
                    if resource == "clientconfigs" and context:
                        continue
                    attributes = {"namespace": self.namespace, "verb": "list", "group": group, "resource": resource}
                    await eventually(
                        lambda client=client, attributes=attributes: allowed(client, attributes),
                        f"{resource} may be listed in {context or 'the control plane'}",
                    )
            finally:
                await client.close()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def access(self, context: str) -> Access:
        """The administrator's access to a cluster."""
        server = self.servers[context]
        return Access(server=self.url(context), certificate_authority=server.ca_pem, token=server.admin_token)

    def _transport(self, credentials: Credentials) -> Transport:
        """In this process for a server that is in it, else over sockets and as the credentials say."""
        server = self.servers.get(self._by_url.get(credentials.access.server, "elsewhere"))
        if server is not None and not hasattr(server, "url"):
            return _Current(server, credentials)
        return AiohttpTransport(credentials)

    async def account_token(self, context: str = "") -> str:
        """A token of an hour for the controller's account in a cluster."""
        path = SERVICE_ACCOUNTS.path(self.namespace, ACCOUNT, "token")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        answer = await self.client(context).raw("POST", path, body=body)
        return msgspec.json.decode(answer, type=_TokenRequest).status.token


@asynccontextmanager
async def rig(
    namespace: str, servers: Sequence[Server], *, ready_after: float = 0.1, published: bool = False
) -> AsyncIterator[Rig]:
    """A rig on four servers, prepared and with a cass-operator in each data plane; nothing is left running after it."""
    one = Rig(namespace, dict(zip(("", *CONTEXTS), servers, strict=True)), published=published)
    try:
        await one.world.prepare()
        await one.wait_for_roles()
        async with asyncio.TaskGroup() as group:
            one._group = group
            operators = group.create_task(one.world.operate(ready_after), name="cass-operators")
            try:
                yield one
            finally:
                await one.stop()
                operators.cancel()
    finally:
        await one.world.close()
    if not one.provoked_forbidden:
        assert [seen for seen in one.seen if seen.status == 403] == []


async def allowed(client: Client, attributes: Mapping[str, str]) -> bool:
    """Whether whoever ``client`` is may do something."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = await client.raw("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
    return bool(msgspec.json.decode(answer)["status"]["allowed"])


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, within: float = DEADLINE) -> None:
    """Wait until ``condition`` holds; fails naming ``what`` when it does not within so many seconds."""
    try:
        async with asyncio.timeout(within):
            while not await condition():
                await asyncio.sleep(POLL)
    except TimeoutError:
        raise AssertionError(f"not within {within:g} s: {what}") from None


async def quiet(one: Rig) -> None:
    """Wait until the controller has made no request for a while."""
    while True:
        before = len(one.seen)
        await asyncio.sleep(0.3)
        if len(one.seen) == before:
            return


async def converged(one: Rig) -> None:
    """Start the controller with the sample, and wait until all of it is Ready and no request is made any more."""
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    await quiet(one)


async def two_of_three(one: Rig, bad: str, reason: str, says: str) -> None:
    """The first two datacenters are Ready, the third, in context ``bad``, waits, and its ClientConfig says why."""

    async def said() -> bool:
        return await one.reason(bad) == reason

    await eventually(said, f"the ClientConfig says {reason}")
    assert says in (await one.condition(CLIENT_CONFIGS, bad))["message"]

    async def others_are_ready() -> bool:
        kinds = ("DatacenterReady.dc1", "DatacenterReady.dc2")
        found = [await one.condition(K8SSANDRA_CLUSTERS, "demo", kind) for kind in kinds]
        return all(entry.get("status") == "True" for entry in found)

    await eventually(others_are_ready, "the datacenters in good clusters are Ready")
    third = await one.condition(K8SSANDRA_CLUSTERS, "demo", "DatacenterReady.dc3")
    assert (third["status"], third["reason"]) == ("False", "DatacenterUnreachable")
    assert bad in third["message"]
