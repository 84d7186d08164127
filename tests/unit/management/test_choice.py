"""Which way is taken: as a ClientConfig or the flag says, and directly where a certificate has to be shown."""

from __future__ import annotations

from base64 import b64encode

import pytest

from controller.kube.addresses import AddressPolicy
from controller.kube.client import Client
from controller.management.choice import RouteImpossible, routes
from controller.management.routes import DirectRoute, ProxyRoute
from controller.management.wire import ways
from controller.sandbox.apiserver import ApiServer, InProcessTransport

WAYS = ways(AddressPolicy())


def client() -> Client:
    server = ApiServer()
    data = {key: b64encode(b"x").decode() for key in ("tls.crt", "tls.key", "ca.crt")}
    metadata = {"name": "mine", "namespace": "default"}
    server.apply_manifest(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data}
    )
    return Client(InProcessTransport(server, server.admin_token))


@pytest.mark.parametrize(
    ("way", "secret", "kinds"),
    [
        ("auto", "", [ProxyRoute, DirectRoute]),  # directly when the role does not grant the proxy
        ("proxy", "", [ProxyRoute]),
        ("direct", "", [DirectRoute]),
        ("auto", "mine", [DirectRoute]),
        ("direct", "mine", [DirectRoute]),
    ],
)
async def test_the_way_follows_from_what_is_said(way: str, secret: str, kinds: list[type]) -> None:
    found = await routes(way, client(), "default", secret, WAYS)
    assert [type(route) for route in found] == kinds


async def test_the_proxy_cannot_show_a_certificate() -> None:
    with pytest.raises(RouteImpossible, match="management-api=direct"):
        await routes("proxy", client(), "default", "mine", WAYS)


async def test_without_a_way_to_pods_only_the_proxy_is_left() -> None:
    assert [type(route) for route in await routes("auto", client(), "default", "", None)] == [ProxyRoute]
    with pytest.raises(RouteImpossible):
        await routes("direct", client(), "default", "", None)
