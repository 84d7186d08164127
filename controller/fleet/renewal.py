"""Has a token replaced before it ends: a new one from the remote's TokenRequest, written back to the Secret."""

from __future__ import annotations

import asyncio
import base64
import binascii
from random import Random
from typing import Any, Final, NoReturn

import msgspec
import structlog

from controller.engine.backoff import Backoff
from controller.engine.clock import Clock, rfc3339
from controller.engine.events import EventRecorder, Reference
from controller.fleet.actions import Merge, ObserveAgain, perform
from controller.fleet.cluster import Cluster
from controller.fleet.kubeconfig_secret import KUBECONFIG_KEY
from controller.fleet.member import Member
from controller.fleet.types import CLIENT_CONFIGS
from controller.fleet.way import MakeClient
from controller.kube import errors, kubeconfig, validity
from controller.kube.access import Access
from controller.kube.credentials import StaticCredentials
from controller.kube.kubeconfig_token import with_token
from controller.kube.objects import Object, decode
from controller.kube.resources import SECRETS, SERVICE_ACCOUNTS
from controller.kube.validity import Validity

RENEW_AT: Final = 0.3  # of its life: a token with less left is renewed; people are warned at 0.2
SPREAD: Final = 0.05  # of its life: by so much earlier at most, so that a fleet does not renew all at once
LOOK: Final = 60.0  # s at most between two looks whether it is time
LOOK_AWAY: Final = 5.0  # s until a cluster that is away is looked at again
LIFETIMES: Final = (600, 365 * 86_400)  # s; the shortest that the API grants, and more than any server should
UNKNOWN_LIFETIME: Final = 3600.0  # s, of a token that does not say when it began
RETRY_BASE: Final = 30.0  # s
RETRY_CAP: Final = 600.0  # s
PROOF_DEADLINE: Final = 5.0  # s for the new token's first answer
TAKE_OVER: Final = 300.0  # s for the connection to take a new token over; usually about one
_ACCOUNT: Final = ("system", "serviceaccount")

_log = structlog.get_logger(__name__)


class NotRenewed(errors.KubeError):
    """Why there is no new token, for people; holds no part of one."""


class _Status(msgspec.Struct, frozen=True):
    token: str = ""


class _TokenRequest(msgspec.Struct):
    status: _Status = _Status()


class _Secret(msgspec.Struct):
    data: dict[str, str] | None = None


