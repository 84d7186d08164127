"""Cassandra's Management API, simulated: rings of nodes that keep keyspaces and agree on a schema."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final, Literal, TypeAlias
from weakref import WeakKeyDictionary, ref

import msgspec

from controller.kube.transport import Request, Response
from controller.sandbox.pod_network import PodNetwork, Unreachable

PORT: Final = 8080
NETWORK_TOPOLOGY: Final = "org.apache.cassandra.locator.NetworkTopologyStrategy"
SIMPLE: Final = "org.apache.cassandra.locator.SimpleStrategy"
LOCAL: Final = "org.apache.cassandra.locator.LocalStrategy"
SHARED: Final = ("system_auth", "system_distributed", "system_traces")
OF_DSE: Final = ("dse_leases", "dse_perf", "dse_security")
UNREACHABLE: Final = "UNREACHABLE"  # as the nodes are listed whose schema nobody knows
_INITIAL: Final = re.compile(r"system_distributed_replication=([^\s\"',]+:\d+(?:,[^\s\"',]+:\d+)*)")

Effect: TypeAlias = Literal["status", "hang", "unreachable", "garbage"]
Replication: TypeAlias = dict[str, str]


class Trouble(msgspec.Struct):
    """What goes wrong with calls whose path contains ``path``, to nodes of ``datacenter`` ("" for any).

    ``times``: for how many calls, None for ever. ``delay``: seconds before the answer.
    """

    path: str = ""
    datacenter: str = ""
    effect: Effect = "status"
    status: int = 500
    delay: float = 0.0
    times: int | None = None


class Call(msgspec.Struct, frozen=True):
    """One call that a ring has answered."""

    datacenter: str
    method: str
    path: str
    keyspace: str
    status: int


class Ring:
    """One Cassandra cluster: keyspaces are its, schema versions its nodes'. ``troubles`` are a test's to put in."""

    def __init__(self, initial: str, kind: str) -> None:
        self.keyspaces: dict[str, Replication] = {}
        self.nodes: dict[str, Node] = {}  # by address
        self.troubles: list[Trouble] = []
        self.calls: list[Call] = []
        self.disagreement: dict[str, list[str]] = {}  # versions besides the ring's own
        self._version = 0
        shares = dict(share.split(":", 1) for share in initial.split(",")) if initial else {}
        begun = {"class": NETWORK_TOPOLOGY, **shares} if shares else {"class": SIMPLE, "replication_factor": "1"}
        for name in (*SHARED, *(OF_DSE if kind == "dse" else ())):
            self.keyspaces[name] = dict(begun)
        for name in ("system", "system_schema"):
            self.keyspaces[name] = {"class": LOCAL}

    @property
    def datacenters(self) -> set[str]:
        return {node.datacenter for node in self.nodes.values()}

    def versions(self) -> dict[str, list[str]]:
        """Addresses by schema version."""
        return {f"{self._version:08x}-0000-4000-8000-000000000000": sorted(self.nodes), **self.disagreement}

    def change(self, keyspace: str, replication: Replication) -> None:
        self.keyspaces[keyspace] = replication
        self._version += 1

    def trouble(self, node: Node, path: str) -> Trouble | None:
        for trouble in self.troubles:
            if trouble.path in path and trouble.datacenter in ("", node.datacenter):
                if trouble.times is not None:
                    trouble.times -= 1
                    if trouble.times <= 0:
                        self.troubles.remove(trouble)
                return trouble
        return None


class _Setting(msgspec.Struct):
    dc_name: str
    replication_factor: str


class _Keyspace(msgspec.Struct):
    keyspace_name: str
    replication_settings: list[_Setting]


class Node:
    """The Management API of one node."""

    def __init__(self, ring: Ring, datacenter: str, address: str) -> None:
        self.ring = ring
        self.datacenter = datacenter
        self.address = address

    async def answer(self, request: Request) -> Response:
        keyspace = dict(request.query).get("keyspaceName", "")
        if request.method == "POST":
            keyspace = str(msgspec.json.decode(request.body).get("keyspace_name", ""))
        trouble = self.ring.trouble(self, request.path)
        answer = await self._answer(request, trouble)
        self.ring.calls.append(Call(self.datacenter, request.method, request.path, keyspace, answer.status))
        return answer

    async def _answer(self, request: Request, trouble: Trouble | None) -> Response:
        if trouble is None:
            return self._serve(request)
        if trouble.delay:
            await asyncio.sleep(trouble.delay)
        match trouble.effect:
            case "hang":
                await asyncio.get_running_loop().create_future()
                raise AssertionError("nobody answers")
            case "unreachable":
                raise Unreachable(f"dial tcp {self.address}:{PORT}: connect: no route to host")
            case "garbage":
                return _json(200, ["what", {"is": "this"}])
            case _:
                if trouble.status != 200:
                    return _text(trouble.status, "it was asked to fail")
                return self._serve(request)

    def _serve(self, request: Request) -> Response:
        ring, query = self.ring, dict(request.query)
        match request.method, request.path:
            case "GET", "/api/v0/ops/keyspace":
                wanted = query.get("keyspaceName", "")
                return _json(200, [name for name in sorted(ring.keyspaces) if wanted in ("", name)])
            case "GET", "/api/v0/ops/keyspace/replication":
                name = query.get("keyspaceName", "")
                if not name:
                    return _text(400, "Get keyspace replication failed. Non-empty 'keyspaceName' must be provided")
                if name not in ring.keyspaces:
                    return _text(404, f"Get keyspace replication failed. Keyspace '{name}' does not exist.")
                return _json(200, ring.keyspaces[name])
            case "POST", "/api/v0/ops/keyspace/create" | "/api/v0/ops/keyspace/alter":
                return self._change(request)
            case "GET", "/api/v1/ops/node/schema/versions":
                return _json(200, ring.versions())
            case _:
                return _text(404, "no such call")

    def _change(self, request: Request) -> Response:
        try:
            wanted = msgspec.json.decode(request.body, type=_Keyspace)
            shares = {entry.dc_name: str(int(entry.replication_factor)) for entry in wanted.replication_settings}
        except (msgspec.MsgspecError, ValueError):
            return _text(400, "Altering keyspace failed: the body cannot be read")
        ring = self.ring
        exists = wanted.keyspace_name in ring.keyspaces
        if exists == request.path.endswith("/create") or not shares:
            return _text(500, "Altering keyspace failed")
        known = ring.datacenters | ring.keyspaces.get(wanted.keyspace_name, {}).keys()
        if unknown := set(shares) - known:
            option = sorted(unknown)[0]
            return _text(500, f"Unrecognized strategy option {{{option}}} passed to NetworkTopologyStrategy")
        ring.change(wanted.keyspace_name, {"class": NETWORK_TOPOLOGY, **shares})
        return _text(200, "OK")


class Rings:
    """The rings of one pod network, each known by its name and by whose it is."""

    def __init__(self, network: PodNetwork) -> None:
        self._network = ref(network)  # which owns us
        self._rings: dict[tuple[str, ...], Ring] = {}
        self._founders: dict[tuple[str, ...], str] = {}  # the datacenter that a ring began with, and its UID

    def join(self, key: tuple[str, ...], datacenter: str, uid: str, address: str, *, config: Any, kind: str) -> Ring:
        """A node comes up. The first datacenter of a ring founds it, with the replication that its options say."""
        founder = f"{datacenter}/{uid}"
        begun = self._founders.get(key, "")
        if not begun or (begun.startswith(f"{datacenter}/") and begun != founder):
            found = _INITIAL.search(msgspec.json.encode(config).decode())
            self._rings[key] = Ring(found[1] if found else "", kind)
            self._founders[key] = founder
        ring = self._rings[key]
        if address not in ring.nodes:
            ring.nodes[address] = node = Node(ring, datacenter, address)
            if (network := self._network()) is not None:
                network.attach(address, PORT, node)
        return ring

    def leave(self, key: tuple[str, ...], address: str) -> None:
        """A node goes down for good."""
        if (ring := self._rings.get(key)) is not None:
            ring.nodes.pop(address, None)
            if (network := self._network()) is not None:
                network.detach(address, PORT)

    def find(self, name: str, namespace: str = "") -> Ring:
        """The ring of a Cassandra cluster, for tests; raises ``KeyError``."""
        for key, ring in self._rings.items():
            if key[0] == name and namespace in ("", key[1]):
                return ring
        raise KeyError(name)


_RINGS: Final[WeakKeyDictionary[PodNetwork, Rings]] = WeakKeyDictionary()


def rings(network: PodNetwork) -> Rings:
    """The rings of a pod network."""
    return _RINGS.setdefault(network, Rings(network))


def _json(status: int, value: Any) -> Response:
    return Response(status=status, headers={"content-type": "application/json"}, body=msgspec.json.encode(value))


def _text(status: int, text: str) -> Response:
    return Response(status=status, headers={"content-type": "text/plain"}, body=text.encode())
