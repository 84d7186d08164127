from __future__ import annotations

import pytest

from controller.replication.selector import matches, problem, text
from controller.replication.types import LabelSelector, SelectorRequirement


def expression(operator: str, *values: str) -> LabelSelector:
    return LabelSelector(match_expressions=[SelectorRequirement(key="tier", operator=operator, values=list(values))])


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        (LabelSelector(match_labels={"a": "1", "b": "2"}), {"a": "1", "b": "2", "c": "3"}, True),
        (LabelSelector(match_labels={"a": "1", "b": "2"}), {"a": "1"}, False),
        (LabelSelector(match_labels={"a": "1"}), None, False),
        (expression("In", "x", "y"), {"tier": "y"}, True),
        (expression("In", "x", "y"), {"tier": "z"}, False),
        (expression("In", "x"), {}, False),
        (expression("NotIn", "x"), {"tier": "y"}, True),
        (expression("NotIn", "x"), {}, True),
        (expression("NotIn", "x"), {"tier": "x"}, False),
        (expression("Exists"), {"tier": ""}, True),
        (expression("Exists"), {}, False),
        (expression("DoesNotExist"), {}, True),
        (expression("DoesNotExist"), {"tier": "x"}, False),
    ],
)
def test_a_selector_means_what_the_api_says(
    selector: LabelSelector, labels: dict[str, str] | None, expected: bool
) -> None:
    assert problem(selector) == ""
    assert matches(selector, labels) is expected


@pytest.mark.parametrize(
    ("selector", "says"),
    [
        (None, "spec.selector is empty"),
        (LabelSelector(), "spec.selector is empty"),
        (expression("Like", "x"), "matchExpressions[0].operator"),
        (expression("In"), "matchExpressions[0].values is empty"),
        (expression("NotIn"), "matchExpressions[0].values is empty"),
        (expression("Exists", "x"), "matchExpressions[0].values must be empty"),
        (expression("DoesNotExist", "x"), "matchExpressions[0].values must be empty"),
    ],
)
def test_a_selector_that_is_wrong_or_selects_everything_is_refused(selector: LabelSelector | None, says: str) -> None:
    assert says in problem(selector)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (LabelSelector(match_labels={"b": "2", "a": "1"}), "a=1,b=2"),
        (expression("In", "x", "y"), "tier in (x,y)"),
        (expression("NotIn", "x"), "tier notin (x)"),
        (expression("Exists"), "tier"),
        (expression("DoesNotExist"), "!tier"),
    ],
)
def test_a_selector_as_a_parameter(selector: LabelSelector, expected: str) -> None:
    assert text(selector) == expected
