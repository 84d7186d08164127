"""Which cluster is behind a ClientConfig: pinned when first seen, compared ever after, never held by two."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from controller.fleet.actions import Merge, ObserveAgain, perform
from controller.fleet.cluster import Cluster
from controller.fleet.state import ClusterState, Reason
from controller.fleet.types import CLIENT_CONFIGS, ClientConfig
from controller.kube import errors
from controller.kube.client import Client
from controller.kube.objects import Object
from controller.kube.resources import NAMESPACES

ANNOTATION: Final = "k8ssandra.io/cluster-uid"  # on the ClientConfig: the UID of its cluster's namespace kube-system
UNVERIFIED: Final = "IdentityUnverified"  # begins the note on a cluster whose UID may not be read
NAMESPACE: Final = "kube-system"  # exists in every cluster, and cannot be deleted and made again
_UID_CAP: Final = 64  # characters; UIDs have 36
REFUSAL_AGE: Final = 30.0  # s for which the cluster in use is not pinned in place of one that was refused
PIN_DEADLINE: Final = 1.0  # s for writing it once: the control plane's trouble must not look like the remote cluster's
_TRIES: Final = 3  # to write the pin into a ClientConfig that changes meanwhile

_log = structlog.get_logger(__name__)


class Owner(msgspec.Struct, frozen=True):
    """The ClientConfig that a pin belongs to. ``created``: its creationTimestamp."""

    namespace: str
    name: str
    uid: str
    created: str
    context: str

    def __str__(self) -> str:
        return f"ClientConfig {self.namespace}/{self.name}"

    @property
    def age(self) -> tuple[str, str]:
        """Sorts the oldest first."""
        return self.created, self.uid


class Pin:
    """The identity of one ClientConfig's cluster. ``check`` is a ``fleet.connection.Verify``.

    ``uid``: the UID of the cluster behind it, "" unless the last check found it to be the pinned one. ``verified``:
    True when it is, False when it is another one, None when nothing is known or nothing may be known. ``on_doubt`` is
    called when the last check may not hold any more: somebody has to check again.
    """

    def __init__(
        self,
        owner: Owner,
        cluster: Cluster,
        *,
        local: Cluster,
        identities: Identities,
        on_doubt: Callable[[], None] = lambda: None,
    ) -> None:
        self.owner: Final = owner
        self.uid = ""
        self.verified: bool | None = None
        self.on_doubt = on_doubt
        self._cluster = cluster
        self._local = local
        self._identities = identities
        self._seen = ""  # the UID that was read last
        self._pinned = ""  # the annotation's value at the last check
        self._unwritten = ""  # stands for the annotation where that could not be written
        self._cached = ""  # the UID of the cluster that the caches were filled from
        self._told = ""  # the claim that the others know
        self._duplicate = False  # the last check found the cluster to be another ClientConfig's
        self._refused = ("", -math.inf)  # the UID found last that was not the pinned one, and the loop time
        identities.add(self)
        cluster.on_state(lambda _: self._tell_claim())

    @property
    def claim(self) -> str:
        """The UID that this ClientConfig has a right to: of the cluster in use, else found, else pinned; else ""."""
        state = self._cluster.state
        if state.usable and state.cluster_uid:
            return state.cluster_uid  # whatever was found behind an access that is not in use yet
        if self.verified:
            return self.uid
        if self.verified is False and not self._duplicate:
            return ""  # what is there was never accepted, and what was pinned is somewhere else
        return self._seen if self._duplicate else self._annotation()

    async def check(self, client: Client) -> ClusterState:
        """Judge the cluster behind ``client``: a usable state with its UID, or the state that keeps it from use.

        Raises what the client raises, but for the namespace's being out of sight: then ``note`` says so.
        """
        try:
            found = await client.get(NAMESPACES, "", NAMESPACE, metadata_only=True)
        except (errors.Forbidden, errors.NotFound) as error:
            return self._out_of_sight(error)
        seen = found.head.uid
        if not seen or len(seen) > _UID_CAP or not seen.isprintable():
            raise errors.Malformed(f"namespace {NAMESPACE} has no UID")
        self._seen = seen
        pinned = await self._pin(seen)
        if pinned != seen:
            return self._mismatch(seen, pinned)
        return self._match(seen)

    def config_changed(self) -> None:
        """The ClientConfig changed: have the cluster checked again when its annotation says something new."""
        self._tell_claim()
        if self._annotation() != self._pinned:
            self.on_doubt()

    def forget(self) -> None:
        """The ClientConfig is not connected any more: it claims nothing."""
        self._identities.remove(self)

    # ── the four findings ───────────────────────────────────────────────────────────────────────────

    def _match(self, seen: str) -> ClusterState:
        holder = self._identities.holder(seen, self)
        if holder is not self:
            return self._same(seen, holder)
        self._judged(True, seen)
        if self._cached not in ("", seen):
            begin_epoch(self._cluster)
            _log.info("the caches begin anew: the cluster is another one", cluster=self.owner.context, uid=seen)
        self._cached = seen
        return ClusterState(True, Reason.CONNECTED, cluster_uid=seen)

    def _same(self, seen: str, holder: Pin) -> ClusterState:
        self._judged(False, "", duplicate=True)
        return ClusterState(
            False,
            Reason.SAME_CLUSTER,
            f"{self.owner}: context {self.owner.context} is the same cluster as context {holder.owner.context} of the "
            f"older {holder.owner} (both have UID {seen} of namespace {NAMESPACE}), which alone is used; name context "
            f"{holder.owner.context} in specifications and delete {self.owner}, or correct a kubeconfig",
            cluster_uid=seen,
        )

    def _mismatch(self, seen: str, pinned: str) -> ClusterState:
        self._judged(False, "")
        self._refused = (seen, asyncio.get_running_loop().time())
        # What watches brought since the last check may be of either cluster.
        self._cached = self._cached and "another"
        return ClusterState(
            False,
            Reason.IDENTITY_CHANGED,
            f"{self.owner}: this is not the cluster that was connected before: its namespace {NAMESPACE} has UID "
            f"{seen}, not {pinned}; nothing is written there. If it is the right one, set the annotation {ANNOTATION} "
            f"of the ClientConfig to {seen} or remove it; else correct the kubeconfig",
            cluster_uid=seen,
        )

    def _out_of_sight(self, error: errors.ApiError) -> ClusterState:
        self._seen = ""
        self._judged(None, "")
        self._pinned = self._annotation()
        why = "the credentials may not read" if isinstance(error, errors.Forbidden) else "the cluster has no"
        note = (
            f"{UNVERIFIED}: {why} namespace {NAMESPACE}, so another cluster at this address could not be told from "
            "this one; apply manifests/data-plane there"
        )
        return ClusterState(True, Reason.CONNECTED, note=note)

    def _judged(self, verified: bool | None, uid: str, *, duplicate: bool = False) -> None:
        self.verified, self.uid, self._duplicate = verified, uid, duplicate
        self._tell_claim()

    def _tell_claim(self) -> None:
        before, self._told = self._told, self.claim
        if self._told != before:
            self._identities.claims_changed(self, before, self._told)

    # ── the annotation ──────────────────────────────────────────────────────────────────────────────

    async def _pin(self, seen: str) -> str:
        """The UID that the cluster ought to have; ``seen`` itself, once written, where nothing is pinned."""
        for _ in range(_TRIES):
            found = self._config()
            self._pinned = pinned(found)
            if self._pinned:
                self._unwritten = ""
                break
            if self._unwritten not in ("", seen) or found is None or self._awaits_another(seen):
                break
            if await self._write(found, seen):
                self._unwritten = ""
                break
            self._pinned = ""
            if self._unwritten:
                break
        return self._pinned or self._unwritten or seen

    def _awaits_another(self, seen: str) -> bool:
        """Whether somebody who removed the annotation meant the cluster that was refused, which is tried again soon."""
        uid, since = self._refused
        return uid not in ("", seen) and asyncio.get_running_loop().time() - since < REFUSAL_AGE

    async def _write(self, found: Object, seen: str) -> bool:
        """Whether the pin stands in the ClientConfig; False when that has to be read again, or cannot be written."""
        patch = {"metadata": {"annotations": {ANNOTATION: seen}}}
        local = self._local
        self._pinned = seen  # before the answer enters the cache: our own change raises no doubt
        merge = Merge(CLIENT_CONFIGS, patch, found, exactly=True)
        try:
            async with asyncio.timeout(PIN_DEADLINE):
                try:
                    await perform(merge, local.client, local.cache, lambda _: False)
                except ObserveAgain:
                    await self._refresh(found)
                    return False
        except (errors.KubeError, TimeoutError) as error:
            why = str(error) or "the control plane does not answer"
            _log.warning("the cluster's UID could not be pinned", cluster=self.owner.context, error=why)
            self._unwritten = seen
            return False
        return True

    async def _refresh(self, found: Object) -> None:
        """Bring the ClientConfig into the cache that a write found outdated."""
        local = self._local
        try:
            now = await local.client.get(CLIENT_CONFIGS, found.head.namespace, found.head.name)
        except errors.KindNotFound:
            return
        except errors.NotFound:
            local.cache.write_deleted(CLIENT_CONFIGS, found.head)
        except errors.KubeError:
            return
        else:
            local.cache.write_through(CLIENT_CONFIGS, now)

    def _config(self) -> Object | None:
        """The ClientConfig as it is now; None when it is gone."""
        cache = self._local.cache
        if CLIENT_CONFIGS not in cache.stores:
            return None
        found = cache.get(CLIENT_CONFIGS, self.owner.namespace, self.owner.name)
        return found if found is not None and found.head.uid == self.owner.uid else None

    def _annotation(self) -> str:
        return pinned(self._config())


class Identities:
    """The pins of all ClientConfigs: of those that claim one cluster, the oldest has it."""

    def __init__(self) -> None:
        self._pins: list[Pin] = []

    def add(self, pin: Pin) -> None:
        self._pins.append(pin)

    def remove(self, pin: Pin) -> None:
        claim = pin.claim
        self._pins = [other for other in self._pins if other is not pin]
        self.claims_changed(pin, claim, "")

    def holder(self, uid: str, asking: Pin) -> Pin:
        """Who has the cluster ``uid``, ``asking`` being one who would have it."""
        claiming = [pin for pin in self._pins if pin is not asking and pin.claim == uid]
        return min([*claiming, asking], key=lambda pin: pin.owner.age)

    def claims_changed(self, pin: Pin, before: str, after: str) -> None:
        """Have those looked at again who were in the way of ``pin``, or in whose way it was."""
        for other in list(self._pins):
            if other is not pin and other.claim and other.claim in (before, after):
                other.on_doubt()

    def config_changed(self, namespace: str, name: str) -> None:
        """Tell the pin of a ClientConfig that it changed."""
        for pin in list(self._pins):
            if (pin.owner.namespace, pin.owner.name) == (namespace, name):
                pin.config_changed()


def begin_epoch(cluster: Cluster) -> None:
    """Have everything listed again: what the caches hold is another cluster's."""
    for _, reflector in cluster.reflectors:
        reflector.store.begin_epoch()
        reflector.relist("identity")


def pinned(config: Object | None) -> str:
    """What a ClientConfig says of its cluster, "" for nothing; cut, since anybody may have written it."""
    if config is None:
        return ""
    try:
        value = config.decode(ClientConfig).metadata.annotations.get(ANNOTATION, "")
    except errors.Malformed:
        return ""
    return errors.clean(value.strip(), _UID_CAP)
