"""ClientConfigs (C): what is wrong with one is said on that one, and no other notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml

from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.definitions import definitions
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.resources import SECRETS
from controller.sandbox.crds import data_plane_crds
from tests.hardening.stand import (
    CANARY,
    NAMESPACE,
    OWN,
    STEADY,
    SUBJECT,
    Stand,
    cluster_of,
    data_plane,
    operated,
    stand,
)

pytestmark = pytest.mark.looptime

LATER = {"creationTimestamp": "2099-01-01T00:00:00Z"}


@pytest.fixture
async def one() -> AsyncIterator[Stand]:
    """A stand that is not started yet; at the end nobody has noticed anything, and nothing secret was said."""
    async with stand() as made:
        yield made
        assert made.alive
        assert await made.leaks() == []


def smuggle(one: Stand, name: str, spec: Any, **metadata: Any) -> None:
    """Put a ClientConfig into the store that no API server with our definition would let in."""
    head = {"apiVersion": CLIENT_CONFIGS.api_version, "kind": CLIENT_CONFIGS.kind}
    metadata = {"name": name, "namespace": NAMESPACE, "creationTimestamp": "2026-01-01T00:00:00Z", **metadata}
    one.control.inject(CLIENT_CONFIGS, {**head, "metadata": {**metadata, "generation": 1}, "spec": spec})


async def invalid(one: Stand, says: dict[str, str]) -> None:
    """Each is said by an event, if the API server lets no status be written, and without end of trying."""
    for name, fragment in says.items():
        await one.until(lambda name=name: one.has_event(name, "InvalidSpec"), f"an event says it of {name}")
        (event,) = await one.events(name)
        assert f"ClientConfig {NAMESPACE}/{name}" in event["message"]
        assert fragment in event["message"]
    sent = len(one.said)
    await asyncio.sleep(120)
    for name in says:
        assert len([line for line in one.said[sent:] if name.encode() in line]) <= 2


async def test_c01_a_spec_that_is_missing_is_invalid(one: Stand) -> None:
    for name, spec in {"null": None, "empty": {}}.items():
        smuggle(one, name, spec)
    watched = await one.begin()
    await invalid(one, dict.fromkeys(("null", "empty"), "kubeConfigSecret.name is empty"))
    assert one.watched() == watched


async def test_c02_an_empty_name_of_a_secret_is_invalid(one: Stand) -> None:
    await one.put_config("bad", {"contextName": "bad", "kubeConfigSecret": {"name": ""}})
    await one.begin()
    message = await one.says("bad", "InvalidSpec", "spec.kubeConfigSecret.name is empty")
    assert "name the Secret of this namespace" in message


async def test_c03_without_a_context_name_its_own_name_counts(one: Stand) -> None:
    one.servers[one.urls[SUBJECT].replace("6443", "6444")] = one.servers[one.urls[SUBJECT]]
    await one.put_secret("unnamed", one.kubeconfig("unnamed", server=one.urls[SUBJECT].replace("6443", "6444")))
    await one.put_config("unnamed", {"kubeConfigSecret": {"name": "unnamed"}})
    await one.start()
    assert one.controller is not None
    await one.until(lambda: one.controller.pool.get("unnamed") is not None, "the context is called like it")


async def test_c04_an_empty_context_name_is_no_way_to_the_control_planes_own_credentials(one: Stand) -> None:
    await one.put_secret("empty", one.kubeconfig("empty", server=OWN, token=f"{CANARY}-of-nobody"))
    await one.put_config("empty", {"contextName": "", "kubeConfigSecret": {"name": "empty"}})
    made: list[str] = []
    one.on_transport = lambda credentials: made.append(f"{credentials.access.server} {credentials.bearer()}")
    await one.begin()
    assert one.controller is not None
    assert one.controller.pool.get("") is one.controller.local
    await one.until(lambda: f"{OWN} {CANARY}-of-nobody" in made, "it is tried with its own token")
    assert [entry for entry in made if entry == f"{OWN} {CANARY}-own-token"] == made[:1]


async def test_c05_of_two_with_one_context_the_older_has_it(one: Stand) -> None:
    await one.put_secret("younger", one.kubeconfig(STEADY))
    smuggle(one, "younger", {"contextName": STEADY, "kubeConfigSecret": {"name": "younger"}}, **LATER)
    watched = await one.begin()
    message = await one.says("younger", "DuplicateContext", f"ClientConfig {NAMESPACE}/{STEADY}")
    assert "set another spec.contextName or delete one of them" in message
    assert one.watched() == watched


async def test_c06_two_namespaces_are_no_excuse_for_one_context(one: Stand) -> None:
    one.control.apply_manifest({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-b"}})
    spec = {"contextName": STEADY, "kubeConfigSecret": {"name": "other"}}
    smuggle(one, "other", spec, namespace="team-b", **LATER)
    await one.begin()

    async def said() -> bool:
        found = (await one.client.get(CLIENT_CONFIGS, "team-b", "other")).decode(dict)
        (ready,) = (found.get("status") or {}).get("conditions") or [{}]
        text = ready.get("message", "")
        return f"team-b/other: context '{STEADY}' belongs to the older ClientConfig {NAMESPACE}/{STEADY}" in text

    await one.until(said, "both are named")


async def test_c07_one_secret_may_lead_to_two_clusters(one: Stand) -> None:
    await one.put_secret("both", two_contexts(one))
    for context in (STEADY, SUBJECT):
        await one.delete(CLIENT_CONFIGS, context)
        await one.put_config(context, {"contextName": context, "kubeConfigSecret": {"name": "both"}})
    await one.begin()
    await one.put_secret("both", b"canary: [")
    for context in (STEADY, SUBJECT):
        await one.says(context, "RotationFailed", "both")


def two_contexts(one: Stand) -> bytes:
    first, second = (yaml.safe_load(one.kubeconfig(context)) for context in (STEADY, SUBJECT))
    for section, kind in (("clusters", "cluster"), ("users", "user")):
        second[section][0]["name"] = "second"
        second["contexts"][0]["context"][kind] = "second"
        first[section] += second[section]
    first["contexts"] += second["contexts"]
    return yaml.safe_dump(first).encode()


LONGEST = "a." * 126 + "a"  # 253 characters


async def test_c08_any_name_of_a_context_goes_through_labels_and_metrics(one: Stand) -> None:
    contexts = [LONGEST, "arn:aws:eks:eu-west-1:1:cluster/x", "a b{}%s\\\"'", "größe"]
    for number, context in enumerate(contexts):
        url = f"https://10.1.9.{number}:6443"
        one.servers[url] = data_plane(context)
        await one.put_secret(f"any-{number}", one.kubeconfig(context, server=url))
        await one.put_config(f"any-{number}", {"contextName": context, "kubeConfigSecret": {"name": f"any-{number}"}})
    await one.begin()
    for context in contexts:
        await one.until(
            lambda context=context: one.metric("remote_cluster_up", context=context) == 1.0, "a metric bears its name"
        )


async def test_c08_what_cannot_be_a_label_is_invalid(one: Stand) -> None:
    contexts = ["a" * 254, "a\nb", "\x1b[31mred", "x" * 10_000]
    for number, context in enumerate(contexts):
        await one.put_config(f"bad-{number}", {"contextName": context, "kubeConfigSecret": {"name": "bad"}})
    await one.begin()
    for number, context in enumerate(contexts):
        message = await one.says(f"bad-{number}", "InvalidSpec", "spec.contextName")
        assert len(message) < 1024
        assert message.isprintable()
        assert one.metric("remote_cluster_up", context=context) is None
    assert all(len(line) < 8192 for line in one.log.getvalue().splitlines())


async def test_c09_a_secret_is_named_in_its_own_namespace_only(one: Stand) -> None:
    names = ["../other", "other/name", "a/../../b", "Upper", "a_b", "%2e%2e", "x" * 254]
    for number, name in enumerate(names):
        await one.put_config(f"bad-{number}", {"kubeConfigSecret": {"name": name}})
    await one.begin()
    for number, _ in enumerate(names):
        await one.says(f"bad-{number}", "InvalidSpec", "only Secrets of namespace")
    asked = [line for line in one.said if b"/secrets/" in line and b"steady" not in line and b"subject" not in line]
    assert asked == []


async def test_c10_fields_that_nobody_knows_are_left_alone(one: Stand) -> None:
    spec = {"contextName": SUBJECT, "kubeConfigSecret": {"name": SUBJECT}, "futureField": {"a": [1]}}
    definition = definitions()[CLIENT_CONFIGS.name]
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema["x-kubernetes-preserve-unknown-fields"] = True
    one.control.apply_manifest(definition)
    await one.delete(CLIENT_CONFIGS, SUBJECT)
    await one.put_config(SUBJECT, spec)
    await one.begin()
    assert (await one.client.get(CLIENT_CONFIGS, NAMESPACE, SUBJECT)).decode(dict)["spec"] == spec


async def test_c11_another_shape_is_invalid_and_the_watch_goes_on(one: Stand) -> None:
    shapes = {
        "a-text": ("kubeConfigSecret", {"kubeConfigSecret": "text"}),
        "a-list": ("kubeConfigSecret", {"kubeConfigSecret": ["x"]}),
        "a-number": ("kubeConfigSecret.name", {"kubeConfigSecret": {"name": 7}}),
        "a-mapping": ("contextName", {"contextName": {"a": "text"}, "kubeConfigSecret": {"name": "x"}}),
        "only-text": ("spec", "text"),
        "only-a-list": ("spec", [1]),
    }
    for name, (_, spec) in shapes.items():
        smuggle(one, name, spec)
    watched = await one.begin()
    await invalid(one, {name: says for name, (says, _) in shapes.items()})
    await one.put_config("later")
    await one.says("later", "RestartRequired")
    assert one.watched() == watched


async def test_c12_one_that_is_being_deleted_is_let_go_of_although_a_finalizer_holds_it() -> None:
    async with stand(hot_reload=True) as one:
        patch = {"metadata": {"finalizers": ["example.com/hold"]}}
        await one.client.patch(CLIENT_CONFIGS, NAMESPACE, SUBJECT, patch, kind="merge")
        await one.begin()
        await one.delete(CLIENT_CONFIGS, SUBJECT)
        await one.until(lambda: all(way.closed for way in one.made(one.urls[SUBJECT])), "it is disconnected", 5.0)
        assert (await one.client.get(CLIENT_CONFIGS, NAMESPACE, SUBJECT)).head.deletion_timestamp is not None
        assert one.open_watches(SUBJECT) == 0
        assert one.alive


async def test_c12_one_that_is_being_deleted_is_not_begun_with(one: Stand) -> None:
    patch = {"metadata": {"finalizers": ["example.com/hold"]}}
    await one.client.patch(CLIENT_CONFIGS, NAMESPACE, SUBJECT, patch, kind="merge")
    await one.delete(CLIENT_CONFIGS, SUBJECT)
    await one.start()
    await one.says(STEADY, "Connected")
    assert one.made(one.urls[SUBJECT]) == []


@pytest.mark.parametrize("hot_reload", [True, False])
async def test_c13_one_that_is_deleted_while_it_is_used_deletes_nothing(hot_reload: bool) -> None:
    async with stand(hot_reload=hot_reload) as one, operated(one.remotes()):
        await one.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, cluster_of(STEADY, SUBJECT))
        watched = await one.begin()
        await one.until(lambda: one.datacenters() == {STEADY: ["dc1"], SUBJECT: ["dc2"]}, "the datacenters are there")
        await one.delete(CLIENT_CONFIGS, SUBJECT)
        await one.delete(SECRETS, SUBJECT)
        reason = "ContextNotFound" if hot_reload else "DatacenterUnreachable"
        await one.until(lambda: one.says_of_datacenter("dc2", reason, SUBJECT), "the cluster that uses it says so")
        await asyncio.sleep(120)
        assert one.datacenters() == {STEADY: ["dc1"], SUBJECT: ["dc2"]}
        assert one.deletes() == []
        assert one.watched() == watched


async def test_c14_one_that_is_made_anew_has_one_connection() -> None:
    async with stand(hot_reload=True) as one:
        watched = await one.begin()
        await one.delete(CLIENT_CONFIGS, SUBJECT)
        await one.put_config(SUBJECT)
        await one.until(lambda: one.condition(SUBJECT), "it has a condition")
        await one.says(SUBJECT, "Connected")
        await one.until(lambda: one.open_watches(SUBJECT) == one.open_watches(STEADY), "the old watches are gone")
        assert one.watched() == watched
        assert one.alive


async def test_c15_a_thousand_are_started_in_bounded_time_and_the_good_ones_at_once(one: Stand) -> None:
    for number in range(1000):
        smuggle(one, f"many-{number:04}", {"kubeConfigSecret": {"name": f"many-{number:04}"}}, uid=f"uid-{number}")
    loop = asyncio.get_running_loop()
    started = loop.time()
    await one.begin()
    await one.says("many-0999", "SecretNotFound", within=30.0)
    assert loop.time() - started <= 30.0


async def test_c16_a_context_that_is_renamed_while_used_loses_no_datacenter() -> None:
    async with stand(hot_reload=True) as one, operated(one.remotes()):
        await one.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, cluster_of(STEADY, SUBJECT))
        watched = await one.begin()
        await one.until(lambda: one.datacenters() == {STEADY: ["dc1"], SUBJECT: ["dc2"]}, "the datacenters are there")
        await one.put_secret(SUBJECT, one.kubeconfig("renamed", server=one.urls[SUBJECT]))
        patch = {"spec": {"contextName": "renamed"}}
        await one.client.patch(CLIENT_CONFIGS, NAMESPACE, SUBJECT, patch, kind="merge")
        await one.until(lambda: one.says_of_datacenter("dc2", "ContextNotFound", SUBJECT), "the cluster says so")
        await one.says(SUBJECT, "Connected")
        await asyncio.sleep(120)
        assert one.datacenters() == {STEADY: ["dc1"], SUBJECT: ["dc2"]}
        assert one.deletes() == []
        assert one.watched() == watched
        assert one.alive


async def test_c17_the_control_plane_itself_may_be_a_data_plane() -> None:
    async with stand() as one, operated({"": one.control}):
        for crd in data_plane_crds():
            one.control.apply_manifest(crd)
        await one.put_secret("itself", one.kubeconfig("itself", server=OWN))
        await one.put_config("itself")
        await one.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, cluster_of("itself"))
        await one.begin()
        await one.until(lambda: one.says_of_datacenter("dc1", "", ""), "the datacenter is Ready")
        await asyncio.sleep(30)
        sent = len(one.writes())
        await asyncio.sleep(300)
        assert one.writes()[sent:] == []  # nobody undoes what another does
        assert one.alive


async def test_c18_two_names_of_one_cluster_are_told_apart_by_its_identity(one: Stand) -> None:
    url = "https://10.1.0.9:6443"
    one.servers[url] = one.servers[one.urls[SUBJECT]]
    await one.put_secret("alias", one.kubeconfig("alias", server=url))
    smuggle(one, "alias", {"kubeConfigSecret": {"name": "alias"}}, **LATER)
    watched = await one.begin()
    await one.says("alias", "SameCluster", SUBJECT)
    assert one.watched() == watched
