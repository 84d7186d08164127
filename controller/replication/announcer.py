"""Tells people what is wrong with ReplicatedSecrets: Events, for published CRDs keep no reasons and no messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog

from controller.engine.events import EventRecorder, Reference
from controller.kube.objects import Object
from controller.replication.status import Outcome
from controller.replication.types import REPLICATED_SECRETS

DELETED: Final = "Deleted"  # reason of a target that has no copy left, as it should be

_log = structlog.get_logger(__name__)


class Announcer:
    """Says each thing once, as long as it stays so."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._announced: dict[str, frozenset[Outcome]] = {}  # by UID: what is wrong and was said

    def forget(self, uid: str) -> None:
        """The ReplicatedSecret is gone."""
        self._announced.pop(uid, None)

    def announce(self, found: Object, outcomes: Iterable[Outcome]) -> None:
        """An Event for every target with which something is wrong that was not wrong before."""
        head = found.head
        wrong = [outcome for outcome in outcomes if not outcome.ok and outcome.reason != DELETED]
        now = frozenset(outcome for outcome in wrong if not outcome.told_elsewhere)
        about = Reference(REPLICATED_SECRETS.api_version, REPLICATED_SECRETS.kind, head.namespace, head.name, head.uid)
        for outcome in sorted(now - self._announced.get(head.uid, frozenset()), key=str):
            place = f"{outcome.context or 'the control plane'}, namespace {outcome.namespace}: "
            message = (place if outcome.namespace else "") + outcome.message
            self._recorder.record(about, "Warning", outcome.reason, message)
            _log.warning(
                "ReplicatedSecret has a problem",
                namespace=head.namespace,
                name=head.name,
                reason=outcome.reason,
                message=message,
            )
        if now:
            self._announced[head.uid] = now
        else:
            self._announced.pop(head.uid, None)
