"""Snapshots to plan from: a K8ssandraCluster and what its clusters hold; a test changes one thing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import msgspec

from controller.cassandra import labels
from controller.cassandra.plan import Plan, plan
from controller.cassandra.plan.model import Problem
from controller.cassandra.render import Rendered, replicated_secret, seed_slices, superuser_secret
from controller.cassandra.snapshot import Away, DatacenterView, Leftover, Snapshot
from controller.cassandra.system_replication import format_replication, initial_system_replication
from controller.cassandra.types import CassandraDatacenter, K8ssandraCluster
from controller.fleet import former
from controller.fleet.actions import FIELD_MANAGER, Action, Adopt, Apply, Create, Delete, Merge
from controller.kube import conditions, merge_patch, ownership
from controller.kube.objects import Object, parse
from tests.unit.cassandra.samples import datacenter, manifest, rendered, typed

NOW = "2026-11-23T00:00:00Z"


class World:
    """One K8ssandraCluster and everything of its, as JSON. ``snapshot`` freezes it; ``settle`` carries plans out."""

    def __init__(self, *names: str, spec: dict[str, Any] | None = None, **cassandra: Any) -> None:
        self.manifest = manifest(*(datacenter(name) for name in names or ("dc1", "dc2")), spec=spec, **cassandra)
        self.superuser: dict[str, Any] | None = None
        self.superuser_of = ""
        self.replicated: dict[str, Any] | None = None
        self.live: dict[tuple[str, str], dict[str, Any]] = {}  # CassandraDatacenters by context and name
        self.config_maps: dict[tuple[str, str], dict[str, Any]] = {}
        self.slices: dict[tuple[str, str], dict[str, Any]] = {}
        self.seeds: dict[str, tuple[str, ...]] = {}
        self.secrets_ready = True
        self.away: dict[str, Away] = {}
        self.unknown: set[str] = set()  # contexts whose caches were never filled
        self.absent: tuple[str, ...] = ()
        self._versions = 0

    # ── changing it ─────────────────────────────────────────────────────────────────────────────────

    @property
    def metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = self.manifest["metadata"]
        return found

    @property
    def cassandra(self) -> dict[str, Any]:
        found: dict[str, Any] = self.manifest["spec"]["cassandra"]
        return found

    @property
    def cluster(self) -> K8ssandraCluster:
        return typed(self.manifest)

    def change(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """A user edits spec.cassandra."""
        edit(self.cassandra)
        self.metadata["generation"] += 1

    def prepared(self) -> World:
        """The control plane's own objects are in place."""
        self.metadata["finalizers"] = [labels.FINALIZER]
        text = format_replication(initial_system_replication(self.cluster))
        self.metadata["annotations"] = {labels.INITIAL_SYSTEM_REPLICATION: text}
        self.superuser = _stored(superuser_secret(self.cluster, "secret"))
        replicated = replicated_secret(self.cluster)
        self.replicated = _stored(replicated) if replicated is not None else None
        return self

    def ready(self, context: str, name: str, **status: Any) -> None:
        """cass-operator has carried out what is there."""
        found = self.live[context, name]
        state = "Stopped" if found["spec"].get("stopped") else "Ready"
        found["status"] = {
            "cassandraOperatorProgress": "Ready",
            "observedGeneration": found["metadata"]["generation"],
            "conditions": [{"type": state, "status": "True", "reason": "", "message": ""}],
            **status,
        }

    def converged(self) -> World:
        """Everything is as it should be, and the status says so."""
        self.prepared()
        for number, entry in enumerate(self.cassandra["datacenters"], 1):
            self.seeds[entry["metadata"]["name"]] = (f"10.{number}.0.1",)
        for _ in range(20):
            result = self.plan()
            if not self.carry_out(result):
                return self
        raise AssertionError("it does not converge")

    def carry_out(self, result: Plan) -> bool:
        """Do what a plan asks for, let cass-operators finish, show the status; whether that changed anything."""
        before = copy.deepcopy((self.manifest, self.live, self.config_maps, self.slices))
        for context, chains in result.chains.items():
            for chain in chains:
                for action in chain.actions:
                    self._perform(context, action)
        for context, name in self.live:
            self.ready(context, name)
        if result.status is not None:
            self.show(result)
        return before != (self.manifest, self.live, self.config_maps, self.slices)

    def show(self, result: Plan) -> None:
        """Store a plan's status as the server would."""
        assert result.status is not None
        status = self.manifest.setdefault("status", {})
        status["conditions"] = conditions.merge(status.get("conditions", []), result.status.conditions, NOW)
        status["datacenters"] = copy.deepcopy(result.status.datacenters)
        status["error"] = result.status.error
        status["observedGeneration"] = result.status.observed_generation

    def _perform(self, context: str, action: Action) -> None:
        stores: dict[str, dict[tuple[str, str], dict[str, Any]]] = {
            "CassandraDatacenter": self.live,
            "ConfigMap": self.config_maps,
            "EndpointSlice": self.slices,
        }
        store = stores.get(action.resource.kind)
        if store is None:
            return
        match action:
            case Create(_, obj):
                store[context, obj["metadata"]["name"]] = _stored(obj)
            case Apply(_, obj, live):
                key = (context, live.head.name)
                before = store[key]["metadata"]
                store[key] = {**_stored(obj), "status": store[key].get("status", {})}
                store[key]["metadata"] |= {"uid": before["uid"], "generation": before["generation"] + 1}
            case Merge(_, patch, live):
                key = (context, live.head.name)
                store[key] = merge_patch.merge(store[key], patch)
            case Adopt(_, obj, patch, live):
                key = (context, live.head.name)
                found = merge_patch.merge(store[key], patch)
                adopted = ownership.adopt(found, FIELD_MANAGER, former.share_of(found, obj, FIELD_MANAGER))
                assert adopted is not None
                found["metadata"]["managedFields"] = adopted.entries
                store[key] = found
            case Delete(_, live):
                del store[context, live.head.name]

    # ── looking at it ───────────────────────────────────────────────────────────────────────────────

    def snapshot(self) -> Snapshot:
        cluster = self.cluster
        found = rendered(cluster) if "deletionTimestamp" not in self.metadata else Rendered()
        by_name = {entry.name: entry for entry in found.datacenters}
        template = cluster.spec.cassandra
        templates = {entry.name: entry for entry in template.datacenters} if template is not None else {}
        views = []
        for name in found.order:
            context = templates[name].k8s_context
            live = self.live.get((context, name))
            views.append(
                DatacenterView(
                    name=name,
                    context=context,
                    namespace=templates[name].metadata.namespace or cluster.namespace,
                    rendered=by_name.get(name),
                    away=self.away.get(context),
                    known=context not in self.unknown,
                    live=_object(live) if live is not None else None,
                    decoded=_object(live).decode(CassandraDatacenter) if live is not None else None,
                    config_maps=self._in(self.config_maps, context),
                    slices=self._in(self.slices, context),
                    seeds=self.seeds.get(name, ()) if context not in self.unknown else (),
                    secrets_ready=self.secrets_ready,
                )
            )
        own = {view.name: view.live for view in views}
        return Snapshot(
            cluster=cluster,
            object=_object(self.manifest),
            rendered=found,
            views=tuple(views),
            superuser=_object(self.superuser) if self.superuser else None,
            superuser_of=self.superuser_of,
            replicated=_object(self.replicated) if self.replicated else None,
            datacenters=tuple(
                Leftover(context, own.get(name) or _object(live))
                for (context, name), live in self.live.items()
                if context not in self.unknown
            ),
            away=tuple(self.away.items()),
            unseen=tuple(self.unknown),
            absent=self.absent,
        )

    def plan(self, *reported: Problem) -> Plan:
        return plan(self.snapshot(), reported)

    def _in(self, store: dict[tuple[str, str], dict[str, Any]], context: str) -> tuple[Object, ...]:
        return tuple(_object(obj) for (where, _), obj in store.items() if where == context)

    def seed_slice(self, name: str, *addresses: str) -> None:
        """The slices of a datacenter hold these addresses now."""
        snapshot = self.snapshot()
        view = next(view for view in snapshot.views if view.name == name)
        assert view.rendered is not None
        for made in seed_slices(snapshot.cluster, view.rendered, addresses):
            self.slices[view.context, made["metadata"]["name"]] = _stored(made)


