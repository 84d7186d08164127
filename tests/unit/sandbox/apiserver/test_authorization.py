"""RBAC, when it is enforced."""

from __future__ import annotations

import random

import pytest

from controller.sandbox.apiserver import ApiServer
from tests.unit.sandbox.apiserver.conftest import Asker, SetClock

RBAC = "/apis/rbac.authorization.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def server(clock: SetClock) -> ApiServer:
    return ApiServer(clock=clock, rng=random.Random(7), rbac=True)


@pytest.fixture
def robot(ask: Asker) -> Asker:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    ask.ok("POST", accounts, {"metadata": {"name": "robot"}})
    asker = Asker(ask.server)
    asker.token = ask.ok("POST", f"{accounts}/robot/token", {"spec": {}})["status"]["token"]
    return asker


def bind(ask: Asker, scope: str, kind: str, **rule: list[str]) -> None:
    """Give robot a role with one rule; ``scope``: path of the binding's collection's parent."""
    role = {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], **rule}]}
    plural = kind.lower() + "s"
    ask.ok("POST", f"{RBAC}{scope if kind == 'Role' else ''}/{plural}", role)
    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}
    binding = {
        "metadata": {"name": "r"},
        "subjects": [subject],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "r"},
    }
    ask.ok("POST", f"{RBAC}{scope}/{'rolebindings' if scope else 'clusterrolebindings'}", binding)


def test_an_account_without_roles_may_do_nothing(robot: Asker) -> None:
    refused = robot("GET", MAPS)
    assert refused.status == 403
    assert b'cannot list resource \\"configmaps\\" in API group \\"\\" in the namespace \\"default\\"' in refused.body


def test_a_role_gives_its_verbs_in_its_namespace(ask: Asker, robot: Asker) -> None:
    bind(ask, "/namespaces/default", "Role", verbs=["list", "create", "patch"])
    assert robot("GET", MAPS).status == 200
    assert robot("POST", MAPS, {"metadata": {"name": "x"}}).status == 201
    assert robot.merge(f"{MAPS}/x", {"data": {"a": "b"}})["data"] == {"a": "b"}
    assert robot("DELETE", f"{MAPS}/x").status == 403
    assert robot("GET", MAPS.replace("default", "kube-system")).status == 403
    assert robot("GET", "/api/v1/configmaps").status == 403


def test_a_cluster_role_bound_in_a_namespace_holds_there_only(ask: Asker, robot: Asker) -> None:
    bind(ask, "/namespaces/default", "ClusterRole", verbs=["*"])
    assert robot("GET", MAPS).status == 200
    assert robot("GET", "/api/v1/configmaps").status == 403


def test_a_cluster_role_bound_cluster_wide_holds_everywhere(ask: Asker, robot: Asker) -> None:
    bind(ask, "", "ClusterRole", verbs=["get", "list"])
    assert robot("GET", "/api/v1/configmaps").status == 200


def test_a_rule_for_names_is_for_those_only(ask: Asker, robot: Asker) -> None:
    bind(ask, "/namespaces/default", "Role", verbs=["get"], resourceNames=["mine"])
    assert [robot("GET", f"{MAPS}/{name}").status for name in ("mine", "other")] == [404, 403]


def test_a_subresource_is_a_resource_of_its_own(ask: Asker, robot: Asker) -> None:
    bind(ask, "/namespaces/default", "Role", verbs=["*"], resources=["pods"])
    assert robot("GET", "/api/v1/namespaces/default/pods/x").status == 404
    assert robot("GET", "/api/v1/namespaces/default/pods/x/status").status == 403


def test_an_account_may_ask_what_it_may(ask: Asker, robot: Asker) -> None:
    bind(ask, "/namespaces/default", "Role", verbs=["get"])

    def allowed(verb: str) -> bool:
        attributes = {"verb": verb, "resource": "configmaps", "namespace": "default"}
        body = {"spec": {"resourceAttributes": attributes}}
        answer = robot.ok("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        found: bool = answer["status"]["allowed"]
        return found

    assert [allowed("get"), allowed("delete")] == [True, False]
