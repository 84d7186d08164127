"""K8ssandraClusters (D) and ReplicatedSecrets (P) that no schema should let in: nobody else notices, nothing is lost.

What exactly is to be said of each is the domain's own matter, and tested there. Here: the process lives, the good ones
converge, nothing is deleted, nothing is tried without end, and each bad one says something about itself.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube.conditions import find
from controller.kube.resources import SECRETS
from controller.replication.types import REPLICATED_SECRETS
from tests.hardening.stand import CANARY, NAMESPACE, STEADY, SUBJECT, Stand, cluster_of, names_of, operated, stand

pytestmark = pytest.mark.looptime

Json = dict[str, Any]
AGE: Final = {"creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1}


def smuggle(one: Stand, obj: Json, **metadata: Any) -> None:
    """Store an object that no API server with our definition would let in."""
    obj = copy.deepcopy(obj)
    obj["metadata"] = {**obj["metadata"], "namespace": NAMESPACE, **AGE, **metadata}
    resource = K8SSANDRA_CLUSTERS if obj["kind"] == K8SSANDRA_CLUSTERS.kind else REPLICATED_SECRETS
    one.control.inject(resource, obj)


def cassandra(**fields: Any) -> Callable[[Json], object]:
    return lambda spec: spec["cassandra"].update(fields)


def datacenter(**fields: Any) -> Callable[[Json], object]:
    return lambda spec: spec["cassandra"]["datacenters"][0].update(fields)


def second(**fields: Any) -> Callable[[Json], object]:
    """A second datacenter, like the first but for some fields."""
    return lambda spec: spec["cassandra"]["datacenters"].append({**spec["cassandra"]["datacenters"][0], **fields})


DATACENTER: Final = {"metadata": {"name": "x"}, "k8sContext": STEADY, "size": 1}
SPECS: Final[dict[str, Callable[[Json], object]]] = {
    "D01-null": lambda spec: spec.update(cassandra=None),
    "D01-absent": lambda spec: spec.pop("cassandra"),
    "D01-text": lambda spec: spec.update(cassandra="x"),
    "D02-empty": cassandra(datacenters=[]),
    "D02-null": cassandra(datacenters=None),
    "D04": second(),
    "D05": second(k8sContext=SUBJECT),
    "D06": lambda spec: spec["cassandra"].update(
        datacenters=[{**DATACENTER, "metadata": {"name": f"d06-{n}"}, "datacenterName": "same"} for n in (1, 2)]
    ),
    "D07-capitals": datacenter(metadata={"name": "DC_1"}),
    "D07-long": datacenter(metadata={"name": "d" * 64}),
    "D07-path": datacenter(metadata={"name": "../../secrets"}),
    "D07-empty": datacenter(metadata={"name": ""}),
    "D07-absent": lambda spec: spec["cassandra"]["datacenters"][0].pop("metadata"),
    "D08": datacenter(k8sContext="nowhere"),
    "D13": cassandra(clusterName="a'\"\n${jndi:x}<b>ü" * 10),
    **{
        f"D15-{name}": cassandra(serverVersion=version)
        for name, version in {
            "absent": None, "word": "abc", "short": "4.0", "v": "v4.0.1", "future": "999.0", "number": 4.0,
            "long": "4.0.1" * 10_000,
        }.items()
    },
    "D16": cassandra(serverType="mysql"),
    **{
        f"D17-{name}": datacenter(size=size)
        for name, size in {"zero": 0, "minus": -1, "huge": 2**31, "mad": 10**30, "text": "3", "float": 1.5}.items()
    },
    "D18-large": cassandra(config={"cassandraYaml": {"x": "y" * 2**20}}),
    "D18-keys": cassandra(config={"cassandraYaml": [1], "jvmOptions": "x"}),
    "D18-deep": lambda spec: spec["cassandra"].update(config={"cassandraYaml": _nested(200)}),
    "D19": cassandra(storageConfig=None),
    "D20-missing": cassandra(superuserSecretRef={"name": "nobody"}),
    "D20-path": cassandra(superuserSecretRef={"name": "../other/secret"}),
    "D25-many": lambda spec: spec["cassandra"].update(
        datacenters=[{**DATACENTER, "metadata": {"name": f"many-{n}"}, "stopped": True} for n in range(200)]
    ),
    "D26-list": lambda spec: spec["cassandra"].update(datacenters="x"),
    "D26-nulls": lambda spec: spec["cassandra"].update(datacenters=[None, {}, 7]),
    "D26-unknown": lambda spec: spec.update(futureField={"a": [1]}),
}  # fmt: skip
FINE: Final = {"D13", "D18-keys", "D18-large", "D18-deep", "D20-missing", "D25-many", "D26-unknown"}  # may be rendered


def _nested(depth: int) -> Json:
    found: Json = {}
    for _ in range(depth):
        found = {"a": found}
    return found


async def test_bad_clusters_hurt_themselves_only() -> None:
    """All at once beside a good one, which converges: each says something, and in the end nothing happens any more."""
    async with stand([STEADY, SUBJECT]) as one, operated(one.remotes()):
        for name, spoil in SPECS.items():
            bad = cluster_of(STEADY, name=name.lower())
            bad["spec"]["cassandra"]["datacenters"][0]["metadata"]["name"] = f"dc-{name.lower()}"
            spoil(bad["spec"])
            smuggle(one, bad)
        await one.begin()
        await one.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, cluster_of(STEADY))
        await one.until(lambda: one.says_of_datacenter("dc1", "", ""), "the good cluster is Ready", within=60.0)
        await asyncio.sleep(60)
        assert [name for name in SPECS if name not in FINE and not await speaks(one, name.lower())] == []
        before = len(one.writes())
        await asyncio.sleep(120)
        assert len(one.writes()) - before <= len(SPECS)  # what an API server refuses is tried again, ever more slowly
        assert one.deletes() == []
        assert one.alive
        assert one.watched() == one.steady
        assert await one.leaks() == []


async def speaks(one: Stand, name: str) -> bool:
    """Whether a cluster has a condition that is not good, or an event that warns."""
    found = (await one.client.get(K8SSANDRA_CLUSTERS, NAMESPACE, name)).decode(dict)
    ready = find((found.get("status") or {}).get("conditions"), "Ready")
    return ready.get("status") == "False" or any(event["type"] == "Warning" for event in await one.events(name))


# ── changes to a cluster that works ─────────────────────────────────────────────────────────────────

CHANGES: Final[dict[str, Callable[[Json], object]]] = {
    "D03": cassandra(datacenters=[]),
    "D03-absent": lambda spec: spec.pop("cassandra"),
    "D09": lambda spec: spec["cassandra"]["datacenters"][1].update(k8sContext=STEADY),
    "D10": lambda spec: spec["cassandra"]["datacenters"][1]["metadata"].update(namespace="elsewhere"),
    "D11": lambda spec: spec["cassandra"]["datacenters"][1]["metadata"].update(name="renamed"),
    "D12": cassandra(clusterName="another"),
    "D18-tokens": cassandra(config={"cassandraYaml": {"num_tokens": 8}}),
    "D19-shrunk": lambda spec: spec["cassandra"]["storageConfig"]["cassandraDataVolumeClaimSpec"]["resources"].update(
        requests={"storage": "1Gi"}
    ),
    "D01-nulled": lambda spec: spec.update(cassandra=None),
    "D26-broken": lambda spec: spec["cassandra"].update(datacenters="x"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
async def test_a_bad_change_of_a_cluster_that_works_deletes_nothing(name: str) -> None:
    async with stand([STEADY, SUBJECT]) as one, operated(one.remotes()):
        await one.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, cluster_of(STEADY, SUBJECT))
        await one.begin()
        await one.until(lambda: one.says_of_datacenter("dc2", "", ""), "it is Ready first", within=60.0)
        changed = (await one.client.get(K8SSANDRA_CLUSTERS, NAMESPACE, "demo")).decode(dict)
        CHANGES[name](changed["spec"])
        changed["metadata"]["generation"] += 1
        one.control.inject(K8SSANDRA_CLUSTERS, changed)
        await one.until(lambda: unhappy(one), "it says something")
        await asyncio.sleep(120)
        assert [entry for entry in one.deletes() if "/cassandradatacenters/" in entry[2]] == []
        assert {"dc1"} <= set(one.datacenters()[STEADY])
        assert {"dc2"} <= set(one.datacenters()[SUBJECT])
        assert one.alive
        assert one.watched() == one.steady


async def unhappy(one: Stand) -> bool:
    found = (await one.client.get(K8SSANDRA_CLUSTERS, NAMESPACE, "demo")).decode(dict)
    ready = find(found["status"]["conditions"], "Ready")
    return ready["status"] == "False" or any(e["type"] == "Warning" for e in await one.events("demo"))


async def test_d14_d22_a_foreign_datacenter_of_that_name_stays_as_it_is() -> None:
    foreign = {
        "apiVersion": CASSANDRA_DATACENTERS.api_version,
        "kind": CASSANDRA_DATACENTERS.kind,
        "metadata": {"name": "dc2", "namespace": NAMESPACE, "labels": {"team": "b"}, **AGE},
        "spec": {"size": 9, "clusterName": "b"},
    }
    async with stand([STEADY, SUBJECT]) as one:
        server = one.remotes()[SUBJECT]
        server.inject(CASSANDRA_DATACENTERS, foreign)
        key = f"{NAMESPACE}/dc2"
        before = server.core.storage.collection(CASSANDRA_DATACENTERS.name).objects[key].raw
        async with operated({STEADY: one.remotes()[STEADY]}):
            await one.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, cluster_of(STEADY, SUBJECT))
            await one.begin()
            await one.until(lambda: one.says_of_datacenter("dc2", "NameConflict", "dc2"), "it is said", within=60.0)
            await asyncio.sleep(200)
        assert server.core.storage.collection(CASSANDRA_DATACENTERS.name).objects[key].raw == before
        assert one.alive


async def test_d23_one_that_comes_from_a_backup_in_the_middle_of_its_deletion_deletes_nothing_foreign() -> None:
    async with stand([STEADY, SUBJECT]) as one, operated(one.remotes()):
        restored = cluster_of(STEADY, SUBJECT)
        restored["metadata"] |= {"finalizers": ["k8ssandracluster.k8ssandra.io/finalizer"], "uid": "of-the-backup"}
        restored["status"] = {"datacenters": {"dc9": {"cassandra": {}}}, "conditions": []}
        other = cluster_of(STEADY, name="other")
        other["spec"]["cassandra"]["datacenters"][0]["metadata"]["name"] = "other-dc"
        await one.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, other)
        await one.begin()
        await one.until(lambda: one.says_of_datacenter("other-dc", "", "", "other"), "the other is Ready", within=60.0)
        smuggle(one, restored, deletionTimestamp="2026-01-01T00:00:01Z", deletionGracePeriodSeconds=0)
        await asyncio.sleep(60)
        assert one.datacenters() == {STEADY: ["other-dc"], SUBJECT: []}
        assert [entry for entry in one.deletes() if "/cassandradatacenters/" in entry[2]] == []
        assert one.alive


@pytest.mark.parametrize(
    "change", [CHANGES["D26-broken"], CHANGES["D01-nulled"], CHANGES["D03"]], ids=["D26", "D01", "D03"]
)
async def test_d24_a_bad_specification_does_not_keep_a_cluster_from_being_deleted(change: Any) -> None:
    async with stand([STEADY, SUBJECT]) as one, operated(one.remotes()):
        await one.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, cluster_of(STEADY, SUBJECT))
        await one.begin()
        await one.until(lambda: one.says_of_datacenter("dc2", "", ""), "it is Ready first", within=60.0)
        changed = (await one.client.get(K8SSANDRA_CLUSTERS, NAMESPACE, "demo")).decode(dict)
        change(changed["spec"])
        changed["metadata"]["generation"] += 1
        one.control.inject(K8SSANDRA_CLUSTERS, changed)
        await asyncio.sleep(5)
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await one.until(lambda: one.datacenters() == {STEADY: [], SUBJECT: []}, "its datacenters go", within=120.0)
        left = one.control.core.storage.collection(K8SSANDRA_CLUSTERS.name).get(f"{NAMESPACE}/demo")
        if left is not None:  # the API server itself refuses any change of an object of this shape
            one.control.inject(K8SSANDRA_CLUSTERS, {**left.decode(), "spec": cluster_of(STEADY, SUBJECT)["spec"]})
        await one.until(lambda: names_of(one.control, K8SSANDRA_CLUSTERS) == [], "it goes", within=120.0)
        assert one.alive


# ── ReplicatedSecrets ───────────────────────────────────────────────────────────────────────────────

PICK: Final = {"matchLabels": {"copy": "this"}}
COPIES: Final[dict[str, Json]] = {
    "P01-empty": {"selector": {}},
    "P01-null": {"selector": None},
    "P02": {"selector": {"matchExpressions": [{"key": "copy", "operator": "Matches", "values": ["x"]}]}},
    "P02-shape": {"selector": {"matchLabels": ["x"]}},
    "P03-unknown": {"replicationTargets": [{"k8sContextName": "nowhere"}, {"k8sContextName": STEADY}]},
    "P04-itself": {"replicationTargets": [{"k8sContextName": ""}, {"k8sContextName": STEADY}]},
    "P05": {"replicationTargets": [{"k8sContextName": SUBJECT, "namespace": "absent"}, {"k8sContextName": STEADY}]},
    "P10-prefix": {"replicationTargets": [{"k8sContextName": STEADY, "targetPrefix": "../UP "}]},
    "P10-targets": {"replicationTargets": "x"},
}


@pytest.mark.parametrize("name", COPIES)
async def test_a_bad_replication_hurts_itself_only(name: str) -> None:
    async with stand([STEADY, SUBJECT]) as one:
        labelled = {"name": "source", "labels": {"copy": "this"}}
        await one.put_secret("source", CANARY.encode(), key="password", metadata=labelled)
        head = {"apiVersion": REPLICATED_SECRETS.api_version, "kind": REPLICATED_SECRETS.kind}
        good = {"selector": PICK, "replicationTargets": [{"k8sContextName": SUBJECT, "targetPrefix": "good-"}]}
        smuggle(one, {**head, "metadata": {"name": "good"}, "spec": good})
        bad = {"selector": PICK, "replicationTargets": [{"k8sContextName": STEADY}], **COPIES[name]}
        smuggle(one, {**head, "metadata": {"name": "bad"}, "spec": bad})
        await one.begin()
        await one.until(lambda: "good-source" in names_of(one.remotes()[SUBJECT], SECRETS), "the good one is copied")
        await asyncio.sleep(30)
        copied = [found for found in names_of(one.remotes()[STEADY], SECRETS) if "source" in found]
        assert copied == (["source"] if name in ("P03-unknown", "P04-itself", "P05") else [])
        assert "subject" not in names_of(one.remotes()[STEADY], SECRETS)  # no kubeconfig is ever copied
        before = len(one.writes())
        await asyncio.sleep(200)
        assert len(one.writes()) - before <= 10
        assert one.alive
        assert one.watched() == one.steady
        assert await one.leaks() == []


async def test_p06_p09_foreign_secrets_and_kubeconfigs_stay_where_they_are() -> None:
    """A foreign Secret in the place of a copy is not overwritten; tokens and kubeconfigs are not copied."""
    async with stand([STEADY, SUBJECT]) as one:
        copied = {"labels": {"copy": "this"}}
        await one.put_secret("source", b"canary", key="password", metadata={"name": "source", **copied})
        await one.client.patch(SECRETS, NAMESPACE, SUBJECT, {"metadata": copied}, kind="merge")
        release = {"metadata": {"name": "release", **copied}, "type": "helm.sh/release.v1", "data": {}}
        await one.client.create(SECRETS, NAMESPACE, release)
        theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "source", "namespace": NAMESPACE, **AGE}}
        steady = one.remotes()[STEADY]
        steady.inject(SECRETS, {**theirs, "data": {"password": "dGhlaXJz"}})
        before = steady.core.storage.collection(SECRETS.name).objects[f"{NAMESPACE}/source"].raw
        head = {"apiVersion": REPLICATED_SECRETS.api_version, "kind": REPLICATED_SECRETS.kind}
        spec = {"selector": PICK, "replicationTargets": [{"k8sContextName": STEADY}]}
        smuggle(one, {**head, "metadata": {"name": "copies"}, "spec": spec})
        await one.begin()
        await asyncio.sleep(60)
        assert steady.core.storage.collection(SECRETS.name).objects[f"{NAMESPACE}/source"].raw == before
        assert {SUBJECT, "release"} & set(names_of(steady, SECRETS)) == set()
        status = (await one.client.get(REPLICATED_SECRETS, NAMESPACE, "copies")).decode(dict)["status"]
        assert [entry["status"] for entry in status["conditions"]] == ["False"]
        assert one.alive
        assert await one.leaks() == []
        assert b"canary" not in msgspec.json.encode(status)
