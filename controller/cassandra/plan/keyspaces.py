"""Which system keyspaces have to be extended to which datacenters, and who is asked to do it. Pure.

Replication is only ever extended: what a user or another tool has put into a keyspace stays, unless it asks for more
replicas than a datacenter has nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from controller.cassandra import names
from controller.cassandra.labels import CASS_CLUSTER, CASS_DATACENTER, INITIAL_SYSTEM_REPLICATION
from controller.cassandra.plan.model import Problem, Wait
from controller.cassandra.rounds import Round, Share
from controller.cassandra.snapshot import DatacenterView, Snapshot
from controller.cassandra.system_replication import REPLICAS, parse_replication
from controller.kube.conditions import Condition
from controller.management.replication import NETWORK_TOPOLOGY, Replication

NOT_REPLICATED: Final = "SystemKeyspacesNotReplicated"
CONDITION: Final = "SystemKeyspacesReplicated"
KEYSPACES: Final = ("system_traces", "system_distributed", "system_auth")
OF_DSE: Final = ("dse_leases", "dse_perf", "dse_security")


def next_round(snapshot: Snapshot, waiting: Iterable[str] = ()) -> Round | None:
    """What is to be done now; None: nothing, or nothing that can be done now.

    ``waiting``: contexts with something else to do, which may have to wait for this.
    """
    known = snapshot.keyspaces
    if known.assumed or snapshot.deleting or snapshot.settling or _unseen(snapshot):
        return None
    members = [view for view in snapshot.views if _initialized(view)]
    candidates = [view for view in members if view.reached and not view.stopped]
    if not candidates:
        return None
    shares = _shares(snapshot, members)
    wanted = _keyspaces(snapshot)
    uids = frozenset(view.live.head.uid for view in members if view.live is not None)
    seen = known.read is not None and uids <= known.uids and all(name in known.read for name in wanted)
    if seen and not any(desired(known.read[name], shares) for name in wanted if known.read is not None):
        return None
    # After a failure another datacenter is asked: the nodes of one may be out of reach for a while.
    asked = candidates[known.failures % len(candidates)]
    return Round(
        datacenter=asked.name,
        context=asked.context,
        namespace=asked.namespace,
        marks=_marks(snapshot, asked),
        client_secret=_client_secret(asked),
        keyspaces=wanted,
        shares=shares,
        uids=uids,
        contexts=tuple(dict.fromkeys(view.context for view in members)),
        awaited=not all(_extended(snapshot, view) for view in members),
        waiting=tuple(dict.fromkeys(waiting)),
    )


def desired(live: Replication, shares: tuple[Share, ...]) -> dict[str, int] | None:
    """The replicas that a keyspace should have, by datacenter; None when it is good as it is.

    More than is asked for stays, and so do datacenters that nobody asks for.
    """
    replicas = dict(live.replicas)
    for share in shares:
        has = replicas.get(share.datacenter, 0)
        if share.nodes is None:
            replicas[share.datacenter] = has or share.replicas
        else:
            replicas[share.datacenter] = min(max(has, share.replicas), share.nodes)
    return replicas if replicas != live.replicas or live.strategy != NETWORK_TOPOLOGY else None


def held(snapshot: Snapshot, view: DatacenterView) -> Wait | Problem | None:
    """Why a datacenter that is Ready cannot be used yet: no replica of the roles is in it. None when it can."""
    known = snapshot.keyspaces
    if known.assumed or view.stopped or _extended(snapshot, view):
        return None
    if (away := _unseen(snapshot)) is not None:
        message = f"{view.name}: the system keyspaces are not changed while datacenter {away.name} cannot be reached"
        return Wait(NOT_REPLICATED, message, view.name)
    if (trouble := known.trouble) is not None:
        text = f"{view.name}: the system keyspaces cannot be extended to it: {trouble.message}"
        kind: type[Wait] | type[Problem] = Wait if trouble.passing else Problem
        return kind(trouble.reason, text, view.name)
    message = f"{view.name}: the system keyspaces are being extended to it; until then nobody can log in through it"
    return Wait(NOT_REPLICATED, message, view.name, brief=True)


def notices(snapshot: Snapshot) -> list[Condition]:
    """A condition when it is not known whether the system keyspaces are right, or they cannot be put right."""
    known = snapshot.keyspaces
    if known.trouble is None or known.trouble.passing or snapshot.deleting:
        return []
    return [
        Condition(
            type=CONDITION,
            status="Unknown" if known.read is None else "False",
            reason=known.trouble.reason,
            message=known.trouble.message,
            observed_generation=snapshot.cluster.metadata.generation,
        )
    ]


# ── what counts ─────────────────────────────────────────────────────────────────────────────────────


def cass_name(view: DatacenterView) -> str:
    """What Cassandra calls the datacenter."""
    spec: Mapping[str, object] = view.decoded.spec if view.decoded is not None else {}
    return str(spec.get("datacenterName") or view.name)


def _initialized(view: DatacenterView) -> bool:
    """Whether its nodes have been part of the ring; one that is stopped, or goes, gets no replicas, and keeps those."""
    if view.live is None or view.decoded is None or view.live.head.deletion_timestamp is not None:
        return False
    return (view.decoded.status.is_true("Initialized") or view.reached) and not view.stopped


def _unseen(snapshot: Snapshot) -> DatacenterView | None:
    """A datacenter that counts and of which nothing is known now: while there is one, nothing is changed.

    One that was never made has no part in the ring.
    """
    away = [view for view in snapshot.views if (view.away is not None or not view.known) and not view.stopped]
    deployed = snapshot.deployed if away else {}
    return next((view for view in away if view.name in deployed), None)


def _shares(snapshot: Snapshot, members: list[DatacenterView]) -> tuple[Share, ...]:
    found = [Share(cass_name(view), min(REPLICAS, size), size) for view in members if (size := _size(view))]
    found += [Share(name, REPLICAS) for name in snapshot.cluster.spec.external_datacenters]
    return tuple({share.datacenter: share for share in reversed(found)}.values())[::-1]


def _size(view: DatacenterView) -> int:
    size = view.decoded.spec.get("size") if view.decoded is not None else None
    return size if isinstance(size, int) and size > 0 else 0


def _keyspaces(snapshot: Snapshot) -> tuple[str, ...]:
    cassandra = snapshot.cluster.spec.cassandra
    return (*KEYSPACES, *OF_DSE) if cassandra is not None and cassandra.server_type == "dse" else KEYSPACES


def _extended(snapshot: Snapshot, view: DatacenterView) -> bool:
    known, name = snapshot.keyspaces, cass_name(view)
    if known.read is not None:
        return all(replication.replicas.get(name, 0) > 0 for replication in known.read.values())
    # Nothing was read since the controller started. What the ring began with, or was said to be Ready, is taken for
    # granted until something else is seen: a Management API that does not answer is no reason to call it in question.
    began = parse_replication(snapshot.cluster.metadata.annotations.get(INITIAL_SYSTEM_REPLICATION, "")) or {}
    if name in began:
        return True
    shown = {entry.type: entry.status for entry in snapshot.cluster.status.conditions}
    own = shown.get(f"DatacenterReady.{view.name}")
    if own is not None:
        return own == "True"
    taken_over = not any(kind.startswith("DatacenterReady.") for kind in shown)
    return taken_over and shown.get("CassandraInitialized") == "True"


def _marks(snapshot: Snapshot, view: DatacenterView) -> tuple[tuple[str, str], ...]:
    return (
        (CASS_CLUSTER, names.label_value(snapshot.cluster.cass_name)),
        (CASS_DATACENTER, names.label_value(view.name)),
    )


def _client_secret(view: DatacenterView) -> str:
    auth = view.decoded.spec.get("managementApiAuth") if view.decoded is not None else None
    manual = auth.get("manual") if isinstance(auth, dict) else None
    name = manual.get("clientSecretName") if isinstance(manual, dict) else None
    return name if isinstance(name, str) else ""
