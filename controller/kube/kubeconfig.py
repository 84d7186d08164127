"""Kubeconfigs from Secrets: untrusted. The named context is judged and rebuilt from an allow-list of fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final

from controller.kube import pem, server_url, strict_yaml
from controller.kube.access import Access
from controller.kube.errors import KubeError, TLSFailed, clean
from controller.kube.tls import client_context

SIZE_CAP: Final = 64 * 1024  # bytes
TOKEN_CAP: Final = 16 * 1024  # characters; API servers refuse longer headers well before
CERTIFICATE_CAP: Final = 64  # certificates in one field

# Of fields that are not allowed, why: (reason, what it would do).
_RUNS: Final = "it would run a program"
_READS: Final = "it would read a file of the controller; only the -data form is allowed"
_REFUSED_OF_USER: Final = {
    "exec": _RUNS,
    "auth-provider": "it would run a program or call another server",
    "tokenFile": "it would read a file of the controller; only token is allowed",
    "client-certificate": _READS,
    "client-key": _READS,
    "username": "passwords are not allowed",
    "password": "passwords are not allowed",
    "as": "impersonation is not allowed",
    "as-uid": "impersonation is not allowed",
    "as-groups": "impersonation is not allowed",
    "as-user-extra": "impersonation is not allowed",
}
_REFUSED_OF_CLUSTER: Final = {"certificate-authority": _READS}
_FIELDS_OF_USER: Final = ("token", "client-certificate-data", "client-key-data", "extensions")
_FIELDS_OF_CLUSTER: Final = (
    "server",
    "certificate-authority-data",
    "tls-server-name",
    "insecure-skip-tls-verify",  # only false
    "proxy-url",
    "disable-compression",
    "extensions",
)
_FIELDS_OF_CONTEXT: Final = ("cluster", "user", "namespace", "extensions")

# A field's name may be shown when it looks like one; what somebody pasted in its place may be a credential.
_FIELD_NAME: Final = re.compile(r"[A-Za-z][A-Za-z-]{0,30}")
_TOKEN: Final = re.compile(r"[!-~]+")  # printable ASCII without spaces: safe in a header


class Reason(StrEnum):
    """Why a kubeconfig is refused, as conditions and events name it."""

    TOO_LARGE = "KubeconfigTooLarge"
    MALFORMED = "KubeconfigMalformed"
    INSECURE = "InsecureKubeconfig"
    CONTEXT_NOT_FOUND = "ContextNotFound"


class KubeconfigError(KubeError):
    """A kubeconfig that is not used. ``field``: path like ``users[3].user.exec``, "" for the whole file.

    ``message`` says what is wrong and what is allowed; no part of it is a value from the file.
    """

    def __init__(self, reason: Reason, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.reason = reason
        self.field = field
        self.message = message


def load(data: bytes, context: str, *, allow_proxy: Sequence[str] = ()) -> Access:
    """The access that the context named ``context`` gives; raises ``KubeconfigError`` and nothing else.

    Only that context, its cluster and its user are judged; other entries count for size, YAML and duplicate names.
    ``allow_proxy``: URLs, or globs of them, that ``proxy-url`` may be. No file is read, no program run, no
    connection opened. Takes about 1 ms, at most about 15 for a file made to be slow.
    """
    if len(data) > SIZE_CAP:
        raise KubeconfigError(Reason.TOO_LARGE, "", f"a kubeconfig may have at most {SIZE_CAP // 1024} KiB")
    try:
        root = strict_yaml.parse(data)
    except strict_yaml.YAMLError as error:
        raise KubeconfigError(Reason.MALFORMED, "", f"the kubeconfig is {_as_predicate(str(error))}") from None
    if not isinstance(root, dict) or not root:
        raise _malformed("", "the kubeconfig must be a mapping with clusters, contexts and users")
    for field, only in (("apiVersion", "v1"), ("kind", "Config")):
        if root.get(field) not in (None, "", only):
            raise _malformed(field, f"must be {only}, or absent")
    sections = {name: _section(root, name) for name in ("contexts", "clusters", "users")}

    found = sections["contexts"].get(context) if context else None
    if found is None:
        raise KubeconfigError(
            Reason.CONTEXT_NOT_FOUND, "contexts", f"no context is named {clean(context, 253) or '(nothing)'}"
        )
    chosen = _body(found, "context", _FIELDS_OF_CONTEXT, {})
    cluster = _body(
        _referred(chosen, "cluster", sections["clusters"]), "cluster", _FIELDS_OF_CLUSTER, _REFUSED_OF_CLUSTER
    )
    user = _body(_referred(chosen, "user", sections["users"]), "user", _FIELDS_OF_USER, _REFUSED_OF_USER)
    access = _rebuild(cluster, user, allow_proxy)
    _check_material(access, cluster, user)
    return access


# ── taking the file apart ───────────────────────────────────────────────────────────────────────────


class _Node:
    """A mapping of the file and where it is."""

    def __init__(self, path: str, fields: Mapping[str, Any]) -> None:
        self.path = path
        self.fields = fields

    def at(self, field: str) -> str:
        return f"{self.path}.{field}"

    def text(self, field: str) -> str:
        """The field's string, "" when absent or null."""
        value = self.fields.get(field)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise _malformed(self.at(field), "must be a string; a number needs quotes")
        return value


