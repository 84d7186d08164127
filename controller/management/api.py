"""The calls of the Management API that the controller makes, each to one ready pod after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from controller.engine.worker import describe
from controller.kube import errors
from controller.management.pods import Pod
from controller.management.replication import Replication, parse_replication, parse_versions, settings
from controller.management.routes import Call, Route

CALL_DEADLINE: Final = 20.0  # s for one pod's answer
VERSIONS_DEADLINE: Final = 30.0  # s; a node asks all others first, and waits 10 s for those that are down
ALL_DEADLINE: Final = 60.0  # s for all pods together

_KEYSPACE: Final = "/api/v0/ops/keyspace"
_VERSIONS: Final = "/api/v1/ops/node/schema/versions"


class ManagementApiUnreachable(errors.KubeError):
    """No pod gave a usable answer; the text names pod and call, and the way out."""


class SchemaDisagreement(errors.KubeError):
    """The nodes do not all have the same schema yet: changes wait."""


class ManagementApi:
    """The Management API of one datacenter. ``where`` names it in messages; ``routes`` in the order of preference.

    A route that the role does not grant gives way to the next one. Every method raises ``ManagementApiUnreachable``,
    ``ClusterUnavailable`` when the cluster itself is away, and ``WritesForbidden``.
    """

    def __init__(self, where: str, pods: Sequence[Pod], routes: Sequence[Route]) -> None:
        self._where = where
        self._pods = list(pods)
        self._routes = list(routes)

    async def replication(self, keyspace: str) -> Replication | None:
        """How a keyspace is kept now; None when there is none of that name."""
        call = Call("GET", f"{_KEYSPACE}/replication", (("keyspaceName", keyspace),), deadline=CALL_DEADLINE)
        answer = await self._ask(call)
        return None if answer is None else self._parsed(call, parse_replication, answer)

    async def keyspaces(self) -> list[str]:
        """The names of all keyspaces."""
        call = Call("GET", _KEYSPACE, deadline=CALL_DEADLINE)
        answer = await self._ask(call)
        if not isinstance(answer, list) or not all(isinstance(name, str) for name in answer):
            raise self._unusable(call, "the keyspaces are no list of names")
        return answer

    async def agreed(self) -> bool:
        """Whether all nodes that can be reached have one schema."""
        call = Call("GET", _VERSIONS, deadline=VERSIONS_DEADLINE)
        return len(self._parsed(call, parse_versions, await self._ask(call))) == 1

    async def change(self, keyspace: str, replicas: Mapping[str, int], *, create: bool = False) -> None:
        """Keep a keyspace so from now on. Raises ``SchemaDisagreement`` instead when the nodes do not agree."""
        if not await self.agreed():
            raise SchemaDisagreement(f"{self._where}: the nodes do not agree on the schema yet")
        path = f"{_KEYSPACE}/{'create' if create else 'alter'}"
        call = Call("POST", path, body=settings(keyspace, replicas), deadline=CALL_DEADLINE)
        if await self._send(call) is None:
            raise self._unusable(call, "not found")

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    async def _ask(self, call: Call) -> Any:
        """The decoded answer; None when what is asked for does not exist."""
        body = await self._send(call)
        return None if body is None else self._parsed(call, _decoded, body)

    def _parsed(self, call: Call, parse: Any, answer: Any) -> Any:
        try:
            return parse(answer)
        except errors.Malformed as error:
            raise self._unusable(call, str(error)) from None

    def _unusable(self, call: Call, why: str) -> ManagementApiUnreachable:
        pod = self._pods[0] if self._pods else "?"
        return ManagementApiUnreachable(f"{self._where}: pod {pod} answered to {call} what cannot be used: {why}")

    async def _send(self, call: Call) -> bytes | None:
        """The body of the first good answer, None for 404. Who answered is asked first the next time."""
        if not self._pods:
            raise ManagementApiUnreachable(f"{self._where}: no pod is ready to be asked ({call})")
        loop = asyncio.get_running_loop()
        due = loop.time() + ALL_DEADLINE
        failures: list[str] = []
        for pod in tuple(self._pods):
            left = due - loop.time()
            if left <= 0:
                break
            try:
                return await self._over_routes(pod, call, min(call.deadline, left))
            except errors.KindNotFound:
                return None
            except (errors.ClusterUnavailable, errors.WritesForbidden, errors.RateLimited):
                raise
            except errors.KubeError as error:
                failures.append(f"pod {pod} did not answer to {call}: {describe(error)}")
                self._pods.append(self._pods.pop(0))
                if call.method != "GET" and not isinstance(error, (errors.ApiError, errors.ConnectFailed)):
                    break  # it may have been carried out: what is so is read first
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise ManagementApiUnreachable(f"{self._where}: {failures[0] if failures else call}{more}")

    async def _over_routes(self, pod: Pod, call: Call, deadline: float) -> bytes:
        while True:
            try:
                return await self._routes[0].send(pod, call, deadline)
            except errors.Forbidden as error:
                # Of the role, not of the pod: for all pods alike.
                if error.reason != "Forbidden" or len(self._routes) == 1:
                    raise
                self._routes.pop(0)


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise errors.Malformed("not JSON") from None
