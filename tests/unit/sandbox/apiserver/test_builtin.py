"""The schemas of built-in kinds: what their objects look like after the server has read them."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from controller.sandbox.apiserver.builtin import BUILTIN
from controller.sandbox.apiserver.schema import Schema

Json = dict[str, Any]
NESTED: Json = {"properties": {"a": {"items": {"x-kubernetes-int-or-string": True}, "default": {"z": 1}}}}


def kind(name: str) -> Schema:
    (found,) = (schema for (_, _, kind), schema in BUILTIN.items() if kind == name)
    return found


def read(name: str, **fields: Any) -> Json:
    obj: Json = {"apiVersion": "v1", "kind": name, "metadata": {"name": "x"}, **copy.deepcopy(fields)}
    kind(name).default(obj)
    return obj


@pytest.mark.parametrize(
    "name",
    [
        "Namespace",
        "Secret",
        "ConfigMap",
        "Pod",
        "Service",
        "ServiceAccount",
        "Event",
        "EndpointSlice",
        "Lease",
        "CustomResourceDefinition",
        "Role",
        "RoleBinding",
        "ClusterRole",
        "ClusterRoleBinding",
        "Deployment",
        "StatefulSet",
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "NetworkPolicy",
    ],
)
def test_reading_an_empty_object_twice_is_reading_it_once(name: str) -> None:
    once = read(name)
    again = copy.deepcopy(once)
    kind(name).default(again)
    assert once == again
    assert kind(name).prune(again) == []


@pytest.mark.parametrize(
    ("name", "path", "list_type", "keys", "merge_key"),
    [
        ("Pod", "spec.containers", "map", ("name",), "name"),
        ("Pod", "spec.containers[].env", "map", ("name",), "name"),
        ("Pod", "spec.containers[].ports", "map", ("containerPort", "protocol"), "containerPort"),
        ("Pod", "spec.containers[].volumeMounts", "map", ("mountPath",), "mountPath"),
        ("Pod", "spec.containers[].args", "atomic", (), ""),
        ("Pod", "spec.volumes", "map", ("name",), "name"),
        ("Pod", "spec.tolerations", "atomic", (), ""),
        ("Pod", "status.conditions", "map", ("type",), "type"),
        ("Pod", "status.podIPs", "map", ("ip",), "ip"),
        ("Service", "spec.ports", "map", ("port", "protocol"), "port"),
        ("EndpointSlice", "endpoints", "atomic", (), ""),
        ("EndpointSlice", "ports", "atomic", (), ""),
        ("ConfigMap", "metadata.ownerReferences", "map", ("uid",), "uid"),
        ("ConfigMap", "metadata.finalizers", "set", (), ""),
        ("ServiceAccount", "secrets", "map", ("name",), "name"),
        ("ServiceAccount", "imagePullSecrets", "atomic", (), ""),
        ("Role", "rules", "atomic", (), ""),
        ("ValidatingWebhookConfiguration", "webhooks", "map", ("name",), "name"),
        ("MutatingWebhookConfiguration", "webhooks", "map", ("name",), "name"),
        ("CustomResourceDefinition", "spec.versions", "atomic", (), ""),
        ("CustomResourceDefinition", "status.conditions", "map", ("type",), ""),
    ],
)
def test_lists_merge_by_their_keys(name: str, path: str, list_type: str, keys: tuple[str, ...], merge_key: str) -> None:
    node = kind(name)
    for step in path.split("."):
        node = node.properties[step.removesuffix("[]")]
        node = node.element() if step.endswith("[]") else node
    assert (list_type, keys, merge_key) == (node.list_type, node.list_keys, node.merge_key)


@pytest.mark.parametrize(
    ("name", "path"),
    [("Service", "spec.selector"), ("Deployment", "spec.selector"), ("Pod", "spec.nodeSelector")],
)
def test_selectors_are_owned_as_a_whole(name: str, path: str) -> None:
    node = kind(name)
    for step in path.split("."):
        node = node.properties[step]
    assert node.atomic_map


@pytest.mark.parametrize(
    ("expected", "name", "fields"),
    [
        (["spec.color"], "Service", {"spec": {"color": 1}}),
        (["spec.containers[0].color"], "Pod", {"spec": {"containers": [{"name": "a", "color": 1}]}}),
        (["metadata.color"], "Secret", {"metadata": {"name": "x", "color": 1}}),
        (["color"], "ConfigMap", {"color": 1}),
        ([], "Secret", {"data": {"any": "YQ=="}}),
        ([], "Pod", {"spec": {"volumes": [{"name": "v", "rbd": {"image": "i"}}]}}),
        ([], "CustomResourceDefinition", {"spec": {"versions": [{"schema": {"openAPIV3Schema": NESTED}}]}}),
    ],
)
def test_unknown_fields_of_the_servers_kinds_are_dropped(expected: list[str], name: str, fields: Json) -> None:
    obj = {"apiVersion": "v1", "kind": name, "metadata": {"name": "x"}, **copy.deepcopy(fields)}
    assert expected == kind(name).prune(obj)


def test_a_secret_takes_its_text_over_as_data() -> None:
    secret = read("Secret", data={"a": "YQ=="}, stringData={"b": "text"})
    assert secret["data"] == {"a": "YQ==", "b": base64.b64encode(b"text").decode()}
    assert "stringData" not in secret
    assert secret["type"] == "Opaque"


def test_empty_fields_are_forgotten_and_structs_written() -> None:
    service = read(
        "Service", spec={"clusterIP": "", "selector": {}, "externalIPs": [], "publishNotReadyAddresses": False}
    )
    assert service["spec"] == {"sessionAffinity": "None", "type": "ClusterIP", "internalTrafficPolicy": "Cluster"}
    assert service["status"] == {"loadBalancer": {}}


def test_a_pointer_tells_zero_from_absent() -> None:
    assert read("Deployment", spec={"replicas": 0})["spec"]["replicas"] == 0
    assert read("Deployment")["spec"]["replicas"] == 1
    assert read("ServiceAccount", automountServiceAccountToken=False)["automountServiceAccountToken"] is False


def test_required_fields_are_written_even_when_they_are_empty() -> None:
    assert read("Pod")["spec"]["containers"] is None
    assert read("EndpointSlice")["endpoints"] is None
    assert read("Role")["rules"] is None


def test_ports_of_a_service_are_completed() -> None:
    (port,) = read("Service", spec={"ports": [{"port": 80}]})["spec"]["ports"]
    assert port == {"port": 80, "protocol": "TCP", "targetPort": 80}


@pytest.mark.parametrize(
    ("expected", "image"),
    [
        ("Always", "busybox"),
        ("Always", "registry:5000/busybox"),
        ("Always", "busybox:latest"),
        ("IfNotPresent", "busybox:1.36"),
        ("IfNotPresent", "registry:5000/busybox:1.36"),
        ("IfNotPresent", "busybox:1.36@sha256:ab"),
    ],
)
def test_only_moving_tags_are_always_pulled(expected: str, image: str) -> None:
    (container,) = read("Pod", spec={"containers": [{"name": "c", "image": image}]})["spec"]["containers"]
    assert expected == container["imagePullPolicy"]


def test_a_deployment_rolls_by_quarters() -> None:
    spec = read("Deployment")["spec"]
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    assert read("Deployment", spec={"strategy": {"type": "Recreate"}})["spec"]["strategy"] == {"type": "Recreate"}


def test_users_of_a_binding_belong_to_the_rbac_group() -> None:
    subjects = [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]
    found = read("RoleBinding", subjects=subjects, roleRef={"kind": "Role", "name": "r"})
    assert found["subjects"] == [
        {"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"},
        {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
    ]
    assert found["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"


def test_a_definition_names_its_singular_and_its_list() -> None:
    names = read("CustomResourceDefinition", spec={"names": {"kind": "Thing", "plural": "things"}})["spec"]["names"]
    assert (names["singular"], names["listKind"]) == ("thing", "ThingList")


def test_types_that_contain_themselves_are_followed() -> None:
    node = kind("CustomResourceDefinition").properties["spec"].properties["versions"].element()
    root = node.properties["schema"].properties["openAPIV3Schema"]
    assert root.properties["items"] is not root
    assert root.properties["not"].properties["not"].properties is root.properties


@pytest.mark.parametrize(
    ("field", "name", "fields"),
    [
        ("data.a", "ConfigMap", {"data": {"a": 1}}),
        ("data.a", "Secret", {"data": {"a": "%"}}),
        ("metadata.labels.a", "ConfigMap", {"metadata": {"labels": {"a": 1}}}),
        ("spec.tolerations[0]", "Pod", {"spec": {"tolerations": ["c"]}}),
        ("spec.containers[0].args[0]", "Pod", {"spec": {"containers": [{"name": "c", "args": [1]}]}}),
        ("spec.replicas", "Deployment", {"spec": {"replicas": "3"}}),
        ("spec", "Service", {"spec": []}),
        ("spec.ports[0].targetPort", "Service", {"spec": {"ports": [{"port": 80, "targetPort": True}]}}),
    ],
)
def test_a_value_of_another_type_is_found(field: str, name: str, fields: Json) -> None:
    assert [error.field for error in kind(name).validate({"apiVersion": "v1", "kind": name, **fields})] == [field]


def test_a_null_is_the_same_as_nothing() -> None:
    pod = {"metadata": {"labels": None}, "spec": {"containers": None, "nodeName": None, "volumes": None}}
    assert kind("Pod").validate(pod) == []
