"""Creating and changing objects: the way every write takes, whoever asked for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from controller.kube.resources import NAMESPACES
from controller.sandbox.apiserver import failures
from controller.sandbox.apiserver.apply import RESET_BY_MAIN, RESET_BY_STATUS, track_update
from controller.sandbox.apiserver.core import Core
from controller.sandbox.apiserver.failures import Fault
from controller.sandbox.apiserver.kinds import Kind
from controller.sandbox.apiserver.metadata import SERVER_OWNED, identify, malformed, ordered, without_times
from controller.sandbox.apiserver.names import metadata_faults, metadata_update_faults
from controller.sandbox.apiserver.options import WriteOptions
from controller.sandbox.apiserver.storage import Version, encode
from controller.sandbox.apiserver.webhooks import Webhooks

Json = dict[str, Any]
_WRONG_TYPE: Final = "FieldValueTypeInvalid"
Mutation = Callable[[Json], Json]


class Writer:
    """Judges writes and commits them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.webhooks: Final = Webhooks(core)

    # ── create ──────────────────────────────────────────────────────────────────────────────────────

    def create(
        self, kind: Kind, namespace: str, body: Any, options: WriteOptions, *, name: str = "", managed: bool = False
    ) -> Version:
        """A new object. ``name``: from the path, of a PUT or apply; ``managed``: its managedFields are set already."""
        core, resource = self._core, kind.resource
        obj = identify(kind, body)
        if kind.has_status and kind.custom:
            obj.pop("status", None)
        metadata = obj["metadata"]
        self._place(kind, metadata, namespace, name)
        self._check_unknown(kind, obj, options)
        for key in SERVER_OWNED:
            metadata.pop(key, None)
        self._default(kind, obj, None, patch=False)
        if not managed:
            self._track(kind, None, obj, "", options)
        if metadata.get("generateName") and not metadata.get("name"):
            metadata["name"] = metadata["generateName"][: 63 - 5] + core.suffix()
        if resource.namespaced:
            self._admit_namespace(kind, metadata)
        metadata["uid"] = core.new_uid()
        metadata["creationTimestamp"] = core.now()
        if kind.strategy.has_generation:
            metadata["generation"] = 1
        kind.strategy.prepare_create(obj, core.context())
        self._judge(kind, obj, kind.strategy.validate(obj))
        if "resourceVersion" in metadata:
            raise failures.Failure(500, "", "resourceVersion should not be set on objects to be created")
        self.webhooks.ask(kind, obj, None, options)
        found = core.find(kind, metadata.get("namespace", ""), metadata["name"])
        if found is not None:
            raise failures.already_exists(resource, metadata["name"], being_deleted=found.deleting)
        return self._commit(kind, obj, None, options)

    def _place(self, kind: Kind, metadata: Json, namespace: str, name: str) -> None:
        """Namespace and name of the path and of the object must agree."""
        if kind.resource.namespaced:
            if metadata.setdefault("namespace", namespace) != namespace:
                raise failures.bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
        else:
            metadata.pop("namespace", None)
        if name and metadata.setdefault("name", name) != name:
            raise failures.bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            )

    def _admit_namespace(self, kind: Kind, metadata: Json) -> None:
        namespace = metadata["namespace"]
        found = self._core.namespace(namespace)
        if found is None:
            raise failures.not_found(NAMESPACES, namespace)
        if found.deleting:
            raise failures.forbidden(
                kind.resource,
                metadata.get("name", ""),
                f"unable to create new content in namespace {namespace} because it is being terminated",
                [
                    {
                        "reason": "NamespaceTerminating",
                        "message": f"namespace {namespace} is being terminated",
                        "field": "metadata.namespace",
                    }
                ],
            )

    # ── change ──────────────────────────────────────────────────────────────────────────────────────

    def update(
        self,
        kind: Kind,
        live: Version,
        mutate: Mutation,
        options: WriteOptions,
        *,
        subresource: str = "",
        patch: bool = False,
        managed: bool = False,
    ) -> Version:
        """Change ``live``. ``mutate`` gets the object to change and returns the new one.

        ``patch``: the new object was made from the live one; ``managed``: its managedFields are set already.
        """
        core = self._core
        old = core.view(kind, live)
        new = identify(kind, mutate(core.view(kind, live)), patch=patch)
        metadata, before = new["metadata"], old["metadata"]
        self._place(kind, metadata, live.namespace, live.name)
        self._check_version(kind, live, metadata)
        _see(kind, new, subresource, lambda part: self._check_unknown(kind, part, options, patch=patch))
        for key in SERVER_OWNED:
            if key in before:
                if key == "generation":
                    metadata[key] = before[key]
                metadata.setdefault(key, before[key])
        metadata["creationTimestamp"] = before["creationTimestamp"]
        new = self._merge_subresource(kind, new, old, subresource)
        _see(kind, new, subresource, lambda part: self._default(kind, part, old, patch=patch))
        if not managed:
            self._track(kind, old, new, subresource, options)
        new["metadata"]["resourceVersion"] = before["resourceVersion"]
        if not subresource:
            kind.strategy.prepare_update(new, old, core.context())
        faults = [*kind.strategy.validate(new), *kind.strategy.validate_update(new, old)]
        self._judge(kind, new, [*metadata_update_faults(new["metadata"], before), *faults], subresource, old)
        if not subresource and self._new_generation(kind, new, old):
            new["metadata"]["generation"] = before.get("generation", 0) + 1
        self.webhooks.ask(kind, new, old, options, subresource)
        return self._commit(kind, new, live, options, old)

    def _check_version(self, kind: Kind, live: Version, metadata: Json) -> None:
        asked = metadata.get("resourceVersion", "")
        if asked in ("", "0"):
            if not kind.strategy.unconditional_update:
                fault = failures.Wrong(
                    "metadata.resourceVersion",
                    "FieldValueInvalid",
                    "Invalid value: 0: must be specified for an update",
                )
                raise failures.invalid(kind.resource.group, kind.resource.kind, live.name, [fault])
        elif asked != str(live.rv):
            raise failures.modified(kind.resource, live.name)

    def _merge_subresource(self, kind: Kind, new: Json, old: Json, subresource: str) -> Json:
        """Of the new object what the subresource may change; of the old one the rest."""
        if subresource == "status":
            merged = old | {"metadata": dict(old["metadata"])}
            for key in ("managedFields", *(() if kind.custom else ("labels", "annotations"))):
                _copy(new["metadata"], merged["metadata"], key)
            _copy(new, merged, "status")
            return merged
        if kind.has_status:
            _copy(old, new, "status")
        return new

    def _new_generation(self, kind: Kind, new: Json, old: Json) -> bool:
        if not kind.strategy.has_generation:
            return False
        if kind.custom:
            skip = ("metadata", "status") if kind.has_status else ("metadata",)
            return {k: v for k, v in new.items() if k not in skip} != {k: v for k, v in old.items() if k not in skip}
        return bool(kind.strategy.generation_content(new) != kind.strategy.generation_content(old))

    def _track(self, kind: Kind, old: Json | None, new: Json, subresource: str, options: WriteOptions) -> None:
        """Record in managedFields who changed what."""
        track_update(
            old,
            new,
            manager=options.manager,
            schema=kind.schema,
            api_version=kind.resource.api_version,
            subresource=subresource,
            now=self._core.now(),
            reset=reset_fields(kind, subresource),
        )

    def _default(self, kind: Kind, obj: Json, old: Json | None, *, patch: bool) -> None:
        """Set defaults; a built-in kind whose fields have other types cannot be read at all."""
        if kind.schema is None:
            return
        metadata = obj.pop("metadata")  # a struct of its own, with rules of its own
        kind.schema.default(obj)
        obj["metadata"] = metadata
        if not kind.custom:
            wrong = [e for e in kind.schema.validate(obj) if _unreadable(e)] or kind.strategy.unreadable(obj)
            if wrong and patch:
                fault = failures.invalid_value("patch", {}, f"{wrong[0].field}: {wrong[0].message}")
                raise failures.invalid("", "", "", [fault])
            if wrong:
                raise malformed(kind, f"{wrong[0].field}: {wrong[0].message}")
        kind.strategy.default(obj, old)

    # ── what both share ─────────────────────────────────────────────────────────────────────────────

    def _check_unknown(self, kind: Kind, obj: Json, options: WriteOptions, *, patch: bool = False) -> None:
        """Drop unknown fields; say so, or refuse, as fieldValidation asks."""
        if kind.schema is None:
            return
        dropped = kind.schema.prune(obj)
        if not dropped or options.validation == "Ignore":
            return
        texts = [f'unknown field "{path}"' for path in dropped]
        if options.validation != "Strict":
            options.warnings.extend(texts)
            return
        sentence = f"strict decoding error: {', '.join(texts)}"
        if patch:
            raise failures.invalid("", "", "", [failures.invalid_value("patch", {}, sentence)])
        raise malformed(kind, sentence)

    def _judge(self, kind: Kind, obj: Json, found: list[Fault], subresource: str = "", old: Json | None = None) -> None:
        resource = kind.resource
        faults: list[Fault] = metadata_faults(
            obj["metadata"],
            kind.strategy.name_rule,
            namespaced=resource.namespaced,
            bare_finalizers=kind.custom,
        )
        faults += found
        if (schema := kind.schema) is not None:
            wrong: list[Fault] = []
            _see(kind, obj, subresource, lambda part: wrong.extend(schema.validate(part, old)))
            faults += [e for e in wrong if _concerns(kind, e, subresource)]
        if faults:
            raise failures.invalid(resource.group, resource.kind, obj["metadata"].get("name", ""), faults)

    def _commit(
        self, kind: Kind, obj: Json, live: Version | None, options: WriteOptions, old: Json | None = None
    ) -> Version:
        """Store the object, unless nothing changed; with the last finalizer of a deleted object it goes."""
        core = self._core
        collection = core.collection(kind)
        stored = core.registry.stored(kind.collection) or kind
        obj = ordered(obj)
        obj["apiVersion"] = stored.resource.api_version
        if live is not None and old is not None:
            changed = without_times(obj | {"apiVersion": old["apiVersion"]}) != without_times(old)
            if not changed and (live.origin is stored or stored is not kind):
                return live
        if options.dry_run:
            return _unstored(obj, live, stored)
        if live is not None and live.deleting and is_final(obj):
            gone = collection.remove(live.key)
            return Version(obj, gone.rv, gone.fields, stored)
        return collection.put(obj)


