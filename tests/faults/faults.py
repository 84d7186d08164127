"""What may be wrong with the way to a server: one class for each kind of fault, as it shows at the transport."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from controller.kube import errors
from controller.kube.transport import Request, Response
from controller.kube.watch import INITIAL_EVENTS_END

if TYPE_CHECKING:
    from tests.faults.path import Lines, Path

CONNECT: Final = 3.0  # s for TCP and TLS together
RESOLVE: Final = 2.0  # s for a name
LOST: Final = "the connection broke"


class Fault:
    """No fault at all: what others change. One object is one occurrence."""

    swallows: ClassVar[bool] = False  # nothing arrives over open connections
    idle: ClassVar[float | None] = None  # s without a line after which a proxy ends a stream

    def __init__(self) -> None:
        self.began = 0.0

    def begin(self, path: Path) -> None:
        """What happens at once."""

    def end(self, path: Path) -> None:
        """What happens when it is over."""

    async def connect(self, path: Path) -> None:
        """A new connection is to be opened."""

    async def answer(self, path: Path, request: Request) -> Response | None:
        """What comes instead of the server's answer; the request is not carried out then."""
        return None

    async def deliver(self, path: Path, request: Request, response: Response) -> Response:
        """An answer on its way back."""
        return response

    def rewrite(self, path: Path, request: Request) -> Request:
        """A watch on its way to the server."""
        return request

    async def lines(self, stream: Lines, lines: list[bytes]) -> list[bytes]:
        """Lines of a watch on their way back."""
        return lines


# ── the network ─────────────────────────────────────────────────────────────────────────────────────


class Cutting(Fault):
    """Whatever is open breaks when it begins."""

    def begin(self, path: Path) -> None:
        path.cut()


class Refused(Cutting):
    """Nobody listens."""

    async def connect(self, path: Path) -> None:
        raise errors.ConnectFailed("Connection refused")


class Reset(Fault):
    """Connections break again and again; a request may have been carried out before."""

    EVERY: ClassVar[float] = 4.0  # s

    def __init__(self) -> None:
        super().__init__()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, path: Path) -> None:
        path.cut()
        self._timer = asyncio.get_running_loop().call_later(self.EVERY, self.begin, path)

    def end(self, path: Path) -> None:
        assert self._timer is not None
        self._timer.cancel()


class Lost(Fault):
    """Every change is carried out, and its answer lost with the connection."""

    async def deliver(self, path: Path, request: Request, response: Response) -> Response:
        if request.method == "GET":
            return response
        raise errors.ConnectionLost(LOST)


class BlackHole(Fault):
    """Nothing arrives in either direction, and nobody is told; of requests nothing arrives later either."""

    swallows = True

    async def connect(self, path: Path) -> None:
        await asyncio.sleep(CONNECT)
        raise errors.ConnectFailed(f"no connection within {CONNECT:g} s")

    async def answer(self, path: Path, request: Request) -> Response | None:
        await for_ever()
        return None

    async def deliver(self, path: Path, request: Request, response: Response) -> Response:
        await for_ever()
        return response


class HalfOpen(Fault):
    """The other side has forgotten what was open; new connections are good."""

    def begin(self, path: Path) -> None:
        path.kill()


class Frozen(Fault):
    """A load balancer keeps open what leads to a server that is gone; new connections lead to another one."""

    def begin(self, path: Path) -> None:
        path.kill(acknowledged=True)


class NoSuchName(Cutting):
    """DNS answers that there is no such host."""

    async def connect(self, path: Path) -> None:
        raise errors.NameResolutionFailed("the name cannot be resolved")


class NameHangs(Cutting):
    """DNS does not answer."""

    async def connect(self, path: Path) -> None:
        await asyncio.sleep(RESOLVE)
        raise errors.NameResolutionFailed(f"the name was not resolved within {RESOLVE:g} s")


class HandshakeHangs(Cutting):
    """TCP connects, TLS does not."""

    async def connect(self, path: Path) -> None:
        await asyncio.sleep(CONNECT)
        raise errors.ConnectFailed(f"no connection within {CONNECT:g} s")


class WrongAuthority(Cutting):
    """Somebody with another certificate answers."""

    async def connect(self, path: Path) -> None:
        raise errors.TLSFailed("certificate verify failed: self-signed certificate")


class Lossy(Fault):
    """Three in ten packets are lost: TCP sends them again, later and later, and gives up connecting in the end."""

    LOSS: ClassVar[float] = 0.3
    SYN: ClassVar[float] = 1.0  # s until the first packet of a connection is sent again, then twice as long
    DATA: ClassVar[float] = 0.2  # s, of a round trip that is short

    def __init__(self) -> None:
        super().__init__()
        self._rng = Random(30)

    def _delay(self, first: float) -> float:
        """Seconds until a packet and its acknowledgement have arrived."""
        delay = 0.0
        while self._rng.random() < self.LOSS:
            delay += first
            first *= 2
        return delay

    async def connect(self, path: Path) -> None:
        delay = self._delay(self.SYN)
        await asyncio.sleep(min(delay, CONNECT))
        if delay >= CONNECT:
            raise errors.ConnectFailed(f"no connection within {CONNECT:g} s")

    async def answer(self, path: Path, request: Request) -> Response | None:
        await asyncio.sleep(self._delay(self.DATA))
        return None

    async def deliver(self, path: Path, request: Request, response: Response) -> Response:
        await asyncio.sleep(self._delay(self.DATA))
        return response

    async def lines(self, stream: Lines, lines: list[bytes]) -> list[bytes]:
        await asyncio.sleep(self._delay(self.DATA))
        return lines


