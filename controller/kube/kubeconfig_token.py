"""Puts another token into a kubeconfig and leaves every other byte as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec
import yaml

from controller.kube import kubeconfig
from controller.kube.errors import KubeError

# RFC 6750: what may follow "Bearer"; nothing of it needs to be escaped in YAML or JSON.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_BOM: Final = "\ufeff"


class NotReplaceable(KubeError):
    """The token cannot be replaced in this file; the text says why, and holds no value of it."""


def with_token(data: bytes, context: str, token: str, *, allow_proxy: Sequence[str] = ()) -> bytes:
    """The kubeconfig ``data`` with ``token`` in place of that of the context's user.

    Raises ``KubeconfigError`` for a file that could not be used before, ``NotReplaceable`` for one that would say
    anything else than the same with another token.
    """
    before = kubeconfig.load(data, context, allow_proxy=allow_proxy)
    if not before.token:
        raise NotReplaceable("the context's user has no token")
    if len(token) > kubeconfig.TOKEN_CAP or not _TOKEN.fullmatch(token):
        raise NotReplaceable("the new token is none that a request can carry")
    whole = data.decode("utf-8")
    text = whole.removeprefix(_BOM)
    start, end, style = _place(text, context)
    old = text[start:end]
    quote = {"'": "'", '"': '"', "": ""}.get(style, '"')
    for mark in (quote, '"'):
        rest = old[len(old.rstrip("\n")) :] if style in ("|", ">") else ""
        changed = text[:start] + mark + token + mark + rest + text[end:]
        result = (whole[: len(whole) - len(text)] + changed).encode("utf-8")
        if len(result) <= kubeconfig.SIZE_CAP and _says(result, context, allow_proxy, before, token):
            return result
    raise NotReplaceable("the file would not be the same with another token")


def _says(data: bytes, context: str, allow_proxy: Sequence[str], before: object, token: str) -> bool:
    try:
        after = kubeconfig.load(data, context, allow_proxy=allow_proxy)
    except kubeconfig.KubeconfigError:
        return False
    return after == msgspec.structs.replace(before, token=token)  # type: ignore[type-var]


def _place(text: str, context: str) -> tuple[int, int, str]:
    """Where in ``text``, which has been judged, the token of the context's user is, and how it is quoted."""
    loader = yaml.CSafeLoader(text)
    try:
        root = loader.get_single_node()
    finally:
        loader.dispose()
    user = _entry(root, "contexts", "context", context)
    name = _child(user, "user") if user is not None else None
    body = _entry(root, "users", "user", name.value) if isinstance(name, yaml.ScalarNode) else None
    token = _child(body, "token") if body is not None else None
    if not isinstance(token, yaml.ScalarNode):
        raise NotReplaceable("the token of the context's user was not found")
    return token.start_mark.index, token.end_mark.index, token.style or ""


def _entry(root: yaml.Node | None, section: str, kind: str, name: str) -> yaml.Node | None:
    """The inner mapping of the entry called ``name``."""
    entries = _child(root, section)
    for entry in entries.value if isinstance(entries, yaml.SequenceNode) else ():
        called = _child(entry, "name")
        if isinstance(called, yaml.ScalarNode) and called.value == name:
            return _child(entry, kind)
    return None


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)
