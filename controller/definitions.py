"""The CustomResourceDefinitions of the control plane's four kinds."""

from __future__ import annotations

from typing import Any

from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.cassandra.types import K8ssandraCluster
from controller.fleet.types import CLIENT_CONFIGS, ClientConfig
from controller.kube.crd import AGE, Column, definition
from controller.replication.types import REPLICATED_SECRETS, ReplicatedSecret
from controller.tasks.types import K8SSANDRA_TASKS, K8ssandraTask


def definitions() -> dict[str, dict[str, Any]]:
    """The definitions by their names, as ``clientconfigs.config.k8ssandra.io``."""
    found = (
        definition(
            CLIENT_CONFIGS,
            ClientConfig,
            columns=(
                Column("Context", ".spec.contextName", description="The name by which specifications call the cluster"),
                Column("Ready", _condition("Ready", "status"), description="Whether the cluster can be used"),
                Column("Reason", _condition("Ready", "reason"), description="Why it can, or cannot"),
                Column("Version", ".status.serverVersion", description="Version of the cluster's API server"),
                Column("Since", _condition("Ready", "lastTransitionTime"), "date", "How long that has been so"),
                AGE,
                Column("Expires", ".status.credentialsExpireAt", "date", "When the credentials end", priority=1),
                Column("Message", _condition("Ready", "message"), description="What to do about it", priority=1),
            ),
        ),
        definition(
            K8SSANDRA_CLUSTERS,
            K8ssandraCluster,
            short_names=("k8c", "k8cs"),
            columns=(
                Column("Ready", _condition("Ready", "status"), description="Whether all datacenters are ready"),
                Column("Progressing", _condition("Progressing", "status"), description="Whether work is under way"),
                Column("Reason", _condition("Ready", "reason"), description="Why they are, or are not"),
                Column("Error", ".status.error", description="What went wrong in the last pass"),
                AGE,
                Column("Type", ".spec.cassandra.serverType", description="cassandra, dse or hcd", priority=1),
                Column("Version", ".spec.cassandra.serverVersion", description="Of the cluster", priority=1),
                Column("Message", _condition("Ready", "message"), description="What to do about it", priority=1),
            ),
        ),
        definition(REPLICATED_SECRETS, ReplicatedSecret, columns=(AGE,)),
        definition(
            K8SSANDRA_TASKS,
            K8ssandraTask,
            columns=(
                Column("Job", ".spec.template.jobs[0].command", description="The command"),
                Column("Scheduled", ".spec.template.scheduledTime", "date", "When it may begin"),
                Column("Started", ".status.startTime", "date", "When it began"),
                Column("Completed", ".status.completionTime", "date", "When it ended"),
            ),
        ),
    )
    return {entry["metadata"]["name"]: entry for entry in found}


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'
