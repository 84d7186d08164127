"""The kubeconfig of a registration, and the proof that it works: one call that needs its credentials."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

import msgspec
import yaml

from controller.fleet import rights
from controller.fleet.identity import NAMESPACE as IDENTITY_NAMESPACE
from controller.fleet.service_account import AccountToken
from controller.fleet.wish import RegistrationError, Wish
from controller.kube import kubeconfig
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.errors import (
    ConnectFailed,
    DeadlineExceeded,
    Forbidden,
    KubeError,
    NameResolutionFailed,
    NotFound,
    TLSFailed,
    Unauthorized,
)
from controller.kube.objects import decode
from controller.kube.resources import NAMESPACES

Connect = Callable[[Access], Client]


class Proven(msgspec.Struct):
    """A kubeconfig that our own loader accepts, what it gives, and as whom the server knows it.

    ``cluster_uid``: the UID of the cluster's namespace kube-system, "" when the account may not read it.
    """

    kubeconfig: bytes
    access: Access
    user: str
    cluster_uid: str = ""
    warnings: tuple[str, ...] = ()


async def prove(source_access: Access, token: AccountToken, wish: Wish, connect: Connect) -> Proven:
    """The first kubeconfig that works, of one with each CA that there is."""
    server = wish.server or source_access.server
    server_name = wish.tls_server_name or ("" if wish.server else source_access.tls_server_name)
    authorities = (
        [wish.certificate_authority]
        if wish.certificate_authority
        else [
            # The cluster's own first. A proxy in front of it has another, which the user's kubeconfig knows.
            token.authority,
            source_access.certificate_authority,
        ]
    )
    failure: KubeError = RegistrationError("no certificate authority is known: --certificate-authority")
    for authority in dict.fromkeys(filter(None, authorities)):
        access = Access(server=server, certificate_authority=authority, token=token.token, tls_server_name=server_name)
        document = render_kubeconfig(access, wish.context, wish.service_account)
        try:
            access = kubeconfig.load(document, wish.context)
        except kubeconfig.KubeconfigError as error:
            failure = RegistrationError(f"the kubeconfig would be refused: {error}")
            continue
        try:
            user, uid, warnings = await _who(access, wish, connect)
            return Proven(document, access, user, uid, warnings)
        except TLSFailed as error:
            failure = RegistrationError(f"{server}: {error}; see --certificate-authority and --tls-server-name")
        except (NameResolutionFailed, ConnectFailed, DeadlineExceeded) as error:
            if server == source_access.server:
                raise
            # An address that only the control plane can reach. What can be proven from here: token and account.
            user, uid, warnings = await _who(_with_token(source_access, token), wish, connect)
            elsewhere = (
                f"{server} cannot be reached from here ({error}); the token was proven at {source_access.server}."
            )
            return Proven(document, access, user, uid, (elsewhere, *warnings))
    raise failure


def _with_token(source: Access, token: AccountToken) -> Access:
    return msgspec.structs.replace(source, token=token.token, client_certificate=b"", client_key=b"")


def render_kubeconfig(access: Access, context: str, user: str) -> bytes:
    """A kubeconfig (YAML) with one cluster, one user and one context, all of which ``access`` says."""
    cluster = {
        "server": access.server,
        "certificate-authority-data": b64encode(access.certificate_authority).decode(),
    }
    if access.tls_server_name:
        cluster["tls-server-name"] = access.tls_server_name
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": cluster}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": user}}],
        "users": [{"name": user, "user": {"token": access.token}}],
        "current-context": context,
    }
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return text.encode()


class _UserInfo(msgspec.Struct):
    username: str = ""


class _ReviewStatus(msgspec.Struct, rename="camel"):
    user_info: _UserInfo = msgspec.field(default_factory=_UserInfo)


class _Review(msgspec.Struct):
    status: _ReviewStatus


async def _who(access: Access, wish: Wish, connect: Connect) -> tuple[str, str, tuple[str, ...]]:
    """The name by which the server knows the token, the cluster's UID as far as the token lets us see it, and warnings
    about its rights."""
    client = connect(access)
    try:
        user = await _user(client, access, wish)
        warnings = await rights.preflight(client, wish.source_namespace)
        try:
            found = await client.get(NAMESPACES, "", IDENTITY_NAMESPACE, metadata_only=True)
        except (Forbidden, NotFound):
            return user, "", warnings
        return user, found.head.uid, warnings
    finally:
        await client.close()


async def _user(client: Client, access: Access, wish: Wish) -> str:
    """The name by which the server knows the token: a call that nobody can make without a good one."""
    expected = f"system:serviceaccount:{wish.source_namespace}:{wish.service_account}"
    try:
        group = "authentication.k8s.io/v1"
        review = {"apiVersion": group, "kind": "SelfSubjectReview"}
        answer = await client.raw("POST", f"/apis/{group}/selfsubjectreviews", body=review)
        user = decode(answer, _Review).status.user_info.username
    except NotFound:  # Kubernetes before 1.28
        user = await _user_by_access_review(client, expected)
    except Unauthorized:
        raise RegistrationError(f"{access.server} does not accept the token: is it the same cluster?") from None
    if user != expected:
        raise RegistrationError(f"{access.server} knows the token as {user or 'nobody'}, not as {expected}")
    return user


async def _user_by_access_review(client: Client, expected: str) -> str:
    group = "authorization.k8s.io/v1"
    attributes = {"verb": "get", "resource": "namespaces", "name": "kube-system"}
    review = {"apiVersion": group, "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
    try:
        await client.raw("POST", f"/apis/{group}/selfsubjectaccessreviews", body=review)
    except (Unauthorized, Forbidden):  # forbidden to who is not authenticated
        raise RegistrationError("the API server does not accept the token: is it the same cluster?") from None
    return expected
