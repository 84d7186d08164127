from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controller.kube.objects import Object, decode, parse
from controller.kube.structs import ObjectMeta
from controller.replication import copies
from controller.replication.copies import mark
from controller.replication.types import ONLY, REPLICATED_FROM, ReplicatedSecret

LABELS = {"app": "x"}


def replicated(*targets: dict[str, Any], name: str = "rs") -> ReplicatedSecret:
    obj = {
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {
            "selector": {"matchLabels": LABELS},
            "replicationTargets": list(targets) or [{"k8sContextName": "remote"}],
        },
    }
    return decode(msgspec.json.encode(obj), ReplicatedSecret)


def secret(name: str = "s", **labels: str) -> Object:
    return parse(msgspec.json.encode({"metadata": {"name": name, "namespace": "ns", "labels": {**LABELS, **labels}}}))


def content(**fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": "s", "namespace": "ns"}, "type": "Opaque", "data": {"k": "dg=="}, **fields}


def rendered(target: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    rs = replicated({"k8sContextName": "remote", **(target or {})})
    (copy,) = copies.wanted(rs, "remote", [secret()])
    return copies.render(rs, copy, content(**fields))


def places(rs: ReplicatedSecret, context: str, *sources: Object) -> list[str]:
    return ["/".join(copy.place) for copy in copies.wanted(rs, context, sources)]


# ── which ───────────────────────────────────────────────────────────────────────────────────────────


def test_each_selected_secret_is_wanted_in_each_target_of_the_context() -> None:
    rs = replicated(
        {"k8sContextName": "remote"},
        {"k8sContextName": "remote", "namespace": "other", "targetPrefix": "p-"},
        {"k8sContextName": "elsewhere"},
    )
    assert places(rs, "remote", secret("b"), secret("a")) == ["ns/a", "ns/b", "other/p-a", "other/p-b"]
    assert places(rs, "elsewhere", secret("a"), secret("z", app="y")) == ["ns/a"]


def test_the_source_itself_is_no_target() -> None:
    rs = replicated({"namespace": "ns"}, {"namespace": "other"})
    assert places(rs, "", secret()) == ["other/s"]


def test_a_copy_beside_its_source_that_would_be_selected_again_is_not_made() -> None:
    assert places(replicated({"targetPrefix": "p-"}), "", secret()) == []
    assert places(replicated({"targetPrefix": "p-", "dropLabels": ["app"]}), "", secret()) == ["ns/p-s"]


def test_a_copy_is_not_copied_on_inside_the_control_plane_but_may_go_elsewhere() -> None:
    copied = secret(**{REPLICATED_FROM: "other.rs"})
    rs = replicated({"namespace": "other", "targetPrefix": "p-"}, {"k8sContextName": "remote"})
    assert places(rs, "", copied) == []
    assert places(rs, "remote", copied) == ["ns/s"]


def test_two_targets_that_ask_for_one_and_the_same_copy_are_one() -> None:
    (copy,) = copies.wanted(
        replicated({"k8sContextName": "remote"}, {"k8sContextName": "remote"}), "remote", [secret()]
    )
    assert copy.refusal is None


@pytest.mark.parametrize(
    "targets",
    [
        ({"targetPrefix": "a-"}, {"targetPrefix": "a"}),
        ({"addLabels": {"x": "1"}}, {"addLabels": {"x": "2"}}),
    ],
)
def test_names_that_collide_are_refused_for_all(targets: tuple[dict[str, Any], ...]) -> None:
    rs = replicated(*({"k8sContextName": "remote", **target} for target in targets))
    found = copies.wanted(rs, "remote", [secret("b"), secret("-b")])
    assert "NameCollision" in {copy.refusal[0] for copy in found if copy.refusal}
    assert len({copy.place for copy in found}) == len(found)


@pytest.mark.parametrize("prefix", ["Upper-", "a/b", "-", "a..", "a" * 253])
def test_a_prefix_that_makes_no_name_is_refused(prefix: str) -> None:
    rs = replicated({"k8sContextName": "remote", "targetPrefix": prefix})
    (copy,) = copies.wanted(rs, "remote", [secret()])
    assert copy.refusal is not None
    assert copy.refusal[0] == "InvalidSpec"


# ── what ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_copy_has_content_labels_and_annotations_of_its_source() -> None:
    source = {"metadata": {"name": "s", "namespace": "ns", "annotations": {"theirs": "x"}}, "immutable": True}
    assert rendered({"namespace": "other", "targetPrefix": "p-"}, **source, type="t/u") == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "p-s",
            "namespace": "other",
            "labels": {"app": "x", REPLICATED_FROM: "ns.rs"},
            "annotations": {"theirs": "x"},
        },
        "type": "t/u",
        "data": {"k": "dg=="},
        "immutable": True,
    }


