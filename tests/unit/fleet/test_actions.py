from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller.fleet.actions import (
    FIELD_MANAGER,
    Action,
    Adopt,
    Apply,
    Create,
    Delete,
    Merge,
    MustWait,
    NameConflict,
    ObserveAgain,
    Replace,
    destroys,
    perform,
)
from controller.kube import errors
from controller.kube.client import Client
from controller.kube.objects import Head, Object
from controller.kube.resources import CONFIG_MAPS, NAMESPACES, Resource
from controller.sandbox.apiserver import ApiServer, InProcessTransport
from controller.sandbox.apiserver.faults import Fault

pytestmark = pytest.mark.looptime


class Bench:
    """One server, and caches that note what goes through them."""

    def __init__(self) -> None:
        self.server = ApiServer()
        self.client = Client(InProcessTransport(self.server, self.server.admin_token))
        self.written: list[Object] = []
        self.deleted: list[Head] = []
        self.asked: list[Resource] = []  # what was to be removed
        self.made: list[Object] = []
        self.why = ""  # why removals have to wait

    async def allow(self, resource: Resource, live: Object, owned: Callable[[Object], bool]) -> Object:
        self.asked.append(resource)
        if self.why:
            raise MustWait(self.why)
        return await self.client.get(resource, live.head.namespace, live.head.name, metadata_only=True)

    def created(self, resource: Resource, made: Object) -> None:
        self.made.append(made)

    def write_through(self, resource: Resource, obj: Object) -> None:
        self.written.append(obj)

    def write_deleted(self, resource: Resource, head: Head) -> None:
        self.deleted.append(head)

    async def perform(self, action: Action, owned: Callable[[Object], bool] | None = None) -> Object | None:
        """Whatever is to be removed is ours, what has the name of one to create is not, unless a test says so."""
        return await perform(action, self.client, self, owned or (lambda _: destroys(action)), ground=self)

    async def live(self) -> Object:
        return await self.client.get(CONFIG_MAPS, "default", "it")

    async def create(self, **data: str) -> Object:
        return await self.client.create(CONFIG_MAPS, "default", config_map(**data), field_manager=FIELD_MANAGER)

    async def replaced(self) -> Object:
        """An object that is gone, another one having its name."""
        old = await self.create(a="old")
        await self.client.delete(CONFIG_MAPS, "default", "it", uid=old.head.uid)
        await self.create(a="new")
        return old

    async def gone(self) -> Object:
        old = await self.create(a="old")
        await self.client.delete(CONFIG_MAPS, "default", "it", uid=old.head.uid)
        return old


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def config_map(**data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "it", "namespace": "default"},
        "data": data,
    }


def data(obj: Object | None) -> dict[str, str]:
    assert obj is not None
    found: dict[str, str] = obj.decode(dict)["data"]
    return found


# ── create ──────────────────────────────────────────────────────────────────────────────────────────


async def test_create_makes_an_object_and_caches_it(bench: Bench) -> None:
    made = await bench.perform(Create(CONFIG_MAPS, config_map(a="1")))
    assert data(await bench.live()) == {"a": "1"}
    assert bench.written == [made]


async def test_create_onto_our_own_object_observes_again(bench: Bench) -> None:
    present = await bench.create(a="1")
    with pytest.raises(ObserveAgain):
        await bench.perform(Create(CONFIG_MAPS, config_map(a="2")), lambda _: True)
    assert await bench.live() == present
    assert bench.written == [present]


async def test_create_onto_anothers_object_is_a_conflict_of_names(bench: Bench) -> None:
    present = await bench.create(a="1")
    with pytest.raises(
        NameConflict, match="ConfigMap default/it exists and belongs to somebody else: delete or rename"
    ):
        await bench.perform(Create(CONFIG_MAPS, config_map(a="2")))
    assert await bench.live() == present
    assert bench.written == []


