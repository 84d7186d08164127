"""Who owns what after a create, an update or a patch."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from controller.sandbox.apiserver.apply import (
    RESET_BY_MAIN,
    RESET_BY_STATUS,
)
from controller.sandbox.apiserver.builtin import BUILTIN
from controller.sandbox.apiserver.fieldset import FieldSet
from controller.sandbox.apiserver.managed import ANCIENT, Entry, Identity, cap_updaters
from controller.sandbox.apiserver.schema import compile_schema
from tests.unit.sandbox.apiserver.owners import (
    LATER,
    NOW,
    NUMBER,
    TEXT,
    THEN,
    VERSION,
    Json,
    applied,
    owned,
    thing,
    times,
    updated,
)

# ── updates ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_create_owns_everything_that_it_brings() -> None:
    assert owned(updated(None, thing({"size": 1}, labels={"a": "b"}))) == {
        "bob/Update": [".spec", ".metadata.labels", ".metadata.labels.a", ".spec.size"]
    }


def test_an_update_owns_only_what_it_changes() -> None:
    live = applied(None, thing({"size": 1, "name": "n"}))
    assert owned(updated(live, thing({"size": 2, "name": "n"}))) == {
        "alice/Apply": [".spec.name"],
        "bob/Update": [".spec.size"],
    }


def test_an_update_that_changes_nothing_leaves_the_entries() -> None:
    live = applied(None, thing({"size": 1}))
    assert live == updated(live, thing({"size": 1}), now=LATER)


def test_what_an_update_removes_leaves_every_entry() -> None:
    live = applied(applied(None, thing({"size": 1, "name": "n"})), thing({"size": 1}), "carol")
    assert owned(updated(live, thing({"name": "n"}))) == {"alice/Apply": [".spec.name"]}


def test_an_update_moves_the_time_of_its_entry() -> None:
    live = updated(None, thing({"size": 1}))
    assert times(updated(live, thing({"size": 2}), now=LATER)) == {"bob": LATER}


def test_an_update_of_a_manager_that_applies_too_has_an_entry_of_its_own() -> None:
    live = applied(None, thing({"size": 1, "name": "n"}))
    assert owned(updated(live, thing({"size": 2, "name": "n"}), "alice")) == {
        "alice/Apply": [".spec.name"],
        "alice/Update": [".spec.size"],
    }


def test_a_subresource_has_an_entry_of_its_own() -> None:
    live = updated(None, thing({"size": 1}))
    found = updated(live, thing({"size": 1}, {"phase": "a"}), subresource="status")
    assert owned(found)["bob/Update/status"] == [".status", ".status.phase"]


def test_what_an_endpoint_resets_is_owned_by_nobody() -> None:
    found = updated(None, thing({"size": 1}, {"phase": "a"}), reset=RESET_BY_MAIN)
    assert owned(found) == {"bob/Update": [".spec", ".spec.size"]}
    found = applied(found, thing({"size": 9}, {"phase": "b"}), subresource="status", reset=RESET_BY_STATUS)
    assert owned(found)["alice/Apply/status"] == [".status.phase"]


@pytest.mark.parametrize("entries", [[], [{}]])
def test_empty_entries_forget_all_and_tracking_stops(entries: Any) -> None:
    live = updated(None, thing({"size": 1}))
    assert owned(updated(live, thing({"size": 2}), entries=entries)) == {}


def test_a_request_without_entries_keeps_the_stored_ones() -> None:
    live = applied(None, thing({"size": 1, "name": "n"}))
    assert owned(updated(live, thing({"size": 2, "name": "n"}), entries=None)) == {
        "alice/Apply": [".spec.name"],
        "bob/Update": [".spec.size"],
    }


@pytest.mark.parametrize(
    "entry",
    [
        {"manager": "m", "operation": "Paint", "apiVersion": VERSION, "fieldsType": "FieldsV1"},
        {"manager": "m", "operation": "Update", "fieldsType": "FieldsV1"},
        {"manager": "m", "operation": "Update", "apiVersion": VERSION},
        {"manager": "m", "operation": "Update", "apiVersion": VERSION, "fieldsType": "FieldsV2"},
        {
            "manager": "m",
            "operation": "Update",
            "apiVersion": VERSION,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"spec": {}},
        },
    ],
)
def test_malformed_entries_count_as_none(entry: Json) -> None:
    live = applied(None, thing({"size": 1}))
    assert owned(updated(live, thing({"size": 1}), entries=[entry])) == {"alice/Apply": [".spec.size"]}


def test_an_update_entry_can_be_turned_into_an_apply_entry() -> None:
    # This is how ownership by POST becomes ownership by apply: the entries are rewritten, then the rest is computed.
    live = updated(None, thing({"size": 1, "name": "n"}), "alice")
    entries = copy.deepcopy(live["metadata"]["managedFields"])
    entries[0]["operation"] = "Apply"
    found = updated(live, thing({"size": 1, "name": "n"}), entries=entries)
    assert owned(found) == {"alice/Apply": [".spec", ".spec.name", ".spec.size"]}
    assert applied(found, thing({"name": "n"}))["spec"] == {"name": "n"}


def test_entries_cannot_be_rewritten_through_a_subresource() -> None:
    live = updated(None, thing({"size": 1}), "alice")
    found = updated(live, thing({"size": 1}), entries=[], subresource="status")
    assert live["metadata"]["managedFields"] == found["metadata"]["managedFields"]


def test_an_object_without_entries_is_first_tracked_by_an_apply() -> None:
    live = thing({"size": 1, "name": "n"}, uid="1")
    assert owned(updated(live, thing({"size": 2, "name": "n"}))) == {}
    assert owned(applied(live, thing({"name": "n"}))) == {
        "alice/Apply": [".spec.name"],
        "before-first-apply/Update": [".spec", ".spec.name", ".spec.size"],
    }


def test_the_oldest_updaters_are_merged_beyond_ten() -> None:
    live = updated(None, thing({"words": {"w0": "x"}}), "m0", now="2026-01-01T00:00:00Z")
    for n in range(1, 12):
        words = {**live["spec"]["words"], f"w{n}": "x"}
        live = updated(live, thing({"words": words}), f"m{n}", now=f"2026-01-{n + 1:02}T00:00:00Z")
    found = owned(live)
    assert len(found) == 10
    assert found["ancient-changes/Update"] == [
        ".spec",
        ".spec.words",
        ".spec.words.w0",
        ".spec.words.w1",
        ".spec.words.w2",
    ]
    assert times(live)["ancient-changes"] == "2026-01-03T00:00:00Z"


def test_old_updaters_are_merged_version_by_version_until_ten_are_left() -> None:
    managed = {
        Identity(f"m{n:02}", "Update", f"v{n % 2}"): Entry(
            FieldSet.of((f"f:{n}",)), f"v{n % 2}", f"2026-01-{n + 1:02}T00:00:00Z"
        )
        for n in range(14)
    }
    cap_updaters(managed)
    ancient = {identity.api_version: entry for identity, entry in managed.items() if identity.manager == ANCIENT}
    assert len(managed) == 10
    assert {version: len(entry.fields.members) for version, entry in ancient.items()} == {"v0": 3, "v1": 3}
    assert ancient["v1"].time == "2026-01-06T00:00:00Z"


def test_entries_are_sorted_appliers_first_then_by_time() -> None:
    live = updated(None, thing({"size": 1}), "zoe", now=THEN)
    live = updated(live, thing({"size": 1, "name": "n"}), "bob", now=NOW)
    live = applied(live, thing({"row": [1]}), now=LATER)
    assert [e["manager"] for e in live["metadata"]["managedFields"]] == ["alice", "zoe", "bob"]


def test_a_nameless_manager_is_unknown() -> None:
    assert "unknown/Update" in owned(updated(None, thing({"size": 1}), ""))


def test_an_object_that_does_not_fit_is_stored_without_entries() -> None:
    live = updated(None, thing({"size": 1}))
    assert owned(updated(live, thing({"nope": 1}))) == {}


def test_fields_below_what_became_atomic_become_that_one_field() -> None:
    live = applied(None, thing({"words": {"a": "1"}}))
    whole = compile_schema(
        {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": {
                        "words": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": TEXT},
                        "size": NUMBER,
                    },
                }
            },
        }
    )
    assert owned(updated(live, thing({"words": {"a": "1"}, "size": 1}), schema=whole)) == {
        "alice/Apply": [".spec.words"],
        "bob/Update": [".spec.size"],
    }


# ── kinds of the server itself ──────────────────────────────────────────────────────────────────────


def test_a_secret_is_owned_key_by_key() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "YQ=="}, "type": "Opaque"}
    assert owned(updated(None, secret, schema=BUILTIN["", "v1", "Secret"])) == {
        "bob/Update": [".data", ".type", ".data.a"]
    }


def test_structs_that_are_always_there_are_nobodys() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"clusterIP": "None"}}
    assert owned(updated(None, service, schema=BUILTIN["", "v1", "Service"])) == {"bob/Update": [".spec.clusterIP"]}


def test_containers_of_a_pod_are_owned_as_on_a_real_server() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    (entry,) = updated(None, pod, schema=BUILTIN["", "v1", "Pod"])["metadata"]["managedFields"]
    assert entry["fieldsV1"] == {
        "f:spec": {
            "f:containers": {'k:{"name":"c"}': {".": {}, "f:image": {}, "f:name": {}, "f:resources": {}}},
        }
    }
