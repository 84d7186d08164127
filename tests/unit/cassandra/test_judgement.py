"""The verdict on what is about to be written: rules of creation and of updates, by field, and never a trap."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cassandra import labels
from controller.cassandra.judgement import Contexts, Verdict, judge
from controller.cassandra.types import K8ssandraCluster
from tests.unit.cassandra.samples import STORAGE, datacenter, manifest, typed

DC = "spec.cassandra.datacenters[0]"
CONTEXTS = Contexts(frozenset({"kind-dc1", "kind-dc2", "kind-dc3"}), frozenset({"kind-dc1", "later"}))
RUNNING = {"cassandra": {"conditions": []}, "contextName": "kind-dc1"}


def created(*datacenters: dict[str, Any], contexts: Contexts | None = CONTEXTS, **cassandra: Any) -> Verdict:
    return judge(typed(manifest(*datacenters, **cassandra)), None, contexts)


def updated(old: dict[str, Any], new: dict[str, Any], *, running: bool = False) -> Verdict:
    """The verdict on an update; ``running``: the status shows the first datacenter."""
    if running:
        old = {**old, "status": {"datacenters": {"dc1": RUNNING}}}
    return judge(typed(new), typed(old), CONTEXTS)


def fields(verdict: Verdict) -> list[str]:
    return [problem.field for problem in verdict.problems]


def tokens(number: int | None) -> dict[str, Any]:
    return {"config": {"cassandraYaml": {} if number is None else {"num_tokens": number}}}


def annotated(**annotations: str) -> dict[str, Any]:
    found = manifest()
    found["metadata"]["annotations"] = annotations
    return found


# ── creation ────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_right_is_let_through_without_a_word() -> None:
    assert created(datacenter("dc1"), datacenter("dc2")) == Verdict()


def test_context_validation() -> None:
    verdict = created(datacenter("dc1", k8sContext="nowhere"), datacenter("dc2", k8sContext=""))
    assert fields(verdict) == [f"{DC}.k8sContext"]
    assert "nowhere" in str(verdict.problems[0])


def test_no_context_is_judged_before_the_clients_are_known() -> None:
    assert created(datacenter("dc1", k8sContext="nowhere"), contexts=None) == Verdict()


def test_a_context_that_waits_for_a_restart_is_a_warning() -> None:
    verdict = created(datacenter("dc1", k8sContext="later"))
    assert (fields(verdict), [each.field for each in verdict.warnings]) == ([], [f"{DC}.k8sContext"])


def test_storage_config_validation() -> None:
    assert fields(created(storageConfig=None)) == [f"{DC}.storageConfig.cassandraDataVolumeClaimSpec"]
    assert created(datacenter(storageConfig=STORAGE), storageConfig=None) == Verdict()


@pytest.mark.parametrize("level", ["cluster", "datacenter"])
def test_soft_anti_affinity_needs_resources_at_either_level(level: str) -> None:
    resources = {"requests": {"cpu": 1, "memory": "1Gi"}}
    soft = {"softPodAntiAffinity": True}
    of_cluster, of_datacenter = (soft, {}) if level == "cluster" else ({}, soft)
    assert fields(created(datacenter(**of_datacenter), **of_cluster)) == [f"{DC}.softPodAntiAffinity"]
    assert created(datacenter(**of_datacenter), resources=resources, **of_cluster) == Verdict()
    assert created(datacenter(resources=resources, **of_datacenter), **of_cluster) == Verdict()


@pytest.mark.parametrize("level", ["cluster", "datacenter"])
def test_sts_name_too_long(level: str) -> None:
    racks = {"racks": [{"name": "r" * 50}]}
    of_cluster, of_datacenter = (racks, {}) if level == "cluster" else ({}, racks)
    verdict = created(datacenter(**of_datacenter), **of_cluster)
    assert fields(verdict) == [f"{DC}.racks"]
    assert f"demo-dc1-{'r' * 50}-sts" in str(verdict.problems[0])


@pytest.mark.parametrize("name", ["DC1", "dc_1", "1dc", "dc1-", "d" * 64])
def test_invalid_dc_name(name: str) -> None:
    verdict = created(datacenter(name))
    assert f"{DC}.metadata.name" in fields(verdict)
    assert len(name) > 63 or "datacenterName" in str(verdict.problems[0])


@pytest.mark.parametrize(("value", "right"), [("once", True), ("always", True), ("true", False), ("", False)])
def test_automated_update_annotation(value: str, right: bool) -> None:
    verdict = judge(typed(annotated(**{labels.AUTOUPDATE_SPEC: value})), None, CONTEXTS)
    assert fields(verdict) == ([] if right else [f"metadata.annotations[{labels.AUTOUPDATE_SPEC}]"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (labels.INITIAL_SYSTEM_REPLICATION, "three"),
        (labels.DC_REPLICATION, '{"dc2": 3}'),
        (labels.DC_REPLICATION, '{"dc2": {"shop": -1}}'),
        (labels.STALE_SEEDS, "drop"),
    ],
)
def test_an_annotation_whose_value_means_nothing(key: str, value: str) -> None:
    assert fields(judge(typed(annotated(**{key: value})), None, CONTEXTS)) == [f"metadata.annotations[{key}]"]


@pytest.mark.parametrize("field", ["stargate", "reaper", "medusa"])
def test_what_is_not_supported_is_let_in_with_a_warning(field: str) -> None:
    verdict = judge(typed(manifest(spec={field: {}})), None, CONTEXTS)
    assert (fields(verdict), [each.field for each in verdict.warnings]) == ([], [f"spec.{field}"])


def test_vector_is_let_in_with_a_warning() -> None:
    verdict = created(datacenter(telemetry={"vector": {"enabled": True}}))
    assert [each.field for each in verdict.warnings] == [f"{DC}.telemetry.vector"]


# ── updates ─────────────────────────────────────────────────────────────────────────────────────────


def test_num_tokens_validation() -> None:
    old = manifest(**tokens(256))
    verdict = updated(old, manifest(**tokens(16)))
    assert fields(verdict) == [f"{DC}.config.cassandraYaml.num_tokens"]
    assert "256" in verdict.problems[0].remedy
    assert updated(old, manifest(datacenter(size=4), **tokens(256))) == Verdict()


def test_num_tokens_validation_in_update() -> None:
    """From 3.11 to 4.1 the default changes; who says the former one keeps it."""
    old = manifest(serverVersion="3.11.14")
    assert updated(old, manifest(serverVersion="4.1.0", **tokens(256))) == Verdict()
    assert updated(old, manifest(datacenter(**tokens(256)), serverVersion="4.1.0")) == Verdict()


@pytest.mark.parametrize(
    ("before", "after", "versions", "right"),
    [
        (None, None, ("4.0.17", "4.0.17"), True),
        (256, 256, ("4.0.17", "4.0.17"), True),
        (256, 16, ("4.0.17", "4.0.17"), False),
        (None, 256, ("4.0.17", "4.0.17"), False),
        (None, 16, ("4.0.17", "4.0.17"), True),
        (None, None, ("3.11.14", "4.1.0"), False),
        (None, 256, ("3.11.14", "4.1.0"), True),
    ],
)
def test_validate_update_num_tokens(
    before: int | None, after: int | None, versions: tuple[str, str], right: bool
) -> None:
    old = manifest(serverVersion=versions[0], **tokens(before))
    new = manifest(datacenter(size=4), serverVersion=versions[1], **tokens(after))
    assert fields(updated(old, new)) == ([] if right else [f"{DC}.config.cassandraYaml.num_tokens"])


def test_no_dc_rename() -> None:
    old = manifest(datacenter("dc1"), datacenter("dc2"))
    verdict = updated(old, manifest(datacenter("dc1"), datacenter("dc3")))
    assert fields(verdict) == ["spec.cassandra.datacenters[1].metadata.name"]
    assert "loses its data" in str(verdict.problems[0])
    assert updated(old, manifest(datacenter("dc1"))) == Verdict()
    assert updated(old, manifest(datacenter("dc1"), datacenter("dc2"), datacenter("dc3"))) == Verdict()


def test_change_cluster_and_dc_name_fails() -> None:
    old = manifest(datacenter(datacenterName="Real DC"), clusterName="Real Cluster")
    assert fields(updated(old, manifest(datacenter(datacenterName="Real DC"), clusterName="Other"))) == [
        "spec.cassandra.clusterName"
    ]
    assert fields(updated(old, manifest(datacenter(), clusterName="Real Cluster"))) == [f"{DC}.datacenterName"]


def test_a_name_may_be_said_that_was_implied() -> None:
    new = manifest(datacenter(datacenterName="dc1"), clusterName="demo")
    assert updated(manifest(), new) == Verdict()


@pytest.mark.parametrize("cassandra", [None, {}, {"datacenters": []}])
def test_the_last_datacenter_is_not_removed_by_an_update(cassandra: Any) -> None:
    new = manifest()
    new["spec"]["cassandra"] = cassandra
    assert fields(updated(manifest(), new, running=True))[0].startswith("spec.cassandra")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"k8sContext": "kind-dc2"}, f"{DC}.k8sContext"),
        ({"metadata": {"namespace": "elsewhere"}}, f"{DC}.metadata.namespace"),
        ({"racks": [{"name": "r2"}, {"name": "r1"}]}, f"{DC}.racks"),
        ({"racks": [{"name": "r1"}]}, f"{DC}.racks"),
        (
            {
                "storageConfig": {
                    "cassandraDataVolumeClaimSpec": {"resources": {"requests": {"storage": "4Gi"}}},
                }
            },
            f"{DC}.storageConfig.cassandraDataVolumeClaimSpec.resources.requests.storage",
        ),
    ],
)
def test_what_is_on_a_disk_somewhere_stays_but_a_slip_can_be_mended(change: dict[str, Any], field: str) -> None:
    racks = {"racks": [{"name": "r1"}, {"name": "r2"}]}
    old, new = manifest(datacenter(**racks)), manifest(datacenter(**{**racks, **change}))
    assert fields(updated(old, new, running=True)) == [field]
    assert updated(old, new) == Verdict()


def test_racks_and_volumes_may_grow() -> None:
    claim = {"cassandraDataVolumeClaimSpec": {"resources": {"requests": {"storage": "6Gi"}}}}
    old = manifest(datacenter(racks=[{"name": "r1"}]))
    new = manifest(datacenter(racks=[{"name": "r1"}, {"name": "r2"}], storageConfig=claim))
    assert updated(old, new, running=True) == Verdict()


def test_another_superuser_is_a_warning() -> None:
    verdict = updated(manifest(), manifest(superuserSecretRef={"name": "mine"}), running=True)
    assert (fields(verdict), [each.field for each in verdict.warnings]) == ([], ["spec.cassandra.superuserSecretRef"])


# ── places ──────────────────────────────────────────────────────────────────────────────────────────


ELSEWHERE = datacenter("dc9", k8sContext="kind-dc1")


def other(name: str = "other", namespace: str = "ns", **cassandra: Any) -> K8ssandraCluster:
    made = manifest(**{"clusterName": "Other", **cassandra})
    made["metadata"].update(name=name, namespace=namespace)
    return typed(made)


@pytest.mark.parametrize(
    ("found", "field"),
    [
        (other(), f"{DC}.metadata.name"),
        (
            other(datacenters=[datacenter("dc9", k8sContext="kind-dc1")], clusterName="DEMO"),
            "spec.cassandra.clusterName",
        ),
        (other(datacenters=[ELSEWHERE]), ""),
        (other(datacenters=[datacenter("dc1", k8sContext="kind-dc2")], clusterName="demo"), ""),
        (other(namespace="elsewhere"), ""),
        (other(name="demo"), ""),
    ],
)
def test_a_place_that_another_cluster_has_is_not_taken(found: K8ssandraCluster, field: str) -> None:
    verdict = judge(typed(manifest()), None, CONTEXTS, lambda: [found])
    assert fields(verdict) == ([field] if field else [])


def test_a_cluster_of_another_namespace_is_not_named() -> None:
    found = other("secret", "elsewhere", datacenters=[datacenter(metadata={"namespace": "ns"})])
    (problem,) = judge(typed(manifest()), None, CONTEXTS, lambda: [found]).problems
    assert (problem.reason, "secret" in str(problem)) == ("NameConflict", False)


def test_nobody_is_asked_for_a_change_that_places_nothing() -> None:
    def nobody() -> list[K8ssandraCluster]:
        raise AssertionError

    assert judge(typed(manifest(datacenter(size=4))), typed(manifest()), CONTEXTS, nobody) == Verdict()


# ── never a trap ────────────────────────────────────────────────────────────────────────────────────


def test_an_old_fault_is_a_warning_so_that_something_else_can_change() -> None:
    old = manifest(datacenter("dc1", size=0), datacenter("dc2", serverVersion="x"))
    new = manifest(datacenter("dc1", size=0), datacenter("dc2", serverVersion="4.0.17"))
    verdict = updated(old, new)
    assert (fields(verdict), [each.field for each in verdict.warnings]) == ([], [f"{DC}.size"])


def test_a_context_that_went_does_not_stand_in_the_way() -> None:
    old = manifest(datacenter("dc1", k8sContext="gone"))
    verdict = updated(old, manifest(datacenter("dc1", k8sContext="gone", size=4)))
    assert (fields(verdict), [each.field for each in verdict.warnings]) == ([], [f"{DC}.k8sContext"])


def test_an_update_of_metadata_alone_is_not_judged() -> None:
    bad = manifest(datacenter("DC1", size=0))
    labelled = {**bad, "metadata": {**bad["metadata"], "finalizers": [], "labels": {"a": "b"}}}
    assert updated(bad, labelled) == Verdict()