class Flaky(Fault):
    """Three in ten connections, exchanges and batches of lines break, as behind a proxy that is ill."""

    SHARE: ClassVar[float] = 0.3

    def __init__(self) -> None:
        super().__init__()
        self._rng = Random(30)

    def _strike(self) -> bool:
        return self._rng.random() < self.SHARE

    async def connect(self, path: Path) -> None:
        if self._strike():
            raise errors.ConnectFailed("no route to host")

    async def deliver(self, path: Path, request: Request, response: Response) -> Response:
        if self._strike():
            raise errors.ConnectionLost(LOST)
        return response

    async def lines(self, stream: Lines, lines: list[bytes]) -> list[bytes]:
        if self._strike():
            stream.lose()
            raise errors.ConnectionLost(LOST)
        return lines


class Trickle(Fault):
    """All that comes back comes slowly, though never so slowly that a deadline passes."""

    ANSWER: ClassVar[float] = 1.5  # s
    LINE: ClassVar[float] = 0.5  # s

    async def deliver(self, path: Path, request: Request, response: Response) -> Response:
        await asyncio.sleep(self.ANSWER)
        return response

    async def lines(self, stream: Lines, lines: list[bytes]) -> list[bytes]:
        await asyncio.sleep(self.LINE * len(lines))
        return lines


class IdleCut(Fault):
    """A proxy ends streams over which nothing was sent for a minute."""

    idle = 60.0


class Buffering(Fault):
    """A proxy passes on what a stream sends when it has 64 KiB of it, or the stream ends."""

    SIZE: ClassVar[int] = 64 * 1024

    def end(self, path: Path) -> None:
        path.cut_streams()  # it is restarted

    async def lines(self, stream: Lines, lines: list[bytes]) -> list[bytes]:
        stream.held += lines
        if sum(map(len, stream.held)) < self.SIZE:
            return []
        passed, stream.held = stream.held, []
        return passed


# ── what the server answers ─────────────────────────────────────────────────────────────────────────


class Answering(Fault):
    """Some requests get an error instead of an answer; watches end when it begins, so that they ask again."""

    status: ClassVar[int]
    reason: ClassVar[str] = ""
    retry_after: ClassVar[int | None] = None
    plural: ClassVar[str] = ""  # of the kind it is about; "" for all
    cuts: ClassVar[bool] = True

    def begin(self, path: Path) -> None:
        if self.cuts:
            path.cut_streams()

    def strikes(self, request: Request) -> bool:
        return not self.plural or f"/{self.plural}" in request.path

    async def answer(self, path: Path, request: Request) -> Response | None:
        return refusal(self.status, self.reason, self.retry_after) if self.strikes(request) else None


class Unauthorized(Answering):
    """The server does not know the token."""

    status = 401
    reason = "Unauthorized"


class Forbidden(Answering):
    """The role for one kind was taken away."""

    status = 403
    reason = "Forbidden"
    plural = "cassandradatacenters"


class NotServed(Answering):
    """A kind is not installed, or the server does not know yet that it is; what was there stays."""

    status = 404
    plural = "cassandradatacenters"

    async def answer(self, path: Path, request: Request) -> Response | None:
        if self.strikes(request) or request.path == "/apis/cassandra.datastax.com/v1beta1":  # discovery
            return Response(status=404, headers={"content-type": "text/plain"}, body=b"404 page not found\n")
        return None


class Expired(Answering):
    """Every watch from a version is too old."""

    status = 410
    reason = "Expired"

    def strikes(self, request: Request) -> bool:
        query = dict(request.query)
        return query.get("watch") == "true" and query.get("resourceVersion", "") != ""


class ExpiredAgain(Answering):
    """Every list and watch is too old, whatever it asks for."""

    status = 410
    reason = "Expired"

    def strikes(self, request: Request) -> bool:
        return request.method == "GET" and is_list(request)


class RefusesStreamingLists(Answering):
    """A server that does not allow ``sendInitialEvents``; versions are too old, so lists are needed."""

    status = 422
    reason = "Invalid"

    async def answer(self, path: Path, request: Request) -> Response | None:
        query = dict(request.query)
        if query.get("sendInitialEvents") == "true":
            return refusal(422, "Invalid")
        if query.get("watch") == "true" and query.get("resourceVersion") and not self._listed(path, request):
            return refusal(410, "Expired")
        return None

    def __init__(self) -> None:
        super().__init__()
        self._expired: set[str] = set()

    def _listed(self, path: Path, request: Request) -> bool:
        """Whether this kind's version was refused before."""
        known = request.path in self._expired
        self._expired.add(request.path)
        return known


