"""A client for one API server: what the API can do, on the ``Transport`` seam."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Protocol, TypeAlias

import msgspec

from controller.kube import errors, objects
from controller.kube.objects import Object
from controller.kube.resources import PODS_PROXY, SECRETS, Resource
from controller.kube.transport import LIST_CAP, Request, Response, Transport
from controller.kube.watch import EventStream

READ_DEADLINE: Final = 10.0  # s for a GET of one object
WRITE_DEADLINE: Final = 15.0  # s for anything that changes an object
LIST_DEADLINE: Final = 30.0  # s for one page of a list
WATCH_SILENCE: Final = 90.0  # s; the server sends a bookmark about every 60 s
PAGE_SIZE: Final = 500  # objects in a page of a list, as client-go
TOKEN_CAP: Final = 4096  # characters of a continue token, which goes into the next URL; API servers' have some 200
WRITE_MARGIN: Final = 2.0  # s between the last moment of a write and the end of the right to write
WRITE_MINIMUM: Final = 1.0  # s; a write that would have less time than this is not sent

PatchType: TypeAlias = Literal["json", "merge"]
_PATCH_CONTENT: Final[dict[str, str]] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_METADATA_OBJECT: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Page(msgspec.Struct, frozen=True):
    """A page of a list. ``continue_token`` is "" on the last one; ``unreadable`` counts objects left out."""

    objects: list[Object]
    resource_version: str
    continue_token: str = ""
    unreadable: int = 0


class RequestObserver(Protocol):
    """Told of every finished request; for metrics and tests."""

    def __call__(self, verb: str, resource: str, outcome: str, seconds: float) -> None:
        """``outcome``: the status code, or the error's class name when there was no response."""
        ...


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_token: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _ApiResource(msgspec.Struct):
    name: str


class _ApiResourceList(msgspec.Struct):
    resources: list[_ApiResource] | None = None


def write_always() -> float:
    """The write gate without leader election: the right to write never ends."""
    return math.inf


