"""What is known of one cluster's connection, as everybody may read it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from controller.kube import errors


class Phase(StrEnum):
    """Where a cluster's connection stands."""

    UNKNOWN = "Unknown"  # nothing was tried yet
    CONNECTING = "Connecting"
    READY = "Ready"
    SUSPECT = "Suspect"  # a look failed: reads go on, no new change begins
    UNREACHABLE = "Unreachable"
    AUTH_FAILED = "AuthFailed"
    FORBIDDEN = "Forbidden"
    CONFIG_INVALID = "ConfigInvalid"
    IDENTITY_MISMATCH = "IdentityMismatch"
    PAUSED = "Paused"


class Reason(StrEnum):
    """The closed list of reasons of a ClientConfig's ``Ready`` condition."""

    CONNECTED = "Connected"
    CONNECTING = "Connecting"
    INVALID_SPEC = "InvalidSpec"
    DUPLICATE_CONTEXT = "DuplicateContext"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 -- a reason, no secret
    SECRET_KEY_MISSING = "SecretKeyMissing"  # noqa: S105 -- a reason, no secret
    KUBECONFIG_TOO_LARGE = "KubeconfigTooLarge"
    KUBECONFIG_MALFORMED = "KubeconfigMalformed"
    INSECURE_KUBECONFIG = "InsecureKubeconfig"
    CONTEXT_NOT_FOUND = "ContextNotFound"
    UNREACHABLE = "Unreachable"
    TLS_ERROR = "TLSError"
    UNAUTHORIZED = "Unauthorized"
    FORBIDDEN = "Forbidden"
    CRD_MISSING = "CRDMissing"
    IDENTITY_CHANGED = "IdentityChanged"
    SAME_CLUSTER = "SameCluster"
    ROTATION_FAILED = "RotationFailed"
    RESTART_REQUIRED = "RestartRequired"


_PHASES: Final = {
    Reason.CONNECTING: Phase.UNKNOWN,
    Reason.UNREACHABLE: Phase.UNREACHABLE,
    Reason.TLS_ERROR: Phase.UNREACHABLE,
    Reason.UNAUTHORIZED: Phase.AUTH_FAILED,
    Reason.FORBIDDEN: Phase.FORBIDDEN,
    Reason.IDENTITY_CHANGED: Phase.IDENTITY_MISMATCH,
    Reason.SAME_CLUSTER: Phase.IDENTITY_MISMATCH,
    Reason.RESTART_REQUIRED: Phase.PAUSED,
}


class ClusterState(msgspec.Struct, frozen=True):
    """A snapshot.

    ``usable``: requests may be sent there. ``message``: a sentence that names cause and way out. ``phase``: what
    ``usable`` and ``reason`` imply unless given. ``since``: loop time at which the phase began, set by ``Cluster``; of
    a cluster that was under suspicion meanwhile, at which it became usable.
    ``cluster_uid``: the UID of the cluster's namespace kube-system, "" while not known. ``note``: what is worth
    saying of a cluster that is usable nevertheless.
    """

    usable: bool
    reason: Reason
    message: str = ""
    server_version: str = ""
    phase: Phase = Phase.UNKNOWN
    since: float = 0.0
    cluster_uid: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if self.phase is Phase.UNKNOWN:
            phase = Phase.READY if self.usable else _PHASES.get(self.reason, Phase.CONFIG_INVALID)
            msgspec.structs.force_setattr(self, "phase", phase)

    @property
    def shown(self) -> ClusterState:
        """What conditions and events say: a cluster under suspicion is shown as it was, whenever that began."""
        phase = Phase.READY if self.phase is Phase.SUSPECT else self.phase
        return msgspec.structs.replace(self, phase=phase, since=0.0)


UNKNOWN: Final = ClusterState(False, Reason.CONNECTING, "not connected yet")


def of_error(error: errors.KubeError) -> ClusterState:
    """The state that a failed attempt to reach a cluster means."""
    match error:
        case errors.TLSFailed():
            return ClusterState(
                False,
                Reason.TLS_ERROR,
                f"{error}; compare the kubeconfig's CA and server name with the server's certificate",
            )
        case errors.Unauthorized():
            return ClusterState(
                False,
                Reason.UNAUTHORIZED,
                "the server refuses the kubeconfig's credentials (401): the token or certificate is expired, "
                "revoked or another cluster's; register the cluster again",
            )
        case errors.Forbidden():
            return ClusterState(
                False,
                Reason.FORBIDDEN,
                f"the credentials are good but may not do this: {error}; apply manifests/data-plane there",
            )
        case errors.AddressNotAllowed():
            return ClusterState(False, Reason.INSECURE_KUBECONFIG, f"the kubeconfig's server {error}")
        case _:
            return ClusterState(False, Reason.UNREACHABLE, f"{type(error).__name__}: {error}")
