"""An installation as the reference operator leaves it: its field manager, hashes, labels, and the JSON that Go writes.

What the specifications say is rendered here as there; everything else about the objects is written independently.
"""

from __future__ import annotations

import copy
import hashlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

from controller.cassandra.facts import gather
from controller.cassandra.render import RenderedDatacenter, render
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.cassandra.types import K8ssandraCluster
from controller.kube import errors
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, PODS, SECRETS, SERVICES, Resource
from controller.replication.types import REPLICATED_SECRETS
from tests.integration.rig import Rig, eventually

MANAGER: Final = "manager"  # the program of the reference operator, and cass-operator's
HASH: Final = "k8ssandra.io/resource-hash"
SCRIPT: Final = (
    "set -e\n# the reference operator's own way to merge\nfor f in /per-node-config/${POD_NAME}_*; do :; done\n"
)
IMAGE: Final = "docker.io/k8ssandra/k8ssandra-client:v0.6.0"
CLUSTER_LABELS: Final = ("k8ssandra.io/cluster-name", "k8ssandra.io/cluster-namespace")


class Reference:
    """The reference operator, for as long as a test lets it work, on one K8ssandraCluster."""

    def __init__(self, one: Rig, manifest: dict[str, Any], others: tuple[dict[str, Any], ...] = ()) -> None:
        self._one = one
        self._manifest = manifest
        self._others = others
        self.name: Final = str(manifest["metadata"]["name"])
        self.places: Final = {
            entry["metadata"]["name"]: entry["k8sContext"] for entry in manifest["spec"]["cassandra"]["datacenters"]
        }

    async def install(self, *, legacy: str = "") -> None:
        """Bring the cluster up, one datacenter after the other. ``legacy``: a name inside Cassandra in their status."""
        one = self._one
        for manifest in self._others:
            await one.world.apply(manifest, namespace=one.namespace)
        await one.apply(self._manifest)
        cluster, datacenters = await self._rendered()
        await self._prepare(cluster)
        for datacenter in datacenters:
            await self._make(cluster, datacenter)
            await eventually(lambda datacenter=datacenter: self._is_ready(datacenter), f"{datacenter.name} is Ready")
            if legacy:
                status = {"status": {"datacenterName": legacy}}
                await self._patch(CASSANDRA_DATACENTERS, datacenter.name, status, datacenter.context, "status")
        for datacenter in datacenters:
            await self._seeds(cluster, datacenter, datacenters)
            await self._contact_points(cluster, datacenter)
        await self._show(cluster, datacenters)

    async def rewrite(self, resource: Resource, name: str, context: str = "", **content: Any) -> None:
        """PUT an object as it is wanted there: with another hash, without what others put into its metadata."""
        found = await self._one.get(resource, name, context) or {}
        metadata = found["metadata"]
        kept = {key: metadata[key] for key in ("name", "namespace", "labels", "resourceVersion", "uid")}
        kept["annotations"] = {**(metadata.get("annotations") or {}), HASH: go_hash(str(content) + name + "again")}
        if metadata.get("finalizers"):
            kept["finalizers"] = [each for each in metadata["finalizers"] if each.startswith("k8ssandracluster.")]
        wanted = {**found, **content, "metadata": kept}
        await self._one.client(context).replace(resource, self._one.namespace, name, wanted, field_manager=MANAGER)

    # ── the control plane ───────────────────────────────────────────────────────────────────────────

    async def _rendered(self) -> tuple[K8ssandraCluster, tuple[RenderedDatacenter, ...]]:
        found = await self._one.client().get(K8SSANDRA_CLUSTERS, self._one.namespace, self.name)
        cluster = found.decode(K8ssandraCluster)
        known = {
            (manifest["kind"], manifest["metadata"]["name"]): {"metadata": {}, **manifest} for manifest in self._others
        }
        facts, problems = gather(
            cluster,
            lambda context, namespace, name: known.get(("Secret", name)),
            lambda context, namespace, name: known.get(("ConfigMap", name)),
        )
        rendered = render(cluster, facts)
        assert (problems, rendered.errors) == ([], ())
        return cluster, rendered.datacenters

    async def _prepare(self, cluster: K8ssandraCluster) -> None:
        first = cluster.spec.cassandra.datacenters[0] if cluster.spec.cassandra else None
        assert first is not None
        replication = f'{{"{first.cass_name}":{min(3, first.size)}}}'
        metadata = {
            "finalizers": ["k8ssandracluster.k8ssandra.io/finalizer"],
            "annotations": {"k8ssandra.io/initial-system-replication": replication},
        }
        await self._patch(K8SSANDRA_CLUSTERS, self.name, {"metadata": metadata})
        secret = self._superuser(cluster)
        await self._create(SECRETS, secret)
        targets = [{"k8sContextName": context, "namespace": ""} for context in self.places.values()]
        replicated = {
            **head(REPLICATED_SECRETS, self.name),
            "spec": {"selector": {"matchLabels": self._source_labels()}, "replicationTargets": targets},
            "status": {},
        }
        replicated["metadata"] |= {
            "labels": self._owner_labels(),
            "ownerReferences": self._owner(cluster),
            "finalizers": ["replicatedresource.k8ssandra.io/finalizer"],
        }
        await self._create(REPLICATED_SECRETS, replicated)
        for context in dict.fromkeys(self.places.values()):
            replica = copy.deepcopy(secret)
            replica["metadata"].pop("ownerReferences")
            mark = f"{self._one.namespace}.{self.name}"
            replica["metadata"]["labels"]["k8ssandra.io/replicated-secret-name"] = mark
            await self._create(SECRETS, replica, context)
        conditions = [
            {"cluster": context, "type": "Replication", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            for context in self.places.values()
        ]
        await self._patch(REPLICATED_SECRETS, self.name, {"status": {"conditions": conditions}}, "", "status")

    def _superuser(self, cluster: K8ssandraCluster) -> dict[str, Any]:
        name = f"{c35(cluster.cass_name)}-superuser"
        data = {"username": b64encode(name.encode()).decode(), "password": b64encode(b"a-password").decode()}
        secret = {**head(SECRETS, name), "type": "Opaque", "data": data}
        secret["metadata"] |= {
            "labels": self._source_labels(),
            "annotations": {HASH: go_hash(str(data))},
            "ownerReferences": self._owner(cluster),
        }
        return secret

    async def _contact_points(self, cluster: K8ssandraCluster, datacenter: RenderedDatacenter) -> None:
        name = f"{c35(cluster.cass_name)}-{datacenter.name}-contact-points-service"
        ports = [{"name": "native", "port": 9042, "protocol": "TCP"}]
        labels = {
            "app.kubernetes.io/name": "k8ssandra-operator",
            "app.kubernetes.io/part-of": "k8ssandra",
            "app.kubernetes.io/component": "cassandra",
            **self._owner_labels(),
            "k8ssandra.io/datacenter": datacenter.name,
        }
        service = {**head(SERVICES, name), "spec": {"clusterIP": "None", "type": "ClusterIP", "ports": ports}}
        service["metadata"] |= {
            "labels": labels,
            "annotations": {HASH: go_hash(name)},
            "ownerReferences": self._owner(cluster),
        }
        service["status"] = {"loadBalancer": {}}
        await self._create(SERVICES, service)
        addresses = [address for _, address in await self._addresses(datacenter, seeds=False)]
        slice_ = {
            **head(ENDPOINT_SLICES, f"{name}-ipv4"),
            "addressType": "IPv4",
            "endpoints": [{"addresses": addresses, "conditions": {}}],
            "ports": ports,
        }
        slice_["metadata"]["labels"] = {
            **labels,
            "kubernetes.io/service-name": name,
            "endpointslice.kubernetes.io/managed-by": "k8ssandra-operator",
        }
        await self._create(ENDPOINT_SLICES, slice_)

    async def _show(self, cluster: K8ssandraCluster, datacenters: tuple[RenderedDatacenter, ...]) -> None:
        shown = {}
        for each in datacenters:
            live = await self._one.get(CASSANDRA_DATACENTERS, each.name, each.context) or {}
            shown[each.name] = {"contextName": each.context, "cassandra": live["status"]}
        condition = {"type": "CassandraInitialized", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        status = {
            "conditions": [condition, {**condition, "type": "RequiresUpdate", "status": "False"}],
            "datacenters": shown,
            "error": "None",
            "observedGeneration": cluster.metadata.generation,
        }
        await self._patch(K8SSANDRA_CLUSTERS, self.name, {"status": status}, "", "status")

    # ── a data plane ────────────────────────────────────────────────────────────────────────────────

    async def _make(self, cluster: K8ssandraCluster, datacenter: RenderedDatacenter) -> None:
        context = datacenter.context
        for config_map in datacenter.config_maps:
            await self._create(CONFIG_MAPS, rehashed(config_map), context)
        reference = self._per_node(datacenter)
        if reference:
            await self._patch(CONFIG_MAPS, reference, {"metadata": {"labels": self._owner_labels()}}, context)
        await self._create(CASSANDRA_DATACENTERS, go_datacenter(datacenter.object), context)

    def _per_node(self, datacenter: RenderedDatacenter) -> str:
        """Name of the user's ConfigMap of single nodes."""
        for entry in self._manifest["spec"]["cassandra"]["datacenters"]:
            if entry["metadata"]["name"] == datacenter.name:
                return str(entry.get("perNodeConfigMapRef", {}).get("name", ""))
        return ""

    async def _seeds(
        self, cluster: K8ssandraCluster, datacenter: RenderedDatacenter, datacenters: tuple[RenderedDatacenter, ...]
    ) -> None:
        """The slice with the other datacenters' seeds: labelled as cass-operator's, and for nobody by name."""
        found: list[str] = []
        for other in datacenters:
            if other.name != datacenter.name:
                found += [address for _, address in await self._addresses(other, seeds=True)]
        if not found:
            return
        cass, service = clv(cluster.cass_name), f"{c35(cluster.cass_name)}-{datacenter.name}-additional-seed-service"
        slice_ = {
            **head(ENDPOINT_SLICES, f"{self.name}-{service}-ipv4"),
            "addressType": "IPv4",
            "endpoints": [{"addresses": list(reversed(found)), "conditions": {}}],
            "ports": None,
        }
        slice_["metadata"] |= {
            "labels": {
                "app.kubernetes.io/created-by": "cass-operator",
                "app.kubernetes.io/instance": f"cassandra-{cass}",
                "app.kubernetes.io/managed-by": "cass-operator",
                "app.kubernetes.io/name": "cassandra",
                "app.kubernetes.io/version": datacenter.version,
                "cassandra.datastax.com/cluster": cass,
                "cassandra.datastax.com/datacenter": datacenter.name,
                "endpointslice.kubernetes.io/managed-by": "k8ssandra-operator",
                "kubernetes.io/service-name": service,
            },
            "annotations": {"cassandra.datastax.com/resource-hash": go_hash(str(found))},
        }
        await self._create(ENDPOINT_SLICES, slice_, datacenter.context)

    async def _addresses(self, datacenter: RenderedDatacenter, *, seeds: bool) -> list[tuple[str, str]]:
        selector = f"cassandra.datastax.com/datacenter={datacenter.name}"
        if seeds:
            selector += ",cassandra.datastax.com/seed-node=true"
        pods = await self._one.client(datacenter.context).list_all(PODS, self._one.namespace, label_selector=selector)
        return [(pod.head.name, str(pod.decode(dict)["status"]["podIP"])) for pod in pods]

    async def _is_ready(self, datacenter: RenderedDatacenter) -> bool:
        live = await self._one.get(CASSANDRA_DATACENTERS, datacenter.name, datacenter.context) or {}
        return (live.get("status") or {}).get("observedGeneration") == live["metadata"]["generation"]

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────

    async def _create(self, resource: Resource, obj: dict[str, Any], context: str = "") -> None:
        metadata = {**obj["metadata"], "namespace": self._one.namespace}
        await self._one.client(context).create(
            resource, self._one.namespace, {**obj, "metadata": metadata}, field_manager=MANAGER
        )

    async def _patch(
        self, resource: Resource, name: str, patch: dict[str, Any], context: str = "", subresource: str = ""
    ) -> None:
        client = self._one.client(context)
        await client.patch(
            resource, self._one.namespace, name, patch, kind="merge", subresource=subresource, field_manager=MANAGER
        )

    def _owner_labels(self) -> dict[str, str]:
        return dict(zip(CLUSTER_LABELS, (self.name, self._one.namespace), strict=True))

    def _source_labels(self) -> dict[str, str]:
        return {"k8ssandra.io/replicated-by": "k8ssandracluster-controller", **self._owner_labels()}

    def _owner(self, cluster: K8ssandraCluster) -> list[dict[str, Any]]:
        kind = {"apiVersion": "k8ssandra.io/v1alpha1", "kind": "K8ssandraCluster"}
        return [
            {**kind, "name": self.name, "uid": cluster.metadata.uid, "controller": True, "blockOwnerDeletion": True}
        ]


def head(resource: Resource, name: str) -> dict[str, Any]:
    """The beginning of every object that Go encodes."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "creationTimestamp": None},
    }


def go_hash(text: str) -> str:
    """What stands where ours would: 32 bytes in base64."""
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()


def rehashed(obj: Mapping[str, Any]) -> dict[str, Any]:
    """An object with the other operator's hash."""
    found = copy.deepcopy(dict(obj))
    found["metadata"]["annotations"] = {**found["metadata"].get("annotations", {}), HASH: go_hash(str(found))}
    found["metadata"]["creationTimestamp"] = None
    return found


def go_datacenter(obj: Mapping[str, Any]) -> dict[str, Any]:
    """A CassandraDatacenter as Go encodes it: empty structs are {}, times null, the script its own."""
    found = rehashed(obj)
    spec = found["spec"]
    for key in ("resources", "managementApiAuth", "systemLoggerResources", "configBuilderResources"):
        spec.setdefault(key, {})
    services = spec.setdefault("additionalServiceConfig", {})
    for key in ("dcService", "seedService", "allpodsService", "additionalSeedService", "nodePortService"):
        services.setdefault(key, {})
    template = spec["podTemplateSpec"]
    template.setdefault("metadata", {})["creationTimestamp"] = None
    for key in ("containers", "initContainers"):
        for container in template["spec"].get(key, []):
            container.setdefault("resources", {})
            for port in container.get("ports", []):
                port.setdefault("protocol", "TCP")
            if container["name"] == "per-node-config":
                container |= {"command": ["sh", "-c", SCRIPT], "image": IMAGE}
    annotations = template["metadata"].get("annotations", {})
    if "k8ssandra.io/per-node-config-hash" in annotations:
        annotations["k8ssandra.io/per-node-config-hash"] = go_hash("the whole ConfigMap")
    found["status"] = {}
    return found


def c35(name: str) -> str:
    """The two samples of names that are used here, cleaned as the reference cleans them."""
    return {"Weird Cluster Name": "weirdclustername"}.get(name, name)


def clv(name: str) -> str:
    return {"Weird Cluster Name": "WeirdClusterName"}.get(name, name)


async def missing(one: Rig, resource: Resource, name: str, context: str) -> bool:
    """Whether an object is not there."""
    try:
        await one.client(context).get(resource, one.namespace, name, metadata_only=True)
    except errors.NotFound:
        return True
    return False


# ── who runs it ─────────────────────────────────────────────────────────────────────────────────────

LABELS: Final = {
    "app.kubernetes.io/name": "k8ssandra-operator",
    "app.kubernetes.io/part-of": "k8ssandra-k8ssandra-operator-ours",
    "app.kubernetes.io/managed-by": "Helm",
    "control-plane": "k8ssandra-operator",
}


def deployment(replicas: int = 1, operator: str = "k8ssandra-operator", release: str = "ours-") -> dict[str, Any]:
    """A Deployment as the operators' charts make it."""
    labels = {**LABELS, "app.kubernetes.io/name": operator, "control-plane": operator}
    container = {"name": operator, "image": f"cr.k8ssandra.io/k8ssandra/{operator}:v1.22.0", "command": ["/manager"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"{release}{operator}", "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"control-plane": operator}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def webhook_configuration(namespace: str, *, mutating: bool = False) -> dict[str, Any]:
    """A webhook configuration of the reference's chart that concerns this namespace only, whose operator is gone."""
    kind, name, path, group, resource = (
        ("MutatingWebhookConfiguration", "mpod.kb.io", "/mutate-v1-pod-secrets-inject", "", "pods")
        if mutating
        else (
            "ValidatingWebhookConfiguration",
            "vk8ssandracluster.kb.io",
            "/validate",
            "k8ssandra.io",
            "k8ssandraclusters",
        )
    )
    service = {"name": "ours-k8ssandra-operator-webhook-service", "namespace": namespace, "path": path}
    rule = {"apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}
    webhook = {
        "name": name,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": service},
        "failurePolicy": "Fail",
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [rule],
        "sideEffects": "None",
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": f"{namespace}-{kind.lower()}", "labels": LABELS},
        "webhooks": [webhook],
    }
