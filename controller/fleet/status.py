"""What a ClientConfig says of itself: the condition Ready, an event for each change, and metrics."""

from __future__ import annotations

from typing import Final

import structlog

from controller.engine.clock import Clock, rfc3339
from controller.engine.events import EventRecorder, Reference
from controller.engine.reflector import Phase
from controller.engine.worker import Done, Item, Rejected, Result
from controller.fleet.actions import Merge, ObserveAgain, perform
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.fleet.state import UNKNOWN, ClusterState, Reason
from controller.fleet.types import CLIENT_CONFIGS, ClientConfig
from controller.kube import conditions, errors
from controller.kube.conditions import Condition
from controller.kube.objects import Object
from controller.kube.projection import Projection

READY: Final = "Ready"
KIND: Final = CLIENT_CONFIGS.kind

_log = structlog.get_logger(__name__)


def health(cluster: Cluster) -> ClusterState:
    """The state of a cluster, with the kinds that it does not serve or does not let us watch."""
    state = cluster.state
    if not state.usable:
        return state
    untold = cluster.untold()
    absent = [resource for resource, phase in untold if phase is Phase.ABSENT]
    forbidden = [resource for resource, phase in untold if phase is Phase.FORBIDDEN]
    if absent:
        names = ", ".join(resource.name for resource in dict.fromkeys(absent))
        return ClusterState(
            False,
            Reason.CRD_MISSING,
            f"connected, but the cluster does not serve {names}; install cass-operator there (looked for every 30 s)",
            state.server_version,
        )
    if forbidden:
        names = ", ".join(resource.name for resource in dict.fromkeys(forbidden))
        return ClusterState(
            False,
            Reason.FORBIDDEN,
            f"connected, but the credentials may not list and watch {names}; apply manifests/data-plane there",
            state.server_version,
        )
    return state


