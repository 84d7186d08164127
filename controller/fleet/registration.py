"""Registers a data plane: its service account's token becomes a kubeconfig Secret and a ClientConfig."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from controller.fleet import identity
from controller.fleet.object_names import distinct_name, is_object_name, object_name
from controller.fleet.proof import Connect, Proven, prove
from controller.fleet.service_account import AccountToken, bound_token, secret_token
from controller.fleet.types import CLIENT_CONFIGS, ClientConfig, ClientConfigSpec
from controller.fleet.wish import RegistrationError, Wish
from controller.kube import kubeconfig, server_url
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.errors import KubeError, NotFound
from controller.kube.objects import Object
from controller.kube.resources import SECRETS

__all__ = ["Connect", "Registration", "RegistrationError", "Wish", "register"]

KUBECONFIG_KEY: Final = "kubeconfig"
FIELD_MANAGER: Final = "k8ssandra-controller-register"
OWNER_LABEL: Final = "config.k8ssandra.io/registered-by"
OWNER: Final = "k8ssandra-controller"
CONTEXT_ANNOTATION: Final = "config.k8ssandra.io/context"  # context names may be no label values


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What was done. ``changes``: what was written (in a dry run: would be), a phrase each,
    () when everything was right before.

    ``manifests``: the Secret and the ClientConfig as they should be, credentials included. ``expires``: RFC 3339,
    "" for a token that does not end. ``warnings``: sentences for the user.
    """

    context: str
    namespace: str
    name: str
    secret: str
    server: str
    user: str
    expires: str
    changes: tuple[str, ...]
    warnings: tuple[str, ...]
    manifests: tuple[dict[str, Any], ...]

    def __repr__(self) -> str:
        return f"Registration({self.namespace}/{self.name} context={self.context} server={self.server})"


async def register(
    source: Client, source_access: Access, target: Client | None, wish: Wish, connect: Connect
) -> Registration:
    """Register the data plane behind ``source`` in the control plane behind ``target``.

    ``connect`` makes the client that proves the new kubeconfig, before anything is written to the control plane.
    ``target`` None is for a dry run without a control plane. A second run that finds everything right writes nothing.
    Raises ``KubeError``; ``RegistrationError`` when there is something that the user can do.
    """
    wish.check()
    # Before a credential is made: whether there is a place for it.
    place = await _find_place(target, wish)

    if wish.token_lifetime:
        token = await bound_token(source, wish.source_namespace, wish.service_account, wish.token_lifetime)
    else:
        token = await secret_token(source, wish.source_namespace, wish.service_account, create=not wish.dry_run)
    proven = await prove(source_access, token, wish, connect)
    _check_identity(place, wish, proven.cluster_uid)
    secret, client_config = _manifests(place, wish, proven)
    changes: list[str] = []
    if target is not None:
        changes += await _write_secret(target, place, wish, secret, proven)
        changes += await _write_client_config(target, place, wish, client_config)
    return Registration(
        context=wish.context,
        namespace=wish.namespace,
        name=place.name,
        secret=place.secret,
        server=proven.access.server,
        user=proven.user,
        expires=token.expires,
        changes=tuple(changes),
        warnings=(*proven.warnings, *_warnings(proven, token)),
        manifests=(secret, client_config),
    )


# ── the place in the control plane ──────────────────────────────────────────────────────────────────


class _Metadata(msgspec.Struct):
    annotations: dict[str, str] | None = None


class _Secret(msgspec.Struct):
    metadata: _Metadata
    data: dict[str, str] | None = None
    immutable: bool = False


class _Place(msgspec.Struct):
    """The names to use, and what is there already."""

    name: str
    secret: str
    found: Object | None = None
    spec: ClientConfigSpec | None = None
    found_secret: Object | None = None


async def _find_place(target: Client | None, wish: Wish) -> _Place:
    if target is None:
        name = wish.name or object_name(wish.context)
        return _Place(name, f"{name}-config")
    try:
        found = {obj.head.name: obj for obj in await target.list_all(CLIENT_CONFIGS, wish.namespace)}
    except NotFound:
        raise RegistrationError(
            f"the control plane does not know {CLIENT_CONFIGS}: install its custom resource definitions first"
        ) from None
    specs = {name: _spec(obj) for name, obj in found.items()}
    ours = [name for name, spec in specs.items() if (spec.context_name or name) == wish.context]
    if wish.name:
        others = [name for name in ours if name != wish.name]
        if others:
            raise RegistrationError(
                f"ClientConfig {wish.namespace}/{others[0]} has this context already: delete it, or leave out --name"
            )
        name = wish.name
    elif ours:
        name = min(ours)
    else:
        name = object_name(wish.context)
        if name in found:  # two contexts that read alike
            name = distinct_name(wish.context)
    if name in found and (specs[name].context_name or name) != wish.context and not wish.force:
        raise RegistrationError(
            f"ClientConfig {wish.namespace}/{name} is of another context: choose another --name, or --force"
        )
    place = _Place(name, f"{name}-config", found.get(name), specs.get(name))
    if place.spec is not None and is_object_name(place.spec.kube_config_secret.name):
        place.secret = place.spec.kube_config_secret.name
    try:
        place.found_secret = await target.get(SECRETS, wish.namespace, place.secret)
    except NotFound:
        return place
    noted = (place.found_secret.decode(_Secret).metadata.annotations or {}).get(CONTEXT_ANNOTATION)
    if noted not in (None, wish.context) and not wish.force:
        raise RegistrationError(
            f"Secret {wish.namespace}/{place.secret} is of another context: choose another --name, or --force"
        )
    return place


