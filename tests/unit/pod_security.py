"""Pod Security, profile "restricted": what a pod's specification may not say, and what it has to.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ as of Kubernetes 1.36, without what is for
Windows, AppArmor, SELinux and sysctls, which must be absent here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

VOLUMES: Final = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
HOST: Final = ("hostNetwork", "hostPID", "hostIPC")

Json = dict[str, Any]


def violations(pod: Json) -> list[str]:
    """The fields of a pod's ``spec`` that break the profile, [] when none does."""
    return [*_of_pod(pod), *(fault for container in _containers(pod) for fault in _of_container(container, pod))]


def _containers(pod: Json) -> list[Json]:
    return [entry for key in ("initContainers", "containers", "ephemeralContainers") for entry in pod.get(key, [])]


def _of_pod(pod: Json) -> Iterator[str]:
    yield from (field for field in HOST if pod.get(field))
    for volume in pod.get("volumes", []):
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"volumes.{volume['name']}"
    yield from (f"securityContext.{field}" for field in ("seLinuxOptions", "sysctls") if _of(pod).get(field))


def _of_container(container: Json, pod: Json) -> Iterator[str]:
    own = _of(container)
    both = {**_of(pod), **own}
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if own.get("privileged"):
        yield "privileged"
    if both.get("runAsNonRoot") is not True:
        yield "runAsNonRoot"
    if both.get("runAsUser", 1) == 0:
        yield "runAsUser"
    if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "seccompProfile"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield "capabilities.drop"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "capabilities.add"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    yield from (
        f"ports.{port['containerPort']}.hostPort" for port in container.get("ports", []) if port.get("hostPort")
    )


def _of(thing: Json) -> Json:
    found: Json = thing.get("securityContext", {})
    return found
