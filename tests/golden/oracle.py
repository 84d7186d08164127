"""What a K8ssandraCluster becomes by the reference's rules: a second writing, on plain maps, of nothing but the rules.

It checks nothing and knows no errors: manifests that are right go in, objects by context come out, without hashes.
"""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import yaml

from tests.golden.rules import c35, jvm_sections, merged, rack_name, whole

Json = dict[str, Any]
IMAGE = "docker.io/k8ssandra/k8ssandra-client:v0.8.13"
DATACENTER_ONLY, CLUSTER_ONLY = ("cdc", "datacenterName"), ("rebuild",)
_TABLE = "org_apache_cassandra_metrics_table_"
_KEPT = (
    *("live_ss_table_count", "live_disk_space_used", "memtable.*", "all_memtables.*", "compaction_bytes_written"),
    *("pending_compactions", "read_.*", "write_.*", "range.*", "coordinator_.*", "dropped_mutations"),
)
_MCAC = (
    "deny:org.apache.cassandra.metrics.Table deny:org.apache.cassandra.metrics.table "
    "allow:org.apache.cassandra.metrics.table.live_ss_table_count "
    "allow:org.apache.cassandra.metrics.Table.LiveSSTableCount "
    "allow:org.apache.cassandra.metrics.table.live_disk_space_used "
    "allow:org.apache.cassandra.metrics.table.LiveDiskSpaceUsed "
    "allow:org.apache.cassandra.metrics.Table.Pending allow:org.apache.cassandra.metrics.Table.Memtable "
    "allow:org.apache.cassandra.metrics.Table.Compaction allow:org.apache.cassandra.metrics.table.read "
    "allow:org.apache.cassandra.metrics.table.write allow:org.apache.cassandra.metrics.table.range "
    "allow:org.apache.cassandra.metrics.table.coordinator allow:org.apache.cassandra.metrics.table.dropped_mutations"
)


def objects(documents: list[Json]) -> dict[str, list[Json]]:
    """The objects of data planes by context: of each datacenter its ConfigMaps, then the CassandraDatacenter."""
    (kc,) = (copy.deepcopy(each) for each in documents if each["kind"] == "K8ssandraCluster")
    others = [each for each in documents if each["kind"] != "K8ssandraCluster"]
    datacenters = [_Datacenter(kc, index, others) for index in range(len(kc["spec"]["cassandra"]["datacenters"]))]
    tokens = _tokens(datacenters)
    ranked = sorted(datacenters, key=lambda each: each.rank)
    found: dict[str, list[Json]] = {}
    for place, each in enumerate(ranked):
        of_tokens = tokens.get(each.name)
        made = [each.metrics(), *([of_tokens] if of_tokens else []), each.object(place > 0, bool(of_tokens))]
        found.setdefault(each.context, []).extend(made)
    return found