class MarkerMissing(RefusesStreamingLists):
    """A server that ignores ``sendInitialEvents``: nothing marks the end of what exists."""

    async def answer(self, path: Path, request: Request) -> Response | None:
        if dict(request.query).get("sendInitialEvents") == "true":
            return None
        return await super().answer(path, request)

    async def lines(self, stream: Lines, lines: list[bytes]) -> list[bytes]:
        return [line for line in lines if INITIAL_EVENTS_END.encode() not in line]


class Throttling(Answering):
    """429 with Retry-After: 5, but for the probes, which servers exempt."""

    status = 429
    reason = "TooManyRequests"
    retry_after = 5

    def strikes(self, request: Request) -> bool:
        return request.path not in ("/version", "/readyz")


class InternalError(Answering):
    status = 500
    reason = "InternalError"


class Unavailable(Answering):
    status = 503
    reason = "ServiceUnavailable"


class GatewayTimeout(Answering):
    status = 504
    reason = "Timeout"


# ── what streams send ───────────────────────────────────────────────────────────────────────────────


class Truncated(Fault):
    """The first line of every batch is cut in half."""

    def begin(self, path: Path) -> None:
        path.cut_streams()

    async def lines(self, stream: Lines, lines: list[bytes]) -> list[bytes]:
        return [lines[0][: len(lines[0]) // 2], *lines[1:]]


class Duplicated(Fault):
    """Every line comes twice."""

    async def lines(self, stream: Lines, lines: list[bytes]) -> list[bytes]:
        return [line for line in lines for _ in range(2)]


class TimeTravel(Fault):
    """Another API server answers, whose cache is some versions behind: watches begin earlier than asked."""

    BY: ClassVar[int] = 25  # versions

    def begin(self, path: Path) -> None:
        path.cut_streams()

    def rewrite(self, path: Path, request: Request) -> Request:
        query = [
            (key, str(max(1, int(value) - self.BY)) if key == "resourceVersion" and value.isdecimal() else value)
            for key, value in request.query
        ]
        return msgspec.structs.replace(request, query=tuple(query))


class HugeEvent(Fault):
    """Datacenters come in lines of 3 MiB: an annotation that nobody asked for."""

    SIZE: ClassVar[int] = 3 * 2**20

    async def lines(self, stream: Lines, lines: list[bytes]) -> list[bytes]:
        return [self._padded(line) for line in lines]

    def _padded(self, line: bytes) -> bytes:
        event: dict[str, Any] = json.loads(line)
        if event["type"] not in ("ADDED", "MODIFIED") or event["object"].get("kind") != "CassandraDatacenter":
            return line
        event["object"]["metadata"].setdefault("annotations", {})["example.com/padding"] = "x" * self.SIZE
        return json.dumps(event, separators=(",", ":")).encode()


# ── what people do ──────────────────────────────────────────────────────────────────────────────────


class Rotated(Fault):
    """The account's token is revoked, and the Secret names a new one a moment later."""

    LATE: ClassVar[float] = 0.5  # s

    def begin(self, path: Path) -> None:
        token = path.world.new_token(path.context)
        asyncio.get_running_loop().call_later(
            self.LATE, lambda: path.world.put_secret(path.context, path.context, path.context, token=token)
        )


class Moved(Cutting):
    """The address leads to another cluster, which has the same CA and knows the same token."""

    def begin(self, path: Path) -> None:
        path.server = path.world.make_server(path.context, name="another", like=path.context)
        super().begin(path)

    def end(self, path: Path) -> None:
        wrong = [seen for seen in path.server.record.writes if seen.user_agent == "controller" and seen.status < 300]
        path.server = path.world.servers[path.context]
        path.cut()
        path.strays += len([entry for entry in wrong if not entry.subject.resource.startswith("selfsubject")])


class ClockJumps(Fault):
    """Somebody sets the wall clock wrong by ten years, and then right again."""

    def begin(self, path: Path) -> None:
        path.world.clock.offset = timedelta(days=3650)

    def end(self, path: Path) -> None:
        path.world.clock.offset = timedelta()


async def for_ever() -> None:
    """Until somebody loses patience."""
    await asyncio.get_running_loop().create_future()


def is_list(request: Request) -> bool:
    """Whether a GET is a list or a watch: its path ends in a plural, and its query says how to list."""
    query = dict(request.query)
    return "limit" in query or query.get("watch") == "true"


def refusal(status: int, reason: str = "", retry_after: int | None = None) -> Response:
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "a fault",
        "reason": reason,
        "code": status,
    }
    headers = {"content-type": "application/json"}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    return Response(status=status, headers=headers, body=json.dumps(body).encode())