async def test_create_in_a_namespace_that_does_not_exist_says_so(bench: Bench) -> None:
    wanted = {"metadata": {"name": "it", "namespace": "nowhere"}}
    with pytest.raises(errors.NotFound):
        await bench.perform(Create(CONFIG_MAPS, wanted))


# ── what changes an object ──────────────────────────────────────────────────────────────────────────


def changes(live: Object) -> dict[str, Action]:
    return {
        "apply": Apply(CONFIG_MAPS, config_map(a="2"), live),
        "replace": Replace(CONFIG_MAPS, config_map(a="2"), live),
        "merge": Merge(CONFIG_MAPS, {"data": {"a": "2"}}, live),
        "delete": Delete(CONFIG_MAPS, live),
    }


CHANGES = ("apply", "replace", "merge", "delete")


@pytest.mark.parametrize("kind", CHANGES[:3])
async def test_a_change_is_made_and_cached(bench: Bench, kind: str) -> None:
    written = await bench.perform(changes(await bench.create(a="1"))[kind])
    assert data(await bench.live()) == {"a": "2"}
    assert bench.written == [written]


@pytest.mark.parametrize("kind", CHANGES)
async def test_an_object_that_was_replaced_is_left_alone(bench: Bench, kind: str) -> None:
    old = await bench.replaced()
    with pytest.raises(ObserveAgain):
        await bench.perform(changes(old)[kind])
    assert data(await bench.live()) == {"a": "new"}
    assert (bench.written, bench.deleted) == ([], [])


@pytest.mark.parametrize("kind", CHANGES[:3])
async def test_an_object_that_is_gone_is_not_made_again(bench: Bench, kind: str) -> None:
    old = await bench.gone()
    with pytest.raises(ObserveAgain):
        await bench.perform(changes(old)[kind])
    with pytest.raises(errors.NotFound):
        await bench.live()


@pytest.mark.parametrize("verb", ["get", "delete"])
async def test_what_cannot_be_found_because_its_kind_is_not_served_is_not_gone(bench: Bench, verb: str) -> None:
    old = await bench.create(a="1")
    bench.server.faults.add(Fault(verb=verb, status=404))
    with pytest.raises(errors.KindNotFound):
        await bench.perform(Delete(CONFIG_MAPS, old))
    assert bench.deleted == []
    assert await bench.live() == old


async def test_deleting_what_is_gone_is_done(bench: Bench) -> None:
    old = await bench.gone()
    assert await bench.perform(Delete(CONFIG_MAPS, old)) is None
    assert bench.deleted == [old.head]


@pytest.mark.parametrize(
    "make",
    [
        lambda live: Apply(CONFIG_MAPS, config_map(a="2"), live, exactly=True),
        lambda live: Merge(CONFIG_MAPS, {"data": {"a": "2"}}, live, exactly=True),
        lambda live: Replace(CONFIG_MAPS, config_map(a="2"), live),
    ],
)
async def test_a_change_that_rests_on_the_content_needs_that_very_version(
    bench: Bench, make: Callable[[Object], Action]
) -> None:
    seen = await bench.create(a="1")
    await bench.client.patch(CONFIG_MAPS, "default", "it", {"data": {"b": "theirs"}}, kind="merge")
    with pytest.raises(ObserveAgain):
        await bench.perform(make(seen))
    assert data(await bench.live()) == {"a": "1", "b": "theirs"}


async def test_content_that_the_server_refuses_is_an_error(bench: Bench) -> None:
    live = await bench.create(a="1")
    for action in (
        Apply(CONFIG_MAPS, {**config_map(), "data": {"not a key!": "x"}}, live),
        Merge(CONFIG_MAPS, {"data": {"not a key!": "x"}}, live),
    ):
        with pytest.raises(errors.Invalid):
            await bench.perform(action)


