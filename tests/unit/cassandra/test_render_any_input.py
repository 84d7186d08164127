"""Whatever a user writes, wherever: it is unreadable as a whole, wrong by name, or rendered. Nothing else happens."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.cassandra.render import Facts, check, needed_passwords, render
from controller.cassandra.secrets import replicated_secret
from controller.cassandra.types import K8ssandraCluster
from controller.kube.errors import Malformed
from controller.kube.objects import decode
from tests.unit.cassandra.samples import cluster, datacenter, manifest, rendered

_CONTAINER = {
    "name": "cassandra",
    "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
    "ports": [{"containerPort": 1}],
    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    "resources": {"limits": {"cpu": 1}},
    "livenessProbe": {"httpGet": {"port": 1}},
}
_OPTIONS = {
    "resources": {"limits": {"cpu": 1}, "requests": {"memory": "1Gi"}},
    "racks": [{"name": "r1", "nodeAffinityLabels": {"a": "b"}, "affinity": {"x": {}}}],
    "tolerations": [{"key": "a"}],
    "containers": [_CONTAINER, {"name": "server-system-logger", "resources": {"limits": {"cpu": 1}}}],
    "initContainers": [{"name": "server-config-init", "env": []}],
    "extraVolumes": {
        "volumes": [{"name": "v", "emptyDir": {}}],
        "pvcs": [{"name": "p", "mountPath": "/", "pvcSpec": {"a": 1}}],
    },
    "config": {
        "cassandraYaml": {
            "num_tokens": 4,
            "partitioner": "Murmur3",
            "client_encryption_options": {"enabled": True},
            "server_encryption_options": {"internode_encryption": "all"},
            "commitlog_sync_period_in_ms": 1,
        },
        "jvmOptions": {"heap_max_size": "1Gi", "gc": "ZGC", "additionalOptions": ["-Da"], "jmx_port": 1},
        "dseYaml": {"authentication_options": {"enabled": "true"}},
    },
    "networking": {"hostNetwork": True, "nodePort": {"native": 1}},
    "telemetry": {
        "cassandra": {"endpoint": {"port": "1", "tls": {"ca.crt": "x"}}, "relabels": [{"regex": "a"}]},
        "mcac": {"enabled": True, "metricFilters": ["a"]},
        "vector": {"enabled": False},
    },
    "managementApiAuth": {"insecure": {}},
    "mgmtAPIHeap": "64Mi",
    "cdc": {"pulsarServiceUrl": "u", "topicPrefix": "a"},
    "dseWorkloads": {"searchEnabled": True},
    "podSecurityContext": {"fsGroup": 1},
    "metadata": {"labels": {"a": "b"}, "pods": {"labels": {"a": "b"}}, "services": {"dcService": {"labels": {}}}},
}
_STORES = {"keystoreSecretRef": {"name": "k", "key": "k"}, "truststoreSecretRef": {"name": "t"}}
FULL = manifest(
    datacenter("dc1", **{**_OPTIONS, "metadata": {**_OPTIONS["metadata"], "name": "dc1", "namespace": "n"}}),
    datacenter("dc2", datacenterName="DC2", stopped=True, perNodeConfigMapRef={"name": "m"}),
    spec={"auth": True, "externalDatacenters": ["old"], "secretsProvider": "external"},
    clientEncryptionStores=_STORES,
    serverEncryptionStores=_STORES,
    additionalSeeds=["10.0.0.1", "host"],
    clusterName="My Cluster",
    superuserSecretRef={"name": "s"},
    serverType="dse",
    **{**_OPTIONS, "serverVersion": "6.8.25"},
)  # fmt: skip


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a value."""
    found = [path] if path else []
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        found += paths(inner, (*path, key))
    return found


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "env", "limits", "enabled", "x"]) | st.text(max_size=3), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(paths(FULL)), _anything), min_size=1, max_size=3))
def test_anything_anywhere_is_unreadable_wrong_or_rendered(changes: list[tuple[tuple[str | int, ...], Any]]) -> None:
    obj = copy.deepcopy(FULL)
    for path, value in changes:
        _put(obj, path, value)
    try:
        given = decode(msgspec.json.encode(obj), K8ssandraCluster)
    except Malformed:
        return
    made = render(given, Facts(initial_system_replication={"dc1": 3}))
    assert made.errors or made.datacenters
    assert all(error.field and error.message for error in made.errors)
    assert msgspec.json.encode(made)
    assert made == render(given, Facts(initial_system_replication={"dc1": 3}))
    # What is judged before it is stored is what a reconcile says, but for what only the clusters know.
    assert set(check(given).errors) == {error for error in made.errors if not error.reason.endswith("NotFound")}
    needed_passwords(given)
    replicated_secret(given)


def _put(obj: Any, path: tuple[str | int, ...], value: Any) -> None:
    *parents, last = path
    for key in parents:
        try:
            obj = obj[key]
        except (KeyError, IndexError, TypeError):
            return  # an earlier change took it away
    if isinstance(obj, dict) or (isinstance(obj, list) and isinstance(last, int) and last < len(obj)):
        obj[last] = value


def test_everything_at_once_is_right() -> None:
    given = decode(msgspec.json.encode(FULL), K8ssandraCluster)
    made = rendered(given, per_node_config_hashes={"dc2": "v1:x"})
    assert made.errors == ()
    assert made.order == ("dc1", "dc2")


def test_what_is_too_deep_is_said() -> None:
    given = cluster(config={"cassandraYaml": {"deep": {}}})
    assert given.spec.cassandra is not None
    assert given.spec.cassandra.config is not None
    place = given.spec.cassandra.config.cassandra_yaml
    for _ in range(5000):
        place["deep"] = place = {}
    made = render(given, Facts())
    assert ([error.field for error in made.errors], made.datacenters) == (["spec"], ())


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**70), 1e300, 2**53 + 1])
def test_a_large_number_is_written(number: float) -> None:
    (entry,) = rendered(cluster(config={"cassandraYaml": {"a": float(number)}})).datacenters
    assert entry.object["spec"]["config"]["cassandra-yaml"]["a"] == float(number)
