from __future__ import annotations

import asyncio

import msgspec
import pytest

from controller.engine.store import Delta, Store
from controller.kube.objects import Object
from tests.unit.engine.world import added, deleted, modified, obj


def texts(deltas: list[Delta]) -> list[str]:
    """Deltas as ``a:-→5``."""
    version = lambda found: found.head.resource_version if found else "-"  # noqa: E731
    return [f"{delta.object.head.name}:{version(delta.old)}→{version(delta.new)}" for delta in deltas]


def names(objects: list[Object]) -> list[str]:
    return [f"{found.head.name}@{found.head.resource_version}" for found in objects]


@pytest.fixture
def store() -> Store:
    store = Store("things")
    store.replace([obj("a", 3), obj("b", 4)], "10")
    return store


# ── the stream ──────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_is_taken_over_in_order(store: Store) -> None:
    deltas = store.apply([modified("a", 11), added("c", 12), deleted("b", 13), modified("a", 14)])
    assert texts(deltas) == ["a:3→11", "c:-→12", "b:4→-", "a:11→14"]
    assert names(store.list()) == ["a@14", "c@12"]
    assert store.resource_version == "14"


def test_the_same_version_again_is_no_change(store: Store) -> None:
    assert store.apply([modified("a", 3), added("b", 4)]) == []


def test_an_older_version_is_ignored(store: Store) -> None:
    store.write_through(obj("a", 20))
    assert store.apply([modified("a", 15)]) == []
    assert names(store.list()) == ["a@20", "b@4"]


def test_versions_compare_as_numbers_not_as_text(store: Store) -> None:
    assert texts(store.apply([modified("a", 99)])) == ["a:3→99"]
    assert texts(store.apply([modified("a", 100)])) == ["a:99→100"]


def test_versions_that_do_not_compare_follow_the_order_of_the_stream(store: Store) -> None:
    store.apply([modified("a", "zebra"), modified("a", "apple")])
    assert names(store.list()) == ["a@apple", "b@4"]


def test_deleting_what_is_not_here_is_no_change(store: Store) -> None:
    assert store.apply([deleted("z", 11)]) == []


def test_a_new_object_of_the_same_name_replaces_the_old(store: Store) -> None:
    store.apply([deleted("a", 11), added("a", 12, uid="second")])
    found = store.get("ns", "a")
    assert found is not None
    assert found.head.uid == "second"


def test_what_the_stream_says_of_the_old_object_does_not_touch_the_new(store: Store) -> None:
    store.write_through(obj("a", 20, uid="second"))
    assert store.apply([modified("a", 15), deleted("a", 16)]) == []
    assert names(store.list()) == ["a@20", "b@4"]
    assert store.apply([added("a", 20, uid="second")]) == []


def test_a_bookmark_advances_the_position_and_never_goes_back(store: Store) -> None:
    store.advance("30")
    store.advance("20")
    assert store.resource_version == "30"


def test_objects_outside_the_selector_leave_or_stay_out() -> None:
    store = Store("things", selector=lambda head: (head.labels or {}).get("ours") == "yes")
    store.replace([obj("a", 3, labels={"ours": "yes"}), obj("b", 4)], "10")
    store.apply([modified("a", 11, labels={"ours": "no"}), added("c", 12)])
    assert store.list() == []
    assert store.ignored == 3


# ── lists ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_list_removes_what_it_lacks_and_adds_what_is_new(store: Store) -> None:
    deltas = store.replace([obj("b", 4), obj("c", 12)], "20")
    assert texts(deltas) == ["a:3→-", "c:-→12"]
    assert store.resource_version == "20"


def test_a_list_keeps_newer_answers_to_our_own_writes(store: Store) -> None:
    store.write_through(obj("a", 25))
    store.write_through(obj("new", 26))
    assert store.replace([obj("a", 3), obj("b", 4)], "20") == []
    assert names(store.list()) == ["a@25", "b@4", "new@26"]
    assert texts(store.replace([obj("a", 25), obj("b", 4)], "30")) == ["new:26→-"]


def test_a_list_below_the_position_is_another_history(store: Store) -> None:
    store.write_through(obj("a", 25))
    deltas = store.replace([obj("a", 5)], "8")
    assert store.epoch == 1
    assert sorted(texts(deltas)) == ["a:25→5", "b:4→-"]
    assert store.resource_version == "8"


def test_in_another_history_the_same_version_may_be_another_object(store: Store) -> None:
    deltas = store.replace([obj("a", 3, spec={"other": True}), obj("b", 4)], "5")
    assert texts(deltas) == ["a:3→3"]
    assert store.epoch == 1


def test_a_list_that_shows_an_older_version_than_it_should_is_another_history(store: Store) -> None:
    store.apply([modified("a", 15)])
    store.replace([obj("a", 3), obj("b", 4)], "20")
    assert store.epoch == 1
    assert names(store.list()) == ["a@3", "b@4"]


