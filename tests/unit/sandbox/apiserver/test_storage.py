"""The storage: one counter, a log that tells the past, and a floor below which it is forgotten."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.sandbox.apiserver.storage import Storage


def obj(name: str, value: int = 0, namespace: str = "ns") -> dict[str, Any]:
    return {"kind": "Thing", "metadata": {"name": name, "namespace": namespace, "uid": name}, "value": value}


def test_keys_sort_as_etcd_sorts_them() -> None:
    things = Storage().collection("things")
    for namespace in ("a", "a-b", "a.b", "b"):
        things.put(obj("x", namespace=namespace))
    assert things.keys == ["a-b/x", "a.b/x", "a/x", "b/x"]
    assert list(things.within(things.keys, "a")) == ["a/x"]


def test_what_is_decoded_belongs_to_the_caller() -> None:
    things = Storage().collection("things")
    version = things.put(obj("x", 1))
    version.decode()["value"] = 2
    assert version.decode()["value"] == 1


def test_a_deletion_has_a_version_of_its_own_and_the_last_content() -> None:
    things = Storage().collection("things")
    stored = things.put(obj("x", 1))
    gone = things.remove("ns/x")
    assert gone.rv == stored.rv + 1
    assert gone.decode()["value"] == 1
    assert gone.decode()["metadata"]["resourceVersion"] == str(gone.rv)


def test_a_full_log_raises_the_floor() -> None:
    things = Storage(history=2).collection("things")
    versions = [things.put(obj("x", number)).rv for number in range(4)]
    assert things.floor == versions[1]
    assert [event.rv for event in things.since(things.floor)] == versions[2:]


steps = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30)


@given(steps)
def test_every_past_state_can_be_told(history: list[tuple[str, bool]]) -> None:
    things = Storage().collection("things")
    states = {things.storage.rv: {}}
    for number, (name, delete) in enumerate(history):
        if delete and f"ns/{name}" in things.objects:
            things.remove(f"ns/{name}")
        elif not delete:
            things.put(obj(name, number))
        states[things.storage.rv] = {key: version.decode() for key, version in things.objects.items()}
    for rv, expected in states.items():
        keys, objects = things.at(rv)
        assert expected == {key: version.decode() for key, version in objects.items()}
        assert sorted(expected) == keys
