"""The controller's own kubeconfig when it runs outside a cluster: trusted, and kept fresh."""

from __future__ import annotations

import asyncio
import os
import ssl
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from controller.kube import exec_plugin, pem
from controller.kube.access import Access
from controller.kube.exec_plugin import ExecPlugin
from controller.kube.in_cluster import REREAD, CredentialsUnavailable, InCluster, in_cluster, read_token

LOAD_DEADLINE: Final = 60.0  # s for an auth-provider
_UNSUPPORTED: Final = {
    "as": "impersonation",
    "as-uid": "impersonation",
    "as-groups": "impersonation",
    "as-user-extra": "impersonation",
    "username": "a password, which API servers no longer know",
    "password": "a password, which API servers no longer know",
}


async def own_credentials(
    path: str = "", context: str = "", *, environ: Mapping[str, str] = os.environ
) -> InCluster | OwnKubeconfig:
    """The pod's credentials when neither a kubeconfig nor a context is named and there are any, else a kubeconfig's.

    Raises ``CredentialsUnavailable``. The loopback of this machine is a server for a ``OwnKubeconfig`` only.
    """
    if not path and not context and (pod := in_cluster(environ)):
        return pod
    return await load_own(path, context, environ=environ)


async def load_own(path: str = "", context: str = "", *, environ: Mapping[str, str] = os.environ) -> OwnKubeconfig:
    """A context of a kubeconfig that the user trusts: it may read files and run a credential plugin.

    ``path``: "" is ``$KUBECONFIG`` (a list of files is merged), else ``~/.kube/config``. ``context``: "" is the
    current one. Files are read into memory; none is written. Raises ``CredentialsUnavailable``.
    """
    entry = _choose(path or environ.get("KUBECONFIG") or _default(), context)
    renewal = await entry.load()
    return OwnKubeconfig(entry, renewal)


class OwnKubeconfig:
    """``Credentials`` of a trusted kubeconfig. ``context`` and ``namespace`` are as the kubeconfig says.

    A ``tokenFile`` is read again every minute and on 401; a plugin runs again on 401, at most one at a time.
    A plugin that gives a new client certificate needs a new connection: ``refresh`` returns the access for it.
    """

    def __init__(self, entry: _Entry, access: Access) -> None:
        self._entry = entry
        self._access = access
        self._read_at: float | None = None
        self._running = asyncio.Lock()
        self.context = entry.name
        self.namespace = entry.namespace

    @property
    def access(self) -> Access:
        return self._access

    def bearer(self) -> str:
        if self._entry.token_file is not None:
            now = asyncio.get_running_loop().time()
            if self._read_at is None or now - self._read_at >= REREAD:
                self._read_at = now
                self._reread(self._entry.token_file)
        return self._access.token

    async def rejected(self, token: str) -> bool:
        if self._entry.token_file is not None:
            self._reread(self._entry.token_file)
        elif self._entry.plugin is not None:
            async with self._running:
                if token == self._access.token:  # nobody else renewed it while we waited
                    try:
                        await self.refresh()
                    except CredentialsUnavailable:
                        return False
        return token != self._access.token

    async def refresh(self) -> Access:
        """Read files and run the plugin again; raises ``CredentialsUnavailable`` and keeps the last good access."""
        self._access = await self._entry.load()
        return self._access

    def _reread(self, path: Path) -> None:
        try:
            token = read_token(path)
        except CredentialsUnavailable:
            return
        self._access = msgspec.structs.replace(self._access, token=token)

    def __repr__(self) -> str:
        return f"OwnKubeconfig({self.context}, {self._access!r})"


