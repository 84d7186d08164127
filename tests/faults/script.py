"""One story, told with and without a fault on the way to one of two data planes."""

from __future__ import annotations

import asyncio
import base64
import re
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.fleet.service_account import TOKEN_TYPE
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, PODS, SECRETS
from controller.kube.transport import Request
from tests.faults.faults import Fault
from tests.faults.path import Path, Seen
from tests.faults.virtual import simulate
from tests.faults.world import NAMESPACE, Shown, World, k8ssandra_cluster, world

Json = dict[str, Any]

CONTEXTS: Final = ("east", "west")
SICK: Final = "west"  # the fault is on the way to this one
HEALTHY: Final = ("", "east")

STEADY: Final = 35.0  # s; everything has long been Ready
EDITS: Final = 40.0  # s; people change specs, a Secret, and somebody deletes what is ours
SOON: Final = 10.0  # s in which a change must have begun to be carried out
LASTS: Final = 45.0  # s of a fault
SETTLING: Final = 70.0  # s after the fault until everything is repaired
SLOWLY: Final = 155.0  # s, where somebody has to wait: for a kind that was forbidden, 60 ± 12 s, or for silence, 90 s
QUIET: Final = 60.0  # s for which nothing may be written then


class Phase(StrEnum):
    """When the fault begins: with the controller, with the first list, in peace, or with the first change."""

    CONNECT = "connect"
    SYNC = "initial sync"
    STEADY = "steady watch"
    WRITE = "write"


class Told(msgspec.Struct):
    """What came of one run. Times in seconds; ``began`` and ``ended`` are the fault's."""

    began: float
    ended: float
    seen: list[Seen]
    shown: list[Shown]
    logs: list[Json]
    attempts: list[tuple[float, bool]]
    idle_writes: list[str]
    strays: int
    made: Counter[tuple[str, str, str]]
    """Objects that the controller created and deleted, but for what it restored: (context, verb, resource)."""
    state: dict[str, Json]
    """Every object of every cluster at the end, without what differs between any two runs."""

    def writes(self, *contexts: str, about: str = "") -> list[Seen]:
        return [
            seen
            for seen in self.seen
            if seen.writes
            and "/events" not in seen.path
            and "reviews" not in seen.path
            and "/proxy/" not in seen.path
            and (not contexts or seen.context in contexts)
            and about in f"{seen.path}/{seen.name}"
        ]

    def conditions(self, name: str) -> list[Shown]:
        return [shown for shown in self.shown if shown.name == name]


def tell(
    fault: Callable[[], Fault] | None = None,
    phase: Phase = Phase.STEADY,
    lasts: float = LASTS,
    *,
    where: str = SICK,
    settling: float = SLOWLY,
    quiet: float = QUIET,
) -> Told:
    """Tell the story; the same arguments give the same run. ``where``: "" is the control plane."""
    return simulate(lambda: _tell(fault() if fault else None, phase, lasts, where, settling, quiet))


async def _tell(fault: Fault | None, phase: Phase, lasts: float, where: str, settling: float, quiet: float) -> Told:
    async with world(CONTEXTS) as one:
        for context in CONTEXTS:
            one.register(context)
        one.apply(k8ssandra_cluster("near", {"east": 1}))
        one.apply(k8ssandra_cluster("wide", {"east": 1, "west": 1}))
        one.apply(k8ssandra_cluster("far", {"west": 1}))
        window = _Window(one.paths[where], fault, phase, lasts)
        one.start()
        await _at(STEADY)
        window.steady()
        await _at(EDITS)
        _edit(one)
        await asyncio.sleep(SOON)
        if fault is not None:
            assert window.ended, "the fault never began"
        await _at(max(EDITS, window.ended) + settling)
        settled = len(one.writes())
        await asyncio.sleep(quiet)
        late = one.writes()[settled:]
        assert late == [], "there is still something to write"
        await one.stop()
        return Told(
            began=window.began,
            ended=window.ended,
            seen=one.seen,
            shown=one.shown,
            logs=one.logs,
            attempts=one.paths[where].attempts,
            idle_writes=[path for way in one.paths.values() for path in way.idle_writes],
            strays=one.paths[SICK].strays,
            made=_made(one),
            state=state(one),
        )


