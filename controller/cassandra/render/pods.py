"""``spec.podTemplateSpec`` of a CassandraDatacenter: what is said about its pods beyond cass-operator's own."""

from __future__ import annotations

from typing import Any, Final

from controller.cassandra import labels
from controller.cassandra.render.encryption import Encryption
from controller.cassandra.render.per_node import PerNodeConfig
from controller.cassandra.render.template import Template, clean, filled
from controller.kube.quantity import whole

CASSANDRA: Final = "cassandra"
SYSTEM_LOGGER: Final = "server-system-logger"
CONFIG_INIT: Final = "server-config-init"

DEFAULT_METRIC_FILTERS: Final = (
    "deny:org.apache.cassandra.metrics.Table",
    "deny:org.apache.cassandra.metrics.table",
    "allow:org.apache.cassandra.metrics.table.live_ss_table_count",
    "allow:org.apache.cassandra.metrics.Table.LiveSSTableCount",
    "allow:org.apache.cassandra.metrics.table.live_disk_space_used",
    "allow:org.apache.cassandra.metrics.table.LiveDiskSpaceUsed",
    "allow:org.apache.cassandra.metrics.Table.Pending",
    "allow:org.apache.cassandra.metrics.Table.Memtable",
    "allow:org.apache.cassandra.metrics.Table.Compaction",
    "allow:org.apache.cassandra.metrics.table.read",
    "allow:org.apache.cassandra.metrics.table.write",
    "allow:org.apache.cassandra.metrics.table.range",
    "allow:org.apache.cassandra.metrics.table.coordinator",
    "allow:org.apache.cassandra.metrics.table.dropped_mutations",
)


def pod_template(template: Template, encryption: Encryption, per_node: PerNodeConfig | None) -> dict[str, Any]:
    """The whole of ``spec.podTemplateSpec``."""
    options = template.options
    containers = [dict(container) for container in clean(options.containers or [])]
    cassandra = next((container for container in containers if container.get("name") == CASSANDRA), None)
    if cassandra is None:
        cassandra = {"name": CASSANDRA}
        containers.append(cassandra)
    if environment := _environment(template, cassandra.get("env") or []):
        cassandra["env"] = environment
    if encryption.mounts:
        replaced = {mount["name"] for mount in encryption.mounts}
        kept = [mount for mount in cassandra.get("volumeMounts") or [] if mount.get("name") not in replaced]
        cassandra["volumeMounts"] = [*kept, *encryption.mounts]

    init_containers = clean(options.init_containers or [])
    volumes = [*clean((options.extra_volumes and options.extra_volumes.volumes) or []), *encryption.volumes]
    pods = template.metadata.pods
    annotations = dict(pods.annotations)
    if per_node is not None:
        if not any(container.get("name") == CONFIG_INIT for container in init_containers):
            init_containers.append({"name": CONFIG_INIT})
        init_containers.append(per_node.init_container)
        volumes.append(per_node.volume)
        annotations[labels.PER_NODE_CONFIG_HASH] = per_node.config_hash

    rendered: dict[str, Any] = {}
    if metadata := filled(labels=pods.labels, annotations=annotations):
        rendered["metadata"] = metadata
    rendered["spec"] = {
        **filled(
            securityContext=clean(options.pod_security_context),
            priorityClassName=options.pod_priority_class_name,
            initContainers=init_containers,
        ),
        "containers": containers,
        **filled(volumes=volumes),
    }
    return rendered


def container_resources(containers: list[dict[str, Any]] | None, name: str) -> dict[str, Any]:
    """Limits and requests of the user's container of that name; {} when it sets none."""
    for container in containers or ():
        if container.get("name") == name:
            resources = clean(container.get("resources") or {})
            return resources if resources.get("limits") or resources.get("requests") else {}
    return {}


def _environment(template: Template, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The variables of the Cassandra container: the user's, then ours where the user's have not the name.

    (The reference adds its own without a look, and the CassandraDatacenter is rejected for the duplicate.)
    """
    own: dict[str, str] = {}
    if template.options.mgmt_api_heap is not None:
        own["MANAGEMENT_API_HEAP_SIZE"] = str(whole(template.options.mgmt_api_heap))
    if not template.mcac:
        own["MGMT_API_DISABLE_MCAC"] = "true"
    else:
        telemetry = template.options.telemetry
        filters = telemetry.mcac.metric_filters if telemetry and telemetry.mcac else None
        own["METRIC_FILTERS"] = " ".join(DEFAULT_METRIC_FILTERS if filters is None else filters)
    names = {variable.get("name") for variable in given}
    return [*given, *({"name": name, "value": value} for name, value in own.items() if name not in names)]
