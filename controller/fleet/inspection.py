"""What stands in the way of taking a cluster over from the reference operator: looked at, never changed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from controller.fleet.rights import preflight
from controller.fleet.types import CLIENT_CONFIGS
from controller.fleet.webhooks import Configuration, configurations
from controller.kube import errors
from controller.kube.client import Client
from controller.kube.objects import Object
from controller.kube.resources import CRDS, DEPLOYMENTS, Resource

Verdict: TypeAlias = Literal["blocks", "unknown", "fine"]

OPERATOR: Final = "k8ssandra-operator"
CASS_OPERATOR: Final = "cass-operator"
_NAME: Final = "app.kubernetes.io/name"
# The chart calls the Service <release>-webhook-service, with the chart's name in the release's unless overridden.
_THEIR_WEBHOOKS: Final = frozenset({"vk8ssandracluster.kb.io", "vmedusabackupschedule.kb.io", "mpod.kb.io"})


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. ``verdict``: it stands in the way, could not be looked at, or is fine.

    ``context`` "" is the control plane. ``message`` names the way out where there is something to do.
    """

    context: str
    verdict: Verdict
    subject: str
    message: str


class Inspection(msgspec.Struct, frozen=True):
    """What was found in one cluster. ``stopped``: the reference operator was seen there, and does not run.

    None: nobody could look.
    """

    findings: tuple[Finding, ...]
    stopped: bool | None


class _Container(msgspec.Struct, frozen=True):
    image: str = ""


class _PodSpec(msgspec.Struct, frozen=True):
    containers: list[_Container] = []


class _Template(msgspec.Struct, frozen=True):
    spec: _PodSpec = _PodSpec()


class _DeploymentSpec(msgspec.Struct, frozen=True):
    replicas: int | None = None
    template: _Template = _Template()


class _DeploymentStatus(msgspec.Struct, frozen=True):
    replicas: int | None = None


class _Deployment(msgspec.Struct, frozen=True):
    spec: _DeploymentSpec = _DeploymentSpec()
    status: _DeploymentStatus = _DeploymentStatus()


class _Version(msgspec.Struct, frozen=True):
    subresources: dict[str, object] | None = None


class _DefinitionSpec(msgspec.Struct, frozen=True):
    versions: list[_Version] = []


class _Definition(msgspec.Struct, frozen=True):
    spec: _DefinitionSpec = _DefinitionSpec()


async def inspect(client: Client, context: str, namespaces: Sequence[str], needed: Iterable[Resource]) -> Inspection:
    """Look at one cluster that answers. ``namespaces``: watched there, ("",) is all. ``needed``: kinds it serves."""
    stopped, running = await _deployments(client, context, namespaces)
    findings = [
        *running,
        *[each async for each in _webhooks(client, context)],
        *[each async for each in _kinds(client, context, needed)],
    ]
    if context:
        findings += [each async for each in _rights(client, context, namespaces)]
    return Inspection(tuple(findings), stopped)


# ── who runs ────────────────────────────────────────────────────────────────────────────────────────


async def _deployments(client: Client, context: str, namespaces: Sequence[str]) -> tuple[bool | None, list[Finding]]:
    try:
        try:
            found, namespaces = await client.list_all(DEPLOYMENTS), ("",)
        except errors.Forbidden:
            found = [each for namespace in namespaces for each in await client.list_all(DEPLOYMENTS, namespace)]
    except errors.KubeError as error:
        command = f"kubectl get deployments --all-namespaces -l {_NAME}={OPERATOR}"
        message = f"may not be read ({type(error).__name__}); see for yourself that none runs: {command}"
        return None, [Finding(context, "unknown", f"Deployments of {OPERATOR}", message)]
    theirs = [each for each in found if _is_of(each, OPERATOR)]
    findings = [_running(context, each) for each in theirs]
    if not theirs:
        where = "anywhere" if "" in namespaces else f"in {', '.join(namespaces)}"
        findings.append(Finding(context, "fine", f"Deployments of {OPERATOR}", f"there is none {where}"))
    if context:
        findings += [_cass_operator(context, each) for each in found if _is_of(each, CASS_OPERATOR)]
    return all(each.verdict == "fine" for each in findings[: max(len(theirs), 1)]), findings


def _is_of(found: Object, name: str) -> bool:
    """Whether a Deployment runs an operator: by the chart's labels, or by its image."""
    have = found.head.labels or {}
    if name in (have.get(_NAME), have.get("control-plane")):
        return True
    images = [container.image for container in found.decode(_Deployment).spec.template.spec.containers]
    return any(re.search(rf"(?:^|/){name}(?:[:@]|$)", image) for image in images)


