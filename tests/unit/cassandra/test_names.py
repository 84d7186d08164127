from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cassandra import names


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        ("demo", "demo"),
        ("notk8s-compliant", "Not K8s_Compliant"),
        ("weirdclustername", "Weird Cluster Name"),
        ("e2etestcluster", "E2E Test Cluster"),
        ("abc", "1abc"),
        ("my-cluster", "my_cluster-"),
        ("", "123"),
        ("", ""),
        ("a" * 63, "a" * 63),
        ("a" * 64, "a" * 64),  # not truncated: what does not fit is an error elsewhere
    ],
)
def test_a_cluster_name_becomes_the_label_that_cass_operator_makes_of_it(expected: str, given: str) -> None:
    assert expected == names.kubernetes_name(given)


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        ("demo", "demo"),
        ("NotK8s_Compliant", "Not K8s_Compliant"),
        ("a.b-c", "a.b-c"),
        ("ab", "-a!b-"),
        ("", "---"),
    ],
)
def test_a_label_value_loses_blanks_and_what_a_label_may_not_have(expected: str, given: str) -> None:
    assert expected == names.label_value(given)


@pytest.mark.parametrize(
    ("expected", "given"), [("rack1", "rack1"), ("1", "1"), ("r.1", "r.1"), ("rack-a", "Rack_A"), ("rackb", "rack b")]
)
def test_a_rack_name_becomes_a_subdomain(expected: str, given: str) -> None:
    assert expected == names.subdomain(given)


@given(st.text(max_size=80))
def test_a_made_name_is_empty_too_long_or_valid_and_stays(text: str) -> None:
    made = names.kubernetes_name(text)
    assert made == "" or len(made) > names.LABEL_LENGTH or names.is_label(made)
    assert made == names.kubernetes_name(made)


@given(st.text(max_size=80))
def test_a_made_label_value_is_valid_when_it_is_not_too_long(text: str) -> None:
    made = names.label_value(text)
    assert names.is_label_value(made) or len(made) > names.LABEL_LENGTH


def test_names_of_a_datacenters_objects() -> None:
    assert names.stateful_set("My Cluster", "dc1", "Rack_A") == "mycluster-dc1-rack-a-sts"
    assert names.seed_service("My Cluster") == "mycluster-seed-service"
    assert names.additional_seed_service("demo", "dc1") == "demo-dc1-additional-seed-service"
    assert names.all_pods_service("demo", "dc1") == "demo-dc1-all-pods-service"
    assert names.contact_points_service("demo", "dc1") == "demo-dc1-contact-points-service"
    assert names.metrics_config_map("My Cluster", "dc1") == "mycluster-dc1-metrics-agent-config"
    assert names.per_node_config_map("demo", "DC One") == "demo-dcone-per-node-config"
    assert names.default_superuser_secret("My Cluster") == "mycluster-superuser"


@pytest.mark.parametrize("bad", ["", "A", "1a", "a-", "a.b", "a" * 64, "a\n"])
def test_what_is_no_label(bad: str) -> None:
    assert not names.is_label(bad)


def test_a_namespace_may_begin_with_a_digit() -> None:
    assert names.is_namespace("1a")
    assert not names.is_namespace("a.b")