def reset_fields(kind: Kind, subresource: str) -> tuple[tuple[str, ...], ...]:
    """The fields that nobody comes to own by a write to this endpoint, because it does not write them."""
    if subresource == "status":
        return RESET_BY_STATUS if kind.custom else (("f:spec",),)
    return RESET_BY_MAIN if kind.has_status else ()


def _see(kind: Kind, obj: Json, subresource: str, step: Callable[[Json], object]) -> None:
    """Show a schema step what was written: of a write to a custom status just that, the rest being as it was stored."""
    if not _only_status(kind, subresource):
        step(obj)
        return
    part: Json = {key: obj[key] for key in ("apiVersion", "kind", "metadata", "status") if key in obj}
    step(part)
    _copy(part, obj, "status")


def _concerns(kind: Kind, error: Fault, subresource: str) -> bool:
    """Whether an error is about what was written; a struct's nulls are the fields that it does not have."""
    if not kind.custom:
        return error.reason != _WRONG_TYPE
    return not _only_status(kind, subresource) or error.field.startswith("status")


def _only_status(kind: Kind, subresource: str) -> bool:
    """Whether a write can break nothing outside the status, so that the rest need not be looked at again."""
    across = kind.schema is not None and "x-kubernetes-validations" in kind.schema.rules  # may compare spec and status
    return kind.custom and subresource == "status" and not across


def _unreadable(error: Fault) -> bool:
    """Whether a value has a type that the struct's field cannot hold; null fits everywhere."""
    return error.reason == _WRONG_TYPE and not error.message.endswith('"null"')


def is_final(obj: Json) -> bool:
    """Whether nothing holds a deleted object any more."""
    metadata = obj["metadata"]
    held = metadata.get("finalizers") or (obj["kind"] == "Namespace" and (obj.get("spec") or {}).get("finalizers"))
    return not held and not metadata.get("deletionGracePeriodSeconds")


def _unstored(obj: Json, live: Version | None, origin: object) -> Version:
    """A version that only answers a dry run."""
    version = Version(obj, live.rv if live else 0, {}, origin)
    if live is None:
        del obj["metadata"]["resourceVersion"]
        version.raw = encode(obj)
    return version


def _copy(source: Json, target: Json, key: str) -> None:
    if key in source:
        target[key] = source[key]
    else:
        target.pop(key, None)
