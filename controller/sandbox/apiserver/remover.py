"""Deleting: preconditions, finalizers, propagation, grace periods."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import msgspec

from controller.engine.clock import rfc3339
from controller.kube.resources import CRDS, NAMESPACES, PODS
from controller.sandbox.apiserver import failures
from controller.sandbox.apiserver.core import Core
from controller.sandbox.apiserver.crds import CLEANUP, condition
from controller.sandbox.apiserver.kinds import Kind
from controller.sandbox.apiserver.metadata import ordered
from controller.sandbox.apiserver.options import DeleteOptions
from controller.sandbox.apiserver.storage import Version
from controller.sandbox.apiserver.writer import is_final

Json = dict[str, Any]

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
IMMORTAL: Final = frozenset({"default", "kube-system", "kube-public"})
POD_GRACE: Final = 30  # s, when the pod names none


class Deletion(msgspec.Struct, frozen=True):
    """What a DELETE did: the last version of the object, and whether it is gone."""

    version: Version
    gone: bool


class Remover:
    """Judges deletions and commits them."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def delete(self, kind: Kind, live: Version, options: DeleteOptions) -> Deletion:
        """Delete one object, or mark it when something holds it; raises 403 and 409."""
        self._check(kind, live, options)
        collection = self._core.collection(kind)
        obj = self._core.view(self._stored(kind), live)
        metadata = obj["metadata"]
        finalizers = _propagated(list(live.finalizers), options.policy)
        if kind.resource.name == CRDS.name and not live.deleting:
            finalizers = [*finalizers, CLEANUP]
            message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
            terminating = condition("Terminating", "InstanceDeletionPending", message, self._core.now())
            status = obj.setdefault("status", {})
            status["conditions"] = [*(status.get("conditions") or ()), terminating]
        grace = self._grace(kind, obj, options)
        before = (live.finalizers, live.deleting, metadata.get("deletionGracePeriodSeconds"))
        if finalizers:
            metadata["finalizers"] = finalizers
        else:
            metadata.pop("finalizers", None)
        if not live.deleting:
            metadata["deletionTimestamp"] = rfc3339(self._core.clock.now() + timedelta(seconds=grace))
            metadata["deletionGracePeriodSeconds"] = grace
            if metadata.get("generation"):
                metadata["generation"] += 1
            if kind.resource.name == NAMESPACES.name:
                obj["status"] = (obj.get("status") or {}) | {"phase": "Terminating"}
        elif grace < metadata.get("deletionGracePeriodSeconds", 0):
            metadata["deletionTimestamp"] = rfc3339(self._core.clock.now() + timedelta(seconds=grace))
            metadata["deletionGracePeriodSeconds"] = grace
        if is_final(obj):
            if options.dry_run:
                return Deletion(live, gone=True)
            return Deletion(collection.remove(live.key), gone=True)
        after = (finalizers, True, metadata.get("deletionGracePeriodSeconds"))
        if after == before or options.dry_run:
            return Deletion(live, gone=False)
        return Deletion(collection.put(ordered(obj)), gone=False)

    def _stored(self, kind: Kind) -> Kind:
        return self._core.registry.stored(kind.collection) or kind

    def _check(self, kind: Kind, live: Version, options: DeleteOptions) -> None:
        resource = kind.resource
        if options.uid is not None and options.uid != live.uid:
            why = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {live.uid}"
            raise failures.conflict(resource, live.name, why)
        if options.resource_version is not None and options.resource_version != str(live.rv):
            why = (
                f"Precondition failed: ResourceVersion in precondition: {options.resource_version}, "
                f"ResourceVersion in object meta: {live.rv}"
            )
            raise failures.conflict(resource, live.name, why)
        if resource.name == NAMESPACES.name and live.name in IMMORTAL:
            raise failures.forbidden(resource, live.name, "this namespace may not be deleted")

    def _grace(self, kind: Kind, obj: Json, options: DeleteOptions) -> int:
        """Seconds that a running pod gets to end; 0 for everything else."""
        if kind.resource.name != PODS.name:
            return 0
        spec = obj.get("spec") or {}
        phase = (obj.get("status") or {}).get("phase")
        if not spec.get("nodeName") or phase in ("Failed", "Succeeded"):
            return 0
        if options.grace is not None:
            return max(options.grace, 0)
        return int(spec.get("terminationGracePeriodSeconds", POD_GRACE))


def _propagated(finalizers: list[str], policy: str) -> list[str]:
    """The finalizers that a propagation policy leaves: its own, and those of no policy."""
    if not policy:
        return finalizers
    kept = [f for f in finalizers if f not in (FOREGROUND, ORPHAN)]
    wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(policy)
    if wanted is None:
        return kept
    return finalizers if wanted in finalizers and len(kept) + 1 == len(finalizers) else [*kept, wanted]
