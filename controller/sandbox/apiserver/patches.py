"""PATCH: the patch types, turned into changes for the writer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import yaml

from controller.sandbox.apiserver import failures
from controller.sandbox.apiserver.apply import ApplyConflict, InvalidApply, apply
from controller.sandbox.apiserver.bodies import from_yaml
from controller.sandbox.apiserver.cloning import clone
from controller.sandbox.apiserver.core import Core
from controller.sandbox.apiserver.failures import bad_request, invalid_value, required
from controller.sandbox.apiserver.kinds import Kind
from controller.sandbox.apiserver.options import WriteOptions
from controller.sandbox.apiserver.patch import PatchError, json_patch, merge_patch, strategic_merge_patch
from controller.sandbox.apiserver.schema import DEDUCED
from controller.sandbox.apiserver.storage import Version
from controller.sandbox.apiserver.writer import Mutation, Writer, reset_fields

Json = dict[str, Any]

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"


class Patcher:
    """Carries out patches."""

    def __init__(self, core: Core, writer: Writer) -> None:
        self._core = core
        self._writer = writer

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        subresource: str,
        content_type: str,
        body: bytes,
        options: WriteOptions,
    ) -> tuple[Version, bool]:
        """The patched object, and whether it was created (by apply)."""
        media = content_type.partition(";")[0].strip()
        if media == APPLY:
            return self._apply(kind, namespace, name, subresource, body, options)
        if media not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH) or (media == STRATEGIC_PATCH and kind.custom):
            known = [JSON_PATCH, MERGE_PATCH, *([] if kind.custom else [STRATEGIC_PATCH]), APPLY]
            raise failures.unsupported_media_type(known)
        if options.force is not None:
            fault = failures.forbidden_field("force", "may not be specified for non-apply patch")
            raise failures.invalid("meta.k8s.io", "PatchOptions", "", [fault])
        try:
            patch = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise bad_request(f"error decoding patch: {error}") from None
        live = self._core.need(kind, namespace, name)
        mutate = self._mutation(kind, media, patch)
        return self._writer.update(kind, live, mutate, options, subresource=subresource, patch=True), False

    def _mutation(self, kind: Kind, media: str, patch: Any) -> Mutation:
        if media == JSON_PATCH:
            if not isinstance(patch, list):
                raise bad_request("error decoding patch: json: cannot unmarshal into a list of operations")
            return lambda obj: _guarded(lambda: json_patch(obj, patch))
        if not isinstance(patch, dict):
            raise bad_request("error decoding patch: json: cannot unmarshal into an object")
        if media == MERGE_PATCH:
            return lambda obj: _guarded(lambda: merge_patch(obj, patch))
        schema = kind.schema or DEDUCED
        return lambda obj: _guarded(lambda: strategic_merge_patch(obj, patch, schema))

    def _apply(
        self, kind: Kind, namespace: str, name: str, subresource: str, body: bytes, options: WriteOptions
    ) -> tuple[Version, bool]:
        if not options.manager_given:
            fault = required("fieldManager", "is required for apply patch")
            raise failures.invalid("meta.k8s.io", "PatchOptions", "", [fault])
        applied = _yaml(body)
        resource = kind.resource
        for key, wanted in (("apiVersion", resource.api_version), ("kind", resource.kind)):
            given = applied.get(key)
            if not given:
                raise bad_request(f"{key} must be set")
            if given != wanted:
                raise bad_request(f"the {key} in the data ({given}) does not match the expected one ({wanted})")
        metadata = applied.setdefault("metadata", {})
        if not isinstance(metadata, dict):
            raise bad_request("metadata must be an object")
        metadata.setdefault("name", name)
        if resource.namespaced:
            metadata.setdefault("namespace", namespace)
        live = self._core.find(kind, namespace, name)
        if live is None:
            return self._apply_new(kind, namespace, name, subresource, applied, options), True
        self._check_preconditions(kind, live, metadata)
        old = self._core.view(kind, live)
        merged = self._merge(kind, old, applied, subresource, options)
        merged["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        updated = self._writer.update(
            kind, live, lambda _: merged, options, subresource=subresource, patch=True, managed=True
        )
        return updated, False

    def _apply_new(
        self, kind: Kind, namespace: str, name: str, subresource: str, applied: Json, options: WriteOptions
    ) -> Version:
        if subresource:
            raise failures.not_found(kind.resource, name)
        applied["metadata"].pop("resourceVersion", None)  # only a UID keeps an apply from creating
        if uid := applied["metadata"].get("uid"):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise failures.conflict(kind.resource, name, why)
        made = self._merge(kind, None, applied, "", options)
        return self._writer.create(kind, namespace, made, options, name=name, managed=True)

    def _check_preconditions(self, kind: Kind, live: Version, metadata: Json) -> None:
        version = metadata.pop("resourceVersion", None)
        if version and version != str(live.rv):
            raise failures.modified(kind.resource, live.name)
        uid = metadata.pop("uid", None)
        if uid and uid != live.uid:
            fault = invalid_value("metadata.uid", uid, "field is immutable")
            raise failures.invalid(kind.resource.group, kind.resource.kind, live.name, [fault])

    def _merge(self, kind: Kind, old: Json | None, applied: Json, subresource: str, options: WriteOptions) -> Json:
        try:
            return apply(
                old,
                clone(applied),
                manager=options.manager,
                force=bool(options.force),
                schema=kind.schema,
                api_version=kind.resource.api_version,
                subresource=subresource,
                now=self._core.now(),
                reset=reset_fields(kind, subresource),
            )
        except ApplyConflict as error:
            raise failures.Failure(409, "Conflict", str(error), details={"causes": error.causes}) from None
        except InvalidApply as error:
            raise failures.Failure(error.status, _REASONS.get(error.status, ""), str(error)) from None


_REASONS: Final = {400: "BadRequest", 413: "RequestEntityTooLarge", 422: "Invalid"}


def _guarded(change: Callable[[], Json]) -> Json:
    try:
        return change()
    except PatchError as error:
        message = f"the server rejected our request due to an error in our request: {error}"
        text = message if error.status == 422 else str(error)
        raise failures.Failure(error.status, _REASONS.get(error.status, ""), text, details={}) from None


def _yaml(body: bytes) -> Json:
    """The applied object: JSON, else YAML; raises 400."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            found = from_yaml(body)
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise bad_request(f"error decoding YAML: {error}") from None
    if not isinstance(found, dict):
        raise bad_request("error decoding YAML: not an object")
    return found
