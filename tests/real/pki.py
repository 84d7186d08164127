"""The certificates, keys and tokens of one set of test servers, in files as the servers want them."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Pki(msgspec.Struct, frozen=True):
    """One CA, a serving certificate for loopback, a key that signs service-account tokens, and an admin's token."""

    ca: trustme.CA
    ca_file: Path
    certificate_file: Path
    key_file: Path
    service_account_key: Path
    service_account_public_key: Path
    admin_token: str

    @property
    def ca_pem(self) -> bytes:
        return self.ca.cert_pem.bytes()

    def client_certificate(self, user: str, group: str = "") -> tuple[bytes, bytes]:
        """A certificate and its key in PEM that the servers take for ``user``, in ``group`` if there is one."""
        # Go refuses a certificate whose critical list of names is empty, so it gets a name that nobody looks at.
        issued = self.ca.issue_cert("client.invalid", common_name=user, organization_name=group or None)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return chain, issued.private_key_pem.bytes()


def create(folder: Path) -> Pki:
    """New keys, written into ``folder``."""
    ca = trustme.CA()
    serving = ca.issue_cert("127.0.0.1", "localhost")
    signer = ec.generate_private_key(ec.SECP256R1())
    pki = Pki(
        ca=ca,
        ca_file=folder / "ca.pem",
        certificate_file=folder / "serving.pem",
        key_file=folder / "serving.key",
        service_account_key=folder / "service-account.key",
        service_account_public_key=folder / "service-account.pub",
        admin_token=secrets.token_hex(16),
    )
    ca.cert_pem.write_to_path(str(pki.ca_file))
    pki.certificate_file.write_bytes(b"".join(blob.bytes() for blob in serving.cert_chain_pems))
    serving.private_key_pem.write_to_path(str(pki.key_file))
    pki.service_account_key.write_bytes(
        signer.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    pki.service_account_public_key.write_bytes(
        signer.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return pki
