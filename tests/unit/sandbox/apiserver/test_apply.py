"""Server-side apply: what happens to the object, and who owns what afterwards."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from controller.sandbox.apiserver.apply import (
    LAST_APPLIED,
    ApplyConflict,
    InvalidApply,
)
from controller.sandbox.apiserver.builtin import BUILTIN
from tests.unit.sandbox.apiserver.owners import (
    LATER,
    NOW,
    THEN,
    VERSION,
    Json,
    applied,
    owned,
    thing,
    times,
    updated,
)

# ── what an apply owns ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expected", "spec"),
    [
        ([".spec.size"], {"size": 1}),
        ([".spec.nested.a"], {"nested": {"a": 1}}),
        ([".spec.nested"], {"nested": {}}),
        (['.spec.tags[="a"]', '.spec.tags[="b"]'], {"tags": ["a", "b"]}),
        (
            ['.spec.list[name="a"]', '.spec.list[name="a"].name', '.spec.list[name="a"].value'],
            {"list": [{"name": "a", "value": "1"}]},
        ),
        (
            ['.spec.ports[port=80,protocol="TCP"]', '.spec.ports[port=80,protocol="TCP"].port'],
            {"ports": [{"port": 80}]},
        ),
        ([".spec.whole"], {"whole": {"a": "b"}}),
        ([".spec.row"], {"row": [1, 2]}),
        ([".spec.words.a", ".spec.words.b"], {"words": {"a": "1", "b": "2"}}),
        ([".spec.free.a", ".spec.free.l", ".spec.free.a.b"], {"free": {"a": {"b": 1}, "l": [{"c": 1}]}}),
        ([".spec.size"], {"size": None}),
        ([], {"list": []}),
        ([".spec"], {}),
    ],
)
def test_an_apply_owns_its_leaves_and_items(expected: list[str], spec: Json) -> None:
    assert expected == owned(applied(None, thing(spec))).get("alice/Apply", [])


def test_identity_is_never_owned_but_labels_are() -> None:
    obj = thing(None, namespace="n", uid="1", labels={"a": "b"}, generation=1, creationTimestamp=THEN)
    assert owned(applied(None, obj)) == {"alice/Apply": [".metadata.labels.a"]}


def test_owner_references_are_owned_by_uid_and_finalizers_one_by_one() -> None:
    obj = thing(None, ownerReferences=[{"uid": "u", "name": "o"}], finalizers=["f"])
    assert owned(applied(None, obj)) == {
        "alice/Apply": ['.metadata.finalizers[="f"]', '.metadata.ownerReferences[uid="u"]']
    }


def test_without_a_schema_maps_are_merged_and_lists_replaced() -> None:
    found = applied(None, thing({"a": {"b": 1}, "list": [{"name": "x"}]}), schema=None)
    assert owned(found) == {"alice/Apply": [".spec", ".spec.a", ".spec.list", ".spec.a.b"]}


def test_an_entry_says_who_when_and_in_which_version() -> None:
    (entry,) = applied(None, thing({"size": 1}))["metadata"]["managedFields"]
    assert entry == {
        "manager": "alice",
        "operation": "Apply",
        "apiVersion": VERSION,
        "time": NOW,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:size": {}}},
    }


def test_an_apply_of_nothing_leaves_no_entry() -> None:
    assert "managedFields" not in applied(None, thing())["metadata"]


# ── applying again ──────────────────────────────────────────────────────────────────────────────────


def test_applying_the_same_again_changes_nothing() -> None:
    live = applied(None, thing({"size": 1, "list": [{"name": "a"}]}))
    assert live == applied(live, thing({"size": 1, "list": [{"name": "a"}]}), now=LATER)


def test_a_change_moves_the_time() -> None:
    live = applied(None, thing({"size": 1}))
    assert times(applied(live, thing({"size": 2}), now=LATER)) == {"alice": LATER}


@pytest.mark.parametrize(
    ("expected", "first", "second"),
    [
        ({"name": "n"}, {"size": 1, "name": "n"}, {"name": "n"}),
        ({"name": "n"}, {"nested": {"a": 1}, "name": "n"}, {"name": "n"}),
        ({"nested": {"b": 2}}, {"nested": {"a": 1, "b": 2}}, {"nested": {"b": 2}}),
        ({"tags": ["b"]}, {"tags": ["a", "b"]}, {"tags": ["b"]}),
        ({"list": [{"name": "b"}]}, {"list": [{"name": "a"}, {"name": "b"}]}, {"list": [{"name": "b"}]}),
        (
            {"list": [{"name": "a"}]},
            {"list": [{"name": "a", "value": "1"}]},
            {"list": [{"name": "a"}]},
        ),
        ({"words": {"b": "2"}}, {"words": {"a": "1", "b": "2"}}, {"words": {"b": "2"}}),
        ({"whole": {"b": "2"}}, {"whole": {"a": "1"}}, {"whole": {"b": "2"}}),
        ({"row": [3]}, {"row": [1, 2]}, {"row": [3]}),
        ({"free": {"b": 1}}, {"free": {"a": 1, "b": 1}}, {"free": {"b": 1}}),
        ({"tags": ["b", "a"]}, {"tags": ["a", "b"]}, {"tags": ["b", "a"]}),
    ],
)
def test_what_is_no_longer_applied_is_removed(expected: Json, first: Json, second: Json) -> None:
    assert expected == applied(applied(None, thing(first)), thing(second))["spec"]


def test_what_another_applier_owns_too_stays() -> None:
    live = applied(applied(None, thing({"size": 1, "name": "n"})), thing({"size": 1}), "carol")
    found = applied(live, thing({"name": "n"}))
    assert found["spec"] == {"size": 1, "name": "n"}
    assert owned(found) == {"alice/Apply": [".spec.name"], "carol/Apply": [".spec.size"]}


def test_a_field_of_an_update_entry_survives_an_apply_that_leaves_it_out() -> None:
    live = updated(None, thing({"size": 1, "name": "n"}), "alice")
    found = applied(live, thing({"name": "n"}))
    assert found["spec"] == {"size": 1, "name": "n"}
    assert owned(found)["alice/Update"] == [".spec", ".spec.name", ".spec.size"]


def test_an_item_that_another_manager_extended_stays_with_what_is_theirs() -> None:
    live = applied(None, thing({"list": [{"name": "a", "value": "1"}]}))
    live = applied(live, thing({"list": [{"name": "a", "other": "2"}]}), "carol")
    assert applied(live, thing({"list": []}))["spec"] == {"list": [{"name": "a", "other": "2"}]}


# ── merging ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expected", "first", "second"),
    [
        ({"size": 1, "name": "n"}, {"size": 1}, {"name": "n"}),
        ({"nested": {"a": 1, "b": 2}}, {"nested": {"a": 1}}, {"nested": {"b": 2}}),
        ({"tags": ["a", "b", "c"]}, {"tags": ["a", "b"]}, {"tags": ["c"]}),
        ({"tags": ["b", "a"]}, {"tags": ["a", "b"]}, {"tags": ["b", "a"]}),
        ({"tags": ["x", "b", "a"]}, {"tags": ["a", "x", "b"]}, {"tags": ["b", "a"]}),
        (
            {"list": [{"name": "a", "value": "1", "other": "2"}, {"name": "b"}]},
            {"list": [{"name": "a", "value": "1"}]},
            {"list": [{"name": "a", "other": "2"}, {"name": "b"}]},
        ),
        (
            {"ports": [{"port": 80, "protocol": "TCP", "name": "x"}]},
            {"ports": [{"port": 80}]},
            {"ports": [{"port": 80, "protocol": "TCP", "name": "x"}]},
        ),
        (
            {"ports": [{"port": 80}, {"port": 80, "protocol": "UDP"}]},
            {"ports": [{"port": 80}]},
            {"ports": [{"port": 80, "protocol": "UDP"}]},
        ),
        ({"words": {"a": "1", "b": "2"}}, {"words": {"a": "1"}}, {"words": {"b": "2"}}),
        ({"free": {"a": {"x": 1, "y": 2}}}, {"free": {"a": {"x": 1}}}, {"free": {"a": {"y": 2}}}),
    ],
)
def test_appliers_of_different_fields_share_an_object(expected: Json, first: Json, second: Json) -> None:
    live = applied(None, thing(first))
    assert expected == applied(live, thing(second), "carol")["spec"]


# ── conflicts ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "first", "second"),
    [
        (".spec.size", {"size": 1}, {"size": 2}),
        (".spec.nested.a", {"nested": {"a": 1}}, {"nested": {"a": 2}}),
        (
            '.spec.list[name="x"].value',
            {"list": [{"name": "x", "value": "1"}]},
            {"list": [{"name": "x", "value": "2"}]},
        ),
        (".spec.whole", {"whole": {"a": "1"}}, {"whole": {"b": "2"}}),
        (".spec.row", {"row": [1]}, {"row": [2]}),
        (".spec.words.a", {"words": {"a": "1"}}, {"words": {"a": "2"}}),
        (".spec.free.a", {"free": {"a": [1]}}, {"free": {"a": [2]}}),
    ],
)
def test_a_change_of_what_another_owns_is_a_conflict(path: str, first: Json, second: Json) -> None:
    live = applied(None, thing(first))
    with pytest.raises(ApplyConflict) as caught:
        applied(live, thing(second), "carol")
    assert caught.value.conflicts == [('"alice"', path)]
    assert str(caught.value) == f'Apply failed with 1 conflict: conflict with "alice": {path}'


def test_an_updater_is_named_with_its_version() -> None:
    live = updated(
        None,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1"}},
        "kubectl-client-side-apply",
        schema=BUILTIN["", "v1", "ConfigMap"],
    )
    with pytest.raises(ApplyConflict) as caught:
        applied(live, {**live, "metadata": {"name": "x"}, "data": {"a": "2"}}, schema=BUILTIN["", "v1", "ConfigMap"])
    assert str(caught.value) == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1: .data.a'
    )
    assert caught.value.causes == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-client-side-apply" using v1',
            "field": ".data.a",
        }
    ]


def test_a_manager_of_a_subresource_is_named_with_it() -> None:
    live = updated(None, thing({"size": 1}))
    live = updated(live, thing({"size": 1}, {"phase": "a"}), "carol", subresource="status")
    with pytest.raises(ApplyConflict) as caught:
        applied(live, thing(None, {"phase": "b"}), "dave")
    assert caught.value.conflicts == [(f'"carol" with subresource "status" using {VERSION}', ".status.phase")]


def test_several_conflicts_are_grouped_by_manager() -> None:
    live = applied(applied(None, thing({"size": 1, "name": "n"})), thing({"row": [1]}), "bert")
    with pytest.raises(ApplyConflict) as caught:
        applied(live, thing({"size": 2, "name": "m", "row": [2]}), "carol")
    assert str(caught.value) == (
        'Apply failed with 3 conflicts: conflicts with "alice":\n- .spec.name\n- .spec.size\n'
        'conflicts with "bert":\n- .spec.row'
    )


def test_force_takes_the_field() -> None:
    live = applied(None, thing({"size": 1, "name": "n"}))
    found = applied(live, thing({"size": 2}), "carol", force=True)
    assert found["spec"] == {"size": 2, "name": "n"}
    assert owned(found) == {"alice/Apply": [".spec.name"], "carol/Apply": [".spec.size"]}


def test_an_equal_value_is_shared() -> None:
    live = applied(None, thing({"size": 1}))
    assert owned(applied(live, thing({"size": 1}), "carol")) == {
        "alice/Apply": [".spec.size"],
        "carol/Apply": [".spec.size"],
    }


def test_a_sharer_of_an_unchanged_object_has_no_time() -> None:
    live = applied(None, thing({"size": 1}))
    assert times(applied(live, thing({"size": 1}), "carol", now=LATER)) == {"alice": NOW, "carol": ""}


# ── what cannot be applied ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("message", "spec"),
    [
        (".spec.nope: field not declared in schema", {"nope": 1}),
        (".spec.nested.c: field not declared in schema", {"nested": {"c": 1}}),
        (".spec.size: expected numeric (int or float), got string", {"size": "x"}),
        (".spec.nested: expected map, got 1", {"nested": 1}),
        (".spec.row: expected list, got map[]", {"row": {}}),
        ('.spec.tags: duplicate entries for key [="a"]', {"tags": ["a", "a"]}),
        ('.spec.list: duplicate entries for key [name="a"]', {"list": [{"name": "a"}, {"name": "a"}]}),
        (
            '.spec.list: element 0: associative list with keys has an element that omits all key fields ["name"] '
            "(and doesn't have default values for any key fields)",
            {"list": [{"value": "1"}]},
        ),
        (
            ".spec.tags: element 0: associative list without keys has an element that's an explicit null",
            {"tags": [None]},
        ),
    ],
)
def test_an_object_that_does_not_fit_the_schema_is_refused(message: str, spec: Json) -> None:
    with pytest.raises(InvalidApply) as caught:
        applied(None, thing(spec))
    head = "failed to create typed patch object (/x; example.com/v1, Kind=Thing): "
    assert (500, head + message) == (caught.value.status, str(caught.value))


def test_an_apply_may_not_bring_entries() -> None:
    with pytest.raises(InvalidApply, match=r"metadata\.managedFields must be nil") as caught:
        applied(None, thing(None, managedFields=[]))
    assert caught.value.status == 400


def test_neither_argument_is_changed() -> None:
    live, obj = applied(None, thing({"size": 1})), thing({"size": 2, "tags": ["a"]})
    before = copy.deepcopy((live, obj))
    applied(live, obj)
    assert before == (live, obj)


# ── from client-side to server-side apply ───────────────────────────────────────────────────────────


def client_side(spec: Json, last: Json) -> Json:
    text = json.dumps(thing(last))
    return updated(None, thing(spec, annotations={LAST_APPLIED: text}), "kubectl-client-side-apply")


def test_kubectl_takes_over_what_it_applied_client_side() -> None:
    found = applied(client_side({"size": 1}, {"size": 1}), thing({"size": 2}), "kubectl")
    assert found["spec"] == {"size": 2}
    assert json.loads(found["metadata"]["annotations"][LAST_APPLIED]) == thing({"size": 2})


def test_another_manager_does_not() -> None:
    with pytest.raises(ApplyConflict):
        applied(client_side({"size": 1}, {"size": 1}), thing({"size": 2}), "carol")


def test_kubectl_does_not_take_what_changed_since() -> None:
    with pytest.raises(ApplyConflict, match=r"1 conflict: .*: \.spec\.size"):
        applied(client_side({"size": 5}, {"size": 1}), thing({"size": 2}), "kubectl")


# ── properties ──────────────────────────────────────────────────────────────────────────────────────

words = st.sampled_from("abc")
items = st.builds(lambda name, value: {"name": name, "value": value}, words, words)
specs = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(0, 2),
        # Never empty: an empty set or keyed list is set by an apply, but no field of it is owned.
        "tags": st.lists(words, unique=True, min_size=1),
        "list": st.lists(items, unique_by=lambda item: item["name"], min_size=1),
        "words": st.dictionaries(words, words),
        "whole": st.dictionaries(words, words),
        "row": st.lists(st.integers(0, 2), max_size=2),
        "free": st.dictionaries(words, st.one_of(st.integers(0, 2), st.dictionaries(words, st.integers(0, 2)))),
    },
)


@given(specs, specs)
def test_applying_twice_is_applying_once(first: Json, second: Json) -> None:
    live = applied(None, thing(first))
    once = applied(live, thing(second), "carol", force=True)
    assert once == applied(once, thing(second), "carol", force=True, now=LATER)


@given(specs, specs)
@settings(max_examples=60)
def test_managers_of_disjoint_fields_commute(left: Json, right: Json) -> None:
    right = {key: value for key, value in right.items() if key not in left}
    assume(left and right)  # an empty spec is itself a field, which both would share
    one = applied(applied(None, thing(left)), thing(right), "carol")
    two = applied(applied(None, thing(right), "carol"), thing(left))
    assert one == two


@given(specs, specs)
def test_an_applier_alone_gets_exactly_what_it_applies(first: Json, second: Json) -> None:
    found = applied(applied(None, thing(first)), thing(second))
    assert owned(applied(None, thing(second))) == owned(found)
    for key in ("size", "row", "whole"):
        assert second.get(key) == (found.get("spec") or {}).get(key)


@given(specs, specs)
def test_no_two_forced_appliers_disagree_on_a_field_they_share(first: Json, second: Json) -> None:
    live = applied(applied(None, thing(first)), thing(second), "carol", force=True)
    mine, theirs = (set(owned(live).get(f"{who}/Apply", [])) for who in ("alice", "carol"))
    for path in mine & theirs:
        if path == ".spec.size":
            assert first["size"] == second["size"]


@given(specs, specs)
def test_an_update_and_its_reverse_leave_nothing_to_the_first_owner_of_what_changed(a: Json, b: Json) -> None:
    live = applied(None, thing(a))
    found = updated(updated(live, thing(b)), thing(a))
    before, after = set(owned(live).get("alice/Apply", [])), set(owned(found).get("alice/Apply", []))
    assert after <= before