@pytest.mark.parametrize("key", ["kubectl.kubernetes.io/last-applied-configuration", "k8ssandra.io/resource-hash"])
def test_annotations_that_tell_the_content_are_not_copied(key: str) -> None:
    metadata = {"name": "s", "namespace": "ns", "annotations": {key: "the secret"}}
    assert "annotations" not in rendered(metadata=metadata)["metadata"]


def test_labels_are_dropped_and_added_but_never_the_mark() -> None:
    target = {"dropLabels": ["app", REPLICATED_FROM], "addLabels": {"new": "y", REPLICATED_FROM: "forged"}}
    assert rendered(target)["metadata"]["labels"] == {"new": "y", REPLICATED_FROM: "ns.rs"}


def test_a_mark_longer_than_a_label_keeps_its_beginning_and_stays_unique() -> None:
    first, second = mark("ns", "x" * 80 + "1"), mark("ns", "x" * 80 + "2")
    assert mark("a", "b") == "a.b"
    assert mark("a", "b" * 61) == "a." + "b" * 61
    assert first != second
    assert {len(first), len(second)} == {63}
    assert first.startswith("ns.xxx")


# ── against the live copy ───────────────────────────────────────────────────────────────────────────


def live(**changes: Any) -> dict[str, Any]:
    found = rendered()
    found["metadata"] |= changes.pop("metadata", {})
    return {**found, **changes}


def test_a_copy_that_is_right_is_not_written() -> None:
    assert copies.overlaid(rendered(), live(), ()) is None


def test_marks_of_others_on_a_copy_stay() -> None:
    theirs = {
        "labels": {**live()["metadata"]["labels"], "cassandra.datastax.com/watched": "true"},
        "annotations": {"cassandra.datastax.com/watched-by": "x"},
        "finalizers": ["theirs"],
    }
    assert copies.overlaid(rendered(), live(metadata=theirs), ()) is None
    changed = copies.overlaid(rendered(), live(metadata=theirs, data={}), ())
    assert changed is not None
    assert {key: changed["metadata"][key] for key in theirs} == theirs


@pytest.mark.parametrize(
    "drift",
    [
        {"data": {"k": "b3RoZXI="}},
        {"data": None},
        {"data": {"k": "dg==", "more": "dg=="}},
        {"metadata": {"labels": {REPLICATED_FROM: "ns.rs"}}},
        {"metadata": {"ownerReferences": [{"uid": "x"}]}},
    ],
)
def test_drift_is_seen(drift: dict[str, Any]) -> None:
    changed = copies.overlaid(rendered(), live(**drift), ())
    assert changed is not None
    assert changed["data"] == {"k": "dg=="}
    assert "ownerReferences" not in changed["metadata"]


def test_a_label_that_is_dropped_goes_from_a_copy_that_has_it() -> None:
    stale = live(metadata={"labels": {"app": "x", REPLICATED_FROM: "ns.rs"}})
    changed = copies.overlaid(rendered({"dropLabels": ["app"]}), stale, ["app"])
    assert changed is not None
    assert changed["metadata"]["labels"] == {REPLICATED_FROM: "ns.rs"}


@pytest.mark.parametrize(
    ("expected", "source", "theirs"),
    [
        (False, {}, {}),
        (False, {}, {"data": {}}),
        (True, {}, {"type": "other"}),
        (True, {}, {"immutable": True, "data": {}}),
        (True, {}, {"immutable": True}),
        (False, {"immutable": True}, {"immutable": True}),
        (True, {"immutable": True}, {"immutable": True, "data": {}}),
    ],
)
def test_a_copy_that_no_server_changes_is_told_from_others(
    expected: bool, source: dict[str, Any], theirs: dict[str, Any]
) -> None:
    assert copies.must_be_replaced(rendered(**source), live(**theirs)) is expected


def test_a_restriction_names_the_targets_that_a_secret_goes_to() -> None:
    rs = msgspec.structs.replace(
        replicated({"k8sContextName": "one"}, {"k8sContextName": "two", "namespace": "other"}),
        metadata=ObjectMeta(name="rs", namespace="ns", annotations={ONLY: '{"a": ["two/other"], "b": []}'}),
    )
    found = {context: places(rs, context, secret("a"), secret("b"), secret("c")) for context in ("one", "two")}
    assert found == {"one": ["ns/c"], "two": ["other/a", "other/c"]}


def test_a_restriction_that_cannot_be_read_restricts_nothing() -> None:
    metadata = ObjectMeta(name="rs", namespace="ns", annotations={ONLY: "a"})
    assert copies.restriction(msgspec.structs.replace(replicated(), metadata=metadata)) == {}
