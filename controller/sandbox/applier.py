"""Applies manifests of any kind through an API server's own discovery, as kubectl would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from controller.kube.client import Client
from controller.kube.errors import KubeError
from controller.kube.objects import Object, decode
from controller.kube.resources import CRDS, Resource

MANAGER: Final = "sandbox"


class ManifestError(KubeError):
    """A manifest cannot be applied; the text names the file or object and the way out."""


class _ApiResource(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool


class _ApiResourceList(msgspec.Struct):
    resources: list[_ApiResource]


class Applier:
    """Applies objects to one server; kinds are looked up once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kinds: dict[tuple[str, str], Resource] = {}

    async def apply(self, manifest: Mapping[str, Any], *, namespace: str = "default") -> Object:
        """Create or change one object by server-side apply; ``namespace`` is for one that names none.

        A CustomResourceDefinition is established when this returns.
        """
        resource = await self.resource(manifest)
        metadata = manifest.get("metadata") or {}
        place = (metadata.get("namespace") or namespace) if resource.namespaced else ""
        applied = await self._client.apply(
            resource, place, str(metadata.get("name", "")), manifest, field_manager=MANAGER
        )
        if resource == CRDS:
            await self._wait_established(applied)
        return applied

    async def apply_all(self, manifests: Iterable[Mapping[str, Any]], *, namespace: str = "default") -> list[Object]:
        """One after the other, in order."""
        return [await self.apply(manifest, namespace=namespace) for manifest in manifests]

    async def resource(self, manifest: Mapping[str, Any]) -> Resource:
        """The kind of a manifest as the server serves it. Raises ``ManifestError``."""
        api_version, kind = str(manifest.get("apiVersion", "")), str(manifest.get("kind", ""))
        if (known := self._kinds.get((api_version, kind))) is not None:
            return known
        group, _, version = api_version.rpartition("/")
        probe = Resource(group, version, kind, "")
        try:
            found = decode(await self._client.raw("GET", probe.group_path), _ApiResourceList)
        except KubeError as error:
            raise ManifestError(f"the server does not serve {api_version}: {error}") from None
        for entry in found.resources:
            if entry.kind == kind and "/" not in entry.name:
                resource = Resource(group, version, kind, entry.name, entry.namespaced)
                self._kinds[api_version, kind] = resource
                return resource
        raise ManifestError(f"the server does not serve kind {kind} of {api_version}")

    async def _wait_established(self, crd: Object) -> None:
        name, version = crd.head.name, crd.head.resource_version
        if _established(crd):
            return
        stream = await self._client.watch(
            CRDS, field_selector=f"metadata.name={name}", resource_version=version, timeout_seconds=30
        )
        try:
            while events := await stream.read():
                for event in events:
                    found = getattr(event, "object", None)
                    if isinstance(found, Object) and _established(found):
                        return
        finally:
            await stream.close()
        raise ManifestError(f"CustomResourceDefinition {name} was not established within 30 s")


def read_file(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML or JSON file. Raises ``ManifestError`` naming the file and the line."""
    try:
        documents = [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document is not None]
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    for number, document in enumerate(documents, 1):
        if not isinstance(document, dict) or not document.get("kind") or not document.get("apiVersion"):
            raise ManifestError(f"{path}: document {number} has no apiVersion and kind")
    return documents


def _established(crd: Object) -> bool:
    conditions = (crd.decode(dict).get("status") or {}).get("conditions") or []
    return any(entry.get("type") == "Established" and entry.get("status") == "True" for entry in conditions)
