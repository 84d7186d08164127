from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from controller.kube.access import Access
from controller.kube.validity import Validity, claims, of_access, of_certificate, of_token
from tests.unit.kube.kubeconfigs import certificate, key


def jwt(payload: Any) -> str:
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"none"}', content, b"s"))


def test_a_bound_token_says_when_it_begins_and_ends() -> None:
    token = jwt({"iat": 1000, "exp": 4600, "sub": "system:serviceaccount:ns:name", "aud": ["x"]})
    assert of_token(token) == Validity(4600.0, 1000.0, token=True)
    found = claims(token)
    assert found is not None
    assert found.sub == "system:serviceaccount:ns:name"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "abc",
        "a.b",
        "a.b.c.d",
        "a.!.c",
        "a." + "A" * 5 + ".c",
        jwt({}),
        jwt([]),
        jwt({"exp": None}),
        jwt({"exp": "tomorrow"}),
        jwt({"exp": -5}),
        jwt({"exp": 0}),
        jwt({"exp": 1e300}),
        jwt(b'{"exp": 1e999}'),
        jwt(b'{"exp": 10000000000000000000000000000000}'),
        jwt(b"\xff\xfe"),
        jwt(b"[" * 100_000),
    ],
)
def test_a_token_without_a_readable_end_has_none(token: str) -> None:
    assert of_token(token) is None


@pytest.mark.parametrize("iat", [None, -1, 0, 9999, 1e300])
def test_a_beginning_that_cannot_be_is_none(iat: float | None) -> None:
    assert of_token(jwt({"exp": 5000, "iat": iat})) == Validity(5000.0, None, token=True)


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert of_token(text) is None
    assert of_token(f"a.{text}.c") is None


def test_a_certificates_times_are_those_that_a_library_reads() -> None:
    own = x509.load_pem_x509_certificates(certificate())[0]
    expected = Validity(own.not_valid_after_utc.timestamp(), own.not_valid_before_utc.timestamp())
    assert of_certificate(certificate()) == expected


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)),  # from here on four digits
        (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_both_forms_of_a_time_are_read(begins: datetime, ends: datetime) -> None:
    assert of_certificate(made(begins, ends)) == Validity(ends.timestamp(), begins.timestamp())


def test_of_a_chain_the_first_counts() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    chain = made(now, now + timedelta(days=1)) + made(now, now + timedelta(hours=1))
    found = of_certificate(chain)
    assert found is not None
    assert found.moment == now + timedelta(days=1)


def test_no_damage_raises() -> None:
    whole = base64.b64decode("".join(certificate().decode().splitlines()[1:-1]))
    for cut in range(0, len(whole), 3):
        of_certificate(pem_of(whole[:cut]))
        of_certificate(pem_of(whole[:cut] + b"\xff" + whole[cut + 1 :]))
    assert of_certificate(b"") is None
    assert of_certificate(pem_of(b"")) is None
    assert of_certificate(pem_of(b"\x30\x84\xff\xff\xff\xff")) is None


def test_an_access_ends_with_what_speaks_for_us() -> None:
    by_token = Access(server="https://x", certificate_authority=b"", token=jwt({"exp": 5000}))
    by_certificate = Access(
        server="https://x", certificate_authority=b"", client_certificate=certificate(), client_key=key()
    )
    assert of_access(by_token) == Validity(5000.0, token=True)
    assert of_access(by_certificate) == of_certificate(certificate())
    assert of_access(Access(server="https://x", certificate_authority=b"", token="abc")) is None


def pem_of(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


def made(begins: datetime, ends: datetime) -> bytes:
    """A certificate that is good from ``begins`` until ``ends``, as far as it can be read."""
    own = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "name")])
    builder = x509.CertificateBuilder(name, name, own.public_key(), 1, begins, ends)
    return builder.sign(own, hashes.SHA256()).public_bytes(Encoding.PEM)
