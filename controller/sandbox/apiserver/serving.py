"""What both fronts share: carrying a request to the server, with the faults that a test asked for."""

from __future__ import annotations

import asyncio

from controller.kube.transport import Request, Response
from controller.sandbox.apiserver.routes import subject_of
from controller.sandbox.apiserver.server import ApiServer, refusal
from controller.sandbox.apiserver.watches import Watch


async def dispatch(server: ApiServer, request: Request, token: str | None) -> Response | Watch | None:
    """The server's answer; None when a fault breaks the connection instead."""
    subject = subject_of(request)
    fault = server.faults.take(subject)
    if fault is None:
        return server.handle(request, token=token)
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.effect == "reset":
        return None
    if fault.status:
        answer = refusal(fault.failure())
        server.note(request, server.accounts.admin, subject, answer)
        return answer
    answered = server.handle(request, token=token)
    if fault.effect == "lose":
        if isinstance(answered, Watch):
            answered.end()
        return None
    return answered
