from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.cassandra.render.yaml import dump
from tests.unit.cassandra.samples import cluster, rendered

_KEPT = (
    "live_ss_table_count",
    "live_disk_space_used",
    "memtable.*",
    "all_memtables.*",
    "compaction_bytes_written",
    "pending_compactions",
    "read_.*",
    "write_.*",
    "range.*",
    "coordinator_.*",
    "dropped_mutations",
)
_DEFAULT = (
    """relabels:
- regex: .+
  replacement: "true"
  sourceLabels:
  - table
  targetLabel: should_drop
"""
    + "".join(
        f"""- regex: org_apache_cassandra_metrics_table_{name}
  replacement: "false"
  sourceLabels:
  - __name__
  targetLabel: should_drop
"""
        for name in _KEPT
    )
    + """- action: drop
  regex: "true"
  sourceLabels:
  - should_drop
"""
)


def config_map(**cassandra: Any) -> dict[str, Any]:
    (entry,) = rendered(cluster(**cassandra)).datacenters
    return entry.config_maps[0]


def text(agent: dict[str, Any]) -> str:
    content: str = config_map(telemetry={"cassandra": agent})["data"]["metrics-collector.yaml"]
    return content


def test_the_default_rules_keep_a_few_metrics_of_each_table() -> None:
    assert config_map()["data"] == {"metrics-collector.yaml": _DEFAULT}


def test_an_endpoint_stands_before_the_default_rules() -> None:
    endpoint = 'endpoint:\n  address: 192.168.1.10\n  port: "50000"\n'
    assert text({"endpoint": {"address": "192.168.1.10", "port": "50000"}}) == endpoint + _DEFAULT


def test_own_rules_replace_the_default_ones() -> None:
    rule = {"sourceLabels": ["tag1", "tag2"], "separator": ";", "regex": "(.*);(b.*)", "action": "drop"}
    assert text({"endpoint": {"port": "9000"}, "relabels": [rule]}) == (
        'endpoint:\n  port: "9000"\n'
        "relabels:\n- action: drop\n  regex: (.*);(b.*)\n  separator: ;\n  sourceLabels:\n  - tag1\n  - tag2\n"
    )


def test_a_rule_without_an_action_replaces() -> None:
    assert text({"relabels": [{"regex": "a"}]}) == "relabels:\n- action: replace\n  regex: a\n"


def test_no_rules_remove_the_default_ones() -> None:
    assert text({"relabels": []}) == "{}\n"


def test_files_of_tls_keep_their_dotted_names() -> None:
    expected = 'endpoint:\n  port: "1"\n  tls:\n    ca.crt: /ca\n    tls.crt: /crt\nrelabels:\n- action: drop\n'
    given = {"port": "1", "tls": {"tls.crt": "/crt", "ca.crt": "/ca"}}
    assert expected == text({"endpoint": given, "relabels": [{"action": "drop"}]})


def test_name_labels_and_hash_of_the_config_map() -> None:
    metadata = {"commonLabels": {"team": "a", "k8ssandra.io/cluster-name": "no"}, "commonAnnotations": {"note": "x"}}
    made = config_map(metadata=metadata, clusterName="My Cluster")["metadata"]
    assert (made["name"], made["namespace"]) == ("mycluster-dc1-metrics-agent-config", "ns")
    assert made["labels"] == {
        "team": "a",
        "k8ssandra.io/cleaned-up-by": "k8ssandracluster-controller",
        "k8ssandra.io/cluster-name": "demo",
        "k8ssandra.io/cluster-namespace": "ns",
    }
    assert made["annotations"]["note"] == "x"
    assert made["annotations"]["k8ssandra.io/resource-hash"].startswith("v1:")


_values = st.recursive(
    st.text(max_size=12) | st.integers(-99, 99) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), _values, max_size=4))
def test_the_yaml_that_is_written_means_what_was_given(content: dict[str, Any]) -> None:
    assert content == yaml.safe_load(dump(content))
