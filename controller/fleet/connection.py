"""Keeps one remote cluster connected: from a ClientConfig's Secret to a client that answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from controller.engine.backoff import Backoff
from controller.fleet.breaker import Breaker
from controller.fleet.cluster import Cluster
from controller.fleet.counters import ConnectionCounters
from controller.fleet.kubeconfig_secret import KUBECONFIG_KEY, KubeconfigSecret
from controller.fleet.pulse import ATTEMPT_INTERVAL, PROBE_INTERVAL, Pulse
from controller.fleet.report import Report
from controller.fleet.state import ClusterState, Phase, Reason
from controller.fleet.way import Answer, MakeClient, Questions, Verify, Way
from controller.kube import errors
from controller.kube.access import Access
from controller.kube.credentials import same_connection

__all__ = ["KUBECONFIG_KEY", "PROBE_INTERVAL", "Connection", "MakeClient", "Verify"]

PROBE_DEADLINE: Final = 2.0  # s for one look at a cluster that is in use
ROTATE_DEADLINE: Final = 3.0  # s for the first answer over a new connection while another one serves
CONNECT_DEADLINE: Final = 4.5  # s for an answer where no connection is left: a name, TCP, TLS and the request
RIGHTS_INTERVAL: Final = 60.0  # s between two looks whether we may do our work there
VERIFY_INTERVAL: Final = 300.0  # s between two looks whether it is still the same cluster
ROTATE_BASE: Final = 2.0  # s; upper bound of the first wait before a new access that failed is tried again
ROTATE_CAP: Final = 5.0  # s
CUT_INTERVAL: Final = 5.0  # s at least between two looks that a changed Secret cuts short
TICK: Final = 0.001  # s; the shortest wait


class Connection:
    """The owner of one cluster's connection: what it decides, everybody else reads as ``cluster.state``.

    ``who`` names the ClientConfig in messages, as ``namespace/name``. The Secret's head comes from the cache of
    ``local``, the control plane; ``wake`` is to be called when it or the ClientConfig changed. ``verify`` judges a
    cluster's identity before it is used, at every return, after every broken stream and every 300 s.
    """

    def __init__(
        self,
        who: str,
        namespace: str,
        secret_name: str,
        cluster: Cluster,
        *,
        local: Cluster,
        make_client: MakeClient,
        rng: Random,
        allow_proxy: tuple[str, ...] = (),
        verify: Verify | None = None,
    ) -> None:
        self.counters: Final = ConnectionCounters()
        self._cluster = cluster
        self._make_client = make_client
        self._verify = verify
        self._secret = KubeconfigSecret(who, namespace, secret_name, cluster.context, local, allow_proxy)
        self._pulse = Pulse(rng)
        self._report = Report(who, cluster, self.counters)
        self._breaker = Breaker(cluster, self.counters, self._hurry)
        self._changed = asyncio.Event()
        self._woken = False
        self._wanted: Access | None = None  # what the Secret says now; None while it says nothing usable
        self._way: Way | None = None  # the one in use
        self._retiring: asyncio.TaskGroup | None = None
        self._scope: asyncio.Timeout | None = None  # of what is under way
        self._rights_at = self._verified_at = -math.inf
        self._backoff = Backoff(rng, base=ROTATE_BASE, cap=ROTATE_CAP)
        self._rotate_at = self._judge_at = self._attempted = self._proved = self._turned = self._cut_at = -math.inf

    @property
    def access(self) -> Access | None:
        """What the connection in use was made of, with its present token; None while there is none."""
        return None if self._way is None else self._way.access

    def authority(self) -> bytes:
        """The certificate authority (PEM) that the connection in use trusts, b"" while there is none."""
        return b"" if self._way is None else self._way.access.certificate_authority

    @property
    def server(self) -> str:
        """The URL of the server that is, or is to be, connected; "" while none is known."""
        access = self._wanted or self.access
        return "" if access is None else access.server

    def wake(self) -> None:
        """The Secret or the ClientConfig may have changed: look at once.

        A changed Secret does not wait for a look at a cluster that does not answer, unless such changes follow fast.
        """
        self._woken = True
        self._changed.set()
        if self._scope is not None and self._secret.changed() and _now() - self._cut_at >= CUT_INTERVAL:
            self._cut_at = _now()
            self._scope.reschedule(self._cut_at)

    @property
    def generation(self) -> int:
        """Of the connection in use; what an older one reports is ignored."""
        return self._breaker.generation

    def doubt(self) -> None:
        """It may not be the right cluster any more: look at once, and verify it."""
        self._verified_at = -math.inf
        self._hurry()

    def follow(self, secret_name: str) -> None:
        """The ClientConfig names another Secret now: go over to it as to a changed one."""
        self._secret.rename(secret_name)
        self.wake()

    async def run(self) -> None:
        """Connect, look after the connection, follow the Secret; for ever."""
        self._secret.forget()
        try:
            async with asyncio.TaskGroup() as self._retiring:
                while True:
                    self._changed.clear()
                    await self._follow_secret()
                    due, act = self._next()
                    if due <= _now():
                        await self._interruptibly(act)
                        due, _ = self._next()
                    await self._wait(due)
        finally:
            self._wanted = self._report.problem = None
            await self._drop(ClusterState(False, Reason.CONNECTING, "the connection was closed"))

    async def _interruptibly(self, act: Callable[[], Awaitable[None]]) -> None:
        cut_before = self._cut_at
        try:
            async with asyncio.timeout(None) as self._scope:
                await act()
        except TimeoutError:
            if self._cut_at == cut_before:
                raise
        finally:
            self._scope = None

    def _next(self) -> tuple[float, Callable[[], Awaitable[None]]]:
        """What is to be done next, and when; ``inf``: nothing."""
        pulse = self._pulse
        if self._wanted is None:
            return math.inf, self._connect
        paced = self._attempted + (0.0 if pulse.usable else ATTEMPT_INTERVAL)
        if self._way is None:
            return max(pulse.due, paced), self._connect
        rotate = max(self._rotate_at, self._proved + ATTEMPT_INTERVAL)
        # Under suspicion only the look counts: it must not wait for a second way that may be as dead. But who answers
        # that he does not know us is not dead, and may know what the Secret says now.
        may = pulse.phase is not Phase.SUSPECT or pulse.refused
        if self._wanted != self._way.access and may and rotate <= pulse.due:
            return max(rotate, paced), self._rotate
        return max(pulse.due, paced), self._look

    def _hurry(self) -> None:
        """Do not wait for the next regular look."""
        self._pulse.hurry(_now())
        self._changed.set()

    async def _wait(self, due: float) -> None:
        usable = self._pulse.usable
        self.counters.next_retry = None if usable or due == math.inf else due
        if math.isfinite(self._judge_at):
            due = min(due, self._judge_at)
        # A timer may fire a tick early; not to wait at all for what is left of it would be to wait for ever.
        seconds = None if due == math.inf else max(due - _now(), TICK)
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass
        if self._woken:
            self._woken = False
            if self._pulse.phase is Phase.IDENTITY_MISMATCH:
                self._pulse.hurry(_now())  # a person may have acknowledged it

    # ── the Secret ──────────────────────────────────────────────────────────────────────────────────

    async def _follow_secret(self) -> None:
        """Bring ``_wanted`` up to date with the Secret; report what is wrong with it."""
        if _now() < self._judge_at:
            return
        self._judge_at = -math.inf
        verdict = await self._secret.judge()
        if verdict is None:
            return
        if verdict.transient:
            self._judge_at = _now() + max(ATTEMPT_INTERVAL, self._backoff.next())
        if verdict.absent:
            assert verdict.problem is not None
            self._wanted = self._report.problem = None
            await self._drop(verdict.problem)
        elif verdict.problem is not None:
            # The last good credentials go on working, if there are any; a read that failed says nothing of them.
            if self._way is None or verdict.problem.reason is not Reason.CONNECTING:
                self._report.problem = verdict.problem
                self._wanted = self.access
                if self._way is None:
                    self._pulse.rest(Phase.CONFIG_INVALID)
                self._publish()
        else:
            self._want(verdict.access)

    def _want(self, access: Access | None) -> None:
        self._wanted, self._report.problem = access, None
        self._backoff.reset()
        self._rotate_at = -math.inf
        if _now() - self._turned >= ATTEMPT_INTERVAL:
            self._attempted = self._proved = -math.inf  # a new access is tried at once, unless they follow fast
        self._turned = _now()
        if self._way is None:
            self._report.forget()
            self._pulse.begin(_now())
        self._publish()

    # ── the cluster ─────────────────────────────────────────────────────────────────────────────────

    async def _connect(self) -> None:
        """Try the way that the Secret says, where none is in use."""
        self._pulse.looking(_now())
        try:
            way, answer = await self._prove(CONNECT_DEADLINE)
        except errors.KubeError as error:
            self._failed(error)
        else:
            if way is not None:
                self._adopt(way, answer)
            else:
                self._halt(answer)
        self._publish()

    async def _rotate(self) -> None:
        """Go over to what the Secret says now, once it has proven itself; until then all stays as it is."""
        try:
            way, answer = await self._prove(ROTATE_DEADLINE if self._pulse.usable else CONNECT_DEADLINE)
        except errors.KubeError as error:
            self._report.problem = self._report.loss(error)
        else:
            if way is not None:
                self._adopt(way, answer)
            else:
                self._report.problem = answer.identity
        # Tried again: a new address may only be late.
        self._rotate_at = _now() + max(ATTEMPT_INTERVAL, self._backoff.next())
        self._publish()

    async def _prove(self, deadline: float) -> tuple[Way | None, Answer]:
        """A way that leads to the right cluster and lets us work there; None when it is another cluster."""
        assert self._wanted is not None
        self._attempted = self._proved = _now()
        way: Way | None = None
        proven = False
        try:
            way = Way(self._wanted, self._cluster.context, self._make_client)
            answer = await way.look(self._questions(deadline, rights=True, verify=True))
            proven = not answer.refused
        except errors.KubeError as error:
            self.counters.attempts[errors.cause(error)] += 1
            raise
        finally:
            if way is not None and not proven:
                await way.close()
        self.counters.attempts["ok"] += 1
        self._breaker.answered()
        return (way if proven else None), answer

    def _adopt(self, way: Way, answer: Answer) -> None:
        """Use a way that has proven itself."""
        former = self._way
        if former is not None and same_connection(former.access, way.access):
            former.replace_token(way.access.token)  # watches stay open
            former = way
        else:
            self._way = way
            self._breaker.renew()
            self._cluster.connect(way.open(self._breaker))
        if former is not None:
            self._retire(former)
        self._report.problem = self._report.halted = None
        self._rights_at = self._verified_at = _now()
        self._backoff.reset()
        self._learn(answer)
        self._breaker.trust()
        self._pulse.adopt(_now())

    async def _look(self) -> None:
        """One look over the way in use."""
        assert self._way is not None
        pulse, now, doubted = self._pulse, _now(), bool(self._breaker.doubt)
        back = pulse.decides
        rights = back or pulse.phase is Phase.FORBIDDEN or now - self._rights_at >= RIGHTS_INTERVAL
        verify = back or (pulse.usable and (doubted or now - self._verified_at >= VERIFY_INTERVAL))
        deadline = PROBE_DEADLINE if pulse.usable else CONNECT_DEADLINE
        pulse.looking(now)
        self._attempted = now
        try:
            answer = await self._way.look(self._questions(deadline, rights=rights, verify=verify, patient=pulse.usable))
        except errors.KubeError as error:
            self.counters.attempts[errors.cause(error)] += 1
            self.counters.probe_failures[errors.cause(error)] += 1
            self._failed(error)
            self._publish()
            return
        self.counters.attempts["ok"] += 1
        self.counters.probe_seconds = _now() - now
        self._breaker.answered()
        self._rights_at = now if rights else self._rights_at
        self._verified_at = now if answer.verified else self._verified_at
        proven = answer.verified or self._verify is None  # else it is busy: it lives, and is asked again
        if answer.refused:
            self._halt(answer)
        else:
            self._learn(answer)
            pulse.answered(_now())
            if doubted and proven:
                self._breaker.trust()
            elif self._breaker.doubt and not doubted:
                pulse.hurry(_now())  # the answer may be older than the doubt
        self._publish()

    def _questions(self, deadline: float, *, rights: bool, verify: bool, patient: bool = False) -> Questions:
        cluster = self._cluster
        resource = cluster.main_kind if rights else None
        return Questions(deadline, resource, cluster.cache.namespaces, self._verify if verify else None, patient)

    def _learn(self, answer: Answer) -> None:
        if self._report.learn(answer):
            self._cluster.relist("identity")  # another cluster, with somebody's consent

    def _halt(self, answer: Answer) -> None:
        """The cluster is not the one that it should be."""
        self._report.halted = answer.identity
        self._pulse.halt(Phase.IDENTITY_MISMATCH, _now())

    def _failed(self, error: errors.KubeError) -> None:
        self._pulse.failed(self._report.lost(error), _now())

    def _publish(self) -> None:
        due = self._pulse.due
        self.counters.next_retry = None if self._pulse.usable or due == math.inf else due
        state = self._report.publish(self._pulse.phase, connected=self._way is not None)
        if self._way is not None and not state.usable:
            self._way.abort()
            self._breaker.doubt.tell()

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────

    def _retire(self, way: Way) -> None:
        assert self._retiring is not None
        self._retiring.create_task(way.retire(), name=f"former connection of {self._cluster.context}")

    async def _drop(self, why: ClusterState) -> None:
        """Disconnect and forget the credentials; nothing in the remote cluster is touched."""
        way, self._way = self._way, None
        self._pulse.rest(Phase.CONFIG_INVALID)
        self._report.forget()
        self._breaker.renew()
        before = self._cluster.state
        if way is None:
            self._cluster.update(why)
        else:
            way.abort()
            self._cluster.disconnect(why)
            self._breaker.doubt.tell()
        self._report.count(before)
        if way is not None:
            await way.close()


def _now() -> float:
    return asyncio.get_running_loop().time()