def _running(context: str, found: Object) -> Finding:
    deployment, place = found.decode(_Deployment), f"{found.head.namespace}/{found.head.name}"
    subject = f"Deployment {place}"
    wanted = 1 if deployment.spec.replicas is None else deployment.spec.replicas
    if wanted:
        command = f"kubectl -n {found.head.namespace} scale deployment {found.head.name} --replicas=0"
        return Finding(context, "blocks", subject, f"the reference operator runs ({wanted} wanted): {command}")
    if deployment.status.replicas:
        return Finding(context, "blocks", subject, "is scaled to 0, but its pod is still ending; wait for that")
    return Finding(context, "fine", subject, "is scaled to 0")


def _cass_operator(context: str, found: Object) -> Finding:
    subject = f"Deployment {found.head.namespace}/{found.head.name}"
    if found.decode(_Deployment).spec.replicas == 0:
        command = f"kubectl -n {found.head.namespace} scale deployment {found.head.name} --replicas=1"
        return Finding(context, "blocks", subject, f"cass-operator is scaled to 0, and has to run: {command}")
    return Finding(context, "fine", subject, "cass-operator is there, and stays")


# ── what asks webhooks ──────────────────────────────────────────────────────────────────────────────


async def _webhooks(client: Client, context: str) -> AsyncIterator[Finding]:
    kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
    try:
        found = [each for each in await configurations(client) if _is_theirs(each)]
    except errors.KubeError as error:
        message = f"may not be read ({type(error).__name__}); see for yourself that none is left: kubectl get {kinds}"
        yield Finding(context, "unknown", f"webhook configurations of {OPERATOR}", message)
        return
    for each in found:
        names = ", ".join(webhook.name for webhook in each.webhooks)
        if any(webhook.failure_policy == "Fail" for webhook in each.webhooks):
            message = (
                f"once its operator is gone, nothing that {names} judges can be written, pods of Cassandra among it: "
                f"kubectl delete {each.kind.lower()} {each.name}"
            )
            yield Finding(context, "blocks", str(each), message)
        else:
            yield Finding(context, "fine", str(each), f"{names}: holds up nothing, and may be deleted")
    if not found:
        yield Finding(context, "fine", f"webhook configurations of {OPERATOR}", "there is none")


def _is_theirs(found: Configuration) -> bool:
    if found.labels.get(_NAME) == OPERATOR:
        return True
    return any(
        OPERATOR in webhook.service.name or (webhook.name in _THEIR_WEBHOOKS and _chart_service(webhook.service.name))
        for webhook in found.webhooks
    )


def _chart_service(name: str) -> bool:
    return name.endswith("-webhook-service") and CASS_OPERATOR not in name


# ── what is served, and allowed ─────────────────────────────────────────────────────────────────────


async def _kinds(client: Client, context: str, needed: Iterable[Resource]) -> AsyncIterator[Finding]:
    for resource in needed:
        subject = f"CustomResourceDefinition {resource}"
        try:
            served = await client.served(resource)
        except errors.KubeError as error:
            yield Finding(context, "unknown", subject, f"discovery failed: {type(error).__name__}")
            continue
        if not served:
            remedy = "install cass-operator there" if context else "kubectl apply --server-side -k manifests/crds"
            yield Finding(context, "blocks", subject, f"is not there: {remedy}")
            continue
        message = "is there, and stays"
        if resource == CLIENT_CONFIGS and await _without_status(client):
            message += "; it has no status, so events and metrics tell how the clusters are"
        yield Finding(context, "fine", subject, message)


async def _without_status(client: Client) -> bool:
    """Whether ClientConfigs have no status subresource, as published by the reference operator."""
    try:
        definition = (await client.get(CRDS, "", CLIENT_CONFIGS.name)).decode(_Definition)
    except errors.KubeError:
        return False
    return not any("status" in (version.subresources or {}) for version in definition.spec.versions)


async def _rights(client: Client, context: str, namespaces: Sequence[str]) -> AsyncIterator[Finding]:
    for namespace in namespaces:
        sentences = await preflight(client, namespace or "default")
        for sentence in sentences:
            verdict: Verdict = "fine" if sentence.startswith("OverPrivileged") else "blocks"
            yield Finding(context, verdict, "rights of the ClientConfig's credentials", sentence)
        if not sentences:
            place = f"in {namespace}" if namespace else "everywhere"
            yield Finding(context, "fine", "rights of the ClientConfig's credentials", f"suffice {place}")
