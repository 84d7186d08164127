"""Real API servers reach simulated pods."""

from __future__ import annotations

import msgspec
import pytest

from controller.kube.client import Client
from controller.kube.errors import ServerError
from controller.kube.resources import PODS
from controller.kube.transport import Request
from controller.sandbox.management_api import rings
from controller.sandbox.pod_network import pod_network
from tests.real.servers import real_servers
from tests.servers import RealOne

pytestmark = pytest.mark.real
ADDRESS = "10.77.0.1"


def request(name: str) -> Request:
    path = PODS.path("default", f"{name}:8080", "proxy") + "/api/v0/ops/keyspace"
    return Request(method="GET", path=path, query=(("keyspaceName", "system_auth"),), apart=True)


async def test_a_pod_is_reached_through_the_api_server() -> None:
    rings(pod_network()).join(("ring", "default", ""), "dc1", "1", ADDRESS, config={}, kind="cassandra")
    async with real_servers(controllers=False) as world:
        client = Client(RealOne(world, world.servers[0]).transport())
        try:
            for name, address in (("here", ADDRESS), ("nowhere", "10.77.0.2")):
                pod = {"metadata": {"name": name}, "spec": {"containers": [{"name": "cassandra", "image": "c"}]}}
                await client.create(PODS, "default", pod)
                status = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
                await client.patch(PODS, "default", name, status, kind="merge", subresource="status")
            assert msgspec.json.decode(await client.proxy(request("here"))) == ["system_auth"]
            with pytest.raises(ServerError):
                await client.proxy(request("nowhere"))
        finally:
            await client.close()
