"""What holds for every K8ssandraCluster: rendering depends on what is said, not how, and a server changes nothing."""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from controller.cassandra.compare import diff_fields
from controller.cassandra.types import DatacenterOptions
from controller.definitions import definitions
from controller.sandbox.apiserver import ApiServer
from controller.sandbox.crds import data_plane_crds
from tests import golden
from tests.unit.cassandra.samples import datacenter, manifest
from tests.unit.cassandra.test_golden import with_read_files

Json = dict[str, Any]
_number = itertools.count()  # so that objects on a server have names of their own

# The golden manifests are what random ones are put together from: any option of one, for the cluster or a datacenter.
_MANIFESTS = [golden.documents(name) for name in golden.names()]
_WHOLE = [each for documents in _MANIFESTS for each in documents if each["kind"] == "K8ssandraCluster"]
_OTHERS = [each for documents in _MANIFESTS for each in documents if each["kind"] != "K8ssandraCluster"]
_OTHERS = list({(each["kind"], each["metadata"]["name"]): each for each in _OTHERS}.values())
_NOT_OPTIONS = {"datacenters", "k8sContext", "size", "serverType", "serverVersion", "metadata", "storageConfig"}
_VERSIONS = {"cassandra": ["3.11.14", "4.0.17", "4.1.8", "5.0.2", "5.0.0-beta1"], "dse": ["6.8.25"], "hcd": ["1.1.0"]}
_UNKNOWN = {"hostNode": "a", "z": {"b": [1, {"d": None, "c": True}]}}  # of a newer Kubernetes


def _fragments(levels: list[Json]) -> dict[str, list[Any]]:
    """Every value that a field has in a golden manifest, by field."""
    found: dict[str, list[Any]] = {}
    for level in levels:
        for key, value in level.items():
            if key not in _NOT_OPTIONS and value not in found.setdefault(key, []):
                found[key].append(value)
    return found


_CLUSTERS = [each["spec"]["cassandra"] for each in _WHOLE]
_DATACENTERS = [each for cassandra in _CLUSTERS for each in cassandra["datacenters"]]
_STORAGE = [each["storageConfig"] for each in (*_CLUSTERS, *_DATACENTERS) if "storageConfig" in each]
_TOP = _fragments([{key: value for key, value in each["spec"].items() if key != "cassandra"} for each in _WHOLE])
_METADATA = [each["metadata"] for each in _CLUSTERS if "metadata" in each]
_OF_CLUSTER = _fragments([*_CLUSTERS, *_DATACENTERS])
_OF_DATACENTER = {key: values for key, values in _OF_CLUSTER.items() if key in _fragments([*_DATACENTERS])}
for _key in ("stopped", "perNodeConfigMapRef", "stargate"):
    _OF_CLUSTER.pop(_key)


def _keys(fragments: dict[str, list[Any]], most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(fragments)), max_size=most, unique=True)


def _some(fragments: dict[str, list[Any]], keys: list[str]) -> st.SearchStrategy[Json]:
    """Values of these fields, or of some of them: from golden manifests, or small ones that meet often."""
    chosen = {key: st.sampled_from(fragments[key]) | _DENSE.get(key, st.nothing()) for key in keys if key in fragments}
    return st.fixed_dictionaries({}, optional=chosen)


_few = st.sampled_from(["a", "b", "c"])
_values = st.sampled_from([True, False, 0, 1, 2.5, "", "x"])
_yaml = st.recursive(
    st.dictionaries(_few, _values | st.lists(_values, max_size=2), max_size=3),
    lambda inner: st.dictionaries(_few, _values | inner, max_size=3),
    max_leaves=4,
)
_nested = st.fixed_dictionaries({"z": st.sampled_from(["", "x"])})
_zeros = st.fixed_dictionaries({}, optional={"x": st.sampled_from([0, 1]), "tty": st.booleans(), "y": _nested})


def _listed(key: str, names: list[Any], more: st.SearchStrategy[Json]) -> st.SearchStrategy[list[Json]]:
    """A list of maps that are called by ``key``, each once."""
    entry = st.tuples(st.sampled_from(names), more).map(lambda pair: {**pair[1], key: pair[0]})
    return st.lists(entry, max_size=3, unique_by=lambda each: each[key])


_variable = st.sampled_from([{"value": "1"}, {"value": ""}, {}, *({"valueFrom": {"k": {"x": x}}} for x in (1, 2))])
_container = st.fixed_dictionaries(
    {"image": st.sampled_from(["", "i", "j"])},
    optional={
        "env": _listed("name", ["A", "B"], _variable),
        "ports": _listed("containerPort", [1, 2], st.fixed_dictionaries({"name": _few})),
        "volumeMounts": _listed("mountPath", ["/a", "/b"], st.fixed_dictionaries({"name": _few})),
        "livenessProbe": st.sampled_from([{"httpGet": {"port": 1}}, {"exec": {"x": 0}}, {"periodSeconds": 0}]),
        "resources": st.fixed_dictionaries({"limits": st.dictionaries(_few, st.sampled_from(["0", "1Gi"]))}),
        "securityContext": _zeros,
    },
)
_DENSE = {
    "config": st.fixed_dictionaries({"cassandraYaml": _yaml, "dseYaml": _yaml}),
    "containers": _listed("name", ["cassandra", "side"], _container),
    "dseWorkloads": st.dictionaries(st.sampled_from(["analyticsEnabled", "searchEnabled"]), st.booleans()),
    "podSecurityContext": _zeros,
}