class _Datacenter:
    def __init__(self, kc: Json, index: int, others: list[Json]) -> None:
        self.kc, self.index, self.others = kc, index, others
        self.spec, self.cassandra = kc["spec"], kc["spec"]["cassandra"]
        self.own = self.cassandra["datacenters"][index]
        for level in (self.cassandra, self.own):
            if (jvm := (level.get("config") or {}).get("jvmOptions")) is not None:
                jvm.setdefault("gc", "G1GC")  # a default of the API
        cluster = {key: value for key, value in self.cassandra.items() if key not in ("metadata", *DATACENTER_ONLY)}
        own = {key: value for key, value in self.own.items() if key not in ("metadata", *CLUSTER_ONLY)}
        self.options: Json = merged(cluster, own)
        self.meta: Json = merged(self.cassandra.get("metadata") or {}, self.own["metadata"])
        self.name = self.own["metadata"]["name"]
        self.context = self.own.get("k8sContext", "")
        self.namespace = self.own["metadata"].get("namespace") or kc["metadata"]["namespace"]
        self.cluster_name = self.cassandra.get("clusterName") or kc["metadata"]["name"]
        self.cass_name = self.own.get("datacenterName") or self.name
        self.type = self.cassandra.get("serverType", "cassandra")
        self.version = self.options["serverVersion"].removeprefix("v")
        self.old = self.type == "cassandra" and self.version.startswith("3.")
        self.external = self.spec.get("secretsProvider") == "external"
        self.per_node = (self.own.get("perNodeConfigMapRef") or {}).get("name")
        workloads = self.options.get("dseWorkloads") or {}
        self.rank = 0 if workloads.get("analyticsEnabled") else 2 if workloads.get("searchEnabled") else 1
        self.volumes: list[Json] = []
        self.mounts: list[Json] = []
        self.jvm: list[str] = []  # each goes before those that are there

    def yaml(self, file: str = "cassandraYaml") -> Json:
        return copy.deepcopy((self.options.get("config") or {}).get(file) or {})

    @property
    def owner(self) -> Json:
        head = self.kc["metadata"]
        return {"k8ssandra.io/cluster-name": head["name"], "k8ssandra.io/cluster-namespace": head["namespace"]}

    @property
    def cleaned(self) -> Json:
        return {"k8ssandra.io/cleaned-up-by": "k8ssandracluster-controller", **self.owner}

    # ── the object ──────────────────────────────────────────────────────────────────────────────────

    def object(self, later: bool, has_tokens: bool) -> Json:
        common, tags = self.cassandra.get("metadata") or {}, self.meta
        annotations = dict(tags.get("annotations") or {})
        skip = {"cassandra.datastax.com/skip-user-creation": "true"}
        if self.spec.get("externalDatacenters"):
            annotations = dict(skip)
        if later:
            annotations |= skip
        return {
            "apiVersion": "cassandra.datastax.com/v1beta1",
            "kind": "CassandraDatacenter",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": {
                    "app.kubernetes.io/name": "k8ssandra-operator",
                    "app.kubernetes.io/part-of": "k8ssandra",
                    "app.kubernetes.io/component": "cassandra",
                    **(tags.get("labels") or {}),
                    **(common.get("labels") or {}),
                    **self.cleaned,
                },
                "annotations": annotations | (common.get("annotations") or {}),
                "finalizers": ["k8ssandracluster.k8ssandra.io/finalizer"],
            },
            "spec": self._spec(has_tokens),
        }

    def _spec(self, has_tokens: bool) -> Json:
        options, tags = self.options, self.meta
        config = self._config()
        services = tags.get("services") or {}
        superuser = (self.cassandra.get("superuserSecretRef") or {}).get(
            "name"
        ) or f"{c35(self.cluster_name)}-superuser"
        return {
            "size": self.own["size"],
            "stopped": self.own.get("stopped") or None,
            "serverVersion": self.version,
            "serverType": self.type,
            "serverImage": options.get("serverImage"),
            "clusterName": self.cluster_name,
            "datacenterName": self.own.get("datacenterName"),
            "superuserSecretName": None if self.external else superuser,
            "config": config,
            "storageConfig": self._storage(),
            "podTemplateSpec": self._pods(has_tokens),
            "systemLoggerResources": _resources(options.get("containers"), "server-system-logger"),
            "configBuilderResources": _resources(options.get("initContainers"), "server-config-init"),
            "allowMultipleNodesPerWorker": options.get("softPodAntiAffinity") or None,
            "serviceAccountName": options.get("serviceAccount"),
            "additionalLabels": tags.get("commonLabels"),
            "additionalAnnotations": tags.get("commonAnnotations"),
            "additionalServiceConfig": {
                "dcService": _additions(services.get("dcService")),
                "seedService": _additions(services.get("seedService")),
                "allpodsService": _additions(services.get("allPodsService"), self.owner),
                "additionalSeedService": _additions(services.get("additionalSeedService")),
                "nodePortService": _additions(services.get("nodePortService")),
            },
            **{key: options.get(key) for key in (
                "racks", "tolerations", "resources", "cdc", "readOnlyRootFilesystem", "managementApiAuth",
            )},
            # Plain booleans: false is as if it were absent.
            **{key: {name: value for name, value in (options.get(key) or {}).items() if value is not False}
               for key in ("networking", "dseWorkloads")},
        }  # fmt: skip

    def _storage(self) -> Json:
        storage = self.options.get("storageConfig") or {}
        name = c35(f"{self.cluster_name}-{self.cass_name}-metrics-agent-config")
        source = {"configMap": {"name": name, "items": [{"key": METRICS, "path": METRICS}]}}
        agent = {"name": "metrics-agent-config", "mountPath": "/opt/management-api/configs", "volumeSource": source}
        extra = (self.options.get("extraVolumes") or {}).get("pvcs") or []
        return {**storage, "additionalVolumes": [*(storage.get("additionalVolumes") or []), *extra, agent]}

    # ── configuration ───────────────────────────────────────────────────────────────────────────────

    def _config(self) -> Json:
        cassandra, dse = self.yaml(), self.yaml("dseYaml")
        self._encrypt(cassandra)
        auth = self.spec.get("auth") is not False
        names = [] if self.type == "dse" else ["PasswordAuthenticator", "CassandraAuthorizer", "CassandraRoleManager"]
        if not auth:
            names = ["AllowAllAuthenticator", "AllowAllAuthorizer", "CassandraRoleManager"]
        elif self.type == "dse":
            names = [
                f"com.datastax.bdp.cassandra.auth.Dse{part}" for part in ("Authenticator", "Authorizer", "RoleManager")
            ]
            _put(dse, ["authentication_options", "enabled"], "true")
            _put(dse, ["authorization_options", "enabled"], "true")
            _put(dse, ["role_management_options", "mode"], "internal")
        for key, value in zip(("authenticator", "authorizer", "role_manager"), names, strict=True):
            _put(cassandra, [key], value)
        if self.type != "dse" and self.index == 0:
            first = {self.cass_name: min(3, self.own["size"])}
            first |= dict.fromkeys(self.spec.get("externalDatacenters") or [], 3)
            listed = ",".join(f"{name}:{first[name]}" for name in sorted(first))
            self.jvm.append(f"-Dcassandra.system_distributed_replication={listed}")
        if self.type != "dse" and not self.version.startswith("3."):
            self.jvm.append("-Dcassandra.allow_alter_rf_during_range_movement=true")
        _put(cassandra, ["num_tokens"], 256 if self.old else 16)
        if self.old:
            _put(cassandra, ["start_rpc"], False)
        if self.type in ("dse", "hcd"):
            _put(cassandra, ["allocate_tokens_for_local_replication_factor"], 3)
        given = (self.options.get("config") or {}).get("jvmOptions")
        config: Json = {"cassandra-yaml": _floats(cassandra), **({"dse-yaml": _floats(dse)} if dse else {})}
        config |= jvm_sections(self.type, self.version, given)
        wanted = (given or {}).get("additionalOptions")
        if "-" not in self.version and (wanted is not None or self.jvm):
            together = list(wanted or [])
            for option in self.jvm:
                together = together if option in together else [option, *together]
            config["cassandra-env-sh"] = {"additional-jvm-opts": together}
        return config

    def _encrypt(self, cassandra: Json) -> None:
        for side in ("client", "server"):
            stores = self.cassandra.get(f"{side}EncryptionStores")
            given = cassandra.get(f"{side}_encryption_options") or {}
            active = given.get("enabled") is True
            if side == "server":
                active = given.get("internode_encryption") not in (None, "none")
            if not stores or not active:
                continue
            client = side == "client"
            if client:
                self.jvm += [f"-Dcom.sun.management.jmxremote.ssl{end}" for end in ("=true", ".need.client.auth=true")]
            if self.external:
                continue
            passwords = {}
            for store in ("keystore", "truststore"):
                reference = stores[f"{store}SecretRef"]
                password = stores.get(f"{store}PasswordSecretRef") or {"name": reference["name"]}
                passwords[store] = self._secret(password["name"], password.get("key") or f"{store}-password")
                volume, path = f"{side}-{store}", f"/mnt/{side}-{store}"
                items = [{"key": reference.get("key") or store, "path": store}]
                self.volumes.append({"name": volume, "secret": {"secretName": reference["name"], "items": items}})
                self.mounts.append({"name": volume, "mountPath": path})
                _put(cassandra, [f"{side}_encryption_options", store], f"{path}/{store}")
                _put(cassandra, [f"{side}_encryption_options", f"{store}_password"], passwords[store])
            if client:
                self.jvm += [
                    "-Djavax.net.ssl.keyStore=/mnt/client-keystore/keystore",
                    "-Djavax.net.ssl.trustStore=/mnt/client-truststore/truststore",
                    f"-Djavax.net.ssl.keyStorePassword={passwords['keystore']}",
                    f"-Djavax.net.ssl.trustStorePassword={passwords['truststore']}",
                ]

    def _secret(self, name: str, key: str) -> str:
        (found,) = (each for each in self.others if each["kind"] == "Secret" and each["metadata"]["name"] == name)
        if key in (plain := found.get("stringData") or {}):
            return str(plain[key])
        return base64.b64decode(found["data"][key]).decode()

    # ── pods ────────────────────────────────────────────────────────────────────────────────────────

    def _pods(self, has_tokens: bool) -> Json:
        options, pods = self.options, self.meta.get("pods") or {}
        containers = copy.deepcopy(options.get("containers") or [])
        if not any(each["name"] == "cassandra" for each in containers):
            containers.append({"name": "cassandra"})
        (cassandra,) = (each for each in containers if each["name"] == "cassandra")
        mcac = (options.get("telemetry") or {}).get("mcac") or {}
        added = []
        if options.get("mgmtAPIHeap") is not None:
            added.append(("MANAGEMENT_API_HEAP_SIZE", str(whole(options["mgmtAPIHeap"]))))
        if not mcac.get("enabled"):
            added.append(("MGMT_API_DISABLE_MCAC", "true"))
        else:
            filters = mcac.get("metricFilters")
            added.append(("METRIC_FILTERS", _MCAC if filters is None else " ".join(filters)))
        environment = cassandra.setdefault("env", [])
        environment += [{"name": name, "value": value} for name, value in added
                        if not any(each["name"] == name for each in environment)]  # fmt: skip
        names = {each["name"] for each in self.mounts}
        kept = [each for each in cassandra.get("volumeMounts") or [] if each["name"] not in names]
        cassandra["volumeMounts"] = kept + self.mounts
        inits = copy.deepcopy(options.get("initContainers") or [])
        volumes = [*((options.get("extraVolumes") or {}).get("volumes") or []), *self.volumes]
        annotations = dict(pods.get("annotations") or {})
        if has_tokens or self.per_node:
            name = self.per_node or c35(f"{self.cluster_name}-{self.cass_name}-per-node-config")
            if not any(each["name"] == "server-config-init" for each in inits):
                inits.append({"name": "server-config-init"})
            inits.append(_merger(options.get("perNodeConfigInitContainerImage") or IMAGE))
            volumes.append({"name": "per-node-config", "configMap": {"name": name}})
            annotations["k8ssandra.io/per-node-config-hash"] = HASH
        return {
            "metadata": {"labels": pods.get("labels"), "annotations": annotations},
            "spec": {
                "securityContext": options.get("podSecurityContext"),
                "priorityClassName": options.get("podPriorityClassName"),
                "initContainers": inits,
                "containers": containers,
                "volumes": volumes,
            },
        }

    # ── the metrics agent ───────────────────────────────────────────────────────────────────────────

    def metrics(self) -> Json:
        common = self.cassandra.get("metadata") or {}
        agent = (self.options.get("telemetry") or {}).get("cassandra") or {}
        rules: list[Json] | None = agent.get("relabels")
        if rules is None:
            drop = "should_drop"
            rules = [{"sourceLabels": ["table"], "regex": ".+", "targetLabel": drop, "replacement": "true"}]
            kept = {"sourceLabels": ["__name__"], "targetLabel": drop, "replacement": "false"}
            rules += [{**kept, "regex": _TABLE + name} for name in _KEPT]
            rules += [{"action": "drop", "regex": "true", "sourceLabels": [drop]}]
        else:
            rules = [{"action": "replace", **rule} for rule in rules]  # a default of the API
        content = {"endpoint": agent.get("endpoint"), "relabels": rules}
        metadata = {
            "name": c35(f"{self.cluster_name}-{self.cass_name}-metrics-agent-config"),
            "namespace": self.namespace,
            "labels": {**(common.get("commonLabels") or {}), **self.cleaned},
            "annotations": common.get("commonAnnotations"),
        }
        text = yaml.safe_dump({key: value for key, value in content.items() if value}, width=10**6)
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {METRICS: text}}


