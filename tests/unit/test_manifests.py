"""What manifests/ installs: read alike by kustomize and by tests, a safe pod, roles that grant what is called."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import yaml

from controller.cassandra.facts import Find, gather
from controller.cassandra.render import Facts, render
from controller.cassandra.system_replication import initial_system_replication
from controller.cassandra.types import K8ssandraCluster
from controller.cassandra.watches import CONTACT_WATCHES, LOCAL_WATCHES, REMOTE_WATCHES
from controller.cli.register import NAMESPACE, SERVICE_ACCOUNT
from controller.cli.run import run
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube import kubeconfig
from controller.kube.in_cluster import SERVICE_ACCOUNT as TOKEN_FOLDER
from controller.replication import reconcile as replication
from controller.sandbox.world import CONTEXTS
from tests import manifests
from tests.containerfile import only, stages
from tests.manifests import DIRECTORY
from tests.unit.kube.kubeconfigs import authority, b64
from tests.unit.pod_security import violations

COMPONENT: Final = DIRECTORY / "token-renewal"
COMPONENTS: Final = {
    COMPONENT,
    DIRECTORY / "webhook",
    DIRECTORY / "webhook-cert-manager",
}  # kustomize builds none alone
KUSTOMIZATIONS: Final = sorted({path.parent for path in DIRECTORY.glob("*/kustomization.yaml")} - COMPONENTS)
READ: Final = {"get", "list", "watch"}

Json = dict[str, Any]
Grant = tuple[str, str]  # verb and resource, as "get" and "secrets" or "patch" and "clientconfigs.config.k8ssandra.io"


def by_name(objects: Iterable[Json]) -> dict[tuple[str, str, str], Json]:
    return {(obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]): obj for obj in objects}


def kinds(objects: Iterable[Json], *wanted: str) -> list[Json]:
    return [obj for obj in objects if obj["kind"] in wanted]


def grants(roles: Iterable[Json]) -> set[Grant]:
    return {
        (verb, f"{resource}.{group}" if group else resource)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def only_one(objects: Iterable[Json], kind: str) -> Json:
    (found,) = kinds(objects, kind)
    return found


# ── kustomize ───────────────────────────────────────────────────────────────────────────────────────


def kustomize(directory: Path) -> list[Json]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl on this machine to render with")
    done = subprocess.run([kubectl, "kustomize", directory], capture_output=True, text=True, timeout=30, check=True)
    return [obj for obj in yaml.safe_load_all(done.stdout) if obj]


@pytest.mark.parametrize("directory", KUSTOMIZATIONS, ids=lambda path: path.name)
def test_kustomize_reads_them_as_the_tests_do(directory: Path) -> None:
    assert by_name(kustomize(directory)) == by_name(manifests.load(directory))


@pytest.mark.parametrize("cluster_scoped", [False, True])
@pytest.mark.parametrize("install", [manifests.control_plane, manifests.data_plane])
def test_an_overlay_moves_them_to_another_namespace(
    tmp_path: Path, install: Callable[..., list[Json]], cluster_scoped: bool
) -> None:
    name = install.__name__.replace("_", "-") + ("-cluster-scoped" if cluster_scoped else "")
    shutil.copytree(DIRECTORY, tmp_path / "manifests")
    (tmp_path / "kustomization.yaml").write_text(f"namespace: elsewhere\nresources: [manifests/{name}]\n")
    assert by_name(kustomize(tmp_path)) == by_name(install("elsewhere", cluster_scoped=cluster_scoped))


@pytest.mark.parametrize("namespace", [NAMESPACE, "elsewhere"])
@pytest.mark.parametrize("cluster_scoped", [False, True])
def test_the_right_to_renew_tokens_is_a_component(tmp_path: Path, namespace: str, cluster_scoped: bool) -> None:
    name = "data-plane-cluster-scoped" if cluster_scoped else "data-plane"
    shutil.copytree(DIRECTORY, tmp_path / "manifests")
    moved = f"namespace: {namespace}\n" if namespace != NAMESPACE else ""
    (tmp_path / "kustomization.yaml").write_text(
        f"{moved}resources: [manifests/{name}]\ncomponents: [manifests/{COMPONENT.name}]\n"
    )
    expected = manifests.data_plane(namespace, cluster_scoped=cluster_scoped, renewal=True)
    assert by_name(kustomize(tmp_path)) == by_name(expected)


@pytest.mark.parametrize("control_plane", [False, True])
def test_further_namespaces_are_granted_as_the_comment_says(tmp_path: Path, control_plane: bool) -> None:
    shutil.copytree(DIRECTORY, tmp_path / "manifests")
    roles = ["datacenters-role", "control-plane-role"] if control_plane else ["datacenters-role"]
    comment = (DIRECTORY / "datacenters-role" / "kustomization.yaml").read_text()
    example = yaml.safe_load("\n".join(line[3:] for line in comment.splitlines() if line.startswith("#   ")))
    example["resources"] = [f"manifests/{role}" for role in roles]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(example))
    expected = manifests.further_namespace("team-b", NAMESPACE, control_plane=control_plane)
    assert by_name(kustomize(tmp_path)) == by_name(expected)


def test_the_definitions_are_all_in_the_kustomization() -> None:
    files = {path.name for path in (DIRECTORY / "crds").glob("*.yaml")} - {"kustomization.yaml"}
    assert {f"{obj['metadata']['name']}.yaml" for obj in manifests.crds()} == files


def test_no_namespace_is_deleted_with_what_was_installed() -> None:
    everything = [obj for directory in KUSTOMIZATIONS for obj in manifests.load(directory)]
    assert kinds(everything, "Namespace") == []


# ── the pod ─────────────────────────────────────────────────────────────────────────────────────────


def pod() -> Json:
    spec: Json = only_one(manifests.control_plane("here"), "Deployment")["spec"]["template"]["spec"]
    return copy.deepcopy(spec)


def container(spec: Json) -> Json:
    (found,) = spec["containers"]
    return found


def test_the_pod_is_restricted() -> None:
    assert violations(pod()) == []


@pytest.mark.parametrize(
    ("says", "change"),
    [
        ("hostNetwork", lambda spec: spec.update(hostNetwork=True)),
        ("volumes.credentials", lambda spec: spec["volumes"][0].update(hostPath={"path": "/"})),
        ("runAsNonRoot", lambda spec: spec["securityContext"].pop("runAsNonRoot")),
        ("runAsUser", lambda spec: spec["securityContext"].update(runAsUser=0)),
        ("seccompProfile", lambda spec: spec["securityContext"].pop("seccompProfile")),
        ("allowPrivilegeEscalation", lambda spec: container(spec)["securityContext"].pop("allowPrivilegeEscalation")),
        ("capabilities.drop", lambda spec: container(spec)["securityContext"].pop("capabilities")),
        ("privileged", lambda spec: container(spec)["securityContext"].update(privileged=True)),
    ],
)
def test_a_pod_that_is_not_restricted_would_be_noticed(says: str, change: Callable[[Json], object]) -> None:
    spec = pod()
    change(spec)
    assert violations(spec) == [says]


def test_nothing_can_be_written_in_the_pod() -> None:
    assert container(pod())["securityContext"]["readOnlyRootFilesystem"] is True
    assert [mount for mount in container(pod())["volumeMounts"] if not mount["readOnly"]] == []


def test_the_token_is_projected_and_lasts_an_hour() -> None:
    spec = pod()
    assert spec["automountServiceAccountToken"] is False
    assert container(spec)["volumeMounts"][0]["mountPath"] == str(TOKEN_FOLDER)
    (volume,) = spec["volumes"]
    token, authority_file, namespace = volume["projected"]["sources"]
    assert token == {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    assert authority_file["configMap"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
    assert namespace["downwardAPI"]["items"][0]["path"] == "namespace"


def test_there_is_never_a_second_controller() -> None:
    spec = only_one(manifests.control_plane("here"), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


@pytest.mark.parametrize(
    ("expected", "cluster_scoped"),
    [({"valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}, False), ({"value": ""}, True)],
)
def test_the_controller_watches_what_its_roles_cover(expected: Json, cluster_scoped: bool) -> None:
    deployment = only_one(manifests.control_plane("here", cluster_scoped=cluster_scoped), "Deployment")
    (found,) = (
        entry
        for entry in container(deployment["spec"]["template"]["spec"])["env"]
        if entry["name"] == "WATCH_NAMESPACE"
    )
    assert found == {"name": "WATCH_NAMESPACE", **expected}


def test_probes_and_metrics_are_at_the_ports_of_run() -> None:
    found = {port["name"]: port["containerPort"] for port in container(pod())["ports"]}
    defaults = {parameter.name: parameter.default for parameter in run.params}
    assert defaults["metrics_bind_address"] == f":{found['metrics']}"
    assert defaults["health_probe_bind_address"] == f":{found['health']}"
    probes = [container(pod())[f"{kind}Probe"]["httpGet"] for kind in ("liveness", "readiness")]
    assert probes == [{"path": "/healthz", "port": "health"}, {"path": "/readyz", "port": "health"}]


def test_the_service_leads_to_the_pods() -> None:
    installed = manifests.control_plane("here")
    service, deployment = only_one(installed, "Service"), only_one(installed, "Deployment")
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 8080, "targetPort": "metrics"}]


# ── the image ───────────────────────────────────────────────────────────────────────────────────────


def test_the_image_is_the_one_that_make_builds() -> None:
    makefile = (DIRECTORY.parent / "Makefile").read_text()
    match = re.search(r"^IMAGE \?= (\S+)$", makefile, re.MULTILINE)
    assert match is not None
    assert container(pod())["image"] == match[1]


def test_the_pod_runs_as_the_user_of_the_image() -> None:
    context = pod()["securityContext"]
    assert only(stages()[-1], "USER") == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert context["runAsUser"] >= 10000


def test_the_pod_runs_the_command_of_the_image() -> None:
    assert container(pod())["args"] == json.loads(only(stages()[-1], "CMD"))


def test_whatever_the_image_installs_is_pinned() -> None:
    commands = [step for word, text in stages()[0] if word == "RUN" for step in text.split("&&") if " install " in step]
    assert len(commands) == 3
    assert [step for step in commands if "--require-hashes" not in step and "--no-deps --no-index" not in step] == []


def test_the_engine_is_sent_what_the_image_is_made_of() -> None:
    lines = (DIRECTORY.parent / ".dockerignore").read_text().splitlines()
    sent = [line[1:] for line in lines if line.startswith("!")]
    sources = [source for word, text in stages()[0] if word == "COPY" for source in text.split()[:-1]]
    assert "*" in lines
    assert [source for source in sources if not any(Path(source).match(pattern) for pattern in sent)] == []


# ── what is granted ─────────────────────────────────────────────────────────────────────────────────

DATACENTERS: Final[dict[str, set[str]]] = {
    # Objects of ours: POST, and a look when the name is taken; apply and adoption are patches.
    "cassandradatacenters.cassandra.datastax.com": READ | {"create", "patch", "delete"},
    "configmaps": READ | {"create", "patch", "delete"},
    "endpointslices.discovery.k8s.io": READ | {"create", "patch", "delete"},
    "endpointslices/restricted.discovery.k8s.io": {"create"},  # asked for by OpenShift's admission
    "pods": {"list", "watch"},
    "pods/proxy": {"get", "create"},  # the Management API
    "secrets": READ | {"create", "update", "delete"},  # copies are replaced whole
}
CONTROL_PLANE: Final[dict[str, set[str]]] = {
    "clientconfigs.config.k8ssandra.io": READ | {"patch"},  # the annotation that pins a cluster
    "clientconfigs/status.config.k8ssandra.io": {"patch"},
    "k8ssandraclusters.k8ssandra.io": READ | {"patch"},
    "k8ssandraclusters/status.k8ssandra.io": {"patch"},
    "k8ssandraclusters/finalizers.k8ssandra.io": {"update"},  # for blockOwnerDeletion, where admission asks
    "replicatedsecrets.replication.k8ssandra.io": READ | {"create", "patch", "delete"},  # delete: as above
    "replicatedsecrets/status.replication.k8ssandra.io": {"patch"},
    "secrets": {"patch"},  # labels of a superuser Secret that the user made
    "services": READ | {"create", "patch", "delete"},  # contact points
    "endpoints": {"get", "delete"},  # what old releases of the reference operator left in their place
    "events": {"create", "patch"},
}


def pairs(table: dict[str, set[str]]) -> set[Grant]:
    return {(verb, resource) for resource, verbs in table.items() for verb in verbs}


def test_the_data_planes_role_is_exactly_what_is_called_there() -> None:
    assert grants(kinds(manifests.data_plane("here"), "Role")) == pairs(DATACENTERS)


def test_the_control_planes_role_is_exactly_what_is_called_there() -> None:
    assert grants(kinds(manifests.control_plane("here"), "Role")) == pairs(CONTROL_PLANE) | pairs(DATACENTERS)


@pytest.mark.parametrize(
    ("install", "watched"),
    [
        (manifests.control_plane, [*LOCAL_WATCHES, *REMOTE_WATCHES, *CONTACT_WATCHES, *replication.LOCAL_WATCHES]),
        (manifests.data_plane, [*REMOTE_WATCHES, *replication.REMOTE_WATCHES]),
    ],
)
def test_whatever_is_watched_may_be_listed_and_watched(install: Callable[..., list[Json]], watched: list[Any]) -> None:
    granted = grants(kinds(install("here"), "Role"))
    assert {(verb, spec.resource.name) for spec in watched for verb in ("list", "watch")} - granted == set()


def test_a_cluster_wide_install_may_do_the_same_everywhere() -> None:
    for install in (manifests.control_plane, manifests.data_plane):
        wide, narrow = install("here", cluster_scoped=True), install("here")
        assert kinds(wide, "Role", "RoleBinding") == []
        assert grants(kinds(wide, "ClusterRole")) == grants(kinds(narrow, "Role", "ClusterRole"))


def test_without_it_nothing_is_cluster_wide_but_the_look_at_one_namespace() -> None:
    found = kinds([*manifests.control_plane("here"), *manifests.data_plane("here")], "ClusterRole")
    (rule,) = found[0]["rules"]
    assert len(found) == 1
    assert rule == {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}


@pytest.mark.parametrize("cluster_scoped", [False, True])
def test_an_account_may_renew_its_own_token_and_no_other(cluster_scoped: bool) -> None:
    installed = manifests.data_plane("here", cluster_scoped=cluster_scoped, renewal=True)
    names = {SERVICE_ACCOUNT + "-token-renewal"}
    (role,) = [obj for obj in kinds(installed, "Role", "ClusterRole") if obj["metadata"]["name"] in names]
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "here")
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["serviceaccounts/token"],
            "resourceNames": [SERVICE_ACCOUNT],
            "verbs": ["create"],
        }
    ]
    (binding,) = [obj for obj in kinds(installed, "RoleBinding") if obj["metadata"]["name"] in names]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": "here"}]


def test_a_renewed_token_may_be_written_back() -> None:
    granted = grants(kinds(manifests.control_plane("here"), "Role"))
    assert {("get", "secrets"), ("patch", "secrets")} <= granted


def every_role() -> list[Json]:
    return [role for directory in KUSTOMIZATIONS for role in kinds(manifests.load(directory), "Role", "ClusterRole")]


def test_no_role_has_wildcards_or_ways_to_more_rights() -> None:
    rules = [rule for role in every_role() for rule in role["rules"]]
    said = {word for rule in rules for key in ("apiGroups", "resources", "verbs") for word in rule[key]}
    forbidden = {"*", "escalate", "bind", "impersonate", "deletecollection", "pods/exec", "serviceaccounts/token"}
    assert len(rules) > 20  # there is something to look at
    assert said & forbidden == set()


def test_roles_are_bound_to_the_controllers_account_only() -> None:
    for install in (manifests.control_plane, manifests.data_plane):
        for cluster_scoped in (False, True):
            installed = install("here", cluster_scoped=cluster_scoped)
            roles = {obj["metadata"]["name"]: obj for obj in kinds(installed, "Role", "ClusterRole")}
            bindings = kinds(installed, "RoleBinding", "ClusterRoleBinding")
            account = {"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": "here"}
            assert [binding["subjects"] for binding in bindings] == [[account]] * len(roles)
            assert {b["roleRef"]["name"]: b["roleRef"]["kind"] for b in bindings} == {
                name: role["kind"] for name, role in roles.items()
            }
            assert {b["kind"].removesuffix("Binding") for b in bindings} == {role["kind"] for role in roles.values()}


# ── the account that register takes ─────────────────────────────────────────────────────────────────


def test_register_finds_its_account_and_token_by_default() -> None:
    installed = by_name(manifests.load(DIRECTORY / "data-plane"))
    assert ("ServiceAccount", NAMESPACE, SERVICE_ACCOUNT) in installed
    secret = installed["Secret", NAMESPACE, f"{SERVICE_ACCOUNT}-token"]
    assert secret["type"] == "kubernetes.io/service-account-token"
    assert secret["metadata"]["annotations"] == {"kubernetes.io/service-account.name": SERVICE_ACCOUNT}


def test_no_pod_gets_an_accounts_token_by_itself() -> None:
    accounts = kinds([*manifests.control_plane("here"), *manifests.data_plane("here")], "ServiceAccount")
    assert [account["automountServiceAccountToken"] for account in accounts] == [False, False]


# ── samples ─────────────────────────────────────────────────────────────────────────────────────────


def sample(name: str) -> list[Json]:
    return list(yaml.safe_load_all((DIRECTORY / "samples" / f"{name}.yaml").read_text()))


def test_the_sample_kubeconfig_lacks_nothing_but_what_is_to_be_filled_in() -> None:
    secret, config = sample("client-config")
    assert config["apiVersion"] == CLIENT_CONFIGS.api_version
    assert config["spec"]["kubeConfigSecret"]["name"] == secret["metadata"]["name"]
    text = secret["stringData"]["kubeconfig"]
    with pytest.raises(kubeconfig.KubeconfigError):
        kubeconfig.load(text.encode(), config["spec"]["contextName"])
    filled = text.replace("CERTIFICATE-AUTHORITY-AS-BASE64", b64(authority().cert_pem.bytes()))
    access = kubeconfig.load(filled.encode(), config["spec"]["contextName"])
    assert (access.server, access.token) == ("https://data-plane-1.example.com:6443", "TOKEN-OF-THE-SERVICE-ACCOUNT")


@pytest.mark.parametrize(
    ("expected", "name"),
    [
        ({"dc1": "kind-k8ssandra-1", "dc2": "kind-k8ssandra-2", "dc3": "kind-k8ssandra-3"}, "demo"),
        ({"dc1": ""}, "one-datacenter"),
    ],
)
def test_the_sample_clusters_are_rendered_as_they_are(expected: dict[str, str], name: str) -> None:
    (document,) = sample(name)
    document["metadata"].update(namespace=NAMESPACE, uid="uid-1", generation=1)
    cluster = msgspec.convert(document, K8ssandraCluster)
    rendered = render(cluster, Facts(initial_system_replication=initial_system_replication(cluster)))
    assert (list(rendered.errors), list(rendered.unsupported), list(rendered.warnings)) == ([], [], [])
    assert {entry.name: entry.context for entry in rendered.datacenters} == expected


def test_the_full_sample_has_everything_that_its_cluster_needs() -> None:
    *others, document = sample("full")
    document["metadata"].update(namespace=NAMESPACE, uid="uid-1", generation=1)
    cluster = msgspec.convert(document, K8ssandraCluster)

    def find(kind: str) -> Find:
        return lambda context, _, name: next(
            (
                each
                for each in others
                if (each["kind"], each["metadata"]["name"]) == (kind, name)
                and context in each["metadata"].get("annotations", {}).get(CONTEXTS, context)
            ),
            None,
        )

    facts, problems = gather(cluster, find("Secret"), find("ConfigMap"))
    rendered = render(cluster, facts)
    assert [*problems, *rendered.errors, *rendered.unsupported] == []
    assert set(facts.per_node_config_hashes) == {"dc1", "dc2", "dc3"}
    assert [len(sides) for sides in facts.passwords.values()] == [2, 2, 2]
