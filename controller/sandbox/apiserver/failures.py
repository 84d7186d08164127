"""What the server answers when it refuses: every error status, worded as kube-apiserver words it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec

from controller.kube.resources import Resource

Json = dict[str, Any]

TOO_OLD_PAGE: Final = (
    "The provided continue parameter is too old to display a consistent list result: start a new list without it, "
    "or go on with the token in this response, whose pages show the objects as they are now."
)


class Fault(Protocol):
    """One thing wrong with one field: its path, a ``FieldValue…`` reason, and the sentence about it."""

    @property
    def field(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def message(self) -> str: ...


class Wrong(msgspec.Struct, frozen=True):
    """A ``Fault`` found by this package's own rules."""

    field: str
    reason: str
    message: str


def invalid_value(field: str, value: object, why: str) -> Wrong:
    return Wrong(field, "FieldValueInvalid", f"Invalid value: {_go(value)}: {why}")


def required(field: str, why: str = "") -> Wrong:
    return Wrong(field, "FieldValueRequired", f"Required value: {why}" if why else "Required value")


def forbidden_field(field: str, why: str) -> Wrong:
    return Wrong(field, "FieldValueForbidden", f"Forbidden: {why}")


def duplicate(field: str, value: object) -> Wrong:
    return Wrong(field, "FieldValueDuplicate", f"Duplicate value: {_go(value)}")


def unsupported(field: str, value: object, known: Iterable[str]) -> Wrong:
    words = ", ".join(f'"{word}"' for word in sorted(known))
    return Wrong(field, "FieldValueNotSupported", f"Unsupported value: {_go(value)}: supported values: {words}")


def too_many(field: str, count: int, most: int) -> Wrong:
    return Wrong(field, "FieldValueTooMany", f"Too many: {count}: must have at most {most} items")


def too_long(field: str, most: int) -> Wrong:
    return Wrong(field, "FieldValueTooLong", f"Too long: may not be more than {most} bytes")


def _go(value: object) -> str:
    """A value as Go's field errors print it: strings quoted, the rest as JSON."""
    return msgspec.json.encode(value).decode()


class Failure(Exception):
    """An error status; ``headers`` go with it (``Retry-After``, ``WWW-Authenticate``)."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Json | None = None,
        metadata: Json | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(code, reason, message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.metadata = metadata or {}
        self.headers = headers or {}

    def status(self) -> Json:
        """The ``metav1.Status`` that says so."""
        status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details:
            status["details"] = self.details
        status["code"] = self.code
        return status


class PathNotFound(Exception):
    """Nothing is served at this path: the answer is plain text, as from Go's router."""


def success(resource: Resource, name: str, uid: str) -> Json:
    """The Status that answers a DELETE that removed the object at once."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": _details(resource, name) | {"uid": uid},
    }


def _details(resource: Resource, name: str) -> Json:
    details = {"name": name, "group": resource.group, "kind": resource.plural}
    return {key: value for key, value in details.items() if value}


def bad_request(message: str) -> Failure:
    return Failure(400, "BadRequest", message)


def unauthorized() -> Failure:
    return Failure(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Resource, name: str, why: str, causes: list[Json] | None = None) -> Failure:
    details = _details(resource, name)
    if causes:
        details["causes"] = causes
    subject = f'{resource.name} "{name}"' if name else resource.name
    return Failure(403, "Forbidden", f"{subject} is forbidden: {why}", details=details)


def not_found(resource: Resource, name: str) -> Failure:
    return Failure(404, "NotFound", f'{resource.name} "{name}" not found', details=_details(resource, name))


def no_such_resource() -> Failure:
    message = "the server could not find the requested resource"
    return Failure(404, "NotFound", message, details={})


def method_not_allowed() -> Failure:
    message = "the server does not allow this method on the requested resource"
    return Failure(405, "MethodNotAllowed", message, details={})


def already_exists(resource: Resource, name: str, *, being_deleted: bool = False) -> Failure:
    message = f'{resource.name} "{name}" already exists'
    if being_deleted:
        message = f"object is being deleted: {message}"
    return Failure(409, "AlreadyExists", message, details=_details(resource, name))


def conflict(resource: Resource, name: str, why: str) -> Failure:
    message = f'Operation cannot be fulfilled on {resource.name} "{name}": {why}'
    return Failure(409, "Conflict", message, details=_details(resource, name))


def modified(resource: Resource, name: str) -> Failure:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def apply_conflict(conflicts: Sequence[tuple[str, str]]) -> Failure:
    """``conflicts``: pairs of the manager that owns a field, as the server describes it, and the field's path."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": field}
        for manager, field in conflicts
    ]
    count = len(conflicts)
    if count == 1:
        message = f"Apply failed with 1 conflict: conflict with {conflicts[0][0]}: {conflicts[0][1]}"
    else:
        by_manager: dict[str, list[str]] = {}
        for manager, field in conflicts:
            by_manager.setdefault(manager, []).append(field)
        lines = [f"conflicts with {m}:\n" + "\n".join(f"- {f}" for f in fs) for m, fs in by_manager.items()]
        message = f"Apply failed with {count} conflicts: " + "\n".join(lines)
    return Failure(409, "Conflict", message, details={"causes": causes})


def expired(message: str, continue_token: str = "") -> Failure:
    metadata = {"continue": continue_token} if continue_token else None
    return Failure(410, "Expired", message, metadata=metadata)


def unsupported_media_type(kinds: Iterable[str]) -> Failure:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(kinds)}"
    return Failure(415, "UnsupportedMediaType", message)


def not_acceptable() -> Failure:
    message = "only the following media types are accepted: application/json, application/yaml"
    return Failure(406, "NotAcceptable", message)


def invalid(group: str, kind: str, name: str, faults: Sequence[Fault]) -> Failure:
    """422 with one cause for each fault."""
    qualified = f"{kind}.{group}" if group else kind
    sentences = [f"{fault.field}: {fault.message}" if fault.field else fault.message for fault in faults]
    text = sentences[0] if len(sentences) == 1 else f"[{', '.join(sentences)}]"
    causes = []
    for fault in faults:
        cause = {"reason": fault.reason, "message": fault.message}
        if fault.field:
            cause["field"] = fault.field
        causes.append(cause)
    details: Json = {key: value for key, value in (("name", name), ("group", group), ("kind", kind)) if value}
    details["causes"] = causes
    return Failure(422, "Invalid", f'{qualified} "{name}" is invalid: {text}', details=details)


def too_large_version(asked: int, current: int) -> Failure:
    return Failure(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {asked}, current: {current}",
        details={
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
        headers={"retry-after": "1"},
    )
