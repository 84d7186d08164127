"""Objects, events, and a server that follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from controller.kube.client import Page
from controller.kube.errors import KubeError
from controller.kube.objects import Object, parse
from controller.kube.watch import Bookmark, Change, Event, Failure


def obj(
    name: str,
    version: int | str,
    *,
    uid: str = "",
    namespace: str = "ns",
    labels: Mapping[str, str] | None = None,
    deleting: bool = False,
    **body: Any,
) -> Object:
    """``name`` at ``version``; its UID is ``uid-<name>`` unless given."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
    }
    if labels:
        metadata["labels"] = dict(labels)
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    return parse(msgspec.json.encode({"apiVersion": "v1", "kind": "Thing", "metadata": metadata, **body}))


def change(type: Literal["ADDED", "MODIFIED", "DELETED"], found: Object) -> Change:
    return Change(type, found)


def added(name: str, version: int | str, **rest: Any) -> Change:
    return Change("ADDED", obj(name, version, **rest))


def modified(name: str, version: int | str, **rest: Any) -> Change:
    return Change("MODIFIED", obj(name, version, **rest))


def deleted(name: str, version: int | str, **rest: Any) -> Change:
    return Change("DELETED", obj(name, version, **rest))


def marker(version: int | str) -> Bookmark:
    return Bookmark(str(version), True)


def failure(error: KubeError) -> Failure:
    return Failure(error)


END: list[Event] = []  # a stream that ends cleanly

Arrival: TypeAlias = tuple[float, Sequence[Event] | KubeError]  # after so many seconds: a batch, the end, or an error


class ScriptedStream:
    """Gives its arrivals one after the other, then stays silent for ever."""

    def __init__(self, arrivals: Sequence[Arrival]) -> None:
        self._arrivals = list(arrivals)
        self.closed = False

    async def read(self) -> list[Event]:
        if not self._arrivals:
            await asyncio.Event().wait()
        delay, what = self._arrivals.pop(0)
        await asyncio.sleep(delay)
        if isinstance(what, KubeError):
            raise what
        return list(what)

    async def close(self) -> None:
        self.closed = True


class Call(msgspec.Struct, frozen=True):
    """What was asked, and when; ``detail``: the version of a watch ("initial": a streaming list), a page's token."""

    verb: str
    at: float
    detail: str = ""
    number: int = 0  # timeoutSeconds of a watch, limit of a page


class ScriptedServer:
    """A ``ListerWatcher`` that answers each kind of call in the scripted order; then watches stay silent.

    Streaming lists are answered from ``lists`` when it is given, else from ``watches`` like other watches.
    """

    def __init__(
        self,
        *,
        watches: Sequence[Sequence[Arrival] | KubeError] = (),
        lists: Sequence[Sequence[Arrival] | KubeError] | None = None,
        pages: Sequence[Page | KubeError] = (),
        served: Sequence[bool | KubeError] = (),
    ) -> None:
        self._watches = list(watches)
        self._lists = self._watches if lists is None else list(lists)
        self._pages = list(pages)
        self._served = list(served)
        self.calls: list[Call] = []
        self.streams: list[ScriptedStream] = []

    def said(self) -> list[str]:
        """The calls as words: ``initial``, ``watch 5``, ``page``, ``page next``, ``served``."""
        words = {"watch": lambda c: "initial" if c.detail == "initial" else f"watch {c.detail}"}
        return [words.get(c.verb, lambda c: f"{c.verb} {c.detail}".strip())(c) for c in self.calls]

    async def page(self, *, limit: int, continue_token: str) -> Page:
        self._note("page", continue_token, limit)
        return _answer(self._pages.pop(0))

    async def watch(self, *, resource_version: str, send_initial_events: bool, timeout_seconds: int) -> ScriptedStream:
        self._note("watch", "initial" if send_initial_events else resource_version, timeout_seconds)
        answers = self._lists if send_initial_events else self._watches
        script = _answer(answers.pop(0)) if answers else []
        self.streams.append(ScriptedStream(script))
        return self.streams[-1]

    async def served(self) -> bool:
        self._note("served")
        return _answer(self._served.pop(0))

    def _note(self, verb: str, detail: str = "", number: int = 0) -> None:
        self.calls.append(Call(verb, asyncio.get_running_loop().time(), detail, number))


def _answer(what: Any) -> Any:
    if isinstance(what, KubeError):
        raise what
    return what
