"""A control plane and any number of data planes, each an embedded server behind TLS and a proxy of its own."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any, Final

import msgspec

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.definitions import definitions
from controller.engine.clock import Clock, SystemClock
from controller.fleet.proof import render_kubeconfig
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube import errors
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.resources import SECRETS, SERVICE_ACCOUNTS
from controller.sandbox.apiserver import ApiServer, InProcessTransport, serve
from controller.sandbox.applier import Applier
from controller.sandbox.cass_operator import CassOperator
from controller.sandbox.crds import data_plane_crds
from controller.sandbox.world import ACCOUNT
from tests import manifests
from tests.bench import stage
from tests.remotes.process import RunningController, controller
from tests.remotes.proxy import Proxy
from tests.remotes.watching import History, condition, history

NAMESPACE: Final = "remotes"
CONNECTED_WITHIN: Final = 60.0  # s

Json = dict[str, Any]


class Plane:
    """One cluster; ``proxy`` is the way by which the controller reaches it, ``server`` the embedded server itself."""

    def __init__(self, context: str, server: ApiServer, way: Proxy) -> None:
        self.context = context
        self.server = server
        self.proxy = way
        self.client: Final = Client(InProcessTransport(server, server.admin_token))
        self.token = ""
        self.namespace = NAMESPACE

    @property
    def access(self) -> Access:
        """What the controller is given."""
        return Access(server=self.proxy.url, certificate_authority=self.server.ca_pem, token=self.token)

    async def new_token(self, seconds: int = 3600) -> str:
        """One more token of the controller's account, that lives so long."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        issued = await self.client.raw("POST", SERVICE_ACCOUNTS.path(self.namespace, ACCOUNT, "token"), body=body)
        return str(msgspec.json.decode(issued)["status"]["token"])

    async def prepare(self, accounts: Sequence[Json], kinds: Sequence[Json]) -> None:
        applier = Applier(self.client)
        await applier.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        await applier.apply_all(kinds)
        await applier.apply_all(accounts, namespace=self.namespace)
        self.token = await self.new_token()


class Fleet:
    """The whole world of a measurement; ``planes`` by context."""

    def __init__(self, control: Plane, planes: Sequence[Plane], configs: History) -> None:
        self.control = control
        self.planes = {plane.context: plane for plane in planes}
        self.configs = configs

    # ── ClientConfigs ───────────────────────────────────────────────────────────────────────────────

    async def register(self, context: str, access: Access | None = None, **annotations: str) -> None:
        """A Secret and a ClientConfig for ``access``, by default for the plane of that name."""
        if access is None:
            access = self.planes[context].access
        document = render_kubeconfig(access, context, ACCOUNT)
        await self.control.client.create(SECRETS, NAMESPACE, secret(context, {"kubeconfig": document}))
        await self.configure(context, **annotations)

    async def configure(self, context: str, **annotations: str) -> None:
        """Only the ClientConfig; its Secret is called after it."""
        marks = {f"k8ssandra.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
        manifest = {
            "apiVersion": CLIENT_CONFIGS.api_version,
            "kind": CLIENT_CONFIGS.kind,
            "metadata": {"name": context, "annotations": marks},
            "spec": {"contextName": context, "kubeConfigSecret": {"name": f"{context}-config"}},
        }
        await self.control.client.create(CLIENT_CONFIGS, NAMESPACE, manifest)

    async def rewrite(self, context: str, access: Access) -> float:
        """Have the Secret say something else; the loop time of the commit."""
        document = render_kubeconfig(access, context, ACCOUNT)
        patch = {"data": {"kubeconfig": base64.b64encode(document).decode()}}
        await self.control.client.patch(SECRETS, NAMESPACE, f"{context}-config", patch, kind="merge")
        return asyncio.get_running_loop().time()

    async def remove(self, context: str, *, config: bool = True, secret: bool = True) -> float:
        """Delete the ClientConfig, its Secret, or both; the loop time of the first commit."""
        chosen = [(CLIENT_CONFIGS, context)] * config + [(SECRETS, f"{context}-config")] * secret
        times = []
        for resource, name in chosen:
            found = await self.control.client.get(resource, NAMESPACE, name)
            await self.control.client.delete(resource, NAMESPACE, name, uid=found.head.uid)
            times.append(asyncio.get_running_loop().time())
        return times[0]

    async def states(self) -> dict[str, str]:
        """The reason of every ClientConfig, "" before anything was said."""
        found = await self.control.client.list_all(CLIENT_CONFIGS, NAMESPACE)
        return {obj.head.name: condition(obj.decode(dict)).get("reason", "") for obj in found}

    async def connected(self, contexts: Sequence[str], within: float = CONNECTED_WITHIN) -> None:
        """Wait until these ClientConfigs say that they work."""

        async def all_are() -> bool:
            states = await self.states()
            return all(states.get(context) == "Connected" for context in contexts)

        await stage.until(all_are, f"connected: {', '.join(contexts)[:200]}", within)

    async def said(self, context: str, since: float, status: str, within: float, *reasons: str) -> float:
        """Seconds from ``since`` until the condition had this status (and one of these reasons)."""
        seen = await self.configs.first(
            lambda event: (
                event.name == context
                and condition(event.object).get("status") == status
                and (not reasons or condition(event.object)["reason"] in reasons)
            ),
            since=since,
            within=within,
            what=f"ClientConfig {context} is Ready={status} {' '.join(reasons)}",
        )
        return seen.at - since

    def flips(self, context: str, since: float) -> int:
        """How often the condition changed its status since that loop time."""
        before, count = "", 0
        for event in self.configs.events:
            if event.name != context or not (status := condition(event.object).get("status", "")):
                continue
            if before and status != before and event.at >= since:
                count += 1
            before = status
        return count

    # ── K8ssandraClusters ───────────────────────────────────────────────────────────────────────────

    async def create(self, name: str, *contexts: str) -> None:
        """A K8ssandraCluster with a datacenter ``<name>-dc<n>`` in each of the contexts."""
        document = stage.sample(name)
        cassandra = document["spec"]["cassandra"]
        first = cassandra["datacenters"][0]
        cassandra["datacenters"] = [
            {**first, "metadata": {"name": f"{name}-dc{number}"}, "k8sContext": context}
            for number, context in enumerate(contexts, 1)
        ]
        await self.control.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, document)

    async def resize(self, name: str, size: int) -> None:
        """Want another size of every datacenter."""
        for _ in range(50):
            found = await self.control.client.get(K8SSANDRA_CLUSTERS, NAMESPACE, name)
            document = found.decode(dict)
            for datacenter in document["spec"]["cassandra"]["datacenters"]:
                datacenter["size"] = size
            try:
                await self.control.client.replace(K8SSANDRA_CLUSTERS, NAMESPACE, name, document)
            except errors.Conflict:
                continue
            return
        raise RuntimeError(f"K8ssandraCluster {name} cannot be resized")

    async def ready(self, names: Sequence[str], within: float = CONNECTED_WITHIN) -> None:
        """Wait until these K8ssandraClusters are Ready."""

        async def all_are() -> bool:
            listed = await self.control.client.list_all(K8SSANDRA_CLUSTERS, NAMESPACE)
            found = {obj.head.name: obj.decode(dict) for obj in listed}
            return all(_is_ready(found.get(name)) for name in names)

        await stage.until(all_are, f"Ready: {', '.join(names)[:200]}", within)

    # ── the controller ──────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def controller(self, *flags: str, level: str = "info") -> AsyncIterator[RunningController]:
        """The controller as its own service account; started, not yet ready."""
        async with controller(self.control.access, NAMESPACE, *flags, level=level) as running:
            yield running

    @asynccontextmanager
    async def operated(self, contexts: Sequence[str], ready_after: float = 0.1) -> AsyncIterator[None]:
        """A simulated cass-operator in each of these planes."""
        async with asyncio.TaskGroup() as group:
            tasks = []
            for number, context in enumerate(contexts, 1):
                operator = CassOperator(
                    self.planes[context].client,
                    rng=Random(number),
                    clock=SystemClock(),
                    ready_after=ready_after,
                    number=number % 256,
                )
                tasks.append(group.create_task(operator.run()))
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()


