"""Paths: what a request is about."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from controller.kube.transport import Request
from controller.sandbox.apiserver.bodies import header
from controller.sandbox.apiserver.failures import no_such_resource
from controller.sandbox.apiserver.faults import Subject
from controller.sandbox.apiserver.kinds import Kind, Registry
from controller.sandbox.apiserver.patches import APPLY

_WRITES = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class Route(msgspec.Struct, frozen=True):
    """A request to a kind: which part of it, and by which verb."""

    kind: Kind
    namespace: str
    name: str
    subresource: str
    subject: Subject


class Virtual(msgspec.Struct, frozen=True):
    """A request to a kind that is never stored: a review."""

    group: str
    plural: str
    subject: Subject


class _Place(msgspec.Struct, frozen=True):
    """A path under a group and version, taken apart; whether anything is served there is not known yet."""

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str
    watching: bool


def _place(request: Request) -> _Place | None:
    parts = [unquote(part) for part in request.path.strip("/").split("/")]
    if parts[:2] == ["api", "v1"] and len(parts) > 2:
        group, version, rest = "", "v1", parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    watching = rest[0] == "watch" and len(rest) > 1  # the old way to ask for a watch
    if watching:
        rest = rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and (group or rest[2] not in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    part = rest[2:3] if rest[2:3] == ["proxy"] else rest[2:]  # what follows is the pod's
    plural, name, subresource = (*rest[:2], "/".join(part), "", "")[:3] if len(rest) > 1 else (rest[0], "", "")
    return _Place(group, version, namespace, plural, name, subresource, watching)


def subject_of(request: Request) -> Subject:
    """What a request is about, whether that exists or not."""
    place = _place(request)
    return _subject(request, place) if place is not None else Subject("")


def _subject(request: Request, place: _Place) -> Subject:
    verb = "watch" if place.watching else _verb(request, place.name)
    resource = f"{place.plural}.{place.group}" if place.group else place.plural
    return Subject(verb, resource, place.namespace, place.name, place.subresource)


def resolve(registry: Registry, request: Request) -> Route | Virtual | None:
    """The route of a request under ``/api/v1`` or ``/apis/<group>/<version>``, None for any other path.

    Raises 404 for a kind that is not served.
    """
    place = _place(request)
    if place is None:
        return None
    subject = _subject(request, place)
    if place.group in ("authentication.k8s.io", "authorization.k8s.io"):
        return Virtual(place.group, place.plural, subject)
    kind = registry.at(place.group, place.version, place.plural)
    if kind is None or not kind.served or (place.namespace and not kind.resource.namespaced):
        raise no_such_resource()
    return Route(kind, place.namespace, place.name, place.subresource, subject)


def _verb(request: Request, name: str) -> str:
    method = request.method
    if method == "GET":
        if dict(request.query).get("watch", "false").lower() not in ("false", "0", "f"):
            return "watch"
        return "get" if name else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    if method == "PATCH":
        return "apply" if header(request, "content-type").startswith(APPLY) else "patch"
    return _WRITES.get(method, method.lower())
