"""What is known of one cluster's connection, as everybody may read it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from controller.kube import errors


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
    ROTATION_FAILED = "RotationFailed"
    RESTART_REQUIRED = "RestartRequired"


class ClusterState(msgspec.Struct, frozen=True):
    """A snapshot. ``usable``: requests may be sent there. ``message``: a sentence that names cause and way out."""

    usable: bool
    reason: Reason
    message: str = ""
    server_version: str = ""


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
                f"the credentials are good but may not do this: {error}; apply the data-plane role",
            )
        case errors.AddressNotAllowed():
            return ClusterState(False, Reason.INSECURE_KUBECONFIG, str(error))
        case _:
            return ClusterState(False, Reason.UNREACHABLE, str(error))