async def test_a_status_is_written_onto_the_version_that_was_seen(bench: Bench) -> None:
    found = await bench.client.get(NAMESPACES, "", "default")
    await bench.client.patch(NAMESPACES, "", "default", {"metadata": {"labels": {"a": "b"}}}, kind="merge")
    with pytest.raises(ObserveAgain):
        await bench.perform(Merge(NAMESPACES, {"status": {"phase": "Active"}}, found, "status"))


async def test_a_subresource_that_is_not_served_is_not_found(bench: Bench) -> None:
    live = await bench.create(a="1")
    with pytest.raises(errors.NotFound):
        await bench.perform(Merge(CONFIG_MAPS, {"status": {}}, live, "status"))


# ── ownership of fields ─────────────────────────────────────────────────────────────────────────────


async def test_apply_removes_what_was_created_by_post_and_is_not_wanted_any_more(bench: Bench) -> None:
    created = await bench.create(a="1", b="2")
    await bench.perform(Apply(CONFIG_MAPS, config_map(a="1"), created))
    assert data(await bench.live()) == {"a": "1"}


async def test_apply_keeps_what_others_wrote(bench: Bench) -> None:
    await bench.create(a="1")
    theirs = await bench.client.patch(
        CONFIG_MAPS, "default", "it", {"data": {"b": "theirs"}}, kind="merge", field_manager="them"
    )
    await bench.perform(Apply(CONFIG_MAPS, config_map(a="2"), theirs))
    assert data(await bench.live()) == {"a": "2", "b": "theirs"}


async def test_replace_removes_what_others_wrote(bench: Bench) -> None:
    await bench.create(a="1")
    theirs = await bench.client.patch(CONFIG_MAPS, "default", "it", {"data": {"b": "theirs"}}, kind="merge")
    await bench.perform(Replace(CONFIG_MAPS, config_map(a="2"), theirs))
    assert data(await bench.live()) == {"a": "2"}


async def test_the_second_apply_is_one_request(bench: Bench) -> None:
    created = await bench.create(a="1")
    applied = await bench.perform(Apply(CONFIG_MAPS, config_map(a="2"), created))
    assert applied is not None
    before = bench.server.record.requests()
    await bench.perform(Apply(CONFIG_MAPS, config_map(a="3"), applied))
    assert bench.server.record.requests() - before == 1


def theirs(**data: str) -> dict[str, Any]:
    """A ConfigMap as the reference operator writes it."""
    made = config_map(**data)
    made["metadata"] |= {
        "labels": {"k8ssandra.io/cluster-name": "demo"},
        "annotations": {"k8ssandra.io/resource-hash": "theirs"},
    }
    return made


def adoption(live: Object) -> Adopt:
    wanted = theirs(a="1")
    wanted["metadata"]["annotations"] = {"k8ssandra.io/resource-hash": "v1:ours"}
    patch = {"metadata": {"annotations": wanted["metadata"]["annotations"], "finalizers": ["example.com/ours"]}}
    return Adopt(CONFIG_MAPS, wanted, patch, live)


async def test_adoption_is_one_patch_of_the_metadata_after_which_an_apply_removes(bench: Bench) -> None:
    live = await bench.client.create(CONFIG_MAPS, "default", theirs(a="1", b="2"), field_manager="manager")
    before = bench.server.record.requests()
    adopted = await bench.perform(adoption(live))
    assert bench.server.record.requests() - before == 1
    assert adopted is not None
    assert (data(adopted), adopted.decode(dict)["metadata"]["finalizers"]) == (
        {"a": "1", "b": "2"},
        ["example.com/ours"],
    )
    assert adopted.decode(dict)["metadata"]["annotations"] == {"k8ssandra.io/resource-hash": "v1:ours"}
    assert {entry["manager"] for entry in adopted.decode(dict)["metadata"]["managedFields"]} == {FIELD_MANAGER}
    await bench.perform(Apply(CONFIG_MAPS, adoption(live).object, adopted))
    assert data(await bench.live()) == {"a": "1"}


