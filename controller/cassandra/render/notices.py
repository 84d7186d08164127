"""What a K8ssandraCluster says that is not done, or otherwise than it reads; it is rendered all the same."""

from __future__ import annotations

from collections.abc import Iterator

from controller.cassandra import labels
from controller.cassandra.annotations import check as check_annotations
from controller.cassandra.annotations import field as annotation_field
from controller.cassandra.problems import FieldProblem
from controller.cassandra.render import encryption
from controller.cassandra.render.pods import CASSANDRA
from controller.cassandra.render.template import Template
from controller.cassandra.seeds import is_host_name, usable_addresses
from controller.cassandra.types import K8ssandraCluster
from controller.cassandra.versions import Version, has_metrics_endpoint


def cluster_warnings(cluster: K8ssandraCluster) -> Iterator[FieldProblem]:
    """Fields of the whole cluster that have no effect."""
    cassandra = cluster.spec.cassandra
    # Of two of the annotations a plan makes problems, for it acts on them.
    planned = {annotation_field(key) for key in (labels.INITIAL_SYSTEM_REPLICATION, labels.STALE_SEEDS)}
    yield from (each for each in check_annotations(cluster.metadata.annotations) if each.field not in planned)
    seeds = cassandra.additional_seeds if cassandra else []
    for index, seed in enumerate(seeds):
        if not is_host_name(seed) and not usable_addresses([seed]):
            message = "is neither a host name nor an address that a seed can have, and is left out"
            path = f"spec.cassandra.additionalSeeds[{index}]"
            yield FieldProblem(path, message, "use the name or the address of the node", reason="UnusableSeed")


def warnings(template: Template, version: Version) -> Iterator[FieldProblem]:
    """Fields of one datacenter that have no effect, or not the one that they seem to have."""
    name, datacenter, cassandra = template.datacenter.name, template.datacenter, template.cassandra
    if datacenter.rebuild is not None:
        path = f"{template.path}.rebuild"
        yield FieldProblem(path, "has no effect on a datacenter", "move it to spec.cassandra.rebuild", name)
    if template.options.jmx_init_container_image is not None:
        path = f"{template.path}.jmxInitContainerImage"
        yield FieldProblem(path, "has no effect any more", "remove it", name)
    if template.is_first:
        for field, value in (("cdc", cassandra.cdc), ("datacenterName", cassandra.datacenter_name)):
            if value:
                message, remedy = "has no effect on a cluster", "move it to the datacenters"
                yield FieldProblem(f"spec.cassandra.{field}", message, remedy)
    for side in encryption.without_stores(template):
        message = f"{side} encryption is on, but no stores are named: Cassandra looks for files of its own"
        remedy = f"set spec.cassandra.{side}EncryptionStores, or mount the stores with extraVolumes"
        path = f"{template.path}.config.cassandraYaml.{side}_encryption_options"
        yield FieldProblem(path, message, remedy, name)
    for container in template.options.containers or ():
        if container.get("name") == CASSANDRA:
            own = {"MGMT_API_DISABLE_MCAC", "MANAGEMENT_API_HEAP_SIZE", "METRIC_FILTERS"}
            given = {variable.get("name") for variable in container.get("env") or ()}
            for variable in sorted(own & given):
                message = f"the variable {variable} is yours and is not set from the specification"
                yield FieldProblem(f"{template.path}.containers", message, "", name)
    if template.server_type == "cassandra" and not template.mcac and not has_metrics_endpoint(version):
        yield _no_metrics(template)


def unsupported_cluster(cluster: K8ssandraCluster) -> Iterator[FieldProblem]:
    """What is asked for of the whole cluster and is not done."""
    spec = cluster.spec
    for field, value in (("stargate", spec.stargate), ("reaper", spec.reaper), ("medusa", spec.medusa)):
        if value is not None:
            yield _not_done(f"spec.{field}", "")


def unsupported(template: Template) -> Iterator[FieldProblem]:
    """What is asked for of one datacenter and is not done."""
    name, path = template.datacenter.name, template.path
    if template.datacenter.stargate is not None:
        yield _not_done(f"{path}.stargate", name)
    telemetry = template.options.telemetry
    if telemetry is not None:
        if telemetry.vector is not None and telemetry.vector.get("enabled"):
            yield _not_done(f"{path}.telemetry.vector", name)
        if telemetry.prometheus is not None and telemetry.prometheus.enabled:
            yield _not_done(f"{path}.telemetry.prometheus", name)


def _not_done(field: str, datacenter: str) -> FieldProblem:
    message = "is not supported by this controller and is ignored"
    return FieldProblem(field, message, "remove it", datacenter, "Unsupported")


def _no_metrics(template: Template) -> FieldProblem:
    own = bool(template.datacenter.server_version)
    return FieldProblem(
        f"{template.path if own else 'spec.cassandra'}.serverVersion",
        "this version has no metrics endpoint, so that there are no metrics",
        "use 3.11.13, 4.0.4 or newer, or telemetry.mcac.enabled",
        template.datacenter.name if own else "",
        "NoMetrics",
    )