class Client:
    """One API server, one identity.

    ``may_write`` is the write gate: seconds for which this process may still write. Every method raises
    ``ApiError`` for an error status, ``TransportError`` when there was no usable response, and the mutating
    ones ``WritesForbidden`` when the gate is closed.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        may_write: Callable[[], float] = write_always,
        observer: RequestObserver | None = None,
    ) -> None:
        self._transport = transport
        self._may_write = may_write
        self._observer = observer

    async def close(self) -> None:
        await self._transport.close()

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────

    async def get(self, resource: Resource, namespace: str, name: str, *, metadata_only: bool = False) -> Object:
        """One object, as of now (a quorum read). ``Malformed`` when the server answers with another one."""
        headers = (("accept", _METADATA_OBJECT),) if metadata_only else ()
        request = Request(method="GET", path=resource.path(namespace, name), headers=headers, deadline=READ_DEADLINE)
        return _expected(resource, namespace, name, await self._send("get", resource, request))

    async def list_page(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = PAGE_SIZE,
        continue_token: str = "",
        resource_version: str = "",
        metadata_only: bool = False,
    ) -> Page:
        """One page. ``resource_version``: "" is a consistent read, "0" any cached state, else not older than it."""
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=str(limit) if limit else "",
            resourceVersion="" if continue_token else resource_version,
            **{"continue": continue_token},
        )
        headers = (("accept", _METADATA_LIST),) if metadata_only else ()
        request = Request(
            method="GET",
            path=resource.path(namespace),
            query=query,
            headers=headers,
            deadline=LIST_DEADLINE,
            cap=LIST_CAP,
        )
        body = (await self._send("list", resource, request)).body
        page = objects.decode(body, _List)
        if len(page.metadata.continue_token) > TOKEN_CAP:
            raise errors.Malformed(f"{resource}: the continue token is over {TOKEN_CAP} characters")
        found, unreadable = [], 0
        for raw in page.items or ():
            try:
                found.append(objects.parse(raw))
            except errors.Malformed:
                unreadable += 1
        return Page(found, page.metadata.resource_version, page.metadata.continue_token, unreadable)

    async def list_all(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> list[Object]:
        """Every object, consistently, in pages. For commands and tests; caches use a Reflector."""
        found: list[Object] = []
        token = ""
        while True:
            page = await self.list_page(
                resource,
                namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                continue_token=token,
            )
            found += page.objects
            if not (token := page.continue_token):
                return found

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        send_initial_events: bool = False,
        timeout_seconds: int,
        metadata_only: bool = False,
        silence: float = WATCH_SILENCE,
    ) -> EventStream:
        """An open watch from ``resource_version``, with bookmarks.

        ``send_initial_events``: a streaming list; everything that exists comes first as ADDED, then a bookmark
        with ``initial_events_end``. ``timeout_seconds``: the server ends the stream after that.
        """
        query = _query(
            watch="true",
            allowWatchBookmarks="true",
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=resource_version,
            timeoutSeconds=str(timeout_seconds),
        )
        if send_initial_events:
            query += (("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan"))
        headers = (("accept", _METADATA_OBJECT),) if metadata_only else ()
        request = Request(
            method="GET",
            path=resource.path(namespace),
            query=query,
            headers=headers,
            deadline=READ_DEADLINE,
        )
        started = asyncio.get_running_loop().time()
        try:
            opened = await self._transport.stream(request, silence=silence)
        except errors.TransportError as error:
            self._observe("watch", resource, type(error).__name__, started)
            raise
        if isinstance(opened, Response):
            self._observe("watch", resource, str(opened.status), started)
            if opened.status == 200:
                raise errors.Malformed("a watch was answered with a whole body")
            raise errors.from_response(opened)
        self._observe("watch", resource, "200", started)
        return EventStream(opened)

    async def served(self, resource: Resource) -> bool:
        """Whether the server serves this kind (discovery); False while its CRD is absent."""
        request = Request(method="GET", path=resource.group_path, deadline=READ_DEADLINE)
        try:
            response = await self._send("discover", resource, request)
        except errors.NotFound:
            return False
        found = objects.decode(response.body, _ApiResourceList)
        return any(entry.name == resource.plural for entry in found.resources or ())

    async def raw(self, method: str, path: str, *, body: Any = None, deadline: float = READ_DEADLINE) -> bytes:
        """Any path of the server (``/version``, ``/readyz``, a subresource). Writes pass the gate."""
        request = Request(
            method=method,
            path=path,
            headers=(("content-type", "application/json"),) if body is not None else (),
            body=b"" if body is None else objects.encode(body),
            deadline=deadline,
        )
        if method != "GET":
            request = self._admit(request)
        return (await self._send("raw", None, request)).body

    async def proxy(self, request: Request) -> bytes:
        """What a pod answers to a request ``apart`` that the server carries to it; all but GET pass the gate.

        The pod's error statuses are raised as if they were the server's own.
        """
        verb = "get" if request.method == "GET" else "create"
        if request.method != "GET":
            request = msgspec.structs.replace(request, deadline=self.write_deadline(request.deadline))
        return (await self._send(verb, PODS_PROXY, request)).body

    def write_deadline(self, deadline: float) -> float:
        """Seconds that a change may take, at most ``deadline``; raises ``WritesForbidden`` when the gate is closed."""
        deadline = min(deadline, self._may_write() - WRITE_MARGIN)
        if deadline < WRITE_MINIMUM:
            raise errors.WritesForbidden("this process may not write now: it does not hold the lease")
        return deadline

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────

    async def create(
        self, resource: Resource, namespace: str, obj: Mapping[str, Any], *, field_manager: str = ""
    ) -> Object:
        """POST; raises ``AlreadyExists``."""
        request = self._write("POST", resource.path(namespace), obj, _query(fieldManager=field_manager))
        name = obj.get("metadata", {}).get("name", "")
        return _expected(resource, namespace, name, await self._send("create", resource, request))

    async def apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        obj: Mapping[str, Any],
        *,
        field_manager: str,
        force: bool = True,
        subresource: str = "",
    ) -> Object:
        """Server-side apply. ``obj`` needs ``apiVersion`` and ``kind``.

        With ``metadata.uid`` in ``obj``: 409 (``Conflict``) when the object is gone, 422 (``Invalid``) when it
        was replaced. Without it an absent object is created.
        """
        query = _query(fieldManager=field_manager, force="true" if force else "")
        path = resource.path(namespace, name, subresource)
        request = self._write("PATCH", path, obj, query, content=_PATCH_CONTENT["apply"])
        return _expected(resource, namespace, name, await self._send("apply", resource, request))

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Mapping[str, Any] | list[dict[str, Any]],
        *,
        kind: PatchType,
        subresource: str = "",
        field_manager: str = "",
    ) -> Object:
        """A JSON patch (a list of operations) or a merge patch (a partial object)."""
        path = resource.path(namespace, name, subresource)
        query = _query(fieldManager=field_manager)
        request = self._write("PATCH", path, patch, query, content=_PATCH_CONTENT[kind])
        return _expected(resource, namespace, name, await self._send("patch", resource, request))

    async def replace(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        obj: Mapping[str, Any],
        *,
        subresource: str = "",
        field_manager: str = "",
    ) -> Object:
        """PUT; ``metadata.uid`` and ``metadata.resourceVersion`` in ``obj`` are preconditions (``Conflict``)."""
        path = resource.path(namespace, name, subresource)
        request = self._write("PUT", path, obj, _query(fieldManager=field_manager))
        return _expected(resource, namespace, name, await self._send("update", resource, request))

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        resource_version: str = "",
        propagation: Literal["", "Background", "Foreground", "Orphan"] = "",
    ) -> None:
        """DELETE with a UID precondition (``Conflict`` when it is another object by now); raises ``NotFound``."""
        preconditions = {"uid": uid}
        if resource_version:
            preconditions["resourceVersion"] = resource_version
        options: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions,
        }
        if propagation:
            options["propagationPolicy"] = propagation
        request = self._write("DELETE", resource.path(namespace, name), options)
        await self._send("delete", resource, request)

    # ── the way out ─────────────────────────────────────────────────────────────────────────────────

    def _write(
        self,
        method: str,
        path: str,
        body: Any,
        query: tuple[tuple[str, str], ...] = (),
        content: str = "application/json",
    ) -> Request:
        return self._admit(
            Request(
                method=method,
                path=path,
                query=query,
                headers=(("content-type", content),),
                body=objects.encode(body),
                deadline=WRITE_DEADLINE,
            )
        )

    def _admit(self, request: Request) -> Request:
        """The one gate for writes: a deadline that ends before the right to write does."""
        deadline = self.write_deadline(request.deadline)
        timeout = ("timeout", f"{int(deadline)}s")
        return msgspec.structs.replace(request, query=(*request.query, timeout), deadline=deadline)

    async def _send(self, verb: str, resource: Resource | None, request: Request) -> Response:
        started = asyncio.get_running_loop().time()
        try:
            response = await self._transport.request(request)
        except errors.TransportError as error:
            self._observe(verb, resource, type(error).__name__, started)
            raise
        self._observe(verb, resource, str(response.status), started)
        if 200 <= response.status < 300:
            return response
        raise errors.from_response(response, sensitive=resource is SECRETS)

    def _observe(self, verb: str, resource: Resource | None, outcome: str, started: float) -> None:
        if self._observer is not None:
            seconds = asyncio.get_running_loop().time() - started
            self._observer(verb, str(resource or ""), outcome, seconds)


def _expected(resource: Resource, namespace: str, name: str, response: Response) -> Object:
    """The object that a request was about; ``Malformed`` when it is another one. ``name`` "": the server chose it."""
    found = objects.parse(response.body)
    if (found.head.namespace, name and found.head.name) != (namespace if resource.namespaced else "", name):
        raise errors.Malformed(f"{resource} {namespace}/{name}: the server answered with another object")
    return found


def _query(**parameters: str) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in parameters.items() if value)
