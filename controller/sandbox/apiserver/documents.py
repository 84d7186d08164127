"""Requests that are about no kind: health, version, discovery, OpenAPI."""

from __future__ import annotations

from typing import Any, Final

from controller.kube.transport import Request, Response
from controller.sandbox.apiserver import discovery, openapi
from controller.sandbox.apiserver.bodies import header
from controller.sandbox.apiserver.failures import PathNotFound
from controller.sandbox.apiserver.kinds import Registry
from controller.sandbox.apiserver.openapi import PublishedKind
from controller.sandbox.apiserver.storage import encode

Json = dict[str, Any]

_TEXT: Final = "text/plain; charset=utf-8"


def document(registry: Registry, request: Request) -> Response:
    """The answer; raises ``PathNotFound``."""
    path = request.path.rstrip("/") or "/"
    if request.method not in ("GET", "HEAD"):
        raise PathNotFound
    if path.startswith(("/healthz", "/livez", "/readyz")):
        return Response(status=200, headers={"content-type": _TEXT}, body=b"ok")
    accept = header(request, "accept").replace(" ", "")
    if path in ("/api", "/apis") and discovery.AGGREGATED in accept:
        found = discovery.aggregated(registry, core=path == "/api")
        return _json(found, discovery.AGGREGATED)
    return _json(_found(registry, path.strip("/").split("/")))


def _found(registry: Registry, parts: list[str]) -> Json:
    found: Json | None = None
    match parts:
        case ["version"]:
            found = discovery.VERSION
        case ["api"]:
            found = discovery.core_versions()
        case ["apis"]:
            found = discovery.group_list(registry)
        case ["api", "v1"]:
            found = discovery.resource_list(registry, "", "v1")
        case ["apis", group]:
            found = discovery.group(registry, group)
        case ["apis", group, version]:
            found = discovery.resource_list(registry, group, version)
        case ["openapi", "v2"]:
            found = openapi.openapi_v2(_published(registry))
        case ["openapi", "v3"]:
            found = openapi.openapi_v3_index(_published(registry))
        case ["openapi", "v3", "api", "v1"]:
            found = openapi.openapi_v3("", "v1", _published(registry))
        case ["openapi", "v3", "apis", group, version]:
            found = openapi.openapi_v3(group, version, _published(registry))
        case [""]:
            found = {
                "paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
            }
    if found is None:
        raise PathNotFound
    return found


def _published(registry: Registry) -> list[PublishedKind]:
    return [
        PublishedKind(
            kind.resource,
            kind.openapi,
            tuple(name for name, _, _ in discovery.subresources(kind)),
        )
        for kind in registry
        if kind.served
    ]


def _json(found: Json, content_type: str = "application/json") -> Response:
    return Response(status=200, headers={"content-type": content_type}, body=encode(found))
