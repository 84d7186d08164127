"""``takeover --check`` sees what stands in the way in every cluster, and writes nowhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest_asyncio

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.engine.clock import SystemClock
from controller.fleet.inspection import Finding
from controller.handover import Check, check
from controller.kube.credentials import StaticCredentials
from controller.kube.read_only import QUESTION
from controller.kube.resources import DEPLOYMENTS, ENDPOINTS, VALIDATING_WEBHOOKS, Resource
from controller.preview import preview
from controller.sandbox.apiserver import Fault
from controller.sandbox.applier import Applier
from tests.integration.installations import installation, their_rig
from tests.integration.reference import MANAGER, deployment, webhook_configuration
from tests.integration.rig import CONTEXTS, Rig, eventually, quiet
from tests.servers import EmbeddedOne, Server

SECONDS = 20.0
CONFIGURATIONS = {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["get", "list"]}


@pytest_asyncio.fixture(loop_scope="session")
async def one(their_servers: list[Server], namespace: str) -> AsyncIterator[Rig]:
    async with their_rig(namespace, their_servers) as made:
        made.provoked_forbidden = True  # the data planes' roles allow nobody to see Deployments and webhooks
        yield made
        for context in made.servers:  # other tests look into every namespace
            for found in await made.client(context).list_all(DEPLOYMENTS, made.namespace):
                await made.client(context).delete(DEPLOYMENTS, made.namespace, found.head.name, uid=found.head.uid)


async def checked(one: Rig) -> Check:
    """What the command finds, as an administrator of the control plane."""
    since = len(one.seen)
    async with preview(
        one.settings(), StaticCredentials(one.access("")), one.make_transport, rng=Random(3), within=SECONDS, asks=True
    ) as looking:
        found = await check(looking, SystemClock(), within=SECONDS)
    assert {seen.path for seen in one.writes(since=since)} <= {QUESTION}
    return found


def told(found: Check, verdict: str, context: str = "") -> dict[str, str]:
    """Messages by subject."""
    return {each.subject: each.message for each in found.findings if (each.verdict, each.context) == (verdict, context)}


def about(found: Check) -> list[Finding]:
    """What is said of the one K8ssandraCluster."""
    (cluster,) = found.clusters
    return list(cluster.findings)


async def make(one: Rig, resource: Resource, obj: dict[str, Any], context: str = "") -> str:
    made = await one.client(context).create(resource, one.namespace if resource.namespaced else "", obj)
    return made.head.name


async def may_look(one: Rig) -> None:
    """As with the reference operator's own roles, the data planes' accounts may see Deployments and webhooks."""
    deployments = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]}
    endpoints = {"apiGroups": [""], "resources": ["endpoints"], "verbs": ["get"]}
    for plane in one.world.planes.values():
        await allow(one, Applier(plane.client), deployments, endpoints, CONFIGURATIONS)


async def allow(one: Rig, applier: Applier, *rules: dict[str, Any]) -> None:
    """Let the controller's account do more in a cluster."""
    group, name = "rbac.authorization.k8s.io", f"more-in-{one.namespace}"
    subject = {"kind": "Group", "name": f"system:serviceaccounts:{one.namespace}", "apiGroup": group}
    head = {"apiVersion": f"{group}/v1", "metadata": {"name": name}}
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": name}
    await applier.apply({**head, "kind": "ClusterRole", "rules": list(rules)})
    await applier.apply({**head, "kind": "ClusterRoleBinding", "subjects": [subject], "roleRef": reference})


async def test_an_installation_at_rest_whose_operator_is_stopped_is_ready(one: Rig) -> None:
    await installation(one).install()
    await may_look(one)
    for context in one.servers:
        await make(one, DEPLOYMENTS, deployment(0), context)
    for context in CONTEXTS:
        await make(one, DEPLOYMENTS, deployment(1, "cass-operator"), context)
    found = await checked(one)
    assert [each for each in (*found.findings, *about(found)) if each.verdict != "fine"] == []
    assert found.ready
    name = f"Deployment {one.namespace}/ours-cass-operator"
    assert told(found, "fine", CONTEXTS[0])[name] == "cass-operator is there, and stays"
    definition = told(found, "fine")["CustomResourceDefinition clientconfigs.config.k8ssandra.io"]
    assert "it has no status" in definition
    (datacenters,) = [each for each in about(found) if each.subject == "CassandraDatacenters"]
    assert datacenters.message == "no specification would change, so no pod restarts"


async def test_an_operator_in_another_namespace_is_seen_where_the_rights_suffice(one: Rig) -> None:
    await installation(one).install()
    await may_look(one)
    other = deployment()
    other["metadata"]["name"] = f"of-{one.namespace}"
    made = await one.client(CONTEXTS[2]).create(DEPLOYMENTS, "default", other)
    try:
        assert f"Deployment default/of-{one.namespace}" in told(await checked(one), "blocks", CONTEXTS[2])
    finally:
        await one.client(CONTEXTS[2]).delete(DEPLOYMENTS, "default", made.head.name, uid=made.head.uid)


