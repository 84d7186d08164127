from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.fleet.object_names import distinct_name, is_object_name, object_name


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("kind-k8ssandra-1", "kind-k8ssandra-1"),
        ("a.b", "a.b"),
        ("gke-p-z-n", "gke_p_z_n"),
        ("arn-aws-eks-eu-west-1-1-cluster-x", "arn:aws:eks:eu-west-1:1:cluster/x"),
        ("user-cluster", "user@cluster"),
        ("a.b", "-A.-B-..-"),
        ("b-cher", "bücher"),
    ],
)
def test_names_stay_readable(name: str, context: str) -> None:
    assert object_name(context) == name


def test_contexts_without_one_usable_character_get_a_name_each() -> None:
    assert object_name("___") != object_name("@")


@given(st.text(min_size=1, max_size=300))
def test_every_name_is_valid_with_its_suffix(context: str) -> None:
    assert is_object_name(f"{object_name(context)}-config")
    assert is_object_name(f"{distinct_name(context)}-config")


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True))
def test_what_is_a_name_already_is_kept(context: str) -> None:
    assert object_name(context) == context


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a..b", "a" * 254, "a\n"])
def test_what_is_no_name(name: str) -> None:
    assert not is_object_name(name)
