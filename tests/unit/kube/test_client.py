from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from controller.kube import client, errors
from controller.kube.client import Client
from controller.kube.resources import CRDS, PODS, SECRETS
from controller.kube.transport import LineStream, Request, Response

OBJECT = b'{"metadata":{"name":"a","namespace":"ns","uid":"u","resourceVersion":"7"}}'
JSON = (("content-type", "application/json"),)


class Line:
    """A ``Transport`` that notes each request, and answers with what it was given."""

    def __init__(self, body: bytes = OBJECT, status: int = 200, **headers: str) -> None:
        self.sent: list[Request] = []
        self.answer: Response | Exception = Response(status=status, body=body, headers=headers)
        self.closed = False

    async def request(self, request: Request) -> Response:
        self.sent.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        self.silence = silence
        return await self.request(request)

    async def close(self) -> None:
        self.closed = True


def sent(method: str, path: str, **fields: Any) -> Request:
    return Request(method=method, path=path, **fields)


FIELD_MANAGER = ("fieldManager", "us")
TIMEOUT = ("timeout", "15s")
A = "/api/v1/namespaces/ns/secrets/a"

VERBS: dict[str, tuple[Callable[[Client], Awaitable[Any]], Request]] = {
    "get": (lambda c: c.get(SECRETS, "ns", "a"), sent("GET", A, deadline=10.0)),
    "get metadata": (
        lambda c: c.get(SECRETS, "ns", "a", metadata_only=True),
        sent(
            "GET",
            A,
            headers=(("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),),
            deadline=10.0,
        ),
    ),
    "create": (
        lambda c: c.create(SECRETS, "ns", {"a": 1}, field_manager="us"),
        sent(
            "POST",
            "/api/v1/namespaces/ns/secrets",
            query=(FIELD_MANAGER, TIMEOUT),
            headers=JSON,
            body=b'{"a":1}',
            deadline=15.0,
        ),
    ),
    "apply": (
        lambda c: c.apply(SECRETS, "ns", "a", {"a": 1}, field_manager="us"),
        sent(
            "PATCH",
            A,
            query=(FIELD_MANAGER, ("force", "true"), TIMEOUT),
            headers=(("content-type", "application/apply-patch+yaml"),),
            body=b'{"a":1}',
            deadline=15.0,
        ),
    ),
    "merge patch": (
        lambda c: c.patch(SECRETS, "ns", "a", {"a": 1}, kind="merge", subresource="status", field_manager="us"),
        sent(
            "PATCH",
            A + "/status",
            query=(FIELD_MANAGER, TIMEOUT),
            headers=(("content-type", "application/merge-patch+json"),),
            body=b'{"a":1}',
            deadline=15.0,
        ),
    ),
    "json patch": (
        lambda c: c.patch(SECRETS, "ns", "a", [{"op": "remove", "path": "/a"}], kind="json"),
        sent(
            "PATCH",
            A,
            query=(TIMEOUT,),
            headers=(("content-type", "application/json-patch+json"),),
            body=b'[{"op":"remove","path":"/a"}]',
            deadline=15.0,
        ),
    ),
    "replace": (
        lambda c: c.replace(SECRETS, "ns", "a", {"a": 1}),
        sent("PUT", A, query=(TIMEOUT,), headers=JSON, body=b'{"a":1}', deadline=15.0),
    ),
    "delete": (
        lambda c: c.delete(SECRETS, "ns", "a", uid="u", resource_version="7", propagation="Foreground"),
        sent(
            "DELETE",
            A,
            query=(TIMEOUT,),
            headers=JSON,
            body=b'{"apiVersion":"v1","kind":"DeleteOptions",'
            b'"preconditions":{"uid":"u","resourceVersion":"7"},"propagationPolicy":"Foreground"}',
            deadline=15.0,
        ),
    ),
    "raw read": (lambda c: c.raw("GET", "/version", deadline=3.0), sent("GET", "/version", deadline=3.0)),
    "raw write": (
        lambda c: c.raw("POST", "/x", body={"a": 1}),
        sent("POST", "/x", query=(("timeout", "10s"),), headers=JSON, body=b'{"a":1}', deadline=10.0),
    ),
}
WRITES = [verb for verb in VERBS if verb not in ("get", "get metadata", "raw read")]


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_is_this_request(verb: str) -> None:
    call, wanted = VERBS[verb]
    line = Line()
    await call(Client(line))
    assert [msgspec.structs.asdict(request) for request in line.sent] == [msgspec.structs.asdict(wanted)]


async def test_names_cannot_climb_out_of_their_collection() -> None:
    line = Line(b'{"metadata":{"name":"../../nodes","namespace":"a/b"}}')
    await Client(line).get(SECRETS, "a/b", "../../nodes")
    assert line.sent[0].path == "/api/v1/namespaces/a%2Fb/secrets/..%2F..%2Fnodes"
    with pytest.raises(ValueError, match="is not a name"):
        await Client(line).get(SECRETS, "ns", "..")


@pytest.mark.parametrize(("namespace", "name"), [("ns", "b"), ("other", "a")])
async def test_another_object_than_asked_for_is_not_believed(namespace: str, name: str) -> None:
    with pytest.raises(errors.Malformed, match="another object"):
        await Client(Line()).get(SECRETS, namespace, name)


async def test_an_answer_about_another_object_than_was_written_is_not_believed() -> None:
    with pytest.raises(errors.Malformed, match="another object"):
        await Client(Line()).create(SECRETS, "ns", {"metadata": {"name": "b"}})
    with pytest.raises(errors.Malformed, match="another object"):
        await Client(Line()).patch(SECRETS, "other", "a", {}, kind="merge")


# ── lists and watches ───────────────────────────────────────────────────────────────────────────────


async def test_a_page_asks_for_what_it_is_told() -> None:
    line = Line(b'{"metadata":{"resourceVersion":"9","continue":"more"},"items":[' + OBJECT + b"]}")
    page = await Client(line).list_page(PODS, "ns", label_selector="a=b", field_selector="c=d", resource_version="5")
    assert (page.resource_version, page.continue_token, page.unreadable) == ("9", "more", 0)
    assert [obj.head.name for obj in page.objects] == ["a"]
    assert line.sent[0].path == "/api/v1/namespaces/ns/pods"
    assert line.sent[0].deadline == 30.0
    assert line.sent[0].query == (
        ("labelSelector", "a=b"),
        ("fieldSelector", "c=d"),
        ("limit", "500"),
        ("resourceVersion", "5"),
    )


async def test_a_further_page_names_no_version() -> None:
    line = Line(b'{"metadata":{},"items":null}')
    page = await Client(line).list_page(PODS, continue_token="more", resource_version="5", limit=0)
    assert line.sent[0].query == (("continue", "more"),)
    assert line.sent[0].path == "/api/v1/pods"
    assert page.objects == []


async def test_a_continue_token_of_any_length_is_not_taken() -> None:
    line = Line(b'{"metadata":{"continue":"' + b"x" * (client.TOKEN_CAP + 1) + b'"},"items":null}')
    with pytest.raises(errors.Malformed, match="continue token is over 4096 characters"):
        await Client(line).list_page(PODS)


async def test_a_page_may_be_larger_than_an_object() -> None:
    line = Line(b'{"metadata":{},"items":null}')
    await Client(line).list_page(PODS)
    assert line.sent[0].cap == 64 * 2**20
    with pytest.raises(errors.Malformed):
        await Client(line).get(PODS, "ns", "a")
    assert line.sent[1].cap == 4 * 2**20


async def test_an_object_that_cannot_be_read_does_not_spoil_its_page() -> None:
    line = Line(b'{"metadata":{},"items":[{"metadata":{"name":5}},' + OBJECT + b"]}")
    page = await Client(line).list_page(PODS)
    assert ([obj.head.name for obj in page.objects], page.unreadable) == (["a"], 1)


async def test_a_whole_list_is_read_in_pages() -> None:
    pages = [b'{"metadata":{"continue":"2"},"items":[%s]}' % OBJECT, b'{"metadata":{},"items":[%s]}' % OBJECT]

    class Paged(Line):
        async def request(self, request: Request) -> Response:
            self.answer = Response(status=200, body=pages[len(self.sent)])
            return await super().request(request)

    line = Paged()
    assert len(await Client(line).list_all(PODS)) == 2
    assert ("continue", "2") in line.sent[1].query


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_watch_asks_for_bookmarks_and_an_end(streaming: bool) -> None:
    line = Line(b'{"kind":"Status","reason":"Expired","message":"too old"}', 410)
    with pytest.raises(errors.Expired):
        await Client(line).watch(
            PODS,
            "ns",
            label_selector="a=b",
            resource_version="7",
            send_initial_events=streaming,
            timeout_seconds=400,
            silence=9.0,
        )
    extra = (("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")) if streaming else ()
    assert line.sent[0].query == (
        ("watch", "true"),
        ("allowWatchBookmarks", "true"),
        ("labelSelector", "a=b"),
        ("resourceVersion", "7"),
        ("timeoutSeconds", "400"),
        *extra,
    )
    assert (line.sent[0].deadline, line.silence) == (10.0, 9.0)


async def test_a_watch_that_is_answered_with_a_body_is_malformed() -> None:
    with pytest.raises(errors.Malformed, match="whole body"):
        await Client(Line()).watch(PODS, timeout_seconds=1)


@pytest.mark.parametrize(("body", "served"), [(b'{"resources":[{"name":"pods"}]}', True), (b"{}", False)])
async def test_discovery_tells_whether_a_kind_is_served(body: bytes, served: bool) -> None:
    assert await Client(Line(body)).served(PODS) is served


async def test_a_group_that_does_not_exist_serves_nothing() -> None:
    line = Line(b"404 page not found", 404)
    assert await Client(line).served(CRDS) is False
    assert line.sent[0].path == "/apis/apiextensions.k8s.io/v1"


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.KindNotFound),
        (405, "MethodNotAllowed", errors.NotSupported),
        (409, "Conflict", errors.Conflict),
        (409, "AlreadyExists", errors.AlreadyExists),
        (410, "Expired", errors.Expired),
        (415, "UnsupportedMediaType", errors.NotSupported),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.ServerError),
        (503, "", errors.ServerError),
        (302, "", errors.ApiError),
    ],
)
async def test_an_error_status_is_this_error(status: int, reason: str, kind: type[errors.ApiError]) -> None:
    body = msgspec.json.encode({"kind": "Status", "reason": reason, "message": "why"})
    with pytest.raises(errors.ApiError) as caught:
        await Client(Line(body, status)).get(PODS, "ns", "a")
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.reason, caught.value.message) == (status, reason, "why")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"kind":"Status","reason":"NotFound","details":{"name":"a","kind":"pods"}}', errors.NotFound),
        (b'{"kind":"Status","reason":"NotFound","details":{}}', errors.KindNotFound),  # of a group that is served
        (b"404 page not found\n", errors.KindNotFound),  # of one that is not
        (b'{"error":"no such route","details":{"name":"a"}}', errors.KindNotFound),  # a proxy
    ],
)
async def test_only_a_404_that_names_the_object_is_about_the_object(body: bytes, kind: type[errors.NotFound]) -> None:
    with pytest.raises(errors.NotFound) as caught:
        await Client(Line(body, 404)).get(PODS, "ns", "a")
    assert type(caught.value) is kind


