"""The subresource ``pods/proxy``: HTTP requests that the server carries to a pod, over the sandbox's pod network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import msgspec

from controller.kube.resources import PODS
from controller.kube.transport import Request, Response
from controller.sandbox.apiserver import failures
from controller.sandbox.apiserver.core import ANONYMOUS
from controller.sandbox.apiserver.failures import Failure
from controller.sandbox.apiserver.faults import Subject
from controller.sandbox.apiserver.storage import encode
from controller.sandbox.pod_network import Unreachable, pod_network

if TYPE_CHECKING:
    from controller.sandbox.apiserver.server import ApiServer

_KEPT: Final = frozenset({"content-type", "accept"})  # of a request's headers; credentials stay with the server


def is_proxied(subject: Subject) -> bool:
    """Whether a request is for a pod."""
    return (subject.resource, subject.subresource) == (PODS.plural, "proxy")


async def proxied(server: ApiServer, request: Request, token: str | None, subject: Subject) -> Response:
    """The pod's answer, or the server's own when it has to refuse."""
    user = ANONYMOUS
    try:
        found = server.accounts.authenticate(token) if token else None
        if token and found is None:
            raise failures.unauthorized()
        user = found or ANONYMOUS
        server.authorization.check(user, subject, request)
        answer = await _carried(server, request, subject)
    except Failure as failure:
        answer = _refusal(failure)
    # Counted apart from what is asked of the server itself.
    server.note(request, user, msgspec.structs.replace(subject, resource=f"{subject.resource}/proxy"), answer)
    return answer


async def _carried(server: ApiServer, request: Request, subject: Subject) -> Response:
    name, _, port = subject.name.partition(":")
    kind = server.core.registry.at("", "v1", PODS.plural)
    assert kind is not None
    pod = server.core.need(kind, subject.namespace, name).decode()
    address = (pod.get("status") or {}).get("podIP", "")
    if not address:
        raise failures.bad_request("address not allowed")
    path = unquote(request.path).partition("/proxy")[2] or "/"
    headers = tuple((key, value) for key, value in request.headers if key in _KEPT)
    inner = msgspec.structs.replace(request, path=path, headers=headers)
    try:
        return await pod_network().call(address, int(port or 80), inner)
    except Unreachable as error:
        message = f"error trying to reach service: {error}"
        raise Failure(503, "ServiceUnavailable", message) from None


def _refusal(failure: Failure) -> Response:
    headers = {"content-type": "application/json", **failure.headers}
    return Response(status=failure.code, headers=headers, body=encode(failure.status()))
