"""The credentials of a pod: its service account's token and CA, as the kubelet keeps them in files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from controller.kube.access import Access
from controller.kube.errors import KubeError

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REREAD: Final = 60.0  # s; the kubelet replaces a token when 20 % of its life is left, at least a minute before its end


class CredentialsUnavailable(KubeError):
    """The controller's own credentials cannot be loaded; the text says what is missing."""


class InCluster:
    """``Credentials`` from the files of a pod; the token is read again every minute, and on 401.

    A token that cannot be read leaves the last good one in use.
    """

    def __init__(self, access: Access, token_file: Path, namespace: str = "") -> None:
        self._access = access
        self._token_file = token_file
        self.namespace = namespace  # the pod's own, "" when that is not told
        self._read_at: float | None = None

    @property
    def access(self) -> Access:
        return self._access

    def bearer(self) -> str:
        now = asyncio.get_running_loop().time()
        if self._read_at is None or now - self._read_at >= REREAD:
            self._reread(now)
        return self._access.token

    async def rejected(self, token: str) -> bool:
        if token == self._access.token:
            self._reread(asyncio.get_running_loop().time())
        return token != self._access.token

    def _reread(self, now: float) -> None:
        self._read_at = now
        try:
            token = read_token(self._token_file)
        except CredentialsUnavailable:
            return
        if token != self._access.token:
            self._access = msgspec.structs.replace(self._access, token=token)

    def __repr__(self) -> str:
        return f"InCluster({self._access!r})"


def in_cluster(environ: Mapping[str, str] = os.environ, directory: Path = SERVICE_ACCOUNT) -> InCluster | None:
    """The pod's own credentials; None outside a pod. Raises ``CredentialsUnavailable`` when they are incomplete."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    token_file = directory / "token"
    if not host or not port or not token_file.exists():
        return None
    try:
        authority = (directory / "ca.crt").read_bytes()
    except OSError as error:
        raise CredentialsUnavailable(f"{directory / 'ca.crt'}: {error.strerror}") from None
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    access = Access(server=server, certificate_authority=authority, token=read_token(token_file))
    return InCluster(access, token_file, _namespace(directory))


def _namespace(directory: Path) -> str:
    try:
        return (directory / "namespace").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""  # nothing depends on it but where the ImageConfig is looked for


def read_token(path: Path) -> str:
    """The token in a file, without the line end that editors add. Raises ``CredentialsUnavailable``."""
    try:
        token = path.read_text("ascii").strip()
    except OSError as error:
        raise CredentialsUnavailable(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        token = ""
    if not token or not token.isprintable() or " " in token:
        raise CredentialsUnavailable(f"{path}: holds no token")
    return token
