"""Four API servers, embedded or real, and a controller in a process of its own that works between them."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import aiohttp
import msgspec
import yaml
from prometheus_client.parser import text_string_to_metric_families

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.fleet.proof import render_kubeconfig
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.access import Access
from controller.kube.aiohttp_transport import USER_AGENT, AiohttpTransport
from controller.kube.client import Client
from controller.kube.conditions import find
from controller.kube.credentials import StaticCredentials
from controller.kube.objects import Object
from controller.kube.resources import SERVICE_ACCOUNTS
from controller.sandbox.apiserver import ApiServer, serve
from controller.sandbox.world import ACCOUNT, Plane, World
from tests import manifests
from tests.bench.child import ROOT, cpu_of, end, resident_mib
from tests.real.process import free_port
from tests.real.servers import real_servers

CONTEXTS: Final = ("kind-k8ssandra-1", "kind-k8ssandra-2", "kind-k8ssandra-3")
AGENT: Final = "k8ssandra-bench"  # the measurement's own requests do not count
READY_WITHIN: Final = 60.0  # s for a controller to start, or for something to converge
POLL: Final = 0.02  # s
COLLECTED: Final = 60.0  # s for the garbage collector to notice new kinds; it looks every 30 s
REST: Final = 0.7  # s without a write after which the controller is at rest

READS: Final = frozenset({"get", "list", "discover"})
EVENTS: Final = "events"
NOT_COUNTED: Final = ("", EVENTS, "pods/proxy")  # probes, Events, and what pods were asked


class Servers(msgspec.Struct):
    """The control plane first. ``embedded``: the servers themselves, [] when they are real; ``pids``: by name."""

    kind: str
    accesses: list[Access]
    embedded: list[ApiServer] = []
    pids: dict[str, list[int]] = {}

    def cpu(self) -> dict[str, float]:
        """CPU seconds used so far by each kind of server process."""
        return {name: sum(cpu_of(pid) for pid in pids) for name, pids in self.pids.items()}


@asynccontextmanager
async def servers(kind: str) -> AsyncIterator[Servers]:
    """One control plane and three data planes: ``embedded`` in this process behind HTTPS, or ``real``."""
    names = ["control-plane", *CONTEXTS]
    async with AsyncExitStack() as stack:
        if kind == "embedded":
            found = Servers(kind, [])
            for name in names:
                server = ApiServer(name=name, rbac=True)
                endpoint = await stack.enter_async_context(serve(server))
                found.embedded.append(server)
                found.accesses.append(
                    Access(server=endpoint.url, certificate_authority=endpoint.ca_pem, token=endpoint.admin_token)
                )
        else:
            world = await stack.enter_async_context(real_servers(names))
            pids: dict[str, list[int]] = {"etcd": [world.etcd.pid]}
            for server in world.servers:
                pids.setdefault("kube-apiserver", []).append(server.api_server.pid)
                if server.controller_manager is not None:
                    pids.setdefault("kube-controller-manager", []).append(server.controller_manager.pid)
            found = Servers(kind, [server.access for server in world.servers], pids=pids)
        yield found


def connect(access: Access) -> Client:
    """A client of the measurement's own."""
    return Client(AiohttpTransport(StaticCredentials(access), user_agent=AGENT, connections=32))


@asynccontextmanager
async def prepared(found: Servers, namespace: str) -> AsyncIterator[World]:
    """A world in a namespace of its own, all data planes registered."""
    control, *planes = found.accesses
    world = World(
        control,
        dict(zip(CONTEXTS, planes, strict=True)),
        connect,
        rng=Random(0),
        namespace=namespace,
        accounts=_apart(manifests.data_plane(namespace), namespace),
        control_accounts=_apart(manifests.control_plane(namespace), namespace),
    )
    try:
        await world.prepare()
        if found.pids:
            await until(partial(_collected, world), "the garbage collectors know the kinds", COLLECTED, every=1.0)
        yield world
    finally:
        await world.close()


async def _collected(world: World) -> bool:
    """Whether garbage collectors watch our kinds: that begins with lists, and before it every owner is asked for."""
    kinds = [(world.control, K8SSANDRA_CLUSTERS), *((plane, CASSANDRA_DATACENTERS) for plane in world.planes.values())]
    for plane, kind in kinds:
        metrics = (await plane.client.raw("GET", "/metrics")).decode()
        lines = [line for line in metrics.splitlines() if line.startswith("apiserver_longrunning_requests{")]
        running = [each for family in text_string_to_metric_families("\n".join(lines)) for each in family.samples]
        if not any(
            (each.labels["resource"], each.labels["verb"]) == (kind.plural, "WATCH") and each.value for each in running
        ):
            return False
    return True


def _apart(objects: list[dict[str, Any]], namespace: str) -> list[dict[str, Any]]:
    """Bindings of the whole cluster with names of their own: two worlds on one server must not take each other's."""
    for obj in objects:
        if obj["kind"] == "ClusterRoleBinding":
            obj["metadata"]["name"] += f"-{namespace}"
    return objects


@asynccontextmanager
async def operated(world: World, ready_after: float) -> AsyncIterator[None]:
    """A simulated cass-operator in each data plane, for every namespace."""
    operators = asyncio.create_task(world.operate(ready_after))
    try:
        yield
    finally:
        operators.cancel()
        await asyncio.gather(operators, return_exceptions=True)


class _Token(msgspec.Struct):
    token: str


class _TokenRequest(msgspec.Struct):
    status: _Token