@st.composite
def manifests(draw: st.DrawFn) -> list[Json]:
    """A K8ssandraCluster of one to three datacenters, with what it names."""
    server_type = draw(st.sampled_from(sorted(_VERSIONS)))
    keys = [*_DENSE, *draw(_keys(_OF_DATACENTER, 5))]  # of both levels, so that they meet
    datacenters = []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        metadata = {**draw(st.sampled_from([{}, *_METADATA])), "name": f"dc{number}"}
        place = {"metadata": metadata, "k8sContext": f"kind-dc{number}", "size": draw(st.integers(3, 7))}
        datacenters.append({**draw(_some(_OF_DATACENTER, keys)), **place})
    cassandra = {
        **draw(_some(_OF_CLUSTER, [*keys, *draw(_keys(_OF_CLUSTER, 3))])),
        "serverType": server_type,
        "serverVersion": draw(st.sampled_from(_VERSIONS[server_type])),
        "storageConfig": draw(st.sampled_from(_STORAGE)),
        "datacenters": datacenters,
    }
    if metadata := draw(st.sampled_from([{}, *_METADATA])):
        cassandra["metadata"] = metadata
    spec = {**draw(_some(_TOP, sorted(_TOP))), "cassandra": cassandra}
    head = {"apiVersion": "k8ssandra.io/v1alpha1", "kind": "K8ssandraCluster"}
    return copy.deepcopy([{**head, "metadata": {"name": "demo", "namespace": "ns"}, "spec": spec}, *_OTHERS])


many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def encoded(documents: list[Json]) -> bytes:
    return msgspec.json.encode(golden.rendered(documents))


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same, with the keys of every map in another order."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


def hashes(documents: list[Json]) -> list[str]:
    key = "k8ssandra.io/resource-hash"
    objects = [obj for each in golden.rendered(documents).datacenters for obj in (*each.config_maps, each.object)]
    return [obj["metadata"]["annotations"][key] for obj in objects]


@many
@given(manifests())
def test_rendering_is_deterministic_and_changes_nothing_that_it_is_given(documents: list[Json]) -> None:
    before = copy.deepcopy(documents)
    assert encoded(documents) == encoded(documents)
    assert documents == before


@many
@given(manifests(), st.randoms(use_true_random=False))
def test_the_order_of_keys_changes_nothing_also_inside_of_core_types(documents: list[Json], rng: random.Random) -> None:
    for level in (documents[0]["spec"]["cassandra"], documents[0]["spec"]["cassandra"]["datacenters"][0]):
        for container in level.get("containers") or []:
            container.update(copy.deepcopy(_UNKNOWN))
    assert hashes(documents) == hashes([shuffled(each, rng) for each in documents])


def with_variables(common: Json, own: Json) -> list[Json]:
    """A manifest whose datacenter sets a variable of Cassandra's container that the cluster sets too."""
    one, other = ([{"name": "cassandra", "env": [{"name": "B", **each}]}] for each in (common, own))
    return [manifest(datacenter(containers=other), containers=one)]


SOURCE = {"valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}


@many
@given(manifests())
@example(with_variables({"value": ""}, SOURCE))
@example(with_variables({"value": "x"}, SOURCE))
@example(with_variables(SOURCE, {"value": "x"}))
@example(with_variables(SOURCE, {"value": ""}))
def test_the_rules_say_the_same(documents: list[Json]) -> None:
    made = golden.rendered(documents)
    assume(not made.errors)
    objects = golden.made(made)["objects"]
    assert with_read_files(objects) == with_read_files(golden.foretold(documents))


@pytest.fixture(scope="module")
def server() -> ApiServer:
    found = ApiServer(name="one")
    for definition in (*definitions().values(), *data_plane_crds()):
        found.apply_manifest(definition)
    found.apply_manifest({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}})
    return found


@many
@given(documents=manifests())
def test_what_a_server_fills_in_changes_nothing(server: ApiServer, documents: list[Json]) -> None:
    assume(not golden.rendered(documents).errors)  # the server may refuse it too
    given_one, *others = documents
    kept = server.apply_manifest({**given_one, "metadata": {"name": f"demo-{next(_number)}", "namespace": "ns"}})
    read = {**msgspec.json.decode(msgspec.json.encode(kept)), "metadata": given_one["metadata"]}
    assert hashes([given_one, *others]) == hashes([read, *others])


@many
@given(documents=manifests())
def test_what_was_written_and_read_back_is_no_change(server: ApiServer, documents: list[Json]) -> None:
    for entry in golden.rendered(documents).datacenters:
        for obj in (*entry.config_maps, entry.object):
            metadata = {**obj["metadata"], "name": f"made-{next(_number)}", "namespace": "ns"}
            kept = server.apply_manifest({**obj, "metadata": metadata})
            assert diff_fields({**obj, "metadata": metadata}, kept) == []


def test_all_options_take_part() -> None:
    options = {field.encode_name for field in msgspec.structs.fields(DatacenterOptions)}
    assert options - set(_OF_CLUSTER) <= _NOT_OPTIONS
    assert options - set(_OF_DATACENTER) <= _NOT_OPTIONS
