"""A control plane, data planes and the whole controller in one event loop, on virtual time and from one seed."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from random import Random
from typing import Any, Final, NamedTuple

import structlog
import trustme

from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.definitions import definitions
from controller.fleet.proof import render_kubeconfig
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.conditions import find
from controller.kube.credentials import Credentials, StaticCredentials
from controller.kube.resources import SECRETS, SERVICE_ACCOUNTS
from controller.kube.transport import Request, Response, Transport
from controller.sandbox.apiserver import ApiServer, InProcessTransport
from controller.sandbox.apiserver.storage import Collection, Event
from controller.sandbox.cass_operator import CassOperator
from controller.sandbox.crds import data_plane_crds
from controller.settings import Settings
from controller.supervisor import Controller
from tests import manifests
from tests.faults.path import Path, Seen, Wire
from tests.faults.virtual import LoopClock

NAMESPACE: Final = "k8ssandra-operator"
ACCOUNT: Final = "k8ssandra-controller"
CONTROL: Final = "https://10.255.0.1:6443"
_TOKEN: Final = SERVICE_ACCOUNTS.path(NAMESPACE, ACCOUNT, "token")
READY_AFTER: Final = 5.0  # s that a simulated datacenter takes to be Ready

Json = dict[str, Any]


class Shown(NamedTuple):
    """What a ClientConfig's condition Ready said, from ``time`` (s) on."""

    time: float
    name: str
    status: str
    reason: str
    message: str


@cache
def authority(context: str) -> trustme.CA:
    """The CA of a server: making one costs more than the server."""
    return trustme.CA(organization_name=context or "control plane")


@cache
def _control_crds() -> list[Json]:
    return _free(list(definitions().values()))


@cache
def _data_crds() -> list[Json]:
    return _free(data_plane_crds())


def _free(crds: list[Json]) -> list[Json]:
    """The same kinds without schemas: what they would refuse or drop is another suite's business, and costs most."""
    for crd in crds:
        for version in crd["spec"]["versions"]:
            version["schema"] = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return crds


@cache
def _control_accounts() -> list[Json]:
    return manifests.control_plane(NAMESPACE)


@cache
def _data_accounts() -> list[Json]:
    return manifests.data_plane(NAMESPACE)


