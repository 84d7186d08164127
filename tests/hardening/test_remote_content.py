"""What a hostile API server says (R): it is believed about itself only, and only as far as it harms nobody."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube.resources import SECRETS
from controller.kube.transport import Request, Response
from controller.replication.types import REPLICATED_SECRETS
from tests.hardening.stand import NAMESPACE, STEADY, SUBJECT, Lies, Stand, cluster_of, names_of, operated, stand

pytestmark = pytest.mark.looptime

Json = dict[str, Any]
Tell = Callable[[Request], Awaitable[Response]]


@pytest.fixture
async def one() -> AsyncIterator[Stand]:
    """A stand that is not started yet; at the end the good cluster has its watches, and nothing secret was said."""
    async with stand() as made, operated(made.remotes()):
        yield made
        assert made.watched() == made.steady
        assert made.alive
        assert await made.leaks() == []
        assert max(len(line) for line in made.log.getvalue().splitlines()) < 8192


def lie(one: Stand, lies: Lies) -> None:
    one.lies[one.urls[SUBJECT]] = lies


async def demo(one: Stand, *contexts: str) -> None:
    """The controller with a cluster in these contexts; wait until its first datacenter is Ready."""
    await one.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, cluster_of(*contexts))
    await one.begin()
    await one.until(lambda: one.says_of_datacenter("dc1", "", ""), "the datacenter in the good cluster is Ready")


def datacenters(request: Request) -> bool:
    return request.path.endswith("/cassandradatacenters")


def theirs(one: Stand, name: str, **changes: Any) -> Json:
    """An object of a data plane as it is stored, with other fields."""
    collection = one.servers[one.urls[SUBJECT]].core.storage.collection(CASSANDRA_DATACENTERS.name)
    found = collection.get(f"{NAMESPACE}/{name}")
    assert found is not None
    return {**found.decode(), **changes}


async def harmless(one: Stand, seconds: float = 120.0, *, ready: bool = True) -> None:
    """For a while nothing is deleted (but a Secret that calls itself a copy of ours, in its own cluster), the good
    cluster is written to no more, and its datacenter stays Ready."""
    await asyncio.sleep(15)
    steady = one.urls[STEADY]
    before = [entry for entry in one.writes() if entry[0] == steady]
    await asyncio.sleep(seconds)
    assert [entry for entry in one.deletes() if entry[0] != one.urls[SUBJECT] or "/secrets/" not in entry[2]] == []
    assert [entry for entry in one.writes() if entry[0] == steady] == before
    assert one.datacenters()[STEADY] == ["dc1"]
    if ready:
        assert await one.says_of_datacenter("dc1", "", "")


class Rewriting(Lies):
    """Every line of a watch of CassandraDatacenters, rewritten."""

    def __init__(self, rewrite: Callable[[bytes], bytes]) -> None:
        self._rewrite = rewrite

    def lines(self, request: Request, lines: list[bytes]) -> list[bytes]:
        return [self._rewrite(line) for line in lines] if datacenters(request) else lines


class Answering(Lies):
    """Requests of a kind are answered, not carried out."""

    def __init__(self, matches: Callable[[Request], bool], answer: Callable[[Request], Response]) -> None:
        self._matches = matches
        self._answer = answer
        self.told: list[Request] = []

    async def request(self, request: Request, tell: Tell) -> Response:
        if not self._matches(request):
            return await tell(request)
        self.told.append(request)
        return self._answer(request)


# ── objects that are not what was asked for ─────────────────────────────────────────────────────────


async def test_r06_another_object_than_was_asked_for_is_not_acted_on(one: Stand) -> None:
    other = msgspec.json.encode({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "y"}})

    class Another(Lies):
        async def request(self, request: Request, tell: Tell) -> Response:
            single = request.method == "GET" and re.search(r"/(secrets|configmaps|cassandradatacenters)/", request.path)
            return Response(status=200, body=other) if single else await tell(request)

        def lines(self, request: Request, lines: list[bytes]) -> list[bytes]:
            return [*lines, b'{"type":"ADDED","object":' + other + b"}"]

    lie(one, Another())
    await demo(one, STEADY, SUBJECT)
    await harmless(one)


@pytest.mark.parametrize("status", [200, 201])
async def test_r06_another_object_than_was_written_is_not_believed(one: Stand, status: int) -> None:
    body = b'{"apiVersion":"v1","kind":"X","metadata":{"name":"other","namespace":"other","resourceVersion":"1"}}'
    writes = Answering(lambda r: r.method != "GET", lambda _: Response(status=status, body=body))
    lie(one, writes)
    await demo(one, STEADY, SUBJECT)
    await harmless(one)
    assert len(writes.told) < 150  # each write is tried again, ever more slowly


LABELS = {
    "k8ssandra.io/cluster-name": "demo",
    "k8ssandra.io/cluster-namespace": NAMESPACE,
    "app.kubernetes.io/managed-by": "k8ssandra-operator",
    "k8ssandra.io/replicated-by": "k8ssandracluster-controller",
    "k8ssandra.io/replicated-secret-name": f"{NAMESPACE}.demo",
}


@pytest.mark.parametrize("name", ["dc1", "stolen"])
async def test_r07_labels_of_a_cluster_that_does_not_use_the_context_win_nothing(one: Stand, name: str) -> None:
    """A data plane that is not used by the cluster claims to have a datacenter and a Secret of it."""
    bad = one.servers[one.urls[SUBJECT]]
    metadata = {"name": name, "namespace": NAMESPACE, "labels": LABELS, "creationTimestamp": "2026-01-01T00:00:00Z"}
    status = {"cassandraOperatorProgress": "Ready", "conditions": [{"type": "Ready", "status": "False"}]}
    head = {"apiVersion": CASSANDRA_DATACENTERS.api_version, "kind": CASSANDRA_DATACENTERS.kind}
    await demo(one, STEADY)
    bad.inject(CASSANDRA_DATACENTERS, {**head, "metadata": dict(metadata), "spec": {"size": 99}, "status": status})
    bad.inject(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": dict(metadata), "data": {}})
    await harmless(one)
    found = (await one.client.get(K8SSANDRA_CLUSTERS, NAMESPACE, "demo")).decode(dict)
    assert set(found["status"]["datacenters"]) == {"dc1"}


# ── objects that contradict themselves ──────────────────────────────────────────────────────────────


async def test_r08_one_uid_for_everything_deletes_nothing(one: Stand) -> None:
    lie(one, Rewriting(lambda line: re.sub(rb'"uid":"[^"]*"', b'"uid":"the-one"', line)))
    await demo(one, STEADY, SUBJECT)
    await harmless(one)


async def test_r08_a_uid_that_changes_is_another_object_and_deletes_nothing(one: Stand) -> None:
    numbers = iter(range(10**6))
    lie(one, Rewriting(lambda line: re.sub(rb'"uid":"[^"]*"', b'"uid":"uid-%d"' % next(numbers), line)))
    await demo(one, STEADY, SUBJECT)
    await harmless(one)


VERSIONS = [b"", b"abc", b"9" * 300, b"-1", b"1e9", b"\\u0000", "٣".encode(), b"9" * 100_000]


@pytest.mark.parametrize("version", VERSIONS, ids=["empty", "word", "huge", "minus", "float", "nul", "arabic", "mad"])
async def test_r09_a_resource_version_may_be_anything(one: Stand, version: bytes) -> None:
    written = b'"resourceVersion":"%s"' % version
    lie(one, Rewriting(lambda line: re.sub(rb'"resourceVersion":"[^"]*"', lambda _: written, line)))
    await demo(one, STEADY, SUBJECT)
    await harmless(one)


# ── statuses that are too much ──────────────────────────────────────────────────────────────────────

NESTED = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
STATUSES = {
    "five mebibytes": b'{"cassandraOperatorProgress":"Ready","x":"' + b"x" * 5 * 2**20 + b'"}',
    "five mebibytes of a known field": b'{"cassandraOperatorProgress":"' + b"x" * 5 * 2**20 + b'"}',
    "a hundred thousand nodes": b'{"nodeStatuses":{'
    + b",".join(b'"n%d":{"hostID":"h"}' % n for n in range(100_000))
    + b"}}",
    "ten thousand conditions": b'{"conditions":['
    + b",".join(b'{"type":"t%d","status":"True","message":"%s"}' % (n, b"m" * 100) for n in range(10_000))
    + b"]}",
    "nested": NESTED,
    "nested in a known field": b'{"conditions":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "not a number": b'{"observedGeneration":NaN,"cassandraOperatorProgress":Infinity}',
    "keys twice": b'{"cassandraOperatorProgress":"Ready","cassandraOperatorProgress":["Updating"]}',
    "numbers for words": b'{"cassandraOperatorProgress":7,"conditions":"x","nodeStatuses":[1]}',
    "a number that is too large": b'{"observedGeneration":1' + b"0" * 400 + b"}",
    "a list": b"[1]",
    "a word": b'"Ready"',
    "markup": b'{"cassandraOperatorProgress":"<script>\\u001b[31m\\n\\r\\u0000 {} %s","conditions":[{"type":"Ready",'
    b'"status":"False","reason":"\\u202e","message":"<b>\\n\\u001b]0;x\\u0007"}]}',
    "surrogates": b'{"cassandraOperatorProgress":"\\ud800","conditions":[{"type":"\\udfff","status":"True"}]}',
}


@pytest.mark.parametrize("status", STATUSES.values(), ids=STATUSES)
async def test_r10_r11_a_status_fills_nobody_elses(one: Stand, status: bytes) -> None:
    def rewrite(line: bytes) -> bytes:
        start, found, _ = line.partition(b'"status":')
        return start + found + status + b"}}" if found and b"BOOKMARK" not in line else line

    await demo(one, STEADY, SUBJECT)
    await one.until(lambda: one.says_of_datacenter("dc2", "", ""), "both are Ready first")
    lie(one, Rewriting(rewrite))
    one.remotes()[SUBJECT].drop_watches()
    one.remotes()[SUBJECT].inject(CASSANDRA_DATACENTERS, theirs(one, "dc2"))
    await harmless(one)
    raw = (await one.client.get(K8SSANDRA_CLUSTERS, NAMESPACE, "demo")).raw
    assert len(raw) < 256 * 1024
    assert all(entry.isprintable() for entry in one.log.getvalue().splitlines())


# ── servers that do not do what they say ────────────────────────────────────────────────────────────


async def test_r12_what_was_created_and_never_appears_is_not_ready_and_not_made_without_end(one: Stand) -> None:
    def created(request: Request) -> Response:
        obj = msgspec.json.decode(request.body)
        obj["metadata"] |= {"uid": "uid-of-nothing", "resourceVersion": "1", "namespace": NAMESPACE}
        return Response(status=201, body=msgspec.json.encode(obj))

    posts = Answering(lambda r: r.method == "POST" and datacenters(r), created)
    lie(one, posts)
    await demo(one, STEADY, SUBJECT)
    await harmless(one, 240.0)
    assert not await one.says_of_datacenter("dc2", "", "")
    assert (await one.condition("demo", K8SSANDRA_CLUSTERS))["status"] == "False"
    assert len(posts.told) <= 30


@pytest.mark.parametrize("status", [200, 204])
async def test_r12_a_server_that_agrees_to_everything_is_no_cluster(one: Stand, status: int) -> None:
    lie(one, Answering(lambda _: True, lambda _: Response(status=status, body=b"{}")))
    await one.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, cluster_of(STEADY, SUBJECT))
    await one.start()
    await one.until(lambda: one.says_of_datacenter("dc1", "", ""), "the good one is Ready")
    condition = await one.condition(SUBJECT)
    assert condition.get("status") != "True", condition
    one.steady = one.watched()


async def test_r13_what_was_deleted_and_stays_keeps_the_finalizer(one: Stand) -> None:
    deletes = Answering(lambda r: r.method == "DELETE", lambda _: Response(status=200, body=b'{"kind":"Status"}'))
    await demo(one, STEADY, SUBJECT)
    await one.until(lambda: one.says_of_datacenter("dc2", "", ""), "both are Ready first")
    lie(one, deletes)
    await one.delete(K8SSANDRA_CLUSTERS, "demo")
    await one.until(lambda: one.datacenters()[STEADY] == [], "what can be deleted is", within=60.0)
    await asyncio.sleep(240)
    left = (await one.client.get(K8SSANDRA_CLUSTERS, NAMESPACE, "demo")).decode(dict)
    assert left["metadata"]["finalizers"] != []
    assert one.datacenters()[SUBJECT] == ["dc2"]
    assert len(deletes.told) <= 100
    one.lies.clear()
    await one.client.patch(K8SSANDRA_CLUSTERS, NAMESPACE, "demo", {"metadata": {"labels": {"a": "b"}}}, kind="merge")
    await one.until(lambda: gone(one, "demo"), "an honest server lets it go", within=30.0)


async def gone(one: Stand, name: str) -> bool:
    return name not in names_of(one.control, K8SSANDRA_CLUSTERS)


async def test_r13_a_copy_that_was_deleted_and_stays_keeps_the_finalizer(one: Stand) -> None:
    labelled = {"name": "copied", "labels": {"copy": "this"}}
    await one.put_secret("copied", b"canary", key="password", metadata=labelled)
    targets = [{"k8sContextName": context} for context in (STEADY, SUBJECT)]
    spec = {"selector": {"matchLabels": {"copy": "this"}}, "replicationTargets": targets}
    head = {"apiVersion": REPLICATED_SECRETS.api_version, "kind": REPLICATED_SECRETS.kind}
    await one.client.create(REPLICATED_SECRETS, NAMESPACE, {**head, "metadata": {"name": "copies"}, "spec": spec})
    await one.begin()
    await one.until(lambda: "copied" in names_of(one.remotes()[SUBJECT], SECRETS), "it is copied")
    deletes = Answering(lambda r: r.method == "DELETE", lambda _: Response(status=200, body=b'{"kind":"Status"}'))
    lie(one, deletes)
    await one.delete(REPLICATED_SECRETS, "copies")
    await asyncio.sleep(240)
    assert "copies" in names_of(one.control, REPLICATED_SECRETS)
    assert "copied" not in names_of(one.remotes()[STEADY], SECRETS)
    assert len(deletes.told) <= 100


@pytest.mark.parametrize("body", [b'{"resources":[]}', b'{"resources":[{"name":"x"}]}', b"{}"], ids=["none", "x", "{}"])
async def test_r15_kinds_that_are_not_served_are_said_to_be_missing(one: Stand, body: bytes) -> None:
    group = CASSANDRA_DATACENTERS.group_path

    class NotServed(Lies):
        async def request(self, request: Request, tell: Tell) -> Response:
            if request.path == group:
                return Response(status=200, body=body)
            return Response(status=404, body=b"{}") if request.path.startswith(group) else await tell(request)

    one.refused[one.urls[SUBJECT]] = lambda request: 404 if request.path.startswith(group) else 0
    lie(one, NotServed())
    await one.start()
    message = await one.says(SUBJECT, "CRDMissing", CASSANDRA_DATACENTERS.name)
    assert "install cass-operator there" in message
    one.steady = one.watched()


async def test_r15_kinds_that_are_said_to_be_served_and_are_not_make_no_storm(one: Stand) -> None:
    group = CASSANDRA_DATACENTERS.group_path
    one.refused[one.urls[SUBJECT]] = lambda request: 404 if datacenters(request) else 0
    await one.start()
    await one.says(STEADY, "Connected")
    await asyncio.sleep(60)
    asked = [entry for entry in one.requests if entry[0] == one.urls[SUBJECT] and entry[2].startswith(group)]
    assert len(asked) < 200
    one.steady = one.watched()
