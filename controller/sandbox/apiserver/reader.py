"""Reading: one object, pages of a list, and opening a watch."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from controller.sandbox.apiserver import failures, selectors
from controller.sandbox.apiserver.core import Core
from controller.sandbox.apiserver.forms import Form
from controller.sandbox.apiserver.kinds import Kind
from controller.sandbox.apiserver.options import EXACT, ListOptions
from controller.sandbox.apiserver.selectors import Selector
from controller.sandbox.apiserver.storage import Collection, Version, encode
from controller.sandbox.apiserver.watches import Watch

Json = dict[str, Any]

BOOKMARK_EVERY: Final = 60.0  # s, as kube-apiserver
WATCH_TIMEOUT: Final = 1800.0  # s at least, and at most twice as much, when the client names none


class _Token(msgspec.Struct, frozen=True):
    """Where a paged list goes on: as etcd-backed servers encode it."""

    v: str
    rv: int
    start: str


class Snapshot(msgspec.Struct, frozen=True):
    """A collection as it was at one resourceVersion."""

    keys: list[str]
    objects: Mapping[str, Version]
    rv: int


class Reader:
    """Answers lists and opens watches."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._watches = itertools.count(1)
        self.bookmark_every = BOOKMARK_EVERY
        self.bookmarks = True
        self.streaming_lists = True
        self.watch_buffer = 100_000  # events that a slow reader may lag behind before it is cut off

    # ── get ─────────────────────────────────────────────────────────────────────────────────────────

    def get(self, kind: Kind, namespace: str, name: str, options: ListOptions, form: Form) -> bytes:
        """One object; ``resourceVersion`` asks for nothing older than it."""
        if options.version > self._core.storage.rv:
            raise failures.too_large_version(options.version, self._core.storage.rv)
        return form.one(self._core.need(kind, namespace, name))

    # ── list ────────────────────────────────────────────────────────────────────────────────────────

    def list_page(self, kind: Kind, namespace: str, options: ListOptions, form: Form) -> bytes:
        """A page, or everything; raises 400, 410 and 504."""
        selector = self.selector(kind, options)
        collection = self._core.collection(kind)
        start, inconsistent = "", False
        if options.continue_token:
            if options.resource_version not in ("", "0"):
                raise failures.bad_request("specifying resource version is not allowed when using continue")
            token = _decode_token(options.continue_token)
            start, inconsistent = token.start, token.rv < 0
            snapshot = self._snapshot(collection, token.rv if not inconsistent else self._core.storage.rv, token)
        else:
            snapshot = self._fresh(collection, options)
        limit = 0 if options.resource_version == "0" and not options.continue_token else options.limit
        chosen: list[Version] = []
        more = ""
        matching = self._matching(collection, snapshot, namespace, selector, start)
        for version in matching:
            if limit and len(chosen) == limit:
                more = version.key
                break
            chosen.append(version)
        metadata: Json = {"resourceVersion": str(snapshot.rv)}
        if more:
            metadata["continue"] = _encode_token(snapshot.rv, chosen[-1].key + "\0")
            if selector.everything:
                metadata["remainingItemCount"] = 1 + sum(1 for _ in matching)
        return form.many(chosen, metadata)

    def matching(self, kind: Kind, namespace: str, options: ListOptions) -> list[Version]:
        """What a deletecollection is about."""
        collection = self._core.collection(kind)
        snapshot = self._fresh(collection, options)
        return [*self._matching(collection, snapshot, namespace, self.selector(kind, options), "")]

    def selector(self, kind: Kind, options: ListOptions) -> Selector:
        return selectors.parse(options.labels, options.fields, kind.strategy.field_labels)

    def _fresh(self, collection: Collection, options: ListOptions) -> Snapshot:
        current = self._core.storage.rv
        asked = options.version
        if asked > current:
            raise failures.too_large_version(asked, current)
        if asked and (options.match == EXACT or (not options.match and options.limit)):
            return self._snapshot(collection, asked, None)
        return Snapshot(collection.keys, collection.objects, current)

    def _snapshot(self, collection: Collection, rv: int, token: _Token | None) -> Snapshot:
        if rv < collection.floor:
            if token is None:
                raise failures.expired("The resourceVersion for the provided list is too old.")
            raise failures.expired(failures.TOO_OLD_PAGE, _encode_token(-1, token.start))
        return Snapshot(*collection.at(rv), rv)

    @staticmethod
    def _matching(
        collection: Collection, snapshot: Snapshot, namespace: str, selector: Selector, start: str
    ) -> Iterator[Version]:
        for key in collection.within(snapshot.keys, namespace, start):
            version = snapshot.objects[key]
            if selector.matches(version):
                yield version

    # ── watch ───────────────────────────────────────────────────────────────────────────────────────

    def watch(self, kind: Kind, namespace: str, options: ListOptions, form: Form, content_type: str) -> Watch:
        """An open watch; one from a version that was compacted away begins and ends with an ERROR event."""
        selector = self.selector(kind, options)
        try:
            asked = options.version
        except failures.Failure as failure:
            raise failures.Failure(500, "", failure.message) from None
        collection = self._core.collection(kind)
        watch = Watch(
            collection,
            identity=next(self._watches),
            namespace=namespace,
            selector=selector,
            form=form,
            content_type=content_type,
            buffer=self.watch_buffer,
            bookmarks=options.bookmarks and self.bookmarks,
        )
        if options.send_initial_events and asked > self._core.storage.rv:
            watch.fail(failures.too_large_version(asked, self._core.storage.rv).status())
            return watch
        if options.send_initial_events or (asked == 0 and options.send_initial_events is None):
            current = Snapshot(collection.keys, collection.objects, self._core.storage.rv)
            watch.begin(iter([*self._matching(collection, current, namespace, selector, "")]))
            if options.send_initial_events and watch.bookmarks:
                watch.bookmark(initial_events_end=True)
        elif asked:
            if asked < collection.floor:
                error = failures.expired(f"too old resource version: {asked} ({collection.floor})")
                watch.fail(error.status())
                return watch
            watch.resume(asked, collection.since(asked))
        timeout = options.timeout or WATCH_TIMEOUT * (1 + self._core.rng.random())
        watch.schedule(timeout=float(timeout), bookmark_every=lambda: self.bookmark_every)
        return watch


def _encode_token(rv: int, start: str) -> str:
    raw = encode(_Token("meta.k8s.io/v1", rv, start))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode_token(text: str) -> _Token:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        token = msgspec.json.decode(raw, type=_Token)
    except (ValueError, msgspec.MsgspecError):
        raise failures.bad_request(f"continue key is not valid: {text[:100]!r}") from None
    if token.v != "meta.k8s.io/v1" or token.rv == 0 or not token.start:
        raise failures.bad_request("continue key is not valid: encoded start key or version is missing")
    return token
