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


def resolve(registry: Registry, request: Request) -> Route | Virtual | None:
    """The route of a request under ``/api/v1`` or ``/apis/<group>/<version>``, None for any other path.

    Raises 404 for a kind that is not served.
    """
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
    if rest[0] == "namespaces" and len(rest) > 2 and not (not group and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        raise no_such_resource()
    plural, name, subresource = (*rest, "", "")[:3]
    if group in ("authentication.k8s.io", "authorization.k8s.io"):
        return Virtual(group, plural, Subject(_WRITES.get(request.method, "get"), f"{plural}.{group}"))
    kind = registry.at(group, version, plural)
    if kind is None or not kind.served or (namespace and not kind.resource.namespaced):
        raise no_such_resource()
    verb = "watch" if watching else _verb(request, name)
    return Route(kind, namespace, name, subresource, Subject(verb, kind.collection, namespace, name, subresource))


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
