"""Requests to kinds: each verb, from the route to the answer."""

from __future__ import annotations

from typing import Any

import msgspec

from controller.kube.resources import CRDS, NAMESPACES, SERVICE_ACCOUNTS
from controller.kube.transport import Request, Response
from controller.sandbox.apiserver import failures
from controller.sandbox.apiserver.accounts import Accounts
from controller.sandbox.apiserver.bodies import JSON, decoded, header
from controller.sandbox.apiserver.core import Core, User
from controller.sandbox.apiserver.failures import bad_request
from controller.sandbox.apiserver.forms import negotiate
from controller.sandbox.apiserver.kinds import Kind
from controller.sandbox.apiserver.options import (
    ListOptions,
    delete_options,
    list_options,
    timeout_of,
    write_options,
)
from controller.sandbox.apiserver.patches import Patcher
from controller.sandbox.apiserver.reader import Reader
from controller.sandbox.apiserver.remover import Remover
from controller.sandbox.apiserver.routes import Route
from controller.sandbox.apiserver.storage import Version, encode
from controller.sandbox.apiserver.watches import Watch
from controller.sandbox.apiserver.writer import Writer, is_final

Json = dict[str, Any]

BODY_CAP = 3 * 1024 * 1024  # bytes of a request's body, as kube-apiserver


