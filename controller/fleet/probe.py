"""Looks at a cluster: does it answer, does it know us, may we do our work there?"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec

from controller.kube import errors
from controller.kube.client import Client
from controller.kube.resources import Resource

T = TypeVar("T")

RIGHTS_DEADLINE: Final = 4.0  # s for the look at our rights: a quorum read, where /version is answered from memory


class _Version(msgspec.Struct):
    git_version: Annotated[str, msgspec.Meta(max_length=64)] = msgspec.field(default="", name="gitVersion")


async def within(seconds: float, call: Coroutine[Any, Any, T]) -> T:
    """What ``call`` returns; raises ``DeadlineExceeded`` when that takes longer."""
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError:
        raise errors.DeadlineExceeded(f"no answer within {seconds:g} s") from None


async def version(client: Client, deadline: float) -> str | None:
    """The server's version; "" when it knows us and tells us nothing, None when it has no time to tell.

    Hardened clusters keep their version to themselves. Raises ``KubeError`` for any other answer, and for none.
    """
    try:
        body = await client.raw("GET", "/version", deadline=deadline)
    except errors.Forbidden:
        return ""
    except errors.TooManyRequests:
        return None
    try:
        return errors.clean(msgspec.json.decode(body, type=_Version).git_version, 64)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise errors.Malformed("/version is not what an API server answers") from None


async def rights(client: Client, resource: Resource, namespaces: Sequence[str]) -> None:
    """Look whether ``resource`` may be listed in any of ``namespaces``; raises ``Forbidden`` when in none.

    A kind that the cluster does not serve, a server without time, and whatever else it has against the question say
    nothing about rights; that it fails or does not know us is raised, as are errors on the way to it.
    """
    refused: errors.Forbidden | None = None
    for namespace in namespaces:
        try:
            await within(RIGHTS_DEADLINE, client.list_page(resource, namespace, limit=1, metadata_only=True))
        except errors.Forbidden as error:
            refused = error
        except errors.ApiError as error:
            if isinstance(error, errors.Unauthorized | errors.ServerError):
                raise
            return
        else:
            return
    if refused is not None:
        raise refused