async def test_what_changed_meanwhile_is_not_adopted(bench: Bench) -> None:
    live = await bench.client.create(CONFIG_MAPS, "default", theirs(a="1"), field_manager="manager")
    await bench.client.patch(CONFIG_MAPS, "default", "it", {"data": {"b": "new"}}, kind="merge")
    with pytest.raises(ObserveAgain):
        await bench.perform(adoption(live))


# ── what may be gone for good ───────────────────────────────────────────────────────────────────────


def finalizers(live: Object, *names: str) -> Merge:
    return Merge(CONFIG_MAPS, {"metadata": {"finalizers": [*names] or None}}, live)


async def finalized(bench: Bench) -> Object:
    manifest = config_map(a="1")
    manifest["metadata"]["finalizers"] = ["example.com/ours", "example.com/theirs"]
    return await bench.client.create(CONFIG_MAPS, "default", manifest)


async def destructive(bench: Bench) -> dict[str, Action]:
    live = await finalized(bench)
    return {
        "delete": Delete(CONFIG_MAPS, live),
        "smaller": Apply(CONFIG_MAPS, config_map(a="2"), live, removes=True),
        "finalizer": finalizers(live, "example.com/theirs"),
        "finalizers": finalizers(live),
    }


DESTRUCTIVE = ("delete", "smaller", "finalizer", "finalizers")


async def test_what_only_changes_destroys_nothing(bench: Bench) -> None:
    live = await finalized(bench)
    harmless = [
        Create(CONFIG_MAPS, config_map()),
        Apply(CONFIG_MAPS, config_map(), live),
        Replace(CONFIG_MAPS, config_map(), live),
        Merge(CONFIG_MAPS, {"metadata": {"annotations": {"a": "b"}}}, live),
        finalizers(live, "example.com/theirs", "example.com/ours", "example.com/new"),
    ]
    assert [destroys(action) for action in harmless] == [False] * 5


@pytest.mark.parametrize("kind", DESTRUCTIVE)
async def test_without_ground_nothing_is_removed(bench: Bench, kind: str) -> None:
    action = (await destructive(bench))[kind]
    before = await bench.live()
    with pytest.raises(TypeError, match="stands on no ground"):
        await perform(action, bench.client, bench, lambda _: True)
    assert await bench.live() == before


@pytest.mark.parametrize("kind", DESTRUCTIVE)
async def test_what_has_to_wait_is_not_sent(bench: Bench, kind: str) -> None:
    action = (await destructive(bench))[kind]
    before = await bench.live()
    bench.why = "nobody knows"
    with pytest.raises(MustWait, match="nobody knows"):
        await bench.perform(action)
    assert (await bench.live(), bench.asked) == (before, [CONFIG_MAPS])


@pytest.mark.parametrize("kind", DESTRUCTIVE)
async def test_what_is_not_ours_any_more_is_not_removed(bench: Bench, kind: str) -> None:
    action = (await destructive(bench))[kind]
    before = await bench.live()
    with pytest.raises(ObserveAgain):
        await bench.perform(action, lambda _: False)
    assert await bench.live() == before


@pytest.mark.parametrize("kind", DESTRUCTIVE[1:])
async def test_what_changed_meanwhile_is_not_removed(bench: Bench, kind: str) -> None:
    action = (await destructive(bench))[kind]
    await bench.client.patch(CONFIG_MAPS, "default", "it", {"data": {"b": "theirs"}}, kind="merge")
    before = await bench.live()
    with pytest.raises(ObserveAgain):
        await bench.perform(action)
    assert await bench.live() == before


async def test_what_may_be_removed_is(bench: Bench) -> None:
    live = await finalized(bench)
    await bench.perform(finalizers(live))
    await bench.perform(Delete(CONFIG_MAPS, await bench.live()))
    with pytest.raises(errors.NotFound):
        await bench.live()


async def test_what_was_made_is_told_to_the_ground(bench: Bench) -> None:
    made = await bench.perform(Create(CONFIG_MAPS, config_map(a="1")))
    assert bench.made == [made]