class World:
    """``contexts`` name the data planes; the control plane is "". Everything random comes from ``seed``.

    ``light``: data planes without roles, where the account may do everything; for very many of them.
    """

    def __init__(self, contexts: Sequence[str], *, seed: int = 1, light: bool = False) -> None:
        self.clock: Final = LoopClock()
        self.seen: list[Seen] = []
        self.shown: list[Shown] = []
        self.logs: list[Json] = []
        self.servers: dict[str, ApiServer] = {}
        self.paths: dict[str, Path] = {}
        self.urls: dict[str, str] = {"": CONTROL}
        self.controller: Controller | None = None
        self._seed = seed
        self._light = light
        self._own_tokens: dict[ApiServer, str] = {}
        self._group: asyncio.TaskGroup | None = None
        self._controller_task: asyncio.Task[None] | None = None
        self._add_control()
        for context in contexts:
            self.add_plane(context)

    # ── clusters ────────────────────────────────────────────────────────────────────────────────────

    def _add_control(self) -> None:
        server = self.servers[""] = self._server("")
        for manifest in (*_control_crds(), *_data_crds(), *_control_accounts()):
            server.apply_manifest(manifest)
        server.settle()
        self._own_tokens[server] = server.admin_token  # its roles are the integration suite's business
        self.paths[""] = Path("", self)
        server.core.storage.observers.append(self._watch_conditions)

    def add_plane(self, context: str) -> ApiServer:
        """A data plane: kinds, account, roles; nobody knows of it yet."""
        server = self.servers[context] = self.make_server(context)
        number = len(self.urls)
        self.urls[context] = f"https://10.254.{number // 250}.{number % 250 + 1}:6443"
        self.paths[context] = Path(context, self)
        return server

    def make_server(self, context: str, *, name: str = "", like: str = "") -> ApiServer:
        """A server as a data plane has it. ``like``: with the CA of that context's."""
        server = self._server(name or context, like or context)
        accounts = [manifest for manifest in _data_accounts() if not (self._light and "Role" in manifest["kind"])]
        for manifest in (*_data_crds(), *accounts):
            server.apply_manifest(manifest)
        server.settle()
        secret = server.core.storage.collection(SECRETS.name).get(f"{NAMESPACE}/{ACCOUNT}-token")
        assert secret is not None
        self._own_tokens[server] = base64.b64decode(secret.decode()["data"]["token"]).decode()
        return server

    def _server(self, name: str, authority_of: str = "") -> ApiServer:
        server = ApiServer(
            clock=self.clock,
            rng=Random(f"{self._seed}/{name}"),
            name=name or "control plane",
            authority=authority(authority_of),
            rbac=not self._light,
        )
        server.apply_manifest({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        return server

    def register(self, context: str, *, name: str = "", plane: str = "", secret: bool = True) -> None:
        """A ClientConfig, and its Secret; ``plane``: the data plane that it leads to."""
        name = name or context
        if secret:
            self.put_secret(name, plane or context, context)
        self.apply(
            {
                "apiVersion": CLIENT_CONFIGS.api_version,
                "kind": CLIENT_CONFIGS.kind,
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"contextName": context, "kubeConfigSecret": {"name": f"{name}-config"}},
            }
        )

    def put_secret(self, name: str, plane: str, context: str, *, token: str = "") -> None:
        document = render_kubeconfig(self.access(plane, token=token), context, ACCOUNT)
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": f"{name}-config", "namespace": NAMESPACE},
                "data": {"kubeconfig": base64.b64encode(document).decode()},
            }
        )

    def access(self, context: str, *, token: str = "") -> Access:
        server = self.servers[context]
        return Access(
            server=self.urls[context],
            certificate_authority=server.ca_pem,
            token=token or self._own_tokens[server],
        )

    def new_token(self, context: str) -> str:
        """A new token of the account there; the one that it had from the beginning is worth nothing from now on."""
        server = self.servers[context]
        for method, path in (("DELETE", SECRETS.path(NAMESPACE, f"{ACCOUNT}-token")), ("POST", _TOKEN)):
            answer = server.handle(Request(method=method, path=path, body=b"{}"), token=server.admin_token)
            assert isinstance(answer, Response)
            assert answer.status < 300 or method == "DELETE", answer.body
        self._own_tokens[server] = str(json.loads(answer.body)["status"]["token"])
        return self._own_tokens[server]

    def client(self, context: str = "") -> Client:
        """An administrator's client; no fault is in its way."""
        server = self.servers[context]
        return Client(InProcessTransport(server, server.admin_token, user_agent="admin"))

    def apply(self, manifest: Json, context: str = "") -> Json:
        metadata = {"namespace": NAMESPACE, **manifest["metadata"]}
        return self.servers[context].apply_manifest({**manifest, "metadata": metadata})

    # ── the controller ──────────────────────────────────────────────────────────────────────────────

    def start(self, **settings: Any) -> Controller:
        options = {
            "watch_namespaces": (NAMESPACE,),
            "metrics_address": "",
            "health_address": "",
            **settings,
        }
        own = Access(server=CONTROL, certificate_authority=self.servers[""].ca_pem, token=self.servers[""].admin_token)
        self.controller = Controller(
            Settings(**options),
            StaticCredentials(own),
            self._transport,
            rng=Random(self._seed),
            clock=self.clock,
            make_password=lambda: "password",
        )
        assert self._group is not None
        self._controller_task = self._group.create_task(self.controller.run(), name="controller")
        return self.controller

    async def stop(self) -> None:
        if (task := self._controller_task) is not None:
            self._controller_task = None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled(), "the controller ended by itself"

    def _transport(self, credentials: Credentials, *, remote: bool) -> Transport:
        by_url = {url: context for context, url in self.urls.items()}
        context = by_url[credentials.access.server]
        assert bool(context) is remote
        return Wire(self.paths[context], credentials, self._token_at)

    def _token_at(self, path: Path, token: str) -> str:
        """A server that was put in the place of another knows the same tokens, as a restored backup does."""
        server = self.servers[path.context]
        if path.server is not server and token == self._own_tokens[server]:
            return self._own_tokens[path.server]
        return token

    # ── what is seen ────────────────────────────────────────────────────────────────────────────────

    def _watch_conditions(self, collection: Collection, event: Event) -> None:
        if collection.name != CLIENT_CONFIGS.name or event.type == "DELETED":
            return
        ready = find((event.version.decode().get("status") or {}).get("conditions"), "Ready")
        try:
            now = asyncio.get_running_loop().time()
        except RuntimeError:
            return
        if ready:
            new = Shown(now, event.version.name, ready["status"], ready["reason"], ready["message"])
            last = next((shown for shown in reversed(self.shown) if shown.name == new.name), None)
            if last is None or last[1:] != new[1:]:
                self.shown.append(new)

    def shown_of(self, name: str) -> list[Shown]:
        """Everything that a ClientConfig's condition has said."""
        return [shown for shown in self.shown if shown.name == name]

    def condition(self, name: str, kind: str = "Ready", resource: Any = CLIENT_CONFIGS) -> Json:
        found = self.get(resource, name) or {}
        return dict(find((found.get("status") or {}).get("conditions"), kind))

    def get(self, resource: Any, name: str, context: str = "") -> Json | None:
        version = self.servers[context].core.storage.collection(resource.name).get(f"{NAMESPACE}/{name}")
        return None if version is None else version.decode()

    def ready(self, name: str) -> bool:
        found = self.get(K8SSANDRA_CLUSTERS, name) or {}
        condition = find((found.get("status") or {}).get("conditions"), "Ready")
        return (
            condition.get("status") == "True" and condition.get("observedGeneration") == found["metadata"]["generation"]
        )

    def writes(self, *contexts: str, since: float = 0.0) -> list[Seen]:
        """What the controller wrote to these clusters (all when none is named), but for events."""
        return [
            seen
            for seen in self.seen
            if seen.writes and seen.time >= since and not _quiet(seen) and (not contexts or seen.context in contexts)
        ]