def test_another_cluster_replaces_everything(store: Store) -> None:
    store.begin_epoch()
    assert not store.synced
    assert names(store.list()) == ["a@3", "b@4"]  # until it is known what is there
    assert store.write_through(obj("a", 1000)) == []
    store.replace([obj("c", 900)], "901")
    assert (names(store.list()), store.synced, store.epoch) == (["c@900"], True, 1)


def test_an_empty_list_empties_the_store(store: Store) -> None:
    assert texts(store.replace([], "20")) == ["a:3→-", "b:4→-"]


def test_a_list_without_a_comparable_version_replaces_everything(store: Store) -> None:
    store.write_through(obj("new", 25))
    store.replace([obj("a", 3)], "")
    assert names(store.list()) == ["a@3"]
    assert store.epoch == 0


def test_listing_again_keeps_the_bytes_that_are_here(store: Store) -> None:
    before = store.get("ns", "a")
    assert store.admit(obj("a", 3)) is before
    assert store.admit(obj("a", 3, spec={"other": True})) is not before


@pytest.mark.looptime
async def test_waiters_for_the_first_list_are_woken() -> None:
    store = Store("things")
    waiter = asyncio.create_task(store.wait_synced())
    await asyncio.sleep(0)
    assert not waiter.done()
    store.replace([], "1")
    await asyncio.wait_for(waiter, 1)


# ── our own writes ──────────────────────────────────────────────────────────────────────────────────


def test_an_answer_to_our_write_is_seen_at_once(store: Store) -> None:
    assert texts(store.write_through(obj("a", 11))) == ["a:3→11"]
    assert store.resource_version == "10"  # the stream is not there yet


def test_the_stream_may_repeat_our_write_without_effect(store: Store) -> None:
    store.write_through(obj("a", 11))
    assert store.apply([modified("a", 11)]) == []


def test_a_late_answer_does_not_bring_back_what_the_stream_has_deleted(store: Store) -> None:
    store.apply([modified("a", 11), deleted("a", 12)])
    assert store.write_through(obj("a", 11)) == []
    assert store.get("ns", "a") is None


def test_a_late_answer_does_not_hide_a_newer_version(store: Store) -> None:
    store.apply([modified("a", 12)])
    assert store.write_through(obj("a", 11)) == []


def test_an_answer_before_the_first_list_is_kept_if_it_is_newer_than_the_list() -> None:
    store = Store("things")
    store.write_through(obj("a", 25))
    store.write_through(obj("b", 15))
    assert not store.synced
    store.replace([], "20")
    assert names(store.list()) == ["a@25"]


def test_an_answer_outside_the_selector_is_ignored() -> None:
    store = Store("things", selector=lambda head: head.namespace == "ns")
    store.replace([], "10")
    assert store.write_through(obj("a", 11, namespace="other")) == []
    assert store.size == 0


@pytest.mark.parametrize("version", ["", "0", "opaque"])
def test_an_answer_that_does_not_compare_is_left_to_the_stream(store: Store, version: str) -> None:
    assert store.write_through(obj("a", version)) == []


def test_what_we_deleted_is_gone_at_once_whatever_the_stream_still_says(store: Store) -> None:
    assert texts(store.write_deleted("uid-a")) == ["a:3→-"]
    assert store.apply([modified("a", 11)]) == []
    assert store.write_through(obj("a", 12)) == []
    assert store.apply([deleted("a", 13)]) == []
    assert store.get("ns", "a") is None


def test_a_new_object_under_a_deleted_name_appears(store: Store) -> None:
    store.write_deleted("uid-a")
    assert texts(store.write_through(obj("a", 15, uid="second"))) == ["a:-→15"]
    assert store.apply([deleted("a", 13), added("a", 15, uid="second")]) == []
    assert names(store.list()) == ["a@15", "b@4"]


def test_a_list_from_before_our_delete_does_not_bring_it_back(store: Store) -> None:
    store.write_deleted("uid-a")
    assert store.replace([obj("a", 3), obj("b", 4)], "11") == []
    store.apply([deleted("a", 12)])
    assert names(store.list()) == ["b@4"]


def test_what_waits_for_its_finalizers_is_not_gone(store: Store) -> None:
    store.write_deleted("uid-a")
    assert texts(store.apply([modified("a", 11, deleting=True)])) == ["a:-→11"]
    assert texts(store.apply([modified("a", 12, deleting=True)])) == ["a:11→12"]


def test_tombstones_end_with_the_stream_or_a_list(store: Store) -> None:
    store.write_deleted("uid-a")
    store.write_deleted("never-seen")
    store.apply([deleted("a", 11)])
    assert store._tombstones == {"never-seen"}
    store.replace([], "20")
    assert store._tombstones == set()


def test_another_history_has_no_tombstones(store: Store) -> None:
    store.write_deleted("uid-a")
    store.replace([obj("a", 2)], "5")
    assert names(store.list()) == ["a@2"]


# ── metadata only ───────────────────────────────────────────────────────────────────────────────────

SECRET = {
    "data": {"password": "c2VjcmV0"},
    "stringData": {"password": "secret"},
}


