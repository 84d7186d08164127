"""What roles allow a service account, and where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from controller.kube.resources import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, Resource
from controller.kube.transport import Transport
from tests.conformance.api import Answer, Api, Json, ok, refused, until
from tests.conformance.conftest import new_namespace
from tests.conformance.kinds import CLUSTER_ROLES, WIDGETS, config_map, meta, secret, widget
from tests.servers import Server

RBAC = "rbac.authorization.k8s.io"
ROLES = Resource(RBAC, "v1", "Role", "roles")
ROLE_BINDINGS = Resource(RBAC, "v1", "RoleBinding", "rolebindings")
CLUSTER_ROLE_BINDINGS = Resource(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False)
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False
)


@pytest_asyncio.fixture(loop_scope="session")
async def account(api: Api, server: Server) -> AsyncIterator[Api]:
    """A service account of the case's namespace that nobody has allowed anything."""
    ok(await api.create(SERVICE_ACCOUNTS, meta("it")))
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = ok(await api.call("POST", api.path(SERVICE_ACCOUNTS, "it", "token"), body))
    transport = server.transport(answer["status"]["token"])
    yield Api(transport, api.namespace)
    await transport.close()


def rule(resources: str, *verbs: str, group: str = "", **more: Any) -> Json:
    return {"apiGroups": [group], "resources": [resources], "verbs": list(verbs), **more}


async def allow(api: Api, *rules: Json, name: str = "it") -> None:
    """A Role and its binding to the account."""
    ok(await api.create(ROLES, {**meta(name), "rules": list(rules)}))
    ok(await api.create(ROLE_BINDINGS, {**meta(name), **binding(api, "Role", name)}))


def binding(api: Api, kind: str, role: str) -> Json:
    return {
        "subjects": [{"kind": "ServiceAccount", "name": "it", "namespace": api.namespace}],
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
    }


async def allowed(api: Api, kind: Resource = CONFIG_MAPS, **query: Any) -> Answer:
    """The answer to a list once it is no refusal: a server takes a moment to notice new roles."""

    async def answer() -> Answer | None:
        found = await api.list(kind, **query)
        return None if found.status == 403 else found

    found: Answer = await until(answer)
    return found


async def test_a_new_account_may_read_nothing(account: Api) -> None:
    status = refused(403, "Forbidden", await account.list(SECRETS))
    user = f"system:serviceaccount:{account.namespace}:it"
    assert f'User "{user}" cannot list resource "secrets" in API group ""' in status["message"]
    assert status["details"] == {"kind": "secrets"}


async def test_a_role_allows_its_verbs_in_its_namespace_only(api: Api, account: Api, admin: Transport) -> None:
    await allow(api, rule("configmaps", "list", "watch"))
    start = ok(await allowed(account))["metadata"]["resourceVersion"]
    async with account.watch(CONFIG_MAPS, resourceVersion=start) as watch:
        ok(await api.create(CONFIG_MAPS, config_map()))
        assert await watch.named(1) == [("ADDED", "it")]
    refused(403, "Forbidden", await account.get(CONFIG_MAPS, "it"))
    refused(403, "Forbidden", await account.create(CONFIG_MAPS, config_map("other")))
    refused(403, "Forbidden", await account.list(CONFIG_MAPS, namespace=await new_namespace(admin)))
    refused(403, "Forbidden", await account.list(CONFIG_MAPS, namespace=""))


async def test_a_cluster_role_bound_in_a_namespace_allows_there_only(api: Api, account: Api) -> None:
    name = f"role-{api.namespace}"
    ok(await api.create(CLUSTER_ROLES, {**meta(name), "rules": [rule("configmaps", "list")]}))
    ok(await api.create(ROLE_BINDINGS, {**meta("it"), **binding(api, "ClusterRole", name)}))
    ok(await allowed(account))
    refused(403, "Forbidden", await account.list(CONFIG_MAPS, namespace=""))
    ok(await api.delete(CLUSTER_ROLES, name))


async def test_a_cluster_role_bound_everywhere_allows_everywhere(api: Api, account: Api) -> None:
    name = f"role-{api.namespace}"
    ok(await api.create(CLUSTER_ROLES, {**meta(name), "rules": [rule("configmaps", "list")]}))
    ok(await api.create(CLUSTER_ROLE_BINDINGS, {**meta(name), **binding(api, "ClusterRole", name)}))
    ok(await allowed(account, namespace=""))
    ok(await api.delete(CLUSTER_ROLE_BINDINGS, name))
    ok(await api.delete(CLUSTER_ROLES, name))


