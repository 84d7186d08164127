"""What a K8ssandraCluster may not say, found without asking any server. A field that is wrong is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from controller.cassandra import names
from controller.cassandra.problems import FieldProblem
from controller.cassandra.render import shapes, tags
from controller.cassandra.render.core_types import is_quantity
from controller.cassandra.render.jvm import QUANTITIES
from controller.cassandra.render.template import Template
from controller.cassandra.secrets import superuser_secret_name
from controller.cassandra.types import (
    CassandraClusterTemplate,
    CassandraConfig,
    CassandraDatacenterTemplate,
    K8ssandraCluster,
)
from controller.cassandra.types.rules import DATACENTERS

_SIZE_LIMIT: Final = 2**31 - 1  # an int32 on the wire
_SERVER_TYPES: Final = ("cassandra", "dse", "hcd")
_PROVIDERS: Final = ("internal", "external")


def check_cluster(cluster: K8ssandraCluster) -> list[FieldProblem]:
    """What is wrong with the cluster as a whole; with any of it no datacenter can be rendered."""
    return list(_cluster(cluster))


def check_datacenter(template: Template) -> list[FieldProblem]:
    """What is wrong with one datacenter, given a cluster that is right."""
    datacenter = template.datacenter
    own = shapes.check_level(datacenter, template.path, datacenter.name)
    return own or list(_datacenter(template))  # what is of another shape than it says cannot be looked into


def _cluster(cluster: K8ssandraCluster) -> Iterator[FieldProblem]:
    spec, cassandra = cluster.spec, cluster.spec.cassandra
    if cassandra is None:
        yield FieldProblem("spec.cassandra", "is required", "describe the Cassandra cluster")
        return
    if not cassandra.datacenters:
        remedy = "name at least one datacenter; to remove the last one, delete the K8ssandraCluster"
        yield FieldProblem("spec.cassandra.datacenters", "is empty", remedy)
    elif len(cassandra.datacenters) > DATACENTERS:
        yield FieldProblem("spec.cassandra.datacenters", "is too long", f"use at most {DATACENTERS} datacenters")
    if not names.is_label_value(cluster.name):
        message = "does not fit into a label, which finds the cluster's objects again"
        yield FieldProblem("metadata.name", message, f"use at most {names.LABEL_LENGTH} characters")
    yield from _cluster_name(cluster, cassandra)
    if cassandra.server_type not in _SERVER_TYPES:
        yield FieldProblem("spec.cassandra.serverType", "is unknown", f"use one of {', '.join(_SERVER_TYPES)}")
    if spec.secrets_provider not in _PROVIDERS:
        yield FieldProblem("spec.secretsProvider", "is unknown", f"use one of {', '.join(_PROVIDERS)}")
    if cassandra.superuser_secret_ref and not names.is_subdomain(superuser_secret_name(cluster)):
        path = "spec.cassandra.superuserSecretRef.name"
        yield FieldProblem(path, "is no name of a Secret", "use lower-case letters, digits, - and .")
    yield from _duplicates(cassandra.datacenters)
    yield from tags.check(cassandra.metadata, "spec.cassandra.metadata")
    yield from tags.check_racks(cassandra.racks, "spec.cassandra.racks")
    yield from shapes.check_level(cassandra, "spec.cassandra")


def _cluster_name(cluster: K8ssandraCluster, cassandra: CassandraClusterTemplate) -> Iterator[FieldProblem]:
    path = "spec.cassandra.clusterName" if cassandra.cluster_name else "metadata.name"
    if len(cluster.cass_name) < 2:
        yield FieldProblem(path, "is too short for a Cassandra cluster", "use at least two characters")
    elif not names.kubernetes_name(cluster.cass_name):
        message = "has nothing that can stand in the name of a Kubernetes object"
        yield FieldProblem(path, message, "use a name with at least one letter")
    elif len(f"cassandra-{names.label_value(cluster.cass_name)}") > names.LABEL_LENGTH:
        yield FieldProblem(path, "does not fit into a label", "use at most 53 characters")


def _duplicates(datacenters: list[CassandraDatacenterTemplate]) -> Iterator[FieldProblem]:
    object_names = Counter(datacenter.name for datacenter in datacenters)
    cass_names = Counter(datacenter.cass_name for datacenter in datacenters)
    for index, datacenter in enumerate(datacenters):
        path = f"spec.cassandra.datacenters[{index}]"
        if datacenter.name and object_names[datacenter.name] > 1:
            message = f"{datacenter.name} is the name of another datacenter too"
            yield FieldProblem(f"{path}.metadata.name", message, "give every datacenter a name of its own")
        elif datacenter.cass_name and cass_names[datacenter.cass_name] > 1:
            message = f"{datacenter.cass_name} is the name of another datacenter inside Cassandra too"
            yield FieldProblem(f"{path}.datacenterName", message, "give every datacenter a name of its own")


# ── one datacenter ──────────────────────────────────────────────────────────────────────────────────


def _datacenter(template: Template) -> Iterator[FieldProblem]:
    datacenter, options = template.datacenter, template.options

    def problem(field: str, message: str, remedy: str) -> FieldProblem:
        return FieldProblem(f"{template.path}.{field}", message, remedy, datacenter.name)

    if not datacenter.name:
        yield problem("metadata.name", "is required", "give the datacenter a name")
    elif not names.is_label(datacenter.name):
        remedy = "use lower-case letters, digits and -, at most 63; for other names there is datacenterName"
        yield problem("metadata.name", "is no DNS label", remedy)
    if not names.is_namespace(template.namespace):
        yield problem("metadata.namespace", "is no name of a namespace", "use lower-case letters, digits and -")
    if not 1 <= datacenter.size <= _SIZE_LIMIT:
        yield problem("size", "is out of range", "use 1 or more; to take pods away use stopped")
    yield from _version(template)
    if options.storage_config is None or not options.storage_config.cassandra_data_volume_claim_spec:
        remedy = "set it here or in spec.cassandra.storageConfig"
        yield problem("storageConfig.cassandraDataVolumeClaimSpec", "is required", remedy)
    if options.soft_pod_anti_affinity and not options.resources:
        remedy = "set resources here or in spec.cassandra.resources"
        yield problem("softPodAntiAffinity", "needs resources", remedy)
    yield from _racks(template)
    yaml = (options.config or CassandraConfig()).cassandra_yaml
    if yaml.get("commitlog_sync_period_in_ms") and yaml.get("commitlog_sync_batch_window_in_ms"):
        message = "commitlog_sync_period_in_ms and commitlog_sync_batch_window_in_ms exclude each other"
        yield problem("config.cassandraYaml", message, "remove one")
    auth = options.management_api_auth
    if auth is not None and auth.insecure is not None and auth.manual is not None:
        yield problem("managementApiAuth", "has two kinds of authentication", "keep insecure or manual")
    yield from _quantities(template)
    yield from _services(template)
    yield from shapes.check_merged(template)
    yield from tags.check(datacenter.metadata, f"{template.path}.metadata", datacenter.name)
    yield from tags.check_racks(datacenter.racks, f"{template.path}.racks", datacenter.name)


def _services(template: Template) -> Iterator[FieldProblem]:
    # The longest name of those that cass-operator makes.
    service = names.additional_seed_service(template.cluster.cass_name, template.datacenter.name)
    if names.is_label(template.datacenter.name) and len(service) > names.LABEL_LENGTH:
        message = f"the Service's name {service} is longer than {names.LABEL_LENGTH} characters"
        path, remedy = f"{template.path}.metadata.name", "shorten the name of cluster or datacenter"
        yield FieldProblem(path, message, remedy, template.datacenter.name)


def _version(template: Template) -> Iterator[FieldProblem]:
    path = f"{template.path}.serverVersion"
    if not template.datacenter.server_version and template.cassandra.server_version:
        path = "spec.cassandra.serverVersion"
    name = template.datacenter.name
    if not template.options.server_version:
        yield FieldProblem(path, "is required", "set it here or in spec.cassandra.serverVersion", name)
    elif template.version is None:
        yield FieldProblem(path, "is no version", "use three numbers, as 4.0.1", name)
    elif template.version.build:
        message = "has build metadata, which cannot stand in a label"
        yield FieldProblem(path, message, "leave out the + and what follows", name)


def _racks(template: Template) -> Iterator[FieldProblem]:
    racks = template.options.racks or []
    name = template.datacenter.name
    path = f"{template.path}.racks"
    for index, rack in enumerate(racks):
        if len(rack.name) < 2:
            yield FieldProblem(f"{path}[{index}].name", "is too short", "use at least two characters", name)
        elif not names.subdomain(rack.name):
            message = "has nothing that can stand in the name of a Kubernetes object"
            yield FieldProblem(f"{path}[{index}].name", message, "use letters or digits", name)
    if len({names.subdomain(rack.name) for rack in racks}) < len(racks):
        yield FieldProblem(path, "has two racks of one name", "give every rack a name of its own", name)
    if len(racks) > template.datacenter.size > 0:
        message = "has more racks than the datacenter has pods"
        yield FieldProblem(path, message, "raise size or remove racks", name)
    for rack_name in [rack.name for rack in racks] or [names.DEFAULT_RACK]:
        stateful_set = names.stateful_set(template.cluster.cass_name, name, rack_name)
        if len(stateful_set) > names.STATEFUL_SET_LENGTH:
            message = f"the StatefulSet's name {stateful_set} is longer than {names.STATEFUL_SET_LENGTH} characters"
            yield FieldProblem(path, message, "shorten the name of cluster, datacenter or rack", name)


def _quantities(template: Template) -> Iterator[FieldProblem]:
    options = template.options
    found: list[tuple[str, Any]] = []
    if options.mgmt_api_heap is not None:
        found.append(("mgmtAPIHeap", options.mgmt_api_heap))
    jvm = options.config.jvm_options if options.config else None
    if jvm is not None:
        found += [(f"config.jvmOptions.{name}", getattr(jvm, name)) for name in QUANTITIES]
    for path, value in found:
        if value is not None and not is_quantity(value):
            message = "is no quantity"
            yield FieldProblem(f"{template.path}.{path}", message, "use 4Gi, 500m or 2", template.datacenter.name)