@pytest.mark.parametrize("way", ["replace", "apply", "write_through", "admit"])
def test_no_content_is_kept_whichever_way_it_came(way: str) -> None:
    store = Store("secrets", metadata_only=True)
    if way == "replace":
        store.replace([obj("s", 11, **SECRET)], "11")
    else:
        store.replace([], "10")
    if way == "apply":
        store.apply([added("s", 11, **SECRET)])
    elif way == "write_through":
        store.write_through(obj("s", 11, **SECRET))
    found = store.admit(obj("s", 11, **SECRET)) if way == "admit" else store.get("ns", "s")
    assert found is not None
    assert {"apiVersion", "kind", "metadata"} == set(msgspec.json.decode(found.raw))
    assert found.head.name == "s"


def test_the_copy_of_the_content_in_an_annotation_is_not_kept_either() -> None:
    raw = msgspec.json.encode(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "s",
                "namespace": "ns",
                "uid": "u",
                "resourceVersion": "11",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"data":"c2Vj"}', "keep": "me"},
                "managedFields": [{"manager": "kubectl"}],
            },
        }
    )
    store = Store("secrets", metadata_only=True)
    store.replace([Object(obj("s", 11).head, raw)], "11")
    found = store.get("ns", "s")
    assert found is not None
    metadata = msgspec.json.decode(found.raw)["metadata"]
    assert metadata["annotations"] == {"keep": "me"}
    assert "managedFields" not in metadata


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────


def test_lists_are_ordered_and_by_namespace() -> None:
    store = Store("things")
    store.replace([obj("b", 1), obj("a", 2), obj("z", 3, namespace="another")], "5")
    assert names(store.list()) == ["z@3", "a@2", "b@1"]
    assert names(store.list("ns")) == ["a@2", "b@1"]
    assert store.list("none") == []


def by_owner(found: Object) -> list[str]:
    owner = (found.head.labels or {}).get("owner")
    return [owner] if owner else []


def test_an_index_follows_every_change() -> None:
    store = Store("things", indexers={"owner": by_owner})
    store.replace([obj("b", 1, labels={"owner": "x"}), obj("a", 2, labels={"owner": "x"})], "5")
    assert names(store.by_index("owner", "x")) == ["a@2", "b@1"]
    assert (store.count("owner", "x"), store.count("owner", "y"), store.index_keys("owner")) == (2, 0, ("x",))
    store.apply([modified("a", 6, labels={"owner": "y"})])
    assert names(store.by_index("owner", "x")) == ["b@1"]
    assert names(store.by_index("owner", "y")) == ["a@6"]
    store.apply([deleted("b", 7, labels={"owner": "x"})])
    store.write_through(obj("c", 8, labels={"owner": "y"}))
    assert store.by_index("owner", "x") == []
    assert names(store.by_index("owner", "y")) == ["a@6", "c@8"]
    assert (store.count("owner", "x"), store.count("owner", "y"), store.index_keys("owner")) == (0, 2, ("y",))
    store.replace([], "9")
    assert store.by_index("owner", "y") == []
    assert store.index_keys("owner") == ()


def test_an_indexer_that_fails_leaves_the_object_out_of_the_index_only() -> None:
    def broken(found: Object) -> list[str]:
        raise ValueError("poison")

    store = Store("things", indexers={"owner": broken})
    store.replace([obj("a", 1)], "5")
    assert names(store.list()) == ["a@1"]
    assert store.by_index("owner", "x") == []


# ── listeners ───────────────────────────────────────────────────────────────────────────────────────


def test_a_listener_is_called_once_per_batch(store: Store) -> None:
    batches: list[list[str]] = []
    store.subscribe(lambda deltas: batches.append(texts(deltas)))
    store.apply([modified("a", 11), added("c", 12)])
    store.apply([modified("a", 11)])
    store.replace([obj("a", 11)], "20")
    assert batches == [["a:3→11", "c:-→12"], ["b:4→-", "c:12→-"]]


def test_a_listener_may_ask_for_what_is_here_already(store: Store) -> None:
    batches: list[list[str]] = []
    store.subscribe(lambda deltas: batches.append(texts(deltas)), replay=True)
    assert batches == [["a:-→3", "b:-→4"]]


def test_a_listener_can_leave(store: Store) -> None:
    batches: list[object] = []
    leave = store.subscribe(batches.append)
    leave()
    store.apply([modified("a", 11)])
    assert batches == []


def test_a_listener_that_fails_holds_up_nobody(store: Store) -> None:
    batches: list[object] = []

    def broken(deltas: list[Delta]) -> None:
        raise ValueError("defect")

    store.subscribe(broken)
    store.subscribe(batches.append)
    store.apply([modified("a", 11)])
    assert len(batches) == 1
    assert names(store.list()) == ["a@11", "b@4"]


def test_a_listener_sees_the_store_as_it_is_after_the_batch(store: Store) -> None:
    seen: list[list[str]] = []
    store.subscribe(lambda _: seen.append(names(store.list())))
    store.apply([modified("a", 11), deleted("b", 12)])
    assert seen == [["a@11"]]
