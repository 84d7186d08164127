"""One AdmissionReview in, one out: what the verdict on a K8ssandraCluster means for the API server that asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
import structlog

from controller.cassandra.judgement import Contexts, Verdict, judge
from controller.cassandra.problems import FieldProblem
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.cassandra.types import K8ssandraCluster
from controller.kube import objects
from controller.kube.errors import Malformed, clean

API_VERSION: Final = "admission.k8s.io/v1"
CAUSES: Final = 50  # problems that a refusal lists, the rest is counted
WARNING_LENGTH: Final = 256  # characters; API servers cut what is longer
WARNINGS_LENGTH: Final = 4096  # characters of all together, for the same reason

_log = structlog.get_logger(__name__)

Outcome: TypeAlias = Literal["allowed", "denied"]
Json: TypeAlias = dict[str, Any]


class BadReview(Exception):
    """What came is no AdmissionReview that can be answered; the text says why."""


class _Kind(msgspec.Struct, frozen=True):
    group: str = ""
    version: str = ""
    kind: str = ""


class _Request(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    uid: str
    kind: _Kind = _Kind()
    sub_resource: str = ""
    namespace: str = ""
    name: str = ""
    operation: str = ""
    object: Json | None = None
    old_object: Json | None = None


class _Review(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    api_version: str = ""
    kind: str = ""
    request: _Request | None = None


class Answer(msgspec.Struct, frozen=True):
    """``body``: the AdmissionReview to send, JSON."""

    body: bytes
    outcome: Outcome


class Rules(msgspec.Struct, frozen=True):
    """What a verdict depends on besides the object.

    ``contexts`` tells which context names there are, None while that is not known. ``namespaces``: those that the
    controller watches, () for all. ``clusters``: all K8ssandraClusters there.
    """

    contexts: Callable[[], Contexts | None]
    namespaces: tuple[str, ...] = ()
    clusters: Callable[[], Iterable[K8ssandraCluster]] = tuple


def answer(body: bytes, rules: Rules) -> Answer:
    """The answer to a review; raises ``BadReview`` for what cannot be answered by one."""
    request = _read(body)
    try:
        verdict = _verdict(request, rules)
    except RecursionError:
        verdict = Verdict((FieldProblem("spec", "is nested too deeply", "use fewer levels"),))
    response: Json = {"uid": request.uid, "allowed": not verdict.problems}
    if verdict.problems:
        response["status"] = _refusal(request, verdict.problems)
        _log.info(
            "refused a K8ssandraCluster",
            namespace=request.namespace,
            name=request.name,
            fields=[problem.field for problem in verdict.problems[:CAUSES]],
        )
    if warnings := _warnings(verdict.warnings):
        response["warnings"] = warnings
    review = {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}
    return Answer(objects.encode(review), "denied" if verdict.problems else "allowed")


def _read(body: bytes) -> _Request:
    try:
        review = msgspec.json.decode(body, type=_Review)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        where = str(error) if isinstance(error, msgspec.ValidationError) else "not valid JSON"
        raise BadReview(f"no AdmissionReview: {where}") from None
    if (review.api_version, review.kind) != (API_VERSION, "AdmissionReview"):
        raise BadReview(f"no AdmissionReview of {API_VERSION}")
    if review.request is None or not review.request.uid:
        raise BadReview("an AdmissionReview without a request, or without its uid")
    return review.request


def _verdict(request: _Request, rules: Rules) -> Verdict:
    wanted = _Kind(K8SSANDRA_CLUSTERS.group, K8SSANDRA_CLUSTERS.version, K8SSANDRA_CLUSTERS.kind)
    if request.kind != wanted:
        message = f"is nothing that {K8SSANDRA_CLUSTERS.kind}s are judged by; nothing was checked"
        return Verdict(warnings=(FieldProblem("kind", message, "correct the rules of the webhook's configuration"),))
    new, old = request.object, request.old_object
    if request.operation not in ("CREATE", "UPDATE") or request.sub_resource or new is None:
        return Verdict()  # of deletions, and of the status, there is nothing to judge
    if _deleting(new) or (old is not None and (_deleting(old) or _same(new, old))):
        return Verdict()  # nothing may keep a finalizer from going
    if rules.namespaces and request.namespace not in rules.namespaces:
        message = "is not watched by this controller; nothing was checked"
        return Verdict(warnings=(FieldProblem("metadata.namespace", message, "add it to WATCH_NAMESPACE"),))
    try:
        cluster = _typed(new, request)
    except Malformed as error:
        return Verdict((_unreadable(error),))
    try:
        before = _typed(old, request) if old is not None else None
    except Malformed:
        before = None  # from under another definition: there is nothing to compare with
    return judge(cluster, before, rules.contexts(), rules.clusters)


def _typed(obj: Json, request: _Request) -> K8ssandraCluster:
    metadata = {"namespace": request.namespace, "name": request.name, **_mapping(obj.get("metadata"))}
    return objects.decode(objects.encode({**obj, "metadata": metadata}), K8ssandraCluster)


def _same(new: Json, old: Json) -> bool:
    """Whether only metadata differs that is not judged."""
    annotations = [_mapping(obj.get("metadata")).get("annotations") or {} for obj in (new, old)]
    return bool(new.get("spec") == old.get("spec") and annotations[0] == annotations[1])


def _deleting(obj: Json) -> bool:
    return bool(_mapping(obj.get("metadata")).get("deletionTimestamp"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _unreadable(error: Malformed) -> FieldProblem:
    """What a decoder says, as "Expected `int`, got `str` - at `$.spec.auth`", with the path first."""
    message, _, path = str(error).partition(" - at ")
    field = path.strip("`").removeprefix("$.") or "spec"
    return FieldProblem(field, message.replace("`", "") or "cannot be read", "correct the type")


def _refusal(request: _Request, problems: Sequence[FieldProblem]) -> Json:
    """A Status as an API server makes it itself for an object that is invalid; kubectl lists its causes."""
    said = [clean(str(problem), 1024) for problem in problems[:CAUSES]]
    if len(problems) > CAUSES:
        said.append(f"and {len(problems) - CAUSES} more")
    who = f"{K8SSANDRA_CLUSTERS.kind} {request.namespace}/{request.name}".rstrip("/")
    return {
        "status": "Failure",
        "code": 422,
        "reason": "Invalid",
        "message": f"{who}: {'; '.join(said)}",
        "details": {
            "group": K8SSANDRA_CLUSTERS.group,
            "kind": K8SSANDRA_CLUSTERS.kind,
            "name": request.name,
            "causes": [
                {"reason": "FieldValueInvalid", "field": clean(each.field, 512), "message": _said(each)}
                for each in problems[:CAUSES]
            ],
        },
    }


def _said(problem: FieldProblem) -> str:
    return clean(f"{problem.message}; {problem.remedy}" if problem.remedy else problem.message, 1024)


def _warnings(problems: Sequence[FieldProblem]) -> list[str]:
    found: list[str] = []
    for problem in problems:
        text = clean(str(problem), WARNING_LENGTH)
        if sum(map(len, found)) + len(text) > WARNINGS_LENGTH:
            break
        found.append(text)
    return found