class Handlers:
    """Answers requests to kinds. Every method raises ``Failure``."""

    def __init__(self, core: Core, reader: Reader, writer: Writer, remover: Remover, accounts: Accounts) -> None:
        self._core = core
        self._reader = reader
        self._writer = writer
        self._remover = remover
        self._accounts = accounts
        self._patcher = Patcher(core, writer)

    def handle(self, route: Route, request: Request, user: User) -> Response | Watch:
        """The answer to a request."""
        self._check_shape(route, request)
        if len(request.body) > BODY_CAP:
            message = f"Request entity too large: limit is {BODY_CAP}"
            raise failures.Failure(413, "RequestEntityTooLarge", message, details={})
        timeout_of(request)
        match route.subject.verb:
            case "get" | "list" | "watch":
                return self._read(route, request)
            case "create":
                return self._create(route, request, user)
            case "update":
                return self._update(route, request, user)
            case "patch" | "apply":
                return self._patch(route, request, user)
            case "delete":
                return self._delete(route, request)
            case "deletecollection":
                return self._delete_collection(route, request)
            case _:
                raise failures.method_not_allowed()

    def _check_shape(self, route: Route, request: Request) -> None:
        """Whether this part of the kind exists and takes this method."""
        kind, verb = route.kind, route.subject.verb
        resource = kind.resource
        if route.subresource:
            status = route.subresource == "status" and kind.has_status
            finalize = route.subresource == "finalize" and resource.name == NAMESPACES.name
            token = route.subresource == "token" and resource.name == SERVICE_ACCOUNTS.name
            if not (status or finalize or token):
                raise failures.not_found(resource, route.name) if kind.custom else failures.no_such_resource()
            allowed = {"get", "update", "patch", "apply"} if status else {"update"} if finalize else {"create"}
            if verb not in allowed:
                raise failures.method_not_allowed()
        elif (verb == "create" and route.name) or (verb in ("update", "patch", "apply") and not route.name):
            raise failures.method_not_allowed()
        if resource.namespaced and not route.namespace and (route.name or verb not in ("list", "watch")):
            raise failures.no_such_resource() if route.name else failures.method_not_allowed()

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────

    def _read(self, route: Route, request: Request) -> Response | Watch:
        verb = route.subject.verb
        options = list_options(request, streaming_lists=self._reader.streaming_lists)
        if verb == "watch" and route.name:
            named = f"metadata.name={route.name}"
            options = msgspec.structs.replace(options, fields=f"{options.fields},{named}" if options.fields else named)
        form, content_type = negotiate(
            self._core,
            route.kind,
            header(request, "accept"),
            dict(request.query).get("includeObject", ""),
            listing=verb == "list",
        )
        if verb == "watch":
            return self._reader.watch(route.kind, route.namespace, options, form, content_type)
        if verb == "get":
            body = self._reader.get(route.kind, route.namespace, route.name, options, form)
        else:
            body = self._reader.list_page(route.kind, route.namespace, options, form)
        return _response(200, body, content_type)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────

    def _create(self, route: Route, request: Request, user: User) -> Response:
        kind = route.kind
        options = write_options(request, user)
        body = decoded(request, options.validation, options.warnings)
        if route.subresource == "token":
            account = self._core.need(kind, route.namespace, route.name)
            return _response(201, encode(self._accounts.request_token(kind, account, body)))
        self._check_served(kind)
        version = self._writer.create(kind, route.namespace, body, options)
        return self._written(request, kind, version, 201, options.warnings)

    def _check_served(self, kind: Kind) -> None:
        """Nothing new is made of a CRD that is going."""
        definition = self._core.storage.collection(CRDS.name).get(kind.collection) if kind.custom else None
        if definition is not None and definition.deleting:
            why = "create not allowed while custom resource definition is terminating"
            raise failures.forbidden(kind.resource, "", why)

    def _update(self, route: Route, request: Request, user: User) -> Response:
        kind = route.kind
        options = write_options(request, user)
        body = decoded(request, options.validation, options.warnings)
        live = self._core.find(kind, route.namespace, route.name)
        if live is None:
            if route.subresource or not kind.strategy.create_on_update:
                raise failures.not_found(kind.resource, route.name)
            version = self._writer.create(kind, route.namespace, body, options, name=route.name)
            return self._written(request, kind, version, 201, options.warnings)
        if route.subresource == "finalize":
            return self._written(request, kind, self._finalize(live, body), 200)
        uid = body.get("metadata", {}).get("uid") if isinstance(body, dict) else None
        if uid and uid != live.uid:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {live.uid}"
            raise failures.conflict(kind.resource, live.name, why)
        if isinstance(body, dict) and not (body.get("metadata") or {}).get("name"):
            raise bad_request('the name of the object ("" based on URL) was undeterminable: name must be provided')
        version = self._writer.update(kind, live, lambda _: body, options, subresource=route.subresource)
        return self._written(request, kind, version, 200, options.warnings)

    def _finalize(self, live: Version, body: Any) -> Version:
        """Change a namespace's ``spec.finalizers``; the last one to go takes the namespace along."""
        namespaces = self._core.storage.collection(NAMESPACES.name)
        obj = live.decode()
        obj["spec"] = {"finalizers": found} if (found := (body.get("spec") or {}).get("finalizers")) else {}
        if live.deleting and is_final(obj):
            namespaces.remove(live.key)
            return live
        return namespaces.put(obj)

    def _patch(self, route: Route, request: Request, user: User) -> Response:
        options = write_options(request, user)
        if route.subject.verb == "apply":
            self._check_served(route.kind)
        version, created = self._patcher.patch(
            route.kind,
            route.namespace,
            route.name,
            route.subresource,
            header(request, "content-type"),
            request.body,
            options,
        )
        return self._written(request, route.kind, version, 201 if created else 200, options.warnings)

    # ── deleting ────────────────────────────────────────────────────────────────────────────────────

    def _delete(self, route: Route, request: Request) -> Response:
        kind = route.kind
        options = delete_options(request)
        live = self._core.need(kind, route.namespace, route.name)
        deletion = self._remover.delete(kind, live, options)
        if deletion.gone and not kind.strategy.returns_deleted:
            return _response(200, encode(failures.success(kind.resource, live.name, live.uid)))
        return self._written(request, kind, deletion.version, 200)

    def _delete_collection(self, route: Route, request: Request) -> Response:
        kind = route.kind
        options = delete_options(request)
        query = dict(request.query)
        wanted = ListOptions(labels=query.get("labelSelector", ""), fields=query.get("fieldSelector", ""))
        versions = self._reader.matching(kind, route.namespace, wanted)
        for version in versions:
            self._remover.delete(kind, version, options)
        form, content_type = negotiate(self._core, kind, header(request, "accept"), "", listing=True)
        metadata = {"resourceVersion": str(self._core.storage.rv)}
        return _response(200, form.many(versions, metadata), content_type)

    def _written(
        self, request: Request, kind: Kind, version: Version, status: int, warnings: list[str] | None = None
    ) -> Response:
        include = dict(request.query).get("includeObject", "")
        form, content_type = negotiate(self._core, kind, header(request, "accept"), include, listing=False)
        headers = {}
        if warnings:
            texts = (warning.replace("\\", "\\\\").replace('"', '\\"') for warning in warnings)
            headers["warning"] = ", ".join(f'299 - "{text}"' for text in texts)
        return _response(status, form.one(version), content_type, headers)


def _response(status: int, body: bytes, content_type: str = JSON, headers: dict[str, str] | None = None) -> Response:
    return Response(status=status, headers={"content-type": content_type, **(headers or {})}, body=body)