@asynccontextmanager
async def fleet(contexts: Sequence[str], clock: Clock | None = None) -> AsyncIterator[Fleet]:
    """Prepared servers, one for the control plane and one for each context; nothing is registered yet.

    ``clock``: what the planes' servers take for the time.
    """
    kinds, accounts = data_plane_crds(), manifests.data_plane(NAMESPACE)
    async with AsyncExitStack() as stack:
        control = await _plane("", stack)
        await control.prepare(manifests.control_plane(NAMESPACE), list(definitions().values()))
        planes = []
        for context in contexts:
            plane = await _plane(context, stack, clock)
            await plane.prepare(accounts, kinds)
            planes.append(plane)
        configs = await stack.enter_async_context(history(control.server, CLIENT_CONFIGS))
        yield Fleet(control, planes, configs)


async def _plane(context: str, stack: AsyncExitStack, clock: Clock | None = None) -> Plane:
    server = ApiServer(name=context or "control-plane", rbac=True, clock=clock)
    endpoint = await stack.enter_async_context(serve(server))
    way = Proxy(endpoint.url)
    stack.push_async_callback(way.close)
    plane = Plane(context, server, way)
    stack.push_async_callback(plane.client.close)
    return plane


def names(count: int, prefix: str = "dc") -> list[str]:
    """Contexts ``dc-001``…"""
    return [f"{prefix}-{number:03}" for number in range(1, count + 1)]


def secret(context: str, content: dict[str, bytes]) -> Json:
    """The Secret of a ClientConfig."""
    data = {key: base64.b64encode(value).decode() for key, value in content.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{context}-config"}, "data": data}


def shows_size(size: int, name: str) -> Any:
    """Whether an event is of that CassandraDatacenter, and wants this size."""
    return lambda event: event.name == name and event.object["spec"]["size"] == size


def datacenters(plane: Plane) -> Any:
    """The history of the CassandraDatacenters in a plane."""
    return history(plane.server, CASSANDRA_DATACENTERS)


def _is_ready(found: Json | None) -> bool:
    if found is None or condition(found).get("status") != "True":
        return False
    return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])
