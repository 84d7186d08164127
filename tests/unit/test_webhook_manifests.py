"""manifests/webhook: kustomize puts the pieces together, and the configuration can keep nothing from being deleted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from controller.admission.certificate import CERTIFICATE, KEY
from controller.admission.server import PATH
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.cli.run import run
from tests.manifests import DIRECTORY
from tests.unit.pod_security import violations
from tests.unit.test_manifests import by_name, container, kustomize, only_one

Json = dict[str, Any]


def installed(folder: Path, *components: str, base: str = "control-plane", namespace: str = "") -> list[Json]:
    """What an overlay with the components installs; with a namespace, on top of an overlay that moves the base."""
    shutil.copytree(DIRECTORY, folder / "manifests")
    (folder / "moved").mkdir()
    moved = f"namespace: {namespace}\n" if namespace else ""
    (folder / "moved" / "kustomization.yaml").write_text(f"{moved}resources: [../manifests/{base}]\n")
    paths = ", ".join(f"manifests/{component}" for component in components)
    (folder / "kustomization.yaml").write_text(f"resources: [moved]\ncomponents: [{paths}]\n")
    return kustomize(folder)


@pytest.mark.parametrize("namespace", ["", "elsewhere"])
@pytest.mark.parametrize("base", ["control-plane", "control-plane-cluster-scoped"])
def test_service_configuration_and_certificate_are_in_the_controllers_namespace(
    tmp_path: Path, base: str, namespace: str
) -> None:
    made = installed(tmp_path, "webhook", "webhook-cert-manager", base=base, namespace=namespace)
    place = namespace or "k8ssandra-operator"
    found = by_name(made)
    service = found["Service", place, "k8ssandra-controller-webhook"]
    certificate = found["Certificate", place, "k8ssandra-controller-webhook"]
    (hook,) = only_one(made, "ValidatingWebhookConfiguration")["webhooks"]
    assert ("Issuer", place, "k8ssandra-controller-webhook") in found
    assert hook["clientConfig"]["service"]["namespace"] == place
    assert hook["clientConfig"]["service"]["name"] == service["metadata"]["name"]
    assert f"{service['metadata']['name']}.{place}.svc" in certificate["spec"]["dnsNames"]
    annotations = only_one(made, "ValidatingWebhookConfiguration")["metadata"]["annotations"]
    assert annotations == {"cert-manager.io/inject-ca-from": f"{place}/{certificate['metadata']['name']}"}


def test_the_pod_serves_where_the_service_leads_with_the_secret_of_the_certificate(tmp_path: Path) -> None:
    made = installed(tmp_path, "webhook", "webhook-cert-manager")
    spec = only_one(made, "Deployment")["spec"]["template"]["spec"]
    defaults = {parameter.name: parameter.default for parameter in run.params}
    ports = {port["name"]: port["containerPort"] for port in container(spec)["ports"]}
    service = next(obj for obj in made if obj["kind"] == "Service" and "webhook" in obj["metadata"]["name"])
    assert service["spec"]["ports"] == [{"name": "webhook", "port": 443, "targetPort": "webhook"}]
    assert defaults["webhook_bind_address"] == f":{ports['webhook']}"
    assert "--webhook" in container(spec)["args"]
    (mount,) = (each for each in container(spec)["volumeMounts"] if each["name"] == "webhook")
    (volume,) = (each for each in spec["volumes"] if each["name"] == "webhook")
    assert (mount["mountPath"], mount["readOnly"]) == (defaults["webhook_cert_dir"], True)
    assert volume["secret"]["secretName"] == only_one(made, "Certificate")["spec"]["secretName"]
    assert [item["path"] for item in volume["secret"]["items"]] == [CERTIFICATE, KEY]
    assert violations(spec) == []


def test_neither_deletion_nor_status_is_ever_asked_about(tmp_path: Path) -> None:
    (hook,) = only_one(installed(tmp_path, "webhook"), "ValidatingWebhookConfiguration")["webhooks"]
    assert hook["rules"] == [
        {
            "apiGroups": [K8SSANDRA_CLUSTERS.group],
            "apiVersions": [K8SSANDRA_CLUSTERS.version],
            "operations": ["CREATE", "UPDATE"],
            "resources": [K8SSANDRA_CLUSTERS.plural],
            "scope": "Namespaced",
        }
    ]
    assert hook["clientConfig"]["service"]["path"] == PATH
    assert (hook["failurePolicy"], hook["sideEffects"], hook["timeoutSeconds"]) == ("Ignore", "None", 5)
    assert hook["admissionReviewVersions"] == ["v1"]
    assert [condition["name"] for condition in hook["matchConditions"]] == [
        "not-being-deleted",
        "specification-or-annotations-changed",
    ]
