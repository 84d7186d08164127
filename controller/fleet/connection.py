"""Keeps one remote cluster connected: from a ClientConfig's Secret to a client that answers."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from random import Random
from typing import Annotated, Final

import anyio
import msgspec

from controller.engine.backoff import Backoff
from controller.fleet import state
from controller.fleet.cluster import Cluster
from controller.fleet.state import ClusterState, Reason
from controller.kube import errors, kubeconfig
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.credentials import StaticCredentials, same_connection
from controller.kube.objects import Object
from controller.kube.resources import SECRETS

KUBECONFIG_KEY: Final = "kubeconfig"
PROBE_INTERVAL: Final = 10.0  # s between two looks at a healthy cluster
CONFIRM_INTERVAL: Final = 1.5  # s between a failed look and the next
FAILURES_TO_LOSE: Final = 3  # failed looks in a row after which a connected cluster counts as lost
PROBE_DEADLINE: Final = 5.0  # s for one look
RETRY_CAP: Final = 5.0  # s; the longest wait between two attempts to reach a cluster that is away

MakeClient = Callable[[StaticCredentials, str], Client]  # credentials and context


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

    ``who`` names the ClientConfig in messages, as ``namespace/name``. ``find_secret`` gives the Secret's head from
    the control plane's cache (None while it is absent); ``wake`` is to be called when it changed.
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
    ) -> None:
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
        self._problem: ConfigProblem | None = None
        self._used: Access | None = None  # what the present client was made of
        self._credentials: StaticCredentials | None = None
        self._client: Client | None = None
        self._failures = 0

    def wake(self) -> None:
        """The Secret may have changed: look at once."""
        self._changed.set()

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
                    wait = CONFIRM_INTERVAL if self._failures else PROBE_INTERVAL
                else:
                    wait = backoff.next()
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    pass
        finally:
            with anyio.CancelScope(shield=True):  # closing sockets takes loop turns that a cancelled task does not get
                await self._drop()

    # ── the Secret ──────────────────────────────────────────────────────────────────────────────────

    async def _judge_secret(self) -> None:
        """Bring ``_wanted`` up to date with the Secret; report what is wrong with it."""
        found = self._local.cache.get(SECRETS, self._namespace, self._secret_name)
        if found is None:
            self._seen, self._wanted = "absent", None
            await self._drop()
            self._cluster.update(
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
            self._seen, self._problem = seen, problem
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

    def _refuse(self, refusal: ClusterState) -> None:
        """A Secret that cannot be used: the last good one goes on working, if there is one."""
        if self._used is not None and self._cluster.state.usable:
            self._wanted = self._used
            self._cluster.update(
                ClusterState(
                    True,
                    Reason.ROTATION_FAILED,
                    f"the last good credentials are still in use; {refusal.message}",
                    self._cluster.state.server_version,
                )
            )
        else:
            self._wanted = None
            self._cluster.update(refusal)

    # ── the cluster ─────────────────────────────────────────────────────────────────────────────────

    async def _look(self) -> bool:
        """One look at the cluster with what the Secret says now; True while it is usable."""
        wanted = self._wanted
        assert wanted is not None
        if self._client is not None and self._used is not None and self._credentials is not None:
            if wanted != self._used and same_connection(self._used, wanted):
                self._credentials.replace(wanted.token)  # watches stay open
                self._used = wanted
            if wanted == self._used:
                return await self._probe(self._client)
        return await self._connect(wanted)

    async def _connect(self, wanted: Access) -> bool:
        """A new client beside the present one, which goes only when the new one has answered."""
        client: Client | None = None
        try:
            credentials = StaticCredentials(wanted)
            client = self._make_client(credentials, self._cluster.context)
            version = await _version(client)
        except errors.KubeError as error:
            if client is not None:
                await client.close()
            if self._client is not None and self._cluster.state.usable:
                self._refuse(state.of_error(error))
                self._wanted = wanted  # tried again at the next look: the new address may only be late
                return await self._probe(self._client)
            self._cluster.update(state.of_error(error))
            return False
        former, self._client = self._client, client
        self._credentials, self._used = credentials, wanted
        self._failures = 0
        self._cluster.connect(client)
        self._cluster.update(_connected(version))
        if former is not None:
            await former.close()
        return True

    async def _probe(self, client: Client) -> bool:
        try:
            version = await _version(client)
        except (errors.Unauthorized, errors.TLSFailed) as error:
            self._failures = FAILURES_TO_LOSE
            self._cluster.update(state.of_error(error))
        except errors.KubeError as error:
            self._failures += 1
            if self._failures >= FAILURES_TO_LOSE:
                self._cluster.update(state.of_error(error))
        else:
            self._failures = 0
            if self._problem is None and self._wanted == self._used:
                self._cluster.update(_connected(version))
        return self._cluster.state.usable

    async def _drop(self) -> None:
        """Disconnect and forget the credentials; nothing in the remote cluster is touched."""
        client, self._client = self._client, None
        self._used = self._credentials = None
        self._failures = 0
        if client is not None:
            self._cluster.disconnect()
            await client.close()


async def _version(client: Client) -> str:
    body = await client.raw("GET", "/version", deadline=PROBE_DEADLINE)
    try:
        return errors.clean(msgspec.json.decode(body, type=_Version).git_version, 64)
    except msgspec.MsgspecError:
        raise errors.Malformed("/version is not what an API server answers") from None


def _connected(version: str) -> ClusterState:
    return ClusterState(True, Reason.CONNECTED, f"connected, Kubernetes {version}" if version else "connected", version)
