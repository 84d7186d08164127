"""The Secret of one ClientConfig: how its cluster is reached, or why it cannot be."""

from __future__ import annotations

import base64
from typing import Final

import msgspec

from controller.fleet.cluster import Cluster
from controller.fleet.probe import within
from controller.fleet.state import ClusterState, Reason
from controller.kube import errors, kubeconfig
from controller.kube.access import Access
from controller.kube.objects import Object
from controller.kube.resources import SECRETS

KUBECONFIG_KEY: Final = "kubeconfig"
READ_DEADLINE: Final = 3.0  # s; the cluster that is connected must not go unwatched while the control plane hangs


class Verdict(msgspec.Struct, frozen=True):
    """What a Secret says: an ``access``, or the ``problem`` with it.

    ``absent``: there is no such Secret. ``transient``: it could not be read, and may be if asked again.
    """

    access: Access | None = None
    problem: ClusterState | None = None
    absent: bool = False
    transient: bool = False


class _Content(msgspec.Struct):
    data: dict[str, str] | None = None


class _Problem(Exception):
    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.state = ClusterState(False, reason, message)


class KubeconfigSecret:
    """Reads Secret ``name`` of ``namespace``, whose head comes from the cache of ``local``, the control plane.

    ``who`` names the ClientConfig in messages, as ``namespace/name``; ``context`` is the one to take.
    """

    def __init__(
        self, who: str, namespace: str, name: str, context: str, local: Cluster, allow_proxy: tuple[str, ...]
    ) -> None:
        self._who = who
        self._namespace = namespace
        self._name = name
        self._context = context
        self._local = local
        self._allow_proxy = allow_proxy
        self._judged: str | None = None  # UID and version of the Secret that was judged last, "" when it was absent

    def rename(self, name: str) -> None:
        """The ClientConfig names another Secret now."""
        self._name = name
        self.forget()

    def forget(self) -> None:
        """Judge anew the next time, whatever was judged before."""
        self._judged = None

    def changed(self) -> bool:
        """Whether the Secret is another one than was judged last."""
        return self._present() != self._judged

    async def judge(self) -> Verdict | None:
        """What the Secret says now; None when that was said before."""
        present = self._present()
        if present == self._judged:
            return None
        if not present:
            self._judged = present
            return Verdict(problem=self._absence(), absent=True)
        try:
            secret = await within(READ_DEADLINE, self._local.client.get(SECRETS, self._namespace, self._name))
            self._judged = _identity(secret)
            return Verdict(access=self._read(secret))
        except _Problem as problem:
            self._judged = present
            return Verdict(problem=problem.state)
        except errors.Forbidden:
            message = (
                f"ClientConfig {self._who}: the controller may not read Secret {self._namespace}/{self._name}; "
                f"grant `get` on secrets in namespace {self._namespace}"
            )
            return Verdict(problem=ClusterState(False, Reason.FORBIDDEN, message), transient=True)
        except errors.KubeError as error:
            # Also NotFound: it is gone between the cache and now, and the watch will say so.
            message = f"ClientConfig {self._who}: {error}"
            return Verdict(problem=ClusterState(False, Reason.CONNECTING, message), transient=True)

    def _present(self) -> str:
        """UID and version of the Secret as it is in the cache, "" when it is not."""
        found = self._local.cache.get(SECRETS, self._namespace, self._name)
        return "" if found is None else _identity(found)

    def _absence(self) -> ClusterState:
        return ClusterState(
            False,
            Reason.SECRET_NOT_FOUND,
            f"ClientConfig {self._who}: Secret {self._namespace}/{self._name} does not exist; create it "
            f'with the kubeconfig under the key "{KUBECONFIG_KEY}", or correct spec.kubeConfigSecret.name',
        )

    def _read(self, secret: Object) -> Access:
        where = f"ClientConfig {self._who}: Secret {self._namespace}/{self._name}"
        try:
            text = (secret.decode(_Content).data or {}).get(KUBECONFIG_KEY)
            if text is None:
                raise _Problem(
                    Reason.SECRET_KEY_MISSING, f'{where} has no key "{KUBECONFIG_KEY}"; put the kubeconfig there'
                )
            content = base64.b64decode(text, validate=True)
        except (errors.Malformed, ValueError):
            raise _Problem(
                Reason.KUBECONFIG_MALFORMED, f'{where}: the value of "{KUBECONFIG_KEY}" is not base64'
            ) from None
        try:
            return kubeconfig.load(content, self._context, allow_proxy=self._allow_proxy)
        except kubeconfig.KubeconfigError as error:
            raise _Problem(Reason(error.reason), f"{where}: {error}") from None


def _identity(secret: Object) -> str:
    return f"{secret.head.uid}/{secret.head.resource_version}"
