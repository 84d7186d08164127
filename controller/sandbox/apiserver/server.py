"""The embedded API server: a request in, a response or a watch out, without any I/O."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

import msgspec
import trustme

from controller.engine.clock import Clock, SystemClock
from controller.kube.resources import NAMESPACES, Resource
from controller.kube.transport import Request, Response
from controller.sandbox.apiserver import failures, reviews
from controller.sandbox.apiserver.accounts import Accounts
from controller.sandbox.apiserver.authorization import CLUSTER_ADMIN, CLUSTER_ADMINS, Authorization
from controller.sandbox.apiserver.bodies import decoded, header
from controller.sandbox.apiserver.catalog import builtin_registry
from controller.sandbox.apiserver.core import ANONYMOUS, Core, User
from controller.sandbox.apiserver.documents import document
from controller.sandbox.apiserver.failures import Failure, PathNotFound
from controller.sandbox.apiserver.faults import Entry, Faults, Record, Subject
from controller.sandbox.apiserver.garbage import Garbage
from controller.sandbox.apiserver.handlers import Handlers
from controller.sandbox.apiserver.housekeeping import INTERNAL, Housekeeping
from controller.sandbox.apiserver.reader import Reader
from controller.sandbox.apiserver.remover import IMMORTAL, Remover
from controller.sandbox.apiserver.routes import Route, Virtual, resolve, subject_of
from controller.sandbox.apiserver.storage import HISTORY, decode, encode
from controller.sandbox.apiserver.watches import Watch
from controller.sandbox.apiserver.writer import Writer

Json = dict[str, Any]

_READS: Final = frozenset({"", "get", "list", "watch"})


class ApiServer:
    """One embedded API server.

    ``clock`` is the wall clock, ``rng`` the source of UIDs, names and tokens. ``settle_delay``: seconds (of the
    event loop) after a write until garbage collection and the other controllers act on it; None: only when
    ``step`` is called. ``history``: events per kind that a watch can resume over. ``authority``: the CA of its
    certificates, made when it is first needed. ``rbac``: users other than the admin may do what roles allow them,
    not everything.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        name: str = "",
        settle_delay: float | None = 0.0,
        history: int = HISTORY,
        authority: trustme.CA | None = None,
        rbac: bool = False,
    ) -> None:
        self.name = name
        self.settle_delay = settle_delay
        self.core = Core(
            clock=clock or SystemClock(),
            rng=rng or random.SystemRandom(),
            registry=builtin_registry(),
            history=history,
        )
        self.faults = Faults()
        self.record = Record()
        self.reader = Reader(self.core)
        self._authority = authority
        writer, self._remover = Writer(self.core), Remover(self.core)
        self.accounts = Accounts(self.core)
        self.authorization = Authorization(self.core, enforced=rbac)
        self.webhooks = writer.webhooks
        self._handlers = Handlers(self.core, self.reader, writer, self._remover, self.accounts)
        for kind in self.core.registry:
            self.core.collection(kind).describe(kind.strategy.fields, kind)
        self._garbage = Garbage(self.core, self._remover)
        self._housekeeping = Housekeeping(self.core, writer, self._remover, self.accounts, lambda: self.ca_pem)
        self._settling: asyncio.Handle | None = None
        namespaces = self.core.registry.stored(NAMESPACES.name)
        for namespace in ("default", *sorted(IMMORTAL - {"default"}), "kube-node-lease"):
            if namespaces is not None:
                writer.create(namespaces, "", {"metadata": {"name": namespace}}, INTERNAL)
        self.apply_manifest(CLUSTER_ADMIN)
        self.apply_manifest(CLUSTER_ADMINS)
        self.record = Record()  # what it did to itself does not count
        self.settle()

    # ── identity ────────────────────────────────────────────────────────────────────────────────────

    @property
    def admin_token(self) -> str:
        """A bearer token that may do everything."""
        return self.accounts.admin_token

    @property
    def authority(self) -> trustme.CA:
        """The CA that signs this server's certificate."""
        if self._authority is None:
            self._authority = trustme.CA(organization_name=f"sandbox {self.name}".strip())
        return self._authority

    @property
    def ca_pem(self) -> bytes:
        return self.authority.cert_pem.bytes()

    @property
    def resource_version(self) -> int:
        """The resourceVersion of the last write."""
        return self.core.storage.rv

    # ── the one way in ──────────────────────────────────────────────────────────────────────────────

    def handle(self, request: Request, *, token: str | None) -> Response | Watch:
        """Answer one request of the bearer of ``token``; a ``Watch`` needs a running event loop."""
        subject = Subject("")
        user = ANONYMOUS
        try:
            found = self.accounts.authenticate(token) if token else None
            if token and found is None:
                raise failures.unauthorized()
            user = found or ANONYMOUS
            subject = subject_of(request)
            self.authorization.check(user, subject, request)
            answer = self._answer(request, user)
        except Failure as failure:
            answer = refusal(failure)
        except PathNotFound:
            answer = Response(
                status=404, headers={"content-type": "text/plain; charset=utf-8"}, body=b"404 page not found\n"
            )
        self.note(request, user, subject, answer)
        return answer

    def note(self, request: Request, user: User, subject: Subject, answer: Response | Watch) -> None:
        """Count a request, log it when it was a write, and let the controllers act on it."""
        agent = header(request, "user-agent")
        self.record.counts[subject.verb, subject.resource, agent] += 1
        if subject.verb in _READS or isinstance(answer, Watch):
            return
        version = str(self.resource_version) if answer.status < 300 else ""
        now = self.core.clock.now()
        self.record.writes.append(Entry(now, user.name, agent, subject, answer.status, version))
        self._settle_soon()

    def _answer(self, request: Request, user: User) -> Response | Watch:
        route = resolve(self.core.registry, request)
        if isinstance(route, Route):
            if route.subject.verb == "apply" and self.core.find(route.kind, route.namespace, route.name) is None:
                self.authorization.check(user, msgspec.structs.replace(route.subject, verb="create"), request)
            return self._handlers.handle(route, request, user)
        if isinstance(route, Virtual):
            review = encode(self._review(route, request, user))
            return Response(status=201, headers={"content-type": "application/json"}, body=review)
        return document(self.core.registry, request)

    def _review(self, route: Virtual, request: Request, user: User) -> Json:
        if request.method != "POST":
            raise failures.method_not_allowed()
        body = decoded(request)
        made: dict[str, Callable[[], Json]] = {
            "selfsubjectreviews": lambda: reviews.self_review(user, self.core.now()),
            "selfsubjectaccessreviews": lambda: reviews.access_review(body, user, self.authorization),
            "selfsubjectrulesreviews": lambda: reviews.rules_review(body, user, self.authorization),
            "tokenreviews": lambda: reviews.token_review(self.accounts, body),
        }
        if route.plural not in made:
            raise PathNotFound
        return made[route.plural]()

    # ── the controllers ─────────────────────────────────────────────────────────────────────────────

    def step(self) -> bool:
        """One round of garbage collection and housekeeping; whether there is more to do."""
        self._housekeeping.step()
        self._garbage.step()
        return not (self._housekeeping.idle and self._garbage.idle)

    def settle(self, rounds: int = 1000) -> None:
        """Step until nothing is left to do."""
        for _ in range(rounds):
            if not self.step():
                return
        raise RuntimeError("the controllers do not come to rest")

    def _settle_soon(self) -> None:
        if self.settle_delay is None or self._settling is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.settle()
            return
        self._settling = loop.call_later(self.settle_delay, self._settle_now)

    def _settle_now(self) -> None:
        self._settling = None
        self.settle()

    # ── for tests and seeding ───────────────────────────────────────────────────────────────────────

    def compact(self) -> int:
        """Forget all events up to now: older watches and pages get 410."""
        return self.core.storage.compact()

    def drop_watches(self, resource: str = "") -> int:
        """End the open watches of ``plural.group`` ("" for all); returns how many."""
        count = 0
        for name, collection in self.core.storage.collections.items():
            if resource in ("", name):
                count += len(collection.endings)
                collection.interrupt()
        return count

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return sum(len(collection.endings) for collection in self.core.storage.collections.values())

    def inject(self, resource: Resource, obj: Json) -> int:
        """Store an object as it is, unchecked, and tell the watches; returns its resourceVersion.

        For benchmarks, and for objects that no API would let in.
        """
        collection = self.core.storage.collection(resource.name)
        metadata = obj["metadata"]
        metadata.setdefault("uid", self.core.new_uid())
        return collection.put(obj).rv

    def apply_manifest(self, manifest: Json) -> Json:
        """Create an object, or replace it when it is there; returns it. Raises ``Failure``."""
        kind = self.core.registry.named(manifest.get("apiVersion", ""), manifest.get("kind", ""))
        if kind is None:
            raise failures.bad_request(f"no kind {manifest.get('kind')!r} in {manifest.get('apiVersion')!r}")
        metadata = manifest.get("metadata") or {}
        namespace = metadata.get("namespace") or "default" if kind.resource.namespaced else ""
        path = kind.resource.path(namespace, metadata.get("name", ""))
        live = self.core.find(kind, namespace, metadata.get("name", ""))
        request = Request(method="POST", path=kind.resource.path(namespace), body=encode(manifest))
        if live is not None:
            content = (("content-type", "application/merge-patch+json"),)
            request = Request(method="PATCH", path=path, headers=content, body=encode(manifest))
        answer = self.handle(request, token=self.admin_token)
        assert isinstance(answer, Response)
        obj: Json = decode(answer.body)
        if answer.status >= 300:
            raise Failure(answer.status, obj.get("reason", ""), obj.get("message", ""))
        return obj


def refusal(failure: Failure) -> Response:
    """The response that says so."""
    headers = {"content-type": "application/json", **failure.headers}
    return Response(status=failure.code, headers=headers, body=encode(failure.status()))
