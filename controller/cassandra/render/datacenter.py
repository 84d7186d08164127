"""A CassandraDatacenter, complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from controller.cassandra import labels
from controller.cassandra.compare import stamped
from controller.cassandra.render import metrics
from controller.cassandra.render.config import config
from controller.cassandra.render.encryption import Encryption
from controller.cassandra.render.per_node import PerNodeConfig
from controller.cassandra.render.pods import CONFIG_INIT, SYSTEM_LOGGER, container_resources, pod_template
from controller.cassandra.render.template import Template, clean, filled
from controller.cassandra.resources import CASSANDRA_DATACENTERS
from controller.cassandra.secrets import superuser_secret_name
from controller.cassandra.types import ServicesMetadata, StorageConfig, Tags
from controller.cassandra.versions import Version


def cassandra_datacenter(
    template: Template,
    version: Version,
    *,
    founds: bool,
    encryption: Encryption,
    per_node: PerNodeConfig | None,
    system_replication: Mapping[str, int],
) -> dict[str, Any]:
    """The whole object with its hash. ``founds``: it is the first in the order of deployment, and makes the users."""
    spec = _spec(template, version, encryption, per_node, system_replication)
    return stamped(
        {
            "apiVersion": CASSANDRA_DATACENTERS.api_version,
            "kind": CASSANDRA_DATACENTERS.kind,
            "metadata": _metadata(template, founds),
            "spec": spec,
        }
    )


def _metadata(template: Template, founds: bool) -> dict[str, Any]:
    cluster, common = template.cluster, template.cassandra.metadata
    own = {
        labels.APP_NAME: labels.OPERATOR_NAME,
        labels.APP_PART_OF: "k8ssandra",
        labels.APP_COMPONENT: "cassandra",
    }
    annotations = dict(template.metadata.annotations)
    if cluster.spec.external_datacenters:
        # The users are there already; the reference drops the datacenter's own annotations here.
        annotations = {labels.SKIP_USER_CREATION: "true"}
    if not founds:
        annotations[labels.SKIP_USER_CREATION] = "true"
    annotations.update(common.annotations)
    metadata: dict[str, Any] = {
        "name": template.datacenter.name,
        "namespace": template.namespace,
        # The cluster's own labels win over the datacenter's; who the owner is, nobody overrides.
        "labels": {
            **own,
            **template.metadata.labels,
            **common.labels,
            **labels.cleaned_up(cluster.name, cluster.namespace),
        },
    }
    if annotations:
        metadata["annotations"] = annotations
    metadata["finalizers"] = [labels.FINALIZER]
    return metadata


def _spec(
    template: Template,
    version: Version,
    encryption: Encryption,
    per_node: PerNodeConfig | None,
    system_replication: Mapping[str, int],
) -> dict[str, Any]:
    options = template.options
    spec: dict[str, Any] = {
        "size": template.datacenter.size,
        "serverVersion": str(version),
        "serverType": template.server_type,
        "clusterName": template.cluster.cass_name,
        "config": config(template, version, encryption, system_replication),
        "storageConfig": _storage(template),
        "podTemplateSpec": pod_template(template, encryption, per_node),
        "additionalServiceConfig": _services(template),
        **filled(
            datacenterName=options.datacenter_name,
            stopped=template.datacenter.stopped,
            serverImage=options.server_image,
            superuserSecretName="" if template.cluster.external_secrets else superuser_secret_name(template.cluster),
            racks=[clean(msgspec.to_builtins(rack)) for rack in options.racks or ()],
            tolerations=clean(options.tolerations),
            resources=clean(options.resources),
            networking=_networking(template),
            cdc=msgspec.to_builtins(options.cdc),
            serviceAccountName=options.service_account,
            systemLoggerResources=container_resources(options.containers, SYSTEM_LOGGER),
            configBuilderResources=container_resources(options.init_containers, CONFIG_INIT),
            allowMultipleNodesPerWorker=options.soft_pod_anti_affinity,
            dseWorkloads=msgspec.to_builtins(options.dse_workloads),
            additionalLabels=template.metadata.common_labels,
            additionalAnnotations=template.metadata.common_annotations,
        ),
    }
    if options.management_api_auth is not None:
        if options.management_api_auth.manual is not None:
            spec["managementApiAuth"] = {"manual": msgspec.to_builtins(options.management_api_auth.manual)}
        elif options.management_api_auth.insecure is not None:
            spec["managementApiAuth"] = {"insecure": {}}
    if options.read_only_root_filesystem is not None:
        spec["readOnlyRootFilesystem"] = options.read_only_root_filesystem
    return spec


def _networking(template: Template) -> dict[str, Any]:
    networking = template.options.networking
    if networking is None:
        return {}
    return filled(hostNetwork=networking.host_network, nodePort=msgspec.to_builtins(networking.node_port))


def _storage(template: Template) -> dict[str, Any]:
    storage = template.options.storage_config or StorageConfig()
    pvcs = template.options.extra_volumes.pvcs if template.options.extra_volumes else None
    volumes = [clean(msgspec.to_builtins(volume)) for volume in [*(storage.additional_volumes or ()), *(pvcs or ())]]
    volumes.append(
        {
            "name": metrics.VOLUME,
            "mountPath": metrics.MOUNT_PATH,
            "volumeSource": {
                "configMap": {
                    "name": metrics.config_map_name(template),
                    "items": [{"key": metrics.KEY, "path": metrics.KEY}],
                }
            },
        }
    )
    rendered: dict[str, Any] = {}
    if storage.cassandra_data_volume_claim_spec is not None:
        rendered["cassandraDataVolumeClaimSpec"] = clean(storage.cassandra_data_volume_claim_spec)
    rendered["additionalVolumes"] = volumes
    return rendered


def _services(template: Template) -> dict[str, Any]:
    services: ServicesMetadata = template.metadata.services
    owner = labels.owner(template.cluster.name, template.cluster.namespace)

    def additions(tags: Tags, own: dict[str, str] | None = None) -> dict[str, Any]:
        return filled(additionalLabels={**tags.labels, **(own or {})}, additionalAnnotations=tags.annotations)

    return filled(
        dcService=additions(services.dc_service),
        seedService=additions(services.seed_service),
        allpodsService=additions(services.all_pods_service, owner),
        additionalSeedService=additions(services.additional_seed_service),
        nodePortService=additions(services.node_port_service),
    )
