"""The system keyspaces of a Cassandra cluster are extended to each of its datacenters, through the pod proxy."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Any

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.resources import SECRETS, Resource
from controller.kube.transport import Request, Response
from controller.management.choice import ANNOTATION
from controller.management.pods import Pod
from controller.management.routes import ClientCertificate
from controller.sandbox.management_api import NETWORK_TOPOLOGY, SHARED, Trouble
from controller.sandbox.pod_network import pod_network
from tests.integration.rig import CONTEXTS, Rig, converged, eventually, quiet

ROLES = Resource("rbac.authorization.k8s.io", "v1", "Role", "roles")
SIZES = {"dc1": "3", "dc2": "3", "dc3": "3"}


def replication(one: Rig) -> list[dict[str, str]]:
    keyspaces = one.ring().keyspaces
    return [keyspaces[name] for name in SHARED]


def everywhere(**replicas: str) -> list[dict[str, str]]:
    return [{"class": NETWORK_TOPOLOGY, **replicas}] * len(SHARED)


async def test_the_system_keyspaces_are_extended_to_every_datacenter(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    assert replication(one) == everywhere(**SIZES)


async def test_a_cluster_is_ready_after_few_calls_and_then_there_are_none(one: Rig) -> None:
    await converged(one)
    since = len(one.seen)
    await asyncio.sleep(1.0)
    # Three keyspaces: read once, and for two more datacenters agreement and change of each.
    assert len(one.calls()) <= 15
    assert one.calls(since=since) == []


async def test_a_restart_reads_once_and_changes_nothing(one: Rig) -> None:
    await converged(one)
    await one.stop()
    since = len(one.seen)
    await one.start()

    async def read() -> bool:
        return len(one.calls(since=since)) == len(SHARED)

    await eventually(read, "every keyspace is read")
    await quiet(one)
    assert {seen.method for seen in one.calls(since=since)} == {"GET"}
    assert len(one.calls(since=since)) == len(SHARED)
    assert one.writes(since=since) == []


async def says(one: Rig, reason: str, kind: str = "Ready") -> dict[str, Any]:
    async def said() -> bool:
        return (await one.condition(K8SSANDRA_CLUSTERS, "demo", kind)).get("reason") == reason

    await eventually(said, f"{kind} says {reason}")
    return await one.condition(K8SSANDRA_CLUSTERS, "demo", kind)


async def first_is_there(one: Rig) -> None:
    async def there() -> bool:
        found = await one.get(CASSANDRA_DATACENTERS, "dc2", CONTEXTS[1])
        return found is not None

    await eventually(there, "the second datacenter is made")


async def test_add_dc_fail_system_keyspace_update(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await first_is_there(one)
    trouble = Trouble("/keyspace/alter")
    one.ring().troubles.append(trouble)
    found = await says(one, "ManagementApiUnreachable", "DatacenterReady.dc2")
    assert "POST /api/v0/ops/keyspace/alter" in found["message"]
    assert "pod " in found["message"]
    assert (await one.datacenters())[CONTEXTS[2]] == []  # none is made while the one before cannot be used
    one.ring().troubles.remove(trouble)
    await one.ready()
    assert replication(one) == everywhere(**SIZES)


async def test_add_dc_schema_disagreement_on_system_keyspaces(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await first_is_there(one)
    one.ring().disagreement["another"] = ["10.9.9.9"]
    await says(one, "SchemaDisagreement", "DatacenterReady.dc2")
    assert replication(one) == everywhere(dc1="3")
    one.ring().disagreement = {"UNREACHABLE": ["10.9.9.9"]}  # a node that is down keeps nobody from changing
    await one.ready()
    assert replication(one) == everywhere(**SIZES)


# ── other ways to the pods ──────────────────────────────────────────────────────────────────────────


class Straight:
    """A ``Transport`` to a simulated pod that does not go through its API server."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod

    async def request(self, request: Request) -> Response:
        return await pod_network().call(self._pod.address, self._pod.port, request)

    async def stream(self, request: Request, *, silence: float) -> Response:
        return await self.request(request)

    async def close(self) -> None:
        pass


class Ways:
    """Ways straight to pods, and what they were opened with."""

    def __init__(self) -> None:
        self.shown: list[ClientCertificate | None] = []

    def __call__(self, pod: Pod, certificate: ClientCertificate | None) -> Straight:
        self.shown.append(certificate)
        return Straight(pod)


