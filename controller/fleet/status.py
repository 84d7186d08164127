"""What a ClientConfig says of itself: condition Ready, figures while something is wrong, events for what is news."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
import structlog

from controller.engine.clock import Clock, rfc3339, wall
from controller.engine.events import EventRecorder, Reference
from controller.engine.worker import Again, Done, Item, Rejected, Result
from controller.fleet import expiry
from controller.fleet.actions import Merge, ObserveAgain, perform
from controller.fleet.cluster import Cluster
from controller.fleet.health import health
from controller.fleet.member import Member
from controller.fleet.pool import Pool
from controller.fleet.state import UNKNOWN, ClusterState, Reason
from controller.fleet.types import CLIENT_CONFIGS, ClientConfig
from controller.kube import conditions, errors, merge_patch
from controller.kube.conditions import Condition
from controller.kube.objects import Object
from controller.kube.projection import Projection

READY: Final = "Ready"
KIND: Final = CLIENT_CONFIGS.kind
REFRESH: Final = 300.0  # s at least between two writes that only bring words and figures up to date
LOOK_AGAIN: Final = 300.0  # s at most until credentials that end are looked at again; it costs no request

# The next failure may have other words for the same outage; those of its beginning stand for a while.
_PASSING: Final = frozenset({Reason.UNREACHABLE, Reason.TLS_ERROR, Reason.UNAUTHORIZED, Reason.ROTATION_FAILED})
_FADING: Final = ("failedAttempts", "lastSuccessTime", "nextRetryTime", "clusterUID", "credentialsExpireAt")

_log = structlog.get_logger(__name__)


class _Said(msgspec.Struct):
    """What was said last of a ClientConfig, and ``at`` which loop time.

    ``spell``: loop time at which the state began, and ``since`` what clocks showed then. ``failures``: of attempts to
    reach the cluster, in all, when it was last well.
    """

    uid: str
    reason: Reason
    message: str
    spell: float
    since: str
    at: float
    figures: dict[str, Any]
    failures: int
    warnings: frozenset[tuple[str, str]] = frozenset()


class ClientConfigStatus:
    """Reconciles the status of ClientConfigs; where their CRD has none, events and metrics carry it.

    ``hot_reload``: what was created or changed is taken over anyway, and needs no restart.
    """

    def __init__(self, pool: Pool, recorder: EventRecorder, clock: Clock, *, hot_reload: bool = False) -> None:
        self._pool = pool
        self._recorder = recorder
        self._clock = clock
        self._hot_reload = hot_reload
        self.projection: Final = Projection()
        self._has_status = True
        self._said: dict[tuple[str, str], _Said] = {}
        self._deleted: set[tuple[str, str]] = set()

    @property
    def restart_required(self) -> int:
        """How many ClientConfigs were created, changed or deleted since the start, and not taken over."""
        return len(self._deleted) + sum(said.reason is Reason.RESTART_REQUIRED for said in self._said.values())

    def items(self, cluster: Cluster) -> list[Item]:
        """The items of the ClientConfigs whose state shows ``cluster``'s."""
        return [
            Item(KIND, member.namespace, member.name) for member in self._pool.members() if member.cluster is cluster
        ]

    def state(self, config: Object) -> ClusterState:
        """What is to be said of a ClientConfig as it is now."""
        head = config.head
        who = f"ClientConfig {head.namespace}/{head.name}"
        member = self._member(config)
        if member is None or member.generation != head.generation:
            if self._hot_reload or head.deletion_timestamp is not None:
                return UNKNOWN  # it is being let go of, or will be taken over in a moment
            if member is None:
                message = f"{who} was created after the controller started; restart the controller to connect it"
            else:
                message = (
                    f"{who} was changed after the controller started, which still uses generation "
                    f"{member.generation}; restart the controller to use the new one"
                )
            return ClusterState(False, Reason.RESTART_REQUIRED, message)
        if member.problem is not None:
            return member.problem
        return health(member.cluster) if member.cluster is not None else UNKNOWN

    async def reconcile(self, item: Item) -> Result:
        """Write the status if it differs from the live one, and record an event for what is news."""
        config = self._pool.local.cache.get(CLIENT_CONFIGS, item.namespace, item.name)
        if config is None:
            self._tell_deleted(item)
            return Done()
        self._deleted.discard((item.namespace, item.name))
        state = self.state(config)
        if state.reason is Reason.CONNECTING:
            return Done()  # nothing is known yet, and soon will be
        said, waits = self._say(config, state)
        if self._has_status:
            try:
                await self._write(config, state, said)
            except errors.Invalid as error:  # of the rest of the object: its definition was made stricter later
                return Rejected(error)
        return Again(min(waits)) if waits else Done()

    # ── what is said ────────────────────────────────────────────────────────────────────────────────

    def _say(self, config: Object, state: ClusterState) -> tuple[_Said, list[float]]:
        """What is to be said now, with events for what is news; and after how many seconds to look again."""
        key, uid = (config.head.namespace, config.head.name), config.head.uid
        now = asyncio.get_running_loop().time()
        member = self._member(config)
        before = self._said.get(key)
        if before is not None and before.uid != uid:
            before = None
        waits: list[float] = []
        same = before is not None and (before.reason, before.spell) == (state.reason, state.since)
        passing = same and state.reason in _PASSING
        if before is not None and passing and now - before.at < REFRESH:
            said = before
        else:
            since = before.since if before is not None and same else self._wall(state.since)
            failures = _failures(member)
            well = failures if state.usable or before is None else before.failures
            said = _Said(
                uid=uid,
                reason=state.reason,
                message=_message(member, state, since),
                spell=state.since,
                since=since,
                at=now,
                figures={} if state.usable or member is None else self._figures(member, failures - well),
                failures=well,
                warnings=frozenset() if before is None else before.warnings,
            )
            self._announce(config, said, before, passing=passing)
        if state.reason in _PASSING:
            waits.append(max(said.at + REFRESH - now, 1.0))
        self._said[key] = said
        self._warn(config, member, said, waits)
        return said, waits

    def _figures(self, member: Member, failures: int) -> dict[str, Any]:
        if member.connection is None:
            return {}
        counters = member.connection.counters
        found: dict[str, Any] = {"failedAttempts": failures} if failures else {}
        if counters.last_success is not None:
            found["lastSuccessTime"] = self._wall(counters.last_success)
        if counters.next_retry is not None:
            found["nextRetryTime"] = self._wall(counters.next_retry)
        return found

    def _announce(self, config: Object, said: _Said, before: _Said | None, *, passing: bool) -> None:
        if before is not None and (passing or (before.reason, before.message) == (said.reason, said.message)):
            return
        key = (config.head.namespace, config.head.name)
        member = self._member(config)
        told = member is not None and member.cluster is not None and member.cluster.state.reason is said.reason
        log = _log.debug if told else _log.info  # its connection has logged that already
        log("ClientConfig changed state", **_fields(*key), reason=said.reason, message=said.message)
        if before is None and _shows(config, said.reason):
            return  # said before the last restart
        kind = "Normal" if said.reason is Reason.CONNECTED else "Warning"
        self._recorder.record(_reference(config), kind, said.reason, said.message)  # type: ignore[arg-type]

    def _warn(self, config: Object, member: Member | None, said: _Said, waits: list[float]) -> None:
        """Events for what is not in the condition: credentials that end soon, annotations that make no sense."""
        found: set[tuple[str, str]] = set()
        who = f"ClientConfig {config.head.namespace}/{config.head.name}"
        if member is not None and member.pace.complaint:
            found.add(("InvalidAnnotation", f"{who}: {member.pace.complaint}"))
        if member is not None and (ends := expiry.of_member(member)) is not None:
            wait = expiry.warn_at(ends) - self._clock.now().timestamp()
            if wait > 0:
                waits.append(min(wait, LOOK_AGAIN))
            else:
                what = "token" if ends.token else "client certificate"
                end = rfc3339(ends.moment)
                found.add(
                    ("CredentialsExpireSoon", f"{who}: the {what} ends at {end}; put a new one into its Secret before")
                )
                waits.append(LOOK_AGAIN)
        for reason, message in sorted(found - said.warnings):
            _log.warning("ClientConfig has a problem", **_fields(*_key(config)), reason=reason, message=message)
            self._recorder.record(_reference(config), "Warning", reason, message)
        said.warnings = frozenset(found)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────

    async def _write(self, config: Object, state: ClusterState, said: _Said) -> None:
        head = config.head
        live = config.decode(dict).get("status") or {}
        condition = Condition(
            type=READY,
            status="True" if state.usable else "False",
            reason=state.reason,
            message=said.message,
            observed_generation=head.generation,
        )
        merged = conditions.merge(live.get("conditions") or [], [condition], rfc3339(self._clock.now()))
        status: dict[str, Any] = {"conditions": merged, "observedGeneration": head.generation, **said.figures}
        if state.server_version:
            status["serverVersion"] = state.server_version
        # What is not known while there is no connection stays as it was known last.
        if uid := state.cluster_uid or ("" if state.usable else live.get("clusterUID", "")):
            status["clusterUID"] = uid
        if end := self._expiry(config, live):
            status["credentialsExpireAt"] = end
        wanted = self.projection.project(status)
        known = {key: live[key] for key in {*wanted, *_FADING} if key in live}
        patch = merge_patch.difference(known, wanted)
        if not patch:
            return
        local = self._pool.local
        merge = Merge(CLIENT_CONFIGS, {"status": patch}, config, "status")
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

    def _expiry(self, config: Object, live: dict[str, Any]) -> str:
        """When the credentials end, "" when they do not; while there are none in use, what was said last."""
        member = self._member(config)
        if member is None or member.connection is None or member.connection.access is None:
            return str(live.get("credentialsExpireAt") or "")
        ends = expiry.of_member(member)
        return "" if ends is None else rfc3339(ends.moment)

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
        said = self._said.pop(key, None)
        member = self._pool.member(*key)
        if member is None:
            if said is not None and self._hot_reload:
                about = Reference(CLIENT_CONFIGS.api_version, KIND, item.namespace, item.name, said.uid)
                message = f"ClientConfig {item.namespace}/{item.name} was deleted; nothing was deleted in its cluster"
                self._recorder.record(about, "Normal", "Disconnected", message)
            return
        if key in self._deleted:
            return
        self._deleted.add(key)
        message = f"ClientConfig {item.namespace}/{item.name} was deleted"
        if member.cluster is not None:
            message += "; its cluster stays connected until the controller restarts"
        _log.warning("a ClientConfig was deleted", **_fields(*key), message=message)
        about = Reference(CLIENT_CONFIGS.api_version, KIND, item.namespace, item.name, member.uid)
        self._recorder.record(about, "Warning", Reason.RESTART_REQUIRED, message)

    # ── helpers ─────────────────────────────────────────────────────────────────────────────────────

    def _member(self, config: Object) -> Member | None:
        """What was taken over of this very ClientConfig; None when nothing was."""
        member = self._pool.member(config.head.namespace, config.head.name)
        return member if member is not None and member.uid == config.head.uid else None

    def _wall(self, loop_time: float) -> str:
        """A moment of the event loop as RFC 3339."""
        return rfc3339(wall(self._clock, loop_time))


def _message(member: Member | None, state: ClusterState, since: str) -> str:
    """The state's own words, with the server and since when where that says something."""
    if state.usable or not state.since or member is None:
        return state.message
    server = member.connection.server if member.connection is not None else ""
    at = f"server {server}, " if server and server.partition("://")[2] not in state.message else ""
    return f"{state.message} ({at}since {since})"


def _failures(member: Member | None) -> int:
    """How many attempts to reach the cluster have failed."""
    if member is None or member.connection is None:
        return 0
    attempts = member.connection.counters.attempts
    return attempts.total() - attempts["ok"]


def _shows(config: Object, reason: Reason) -> bool:
    try:
        typed = config.decode(ClientConfig)
    except errors.Malformed:  # which its state says
        return False
    return any(entry.type == READY and entry.reason == reason for entry in typed.status.conditions)


def _key(config: Object) -> tuple[str, str]:
    return config.head.namespace, config.head.name


def _fields(namespace: str, name: str) -> dict[str, str]:
    return {"cluster": "", "kind": KIND, "namespace": namespace, "name": name}


def _reference(config: Object) -> Reference:
    head = config.head
    return Reference(CLIENT_CONFIGS.api_version, KIND, head.namespace, head.name, head.uid)
