from __future__ import annotations

from controller.kube.conditions import Condition, find, is_true, merge

NOW = "2026-01-02T00:00:00Z"
BEFORE = "2026-01-01T00:00:00Z"
LIVE = {"type": "Ready", "status": "True", "reason": "A", "message": "m", "lastTransitionTime": BEFORE}


def test_a_new_condition_begins_now() -> None:
    wanted = Condition(type="Ready", status="True", reason="A", message="m", observed_generation=2)
    assert merge([], [wanted], NOW) == [LIVE | {"lastTransitionTime": NOW, "observedGeneration": 2}]


def test_the_time_moves_only_with_the_status() -> None:
    same = merge([LIVE], [Condition(type="Ready", status="True", reason="B", message="n")], NOW)
    assert same == [LIVE | {"reason": "B", "message": "n"}]
    other = merge([LIVE], [Condition(type="Ready", status="False", reason="B", message="n")], NOW)
    assert other[0]["lastTransitionTime"] == NOW


def test_a_live_condition_without_a_time_gets_one() -> None:
    live = {"type": "Ready", "status": "True"}
    assert merge([live], [Condition(type="Ready", status="True", reason="A")], NOW)[0]["lastTransitionTime"] == NOW


def test_others_stay_where_they_are() -> None:
    theirs = {"type": "Theirs", "status": "Unknown", "more": 1}
    wanted = [
        Condition(type="Ready", status="True", reason="A", message="m"),
        Condition(type="New", status="False", reason="B"),
    ]
    assert [entry["type"] for entry in merge([theirs, LIVE], wanted, NOW)] == ["Theirs", "Ready", "New"]
    assert merge([theirs, LIVE], wanted, NOW)[:2] == [theirs, LIVE]


def test_a_message_is_one_line_of_at_most_1_kib() -> None:
    merged = merge([], [Condition(type="Ready", status="True", reason="A", message="a\nb" + "x" * 5000)], NOW)
    assert len(merged[0]["message"]) == 1024
    assert merged[0]["message"].startswith("a\\nb")


def test_what_is_merged_twice_does_not_change() -> None:
    wanted = [Condition(type="Ready", status="False", reason="B", message="x\ty" * 900)]
    once = merge([LIVE], wanted, BEFORE)
    assert merge(once, wanted, NOW) == once


def test_a_condition_is_found_by_its_type() -> None:
    assert find([LIVE], "Ready") == LIVE
    assert (find([LIVE], "Other"), find(None, "Ready")) == ({}, {})
    assert is_true([LIVE], "Ready")
    assert not is_true([LIVE], "Other")
