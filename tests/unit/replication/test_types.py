from __future__ import annotations

import msgspec

from controller.kube.objects import decode
from controller.replication.types import ReplicatedSecret, ReplicationTarget


def test_a_replicated_secret_is_read_as_the_reference_writes_it() -> None:
    raw = b"""{"metadata": {"name": "demo", "namespace": "ns", "uid": "u", "generation": 2, "finalizers": null},
      "spec": {"selector": {"matchLabels": {"a": "1"}},
               "replicationTargets": [{"k8sContextName": "kind-1", "namespace": "n", "targetPrefix": "p-",
                                       "dropLabels": ["x"], "addLabels": {"y": "1"}}]},
      "status": {"conditions": [{"cluster": "kind-1", "type": "Replication", "status": "True"}]}}"""
    read = decode(raw, ReplicatedSecret)
    assert read.spec.replication_targets == [
        ReplicationTarget(
            namespace="n", k8s_context_name="kind-1", target_prefix="p-", drop_labels=["x"], add_labels={"y": "1"}
        )
    ]
    assert read.spec.selector is not None
    assert read.spec.selector.match_labels == {"a": "1"}
    assert read.status.conditions[0].cluster == "kind-1"
    assert read.metadata.finalizers == []


def test_no_selector_and_an_empty_one_are_told_apart() -> None:
    assert decode(b'{"spec": {}}', ReplicatedSecret).spec.selector is None
    assert decode(b'{"spec": {"selector": {}}}', ReplicatedSecret).spec.selector is not None


def test_a_condition_is_written_with_the_names_of_the_api() -> None:
    read = decode(b'{"status":{"conditions":[{"cluster":"","lastTransitionTime":"t"}]}}', ReplicatedSecret)
    assert msgspec.to_builtins(read.status)["conditions"] == [{"lastTransitionTime": "t"}]
