"""Keeps one remote cluster connected: from a ClientConfig's Secret to a client that answers."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from random import Random
from typing import Annotated, Final, Protocol, TypeAlias

import anyio
import msgspec

from controller.engine.backoff import Backoff, jitter
from controller.fleet import state
from controller.fleet.breaker import Guard
from controller.fleet.cluster import Cluster
from controller.fleet.counters import ConnectionCounters
from controller.fleet.state import ClusterState, Reason
from controller.kube import errors, kubeconfig
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.credentials import StaticCredentials, same_connection
from controller.kube.objects import Object
from controller.kube.resources import SECRETS

KUBECONFIG_KEY: Final = "kubeconfig"
CONNECT_DEADLINE: Final = 8.0  # s for the first answer over a new connection: 2 for the name, 3 for TCP and TLS
PROBE_INTERVAL: Final = 3.0  # s ± 20 % between two looks at a healthy cluster
CONFIRM_INTERVAL: Final = 1.5  # s between a failed look and the next
FAILURES_TO_LOSE: Final = 3  # failed looks in a row after which a connected cluster counts as lost
PROBE_DEADLINE: Final = 2.0  # s for one look
RETRY_CAP: Final = 5.0  # s; the longest wait between two attempts to reach a cluster that is away

Verify: TypeAlias = Callable[[Client], Awaitable[ClusterState | None]]
"""Judges a cluster that has answered: None when it is the right one, else the state that keeps it from use.

A state that is usable stops nothing; its ``cluster_uid`` and ``note`` are shown.
"""


class MakeClient(Protocol):
    """Makes a client for the API server of a context.

    ``guard`` goes around everything else of its transport. None: for the owner's own looks, by nothing throttled.
    """

    def __call__(self, credentials: StaticCredentials, context: str, guard: Guard | None = None) -> Client: ...


class _Version(msgspec.Struct):
    git_version: Annotated[str, msgspec.Meta(max_length=64)] = msgspec.field(default="", name="gitVersion")


class _Secret(msgspec.Struct):
    data: dict[str, str] | None = None


class ConfigProblem(Exception):
    """The ClientConfig or its Secret cannot be used as it is; ``state`` says why."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.state = ClusterState(False, reason, message)