def _section(root: Mapping[str, Any], name: str) -> dict[str, _Node]:
    """The named entries of a list of the file."""
    entries = root.get(name)
    if entries is None:
        return {}
    if not isinstance(entries, list):
        raise _malformed(name, "must be a list")
    found: dict[str, _Node] = {}
    for index, entry in enumerate(entries):
        path = f"{name}[{index}]"
        if not isinstance(entry, dict):
            raise _malformed(path, "must be a mapping with a name")
        key = entry.get("name")
        if not isinstance(key, str):
            continue  # nothing can refer to it
        if key in found:
            raise _malformed(f"{path}.name", f"two entries of {name} have this name")
        found[key] = _Node(path, entry)
    return found


def _referred(context: _Node, kind: str, entries: Mapping[str, _Node]) -> _Node:
    """The cluster or user that a context names."""
    name = context.text(kind)
    if name and name in entries:
        return entries[name]
    if kind == "user":
        raise _insecure(context.at(kind), "no credentials: it must name an entry of users")
    raise _malformed(context.at(kind), "it must name an entry of clusters")


def _body(entry: _Node, kind: str, allowed: Sequence[str], refused: Mapping[str, str]) -> _Node:
    """The inner mapping of an entry, which holds no field that is not allowed. A null field counts as absent."""
    _only(entry, ("name", kind), {})
    fields = entry.fields.get(kind)
    path = entry.at(kind)
    if fields is None and kind == "user":
        raise _insecure(path, "no credentials: token, or client-certificate-data and client-key-data")
    if not isinstance(fields, dict):
        raise _malformed(path, "must be a mapping")
    node = _Node(path, fields)
    _only(node, allowed, refused)
    return node


def _only(node: _Node, allowed: Sequence[str], refused: Mapping[str, str]) -> None:
    for field, value in node.fields.items():
        if value is None or field in allowed:
            continue
        if field in refused:
            raise _insecure(node.at(field), f"not allowed: {refused[field]}")
        where = node.at(field) if _FIELD_NAME.fullmatch(field) else node.path
        raise _insecure(where, f"a field that is not allowed here; allowed: {', '.join(allowed)}")


# ── putting it together again ───────────────────────────────────────────────────────────────────────


def _rebuild(cluster: _Node, user: _Node, allow_proxy: Sequence[str]) -> Access:
    if cluster.fields.get("insecure-skip-tls-verify") not in (None, False):
        raise _insecure(cluster.at("insecure-skip-tls-verify"), "not allowed: TLS is always verified")
    token, certificate, key = _identity(user)
    return Access(
        server=_server(cluster),
        certificate_authority=_authority(cluster),
        token=token,
        client_certificate=certificate,
        client_key=key,
        tls_server_name=_server_name(cluster),
        proxy=_proxy(cluster, allow_proxy),
    )


def _server(cluster: _Node) -> str:
    field = cluster.at("server")
    try:
        parts = server_url.split(cluster.text("server"))
    except server_url.BadURL as error:
        raise _bad_url(field, error) from None
    if parts.scheme != "https":
        raise _insecure(field, "must begin with https://")
    return str(parts)


def _server_name(cluster: _Node) -> str:
    name = cluster.text("tls-server-name")
    try:
        return server_url.server_name(name) if name else ""
    except server_url.BadURL:
        raise _insecure(cluster.at("tls-server-name"), "must be a host name or an IP address") from None


