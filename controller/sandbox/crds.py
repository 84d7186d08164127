"""CustomResourceDefinitions that only the sandbox installs.

cass-operator's two kinds belong to cass-operator: here they are just strict enough to notice a wrong object. And the
control plane's four kinds as the reference operator publishes them, which prune what ours add to a status.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from controller.cassandra.resources import CASSANDRA_DATACENTERS, CASSANDRA_TASKS, K8SSANDRA_CLUSTERS
from controller.cassandra.types import CassandraDatacenterStatus
from controller.definitions import definitions
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.crd import AGE, Column, schema_of
from controller.kube.resources import CRDS, Resource
from controller.replication.types import REPLICATED_SECRETS
from controller.tasks.types import K8SSANDRA_TASKS, CassandraTaskStatus

_FREE: Final[dict[str, Any]] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_VERSIONS: Final = r"(6\.[89]\.\d+)|(3\.11\.\d+)|(4\.\d+\.\d+)|(5\.\d+\.\d+)|(1\.\d+\.\d+)"


def data_plane_crds() -> list[dict[str, Any]]:
    """CassandraDatacenter and CassandraTask, as a data plane with cass-operator has them."""
    datacenter_spec = {
        **_FREE,
        "required": ["clusterName", "serverType", "serverVersion", "size", "storageConfig"],
        "properties": {
            "size": {"type": "integer", "format": "int32", "minimum": 1},
            "serverVersion": {"type": "string", "pattern": _VERSIONS},
            "serverType": {"type": "string", "enum": ["cassandra", "dse", "hcd"]},
            "clusterName": {"type": "string", "minLength": 2},
            "datacenterName": {"type": "string"},
            "stopped": {"type": "boolean"},
            "superuserSecretName": {"type": "string"},
            "config": dict(_FREE),
            "storageConfig": dict(_FREE),
            "podTemplateSpec": dict(_FREE),
        },
    }
    task_spec = {
        **_FREE,
        "properties": {
            "datacenter": dict(_FREE),
            "scheduledTime": {"type": "string", "format": "date-time"},
            "jobs": {"type": "array", "items": {**_FREE, "required": ["command", "name"], "properties": _JOB}},
        },
    }
    return [
        _definition(
            CASSANDRA_DATACENTERS,
            datacenter_spec,
            schema_of(CassandraDatacenterStatus),
            (
                Column("Size", ".spec.size", "integer"),
                Column("Version", ".spec.serverVersion"),
                Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
                Column("Progress", ".status.cassandraOperatorProgress"),
                AGE,
            ),
            ("cassdc", "cassdcs"),
        ),
        _definition(
            CASSANDRA_TASKS,
            task_spec,
            schema_of(CassandraTaskStatus),
            (
                Column("Datacenter", ".spec.datacenter.name"),
                Column("Job", ".spec.jobs[0].command"),
                Column("Started", ".status.startTime", "date"),
                Column("Completed", ".status.completionTime", "date"),
                AGE,
            ),
            ("casstask", "casstasks"),
        ),
    ]


def control_plane_crds() -> list[dict[str, Any]]:
    """The control plane's four kinds, as ``manifests/crds`` installs them."""
    return list(definitions().values())


def published_crds() -> list[dict[str, Any]]:
    """The control plane's four kinds in the shape of the reference operator's own definitions.

    ClientConfig has no status; conditions keep type, status and lastTransitionTime only, those of a K8ssandraTask
    require a reason and a message; columns are those that the reference prints.
    """
    found = copy.deepcopy(definitions())
    client_config = _version(found[CLIENT_CONFIGS.name])
    del client_config["schema"]["openAPIV3Schema"]["properties"]["status"]
    del client_config["subresources"]
    client_config.pop("additionalPrinterColumns")

    cluster = _version(found[K8SSANDRA_CLUSTERS.name])
    _forget_rules(cluster["schema"]["openAPIV3Schema"]["properties"]["spec"])
    _narrow(_status(cluster)["conditions"])
    cluster["additionalPrinterColumns"] = [
        column for column in cluster["additionalPrinterColumns"] if column["name"] == "Error"
    ]
    replicated = _version(found[REPLICATED_SECRETS.name])
    _narrow(_status(replicated)["conditions"])
    replicated.pop("additionalPrinterColumns")

    task = _status(_version(found[K8SSANDRA_TASKS.name]))
    for status in (task, task["datacenters"]["additionalProperties"]["properties"]):
        items = status["conditions"]["items"]
        items["required"] = ["lastTransitionTime", "message", "reason", "status", "type"]
        items["properties"]["reason"].update(minLength=1, maxLength=1024)
    return list(found.values())


_JOB: Final = {"name": {"type": "string"}, "command": {"type": "string"}, "args": dict(_FREE)}
_KEPT: Final = ("cluster", "type", "status", "lastTransitionTime")


def _forget_rules(schema: dict[str, Any]) -> None:
    """Take away the rules in CEL, and the bounds that make them affordable."""
    for key in ("x-kubernetes-validations", "maxItems", "maxLength"):
        schema.pop(key, None)
    for inner in schema.get("properties", {}).values():
        _forget_rules(inner)
    for key in ("items", "additionalProperties"):
        if key in schema:
            _forget_rules(schema[key])


def _narrow(conditions: dict[str, Any]) -> None:
    """Leave only what published definitions know of a condition, in a plain list."""
    items = conditions["items"]
    items["properties"] = {key: value for key, value in items["properties"].items() if key in _KEPT}
    for key in ("x-kubernetes-list-type", "x-kubernetes-list-map-keys"):
        conditions.pop(key, None)


def _version(entry: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = entry["spec"]["versions"][0]
    return found


def _status(version: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    return found


def _definition(
    resource: Resource,
    spec: dict[str, Any],
    status: dict[str, Any],
    columns: tuple[Column, ...],
    short_names: tuple[str, ...],
) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": {**status, "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    return {
        "apiVersion": CRDS.api_version,
        "kind": CRDS.kind,
        "metadata": {"name": resource.name},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": list(short_names),
            },
            "versions": [
                {
                    "name": resource.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": column.name, "type": column.type, "jsonPath": column.path} for column in columns
                    ],
                }
            ],
        },
    }