async def test_retry_after_is_told() -> None:
    with pytest.raises(errors.TooManyRequests) as caught:
        await Client(Line(b"", 429, **{"retry-after": "5"})).get(PODS, "ns", "a")
    assert caught.value.retry_after == 5.0


async def test_the_servers_words_about_a_secret_are_dropped() -> None:
    body = b'{"kind":"Status","reason":"Invalid","message":"data[password]: canary"}'
    with pytest.raises(errors.Invalid) as caught:
        await Client(Line(body, 422)).create(SECRETS, "ns", {})
    assert str(caught.value) == "422 Invalid"


async def test_an_answer_that_is_no_object_is_malformed() -> None:
    with pytest.raises(errors.Malformed):
        await Client(Line(b"<html>")).get(PODS, "ns", "a")


# ── the gate ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verb", WRITES)
@pytest.mark.parametrize("remaining", [0.0, 2.9, -5.0])
async def test_a_write_without_time_left_is_not_sent(verb: str, remaining: float) -> None:
    line = Line()
    with pytest.raises(errors.WritesForbidden):
        await VERBS[verb][0](Client(line, may_write=lambda: remaining))
    assert line.sent == []


@pytest.mark.parametrize("verb", WRITES)
async def test_a_write_ends_before_the_right_to_write_does(verb: str) -> None:
    line = Line()
    await VERBS[verb][0](Client(line, may_write=lambda: 7.5))
    assert line.sent[0].deadline == 5.5
    assert ("timeout", "5s") in line.sent[0].query


async def test_reads_need_no_right_to_write() -> None:
    line = Line()
    await Client(line, may_write=lambda: -math.inf).get(SECRETS, "ns", "a")
    assert len(line.sent) == 1


# ── what is told ────────────────────────────────────────────────────────────────────────────────────


async def test_every_request_is_observed_with_its_outcome() -> None:
    observed: list[tuple[str, str, str]] = []

    def observer(verb: str, resource: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        observed.append((verb, resource, outcome))

    line = Line()
    client = Client(line, observer=observer)
    await client.get(SECRETS, "ns", "a")
    await client.raw("GET", "/version")
    line.answer = Response(status=403)
    with pytest.raises(errors.Forbidden):
        await client.apply(SECRETS, "ns", "a", {}, field_manager="us")
    line.answer = errors.ConnectFailed("refused")
    with pytest.raises(errors.ConnectFailed):
        await client.watch(PODS, timeout_seconds=1)
    assert observed == [
        ("get", "secrets", "200"),
        ("raw", "", "200"),
        ("apply", "secrets", "403"),
        ("watch", "pods", "ConnectFailed"),
    ]


async def test_closing_the_client_closes_its_transport() -> None:
    line = Line()
    await Client(line).close()
    assert line.closed
