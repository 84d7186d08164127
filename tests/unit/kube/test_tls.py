from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from controller.kube import errors
from controller.kube.access import Access
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.credentials import StaticCredentials
from controller.kube.tls import client_context
from controller.kube.transport import Request, Response
from tests.hardening.traps import FILES, armed
from tests.unit.kube.https import authority, https, server_context
from tests.unit.kube.test_aiohttp_transport import ok

GET = Request(method="GET", path="/version", deadline=5.0)


async def ask(access: Access) -> Response:
    transport = AiohttpTransport(StaticCredentials(access))
    try:
        return await transport.request(GET)
    finally:
        await transport.close()


# ── whom we trust ───────────────────────────────────────────────────────────────────────────────────


async def test_another_ca_is_refused_and_said() -> None:
    async with https(ok) as server:
        with pytest.raises(errors.TLSFailed, match="certificate verify failed: unable to get local issuer"):
            await ask(server.access(certificate_authority=trustme.CA().cert_pem.bytes()))
    assert server.seen == []


async def test_another_host_name_is_refused_and_said() -> None:
    context = server_context(authority().issue_cert("elsewhere.example"))
    async with https(ok, context=context) as server:
        with pytest.raises(errors.TLSFailed, match=r"IP address mismatch, certificate is not valid for '127.0.0.1'"):
            await ask(server.access())
    assert server.seen == []


async def test_an_expired_certificate_is_refused_and_said() -> None:
    context = server_context(authority().issue_cert("127.0.0.1", not_after=datetime(2020, 1, 1, tzinfo=UTC)))
    async with https(ok, context=context) as server:
        with pytest.raises(errors.TLSFailed, match="certificate has expired"):
            await ask(server.access())
    assert server.seen == []


async def test_a_tls_server_name_is_verified_instead_of_the_host() -> None:
    context = server_context(authority().issue_cert("kubernetes.default.svc"))
    async with https(ok, context=context) as server:
        response = await ask(server.access(tls_server_name="kubernetes.default.svc"))
    assert response.status == 200


async def test_a_ca_without_key_identifiers_is_accepted() -> None:
    pem, context = _plain_authority()
    async with https(ok, context=context) as server:
        assert (await ask(server.access(certificate_authority=pem))).status == 200


