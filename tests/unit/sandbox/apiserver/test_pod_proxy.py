"""HTTP requests that the embedded server carries to simulated pods."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from controller.kube.client import Client
from controller.kube.errors import Forbidden, KindNotFound, NotFound, ServerError, WritesForbidden
from controller.kube.resources import PODS
from controller.kube.transport import Request
from controller.sandbox.apiserver import ApiServer, InProcessTransport
from controller.sandbox.management_api import SHARED, rings
from controller.sandbox.pod_network import pod_network

READ = "/api/v0/ops/keyspace/replication"


def request(path: str = READ, *, pod: str = "a", method: str = "GET", keyspace: str = "system_auth") -> Request:
    return Request(
        method=method,
        path=PODS.path("default", f"{pod}:8080", "proxy") + path,
        query=(("keyspaceName", keyspace),) if method == "GET" else (),
        body=b"{}" if method == "POST" else b"",
        apart=True,
    )


@pytest.fixture
async def server() -> ApiServer:
    """With the pod ``a`` of a ring, and the pod ``b`` at whose address nobody answers."""
    made = ApiServer(rng=Random(1), rbac=True)
    for name, address in (("a", "10.1.0.1"), ("b", "10.1.0.2")):
        pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}}
        made.apply_manifest({**pod, "spec": {"containers": [{"name": "cassandra", "image": "c"}]}})
        client = Client(InProcessTransport(made, made.admin_token))
        status = {"status": {"podIP": address}}
        await client.patch(PODS, "default", name, status, kind="merge", subresource="status")
    config = {"options": ["-Dcassandra.system_distributed_replication=dc1:2,dc2:1"]}
    rings(pod_network()).join(("demo", "default"), "dc1", "1", "10.1.0.1", config=config, kind="cassandra")
    return made


def client(server: ApiServer, token: str = "", **options: Any) -> Client:
    return Client(InProcessTransport(server, token or server.admin_token), **options)


async def test_a_ring_begins_with_the_replication_that_its_options_say(server: ApiServer) -> None:
    for keyspace in SHARED:
        found = msgspec.json.decode(await client(server).proxy(request(keyspace=keyspace)))
        assert found == {"class": "org.apache.cassandra.locator.NetworkTopologyStrategy", "dc1": "2", "dc2": "1"}


async def test_a_keyspace_that_is_not_there_is_another_404_than_a_pod_that_is_not(server: ApiServer) -> None:
    with pytest.raises(KindNotFound):
        await client(server).proxy(request(keyspace="nothing"))
    with pytest.raises(NotFound) as caught:
        await client(server).proxy(request(pod="nobody"))
    assert not isinstance(caught.value, KindNotFound)


async def test_a_pod_that_does_not_answer_is_503(server: ApiServer) -> None:
    with pytest.raises(ServerError, match="error trying to reach service"):
        await client(server).proxy(request(pod="b"))


async def test_it_takes_the_right_to_the_subresource(server: ApiServer) -> None:
    server.apply_manifest({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "some"}})
    server.settle()
    path = "/api/v1/namespaces/default/serviceaccounts/some/token"
    token = msgspec.json.decode(await client(server).raw("POST", path, body={"spec": {}}))["status"]["token"]
    with pytest.raises(Forbidden, match="pods/proxy"):
        await client(server, token).proxy(request())


async def test_calls_of_pods_are_counted_apart(server: ApiServer) -> None:
    before = server.record.requests(resource="pods")
    await client(server).proxy(request())
    assert server.record.requests(resource="pods") == before
    assert server.record.requests(verb="get", resource="pods/proxy") == 1


async def test_a_change_of_a_pod_passes_the_write_gate(server: ApiServer) -> None:
    with pytest.raises(WritesForbidden):
        await client(server, may_write=lambda: 0.0).proxy(request("/api/v0/ops/keyspace/alter", method="POST"))
