"""TLS contexts for connections to API servers, built in memory."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from controller.kube.access import Access
from controller.kube.errors import TLSFailed


def client_context(access: Access) -> ssl.SSLContext:
    """A context that trusts the access's CA only, and presents its client certificate if it has one.

    Raises ``TLSFailed`` when the CA, the certificate or the key cannot be used; the text names which.
    """
    # Not create_default_context: from Python 3.13 on it adds VERIFY_X509_STRICT, which refuses CAs that Go accepts
    # (EKS, MicroK8s: no Authority Key Identifier). PARTIAL_CHAIN for the same reason: in Go whatever is in the CA
    # file is a trust anchor, an intermediate too.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_verify_locations(cadata=access.certificate_authority.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise TLSFailed("the certificate authority holds no usable PEM certificate") from None
    if access.client_certificate:
        try:
            with readable(access.client_certificate + b"\n" + access.client_key) as path:
                # A password of "" makes an encrypted key an error instead of a question on the terminal.
                context.load_cert_chain(path, password="")
        except (ssl.SSLError, ValueError):
            raise TLSFailed("the client certificate and its key cannot be used together") from None
    return context


def pod_context(authority: bytes, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """A context for a pod's own API, with a client certificate; all PEM. Raises ``TLSFailed``.

    The chain is verified and the host name is not: pods are called by addresses that no certificate names, and the CA
    is that of one Cassandra cluster's Management API only.
    """
    context = client_context(
        Access(server="", certificate_authority=authority, client_certificate=certificate, client_key=key)
    )
    context.check_hostname = False
    return context


@contextmanager
def readable(material: bytes) -> Iterator[str]:
    """A path that holds ``material`` for a moment: OpenSSL takes a key from a path only.

    On Linux the file is in anonymous memory and never on a disk; elsewhere it is a private file, removed at once.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
        try:
            os.write(fd, material)
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(material)
            file.flush()
            yield file.name
