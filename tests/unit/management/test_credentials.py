"""The client certificate of ``managementApiAuth.manual`` comes from a Secret of the right type, whole or not at all."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from controller.kube.client import Client
from controller.management.credentials import ClientSecretInvalid, client_certificate
from controller.sandbox.apiserver import ApiServer, InProcessTransport

CANARY = "canary"


def secret(**data: str) -> dict[str, Any]:
    values = {"tls.crt": f"{CANARY}-crt", "tls.key": f"{CANARY}-key", "ca.crt": f"{CANARY}-ca", **data}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "mine", "namespace": "default"},
        "type": "kubernetes.io/tls",
        "data": {key: b64encode(value.encode()).decode() for key, value in values.items()},
    }


def client(*manifests: dict[str, Any]) -> Client:
    server = ApiServer(rng=Random(1))
    for manifest in manifests:
        server.apply_manifest(manifest)
    return Client(InProcessTransport(server, server.admin_token))


async def test_all_three_parts_are_read() -> None:
    found = await client_certificate(client(secret()), "default", "mine")
    assert (found.certificate, found.key, found.authority) == (b"canary-crt", b"canary-key", b"canary-ca")


def without_type(found: dict[str, Any]) -> None:
    found["type"] = "Opaque"


def without_authority(found: dict[str, Any]) -> None:
    del found["data"]["ca.crt"]


def named_otherwise(found: dict[str, Any]) -> None:
    found["metadata"]["name"] = "other"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without_type, "must be of type kubernetes.io/tls"),
        (without_authority, "has no ca.crt"),
        (named_otherwise, "does not exist"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_quoted(spoil: Callable[[dict[str, Any]], None], says: str) -> None:
    made = secret()
    spoil(made)
    with pytest.raises(ClientSecretInvalid) as caught:
        await client_certificate(client(made), "default", "mine")
    assert str(caught.value).startswith("Secret default/mine (managementApiAuth.manual.clientSecretName)")
    assert says in str(caught.value)
    assert CANARY not in str(caught.value)
