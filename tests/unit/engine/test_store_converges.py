"""Whatever the order in which streams, lists and answers to writes arrive, a store ends up as the server is."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.engine.store import Delta, Store
from controller.engine.versions import newer, older
from controller.kube.objects import Object
from controller.kube.watch import Change
from tests.unit.engine.world import obj

NAMES = st.sampled_from("abc")


class Machine(RuleBasedStateMachine):
    """A server with a history, a stream that lags behind it, and answers that arrive late or never."""

    def __init__(self) -> None:
        super().__init__()
        self.version = 100
        self.made = 0
        self.server: dict[str, Object] = {}
        self.history: list[Change] = []  # not delivered yet
        self.answers: list[Object] = []
        self.gone: list[str] = []  # UIDs whose deletion we were told of
        self.lists: list[tuple[list[Object], int, int]] = []  # snapshots under way: objects, version, history seen
        self.delivered = 0  # changes taken from the front of the history so far
        self.mirror: dict[str, Object] = {}  # what somebody who only listens believes
        self.seen: dict[str, str] = {}  # highest version by UID
        self.deleted: set[str] = set()  # UIDs that were seen to go
        self.store = Store("things", selector=lambda head: (head.labels or {}).get("ours") != "no")
        self.store.subscribe(self.listen)
        self.store.replace([], "100")

    def listen(self, deltas: list[Delta]) -> None:
        for delta in deltas:
            head = delta.object.head
            assert self.mirror.get(head.name) is delta.old
            if delta.new is None:
                del self.mirror[head.name]
                continue
            self.mirror[head.name] = delta.new
            before = self.seen.get(head.uid)
            assert before is None or newer(head.resource_version, before) or before == head.resource_version
            self.seen[head.uid] = head.resource_version

    def happen(self, type_: str, found: Object) -> None:
        self.history.append(Change(type_, found))  # type: ignore[arg-type]

    # ── on the server ───────────────────────────────────────────────────────────────────────────────

    @rule(name=NAMES, ours=st.booleans())
    def write(self, name: str, ours: bool) -> None:
        self.version += 1
        if name in self.server:
            uid, kind = self.server[name].head.uid, "MODIFIED"
        else:
            self.made += 1
            uid, kind = f"{name}-{self.made}", "ADDED"
        found = obj(name, self.version, uid=uid)
        self.server[name] = found
        self.happen(kind, found)
        if ours:
            self.answers.append(found)

    @precondition(lambda self: self.server)
    @rule(data=st.data(), ours=st.booleans())
    def delete(self, data: st.DataObject, ours: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.server)))
        self.version += 1
        found = self.server.pop(name)
        self.happen("DELETED", obj(name, self.version, uid=found.head.uid))
        if ours:
            self.gone.append(found.head.uid)

    @rule()
    def something_else_happens(self) -> None:
        self.version += 1

    # ── what arrives ────────────────────────────────────────────────────────────────────────────────

    @rule(count=st.integers(1, 5))
    def stream(self, count: int) -> None:
        batch, self.history = self.history[:count], self.history[count:]
        self.delivered += len(batch)
        self.store.apply(batch)

    @rule()
    def bookmark(self) -> None:
        if not self.history:
            self.store.advance(str(self.version))

    @precondition(lambda self: self.answers)
    @rule(data=st.data(), lost=st.booleans())
    def answer(self, data: st.DataObject, lost: bool) -> None:
        found = self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1)))
        if not lost:
            self.store.write_through(found)

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def answer_to_delete(self, data: st.DataObject) -> None:
        self.store.write_deleted(self.gone.pop(data.draw(st.integers(0, len(self.gone) - 1))))

    @rule()
    def begin_list(self) -> None:
        self.lists = [(list(self.server.values()), self.version, self.delivered + len(self.history))]

    @precondition(lambda self: self.lists)
    @rule()
    def finish_list(self) -> None:
        objects, version, seen = self.lists.pop()
        if older(str(version), self.store.resource_version):
            return  # no stream runs beside a list, so none can have overtaken it
        self.store.replace(objects, str(version))
        skip = max(0, seen - self.delivered)
        self.history = self.history[skip:]
        self.delivered += skip

    @invariant()
    def never_another_history(self) -> None:
        assert self.store.epoch == 0

    @invariant()
    def listeners_know_what_is_here(self) -> None:
        assert self.mirror == {found.head.name: found for found in self.store.list()}

    @invariant()
    def never_behind_the_stream(self) -> None:
        if not self.history:
            assert all(
                not older(found.head.resource_version, self.server[found.head.name].head.resource_version)
                for found in self.store.list()
                if found.head.name in self.server and found.head.uid == self.server[found.head.name].head.uid
            )

    def teardown(self) -> None:
        self.store.apply(self.history)
        self.history = []
        for late in self.answers:  # even answers that come after everything change nothing
            self.store.write_through(late)
        for uid in self.gone:
            self.store.write_deleted(uid)
        expected = {name: found.head.resource_version for name, found in self.server.items()}
        assert expected == {found.head.name: found.head.resource_version for found in self.store.list()}


Machine.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestAnyInterleavingConverges = Machine.TestCase
