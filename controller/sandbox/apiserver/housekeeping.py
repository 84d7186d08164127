"""What kube-controller-manager does besides collecting garbage: namespaces, accounts, tokens, CRDs."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final

from controller.kube.resources import CRDS, NAMESPACES, SECRETS, SERVICE_ACCOUNTS, SERVICES
from controller.sandbox.apiserver.accounts import Accounts
from controller.sandbox.apiserver.core import Core, User
from controller.sandbox.apiserver.crds import CLEANUP, accepted_status, condition, kinds_of
from controller.sandbox.apiserver.options import DeleteOptions, WriteOptions
from controller.sandbox.apiserver.remover import Remover
from controller.sandbox.apiserver.selectors import selected
from controller.sandbox.apiserver.storage import Collection, Event, Version
from controller.sandbox.apiserver.strategies import SA_NAME, TOKEN_TYPE
from controller.sandbox.apiserver.writer import Writer

Json = dict[str, Any]

CLUSTER_ROLES: Final = "clusterroles.rbac.authorization.k8s.io"
SA_UID: Final = "kubernetes.io/service-account.uid"
INTERNAL: Final = WriteOptions(
    user=User("system:kube-controller-manager"), manager="kube-controller-manager", validation="Ignore"
)


class Housekeeping:
    """Reacts to what was committed; ``step`` does what has piled up."""

    def __init__(
        self, core: Core, writer: Writer, remover: Remover, accounts: Accounts, ca_pem: Callable[[], bytes]
    ) -> None:
        self._core = core
        self._writer = writer
        self._remover = remover
        self._accounts = accounts
        self._ca_pem = ca_pem
        self._dirty: dict[tuple[str, str], None] = {}  # collection and key, in order
        core.storage.observers.append(self._observe)

    @property
    def idle(self) -> bool:
        return not self._dirty

    def _observe(self, collection: Collection, event: Event) -> None:
        name, version = collection.name, event.version
        if name in (NAMESPACES.name, SERVICE_ACCOUNTS.name):
            self._dirty[name, version.key] = None
        elif name == SECRETS.name:
            if version.fields.get("type") == TOKEN_TYPE:
                self._dirty[name, version.key] = None
        elif name == SERVICES.name and event.type == "DELETED":
            self._core.addresses.release(version.decode())
        elif name == CLUSTER_ROLES:
            self._dirty[name, ""] = None
        if name == CRDS.name:
            self._define(event)
            self._dirty[name, version.key] = None
        elif event.type == "DELETED":
            self._emptier(collection, version)

    def _emptier(self, collection: Collection, version: Version) -> None:
        """Something is gone: a namespace or CRD may be waiting for just that."""
        namespace = self._core.namespace(version.namespace) if version.namespace else None
        if namespace is not None and namespace.deleting:
            self._dirty[NAMESPACES.name, namespace.key] = None
        definition = self._core.storage.collection(CRDS.name).get(collection.name)
        if definition is not None and definition.deleting:
            self._dirty[CRDS.name, definition.key] = None

    def step(self) -> None:
        """Do what has piled up, once."""
        dirty, self._dirty = self._dirty, {}
        work = {
            NAMESPACES.name: self._tend_namespace,
            SERVICE_ACCOUNTS.name: self._tend_account,
            SECRETS.name: self._tend_token,
            CRDS.name: self._tend_definition,
            CLUSTER_ROLES: self._aggregate,
        }
        for name, key in dirty:
            work[name](key)

    # ── namespaces ──────────────────────────────────────────────────────────────────────────────────

    def _tend_namespace(self, name: str) -> None:
        namespace = self._core.namespace(name)
        if namespace is None:
            return
        if not namespace.deleting:
            self._furnish(name)
            return
        left = 0
        for kind in list(self._core.registry):
            if not kind.resource.namespaced or kind.resource.version != kind.storage_version:
                continue
            collection = self._core.collection(kind)
            for key in list(collection.within(collection.keys, name)):
                version = collection.objects[key]
                if not version.deleting and self._remover.delete(kind, version, DeleteOptions()).gone:
                    continue
                left += 1
        namespaces = self._core.storage.collection(NAMESPACES.name)
        obj = namespace.decode()
        if left:
            self._say_content_remains(namespaces, namespace, obj)
            return
        finalizers = [f for f in (obj.get("spec") or {}).get("finalizers") or () if f != "kubernetes"]
        obj["spec"] = {"finalizers": finalizers} if finalizers else {}
        if finalizers or namespace.finalizers:
            if obj["spec"] != (namespace.decode().get("spec") or {}):
                namespaces.put(obj)
            return
        namespaces.remove(namespace.key)

    def _say_content_remains(self, namespaces: Collection, namespace: Version, obj: Json) -> None:
        status = obj.setdefault("status", {})
        if any(c.get("type") == "NamespaceContentRemaining" for c in status.get("conditions") or ()):
            return
        message = "Some resources are remaining: they have finalizers"
        status["conditions"] = [
            condition("NamespaceContentRemaining", "SomeResourcesRemain", message, self._core.now()),
            condition("NamespaceFinalizersRemaining", "SomeFinalizersRemain", message, self._core.now()),
        ]
        namespaces.put(obj)

    def _furnish(self, namespace: str) -> None:
        """Every namespace has a default account."""
        kind = self._core.registry.stored(SERVICE_ACCOUNTS.name)
        if kind is not None and self._core.find(kind, namespace, "default") is None:
            self._writer.create(kind, namespace, {"metadata": {"name": "default"}}, INTERNAL)

    # ── accounts and their tokens ───────────────────────────────────────────────────────────────────

    def _tend_account(self, key: str) -> None:
        namespace = key.partition("/")[0]
        self._dirty[NAMESPACES.name, namespace] = None
        secrets = self._core.storage.collection(SECRETS.name)
        for secret in list(secrets.within(secrets.keys, namespace)):
            if secrets.objects[secret].fields.get("type") == TOKEN_TYPE:
                self._dirty[SECRETS.name, secret] = None

    def _tend_token(self, key: str) -> None:
        """Fill in a token Secret, or delete it with its account."""
        secrets = self._core.storage.collection(SECRETS.name)
        secret = secrets.get(key)
        kind = self._core.registry.stored(SECRETS.name)
        if secret is None or secret.deleting or kind is None:
            return
        obj = secret.decode()
        annotations = obj["metadata"].get("annotations") or {}
        account = self._core.storage.collection(SERVICE_ACCOUNTS.name).get(
            f"{secret.namespace}/{annotations.get(SA_NAME, '')}"
        )
        if account is None or annotations.get(SA_UID, account.uid) != account.uid:
            self._remover.delete(kind, secret, DeleteOptions())
            return
        data = dict(obj.get("data") or {})
        wanted = {"ca.crt": self._ca_pem(), "namespace": secret.namespace.encode()}
        if not data.get("token"):
            wanted["token"] = self._accounts.secret_token(secret, account).encode()
        data |= {name: base64.b64encode(value).decode() for name, value in wanted.items()}

        def filled(secret_object: Json) -> Json:
            secret_object["data"] = data
            secret_object["metadata"]["annotations"] = annotations | {SA_UID: account.uid}
            return secret_object

        self._writer.update(kind, secret, filled, INTERNAL)

    # ── roles ───────────────────────────────────────────────────────────────────────────────────────

    def _aggregate(self, _: str) -> None:
        """Give every aggregating ClusterRole the rules of those that it selects."""
        roles = self._core.storage.collection(CLUSTER_ROLES)
        for role in list(roles.objects.values()):
            obj = role.decode()
            selectors = (obj.get("aggregationRule") or {}).get("clusterRoleSelectors")
            if not selectors:
                continue
            rules: list[Json] = []
            for key in roles.keys:
                other = roles.objects[key]
                if other is role or not any(selected(selector, other.labels) for selector in selectors):
                    continue
                rules += [rule for rule in other.decode().get("rules") or () if rule not in rules]
            if rules != (obj.get("rules") or []):
                obj["rules"] = rules
                roles.put(obj)

    # ── CRDs ────────────────────────────────────────────────────────────────────────────────────────

    def _define(self, event: Event) -> None:
        """Serve what a CRD says from now on; a changed spec ends the watches of its kinds."""
        registry = self._core.registry
        definition = event.version.decode()
        before = event.previous.decode() if event.type == "MODIFIED" and event.previous is not None else None
        if before is not None and before["spec"] == definition["spec"]:
            return
        collection = self._core.storage.collection(event.version.name)
        for kind in [k for k in registry if k.custom and k.collection == event.version.name]:
            registry.remove(kind)
        if event.type != "DELETED":
            for kind in kinds_of(definition):
                registry.add(kind)
                if kind.resource.version == kind.storage_version:
                    collection.describe(kind.strategy.fields, kind)
        if event.type != "ADDED":
            collection.interrupt()

    def _tend_definition(self, name: str) -> None:
        definitions = self._core.storage.collection(CRDS.name)
        version = definitions.get(name)
        if version is None:
            return
        obj = version.decode()
        if version.deleting:
            self._empty(version, obj, definitions)
            return
        status = accepted_status(obj, self._core.now())
        if status != obj.get("status"):
            obj["status"] = status
            definitions.put(obj)

    def _empty(self, definition: Version, obj: Json, definitions: Collection) -> None:
        """Delete all objects of a CRD, then let it go."""
        collection = self._core.storage.collection(definition.name)
        kind = self._core.registry.stored(definition.name)
        for version in list(collection.objects.values()):
            if kind is not None and not version.deleting:
                self._remover.delete(kind, version, DeleteOptions())
        conditions = (obj.get("status") or {}).get("conditions") or []
        if collection.objects:
            if not any(c["type"] == "Terminating" for c in conditions):
                message = "CustomResource deletion is in progress"
                now = self._core.now()
                obj["status"]["conditions"] = [
                    *conditions,
                    condition("Terminating", "InstanceDeletionInProgress", message, now),
                ]
                definitions.put(obj)
            return
        if CLEANUP in definition.finalizers:
            obj["metadata"]["finalizers"] = [f for f in definition.finalizers if f != CLEANUP]
            if obj["metadata"]["finalizers"]:
                definitions.put(obj)
            else:
                definitions.remove(definition.key)
