"""Label and field selectors, against a plain reading of what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.sandbox.apiserver.failures import Failure
from controller.sandbox.apiserver.selectors import parse, parse_labels

LABELS = {"app": "a", "tier": "db", "n": "7"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app", True),
        ("absent", False),
        ("!absent", True),
        ("! app", False),
        ("app=a", True),
        ("app==a,tier=db", True),
        ("app=a,tier=web", False),
        ("app!=b", True),
        ("absent!=b", True),
        ("app in (b, a)", True),
        ("app notin (a)", False),
        ("absent notin (a)", True),
        ("n>6,n<8", True),
        ("app>1", False),
        ("app in (a),!gone", True),
    ],
)
def test_a_label_selector_means_what_it_says(text: str, expected: bool) -> None:
    assert expected == all(requirement.matches(LABELS) for requirement in parse_labels(text))


@pytest.mark.parametrize("text", ["a in", "a in b", "a in (b", "=a", "a=b,", "a==b=c", "a>x", "-a=b", "a=b c"])
def test_a_selector_that_cannot_be_read_is_a_bad_request(text: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_labels(text)
    assert caught.value.code == 400


def test_an_unknown_field_is_a_bad_request() -> None:
    with pytest.raises(Failure, match=r"field label not supported: spec\.size"):
        parse("", "spec.size=1", ())


names = st.from_regex(r"[a-z][a-z0-9.-]{0,8}[a-z0-9]", fullmatch=True)


@given(key=names, values=st.lists(names, min_size=1, max_size=4), labels=st.dictionaries(names, names, max_size=4))
def test_a_set_and_its_complement_divide_all_labels(key: str, values: list[str], labels: dict[str, str]) -> None:
    (inside,) = parse_labels(f"{key} in ({','.join(values)})")
    (outside,) = parse_labels(f"{key} notin ({','.join(values)})")
    assert inside.matches(labels) != outside.matches(labels)
    assert inside.matches(labels) == (labels.get(key) in values)