async def test_a_running_operator_and_its_webhooks_are_in_the_way(one: Rig) -> None:
    await installation(one).install()
    await may_look(one)
    await make(one, DEPLOYMENTS, deployment())
    await make(one, DEPLOYMENTS, deployment(), CONTEXTS[1])
    validating = await make(one, VALIDATING_WEBHOOKS, webhook_configuration(one.namespace), CONTEXTS[1])
    found = await checked(one)
    assert not found.ready
    name = f"Deployment {one.namespace}/ours-k8ssandra-operator"
    command = f"kubectl -n {one.namespace} scale deployment ours-k8ssandra-operator --replicas=0"
    assert told(found, "blocks") == {name: f"the reference operator runs (1 wanted): {command}"}
    remote = told(found, "blocks", CONTEXTS[1])
    assert set(remote) == {name, f"ValidatingWebhookConfiguration {validating}"}
    assert remote[f"ValidatingWebhookConfiguration {validating}"].endswith(
        f"kubectl delete validatingwebhookconfiguration {validating}"
    )
    (writes,) = [each for each in about(found) if each.subject == "writes"]
    assert (writes.verdict, "nobody saw that its operator does not run" in writes.message) == ("blocks", True)
    await unmake(one, VALIDATING_WEBHOOKS, validating, CONTEXTS[1])


async def unmake(one: Rig, resource: Resource, name: str, context: str = "") -> None:
    found = await one.client(context).get(resource, "", name)
    await one.client(context).delete(resource, "", name, uid=found.head.uid)


async def test_seeds_of_an_old_release_are_in_the_way(one: Rig) -> None:
    await installation(one).install()
    await may_look(one)
    name = "demo-dc2-additional-seed-service"
    subsets = [{"addresses": [{"ip": "10.9.9.9"}]}]
    old = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name}, "subsets": subsets}
    await make(one, ENDPOINTS, old, CONTEXTS[1])
    (found,) = [each for each in about(await checked(one)) if each.subject.startswith("Endpoints ")]
    assert (found.verdict, found.context) == ("blocks", CONTEXTS[1])
    assert found.message.endswith(f"kubectl -n {one.namespace} delete endpoints {name}")


async def test_what_may_not_be_seen_is_said_and_is_no_error(one: Rig) -> None:
    await installation(one).install()
    found = await checked(one)
    for context in CONTEXTS:
        unknown = told(found, "unknown", context)
        assert set(unknown) == {"Deployments of k8ssandra-operator", "webhook configurations of k8ssandra-operator"}
        assert all("Forbidden" in message and "kubectl get" in message for message in unknown.values())
    assert {each.subject for each in about(found) if each.verdict == "blocks"} == {"writes"}


async def test_what_would_be_rolled_out_and_what_differs_is_named(one: Rig) -> None:
    theirs = installation(one)
    await theirs.install()
    patch = {"spec": {"config": {"cassandra-yaml": {"num_tokens": 16, "of_theirs": 1}}}}
    client = one.client(CONTEXTS[1])
    await client.patch(CASSANDRA_DATACENTERS, one.namespace, "dc2", patch, kind="merge", field_manager=MANAGER)

    async def blocks() -> dict[str, str]:
        return {each.subject: each.message for each in about(await checked(one)) if each.verdict == "blocks"}

    found = await blocks()
    assert "spec.config.cassandra-yaml.of_theirs" in found["CassandraDatacenter dc2"]
    once = {"metadata": {"annotations": {labels.AUTOUPDATE_SPEC: "once"}}}
    await one.client().patch(K8SSANDRA_CLUSTERS, one.namespace, "demo", once, kind="merge")
    found = await blocks()
    assert "would be changed at once" in found[f"CassandraDatacenter {one.namespace}/dc2"]


async def test_what_is_not_supported_is_in_the_way(one: Rig) -> None:
    await installation(one).install()
    medusa = {"spec": {"medusa": {"storageProperties": {"storageProvider": "s3"}}}}
    await one.client().patch(K8SSANDRA_CLUSTERS, one.namespace, "demo", medusa, kind="merge")
    blocked = [each.message for each in about(await checked(one)) if each.verdict == "blocks"]
    assert any("spec.medusa: is not supported by this controller" in message for message in blocked)


async def test_a_webhook_left_behind_is_reported_with_its_configuration(one: Rig, server_kind: str) -> None:
    manifest = one.sample()
    await one.apply(manifest)
    name = await make(one, VALIDATING_WEBHOOKS, webhook_configuration(one.namespace))
    here = one.servers[""]
    if isinstance(here, EmbeddedOne):  # which calls no webhooks
        message = 'Internal error occurred: failed calling webhook "vk8ssandracluster.kb.io": no service'
        fault = Fault(verb="patch", resource="k8ssandraclusters", status=500, message=message, times=None)
        here.server.faults.add(fault)
    try:
        await allow(one, one.applier, CONFIGURATIONS)
        await one.start()

        async def said() -> bool:
            events = await one.client().raw("GET", f"/api/v1/namespaces/{one.namespace}/events")
            return b"WebhookFailed" in events and f"ValidatingWebhookConfiguration {name}".encode() in events

        await eventually(said, "an event names the configuration")
        assert one.controller is not None
        assert one.controller.local.state.usable
    finally:
        await unmake(one, VALIDATING_WEBHOOKS, name)
        if isinstance(here, EmbeddedOne):
            here.server.faults.clear()
    await one.ready()
    await quiet(one)