class Connection:
    """The connection of one ClientConfig to its cluster.

    ``who`` names the ClientConfig in messages, as ``namespace/name``. The Secret's head comes from the cache of
    ``local``, the control plane; ``wake`` is to be called when it changed.
    """

    def __init__(
        self,
        who: str,
        namespace: str,
        secret_name: str,
        cluster: Cluster,
        *,
        local: Cluster,
        make_client: MakeClient,
        rng: Random,
        allow_proxy: tuple[str, ...] = (),
        verify: Verify | None = None,
    ) -> None:
        self.counters: Final = ConnectionCounters()
        self._verify = verify
        self._who = who
        self._namespace = namespace
        self._secret_name = secret_name
        self._cluster = cluster
        self._local = local
        self._make_client = make_client
        self._rng = rng
        self._allow_proxy = allow_proxy
        self._changed = asyncio.Event()
        self._seen = ""  # the resourceVersion and UID of the Secret that was judged last
        self._wanted: Access | None = None  # what the Secret says now; None while it says nothing usable
        self._problem: ClusterState | None = None  # why the Secret's present content is not in use
        self._used: Access | None = None  # what the present client was made of
        self._credentials: StaticCredentials | None = None
        self._client: Client | None = None
        self._failures = 0
        self._failing = 0  # watches of the cluster that failed when this was last told
        cluster.on_state(self._suspect)

    def wake(self) -> None:
        """The Secret may have changed: look at once."""
        self._changed.set()

    def _suspect(self, cluster: Cluster) -> None:
        """A watch began to fail: the cluster itself may be lost, so do not wait for the next regular look."""
        failing = cluster.failing()
        if failing > self._failing and cluster.state.usable:
            self._changed.set()
        self._failing = failing

    async def run(self) -> None:
        """Connect, look after the connection, follow the Secret; for ever."""
        backoff = Backoff(self._rng, cap=RETRY_CAP)
        try:
            while True:
                self._changed.clear()
                await self._judge_secret()
                wait: float | None
                if self._wanted is None:
                    # Only a change of the Secret can help; a read that failed is tried again.
                    transient = self._seen == ""
                    wait = backoff.next() if transient else None
                elif await self._look():
                    backoff.reset()
                    wait = CONFIRM_INTERVAL if self._failures else jitter(self._rng, PROBE_INTERVAL, 0.2)
                else:
                    wait = backoff.next()
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    pass
        finally:
            await self._drop(ClusterState(False, Reason.CONNECTING, "the connection was closed"))

    # ── the Secret ──────────────────────────────────────────────────────────────────────────────────

    async def _judge_secret(self) -> None:
        """Bring ``_wanted`` up to date with the Secret; report what is wrong with it."""
        found = self._local.cache.get(SECRETS, self._namespace, self._secret_name)
        if found is None:
            self._seen, self._wanted, self._problem = "absent", None, None
            await self._drop(
                ClusterState(
                    False,
                    Reason.SECRET_NOT_FOUND,
                    f"ClientConfig {self._who}: Secret {self._namespace}/{self._secret_name} does not exist; create it "
                    f'with the kubeconfig under the key "{KUBECONFIG_KEY}", or correct spec.kubeConfigSecret.name',
                )
            )
            return
        seen = f"{found.head.uid}/{found.head.resource_version}"
        if seen == self._seen:
            return
        try:
            secret = await self._local.client.get(SECRETS, self._namespace, self._secret_name)
            self._wanted = self._read(secret)
            self._problem = None
            self._seen = f"{secret.head.uid}/{secret.head.resource_version}"
        except ConfigProblem as problem:
            self._seen = seen
            self._refuse(problem.state)
        except errors.NotFound:
            self._seen = ""  # gone between the cache and now: the watch will say so
        except errors.Forbidden:
            self._seen = ""
            message = (
                f"ClientConfig {self._who}: the controller may not read Secret {self._namespace}/{self._secret_name}; "
                f"grant `get` on secrets in namespace {self._namespace}"
            )
            self._refuse(ClusterState(False, Reason.FORBIDDEN, message))
        except errors.KubeError as error:
            self._seen = ""
            if self._used is None:
                self._cluster.update(ClusterState(False, Reason.CONNECTING, f"ClientConfig {self._who}: {error}"))

    def _read(self, secret: Object) -> Access:
        where = f"ClientConfig {self._who}: Secret {self._namespace}/{self._secret_name}"
        try:
            text = (secret.decode(_Secret).data or {}).get(KUBECONFIG_KEY)
            if text is None:
                raise ConfigProblem(
                    Reason.SECRET_KEY_MISSING, f'{where} has no key "{KUBECONFIG_KEY}"; put the kubeconfig there'
                )
            content = base64.b64decode(text, validate=True)
        except (errors.Malformed, binascii.Error):
            raise ConfigProblem(
                Reason.KUBECONFIG_MALFORMED, f'{where}: the value of "{KUBECONFIG_KEY}" is not base64'
            ) from None
        try:
            return kubeconfig.load(content, self._cluster.context, allow_proxy=self._allow_proxy)
        except kubeconfig.KubeconfigError as error:
            raise ConfigProblem(Reason(error.reason), f"{where}: {error}") from None

    def _refuse(self, problem: ClusterState) -> None:
        """A Secret that cannot be used: the last good credentials go on working, if there are any."""
        self._problem = problem
        self._wanted = self._used
        usable = self._cluster.state.usable
        self._cluster.update(_not_rotated(problem, self._cluster.state.server_version) if usable else problem)

    # ── the cluster ─────────────────────────────────────────────────────────────────────────────────

    async def _look(self) -> bool:
        """One look at the cluster with what the Secret says now; True while it is usable."""
        wanted = self._wanted
        assert wanted is not None
        if self._client is not None and wanted == self._used:
            return await self._probe(self._client)
        return await self._take_over(wanted)

    async def _take_over(self, wanted: Access) -> bool:
        """Use ``wanted``, once it has proven itself over a connection of its own; until then all stays as it is."""
        credentials = StaticCredentials(wanted)
        try:
            client = self._make_client(credentials, self._cluster.context)
            try:
                version = await _version(client, CONNECT_DEADLINE)
                refused = await self._verify(client) if self._verify is not None else None
                if refused is not None and not refused.usable:
                    await _close(client)
                    self._refuse(refused)
                    self._wanted = wanted
                    return False
            except BaseException:
                await _close(client)
                raise
        except errors.KubeError as error:
            failure = self._failure(error)
            if self._client is None:
                self._cluster.update(failure)
                return False
            self._refuse(failure)
            self._wanted = wanted  # tried again at the next look: the new address may only be late
            return await self._probe(self._client)
        former = self._client
        if former is not None and self._used is not None and same_connection(self._used, wanted):
            assert self._credentials is not None
            self._credentials.replace(wanted.token)  # watches stay open
            former = client
        else:
            self._client, self._credentials = client, credentials
            self._cluster.connect(client)
        self._used, self._problem = wanted, None
        self._failures = 0
        self._answered(version)
        if former is not None:
            await _close(former)
        return True

    async def _probe(self, client: Client) -> bool:
        try:
            version = await _version(client, PROBE_DEADLINE)
        except errors.KubeError as error:
            # Not even a 401 is believed at once: servers that are starting up answer with it, too.
            self._failures += 1
            if self._failures >= FAILURES_TO_LOSE:
                self._cluster.update(self._problem or self._failure(error))
        else:
            self._failures = 0
            self._answered(version)
        return self._cluster.state.usable

    def _answered(self, version: str) -> None:
        """The client in use has had an answer."""
        self._cluster.answered()
        problem = self._problem
        self._cluster.update(_connected(version) if problem is None else _not_rotated(problem, version))

    def _failure(self, error: errors.KubeError) -> ClusterState:
        failure = state.of_error(error)
        return msgspec.structs.replace(failure, message=f"ClientConfig {self._who}: {failure.message}")

    async def _drop(self, why: ClusterState) -> None:
        """Disconnect and forget the credentials; nothing in the remote cluster is touched."""
        client, self._client = self._client, None
        self._used = self._credentials = None
        self._failures = 0
        if client is None:
            self._cluster.update(why)
            return
        self._cluster.disconnect(why)
        await _close(client)


async def _close(client: Client) -> None:
    with anyio.CancelScope(shield=True):  # closing sockets takes loop turns that a cancelled task does not get
        await client.close()


async def _version(client: Client, deadline: float) -> str:
    """The server's version; "" when it knows us and tells us nothing (hardened clusters keep it to themselves)."""
    try:
        body = await client.raw("GET", "/version", deadline=deadline)
    except errors.Forbidden:
        return ""
    try:
        return errors.clean(msgspec.json.decode(body, type=_Version).git_version, 64)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise errors.Malformed("/version is not what an API server answers") from None


def _not_rotated(problem: ClusterState, version: str) -> ClusterState:
    message = f"the last good credentials are still in use; {problem.message}"
    return ClusterState(True, Reason.ROTATION_FAILED, message, version)


def _connected(version: str) -> ClusterState:
    return ClusterState(True, Reason.CONNECTED, f"connected, Kubernetes {version}" if version else "connected", version)