async def test_a_rule_may_be_for_one_name(api: Api, account: Api) -> None:
    for name in ("mine", "theirs"):
        ok(await api.create(SECRETS, secret(name)))
    await allow(api, rule("secrets", "get", resourceNames=["mine"]), rule("configmaps", "list"))
    ok(await allowed(account))
    ok(await account.get(SECRETS, "mine"))
    refused(403, "Forbidden", await account.get(SECRETS, "theirs"))
    refused(403, "Forbidden", await account.list(SECRETS))


async def test_a_subresource_needs_a_rule_of_its_own(api: Api, account: Api) -> None:
    ok(await api.create(WIDGETS, widget()))
    await allow(api, rule("widgets", "patch", "list", group=WIDGETS.group))
    ok(await allowed(account, WIDGETS))
    ok(await account.patch(WIDGETS, "it", {"spec": {"size": 1}}))
    status = {"status": {"phase": "Up"}}
    refused(403, "Forbidden", await account.patch(WIDGETS, "it", status, subresource="status"))
    await allow(api, rule("widgets/status", "patch", group=WIDGETS.group), rule("configmaps", "list"), name="status")
    ok(await allowed(account))
    ok(await account.patch(WIDGETS, "it", status, subresource="status"))


async def test_an_apply_that_creates_needs_the_verb_create_too(api: Api, account: Api) -> None:
    await allow(api, rule("configmaps", "patch", "list"))
    ok(await allowed(account))
    refused(403, "Forbidden", await account.apply(CONFIG_MAPS, config_map()))
    ok(await api.create(CONFIG_MAPS, config_map()))
    ok(await account.apply(CONFIG_MAPS, config_map(), force=True))


async def test_what_is_forbidden_is_not_told_to_be_absent(api: Api, account: Api) -> None:
    refused(403, "Forbidden", await account.get(SECRETS, "absent"))
    refused(403, "Forbidden", await account.call("GET", f"/apis/absent.example.com/v1/namespaces/{api.namespace}/x"))


async def test_a_right_ends_with_its_binding(api: Api, account: Api) -> None:
    await allow(api, rule("configmaps", "list"))
    ok(await allowed(account))
    ok(await api.delete(ROLE_BINDINGS, "it"))

    async def forbidden() -> bool:
        return (await account.list(CONFIG_MAPS)).status == 403

    await until(forbidden)


async def test_all_accounts_of_a_namespace_are_a_group(api: Api, account: Api) -> None:
    ok(await api.create(ROLES, {**meta("it"), "rules": [rule("*", "*")]}))
    group = {"apiGroup": RBAC, "kind": "Group", "name": f"system:serviceaccounts:{api.namespace}"}
    bound = {**binding(api, "Role", "it"), "subjects": [group]}
    ok(await api.create(ROLE_BINDINGS, {**meta("it"), **bound}))
    ok(await allowed(account))
    ok(await account.create(CONFIG_MAPS, config_map()))


async def test_an_access_review_answers_for_whoever_asks(api: Api, account: Api) -> None:
    await allow(api, rule("configmaps", "list"))
    ok(await allowed(account))
    answers = {}
    for verb in ("list", "delete"):
        asked = {"namespace": api.namespace, "verb": verb, "resource": "configmaps"}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        reviewed = await account.create(ACCESS_REVIEWS, {**body, "spec": {"resourceAttributes": asked}, **meta("")})
        answers[verb] = ok(reviewed)["status"]["allowed"]
    assert answers == {"list": True, "delete": False}


async def test_a_binding_does_not_change_its_role(api: Api) -> None:
    ok(await api.create(ROLE_BINDINGS, {**meta("it"), **binding(api, "Role", "one")}))
    change = {"roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "two"}}
    refused(422, "Invalid", await api.patch(ROLE_BINDINGS, "it", change))


async def test_an_aggregating_cluster_role_gathers_the_rules_of_others(api: Api) -> None:
    label = {"case": api.namespace}
    whole, part = f"whole-{api.namespace}", f"part-{api.namespace}"
    selectors = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": label}]}}
    ok(await api.create(CLUSTER_ROLES, {**meta(whole), **selectors, "rules": []}))
    ok(await api.create(CLUSTER_ROLES, {**meta(part, labels=label), "rules": [rule("configmaps", "get")]}))

    async def gathered() -> Any:
        return ok(await api.get(CLUSTER_ROLES, whole))["rules"] == [rule("configmaps", "get")]

    await until(gathered)
    for name in (whole, part):
        ok(await api.delete(CLUSTER_ROLES, name))
