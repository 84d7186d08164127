from __future__ import annotations

from typing import Any

import pytest

from controller.kube.projection import Projection

SENT = {
    "conditions": [{"type": "A", "reason": "X"}, {"type": "B", "reason": "Y"}],
    "more": {"deep": 1, "kept": 2},
    "error": "",
}


def learnt(sent: Any, got: Any) -> Projection:
    projection = Projection()
    assert projection.learn(sent, got)
    return projection


def test_nothing_is_dropped_before_an_answer_showed_it() -> None:
    projection = Projection()
    assert projection.project(SENT) == SENT
    assert not projection.learn(SENT, SENT)
    assert projection.dropped == []


def test_what_an_answer_left_out_is_left_out_of_comparisons() -> None:
    got = {"conditions": [{"type": "A"}, {"type": "B"}], "more": {"kept": 2}, "error": ""}
    projection = learnt(SENT, got)
    assert projection.dropped == ["conditions[*].reason", "more.deep"]
    assert projection.project(SENT) == got


def test_a_field_that_was_dropped_whole_is_one_path() -> None:
    assert learnt(SENT, {"error": ""}).dropped == ["conditions", "more"]


@pytest.mark.parametrize("empty", [None, {}, []])
def test_an_empty_field_that_is_absent_was_not_dropped(empty: Any) -> None:
    assert not Projection().learn({"a": empty}, {})


def test_a_field_that_one_element_kept_is_kept() -> None:
    assert not Projection().learn(SENT, SENT | {"conditions": [{"type": "A"}, {"type": "B", "reason": "Y"}]})


def test_lists_of_another_length_tell_nothing() -> None:
    assert not Projection().learn({"a": [{"b": 1}]}, {"a": []})


def test_a_definition_that_was_upgraded_keeps_more() -> None:
    projection = learnt(SENT, SENT | {"more": {"kept": 2}})
    assert projection.learn(SENT, SENT)
    assert projection.dropped == []


def test_the_same_answer_twice_is_no_news() -> None:
    projection = learnt({"a": 1, "b": 2}, {"a": 1})
    assert not projection.learn({"a": 1, "b": 2}, {"a": 1})


def test_a_swap_of_what_is_dropped_is_news() -> None:
    projection = learnt({"a": 1, "b": 2}, {"a": 1})
    assert projection.learn({"a": 1, "b": 2}, {"b": 2})
    assert projection.dropped == ["a"]