METRICS = "metrics-collector.yaml"
HASH = "(a hash)"
SCRIPT = "(the script)"


def _merger(image: str) -> Json:
    return {
        "name": "per-node-config",
        "image": image,
        "command": ["sh", "-c", SCRIPT],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "volumeMounts": [
            {"name": "server-config", "mountPath": "/config"},
            {"name": "per-node-config", "mountPath": "/per-node-config"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}},
    }


def _tokens(datacenters: list[_Datacenter]) -> dict[str, Json]:
    """The ConfigMap with initial tokens of each datacenter, {} when Cassandra chooses them."""
    counts, kinds = [], set()
    for each in datacenters:
        given = each.yaml()
        number = given.get("num_tokens")
        partitioner = given.get("partitioner", "Murmur3Partitioner")
        if each.per_node or number is None or number >= 16 or not ("Murmur3" in partitioner or "Random" in partitioner):
            return {}
        kinds.add("Murmur3" in partitioner)
        replicas = min(given.get("allocate_tokens_for_local_replication_factor") or 3, each.own["size"])
        counts.append((number * replicas, replicas))
    if len(kinds) != 1:
        return {}
    size, least = (2**64, -(2**63)) if True in kinds else (2**127, 0)
    most = max(count for count, _ in counts)
    shift = -size // max(len(counts) * most * 2, 235)
    found = {}
    for index, (each, (count, replicas)) in enumerate(zip(datacenters, counts, strict=True)):
        ring = [place * (size // count) + shift * index + least for place in range(count)]
        ring = sorted(token if token >= least else token + size for token in ring)
        racks = [rack["name"] for rack in each.options.get("racks") or []] or ["default"]
        data = {}
        for node in range(replicas):
            name = f"{c35(each.cluster_name)}-{c35(each.name)}-{rack_name(racks[node % len(racks)])}-sts"
            own = ",".join(map(str, ring[node::replicas]))
            data[f"{name}-{node // len(racks)}_cassandra.yaml"] = f"\ninitial_token: {own}"
        labels = {"app.kubernetes.io/name": "k8ssandra-operator", "app.kubernetes.io/component": "cassandra",
                  "app.kubernetes.io/part-of": "k8ssandra", **each.cleaned}  # fmt: skip
        name = c35(f"{each.cluster_name}-{each.cass_name}-per-node-config")
        metadata = {"name": name, "namespace": each.namespace, "labels": labels}
        found[each.name] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    return found


def _put(target: Json, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        if target.get(part) is None:
            target[part] = {}
        target = target[part]
    if target.get(path[-1]) is None:
        target[path[-1]] = value


def _floats(value: Any) -> Any:
    """Numbers as a server of Go hands them on: through a float of 64 bits."""
    return json.loads(json.dumps(value), parse_int=lambda text: int(float(text)))


def _additions(tags: Json | None, own: Json | None = None) -> Json:
    tags = tags or {}
    return {
        "additionalLabels": (tags.get("labels") or {}) | (own or {}),
        "additionalAnnotations": tags.get("annotations"),
    }


def _resources(containers: list[Json] | None, name: str) -> Json | None:
    found = next((each.get("resources") or {} for each in containers or [] if each["name"] == name), {})
    return found if found.get("limits") or found.get("requests") else None


__all__ = ["HASH", "METRICS", "SCRIPT", "objects"]
