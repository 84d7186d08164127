from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cassandra.render.tokens import MURMUR3, RANDOM, tokens
from controller.cassandra.types import K8ssandraCluster
from tests.unit.cassandra.samples import cluster, datacenter, rendered


def test_tokens_of_one_datacenter_are_evenly_spread() -> None:
    assert tokens(MURMUR3, [3]) == [[-9223372036854775808, -3074457345618258603, 3074457345618258602]]
    assert tokens(RANDOM, [2]) == [[0, 2**126]]


def test_a_second_datacenter_is_shifted_as_in_the_reference() -> None:
    assert tokens(MURMUR3, [3, 3])[1][0] == -3152954128910639674


_partitioners = st.sampled_from([MURMUR3, RANDOM])


@given(st.lists(st.integers(1, 48), min_size=1, max_size=5), _partitioners)
def test_tokens_of_a_datacenter_are_different_sorted_and_on_the_ring(counts: list[int], partitioner: Any) -> None:
    made = tokens(partitioner, counts)
    assert [len(set(ring)) for ring in made] == counts
    assert all(ring == sorted(ring) for ring in made)
    assert all(partitioner.least <= token < partitioner.least + partitioner.size for ring in made for token in ring)


@given(st.integers(1, 48), st.integers(1, 8), _partitioners)
def test_datacenters_with_as_many_tokens_share_none(count: int, datacenters: int, partitioner: Any) -> None:
    made = tokens(partitioner, [count] * datacenters)
    assert len({token for ring in made for token in ring}) == count * datacenters