def done(result: Plan, context: str | None = None) -> list[str]:
    """What a plan asks for, as ``create ConfigMap demo-dc1-metrics-agent-config``, in order."""
    return [
        f"{type(action).__name__.lower()} {action.resource.kind} {_name(action)}"
        for where, chains in result.chains.items()
        if context in (None, where)
        for chain in chains
        for action in chain.actions
    ]


def touched(result: Plan) -> list[str]:
    """The CassandraDatacenters that a plan creates or writes, with the verb."""
    return [entry.replace(" CassandraDatacenter", "") for entry in done(result) if "CassandraDatacenter" in entry]


def condition(result: Plan, kind: str = "Ready") -> tuple[str, str]:
    """Status and reason of a condition; ("", "") when it is not said."""
    assert result.status is not None
    return next(((entry.status, entry.reason) for entry in result.status.conditions if entry.type == kind), ("", ""))


def said(result: Plan, kind: str = "Ready") -> str:
    """Message of a condition."""
    assert result.status is not None
    return next(entry.message for entry in result.status.conditions if entry.type == kind)


def waits(result: Plan) -> dict[str, str]:
    """Reasons of what is waited for, by datacenter."""
    return {wait.datacenter: wait.reason for wait in result.waits}


def problems(result: Plan) -> list[tuple[str, str]]:
    return [(problem.datacenter, problem.reason) for problem in result.problems]


def _name(action: Action) -> str:
    return str(action.object["metadata"]["name"]) if isinstance(action, (Create, Apply)) else action.live.head.name


def _stored(obj: dict[str, Any]) -> dict[str, Any]:
    found = copy.deepcopy(obj)
    found["metadata"] |= {"uid": f"uid-of-{found['metadata']['name']}", "resourceVersion": "7", "generation": 1}
    return found


def _object(obj: dict[str, Any]) -> Object:
    return parse(msgspec.json.encode(obj))
