"""The way to one cluster as one access leads there: a client for everybody, and a connection of its owner's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

import anyio
import msgspec

from controller.fleet import probe
from controller.fleet.breaker import Breaker, Guard, Guarded
from controller.fleet.state import ClusterState
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.credentials import StaticCredentials
from controller.kube.errors import TooManyRequests
from controller.kube.resources import Resource
from controller.kube.transport import Transport

VERIFY_DEADLINE: Final = 5.0  # s for the look at a cluster's identity, and for pinning it
RETIRE_GRACE: Final = 15.0  # s that requests under way may take before their connection is closed: that of a write

Verify: TypeAlias = Callable[[Client], Awaitable[ClusterState | None]]
"""Judges a cluster that has answered: None when it is the right one, else the state that keeps it from use.

A state that is usable stops nothing; its ``cluster_uid`` and ``note`` are shown.
"""


class MakeClient(Protocol):
    """Makes a client for the API server of a context. Raises ``TLSFailed`` for certificates that cannot be used.

    ``guard`` goes around everything else of its transport. None: for the owner's own looks, by nothing throttled.
    """

    def __call__(self, credentials: StaticCredentials, context: str, guard: Guard | None = None) -> Client: ...


class Questions(msgspec.Struct, frozen=True):
    """What a look asks besides the version; ``deadline``: seconds for that one.

    ``resource``: may it be listed in one of ``namespaces``? ``verify``: is it the right cluster? ``patient``: a server
    that is too busy to say so may be asked another time.
    """

    deadline: float
    resource: Resource | None = None
    namespaces: Sequence[str] = ()
    verify: Verify | None = None
    patient: bool = False


class Answer(msgspec.Struct, frozen=True):
    """``version``: the server's, None when it did not say. ``identity``: what ``verify`` found, None: nothing.

    ``verified``: whether it was asked; False also when the server has no time to be asked.
    """

    version: str | None
    identity: ClusterState | None = None
    verified: bool = False

    @property
    def refused(self) -> bool:
        """Whether it is not the cluster that it should be."""
        return self.identity is not None and not self.identity.usable


class Way:
    """Looks go over a connection of their own, so that a full or stuck pool never makes a cluster look dead.

    Raises ``TLSFailed`` when the certificates of ``access`` cannot be used.
    """

    def __init__(self, access: Access, context: str, make_client: MakeClient) -> None:
        self._context = context
        self._make_client = make_client
        self._credentials = StaticCredentials(access)
        self._prober = make_client(self._credentials, context)
        self._client: Client | None = None
        self._guarded: Guarded | None = None

    @property
    def access(self) -> Access:
        """What leads there now; the token may have been replaced."""
        return self._credentials.access

    def replace_token(self, token: str) -> None:
        """Use ``token`` from the next request on; connections and open watches stay."""
        self._credentials.replace(token)

    async def look(self, questions: Questions) -> Answer:
        """Ask, over the owner's own connection; raises ``KubeError``."""
        version = await probe.version(self._prober, questions.deadline)
        if questions.resource is not None:
            await probe.rights(self._prober, questions.resource, questions.namespaces)
        if questions.verify is None:
            return Answer(version)
        try:
            identity = await probe.within(VERIFY_DEADLINE, _verify(questions.verify, self._prober))
        except TooManyRequests:
            if not questions.patient:
                raise
            return Answer(version)
        return Answer(version, identity, verified=True)

    def open(self, breaker: Breaker) -> Client:
        """The client for everybody, behind ``breaker``."""

        def guard(inner: Transport) -> Transport:
            self._guarded = breaker.guard(inner)
            return self._guarded

        self._client = self._make_client(self._credentials, self._context, guard)
        return self._client

    def abort(self) -> None:
        """End what is under way: the cluster is lost."""
        if self._guarded is not None:
            self._guarded.abort()

    async def retire(self) -> None:
        """Close when what is under way is done, or has had ``RETIRE_GRACE``; nothing new is sent."""
        try:
            if self._guarded is not None:
                self._guarded.retire()
                with suppress(TimeoutError):
                    async with asyncio.timeout(RETIRE_GRACE):
                        await self._guarded.wait_idle()
        finally:
            await self.close()

    async def close(self) -> None:
        """Close every connection at once, whoever is cancelled meanwhile: a socket half closed would be left behind."""
        closing = asyncio.ensure_future(self._close())
        cancelled: asyncio.CancelledError | None = None
        with anyio.CancelScope(shield=True):
            while not closing.done():
                try:
                    await asyncio.shield(closing)
                except asyncio.CancelledError as error:
                    cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _close(self) -> None:
        await self._prober.close()
        if self._client is not None:
            await self._client.close()


async def _verify(verify: Verify, client: Client) -> ClusterState | None:
    return await verify(client)
