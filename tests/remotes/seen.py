"""What an embedded server noticed of the controller: which requests, when, and with which token."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from controller.kube.aiohttp_transport import USER_AGENT
from controller.kube.transport import Request, Response
from controller.sandbox.apiserver import ApiServer
from controller.sandbox.apiserver.core import User
from controller.sandbox.apiserver.faults import Subject

EXEMPT: Final = ("", "watch")  # verbs of probes and watches, for which no rate holds


class Asked(msgspec.Struct, frozen=True):
    """One request, with the loop time at which it was answered; ``status`` 0: it became a watch."""

    at: float
    verb: str
    resource: str
    status: int
    look: bool = False

    @property
    def limited(self) -> bool:
        """Whether it counts against a rate: watches, leases and the owner's looks at its cluster do not."""
        return self.verb not in EXEMPT and not self.look and "leases" not in self.resource


@contextmanager
def asked(server: ApiServer) -> Iterator[list[Asked]]:
    """The controller's requests to ``server``, from now on."""
    found: list[Asked] = []
    inner, loop = server.note, asyncio.get_running_loop()

    def note(request: Request, user: User, subject: Subject, answer: Any) -> None:
        if ("user-agent", USER_AGENT) in request.headers:
            status = answer.status if isinstance(answer, Response) else 0
            look = request.path.endswith("/namespaces/kube-system") or ("limit", "1") in request.query
            found.append(Asked(loop.time(), subject.verb, subject.resource, status, look))
        inner(request, user, subject, answer)

    server.note = note  # type: ignore[method-assign]
    try:
        yield found
    finally:
        del server.note  # the method of the class is there again


@contextmanager
def tokens(server: ApiServer) -> Iterator[dict[str, float]]:
    """The loop time at which each token was first used."""
    found: dict[str, float] = {}
    inner, loop = server.handle, asyncio.get_running_loop()

    def handle(request: Request, *, token: str | None) -> Any:
        found.setdefault(token or "", loop.time())
        return inner(request, token=token)

    server.handle = handle  # type: ignore[method-assign]
    try:
        yield found
    finally:
        del server.handle


def watches(server: ApiServer) -> int:
    """Watches that the controller has opened."""
    return server.record.requests(verb="watch", user_agent=USER_AGENT)


def writes(server: ApiServer) -> int:
    """Writes of the controller, refused ones too."""
    return sum(entry.user_agent.startswith(USER_AGENT) for entry in server.record.writes)