def _quiet(seen: Seen) -> bool:
    return "/events" in seen.path or "reviews" in seen.path or "/proxy/" in seen.path


def k8ssandra_cluster(name: str, sizes: dict[str, int]) -> Json:
    """A K8ssandraCluster with one datacenter in each context, called ``<name>-<context>``."""
    return {
        "apiVersion": K8SSANDRA_CLUSTERS.api_version,
        "kind": K8SSANDRA_CLUSTERS.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "cassandra": {
                "serverVersion": "4.0.1",
                "storageConfig": {
                    "cassandraDataVolumeClaimSpec": {
                        "storageClassName": "standard",
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": "5Gi"}},
                    }
                },
                "datacenters": [
                    {"metadata": {"name": f"{name}-{context}"}, "k8sContext": context, "size": size}
                    for context, size in sizes.items()
                ],
            }
        },
    }


@asynccontextmanager
async def world(
    contexts: Sequence[str], *, seed: int = 1, operated: Sequence[str] | None = None, light: bool = False
) -> AsyncIterator[World]:
    """A world with a cass-operator in each data plane (or those of ``operated``); nothing runs on after it."""
    one = World(contexts, seed=seed, light=light)
    clients = []
    tasks = []
    with structlog.testing.capture_logs() as logs:
        one.logs = logs
        async with asyncio.TaskGroup() as group:
            one._group = group
            for number, context in enumerate(contexts if operated is None else operated, 1):
                client = one.client(context)
                rng = Random(f"{seed}/{context}/operator")
                operator = CassOperator(client, rng=rng, clock=one.clock, ready_after=READY_AFTER, number=number)
                tasks.append(group.create_task(operator.run(), name=f"cass-operator of {context}"))
                clients.append(client)
            try:
                yield one
            finally:
                await one.stop()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                for client in clients:
                    await client.close()


async def until(condition: Callable[[], bool], what: str, within: float, every: float = 0.05) -> float:
    """Wait until ``condition`` holds; returns the loop time. Fails naming ``what`` after so many seconds."""
    loop = asyncio.get_running_loop()
    due = loop.time() + within
    while not condition():
        assert loop.time() < due, f"not within {within:g} s: {what}"
        await asyncio.sleep(every)
    return loop.time()