class _Window:
    """When the fault begins and ends."""

    def __init__(self, path: Path, fault: Fault | None, phase: Phase, lasts: float) -> None:
        self.began = self.ended = 0.0
        self._path = path
        self._fault = fault
        self._phase = phase
        self._lasts = lasts
        if phase is Phase.CONNECT:
            self._begin()
        elif phase is not Phase.STEADY and fault is not None:
            self._path.on_request = self._on_request

    def steady(self) -> None:
        if self._phase is Phase.STEADY:
            self._begin()

    def _on_request(self, request: Request, served: bool) -> None:
        query = dict(request.query)
        first = (
            "watch" in query or "limit" in query
            if self._phase is Phase.SYNC
            else request.method != "GET" and asyncio.get_running_loop().time() >= EDITS
        )
        # A request that a fault lets through is at the server when the fault begins: what is lost is its answer.
        if first and served is (self._phase is Phase.WRITE):
            self._path.on_request = None
            self._begin()

    def _begin(self) -> None:
        if self._fault is None:
            return
        loop = asyncio.get_running_loop()
        self.began, self.ended = loop.time(), loop.time() + self._lasts
        self._path.begin(self._fault)
        loop.call_at(self.ended, self._path.end)


def _edit(one: World) -> None:
    """What people do at ``EDITS``."""
    for name, sizes in (
        ("near", {"east": 2}),
        ("wide", {"east": 2, "west": 2}),
        ("far", {"west": 2}),
    ):
        one.apply(k8ssandra_cluster(name, sizes))
    for name in ("near-superuser", "wide-superuser", "far-superuser"):
        password = base64.b64encode(b"changed").decode()
        metadata = {"name": name}
        one.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": password}})
    for context, name in (
        ("east", "near-near-east-metrics-agent-config"),
        ("west", "far-far-west-metrics-agent-config"),
    ):
        server = one.servers[context]
        path = CONFIG_MAPS.path(NAMESPACE, name)
        answer = server.handle(Request(method="DELETE", path=path), token=server.admin_token)
        assert answer.status in (200, 404)  # a fault may have kept it from being there


async def _at(moment: float) -> None:
    await asyncio.sleep(moment - asyncio.get_running_loop().time())


# ── comparing ───────────────────────────────────────────────────────────────────────────────────────

_VOLATILE: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # UIDs
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"  # moments
)
_LEFT_OUT: Final = frozenset({"resourceVersion", "generation", "managedFields"})
_COMPARED: Final = (
    K8SSANDRA_CLUSTERS.name,
    CASSANDRA_DATACENTERS.name,
    "clientconfigs.config.k8ssandra.io",
    "replicatedsecrets.replication.k8ssandra.io",
    CONFIG_MAPS.name,
    SECRETS.name,
    ENDPOINT_SLICES.name,
    PODS.name,
    "services",
)


def state(one: World) -> dict[str, Json]:
    found: dict[str, Json] = {}
    pods = {  # addresses are given in the order in which pods are made
        version.decode()["status"]["podIP"]: f"address of {context}/{version.name}"
        for context, server in one.servers.items()
        for version in server.core.storage.collection(PODS.name).objects.values()
    }
    for context, server in one.servers.items():
        for name in _COMPARED:
            for key, version in server.core.storage.collection(name).objects.items():
                obj = version.decode()
                if name == SECRETS.name and (obj.get("type") == TOKEN_TYPE or version.name.endswith("-config")):
                    continue  # credentials, which some runs rotate
                seen = (obj.get("status") or {}).get("observedGeneration")
                assert seen in (None, obj["metadata"].get("generation")), f"{key}: the status is of an older generation"
                obj["metadata"] = {k: v for k, v in obj["metadata"].items() if k not in _LEFT_OUT}
                (obj.get("status") or {}).pop("credentialsExpireAt", None)  # a run that rotates has another token
                if name == ENDPOINT_SLICES.name:
                    obj["metadata"].pop("annotations", None)  # a hash of addresses
                found[f"{context}:{name}/{key}"] = _steady(obj, pods)
    return found


def _steady(value: Any, pods: Mapping[str, str]) -> Any:
    match value:
        case dict():
            return {key: "?" if "eneration" in key else _steady(item, pods) for key, item in value.items()}
        case list():
            return sorted((_steady(item, pods) for item in value), key=repr)
        case str():
            return pods.get(value, _VOLATILE.sub("?", value))
        case _:
            return value


def _made(one: World) -> Counter[tuple[str, str, str]]:
    """What the servers carried out of the controller's creations and deletions."""
    writes = [
        (context, entry)
        for context, server in one.servers.items()
        for entry in server.record.writes
        if entry.status < 300
        and entry.subject.verb in ("create", "delete", "deletecollection")
        and not entry.subject.resource.startswith(("events", "selfsubject", "pods/proxy"))
    ]
    made = Counter(
        (context, entry.subject.verb, entry.subject.resource)
        for context, entry in writes
        if entry.user_agent == "controller"
    )
    deleted = Counter(
        (context, "create", entry.subject.resource)
        for context, entry in writes
        if entry.user_agent != "controller" and entry.subject.resource == CONFIG_MAPS.name
    )
    made.subtract(deleted)
    return made