def _proxy(cluster: _Node, allow_proxy: Sequence[str]) -> str:
    url, field = cluster.text("proxy-url"), cluster.at("proxy-url")
    if not url:
        return ""
    try:
        parts = server_url.split(url)
    except server_url.BadURL as error:
        raise _insecure(field, str(error)) from None
    # Judged after taking it apart: in a raw URL a glob's * would match a user and another host.
    proxy = str(parts)
    if parts.scheme not in ("http", "https") or parts.path or not any(fnmatchcase(proxy, p) for p in allow_proxy):
        raise _insecure(
            field, "not allowed: only the HTTP proxies that the controller was started with (--allow-proxy)"
        )
    return proxy


def _identity(user: _Node) -> tuple[str, bytes, bytes]:
    token = user.text("token")
    certificate, key = user.text("client-certificate-data"), user.text("client-key-data")
    if "token" in user.fields and user.fields["token"] is not None and not token.strip():
        raise _insecure(user.at("token"), "no credentials: the token is empty")
    if token and (certificate or key):
        raise _insecure(user.path, "exactly one of token and client certificate is allowed")
    if token:
        if len(token) > TOKEN_CAP or not _TOKEN.fullmatch(token):
            raise _malformed(
                user.at("token"),
                f"must be at most {TOKEN_CAP} printable ASCII characters, without spaces or line ends",
            )
        return token, b"", b""
    if not certificate and not key:
        raise _insecure(user.path, "no credentials: token, or client-certificate-data and client-key-data")
    if not certificate or not key:
        missing = "client-key-data" if certificate else "client-certificate-data"
        raise _malformed(user.at(missing), "a client certificate needs both its certificate and its key")
    return "", _certificates(user, "client-certificate-data"), _key(user)


def _authority(cluster: _Node) -> bytes:
    field = "certificate-authority-data"
    if not cluster.text(field):
        raise _insecure(cluster.at(field), "required: the CA that the server is verified with")
    if any(block.label.endswith("PRIVATE KEY") for block in _blocks(cluster, field)):
        raise _insecure(cluster.at(field), "holds a private key; only certificates are allowed")
    return _certificates(cluster, field)


def _certificates(node: _Node, field: str) -> bytes:
    found = [block.text for block in _blocks(node, field) if block.label == "CERTIFICATE"]
    if not 0 < len(found) <= CERTIFICATE_CAP:
        raise _malformed(node.at(field), f"must hold 1 to {CERTIFICATE_CAP} PEM certificates")
    return b"\n".join(found) + b"\n"


def _key(user: _Node) -> bytes:
    field = "client-key-data"
    keys = [block for block in _blocks(user, field) if block.label.endswith("PRIVATE KEY")]
    if len(keys) == 1 and keys[0].encrypted:
        raise _malformed(user.at(field), "the key is encrypted; only a plain key can be used")
    if len(keys) != 1 or keys[0].label not in pem.KEY_LABELS:
        raise _malformed(user.at(field), "must hold exactly one PEM private key")
    return keys[0].text + b"\n"


def _blocks(node: _Node, field: str) -> list[pem.Block]:
    try:
        return pem.blocks(pem.decode_base64(node.text(field)))
    except ValueError as error:
        raise _malformed(node.at(field), f"{error}: must be PEM in base64") from None


def _check_material(access: Access, cluster: _Node, user: _Node) -> None:
    """What cannot become a TLS context is refused here, with its field, not at the first connection."""
    try:
        client_context(Access(server=access.server, certificate_authority=access.certificate_authority))
    except TLSFailed as error:
        raise _malformed(cluster.at("certificate-authority-data"), str(error)) from None
    if access.client_certificate:
        try:
            client_context(access)
        except TLSFailed as error:
            raise _malformed(user.path, str(error)) from None


def _malformed(field: str, message: str) -> KubeconfigError:
    return KubeconfigError(Reason.MALFORMED, field, message)


def _insecure(field: str, message: str) -> KubeconfigError:
    return KubeconfigError(Reason.INSECURE, field, message)


def _bad_url(field: str, error: server_url.BadURL) -> KubeconfigError:
    return _insecure(field, str(error)) if error.unsafe else _malformed(field, str(error))


def _as_predicate(problem: str) -> str:
    return problem if problem.startswith(("not ", "empty")) else f"not plain YAML: {problem}"
