"""The rules of the built-in kinds that the controller works with."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from controller.kube.resources import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    EVENTS,
    LEASES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)
from controller.kube.transport import Transport
from tests.conformance.api import Api, Json, causes, ok, refused, until
from tests.conformance.kinds import CLUSTER_ROLES, config_map, endpoint_slice, meta, pod, secret, service
from tests.servers import Server

TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", namespaced=False)
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False
)

# ── Secrets and ConfigMaps ──────────────────────────────────────────────────────────────────────────


async def test_string_data_becomes_data_and_wins_over_it(api: Api) -> None:
    created = ok(await api.create(SECRETS, secret(data={"a": "YQ==", "b": "Yg=="}, stringData={"a": "new"})))
    assert created["data"] == {"a": "bmV3", "b": "Yg=="}
    assert "stringData" not in created


async def test_a_secret_is_opaque_unless_it_says_otherwise(api: Api) -> None:
    assert ok(await api.create(SECRETS, secret()))["type"] == "Opaque"


async def test_secret_data_that_is_not_base64_is_refused(api: Api) -> None:
    refused(400, "BadRequest", await api.create(SECRETS, secret(data={"a": "not base64!"})))


async def test_the_type_of_a_secret_does_not_change(api: Api) -> None:
    ok(await api.create(SECRETS, secret()))
    status = refused(422, "Invalid", await api.patch(SECRETS, "it", {"type": "example.com/other"}))
    assert causes(status) == {("FieldValueInvalid", "type")}


async def test_a_replace_without_type_keeps_the_opaque_type(api: Api) -> None:
    ok(await api.create(SECRETS, secret()))
    assert ok(await api.replace(SECRETS, secret(data={})))["type"] == "Opaque"


async def test_an_immutable_secret_keeps_its_data_and_stays_immutable(api: Api) -> None:
    ok(await api.create(SECRETS, secret(data={"a": "YQ=="}, immutable=True)))
    for change, field in (({"data": {"a": "Yg=="}}, "data"), ({"immutable": False}, "immutable")):
        status = refused(422, "Invalid", await api.patch(SECRETS, "it", change))
        assert ("FieldValueForbidden", field) in causes(status)
    ok(await api.patch(SECRETS, "it", {"metadata": {"labels": {"a": "b"}}}))


async def test_an_immutable_secret_may_be_deleted(api: Api) -> None:
    ok(await api.create(SECRETS, secret(immutable=True)))
    ok(await api.delete(SECRETS, "it"))


async def test_an_immutable_config_map_keeps_its_data_and_stays_immutable(api: Api) -> None:
    ok(await api.create(CONFIG_MAPS, {**config_map(), "immutable": True}))
    for change, field in (({"data": {"a": "2"}}, "data"), ({"immutable": None}, "immutable")):
        status = refused(422, "Invalid", await api.patch(CONFIG_MAPS, "it", change))
        assert ("FieldValueForbidden", field) in causes(status)


async def test_a_tls_secret_needs_both_its_keys(api: Api) -> None:
    status = refused(422, "Invalid", await api.create(SECRETS, secret(type="kubernetes.io/tls")))
    assert causes(status) == {("FieldValueRequired", "data[tls.crt]"), ("FieldValueRequired", "data[tls.key]")}


@pytest.mark.filterwarnings("ignore:Sending a large body")  # more than the controller ever sends
async def test_a_secret_holds_one_mebibyte(api: Api) -> None:
    most = base64.b64encode(b"x" * 2**20).decode()
    ok(await api.create(SECRETS, secret(data={"a": most})))
    status = refused(422, "Invalid", await api.create(SECRETS, secret("other", data={"a": most, "b": "YQ=="})))
    assert causes(status) == {("FieldValueTooLong", "data")}


async def test_a_config_map_holds_a_key_once(api: Api) -> None:
    body = {**config_map(data={"a": "1"}), "binaryData": {"a": "YQ=="}}
    refused(422, "Invalid", await api.create(CONFIG_MAPS, body))


# ── EndpointSlices ──────────────────────────────────────────────────────────────────────────────────


async def test_an_endpoint_slice_keeps_what_it_is_given(api: Api) -> None:
    created = ok(await api.create(ENDPOINT_SLICES, endpoint_slice(addresses=("10.0.0.1", "10.0.0.2"))))
    assert [endpoint["addresses"] for endpoint in created["endpoints"]] == [["10.0.0.1"], ["10.0.0.2"]]
    assert created["metadata"]["generation"] == 1
    assert "status" not in created


async def test_the_address_type_does_not_change(api: Api) -> None:
    ok(await api.create(ENDPOINT_SLICES, endpoint_slice(addresses=())))
    status = refused(422, "Invalid", await api.patch(ENDPOINT_SLICES, "it", {"addressType": "IPv6"}))
    assert ("FieldValueInvalid", "addressType") in causes(status)


async def test_the_address_type_is_required(api: Api) -> None:
    body = endpoint_slice()
    del body["addressType"]
    status = refused(422, "Invalid", await api.create(ENDPOINT_SLICES, body))
    assert ("FieldValueRequired", "addressType") in causes(status)


@pytest.mark.parametrize(
    ("family", "address"),
    [
        ("IPv6", "2001:DB8::1"),
        ("IPv6", "2001:db8:0:0:0:0:0:1"),
        ("IPv6", "::ffff:10.0.0.1"),
        ("IPv4", "2001:db8::1"),
        ("IPv6", "10.0.0.1"),
        ("IPv4", "10.0.0.01"),
        ("IPv4", "host.example.com"),
        ("IPv4", "127.0.0.1"),
        ("IPv4", "0.0.0.0"),
        ("IPv4", "169.254.1.1"),
        ("IPv4", "224.0.0.1"),
        ("IPv6", "::1"),
        ("IPv6", "fe80::1"),
    ],
)
async def test_an_address_that_no_endpoint_can_have_is_invalid(api: Api, family: str, address: str) -> None:
    body = endpoint_slice(addresses=(address,), family=family)
    status = refused(422, "Invalid", await api.create(ENDPOINT_SLICES, body))
    ((_, field),) = causes(status)
    assert field.startswith("endpoints[0].addresses")


async def test_a_canonical_ipv6_address_is_accepted(api: Api) -> None:
    ok(await api.create(ENDPOINT_SLICES, endpoint_slice(addresses=("2001:db8::1",), family="IPv6")))


async def test_host_names_are_addresses_of_their_own_type(api: Api) -> None:
    ok(await api.create(ENDPOINT_SLICES, endpoint_slice(addresses=("host.example.com",), family="FQDN")))


async def test_an_endpoint_has_at_least_one_address_and_at_most_100(api: Api) -> None:
    for count, reason in ((0, "FieldValueRequired"), (101, "FieldValueTooMany")):
        body = {**endpoint_slice(), "endpoints": [{"addresses": [f"10.0.0.{n}" for n in range(1, count + 1)]}]}
        status = refused(422, "Invalid", await api.create(ENDPOINT_SLICES, body))
        assert (reason, "endpoints[0].addresses") in causes(status)


async def test_an_endpoint_slice_has_at_most_1000_endpoints(api: Api) -> None:
    addresses = tuple(f"10.0.{n // 250}.{n % 250 + 1}" for n in range(1001))
    ok(await api.create(ENDPOINT_SLICES, endpoint_slice("full", addresses[:1000])))
    status = refused(422, "Invalid", await api.create(ENDPOINT_SLICES, endpoint_slice("over", addresses)))
    assert causes(status) == {("FieldValueTooMany", "endpoints")}


async def test_conditions_of_an_endpoint_are_kept(api: Api) -> None:
    body = endpoint_slice()
    body["endpoints"][0]["conditions"] = {"ready": True}
    assert ok(await api.create(ENDPOINT_SLICES, body))["endpoints"][0]["conditions"] == {"ready": True}


# ── Services and Pods ───────────────────────────────────────────────────────────────────────────────


async def test_a_service_gets_an_address(api: Api) -> None:
    spec = ok(await api.create(SERVICES, service()))["spec"]
    assert spec["clusterIP"] == spec["clusterIPs"][0]
    assert spec["clusterIP"].startswith("10.96.")
    assert (spec["type"], spec["sessionAffinity"], spec["ipFamilies"]) == ("ClusterIP", "None", ["IPv4"])
    assert spec["ports"] == [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}]


async def test_a_headless_service_has_none(api: Api) -> None:
    spec = ok(await api.create(SERVICES, service(clusterIP="None")))["spec"]
    assert (spec["clusterIP"], spec["clusterIPs"]) == ("None", ["None"])


async def test_the_address_of_a_service_does_not_change(api: Api) -> None:
    ok(await api.create(SERVICES, service()))
    status = refused(422, "Invalid", await api.patch(SERVICES, "it", {"spec": {"clusterIP": "None"}}))
    assert "spec.clusterIPs[0]" in {field for _, field in causes(status)}


async def test_ports_of_a_service_need_names_when_they_are_many(api: Api) -> None:
    status = refused(422, "Invalid", await api.create(SERVICES, service(ports=[{"port": 1}, {"port": 2}])))
    assert ("FieldValueRequired", "spec.ports[0].name") in causes(status)


async def test_applied_service_ports_are_merged_by_number_and_protocol(api: Api) -> None:
    ok(await api.apply(SERVICES, service(ports=[{"name": "a", "port": 1}]), "them"))
    after = ok(await api.apply(SERVICES, service(ports=[{"name": "b", "port": 2, "protocol": "TCP"}])))
    assert [(port["name"], port["port"]) for port in after["spec"]["ports"]] == [("a", 1), ("b", 2)]


async def test_a_pod_is_pending_until_somebody_runs_it(api: Api) -> None:
    created = ok(await api.create(PODS, pod()))
    assert created["status"]["phase"] == "Pending"
    assert created["spec"]["containers"][0]["terminationMessagePath"] == "/dev/termination-log"


async def test_the_status_of_a_pod_is_written_through_its_subresource(api: Api) -> None:
    ok(await api.create(PODS, pod()))
    ok(await api.patch(PODS, "it", {"status": {"phase": "Running"}}))
    assert ok(await api.get(PODS, "it"))["status"]["phase"] == "Pending"
    change = {"status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}}
    after = ok(await api.patch(PODS, "it", change, subresource="status"))
    assert (after["status"]["phase"], after["status"]["podIP"]) == ("Running", "10.0.0.1")


async def test_a_pod_without_containers_is_invalid(api: Api) -> None:
    status = refused(422, "Invalid", await api.create(PODS, {**meta("it"), "spec": {"containers": []}}))
    assert ("FieldValueRequired", "spec.containers") in causes(status)


async def test_a_pod_that_runs_nowhere_is_deleted_at_once(api: Api) -> None:
    ok(await api.create(PODS, pod()))
    ok(await api.delete(PODS, "it"))
    refused(404, "NotFound", await api.get(PODS, "it"))


# ── Leases and events ───────────────────────────────────────────────────────────────────────────────


async def test_a_lease_keeps_its_microseconds(api: Api) -> None:
    spec = {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-01-02T03:04:05.678901Z"}
    assert ok(await api.create(LEASES, {**meta("it"), "spec": spec}))["spec"] == spec


async def test_a_lease_lasts_longer_than_nothing(api: Api) -> None:
    lease = {**meta("it"), "spec": {"leaseDurationSeconds": 0}}
    status = refused(422, "Invalid", await api.create(LEASES, lease))
    assert causes(status) == {("FieldValueInvalid", "spec.leaseDurationSeconds")}


async def test_only_one_of_two_takers_gets_a_lease(api: Api) -> None:
    free = ok(await api.create(LEASES, {**meta("it"), "spec": {"holderIdentity": ""}}))
    takes = [await api.replace(LEASES, {**free, "spec": {"holderIdentity": name}}) for name in ("one", "two")]
    assert [taken.status for taken in takes] == [200, 409]


def event(api: Api, **fields: Any) -> Json:
    involved = {"kind": "ConfigMap", "namespace": api.namespace, "name": "it"}
    return {**meta("it.1"), "involvedObject": involved, "reason": "Because", "type": "Normal", **fields}


async def test_an_event_is_recorded(api: Api) -> None:
    created = ok(await api.create(EVENTS, event(api, message="It happened.", count=1)))
    assert (created["reason"], created["count"]) == ("Because", 1)


async def test_an_event_counts_up_by_patch(api: Api) -> None:
    ok(await api.create(EVENTS, event(api, count=1)))
    assert ok(await api.patch(EVENTS, "it.1", {"count": 2}))["count"] == 2


async def test_an_event_is_where_its_object_is(api: Api) -> None:
    elsewhere = event(api, involvedObject={"kind": "ConfigMap", "namespace": "default", "name": "it"})
    status = refused(422, "Invalid", await api.create(EVENTS, elsewhere))
    assert {field for _, field in causes(status)} == {"involvedObject.namespace"}


async def test_an_event_of_a_cluster_scoped_object_is_in_the_default_namespace(admin: Transport) -> None:
    api = Api(admin, "default")
    of_role = event(api, involvedObject={"kind": "ClusterRole", "name": "it"})
    of_role["metadata"] = {"generateName": "it."}
    ok(await api.create(EVENTS, of_role))


async def test_events_are_selected_by_what_they_are_about(api: Api) -> None:
    ok(await api.create(EVENTS, event(api)))
    found = ok(await api.list(EVENTS, fieldSelector="involvedObject.name=it,reason=Because"))
    assert [item["metadata"]["name"] for item in found["items"]] == ["it.1"]
    assert ok(await api.list(EVENTS, fieldSelector="involvedObject.name=other"))["items"] == []


# ── service accounts and who one is ─────────────────────────────────────────────────────────────────


def claims(token: str) -> Json:
    payload = token.split(".")[1]
    found: Json = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


async def token_for(api: Api, **spec: Any) -> Any:
    ok(await api.create(SERVICE_ACCOUNTS, meta("it")))
    path = api.path(SERVICE_ACCOUNTS, "it", "token")
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return await api.call("POST", path, body)


async def test_a_requested_token_is_its_account(api: Api, server: Server) -> None:
    status = ok(await token_for(api, expirationSeconds=600))["status"]
    assert claims(status["token"])["sub"] == f"system:serviceaccount:{api.namespace}:it"
    account = server.transport(status["token"])
    try:
        answer = refused(403, "Forbidden", await Api(account, api.namespace).list(CONFIG_MAPS))
        assert f"system:serviceaccount:{api.namespace}:it" in answer["message"]
    finally:
        await account.close()


async def test_a_requested_token_ends_when_it_says(api: Api) -> None:
    status = ok(await token_for(api, expirationSeconds=600))["status"]
    told = claims(status["token"])
    assert told["exp"] - told["iat"] == 600
    assert status["expirationTimestamp"].endswith("Z")


async def test_a_requested_token_lasts_ten_minutes_at_least(api: Api) -> None:
    refused(422, "Invalid", await token_for(api, expirationSeconds=60))


async def test_no_token_for_an_absent_account(api: Api) -> None:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = await api.call("POST", api.path(SERVICE_ACCOUNTS, "absent", "token"), body)
    refused(404, "NotFound", answer)


async def test_a_token_secret_is_filled_in(api: Api, server: Server) -> None:
    ok(await api.create(SERVICE_ACCOUNTS, meta("it")))
    annotations = {"kubernetes.io/service-account.name": "it"}
    body = {**meta("it", annotations=annotations), "type": "kubernetes.io/service-account-token"}
    ok(await api.create(SECRETS, body))

    async def filled() -> Any:
        found = ok(await api.get(SECRETS, "it"))
        return found if "token" in found.get("data", {}) else None

    found = await until(filled)
    assert set(found["data"]) == {"token", "ca.crt", "namespace"}
    assert base64.b64decode(found["data"]["namespace"]).decode() == api.namespace
    assert base64.b64decode(found["data"]["ca.crt"]) == server.ca_pem
    token = base64.b64decode(found["data"]["token"]).decode()
    assert claims(token)["sub"] == f"system:serviceaccount:{api.namespace}:it"
    assert found["metadata"]["annotations"]["kubernetes.io/service-account.uid"]


async def test_a_token_secret_needs_an_account_in_its_annotation(api: Api) -> None:
    body = secret(type="kubernetes.io/service-account-token")
    refused(422, "Invalid", await api.create(SECRETS, body))


async def test_a_token_secret_goes_with_its_account(api: Api) -> None:
    ok(await api.create(SERVICE_ACCOUNTS, meta("it")))
    annotations = {"kubernetes.io/service-account.name": "it"}
    body = {**meta("it", annotations=annotations), "type": "kubernetes.io/service-account-token"}
    ok(await api.create(SECRETS, body))
    ok(await api.delete(SERVICE_ACCOUNTS, "it"))

    async def gone() -> bool:
        return (await api.get(SECRETS, "it")).status == 404

    await until(gone)


async def test_a_token_review_tells_whose_token_it_is(api: Api) -> None:
    token = ok(await token_for(api))["status"]["token"]
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    status = ok(await api.create(TOKEN_REVIEWS, body))["status"]
    assert status["authenticated"] is True
    assert status["user"]["username"] == f"system:serviceaccount:{api.namespace}:it"
    assert "system:serviceaccounts" in status["user"]["groups"]


async def test_an_access_review_tells_what_one_may_do(api: Api) -> None:
    asked = {"namespace": api.namespace, "verb": "create", "resource": "secrets"}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    assert ok(await api.create(ACCESS_REVIEWS, body))["status"]["allowed"] is True


async def test_a_cluster_role_is_kept_as_it_is_given(api: Api) -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    name = f"role-{api.namespace}"
    created = ok(await api.create(CLUSTER_ROLES, {**meta(name), "rules": rules}))
    assert created["rules"] == rules
    ok(await api.delete(CLUSTER_ROLES, name))
