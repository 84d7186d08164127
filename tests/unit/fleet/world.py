"""A control plane and remote clusters on embedded API servers, with links that a test may break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import trustme
import yaml

from controller.engine.store import Delta
from controller.fleet.breaker import Guard
from controller.fleet.cache import WatchSpec
from controller.fleet.cluster import Cluster
from controller.fleet.connection import Connection, Verify
from controller.fleet.state import ClusterState, Phase, Reason
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.client import Client
from controller.kube.credentials import Credentials
from controller.kube.errors import AlreadyExists, ConnectFailed, TLSFailed
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS, CRDS, NAMESPACES, SECRETS, SERVICE_ACCOUNTS, Resource
from controller.kube.transport import LineStream, Request, Response
from controller.sandbox.apiserver import ApiServer, InProcessTransport, Link
from tests.unit.kube.kubeconfigs import CONTEXT, b64, document, dump

NAMESPACE = "k8ssandra-operator"
FIRST, SECOND = "https://10.0.0.1:6443", "https://10.0.0.2:6443"
CRD = Path(__file__).parents[3] / "manifests" / "crds" / "clientconfigs.config.k8ssandra.io.yaml"
AUTHORITY = trustme.CA()  # of every server, unless a test says otherwise


class FixedClock:
    """It is always the same moment."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


class Way:
    """The transport of ``credentials``, over the network of a ``Fleet``."""

    def __init__(self, fleet: Fleet, credentials: Credentials) -> None:
        self.credentials = credentials
        self.closed = False
        self.sent: set[str] = set()  # paths
        self._fleet = fleet
        self._inner: InProcessTransport | None = None

    def _dial(self) -> InProcessTransport:
        access = self.credentials.access
        server = self._fleet.servers.get(access.server)
        if server is None:
            raise ConnectFailed(f"{access.server}: connection refused")
        if server.ca_pem.strip() not in access.certificate_authority:
            raise TLSFailed(f"{access.server}: certificate verify failed")
        if self._inner is None:
            self._inner = InProcessTransport(server, link=self._fleet.links[access.server])
        self._inner._token = self.credentials.bearer()
        return self._inner

    async def request(self, request: Request) -> Response:
        self._note(request)
        if request.path == "/version" and self._fleet.hides_version:
            return Response(status=403)
        return await self._dial().request(request)

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        self._note(request)
        return await self._dial().stream(request, silence=silence)

    @property
    def streams(self) -> list[Any]:
        """The open streams, each with ``lose``."""
        return list(self._inner._streams) if self._inner else []

    def _note(self, request: Request) -> None:
        self.sent.add(request.path)
        self._fleet.sent.append((asyncio.get_running_loop().time(), request.path))

    async def close(self) -> None:
        self.closed = True
        if self._inner is not None:
            await self._inner.close()


class Fleet:
    """Servers by URL, and the control plane's cluster with its caches."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.rng = Random(1)
        self.control = ApiServer(name="control-plane", rng=Random(2), authority=AUTHORITY)
        self.servers = {url: ApiServer(name=url, rng=Random(url), authority=AUTHORITY) for url in (FIRST, SECOND)}
        self.links = {url: Link() for url in self.servers}
        self.ways: list[Way] = []
        self.sent: list[tuple[float, str]] = []  # to remote clusters: when, and which path
        self.client = Client(InProcessTransport(self.control, self.control.admin_token))
        self.own = Link()
        self.hides_version = False
        specs = [WatchSpec(CLIENT_CONFIGS), WatchSpec(SECRETS, metadata_only=True)]
        self.local = Cluster("", specs, (), self.rng)
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, crd: dict[str, Any]) -> None:
        await self.client.create(NAMESPACES, "", {"metadata": {"name": NAMESPACE}})
        await self.client.create(CRDS, "", crd)
        while not await self.client.served(CLIENT_CONFIGS):
            await asyncio.sleep(0)
        self.local.connect(Client(InProcessTransport(self.control, self.control.admin_token, link=self.own)))
        self.local.update(ClusterState(True, Reason.CONNECTED))
        self.run(self.local.watch(self.rng))
        await eventually(lambda: not self.local.cache.unsynced(), "the control plane is cached")

    def run(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something until the fleet ends."""
        task = self._group.create_task(coroutine)
        self._tasks.append(task)
        return task

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def make_client(self, credentials: Credentials, context: str, guard: Guard | None = None) -> Client:
        self.ways.append(Way(self, credentials))
        return Client(self.ways[-1] if guard is None else guard(self.ways[-1]))

    @property
    def open_ways(self) -> int:
        return sum(not way.closed for way in self.ways)

    # ── what users do ───────────────────────────────────────────────────────────────────────────────

    def kubeconfig(self, url: str = FIRST, token: str | None = None, **changes: Any) -> bytes:
        ca = self.servers[url].ca_pem if url in self.servers else AUTHORITY.cert_pem.bytes()
        cluster = {"server": url, "certificate-authority-data": b64(ca)} | changes
        user = {"token": token or (self.servers[url].admin_token if url in self.servers else "abc")}
        return dump(document(cluster=cluster, user=user))

    async def put_secret(self, content: bytes | None, name: str = "kubeconfig", **fields: Any) -> None:
        """Create or replace the Secret; None is a Secret without the key."""
        data = {} if content is None else {"kubeconfig": b64(content)}
        manifest = {"metadata": {"name": name}, "data": data, **fields}
        try:
            await self.client.create(SECRETS, NAMESPACE, manifest)
        except AlreadyExists:
            await self.client.replace(SECRETS, NAMESPACE, name, manifest)

    async def delete(self, resource: Resource, name: str) -> None:
        found = await self.client.get(resource, NAMESPACE, name)
        await self.client.delete(resource, NAMESPACE, name, uid=found.head.uid)

    async def put_config(self, name: str = "dc-1", secret: Any = "kubeconfig", context: str = CONTEXT) -> Object:
        spec = {"contextName": context, "kubeConfigSecret": {"name": secret}}
        head = {"apiVersion": CLIENT_CONFIGS.api_version, "kind": CLIENT_CONFIGS.kind, "metadata": {"name": name}}
        return await self.client.create(CLIENT_CONFIGS, NAMESPACE, {**head, "spec": spec})

    async def token(self, url: str = FIRST, account: str = "another") -> str:
        """A token of a service account in a remote cluster; deleting the account makes it void."""
        client = self.remote(url)
        await client.create(SERVICE_ACCOUNTS, "default", {"metadata": {"name": account}})
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        path = SERVICE_ACCOUNTS.path("default", account, "token")
        answer = yaml.safe_load(await client.raw("POST", path, body=body))
        return str(answer["status"]["token"])

    async def revoke(self, url: str = FIRST, account: str = "another") -> None:
        client = self.remote(url)
        found = await client.get(SERVICE_ACCOUNTS, "default", account)
        await client.delete(SERVICE_ACCOUNTS, "default", account, uid=found.head.uid)

    def remote(self, url: str = FIRST) -> Client:
        """An administrator's client of a remote cluster."""
        return Client(InProcessTransport(self.servers[url], self.servers[url].admin_token))


