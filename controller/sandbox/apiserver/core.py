"""What every room of the server shares: storage, kinds, clock, randomness, and views of stored objects."""

from __future__ import annotations

import random
import uuid
from typing import Any, Final

import msgspec

from controller.engine.clock import Clock, rfc3339
from controller.kube.resources import NAMESPACES
from controller.sandbox.apiserver import failures
from controller.sandbox.apiserver.addresses import AddressPool
from controller.sandbox.apiserver.kinds import Context, Kind, Registry
from controller.sandbox.apiserver.storage import Collection, Storage, Version, encode

Json = dict[str, Any]

_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: no words by accident


class User(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, list[str]] = {}


ANONYMOUS: Final = User("system:anonymous", groups=("system:unauthenticated",))


class Core:
    """The state of one server."""

    def __init__(self, *, clock: Clock, rng: random.Random, registry: Registry, history: int) -> None:
        self.clock = clock
        self.rng = rng
        self.registry = registry
        self.storage = Storage(history=history)
        self.addresses = AddressPool()

    def now(self) -> str:
        return rfc3339(self.clock.now())

    def new_uid(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def suffix(self) -> str:
        """Five letters for ``generateName``."""
        return "".join(self.rng.choices(_SUFFIX_LETTERS, k=5))

    def context(self) -> Context:
        return Context(self.addresses.allocate)

    def collection(self, kind: Kind) -> Collection:
        return self.storage.collection(kind.collection)

    def find(self, kind: Kind, namespace: str, name: str) -> Version | None:
        return self.collection(kind).get(f"{namespace}/{name}" if kind.resource.namespaced else name)

    def need(self, kind: Kind, namespace: str, name: str) -> Version:
        """The stored version; raises 404."""
        found = self.find(kind, namespace, name)
        if found is None:
            raise failures.not_found(kind.resource, name)
        return found

    def view(self, kind: Kind, version: Version) -> Json:
        """The object as ``kind`` shows it; the caller owns the dict."""
        if version.origin is kind:
            return version.decode()
        return self._converted(kind, version.decode())

    def view_bytes(self, kind: Kind, version: Version) -> bytes:
        """The same as JSON, shared."""
        if version.origin is kind:
            return version.raw
        return version.rendered(kind, lambda obj: encode(self._converted(kind, obj)))

    def _converted(self, kind: Kind, obj: Json) -> Json:
        """Conversion between versions of a CRD (strategy None), and what a changed schema means for old objects."""
        obj["apiVersion"] = kind.resource.api_version
        if kind.custom and kind.schema is not None:
            kind.schema.prune(obj)
            kind.schema.default(obj)
        return obj

    def namespace(self, name: str) -> Version | None:
        return self.storage.collection(NAMESPACES.name).get(name)
