from __future__ import annotations

from controller.replication.selections import Selections
from controller.replication.types import LabelSelector, SelectorRequirement

ONE, OTHER = ("ns", "one"), ("ns", "other")
TWO_LABELS = LabelSelector(match_labels={"b": "2", "a": "1"})


def selections(**selectors: LabelSelector) -> Selections:
    made = Selections()
    for name, selector in selectors.items():
        made.learn(("ns", name), selector)
    return made


def test_a_secret_leads_to_those_that_ask_for_labels_which_it_has() -> None:
    made = selections(one=TWO_LABELS, other=LabelSelector(match_labels={"c": "3"}))
    assert list(made.of("ns", {"a": "1", "b": "2", "d": "4"})) == [ONE]
    assert sorted(made.of("ns", {"a": "1", "b": "2", "c": "3"})) == [ONE, OTHER]


def test_another_value_a_missing_label_or_another_namespace_leads_nowhere() -> None:
    made = selections(one=TWO_LABELS)
    for namespace, labels in (("ns", {"a": "1", "b": "3"}), ("ns", {"a": "1"}), ("else", {"a": "1", "b": "2"})):
        assert list(made.of(namespace, labels)) == []


def test_expressions_alone_may_select_every_secret_of_the_namespace() -> None:
    exists = LabelSelector(match_expressions=[SelectorRequirement(key="a", operator="Exists")])
    made = selections(one=exists)
    assert list(made.of("ns", None)) == [ONE]
    assert list(made.of("else", {"a": "1"})) == []


def test_a_selector_that_changes_is_forgotten_and_so_is_one_that_is_gone() -> None:
    made = selections(one=TWO_LABELS, other=TWO_LABELS)
    made.learn(ONE, LabelSelector(match_labels={"c": "3"}))
    assert list(made.of("ns", {"a": "1", "b": "2"})) == [OTHER]
    assert list(made.of("ns", {"c": "3"})) == [ONE]
    made.learn(ONE, None)
    made.learn(OTHER, None)
    made.learn(OTHER, None)
    assert list(made.of("ns", {"a": "1", "b": "2", "c": "3"})) == []