class ClientConfigStatus:
    """Reconciles the status of ClientConfigs; where their CRD has none, events and metrics carry it."""

    def __init__(self, pool: Pool, recorder: EventRecorder, clock: Clock) -> None:
        self._pool = pool
        self._recorder = recorder
        self._clock = clock
        self.projection: Final = Projection()
        self._has_status = True
        self._announced: dict[tuple[str, str], tuple[str, str, str]] = {}  # UID, reason and message of the last event
        self._deleted: set[tuple[str, str]] = set()

    @property
    def restart_required(self) -> int:
        """How many ClientConfigs were created, changed or deleted since the start."""
        said = [reason for _, reason, _ in self._announced.values()]
        return len(self._deleted) + said.count(Reason.RESTART_REQUIRED)

    def items(self, cluster: Cluster) -> list[Item]:
        """The items of the ClientConfigs whose state shows ``cluster``'s."""
        return [
            Item(KIND, member.namespace, member.name) for member in self._pool.members() if member.cluster is cluster
        ]

    def state(self, config: Object) -> ClusterState:
        """What is to be said of a ClientConfig as it is now."""
        head = config.head
        who = f"ClientConfig {head.namespace}/{head.name}"
        member = self._pool.member(head.namespace, head.name)
        if member is None or member.uid != head.uid:
            return ClusterState(
                False,
                Reason.RESTART_REQUIRED,
                f"{who} was created after the controller started; restart the controller to connect it",
            )
        if member.generation != head.generation:
            return ClusterState(
                False,
                Reason.RESTART_REQUIRED,
                f"{who} was changed after the controller started, which still uses generation {member.generation}; "
                "restart the controller to use the new one",
            )
        if member.problem is not None:
            return member.problem
        return health(member.cluster) if member.cluster is not None else UNKNOWN

    async def reconcile(self, item: Item) -> Result:
        """Write the status if it differs from the live one, and record an event if it is news."""
        config = self._pool.local.cache.get(CLIENT_CONFIGS, item.namespace, item.name)
        if config is None:
            self._tell_deleted(item)
            return Done()
        self._deleted.discard((item.namespace, item.name))
        if config.head.deletion_timestamp is not None and self._pool.member(item.namespace, item.name) is None:
            return Done()  # it is not connected, and soon gone
        state = self.state(config)
        if state.reason is Reason.CONNECTING:
            return Done()  # nothing is known yet, and soon will be
        self._announce(config, state)
        if self._has_status:
            try:
                await self._write(config, state)
            except errors.Invalid as error:  # the rest of the object: its definition was stricter afterwards
                return Rejected(error)
        return Done()

    def _announce(self, config: Object, state: ClusterState) -> None:
        key = (config.head.namespace, config.head.name)
        news = (config.head.uid, str(state.reason), state.message)
        before = self._announced.get(key)
        if before == news:
            return
        self._announced[key] = news
        _log.info(
            "ClientConfig changed state",
            **_fields(*key),
            reason=state.reason,
            message=state.message,
        )
        if (before is None or before[0] != config.head.uid) and _shows(config, state):
            return  # said before the last restart
        kind = "Normal" if state.reason is Reason.CONNECTED else "Warning"
        self._recorder.record(_reference(config), kind, state.reason, state.message)  # type: ignore[arg-type]

    async def _write(self, config: Object, state: ClusterState) -> None:
        head = config.head
        live = config.decode(dict).get("status") or {}
        condition = Condition(
            type=READY,
            status="True" if state.usable else "False",
            reason=state.reason,
            message=state.message,
            observed_generation=head.generation,
        )
        merged = conditions.merge(live.get("conditions") or [], [condition], rfc3339(self._clock.now()))
        status = {"conditions": merged, "observedGeneration": head.generation}
        if state.server_version:
            status["serverVersion"] = state.server_version
        wanted = self.projection.project(status)
        if all(live.get(key) == value for key, value in wanted.items()):
            return
        local = self._pool.local
        merge = Merge(CLIENT_CONFIGS, {"status": status}, config, "status")
        try:
            written = await perform(merge, local.client, local.cache, lambda _: False)
        except ObserveAgain:
            return  # replaced meanwhile: its event starts the next pass
        except errors.NotFound:
            # Either the object is gone, which its own event says, or its CRD has no status.
            if await self._exists(config):
                self._has_status = False
                _log.warning("the installed CRD of ClientConfig has no status; events and metrics carry it")
            return
        assert written is not None
        self.projection.learn(status, written.decode(dict).get("status") or {})

    async def _exists(self, config: Object) -> bool:
        try:
            await self._pool.local.client.get(
                CLIENT_CONFIGS, config.head.namespace, config.head.name, metadata_only=True
            )
        except errors.NotFound:
            return False
        return True

    def _tell_deleted(self, item: Item) -> None:
        key = (item.namespace, item.name)
        self._announced.pop(key, None)
        member = self._pool.member(*key)
        if member is None or key in self._deleted:
            return
        self._deleted.add(key)
        message = f"ClientConfig {item.namespace}/{item.name} was deleted"
        if member.cluster is not None:
            message += "; its cluster stays connected until the controller restarts"
        _log.warning("a ClientConfig was deleted", **_fields(*key), message=message)
        about = Reference(CLIENT_CONFIGS.api_version, KIND, item.namespace, item.name, member.uid)
        self._recorder.record(about, "Warning", Reason.RESTART_REQUIRED, message)


def _shows(config: Object, state: ClusterState) -> bool:
    try:
        typed = config.decode(ClientConfig)
    except errors.Malformed:  # which its state says
        return False
    return any(entry.type == READY and entry.reason == state.reason for entry in typed.status.conditions)


def _fields(namespace: str, name: str) -> dict[str, str]:
    return {"cluster": "", "kind": KIND, "namespace": namespace, "name": name}


def _reference(config: Object) -> Reference:
    head = config.head
    return Reference(CLIENT_CONFIGS.api_version, KIND, head.namespace, head.name, head.uid)
