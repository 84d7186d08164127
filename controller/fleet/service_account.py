"""Tokens of a service account: from its token Secret, or bound ones with an end."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from typing import Any, Final

import msgspec

from controller.kube.client import Client
from controller.kube.errors import AlreadyExists, Expired, KubeError, NotFound
from controller.kube.objects import Object, decode
from controller.kube.resources import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS
from controller.kube.watch import Change, EventStream, Failure

TOKEN_TYPE: Final = "kubernetes.io/service-account-token"  # noqa: S105 - the type of a Secret
ACCOUNT_NAME: Final = "kubernetes.io/service-account.name"
ACCOUNT_UID: Final = "kubernetes.io/service-account.uid"
FILL_DEADLINE: Final = 30.0  # s until the server has put a token into a new Secret; usually under one
STREAM_PAUSE: Final = 0.2  # s after a watch that ended without an event: some proxies end them at once
ROOT_CA: Final = "kube-root-ca.crt"  # ConfigMap that every namespace has


class AccountToken(msgspec.Struct, frozen=True):
    """A token with the CA of its cluster (PEM, b"" when unknown).

    ``secret``: the Secret it is from, "" for a bound token, which ends at ``expires`` (RFC 3339).
    """

    token: str
    authority: bytes
    secret: str = ""
    expires: str = ""

    def __repr__(self) -> str:
        return f"AccountToken({self.secret or self.expires})"


class NoToken(KubeError):
    """The service account has no token and cannot get one; the text says why and what to do."""


class _Metadata(msgspec.Struct):
    annotations: dict[str, str] | None = None


class _Secret(msgspec.Struct):
    metadata: _Metadata
    type: str = ""
    data: dict[str, str] | None = None

    def is_of(self, account: Object) -> bool:
        """Whether this is a token Secret of ``account`` itself, not of an earlier one of its name."""
        noted = self.metadata.annotations or {}
        uid = noted.get(ACCOUNT_UID)
        return (
            self.type == TOKEN_TYPE
            and noted.get(ACCOUNT_NAME) == account.head.name
            and uid in (None, "", account.head.uid)
        )

    def token(self, name: str) -> AccountToken | None:
        """The token and CA, None until the server has filled both."""
        data = self.data or {}
        if not data.get("token") or not data.get("ca.crt"):
            return None
        return AccountToken(b64decode(data["token"]).decode("ascii"), b64decode(data["ca.crt"]), secret=name)


async def secret_token(
    client: Client, namespace: str, account: str, *, create: bool = True, deadline: float = FILL_DEADLINE
) -> AccountToken:
    """The token of the account's token Secret; ``<account>-token`` is created when there is none.

    Waits at most ``deadline`` seconds for the server to fill it. ``create`` False: raises ``NoToken`` instead.
    """
    owner = await _account(client, namespace, account)
    secrets = await client.list_all(SECRETS, namespace, field_selector=f"type={TOKEN_TYPE}")
    own = [(secret.head.name, decoded) for secret in secrets if (decoded := secret.decode(_Secret)).is_of(owner)]
    preferred = f"{account}-token"
    for name, decoded in sorted(own, key=lambda pair: (pair[0] != preferred, pair[0])):
        if token := decoded.token(name):
            return token
    if own:
        name = own[0][0]
    elif create:
        name = await _create(client, namespace, owner, preferred)
    else:
        raise NoToken(
            f"ServiceAccount {namespace}/{account} has no token Secret, and a dry run creates none: "
            f"run without --dry-run, or with --token-lifetime"
        )
    try:
        async with asyncio.timeout(deadline):
            return await _filled(client, namespace, name)
    except TimeoutError:
        raise NoToken(
            f"Secret {namespace}/{name}: the API server put no token into it within {deadline:g} s; "
            f"is its kube-controller-manager running? --token-lifetime does without a Secret"
        ) from None


async def bound_token(client: Client, namespace: str, account: str, lifetime: int) -> AccountToken:
    """A new token (TokenRequest) asked to last ``lifetime`` seconds; the server grants what it likes."""
    await _account(client, namespace, account)
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": lifetime},
    }
    answer = await client.raw("POST", SERVICE_ACCOUNTS.path(namespace, account, "token"), body=body)
    status = decode(answer, _TokenRequest).status
    return AccountToken(status.token, await _root_authority(client, namespace), expires=status.expirationTimestamp)


class _TokenRequestStatus(msgspec.Struct):
    token: str
    expirationTimestamp: str


class _TokenRequest(msgspec.Struct):
    status: _TokenRequestStatus


class _ConfigMap(msgspec.Struct):
    data: dict[str, str] | None = None


async def _account(client: Client, namespace: str, account: str) -> Object:
    try:
        return await client.get(SERVICE_ACCOUNTS, namespace, account)
    except NotFound:
        raise NoToken(
            f"ServiceAccount {namespace}/{account} does not exist there: install the data-plane manifests first, "
            f"or name another with --service-account and --source-namespace"
        ) from None


async def _root_authority(client: Client, namespace: str) -> bytes:
    try:
        found = await client.get(CONFIG_MAPS, namespace, ROOT_CA)
    except KubeError:  # absent, or not for our eyes: the kubeconfig has a CA too
        return b""
    return (found.decode(_ConfigMap).data or {}).get("ca.crt", "").encode()


async def _create(client: Client, namespace: str, owner: Object, name: str) -> str:
    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "annotations": {ACCOUNT_NAME: owner.head.name}},
        "type": TOKEN_TYPE,
    }
    try:
        await client.create(SECRETS, namespace, manifest)
    except AlreadyExists:
        found = await client.get(SECRETS, namespace, name)
        if not found.decode(_Secret).is_of(owner):
            raise NoToken(
                f"Secret {namespace}/{name} exists and is not a token of ServiceAccount {owner.head.name}: "
                f"remove it, or use --token-lifetime"
            ) from None
    return name


async def _filled(client: Client, namespace: str, name: str) -> AccountToken:
    """The Secret's token, as soon as the server has filled it in."""
    while True:
        secret = await client.get(SECRETS, namespace, name)
        if token := secret.decode(_Secret).token(name):
            return token
        stream = await client.watch(
            SECRETS,
            namespace,
            field_selector=f"metadata.name={name}",
            resource_version=secret.head.resource_version,
            timeout_seconds=int(FILL_DEADLINE),
        )
        try:
            changed = await _changed(stream, name)
        finally:
            await stream.close()
        if not changed:
            await asyncio.sleep(STREAM_PAUSE)


async def _changed(stream: EventStream, name: str) -> bool:
    """True as soon as the stream tells of an object of that name, False when it ended before."""
    while events := await stream.read():
        for event in events:
            if isinstance(event, Change) and event.object.head.name == name:
                return True
            if isinstance(event, Failure):
                if isinstance(event.error, Expired):
                    return False
                raise event.error
    return False