def test_such_a_ca_is_one_that_strict_verification_refuses() -> None:
    pem, context = _plain_authority()
    strict = client_context(Access(server="https://a", certificate_authority=pem, token="t"))
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_in, server_out = outgoing, incoming
    ours = strict.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    theirs = context.wrap_bio(server_in, server_out, server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake_hands(ours, theirs)


def _shake_hands(*sides: ssl.SSLObject) -> None:
    for _ in range(4):
        for side in sides:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()


async def test_an_intermediate_alone_is_a_trust_anchor() -> None:
    intermediate = authority().create_child_ca()
    context = server_context(intermediate.issue_cert("127.0.0.1"))
    async with https(ok, context=context) as server:
        response = await ask(server.access(certificate_authority=intermediate.cert_pem.bytes()))
    assert response.status == 200


def test_verification_is_always_on() -> None:
    context = client_context(Access(server="https://a", certificate_authority=authority().cert_pem.bytes()))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT


def test_the_cas_of_the_machine_are_not_trusted() -> None:
    context = client_context(Access(server="https://a", certificate_authority=authority().cert_pem.bytes()))
    assert len(context.get_ca_certs()) == 1


EMPTY = b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe", EMPTY])
def test_a_ca_that_is_none_is_said(content: bytes) -> None:
    with pytest.raises(errors.TLSFailed, match="no usable PEM certificate"):
        client_context(Access(server="https://a", certificate_authority=content))


async def test_a_server_without_tls_is_said() -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        access = Access(server=f"https://127.0.0.1:{port}", certificate_authority=authority().cert_pem.bytes())
        with pytest.raises(errors.TLSFailed, match=r"TLS handshake failed: (WRONG_VERSION|RECORD_LAYER)"):
            await ask(access)


async def test_a_server_that_speaks_only_old_tls_is_refused() -> None:
    context = server_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with https(ok, context=context) as server:
        with pytest.raises(errors.TransportError, match=r"TLS handshake"):
            await ask(server.access())
    assert server.seen == []


# ── who we are ──────────────────────────────────────────────────────────────────────────────────────


@cache
def client() -> trustme.LeafCert:
    return authority().issue_cert("client@example.org", common_name="client")


def asking_context() -> ssl.SSLContext:
    """Of a server that wants a client certificate."""
    context = server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(context)
    return context


async def test_a_client_certificate_is_presented() -> None:
    async with https(ok, context=asking_context()) as server:
        access = server.access(
            token="",
            client_certificate=client().cert_chain_pems[0].bytes(),
            client_key=client().private_key_pem.bytes(),
        )
        assert (await ask(access)).status == 200
    assert server.seen[0].client == "client"
    assert "authorization" not in server.seen[0].headers


async def test_a_client_certificate_that_the_server_refuses_is_said() -> None:
    stranger = trustme.CA().issue_cert("stranger@example.org")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        # Not asyncio's server, which hangs up without the alert.
        refusing = asyncio.ensure_future(asyncio.to_thread(_refuse, listener, asking_context()))
        access = Access(
            server=f"https://127.0.0.1:{listener.getsockname()[1]}",
            certificate_authority=authority().cert_pem.bytes(),
            client_certificate=stranger.cert_chain_pems[0].bytes(),
            client_key=stranger.private_key_pem.bytes(),
        )
        with pytest.raises(errors.TLSFailed, match="TLS failed: TLSV1_ALERT_UNKNOWN_CA"):
            await ask(access)
        await refusing


def _refuse(listener: socket.socket, context: ssl.SSLContext) -> None:
    connection = context.wrap_socket(listener.accept()[0], server_side=True, do_handshake_on_connect=False)
    with suppress(ssl.SSLError):
        connection.do_handshake()
    with socket.socket(fileno=connection.detach()) as plain:
        plain.shutdown(socket.SHUT_WR)
        plain.settimeout(5.0)
        with suppress(OSError):
            while plain.recv(4096):
                pass


def test_a_key_of_another_certificate_is_said() -> None:
    with pytest.raises(errors.TLSFailed, match="the client certificate and its key cannot be used together"):
        client_context(_client_access(key=authority().issue_cert("x").private_key_pem.bytes()))


def test_an_encrypted_key_is_an_error_and_not_a_question() -> None:
    key = serialization.load_pem_private_key(client().private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    with pytest.raises(errors.TLSFailed, match="cannot be used"):
        client_context(_client_access(key=encrypted))


def test_the_key_is_never_on_a_disk() -> None:
    with armed(FILES) as seen:
        client_context(_client_access())
    assert seen == []


def _client_access(key: bytes | None = None) -> Access:
    return Access(
        server="https://a",
        certificate_authority=authority().cert_pem.bytes(),
        client_certificate=client().cert_chain_pems[0].bytes(),
        client_key=client().private_key_pem.bytes() if key is None else key,
    )


@cache
def _plain_material() -> tuple[bytes, bytes]:
    """A CA as EKS makes them, without key identifiers, and a certificate of it with its key; PEM."""
    now = datetime.now(UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    ca = (
        x509.CertificateBuilder()
        .subject_name(issuer)
        .issuer_name(issuer)
        .public_key(ca_key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(2)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return ca.public_bytes(pem), leaf.public_bytes(pem) + private


def _plain_authority() -> tuple[bytes, ssl.SSLContext]:
    ca, chain = _plain_material()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with trustme.Blob(chain).tempfile() as path:
        context.load_cert_chain(path)
    return ca, context
