"""Kubeconfigs to load: a good one, and changes to it."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from typing import Any

import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

CONTEXT = "kind-k8ssandra-1"


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def identity(name: str = "client") -> trustme.LeafCert:
    return authority().issue_cert(name)


def certificate(name: str = "client") -> bytes:
    return identity(name).cert_chain_pems[0].bytes()


def key(name: str = "client") -> bytes:
    return identity(name).private_key_pem.bytes()


@cache
def encrypted_key(kind: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8) -> bytes:
    made = rsa.generate_private_key(65537, 2048)
    return made.private_bytes(serialization.Encoding.PEM, kind, serialization.BestAvailableEncryption(b"password"))


def b64(material: bytes) -> str:
    return b64encode(material).decode()


def document(
    *,
    cluster: dict[str, Any] | None = None,
    user: dict[str, Any] | None = None,
    context: dict[str, Any] | None = None,
    **root: Any,
) -> dict[str, Any]:
    """A good kubeconfig; fields of ``cluster`` and ``context`` are changed, a ``user`` takes the whole place."""
    good = {"server": "https://api.example:6443", "certificate-authority-data": b64(authority().cert_pem.bytes())}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": good | (cluster or {})}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": "c", "user": "u"} | (context or {})}],
        "users": [{"name": "u", "user": {"token": "abc"} if user is None else user}],
        **root,
    }


def with_certificate(name: str = "client", **changes: str) -> dict[str, str]:
    """A user with a client certificate."""
    return {"client-certificate-data": b64(certificate(name)), "client-key-data": b64(key(name))} | changes


def dump(value: Any) -> bytes:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return text.encode()
