"""Namespaces, CRDs and token Secrets: what the server does by itself."""

from __future__ import annotations

import base64

from controller.sandbox.apiserver import ApiServer
from tests.unit.sandbox.apiserver.conftest import Asker, thing, thing_crd

CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com"
SECRETS = "/api/v1/namespaces/default/secrets"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"


def test_the_first_namespaces_are_there(ask: Asker) -> None:
    names = [item["metadata"]["name"] for item in ask.ok("GET", "/api/v1/namespaces")["items"]]
    assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]
    assert ask.ok("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]


def test_a_namespace_has_a_default_account_that_comes_back(ask: Asker) -> None:
    ask.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "new"}})
    path = "/api/v1/namespaces/new/serviceaccounts/default"
    first = ask.ok("GET", path)
    ask.ok("DELETE", path)
    assert first["metadata"]["uid"] != ask.ok("GET", path)["metadata"]["uid"]


def test_a_namespace_goes_with_all_that_is_in_it(ask: Asker, things: str) -> None:
    ask.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "going"}})
    ask.ok("POST", things.replace("default", "going"), thing("x"))
    ask.ok("DELETE", "/api/v1/namespaces/going")
    assert ask("GET", "/api/v1/namespaces/going").status == 404
    assert ask.ok("GET", "/apis/example.com/v1/things")["items"] == []


def test_a_namespace_waits_for_finalizers_inside_and_takes_nothing_new(ask: Asker) -> None:
    maps = "/api/v1/namespaces/going/configmaps"
    ask.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "going"}})
    ask.ok("POST", maps, {"metadata": {"name": "held", "finalizers": ["example.com/x"]}})
    ask.ok("DELETE", "/api/v1/namespaces/going")
    assert ask.ok("GET", "/api/v1/namespaces/going")["status"]["phase"] == "Terminating"
    refused = ask("POST", maps, {"metadata": {"name": "late"}})
    assert (refused.status, b"NamespaceTerminating" in refused.body) == (403, True)
    ask.merge(f"{maps}/held", {"metadata": {"finalizers": None}})
    assert ask("GET", "/api/v1/namespaces/going").status == 404


def test_some_namespaces_stay(ask: Asker) -> None:
    assert ask("DELETE", "/api/v1/namespaces/kube-system").status == 403


def test_a_crd_is_established_and_served_at_once(ask: Asker, things: str) -> None:
    conditions = ask.ok("GET", CRD)["status"]["conditions"]
    assert {c["type"]: c["status"] for c in conditions} == {"NamesAccepted": "True", "Established": "True"}
    assert ask.ok("POST", things, thing("x", spec={"size": 1}))["spec"] == {"size": 1, "mode": "plain"}


def test_a_changed_crd_changes_what_was_stored_before(ask: Asker, things: str) -> None:
    ask.ok("POST", things, thing("x", spec={"size": 1}))
    definition = ask.ok("GET", CRD)
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del schema["size"]
    schema["colour"] = {"type": "string", "default": "red"}
    ask.ok("PUT", CRD, definition)
    assert ask.ok("GET", f"{things}/x")["spec"] == {"mode": "plain", "colour": "red"}


def test_a_crd_takes_its_objects_along(ask: Asker, things: str) -> None:
    ask.ok("POST", things, thing("held", metadata={"finalizers": ["example.com/x"]}))
    ask.ok("DELETE", CRD)
    conditions = {c["type"]: c["status"] for c in ask.ok("GET", CRD)["status"]["conditions"]}
    assert conditions["Terminating"] == "True"
    assert ask("POST", things, thing("late")).status == 403
    ask.merge(f"{things}/held", {"metadata": {"finalizers": None}})
    assert ask("GET", CRD).status == 404
    assert ask("GET", things).status == 404


def test_a_version_that_is_not_stored_shows_the_same_object(ask: Asker) -> None:
    definition = thing_crd()
    (v1,) = definition["spec"]["versions"]
    definition["spec"]["versions"].append(v1 | {"name": "v1beta1", "storage": False})
    ask.ok("POST", CRD.rpartition("/")[0], definition)
    old = thing("x", spec={"size": 3}) | {"apiVersion": "example.com/v1beta1"}
    ask.ok("POST", "/apis/example.com/v1beta1/namespaces/default/things", old)
    found = ask.ok("GET", "/apis/example.com/v1/namespaces/default/things/x")
    assert (found["apiVersion"], found["spec"]["size"]) == ("example.com/v1", 3)


def token_secret(name: str, account: str) -> dict[str, object]:
    annotations = {"kubernetes.io/service-account.name": account}
    return {"metadata": {"name": name, "annotations": annotations}, "type": "kubernetes.io/service-account-token"}


def test_a_token_secret_is_filled_in(server: ApiServer, ask: Asker) -> None:
    account = ask.ok("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
    ask.ok("POST", SECRETS, token_secret("robot-token", "robot"))
    found = ask.ok("GET", f"{SECRETS}/robot-token")
    assert found["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == account["metadata"]["uid"]
    assert server.ca_pem == base64.b64decode(found["data"]["ca.crt"])
    assert base64.b64decode(found["data"]["namespace"]) == b"default"
    user = server.accounts.authenticate(base64.b64decode(found["data"]["token"]).decode())
    assert user is not None
    assert user.name == "system:serviceaccount:default:robot"


def test_a_token_secret_goes_with_its_account(ask: Asker) -> None:
    ask.ok("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
    ask.ok("POST", SECRETS, token_secret("robot-token", "robot"))
    ask.ok("DELETE", f"{ACCOUNTS}/robot")
    assert ask("GET", f"{SECRETS}/robot-token").status == 404


def test_services_get_addresses_of_their_own_until_they_go(ask: Asker) -> None:
    path = "/api/v1/namespaces/default/services"

    def address(name: str, **spec: object) -> str:
        made = ask.ok("POST", path, {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}})
        found: str = made["spec"]["clusterIP"]
        return found

    first, second = address("a"), address("b")
    assert first != second
    assert address("headless", clusterIP="None") == "None"
    taken = {"metadata": {"name": "c"}, "spec": {"ports": [{"port": 80}], "clusterIP": first}}
    assert ask("POST", path, taken).status == 422
    ask.ok("DELETE", f"{path}/a")
    assert ask.ok("POST", path, taken)["spec"]["clusterIP"] == first