class RunningController:
    """``python -m controller run``, and how many requests it has made."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        embedded: Sequence[ApiServer],
        metrics_url: str,
        session: aiohttp.ClientSession,
    ) -> None:
        self._process = process
        self._embedded = embedded
        self._metrics_url = metrics_url
        self._session = session

    def cpu(self) -> float:
        """CPU seconds used so far."""
        return cpu_of(self._process.pid)

    def memory(self) -> float:
        """Resident memory now, in MiB."""
        return resident_mib(self._process.pid)

    async def requests(self) -> Counter[tuple[str, str]]:
        """Requests so far by verb and plural.group ("" for /version and the like).

        Embedded servers are asked, by the user agent; of real ones the controller's own metrics tell.
        """
        asked: Counter[tuple[str, str]] = Counter()
        if self._embedded:
            for server in self._embedded:
                for (verb, resource, agent), count in server.record.counts.items():
                    if agent == USER_AGENT:
                        asked[verb, resource] += count
            return asked
        for labels, count in await self._samples("k8ssandra_controller_api_requests_total"):
            asked[labels["verb"], labels["resource"]] += count
        return asked

    async def reconciles(self) -> int:
        """Passes so far over all kinds and contexts."""
        return sum(count for _, count in await self._samples("k8ssandra_controller_reconciles_total"))

    async def _samples(self, name: str) -> list[tuple[dict[str, str], int]]:
        async with self._session.get(self._metrics_url) as response:
            families = list(text_string_to_metric_families(await response.text()))
        return [(each.labels, int(each.value)) for family in families for each in family.samples if each.name == name]


async def as_account(plane: Plane, namespace: str) -> Access:
    """The way to a server for the account that `manifests/` give the controller there, with its rights."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    path = SERVICE_ACCOUNTS.path(namespace, ACCOUNT, "token")
    issued = msgspec.json.decode(await plane.client.raw("POST", path, body=body), type=_TokenRequest)
    return msgspec.structs.replace(plane.access, token=issued.status.token)


@asynccontextmanager
async def controller(found: Servers, world: World) -> AsyncIterator[RunningController]:
    """The controller as its own service account, connected to every data plane; gone afterwards."""
    access = await as_account(world.control, world.namespace)
    metrics, health = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        kubeconfig = Path(folder, "kubeconfig")
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_bytes(render_kubeconfig(access, "control-plane", ACCOUNT))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "controller", "run",
            "--kubeconfig", str(kubeconfig),
            "--watch-namespace", world.namespace,
            "--metrics-bind-address", f"127.0.0.1:{metrics}",
            "--health-probe-bind-address", f"127.0.0.1:{health}",
            "--log-level", "error", "--log-format", "console",
            cwd=ROOT,
            stdout=sys.stderr,
        )  # fmt: skip
        try:
            async with aiohttp.ClientSession() as session:
                one = RunningController(process, found.embedded, f"http://127.0.0.1:{metrics}/metrics", session)
                await until(lambda: _connected(world), "the controller is connected to every cluster")
                yield one
        finally:
            await end(process)


async def _connected(world: World) -> bool:
    found = await world.control.client.list_all(CLIENT_CONFIGS, world.namespace)
    states = [find((obj.decode(dict).get("status") or {}).get("conditions"), "Ready") for obj in found]
    return len(states) == len(world.planes) and all(state.get("status") == "True" for state in states)


async def until(condition: Callable[[], Any], what: str, within: float = READY_WITHIN, *, every: float = POLL) -> None:
    """Wait until ``condition`` holds, looking ``every`` so many seconds; fails naming ``what``."""
    try:
        async with asyncio.timeout(within):
            while not await condition():
                await asyncio.sleep(every)
    except TimeoutError:
        raise RuntimeError(f"not within {within:g} s: {what}") from None


async def ready(world: World, names: Sequence[str]) -> bool:
    """Whether these K8ssandraClusters are Ready."""
    found = {obj.head.name: obj for obj in await world.control.client.list_all(K8SSANDRA_CLUSTERS, world.namespace)}
    return all(name in found and is_ready(found[name]) for name in names)


def is_ready(obj: Object) -> bool:
    return find((obj.decode(dict).get("status") or {}).get("conditions"), "Ready").get("status") == "True"


async def rest(running: RunningController) -> None:
    """Wait until the controller has written nothing for a while."""
    last, since = -1, 0.0
    loop = asyncio.get_running_loop()
    while (now := loop.time()) - since < REST:
        if (count := writes(await running.requests())) != last:
            last, since = count, now
        await asyncio.sleep(0.1)


def counted(before: Mapping[Any, int], after: Mapping[Any, int]) -> Counter[tuple[str, str]]:
    """What was asked meanwhile, by verb and kind."""
    return Counter({key: count - before.get(key, 0) for key, count in after.items() if count > before.get(key, 0)})


def unary(requests: Mapping[tuple[str, str], int]) -> int:
    """Requests without watches, probes (those that are about no kind), Events, and calls of pods."""
    return sum(n for (verb, kind), n in requests.items() if verb != "watch" and kind not in NOT_COUNTED)


def writes(requests: Mapping[tuple[str, str], int]) -> int:
    """The same, of those that change something."""
    return sum(n for (verb, kind), n in requests.items() if verb not in READS | {"watch"} and kind not in NOT_COUNTED)


def sample(name: str) -> dict[str, Any]:
    """The sample K8ssandraCluster under another name, its datacenters and pods too."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "manifests" / "samples" / "demo.yaml").read_text("utf-8"))
    document["metadata"]["name"] = name
    for number, datacenter in enumerate(document["spec"]["cassandra"]["datacenters"], 1):
        datacenter["metadata"]["name"] = f"{name}-dc{number}"
    return document


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; the mean of the middle two for 50."""
    ordered = sorted(values)
    if percent == 50:
        half = len(ordered) // 2
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