def test_where_the_formula_gives_a_token_twice_it_gives_none() -> None:
    # Two nodes with one token cannot be in one ring; the reference would have them start with it.
    counts = [27, 3, 45]
    assert len({token for ring in tokens(MURMUR3, counts) for token in ring}) < sum(counts)
    given = [
        datacenter(f"dc{index}", size=3, config={"cassandraYaml": {"num_tokens": count // 3}})
        for index, count in enumerate(counts)
    ]
    made = rendered(cluster(*given))
    assert [len(entry.config_maps) for entry in made.datacenters] == [1, 1, 1]


def few(*datacenters: dict[str, Any], number: Any = 1, **yaml: Any) -> K8ssandraCluster:
    return cluster(*datacenters, config={"cassandraYaml": {"num_tokens": number, **yaml}})


def contents(made: K8ssandraCluster) -> list[dict[str, str]]:
    return [entry.config_maps[1]["data"] for entry in rendered(made).datacenters if len(entry.config_maps) > 1]


def test_the_first_nodes_get_tokens_in_turn() -> None:
    (made,) = contents(few(datacenter(size=5), number=2))
    assert made == {
        "demo-dc1-default-sts-0_cassandra.yaml": "\ninitial_token: -9223372036854775808,-2",
        "demo-dc1-default-sts-1_cassandra.yaml": "\ninitial_token: -6148914691236517206,3074457345618258600",
        "demo-dc1-default-sts-2_cassandra.yaml": "\ninitial_token: -3074457345618258604,6148914691236517202",
    }


def test_nodes_are_spread_over_racks() -> None:
    (made,) = contents(few(datacenter(racks=[{"name": "r1"}, {"name": "r2"}])))
    assert list(made) == [
        "demo-dc1-r1-sts-0_cassandra.yaml",
        "demo-dc1-r2-sts-0_cassandra.yaml",
        "demo-dc1-r1-sts-1_cassandra.yaml",
    ]


def test_a_small_datacenter_gives_each_node_tokens() -> None:
    assert [len(entry) for entry in contents(few(datacenter("dc1", size=1), datacenter("dc2", size=2)))] == [1, 2]
    assert [len(entry) for entry in contents(few(allocate_tokens_for_local_replication_factor=2))] == [2]


@pytest.mark.parametrize(("size", "given", "nodes"), [(3, None, 3), (2, None, 2), (10, 5, 5), (3, 5, 3), (10, None, 3)])
def test_as_many_nodes_get_tokens_as_there_are_replicas(size: int, given: int | None, nodes: int) -> None:
    (made,) = contents(few(datacenter(size=size), allocate_tokens_for_local_replication_factor=given))
    assert nodes == len(made)


def test_datacenters_of_different_sizes_are_spread_as_in_the_reference() -> None:
    racks = [{"name": f"rack{number}"} for number in (1, 2, 3)]
    larger = {"num_tokens": 8, "allocate_tokens_for_local_replication_factor": 5}
    one, two = datacenter("dc1", racks=racks), datacenter("dc2", size=10, racks=racks, config={"cassandraYaml": larger})
    first, second = contents(few(one, two, number=4))
    assert first["demo-dc1-rack2-sts-0_cassandra.yaml"] == (
        "\ninitial_token: -7686143364045646507,-3074457345618258604,1537228672809129299,6148914691236517202"
    )
    assert (
        list(second) == [f"demo-dc2-rack{rack}-sts-{node}_cassandra.yaml" for node in (0, 1) for rack in (1, 2, 3)][:5]
    )
    assert second["demo-dc2-rack2-sts-1_cassandra.yaml"] == (
        "\ninitial_token: -6996025810933462929,-4690182801719768979,-2384339792506075029,-78496783292381079,"
        "2227346225921312871,4533189235135006821,6839032244348700771,9144875253562394737"
    )


@pytest.mark.parametrize(
    "name", [None, "Murmur3Partitioner", "org.apache.cassandra.dht.Murmur3Partitioner", "RandomPartitioner",
             "org.apache.cassandra.dht.RandomPartitioner"],
)  # fmt: skip
def test_the_ring_is_the_partitioners(name: str | None) -> None:
    (made,) = contents(few(datacenter(size=1), partitioner=name))
    least = 0 if name and "Random" in name else -(2**63)
    assert list(made.values()) == [f"\ninitial_token: {least}"]


@pytest.mark.parametrize(
    "given",
    [
        few(number=16),
        few(number=None),
        few(number=0),
        few(number="4"),
        few(allocate_tokens_for_local_replication_factor="3"),
        few(allocate_tokens_for_local_replication_factor=0),
        few(partitioner="org.apache.cassandra.dht.ByteOrderedPartitioner"),
        few(datacenter("dc1"), datacenter("dc2", config={"cassandraYaml": {"num_tokens": 32}})),
        few(datacenter("dc1"), datacenter("dc2", config={"cassandraYaml": {"partitioner": "RandomPartitioner"}})),
    ],
)
def test_tokens_are_left_to_cassandra(given: K8ssandraCluster) -> None:
    assert contents(given) == []


def test_the_pods_of_such_a_datacenter_merge_their_tokens() -> None:
    (entry,) = rendered(few()).datacenters
    config_map = entry.config_maps[1]
    template = entry.object["spec"]["podTemplateSpec"]
    digest = config_map["metadata"]["annotations"]["k8ssandra.io/resource-hash"]
    assert template["metadata"]["annotations"] == {"k8ssandra.io/per-node-config-hash": digest}
    assert [container["name"] for container in template["spec"]["initContainers"]] == [
        "server-config-init",
        "per-node-config",
    ]
    assert template["spec"]["volumes"] == [
        {"name": "per-node-config", "configMap": {"name": "demo-dc1-per-node-config"}}
    ]
    assert config_map["metadata"]["labels"]["k8ssandra.io/cleaned-up-by"] == "k8ssandracluster-controller"


def test_a_users_own_config_map_takes_the_place_of_tokens() -> None:
    given = few(datacenter(perNodeConfigMapRef={"name": "mine"}), number=4)
    (entry,) = rendered(given, per_node_config_hashes={"dc1": "v1:abc"}).datacenters
    template = entry.object["spec"]["podTemplateSpec"]
    assert len(entry.config_maps) == 1
    assert template["metadata"]["annotations"] == {"k8ssandra.io/per-node-config-hash": "v1:abc"}
    assert template["spec"]["volumes"][0]["configMap"] == {"name": "mine"}


def test_init_containers_keep_their_place_and_the_image_can_be_chosen() -> None:
    names = [{"name": "mine", "image": "i"}, {"name": "server-config-init"}, {"name": "last", "image": "l"}]
    given = few(datacenter(initContainers=names, perNodeConfigInitContainerImage="other:1"))
    made = rendered(given).datacenters[0].object["spec"]["podTemplateSpec"]["spec"]["initContainers"]
    assert [container["name"] for container in made] == ["mine", "server-config-init", "last", "per-node-config"]
    assert made[-1]["image"] == "other:1"
