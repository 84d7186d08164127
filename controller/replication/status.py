"""What a ReplicatedSecret says of itself: one condition for each target."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from controller.engine.clock import Clock, rfc3339
from controller.fleet.actions import Merge, NameConflict, ObserveAgain, perform
from controller.fleet.health import health
from controller.fleet.pool import Pool
from controller.kube import errors
from controller.kube.objects import Object
from controller.kube.projection import Projection
from controller.kube.resources import SECRETS
from controller.replication.copies import Refused
from controller.replication.types import FINALIZER, REPLICATED_SECRETS, REPLICATION, ReplicatedSecret


class Outcome(msgspec.Struct, frozen=True):
    """What became of one target in the last pass of its context."""

    context: str
    namespace: str
    ok: bool
    reason: str
    message: str = ""
    told_elsewhere: bool = False  # it is the whole cluster's trouble, of which its ClientConfig tells


PENDING: Final = "Pending"  # reason of a target whose context's own pass ends soon: not worth a write


def reason_of(error: Exception) -> str:
    """The reason that a failure is shown with."""
    match error:
        case Refused():
            return error.reason
        case NameConflict():
            return "NameConflict"
        case errors.WebhookFailed():
            return "WebhookFailed"
        case errors.Forbidden():
            return "Forbidden"
        case errors.NotFound():
            return "NamespaceNotFound"
        case errors.ApiError():
            return "Rejected"
        case _:
            return "Unreachable"


class ReplicationStatus:
    """Writes the conditions; remembers what the CRD drops of them."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._projection = Projection()

    def by_target(
        self, replicated: ReplicatedSecret, outcomes: dict[str, tuple[Outcome, ...]], emptied: set[str]
    ) -> list[Outcome]:
        """One outcome for each target in their order.

        ``outcomes``: of the passes that were, by context. ``emptied``: contexts without a copy, when deleting.
        """
        found: list[Outcome] = []
        for target in replicated.spec.replication_targets:
            context = target.k8s_context_name
            place = sum(entry.context == context for entry in found)  # among the targets in this context
            found.append(self._of_target(replicated, context, target.namespace, outcomes, emptied, place))
        return found

    async def show(self, found: Object, outcomes: list[Outcome]) -> None:
        """Write one condition for each outcome, if they differ from the live ones."""
        status = found.decode(dict).get("status")
        shown = status.get("conditions") if isinstance(status, dict) else None
        live = [entry if isinstance(entry, dict) else {} for entry in shown] if isinstance(shown, list) else []
        now = rfc3339(self._clock.now())
        entries: list[dict[str, Any]] = []
        for index, outcome in enumerate(outcomes):
            before = live[index] if index < len(live) and live[index].get("cluster", "") == outcome.context else {}
            state = "True" if outcome.ok else "False"
            unchanged = before.get("status") == state and before.get("lastTransitionTime")
            entries.append(
                {
                    "cluster": outcome.context,
                    "type": REPLICATION,
                    "status": state,
                    "lastTransitionTime": before["lastTransitionTime"] if unchanged else now,
                    "namespace": outcome.namespace,
                    "reason": outcome.reason,
                    "message": errors.clean(outcome.message),
                    "observedGeneration": found.head.generation,
                }
            )
        wanted = {"conditions": entries}
        if self._projection.project(wanted)["conditions"] == live:
            return
        local = self._pool.local
        merge = Merge(REPLICATED_SECRETS, {"status": wanted}, found, "status")
        try:
            written = await perform(merge, local.client, local.cache, lambda _: False)
        except (ObserveAgain, errors.NotFound):
            return  # changed or gone: its event starts the next pass
        assert written is not None
        self._projection.learn(wanted, written.decode(dict).get("status") or {})

    def _of_target(
        self,
        replicated: ReplicatedSecret,
        context: str,
        namespace: str,
        outcomes: dict[str, tuple[Outcome, ...]],
        emptied: set[str],
        place: int,
    ) -> Outcome:
        namespace = namespace or replicated.metadata.namespace
        deleting = bool(replicated.metadata.deletion_timestamp)
        escape = f"; when that cluster is gone for good, remove the finalizer {FINALIZER}" if deleting else ""
        cluster = self._pool.get(context)
        if deleting and context in emptied:
            return Outcome(context, namespace, False, "Deleted", "no copy is left")
        if cluster is None:
            message = f"no ClientConfig names context {context}; register the cluster or correct the target"
            return Outcome(context, namespace, False, "ContextNotFound", message + escape)
        if cluster.settling:
            return Outcome(context, namespace, False, PENDING)
        if not cluster.state.usable or not cluster.cache.synced(SECRETS):
            state = health(cluster)
            return Outcome(context, namespace, False, str(state.reason), state.message + escape, told_elsewhere=True)
        known = outcomes.get(context, ())
        if place < len(known) and known[place].namespace == namespace:
            return known[place]
        return Outcome(context, namespace, False, PENDING)  # the targets are others now: a pass follows