class Renewal:
    """Renews the token of one ClientConfig in time, if it is a service account's and ends.

    The old token goes on whatever happens: the connection takes the new one over from the Secret, as any other.
    """

    def __init__(
        self,
        member: Member,
        *,
        local: Cluster,
        make_client: MakeClient,
        recorder: EventRecorder,
        clock: Clock,
        rng: Random,
        allow_proxy: tuple[str, ...] = (),
    ) -> None:
        self._member = member
        self._local = local
        self._make_client = make_client
        self._recorder = recorder
        self._clock = clock
        self._allow_proxy = allow_proxy
        self._early = rng.random() * SPREAD
        self._backoff = Backoff(rng, base=RETRY_BASE, cap=RETRY_CAP)
        self._done = ("", 0.0)  # the token that was replaced last, and until when (loop time) it may still be in use

    async def run(self) -> NoReturn:
        """Renew for ever, each time before the present token ends."""
        while True:
            wait = await self._step()
            await asyncio.sleep(wait)

    async def _step(self) -> float:
        """Renew if it is time; returns the seconds until the next look."""
        member = self._member
        access = member.connection.access if member.connection is not None else None
        if access is None or (access.token == self._done[0] and _now() < self._done[1]):
            return LOOK_AWAY
        ends = validity.of_token(access.token)
        if ends is None:
            return LOOK  # it does not end
        wait = self._due(ends) - self._clock.now().timestamp()
        if wait > 0:
            return min(wait, LOOK)
        if member.cluster is None or not member.cluster.state.usable:
            return LOOK_AWAY
        try:
            renewed = await self._renew(access, ends, member.cluster)
        except ObserveAgain:
            return LOOK_AWAY  # somebody else has changed the Secret meanwhile
        except errors.KubeError as error:
            return self._failed(error)
        self._done = (access.token, _now() + TAKE_OVER)
        self._backoff.reset()
        member.renewals["ok"] += 1
        end = rfc3339(renewed.moment)
        message = f"a new token was put into Secret {member.namespace}/{member.secret}; it ends at {end}"
        _log.info("token renewed", cluster=member.context, ends=end)
        self._recorder.record(self._about(), "Normal", "TokenRenewed", message)
        return LOOK_AWAY

    def _due(self, ends: Validity) -> float:
        """From when on the token is renewed, in Unix seconds."""
        return ends.ends - (RENEW_AT + self._early) * _lifetime(ends)

    def _failed(self, error: errors.KubeError) -> float:
        wait = max(LOOK_AWAY, self._backoff.next())
        self._member.renewals[errors.cause(error)] += 1
        message = f"the token could not be renewed and goes on until it ends: {_said(error)}"
        _log.warning("token not renewed", cluster=self._member.context, error=_said(error), wait=round(wait, 1))
        self._recorder.record(self._about(), "Warning", "TokenRenewalFailed", message)
        return wait

    def _about(self) -> Reference:
        member = self._member
        return Reference(CLIENT_CONFIGS.api_version, CLIENT_CONFIGS.kind, member.namespace, member.name, member.uid)

    # ── one renewal ─────────────────────────────────────────────────────────────────────────────────

    async def _renew(self, access: Access, ends: Validity, cluster: Cluster) -> Validity:
        """Ask for a token, prove it, and put it into the Secret; raises ``KubeError`` and ``ObserveAgain``."""
        secret = await self._local.client.get(SECRETS, self._member.namespace, self._member.secret)
        content = _content(secret)
        if kubeconfig.load(content, cluster.context, allow_proxy=self._allow_proxy) != access:
            raise NotRenewed("the Secret says something else than what is in use; it is not overwritten")
        token, renewed = await self._ask(access, ends, cluster)
        changed = with_token(content, cluster.context, token, allow_proxy=self._allow_proxy)
        await self._prove(msgspec.structs.replace(access, token=token), cluster.context)
        patch: dict[str, Any] = {"data": {KUBECONFIG_KEY: base64.b64encode(changed).decode()}}
        merge = Merge(SECRETS, patch, secret, exactly=True)
        await perform(merge, self._local.client, self._local.cache, lambda _: False)
        return renewed

    async def _ask(self, access: Access, ends: Validity, cluster: Cluster) -> tuple[str, Validity]:
        """A new token for the account that the present one names, at least as long as that was meant to last."""
        claims = validity.claims(access.token)
        parts = claims.sub.split(":") if claims is not None else []
        if len(parts) != 4 or tuple(parts[:2]) != _ACCOUNT or not all(parts[2:]):
            raise NotRenewed("it is no service account's token; put a new one into the Secret before it ends")
        seconds = min(max(round(_lifetime(ends)), LIFETIMES[0]), LIFETIMES[1])
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        try:
            path = SERVICE_ACCOUNTS.path(parts[2], parts[3], "token")
            answer = await cluster.client.raw("POST", path, body=body)
        except errors.Forbidden:
            raise NotRenewed(
                f"403: the service account {parts[2]}/{parts[3]} may not create tokens for itself there; apply the "
                "component manifests/token-renewal with manifests/data-plane"
            ) from None
        token = decode(answer, _TokenRequest).status.token
        renewed, named = validity.of_token(token), validity.claims(token)
        if renewed is None or renewed.ends <= ends.ends or named is None or named.sub != ":".join(parts):
            raise NotRenewed("the cluster answered with a token that is no later one of the same account")
        return token, renewed

    async def _prove(self, access: Access, context: str) -> None:
        """Have one answer with the new token, so that none is written that does not work."""
        client = self._make_client(StaticCredentials(access), context)
        try:
            await client.raw("GET", "/version", deadline=PROOF_DEADLINE)
        except errors.Forbidden:
            pass  # it knows us, and keeps its version to itself
        finally:
            await client.close()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _lifetime(ends: Validity) -> float:
    """Seconds from the beginning to the end."""
    return UNKNOWN_LIFETIME if ends.begins is None else ends.ends - ends.begins


def _content(secret: Object) -> bytes:
    try:
        return base64.b64decode((secret.decode(_Secret).data or {})[KUBECONFIG_KEY], validate=True)
    except (KeyError, ValueError, binascii.Error):
        raise NotRenewed("the Secret holds no kubeconfig any more") from None


def _said(error: errors.KubeError) -> str:
    """The error without the words of a remote server, which may quote what it was sent."""
    return f"{type(error).__name__} {error.status}" if isinstance(error, errors.ApiError) else str(error)
