"""From a review to its answer: refusals that name the field, warnings, and nothing that traps a finalizer."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.admission.review import BadReview, Rules, answer
from controller.cassandra.judgement import Contexts
from tests.unit.admission.reviews import encoded, review
from tests.unit.cassandra.samples import datacenter, manifest

Json = dict[str, Any]
RULES = Rules(lambda: Contexts(frozenset({"kind-dc1", "kind-dc2"})))
BAD = manifest(datacenter("DC1", k8sContext="kind-dc1"), datacenter("dc2", k8sContext="nowhere"))


def answered(body: bytes, rules: Rules = RULES) -> Json:
    """The response of the review that is answered."""
    made = msgspec.json.decode(answer(body, rules).body)
    assert (made["apiVersion"], made["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response: Json = made["response"]
    return response


def test_what_is_right_is_allowed() -> None:
    assert answered(encoded(manifest())) == {"uid": "review-1", "allowed": True}


def test_a_refusal_reads_like_one_of_the_api_server_itself() -> None:
    response = answered(encoded(BAD))
    status = response["status"]
    assert (response["uid"], response["allowed"]) == ("review-1", False)
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert "K8ssandraCluster ns/demo: spec.cassandra.datacenters[0].metadata.name: is no DNS label" in status["message"]
    assert [cause["field"] for cause in status["details"]["causes"]] == [
        "spec.cassandra.datacenters[0].metadata.name",
        "spec.cassandra.datacenters[1].k8sContext",
    ]


def test_an_update_is_compared_with_what_was() -> None:
    response = answered(encoded(manifest(clusterName="Other"), manifest()))
    assert [cause["field"] for cause in response["status"]["details"]["causes"]] == ["spec.cassandra.clusterName"]


def test_what_is_not_supported_is_a_warning() -> None:
    response = answered(encoded(manifest(spec={"reaper": {}, "medusa": {}})))
    assert response["allowed"]
    assert [text.partition(":")[0] for text in response["warnings"]] == ["spec.reaper", "spec.medusa"]


def test_warnings_are_no_longer_than_an_api_server_lets_them_be() -> None:
    seeds = [f"no host {number}" for number in range(500)]
    warnings = answered(encoded(manifest(additionalSeeds=seeds)))["warnings"]
    assert all(len(text) <= 256 for text in warnings)
    assert sum(map(len, warnings)) <= 4096


def test_many_problems_are_counted() -> None:
    cause = answered(encoded(manifest(*(datacenter("DC", size=0) for _ in range(60)))))["status"]
    assert len(cause["details"]["causes"]) == 50
    assert "more" in cause["message"]


@pytest.mark.parametrize("field", ["spec.auth", "spec.cassandra.datacenters", "spec.cassandra.datacenters[0].size"])
def test_what_cannot_be_read_is_named(field: str) -> None:
    bad = manifest(datacenter(size="3")) if field.endswith("size") else manifest(datacenters="x")
    if field == "spec.auth":
        bad = manifest(spec={"auth": "yes"})
    assert answered(encoded(bad))["status"]["details"]["causes"][0]["field"] == field


def test_a_specification_of_any_depth_is_answered() -> None:
    deep: Json = {}
    for _ in range(400):
        deep = {"a": deep}
    assert answered(encoded(manifest(config={"cassandraYaml": deep})))["uid"] == "review-1"


def test_a_name_that_the_server_gives_later_is_no_fault() -> None:
    unnamed = manifest()
    unnamed["metadata"] = {"generateName": "demo-", "namespace": "ns"}
    assert answered(encoded(unnamed, name="demo-x7x7x"))["allowed"]


# ── never in the way ────────────────────────────────────────────────────────────────────────────────


def test_a_finalizer_of_a_bad_object_may_go() -> None:
    held = {**BAD, "metadata": {**BAD["metadata"], "finalizers": ["a/b"]}}
    assert answered(encoded(BAD, held)) == {"uid": "review-1", "allowed": True}


@pytest.mark.parametrize("spoiled", [{}, {"cassandra": "x"}, None])
def test_an_object_that_is_being_deleted_may_change_in_any_way(spoiled: Any) -> None:
    old = copy.deepcopy(manifest())
    old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert answered(encoded({**old, "spec": spoiled}, old))["allowed"]


def test_an_unreadable_object_may_be_labelled() -> None:
    old = manifest(datacenters="x")
    new = {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}
    assert answered(encoded(new, old))["allowed"]


@pytest.mark.parametrize(
    "request_",
    [{"operation": "DELETE"}, {"operation": "CONNECT"}, {"subResource": "status"}, {"object": None}],
    ids=str,
)
def test_what_is_not_to_be_judged_is_allowed(request_: Json) -> None:
    assert answered(encoded(BAD, None, **request_))["allowed"]


def test_another_kind_is_allowed_with_a_warning() -> None:
    response = answered(encoded({"metadata": {}}, kind={"group": "", "version": "v1", "kind": "Pod"}))
    assert response["allowed"]
    assert "rules" in response["warnings"][0]


def test_a_namespace_that_nobody_watches_is_not_judged() -> None:
    response = answered(encoded(BAD), Rules(RULES.contexts, ("other",)))
    assert response["allowed"]
    assert "WATCH_NAMESPACE" in response["warnings"][0]
    assert not answered(encoded(BAD), Rules(RULES.contexts, ("other", "ns")))["allowed"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"1"}}',
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":""}}',
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","object":[]}}',
    ],
)
def test_what_is_no_review_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(BadReview):
        answer(body, RULES)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.sampled_from(["cassandra", "datacenters", "containers", "metadata"]), JSON)
def test_anything_gets_an_answer(place: str, value: Any) -> None:
    made = copy.deepcopy(manifest())
    match place:
        case "cassandra":
            made["spec"]["cassandra"] = value
        case "metadata":
            made["metadata"]["annotations"] = value
        case _:
            made["spec"]["cassandra"][place] = value
    body = msgspec.json.encode(review(made, manifest()))
    assert isinstance(answered(body)["allowed"], bool)