def definition() -> dict[str, Any]:
    """Our definition of ClientConfig."""
    found: dict[str, Any] = yaml.safe_load(CRD.read_text())
    return found


class Connected:
    """One remote cluster and what keeps it connected.

    ``states``: every reason it had, as conditions show it; ``phases``: every phase it was in.
    """

    def __init__(
        self,
        fleet: Fleet,
        secret: str = "kubeconfig",
        *,
        kinds: Sequence[Resource] = (CONFIG_MAPS,),
        verify: Verify | None = None,
    ) -> None:
        self.cluster = Cluster(CONTEXT, [WatchSpec(kind) for kind in kinds], (), fleet.rng)
        self.states: list[Reason] = []
        self.phases: list[Phase] = []
        self.cluster.on_state(self._note)
        self.connection = Connection(
            f"{NAMESPACE}/dc-1",
            NAMESPACE,
            secret,
            self.cluster,
            local=fleet.local,
            make_client=fleet.make_client,
            rng=fleet.rng,
            verify=verify,
        )
        fleet.local.on_change(self._changed)
        self.task = fleet.run(self.connection.run())
        fleet.run(self._watch(fleet.rng))

    async def _watch(self, rng: Random) -> None:
        await self.cluster.wait_first_usable()
        await self.cluster.watch(rng)

    def _note(self, cluster: Cluster) -> None:
        if not self.states or self.states[-1] is not cluster.state.reason:
            self.states.append(cluster.state.reason)
        if not self.phases or self.phases[-1] is not cluster.state.phase:
            self.phases.append(cluster.state.phase)

    def _changed(self, _: Cluster, resource: Resource, __: list[Delta]) -> None:
        if resource == SECRETS:
            self.connection.wake()

    @property
    def message(self) -> str:
        return self.cluster.state.message

    async def until(self, reason: Reason, within: float = 30.0) -> float:
        """Wait for a state; seconds that it took."""
        started = asyncio.get_running_loop().time()
        await eventually(lambda: self.cluster.state.reason is reason, f"the state is {reason}", within)
        return asyncio.get_running_loop().time() - started

    async def until_phase(self, phase: Phase, within: float = 30.0) -> float:
        """Wait for a phase; seconds that it took."""
        started = asyncio.get_running_loop().time()
        await eventually(lambda: self.cluster.state.phase is phase, f"the phase is {phase}", within)
        return asyncio.get_running_loop().time() - started

    async def until_watching(self) -> None:
        await eventually(lambda: not self.cluster.cache.unsynced(), "the remote cluster is cached")


@asynccontextmanager
async def fleet(crd: dict[str, Any] | None = None) -> AsyncIterator[Fleet]:
    """A fleet whose control plane knows ClientConfigs, by our own definition unless ``crd`` is another."""
    async with asyncio.TaskGroup() as group:
        made = Fleet(group)
        await made.start(crd or definition())
        yield made
        await made.stop()


async def eventually(condition: Callable[[], bool], what: str, within: float = 30.0) -> None:
    """Wait until a condition holds; in virtual time that costs nothing."""
    try:
        async with asyncio.timeout(within):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {within:g} s: {what}") from None
