"""The ConfigMap of the metrics agent: which metrics Cassandra pods show, and where."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from controller.cassandra import labels, names
from controller.cassandra.compare import stamped
from controller.cassandra.render.template import Template
from controller.cassandra.render.yaml import dump
from controller.cassandra.types import Relabel

KEY: Final = "metrics-collector.yaml"
MOUNT_PATH: Final = "/opt/management-api/configs"
VOLUME: Final = "metrics-agent-config"
_TABLE_METRICS: Final = "org_apache_cassandra_metrics_table_"
_KEPT: Final = (
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
_MARK: Final = "should_drop"
# Metrics of single tables are many: all of them are marked, some are unmarked again, the marked ones are dropped.
DEFAULT_RELABELS: Final[tuple[dict[str, Any], ...]] = (
    {"sourceLabels": ["table"], "regex": ".+", "targetLabel": _MARK, "replacement": "true"},
    *(
        {
            "sourceLabels": ["__name__"],
            "regex": _TABLE_METRICS + kept,
            "targetLabel": _MARK,
            "replacement": "false",
        }
        for kept in _KEPT
    ),
    {"sourceLabels": [_MARK], "regex": "true", "action": "drop"},
)
_DEFAULT_TEXT: Final = dump({"relabels": list(DEFAULT_RELABELS)})


def config_map_name(template: Template) -> str:
    """Name of the ConfigMap, in the datacenter's namespace."""
    return names.metrics_config_map(template.cluster.cass_name, template.datacenter.cass_name)


def config_map(template: Template) -> dict[str, Any]:
    """The whole ConfigMap."""
    cluster = template.cluster
    common = template.cassandra.metadata
    metadata: dict[str, Any] = {
        "name": config_map_name(template),
        "namespace": template.namespace,
        "labels": {**common.common_labels, **labels.cleaned_up(cluster.name, cluster.namespace)},
    }
    if common.common_annotations:
        metadata["annotations"] = dict(common.common_annotations)
    return stamped({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: _text(template)}})


def _text(template: Template) -> str:
    telemetry = template.options.telemetry
    agent = telemetry.cassandra if telemetry else None
    if agent is None or (agent.endpoint is None and agent.relabels is None):
        return _DEFAULT_TEXT
    content: dict[str, Any] = {}
    if agent.endpoint is not None:
        endpoint = msgspec.to_builtins(agent.endpoint)  # without what is not set
        content["endpoint"] = {key: value for key, value in endpoint.items() if value}
    relabels = DEFAULT_RELABELS if agent.relabels is None else tuple(map(_relabel, agent.relabels))
    if relabels:
        content["relabels"] = list(relabels)
    return dump(content)


def _relabel(rule: Relabel) -> dict[str, Any]:
    found = {
        "sourceLabels": rule.source_labels,
        "separator": rule.separator,
        "targetLabel": rule.target_label or None,
        "regex": rule.regex or None,
        "modulus": rule.modulus or None,
        "replacement": rule.replacement,
        "action": rule.action or None,
    }
    return {key: value for key, value in found.items() if value is not None and value != []}
