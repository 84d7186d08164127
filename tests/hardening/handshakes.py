"""Servers that go wrong before the first byte of HTTP (R, K22, H23), and what is to be said of each."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import NamedTuple

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.hardening.hostile import Writer
from tests.unit.kube.https import Received, Server, authority, reply, server_context


def expired_authority() -> trustme.CA:
    """A CA that ended long ago."""
    made = trustme.CA()
    name = made._certificate.subject
    key = made._private_key
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime(2019, 1, 1)).not_valid_after(datetime(2020, 1, 1))
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    made._certificate = builder.add_extension(x509.BasicConstraints(True, 9), critical=True).sign(key, hashes.SHA256())
    return made


class Handshake(NamedTuple):
    """A server that is no API server: its TLS context, or what it says without; and the CA of the kubeconfig."""

    sentence: str
    context: ssl.SSLContext | bytes
    pem: bytes
    reason: str
    says: str


EXPIRED = expired_authority()
LEAF = authority().issue_cert("127.0.0.1", "localhost")
OURS = authority().cert_pem.bytes()

HANDSHAKES: dict[str, Handshake] = {
    "R16-plain": Handshake(
        "a server without TLS is none", b"HTTP/1.0 400 canary\r\n\r\n", OURS, "TLSError", "handshake"
    ),
    "R16-ssh": Handshake("another protocol is none", b"SSH-2.0-canary\r\n", OURS, "TLSError", "handshake"),
    "R16-noise": Handshake("noise is none", bytes(range(256)) * 64, OURS, "TLSError", "handshake"),
    "R16-mute": Handshake("silence is none", b"", OURS, "Unreachable", "no connection within"),
    "K22-other-ca": Handshake(
        "another CA's server is none", server_context(), trustme.CA().cert_pem.bytes(), "TLSError", "compare the"
    ),
    "K22-expired": Handshake(
        "a CA that has ended proves nothing",
        server_context(EXPIRED.issue_cert("127.0.0.1")),
        EXPIRED.cert_pem.bytes(),
        "TLSError",
        "expired",
    ),
    "K22-name": Handshake(
        "a certificate of another host is none",
        server_context(authority().issue_cert("elsewhere.example")),
        OURS,
        "TLSError",
        "127.0.0.1",
    ),
    "K22-leaf": Handshake(
        "the server's own certificate may be the CA, as in Go",
        server_context(LEAF),
        LEAF.cert_chain_pems[0].bytes(),
        "Unreachable",
        "418",
    ),
    "H23-server-name": Handshake(
        "a server name is verified instead of the host",
        server_context(authority().issue_cert("verified.example")),
        OURS,
        "Unreachable",
        "418",
    ),
}


@asynccontextmanager
async def chatter(greeting: bytes) -> AsyncIterator[Server]:
    """A server that says something to whoever connects, without TLS, and then waits."""

    async def unused(_: Received, __: Writer) -> None:
        raise AssertionError("it speaks no HTTP")

    server = Server(unused)

    async def accept(reader: asyncio.StreamReader, writer: Writer) -> None:
        server.connections += 1
        writer.write(greeting)
        with suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()

    started = await asyncio.start_server(accept, "127.0.0.1", 0)
    server.port = started.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        started.close()


async def teapot(_: Received, writer: Writer) -> None:
    await reply(writer, 418, b"{}")
