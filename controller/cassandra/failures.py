"""What comes of failures: when a pass is tried again, and what people are told."""

from __future__ import annotations

from typing import Any, Final

from controller.cassandra.plan import Problem
from controller.cassandra.plan.model import Status
from controller.cassandra.watches import owner_of
from controller.engine.worker import Again, Done, Result, Retry
from controller.fleet.actions import MustWait, NameConflict
from controller.kube import errors
from controller.kube.conditions import Condition
from controller.kube.objects import Object

# Errors that only somebody else's action can end, of which no event tells: tried again slowly.
PERMANENT: Final = (NameConflict, errors.Invalid, errors.BadRequest, errors.NotSupported, errors.AdmissionDenied)
RECHECK: Final = 60.0  # s until they are looked at again
REMOVAL_RECHECK: Final = 5.0  # s until a removal is tried again that had to wait


def outcome(failures: list[Exception], wait: float) -> Result:
    """What comes after a pass with these failures: the one that may pass soonest counts.

    ``wait``: seconds after which something is to be looked at again anyway, 0 for nothing.
    """
    passing = [error for error in failures if not isinstance(error, (*PERMANENT, MustWait))]
    if passing:
        return Retry(passing[0])
    if any(isinstance(error, MustWait) for error in failures):
        return Again(REMOVAL_RECHECK)
    if failures or wait:
        return Again(wait or RECHECK)
    return Done()


def problem_of(context: str, datacenter: str, error: Exception) -> Problem | None:
    """What people are told of a failure; None for what passes by itself and is seen in the cluster's state."""
    where = context or "the control plane"
    match error:
        case NameConflict():
            return Problem("NameConflict", f"{where}: {_taken(error)}", datacenter)
        case MustWait(brief=True):
            return None
        case MustWait():
            return Problem("RemovalWaits", f"nothing is removed in {where} now: {error}", datacenter)
        case (
            errors.Conflict()
            | errors.TooManyRequests()
            | errors.TransportError()
            | errors.ClusterUnavailable()
            | errors.WritesForbidden()
        ):
            return None
        case errors.WebhookFailed():
            return Problem("WebhookFailed", f"{where}: {_unanswered(error)}", datacenter)
        case errors.Forbidden():
            return Problem("Forbidden", f"{where}: {error}; apply the roles of manifests/ there", datacenter)
        case errors.NotFound():
            return Problem("NotFound", f"{where}: {error}; does the namespace exist there?", datacenter)
        case errors.ApiError():
            return Problem("Rejected", f"{where}: the API server refused: {error}", datacenter)
        case _:
            return Problem("InternalError", f"{where}: {type(error).__name__}", datacenter)


def _taken(error: NameConflict) -> str:
    """Whose the object is that has our name, if its labels say so."""
    owner = owner_of(error.found.head) if error.found is not None else None
    if owner is None:
        return str(error)
    kind, name = error.resource.kind, "/".join(error.place)
    return f"{kind} {name} is that of K8ssandraCluster {'/'.join(owner)}: choose another name, or another namespace"


def _unanswered(error: errors.WebhookFailed) -> str:
    """What stands in the way, and what to do: an operator that is gone often leaves its configuration behind."""
    named = f"{error.configuration} asks for it" if error.configuration else "a webhook configuration asks for it"
    look = error.configuration or "it (kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations)"
    return (
        f'nothing can be written, because webhook "{error.webhook}" does not answer ({error.message}); {named}: '
        f"delete {look} if its operator is gone, else bring the operator back"
    )


def unreadable(found: Object, error: errors.Malformed) -> Status:
    """The status of a K8ssandraCluster that went past its schema."""
    message = f"this K8ssandraCluster cannot be read: {error}"
    generation = found.head.generation
    conditions = tuple(
        Condition(type=kind, status="False", reason="InvalidSpec", message=message, observed_generation=generation)
        for kind in ("Ready", "Progressing")
    )
    live: dict[str, Any] = found.decode(dict).get("status") or {}
    return Status(conditions, live.get("datacenters") or {}, message, live.get("observedGeneration") or 0)