def _spec(obj: Object) -> ClientConfigSpec:
    try:
        return obj.decode(ClientConfig).spec
    except KubeError:  # somebody's broken ClientConfig is not ours
        return ClientConfigSpec()


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────


def _manifests(place: _Place, wish: Wish, proven: Proven) -> tuple[dict[str, Any], dict[str, Any]]:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": place.secret,
            "namespace": wish.namespace,
            "labels": {OWNER_LABEL: OWNER},
            "annotations": {CONTEXT_ANNOTATION: wish.context},
        },
        "type": "Opaque",
        "data": {KUBECONFIG_KEY: b64encode(proven.kubeconfig).decode()},
    }
    client_config: dict[str, Any] = {
        "apiVersion": CLIENT_CONFIGS.api_version,
        "kind": CLIENT_CONFIGS.kind,
        "metadata": {"name": place.name, "namespace": wish.namespace, "labels": {OWNER_LABEL: OWNER}},
        "spec": {"contextName": wish.context, "kubeConfigSecret": {"name": place.secret}},
    }
    if proven.cluster_uid:
        client_config["metadata"]["annotations"] = {identity.ANNOTATION: proven.cluster_uid}
    return secret, client_config


def _check_identity(place: _Place, wish: Wish, uid: str) -> None:
    """Raise unless the cluster is the one that the ClientConfig was pinned to, or nobody knows."""
    if _is_another(place.found, uid) and not wish.force:
        raise RegistrationError(
            f"ClientConfig {wish.namespace}/{place.name} is of another cluster: annotation {identity.ANNOTATION} says "
            f"{identity.pinned(place.found)}, this cluster's namespace {identity.NAMESPACE} has UID {uid}: choose "
            "another --name and --context-name, or --force to go over to this cluster"
        )


def _is_another(found: Object | None, uid: str) -> bool:
    return bool(uid) and identity.pinned(found) not in ("", uid)


async def _write_secret(
    target: Client, place: _Place, wish: Wish, manifest: dict[str, Any], proven: Proven
) -> list[str]:
    what = f"Secret {wish.namespace}/{place.secret}"
    found = place.found_secret
    if found is None:
        if not wish.dry_run:
            await target.create(SECRETS, wish.namespace, manifest, field_manager=FIELD_MANAGER)
        return [f"{what} created"]
    decoded = found.decode(_Secret)
    if _holds(decoded, wish.context, proven.access):
        return []
    _may_overwrite(what, found, wish)
    if decoded.immutable:
        raise RegistrationError(f"{what} is immutable: delete it and run again")
    patch = {"metadata": _metadata_patch(found, manifest), "data": manifest["data"]}
    if not wish.dry_run:
        await target.patch(SECRETS, wish.namespace, place.secret, patch, kind="merge", field_manager=FIELD_MANAGER)
    return [f"{what} updated"]


async def _write_client_config(target: Client, place: _Place, wish: Wish, manifest: dict[str, Any]) -> list[str]:
    what = f"ClientConfig {wish.namespace}/{place.name}"
    found, spec = place.found, place.spec
    if found is None or spec is None:
        if not wish.dry_run:
            await target.create(CLIENT_CONFIGS, wish.namespace, manifest, field_manager=FIELD_MANAGER)
        return [f"{what} created"]
    same = (spec.context_name or place.name) == wish.context and spec.kube_config_secret.name == place.secret
    uid = manifest["metadata"].get("annotations", {}).get(identity.ANNOTATION, "")
    if same and not _is_another(found, uid):
        return []
    _may_overwrite(what, found, wish)
    patch = {"metadata": _metadata_patch(found, manifest), "spec": manifest["spec"]}
    if not wish.dry_run:
        await target.patch(CLIENT_CONFIGS, wish.namespace, place.name, patch, kind="merge", field_manager=FIELD_MANAGER)
    return [f"{what} updated"]


def _holds(secret: _Secret, context: str, access: Access) -> bool:
    """Whether the Secret's kubeconfig says the same already, however it is written."""
    try:
        data = b64decode((secret.data or {}).get(KUBECONFIG_KEY, ""), validate=True)
        return kubeconfig.load(data, context) == access
    except (ValueError, kubeconfig.KubeconfigError):
        return False


def _may_overwrite(what: str, found: Object, wish: Wish) -> None:
    if not wish.force and (found.head.labels or {}).get(OWNER_LABEL) != OWNER:
        raise RegistrationError(
            f"{what} exists and was not made by register (no label {OWNER_LABEL}={OWNER}): "
            f"--force takes it over, --name chooses another"
        )


def _metadata_patch(found: Object, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Our labels and annotations; uid and resourceVersion make the write fail if anything changed meanwhile."""
    wanted = {key: value for key, value in manifest["metadata"].items() if key in ("labels", "annotations")}
    return {**wanted, "uid": found.head.uid, "resourceVersion": found.head.resource_version}


def _warnings(proven: Proven, token: AccountToken) -> list[str]:
    warnings, access = [], proven.access
    if not proven.cluster_uid:
        warnings.append(
            f"The account may not read namespace {identity.NAMESPACE}, so the controller cannot tell this cluster from "
            f"another one at its address: apply manifests/data-plane there."
        )
    if server_url.is_loopback(server_url.split(access.server).host):
        warnings.append(
            f"{access.server} is a loopback address: only a controller that runs on this machine, outside a cluster, "
            f"can use it. --server gives the address that the control plane can reach; of a kind cluster that is "
            f"https://<cluster>-control-plane:6443."
        )
    if token.expires:
        warnings.append(
            f"The token ends at {token.expires}, and nobody renews it but a controller with --renew-tokens: else run "
            "register again before."
        )
    return warnings