class _Entry:
    """A context with its cluster and its user, each with the directory that its file names are relative to."""

    def __init__(self, name: str, context: Mapping[str, Any], cluster: _Part, user: _Part) -> None:
        self.name = name
        self.namespace = str(context.get("namespace") or "default")
        self._cluster = cluster
        self._user = user
        for field, what in _UNSUPPORTED.items():
            if user.fields.get(field):
                raise CredentialsUnavailable(f"users[].user.{field}: {what} is not supported")
        if cluster.fields.get("insecure-skip-tls-verify"):
            raise CredentialsUnavailable(
                "clusters[].cluster.insecure-skip-tls-verify: not supported; give certificate-authority-data instead"
            )
        self._authority = cluster.material("certificate-authority") or _system_authorities()
        self.token_file = user.path("tokenFile")
        self.plugin = self._plugin()

    async def load(self) -> Access:
        """The access as of now."""
        access = await self._ask_library()
        certificate = self._user.material("client-certificate")
        key = self._user.material("client-key")
        token = access.token
        if self.token_file is not None:
            token = read_token(self.token_file)  # wins over token, as in client-go
        elif self.plugin is not None and not token and not certificate:
            given = await self.plugin.run()
            token = given.token.strip()
            certificate, key = given.client_certificate_data.encode(), given.client_key_data.encode()
        if bool(certificate) != bool(key):
            raise CredentialsUnavailable("users[].user: a client certificate needs both its certificate and its key")
        if certificate:
            token = ""  # a server that is sent both looks at the certificate first
        if not token and not certificate:
            raise CredentialsUnavailable(f"context {self.name}: its user has no credentials")
        return msgspec.structs.replace(
            access, token=token, client_certificate=certificate, client_key=key, certificate_authority=self._authority
        )

    async def _ask_library(self) -> Access:
        """Server, proxy and token as kubernetes-asyncio reads them.

        It is given neither file names nor inline certificates, which it would write to temporary files whose
        descriptors stay open; no plugin, which it runs without a deadline and stops reading when stderr is full; and
        no OIDC refresh token, which it would send without verifying the server.
        """
        # Costs 0.4 s and 50 MB, so only who needs it pays.
        from kubernetes_asyncio.client import Configuration
        from kubernetes_asyncio.config import load_kube_config_from_dict

        told = {
            "contexts": [{"name": self.name, "context": {"cluster": "cluster", "user": "user"}}],
            "clusters": [{"name": "cluster", "cluster": self._cluster.only("server", "tls-server-name", "proxy-url")}],
            "users": [{"name": "user", "user": _without_refresh(self._user.only("token", "auth-provider"))}],
        }
        configuration = Configuration()
        configuration.api_key = {}
        try:
            async with asyncio.timeout(LOAD_DEADLINE):
                await load_kube_config_from_dict(told, context=self.name, client_configuration=configuration)
        except Exception as error:  # noqa: BLE001 - whatever the library raises, the way out is the user's kubeconfig
            raise CredentialsUnavailable(f"context {self.name}: {type(error).__name__}: {error}") from None
        server = str(configuration.host).rstrip("/")
        if not server.startswith("https://"):
            raise CredentialsUnavailable(f"context {self.name}: clusters[].cluster.server must begin with https://")
        return Access(
            server=server,
            certificate_authority=self._authority,
            token=str(configuration.api_key.get("BearerToken") or "").removeprefix("Bearer ").strip(),
            tls_server_name=configuration.tls_server_name or "",
            proxy=configuration.proxy or "",
        )

    def _plugin(self) -> ExecPlugin | None:
        fields = self._user.fields.get("exec")
        if not isinstance(fields, dict):
            return None
        told = self._cluster.only("server", "tls-server-name", "proxy-url")
        told["certificate-authority-data"] = b64encode(self._authority).decode()
        return exec_plugin.from_user(fields, self._user.directory, told)


class _Part:
    """The fields of a cluster or a user, and where the file with them is."""

    def __init__(self, fields: Mapping[str, Any], directory: Path) -> None:
        self.fields = fields
        self.directory = directory

    def only(self, *names: str) -> dict[str, Any]:
        return {name: self.fields[name] for name in names if self.fields.get(name)}

    def path(self, field: str) -> Path | None:
        name = self.fields.get(field)
        return self.directory / str(name) if name else None

    def material(self, field: str) -> bytes:
        """PEM of ``<field>-data`` or of the file that ``field`` names; b"" when neither is there."""
        if inline := self.fields.get(f"{field}-data"):
            try:
                return pem.decode_base64(str(inline))
            except ValueError:
                raise CredentialsUnavailable(f"{field}-data: not base64") from None
        if (path := self.path(field)) is None:
            return b""
        try:
            return path.read_bytes()
        except OSError as error:
            raise CredentialsUnavailable(f"{field}: {path}: {error.strerror}") from None


def _default() -> str:
    try:
        return str(Path.home() / ".kube" / "config")
    except RuntimeError:  # a user without an entry in passwd, as in containers
        raise CredentialsUnavailable("no kubeconfig was named, and there is no home folder: --kubeconfig") from None


def _choose(paths: str, context: str) -> _Entry:
    try:
        from kubernetes_asyncio.config.kube_config import KubeConfigMerger
    except RuntimeError:
        raise CredentialsUnavailable("kubernetes-asyncio loads nothing without a home folder: set HOME") from None
    try:
        merged = KubeConfigMerger(paths).config
    except Exception as error:  # noqa: BLE001 - no file, no YAML, no mapping: all the same to the user
        raise CredentialsUnavailable(f"{paths}: cannot be read as a kubeconfig: {type(error).__name__}") from None
    if merged is None:
        raise CredentialsUnavailable(f"{paths}: no such kubeconfig")
    name = context or merged.value.get("current-context")
    if not name:
        raise CredentialsUnavailable(f"{paths}: no context was named, and there is no current-context")

    def find(section: str, kind: str, wanted: Any) -> _Part:
        for node in merged.value.get(section) or ():
            if node.value.get("name") == wanted:
                return _Part(node.value.get(kind) or {}, Path(node.path).absolute().parent)
        raise CredentialsUnavailable(f"{paths}: {section} has no entry named {wanted!r}")

    chosen = find("contexts", "context", name).fields
    cluster = find("clusters", "cluster", chosen.get("cluster"))
    user = find("users", "user", chosen.get("user"))
    return _Entry(str(name), chosen, cluster, user)


def _without_refresh(user: dict[str, Any]) -> dict[str, Any]:
    provider = user.get("auth-provider")
    if not isinstance(provider, dict) or not isinstance(provider.get("config"), dict):
        return user
    config = {name: value for name, value in provider["config"].items() if name != "refresh-token"}
    return {**user, "auth-provider": {**provider, "config": config}}


def _system_authorities() -> bytes:
    """The machine's own trusted CAs, for a kubeconfig without one (a server with a public certificate)."""
    bundle = ssl.get_default_verify_paths().cafile
    if bundle is None:
        raise CredentialsUnavailable("no certificate authority: neither in the kubeconfig nor on this machine")
    return Path(bundle).read_bytes()
