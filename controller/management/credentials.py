"""The client certificate that ``managementApiAuth.manual`` asks for, read where the datacenter is."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from typing import Final

import msgspec

from controller.kube.client import Client
from controller.kube.errors import KubeError, Malformed, NotFound
from controller.kube.resources import SECRETS
from controller.management.routes import ClientCertificate

TLS_TYPE: Final = "kubernetes.io/tls"
FIELD: Final = "managementApiAuth.manual.clientSecretName"


class ClientSecretInvalid(KubeError):
    """The Secret is missing, of another type, or incomplete; the text names it and never quotes it."""


class _Secret(msgspec.Struct):
    type: str = ""
    data: dict[str, str] | None = None


async def client_certificate(client: Client, namespace: str, name: str) -> ClientCertificate:
    """What the Secret holds; raises ``ClientSecretInvalid``, and what the client raises."""
    where = f"Secret {namespace}/{name} ({FIELD})"
    try:
        found = await client.get(SECRETS, namespace, name)
        secret = found.decode(_Secret)
    except NotFound:
        raise ClientSecretInvalid(f"{where} does not exist") from None
    except Malformed:
        raise ClientSecretInvalid(f"{where} cannot be read") from None
    if secret.type != TLS_TYPE:
        raise ClientSecretInvalid(f"{where} must be of type {TLS_TYPE}")
    return ClientCertificate(
        authority=_value(secret, "ca.crt", where),
        certificate=_value(secret, "tls.crt", where),
        key=_value(secret, "tls.key", where),
    )


def _value(secret: _Secret, key: str, where: str) -> bytes:
    try:
        value = b64decode((secret.data or {}).get(key, ""), validate=True)
    except (NotBase64, ValueError):
        value = b""
    if not value:
        raise ClientSecretInvalid(f"{where} has no {key}")
    return value