def one_datacenter(one: Rig, **cassandra: Any) -> dict[str, Any]:
    found = one.sample()
    del found["spec"]["cassandra"]["datacenters"][1:]
    found["spec"]["cassandra"] |= cassandra
    return found


async def annotate(one: Rig, way: str) -> None:
    patch = {"metadata": {"annotations": {ANNOTATION: way}}}
    for context in CONTEXTS:
        await one.client().patch(CLIENT_CONFIGS, one.namespace, context, patch, kind="merge")


async def test_an_annotation_sends_calls_straight_to_the_pods(one: Rig) -> None:
    one.open_way = ways = Ways()
    await annotate(one, "direct")
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    assert replication(one) == everywhere(**SIZES)
    assert one.calls() == []
    assert set(ways.shown) == {None}


async def test_an_annotation_that_means_nothing_is_said(one: Rig) -> None:
    await annotate(one, "pigeon")
    await one.start()
    await one.apply(one_datacenter(one))
    found = await says(one, "ManagementApiUnreachable", "SystemKeyspacesReplicated")
    assert f"annotation {ANNOTATION} is 'pigeon'; it can be auto, proxy, direct" in found["message"]
    await one.ready()  # its keyspaces began right, as far as anybody knows
    await annotate(one, "proxy")
    await says_no_more(one, "SystemKeyspacesReplicated")


async def says_no_more(one: Rig, kind: str) -> None:
    async def gone() -> bool:
        return not await one.condition(K8SSANDRA_CLUSTERS, "demo", kind)

    await eventually(gone, f"{kind} is not said any more")


async def test_create_single_dc_cluster_with_management_api_secured(one: Rig) -> None:
    one.open_way = ways = Ways()
    data = {key: b64encode(key.encode()).decode() for key in ("tls.crt", "tls.key", "ca.crt")}
    for name in ("mgmt-client", "mgmt-server"):
        secret = {"metadata": {"name": name}, "type": "kubernetes.io/tls", "data": data}
        await one.client(CONTEXTS[0]).create(SECRETS, one.namespace, secret)
    manual = {"manual": {"clientSecretName": "mgmt-client", "serverSecretName": "mgmt-server"}}
    await one.start()
    await one.apply(one_datacenter(one, managementApiAuth=manual))
    await one.ready()
    found = await one.get(CASSANDRA_DATACENTERS, "dc1", CONTEXTS[0]) or {}
    assert found["spec"]["managementApiAuth"] == manual

    async def asked() -> bool:
        return len(ways.shown) == len(SHARED)

    await eventually(asked, "every keyspace is read")
    assert set(ways.shown) == {ClientCertificate(b"ca.crt", b"tls.crt", b"tls.key")}
    assert one.calls() == []


async def test_without_the_right_to_the_proxy_pods_are_called_straight(one: Rig) -> None:
    one.open_way = ways = Ways()
    one.provoked_forbidden = True
    for context in CONTEXTS:
        role = await one.client(context).get(ROLES, one.namespace, "k8ssandra-controller-datacenters")
        rules = [rule for rule in role.decode(dict)["rules"] if rule["resources"] != ["pods/proxy"]]
        await one.client(context).patch(ROLES, one.namespace, role.head.name, {"rules": rules}, kind="merge")
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    assert replication(one) == everywhere(**SIZES)
    assert ways.shown


async def test_convert_system_replication_annotation(one: Rig) -> None:
    legacy = one_datacenter(one)
    legacy["metadata"]["annotations"] = {
        labels.INITIAL_SYSTEM_REPLICATION: '{"datacenters": ["dc1"], "replicationFactor": 3}'
    }
    await one.start()
    await one.apply(legacy)
    await one.ready()
    found = await one.get(K8SSANDRA_CLUSTERS, "demo") or {}
    assert found["metadata"]["annotations"][labels.INITIAL_SYSTEM_REPLICATION] == '{"dc1":3}'


async def test_a_users_higher_replication_is_kept(one: Rig) -> None:
    """The reference puts it back on every pass."""
    await one.start()
    await one.apply(one_datacenter(one))
    await one.ready()
    await quiet(one)
    keyspace = one.ring().keyspaces["system_auth"]
    keyspace["elsewhere"] = "5"
    await one.stop()
    await one.start()
    await one.apply(one.sample())

    async def extended() -> bool:
        return "dc3" in one.ring().keyspaces["system_auth"] and await one.cluster_is_ready()

    await eventually(extended, "the keyspaces are extended")
    assert one.ring().keyspaces["system_auth"] == {"class": NETWORK_TOPOLOGY, **SIZES, "elsewhere": "5"}
