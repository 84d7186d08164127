"""What both fronts share: carrying a request to the server, with the faults that a test asked for."""

from __future__ import annotations

import asyncio

from controller.kube.transport import Request, Response
from controller.sandbox.apiserver.faults import Subject
from controller.sandbox.apiserver.pod_proxy import is_proxied, proxied
from controller.sandbox.apiserver.routes import subject_of
from controller.sandbox.apiserver.server import ApiServer, refusal
from controller.sandbox.apiserver.watches import Watch


async def dispatch(server: ApiServer, request: Request, token: str | None) -> Response | Watch | None:
    """The server's answer; None when a fault breaks the connection instead."""
    subject = subject_of(request)
    fault = server.faults.take(subject)
    if fault is None:
        return await _served(server, request, token, subject)
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.effect == "reset":
        return None
    if fault.status:
        answer = refusal(fault.failure())
        server.note(request, server.accounts.admin, subject, answer)
        return answer
    answered = await _served(server, request, token, subject)
    if fault.effect == "lose":
        if isinstance(answered, Watch):
            answered.end()
        return None
    return answered


async def _served(server: ApiServer, request: Request, token: str | None, subject: Subject) -> Response | Watch:
    if is_proxied(subject):
        return await proxied(server, request, token, subject)
    return server.handle(request, token=token)
