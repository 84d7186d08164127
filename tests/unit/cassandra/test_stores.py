"""Secrets that pods mount, through the whole controller: from the control plane to the datacenters that need them."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import msgspec
import pytest

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube.resources import SECRETS
from controller.replication.types import ONLY, REPLICATED_FROM, REPLICATED_SECRETS
from controller.sandbox.crds import data_plane_crds
from tests.unit.cassandra.rig import CONTEXTS, NAMESPACE, Rig, eventually, rig
from tests.unit.cassandra.samples import datacenter, manifest

pytestmark = pytest.mark.looptime

DC1, DC2 = CONTEXTS
BOTH = ("dc1", "dc2")
LABEL = f"{labels.STORES_OF}/demo"
MANUAL = ("client", "server")
MARK = f"{NAMESPACE}.demo-stores"


def encrypted(*datacenters: dict[str, Any], **cassandra: Any) -> dict[str, Any]:
    """``demo`` with internode encryption: stores in one Secret, passwords in another."""
    stores: dict[str, Any] = {}
    for store in ("keystore", "truststore"):
        stores[f"{store}SecretRef"] = {"name": "stores"}
        stores[f"{store}PasswordSecretRef"] = {"name": "passwords"}
    config = {"cassandraYaml": {"server_encryption_options": {"internode_encryption": "all"}}}
    named = datacenters or tuple(datacenter(name) for name in BOTH)
    found = manifest(*named, **{"serverEncryptionStores": stores, "config": config, **cassandra})
    found["metadata"] = {"name": "demo", "namespace": NAMESPACE}
    return found


def secret(name: str, labels: dict[str, str] | None = None, namespace: str = NAMESPACE, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, **({"labels": labels} if labels else {})}
    encoded = {key.replace("_", "-"): base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": encoded}


def stores(content: str = "store") -> dict[str, Any]:
    return secret("stores", keystore=content, truststore=content)


def passwords(content: str = "word") -> dict[str, Any]:
    return secret("passwords", keystore_password=content, truststore_password=content)


class encrypting:
    """A rig whose ``demo`` is Ready, everything of its in the control plane."""

    def __init__(self, *more: dict[str, Any], cluster: dict[str, Any] | None = None) -> None:
        self._more, self._cluster = more, cluster or encrypted()

    async def __aenter__(self) -> Rig:
        self._rig = rig()
        one = await self._rig.__aenter__()
        for obj in (stores(), passwords(), *self._more, self._cluster):
            one.apply(obj)
        await one.ready()
        return one

    async def __aexit__(self, *error: Any) -> None:
        await self._rig.__aexit__(*error)


async def content(one: Rig, context: str, name: str = "stores", key: str = "keystore") -> str:
    """One value of a Secret, "" where it is not."""
    found = await one.get(SECRETS, name, context)
    return base64.b64decode((found.get("data") or {}).get(key, "")).decode()


async def password(one: Rig, name: str, context: str) -> str:
    """The password that a datacenter was told."""
    found = await one.get(CASSANDRA_DATACENTERS, name, context)
    if not found:
        return ""
    return str(found["spec"]["config"]["cassandra-yaml"]["server_encryption_options"]["keystore_password"])


async def become(one: Rig, expected: str, context: str) -> None:
    async def same() -> bool:
        return await content(one, context) == expected

    await eventually(same, f"the store in {context} is {expected!r}")


# ── where they go ───────────────────────────────────────────────────────────────────────────────────


async def test_stores_of_the_control_plane_are_copied_and_passwords_are_only_read() -> None:
    async with encrypting() as one:
        for name, context in zip(BOTH, CONTEXTS, strict=True):
            assert await content(one, context) == "store"
            assert await password(one, name, context) == "word"
            assert await one.names(SECRETS, context) == ["demo-superuser", "stores"]
        copy = (await one.get(SECRETS, "stores", DC1))["metadata"]["labels"]
        assert copy == {**labels.owner("demo", NAMESPACE), REPLICATED_FROM: MARK}
        assert (await one.get(SECRETS, "stores"))["metadata"]["labels"] == {LABEL: "true"}
        assert await one.quiet() == []


async def test_a_datacenter_is_made_after_its_stores() -> None:
    async with encrypting() as one:
        for context in CONTEXTS:
            made = [
                seen.path.rpartition("/")[2]
                for seen in one.writes()
                if (seen.context, seen.method) == (context, "POST")
            ]
            assert made.index("secrets") < made.index("cassandradatacenters")
            assert made.count("secrets") == 2
            assert made.index("cassandradatacenters") > max(n for n, kind in enumerate(made) if kind == "secrets")


async def test_stores_that_come_later_are_waited_for_and_taken_at_once() -> None:
    async with rig() as one:
        one.apply(encrypted())
        said = await one.says("SecretNotFound", "DatacenterReady.dc2")
        assert f"Secret {NAMESPACE}/stores is not there in context {DC2}; create it there, or as " in said["message"]
        assert "spec.cassandra.serverEncryptionStores.keystoreSecretRef.name" in said["message"]
        await asyncio.sleep(10.0)
        assert await one.names(CASSANDRA_DATACENTERS, DC1) == []
        one.apply(passwords())
        one.apply(stores())
        started = asyncio.get_running_loop().time()
        await one.ready()
        assert asyncio.get_running_loop().time() - started < 15.0  # two datacenters, 5 s each


async def test_a_password_that_is_missing_everywhere_is_said() -> None:
    async with rig() as one:
        one.apply(stores())
        one.apply(encrypted())
        said = await one.says("SecretNotFound", "DatacenterReady.dc1")
        assert "the passwords of the stores are not known" in said["message"]
        one.apply(passwords())
        await one.ready()


async def test_stores_go_to_the_namespace_of_the_datacenter() -> None:
    async with rig() as one:
        one.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}}, DC1)
        for obj in (stores(), passwords(), encrypted(datacenter("dc1", metadata={"namespace": "other"}))):
            one.apply(obj)
        await one.ready()
        assert "stores" in await one.names(SECRETS, DC1, "other")
        assert "stores" not in await one.names(SECRETS, DC1)


async def test_certificates_of_the_management_api_go_to_their_datacenter_only() -> None:
    manual = {"clientSecretName": "client", "serverSecretName": "server"}
    certificates = [
        {**secret(name, **{"tls.crt": "c", "tls.key": "k"}), "type": "kubernetes.io/tls"} for name in MANUAL
    ]
    cluster = encrypted(datacenter("dc1", managementApiAuth={"manual": manual}), datacenter("dc2"))
    async with encrypting(*certificates, cluster=cluster) as one:
        found = [sorted(await one.names(SECRETS, context)) for context in CONTEXTS]
        assert found == [["client", "demo-superuser", "server", "stores"], ["demo-superuser", "stores"]]
        assert (await one.get(SECRETS, "client", DC1))["type"] == "kubernetes.io/tls"
        annotations = (await one.get(REPLICATED_SECRETS, "demo-stores"))["metadata"]["annotations"]
        assert msgspec.json.decode(annotations[ONLY]) == {name: [f"{DC1}/{NAMESPACE}"] for name in MANUAL}
        assert await one.quiet() == []
        await one.patch(K8SSANDRA_CLUSTERS, "demo", {"spec": {"cassandra": {"managementApiAuth": {"manual": manual}}}})
        await asyncio.sleep(30.0)
        assert sorted(await one.names(SECRETS, DC2)) == ["client", "demo-superuser", "server", "stores"]
        assert ONLY not in (await one.get(REPLICATED_SECRETS, "demo-stores"))["metadata"]["annotations"]


async def test_two_clusters_share_a_store() -> None:
    second = encrypted(datacenter("dc3", k8sContext=DC1), clusterName="second")
    second["metadata"]["name"] = "second"
    second["spec"]["cassandra"]["datacenters"][0]["k8sContext"] = DC2
    first = encrypted(datacenter("dc1"))
    async with encrypting(cluster=first) as one:
        one.apply(second)
        await one.ready("second")
        assert [await content(one, context) for context in CONTEXTS] == ["store", "store"]
        await one.delete(K8SSANDRA_CLUSTERS, "second")
        await eventually(lambda: gone(one, K8SSANDRA_CLUSTERS, "second"), "the second cluster is gone")
        await asyncio.sleep(30.0)
        assert (await one.get(SECRETS, "stores"))["metadata"]["labels"] == {LABEL: "true"}
        assert [await content(one, context) for context in CONTEXTS] == ["store", ""]


async def test_d20_a_superuser_secret_that_is_missing_is_made_and_that_is_an_event() -> None:
    async with rig() as one:
        found = manifest(datacenter("dc1"), superuserSecretRef={"name": "admin"})
        found["metadata"] = {"name": "demo", "namespace": NAMESPACE}
        one.apply(found)
        await one.ready()
        await asyncio.sleep(60.0)
        (said,) = await one.events("SuperuserSecretMade")
        assert (
            f"Secret {NAMESPACE}/admin, which spec.cassandra.superuserSecretRef names, was not there" in said["message"]
        )


async def test_the_controllers_own_superuser_secret_is_no_event() -> None:
    async with encrypting() as one:
        await asyncio.sleep(60.0)
        assert await one.events("SuperuserSecretMade") == []


# ── what wins ───────────────────────────────────────────────────────────────────────────────────────


async def beside_the_users(one: Rig) -> None:
    """A cluster whose second datacenter finds a store and a password that the user put there, others than ours."""
    one.apply(stores("theirs"), DC2)
    one.apply(passwords("their word"), DC2)
    for obj in (stores(), passwords(), encrypted()):
        one.apply(obj)
    await one.ready()


async def test_what_the_user_put_beside_a_datacenter_stays_and_its_password_counts() -> None:
    async with rig() as one:
        await beside_the_users(one)
        assert [await content(one, context) for context in CONTEXTS] == ["store", "theirs"]
        assert [await password(one, *each) for each in zip(BOTH, CONTEXTS, strict=True)] == ["word", "their word"]
        found = (await one.get(REPLICATED_SECRETS, "demo-stores"))["status"]["conditions"]
        assert [entry["status"] for entry in found] == ["True", "True"]
        assert [seen for seen in await one.quiet() if seen.writes] == []


async def test_what_the_user_put_there_counts_after_a_restart_too() -> None:
    async with rig() as one:
        await beside_the_users(one)
        await one.patch(K8SSANDRA_CLUSTERS, "demo", {"metadata": {"annotations": {labels.AUTOUPDATE_SPEC: "always"}}})
        await one.stop()
        before = (await one.get(CASSANDRA_DATACENTERS, "dc2", DC2))["metadata"]["generation"]
        one.start()
        await asyncio.sleep(60.0)
        await one.ready()
        assert (await one.get(CASSANDRA_DATACENTERS, "dc2", DC2))["metadata"]["generation"] == before
        assert await password(one, "dc2", DC2) == "their word"


async def test_secrets_that_the_user_labelled_for_replication_are_copied_once() -> None:
    async with rig() as one:
        one.apply(secret("stores", labels.replicated("demo", NAMESPACE), keystore="store", truststore="store"))
        one.apply(passwords())
        one.apply(encrypted())
        await one.ready()
        found = await one.get(SECRETS, "stores", DC1)
        assert found["metadata"]["labels"][REPLICATED_FROM] == f"{NAMESPACE}.demo"
        assert await one.names(REPLICATED_SECRETS) == ["demo"]
        assert await one.quiet() == []


async def test_nothing_is_copied_when_another_system_provides_the_secrets() -> None:
    cluster = encrypted()
    cluster["spec"]["secretsProvider"] = "external"
    async with encrypting(cluster=cluster) as one:
        assert await one.names(REPLICATED_SECRETS) == []
        assert [await one.names(SECRETS, context) for context in CONTEXTS] == [[], []]


async def test_a_replicated_secret_of_somebody_else_is_not_touched() -> None:
    theirs = {
        "apiVersion": REPLICATED_SECRETS.api_version,
        "kind": REPLICATED_SECRETS.kind,
        "metadata": {"name": "demo-stores", "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "replicationTargets": []},
    }
    async with rig() as one:
        one.apply(theirs)
        for obj in (stores(), passwords(), encrypted()):
            one.apply(obj)
        said = await one.says("NameConflict")
        assert f"ReplicatedSecret {NAMESPACE}/demo-stores exists and belongs to somebody else" in said["message"]
        assert (await one.get(REPLICATED_SECRETS, "demo-stores"))["spec"] == theirs["spec"]
        await one.delete(REPLICATED_SECRETS, "demo-stores")
        await one.ready()


@pytest.mark.parametrize(
    ("key", "password_secret"),
    [("kubeconfig", {"name": DC1}), ("token", {"name": "account"})],
)
async def test_credentials_of_other_systems_are_no_passwords(key: str, password_secret: dict[str, str]) -> None:
    account = secret("account", token="canary")
    account |= {"type": "bootstrap.kubernetes.io/token"}
    found = encrypted()
    for store in ("keystore", "truststore"):
        reference = {**password_secret, "key": key}
        found["spec"]["cassandra"]["serverEncryptionStores"][f"{store}PasswordSecretRef"] = reference
    async with rig() as one:
        for obj in (account, stores(), found):
            one.apply(obj)
        said = await one.says("SecretRefused")
        assert f"Secret {NAMESPACE}/{password_secret['name']} holds a credential of another system" in said["message"]
        await asyncio.sleep(60.0)
        assert await one.names(CASSANDRA_DATACENTERS, DC1) == []


async def test_a_kubeconfig_is_no_store() -> None:
    found = encrypted()
    for store in ("keystore", "truststore"):
        found["spec"]["cassandra"]["serverEncryptionStores"][f"{store}SecretRef"] = {"name": DC2}
    async with rig() as one:
        one.apply(passwords())
        one.apply(found)
        said = await one.says("SecretRefused", "DatacenterReady.dc1")
        assert "is a kubeconfig of a ClientConfig: never copied" in said["message"]
        await asyncio.sleep(60.0)
        assert DC2 not in await one.names(SECRETS, DC1)
        assert "labels" not in (await one.get(SECRETS, DC2))["metadata"]


# ── rotation, repair, removal ───────────────────────────────────────────────────────────────────────


async def test_a_store_that_changes_follows_and_restarts_nothing() -> None:
    async with encrypting() as one:
        generations = [(await one.get(CASSANDRA_DATACENTERS, *each))["metadata"]["generation"] for each in pairs()]
        one.apply(stores("rotated"))
        for context in CONTEXTS:
            await become(one, "rotated", context)
        await one.delete(SECRETS, "stores", DC1)
        await become(one, "rotated", DC1)
        assert [
            (await one.get(CASSANDRA_DATACENTERS, *each))["metadata"]["generation"] for each in pairs()
        ] == generations
        assert await one.is_ready()
        assert await one.quiet() == []


async def test_a_password_that_changes_is_said_at_once_and_rolled_out_when_asked_for() -> None:
    async with encrypting() as one:
        one.apply(passwords("rotated"))
        await asyncio.sleep(5.0)
        assert (await one.condition("RequiresUpdate"))["status"] == "True"
        assert await password(one, "dc1", DC1) == "word"
        await one.patch(K8SSANDRA_CLUSTERS, "demo", {"metadata": {"annotations": {labels.AUTOUPDATE_SPEC: "once"}}})
        await one.ready()
        assert [await password(one, *each) for each in pairs()] == ["rotated", "rotated"]


async def test_a_source_that_is_deleted_takes_its_copies_along_and_that_is_said() -> None:
    async with encrypting() as one:
        await one.delete(SECRETS, "stores")
        await one.says("SecretNotFound")
        await asyncio.sleep(60.0)
        assert [await content(one, context) for context in CONTEXTS] == ["", ""]
        assert (await one.get(CASSANDRA_DATACENTERS, "dc1", DC1))["metadata"]["generation"] == 1
        one.apply(stores("again"))
        await one.ready()
        assert [await content(one, context) for context in CONTEXTS] == ["again", "again"]


async def test_everything_goes_with_its_cluster_but_the_users_own() -> None:
    async with encrypting() as one:
        await one.delete(K8SSANDRA_CLUSTERS, "demo")
        await eventually(lambda: gone(one, K8SSANDRA_CLUSTERS, "demo"), "the cluster is gone")
        await asyncio.sleep(60.0)
        assert await one.names(REPLICATED_SECRETS) == []
        assert [await one.names(SECRETS, context) for context in CONTEXTS] == [[], []]
        assert "labels" not in (await one.get(SECRETS, "stores"))["metadata"]
        assert await content(one, "") == "store"
        assert await one.quiet() == []


async def test_encryption_that_is_switched_off_takes_the_copies_away() -> None:
    async with encrypting() as one:
        off = {"cassandraYaml": {"server_encryption_options": {"internode_encryption": "none"}}}
        await one.patch(K8SSANDRA_CLUSTERS, "demo", {"spec": {"cassandra": {"config": off}}})
        await one.ready()
        await asyncio.sleep(60.0)
        assert await one.names(REPLICATED_SECRETS) == ["demo"]
        assert [await content(one, context) for context in CONTEXTS] == ["", ""]
        assert "labels" not in (await one.get(SECRETS, "stores"))["metadata"]
        assert await one.quiet() == []


async def test_encryption_that_is_switched_on_waits_for_the_stores() -> None:
    off = {"cassandraYaml": {"server_encryption_options": {"internode_encryption": "none"}}}
    async with rig() as one:
        one.apply(passwords())
        one.apply(encrypted(config=off))
        await one.ready()
        await one.patch(K8SSANDRA_CLUSTERS, "demo", {"spec": encrypted()["spec"]})
        await one.says("SecretNotFound", "DatacenterReady.dc1")
        assert (await one.get(CASSANDRA_DATACENTERS, "dc1", DC1))["metadata"]["generation"] == 1
        one.apply(stores())
        await one.ready()
        assert await password(one, "dc1", DC1) == "word"


def pairs() -> list[tuple[str, str]]:
    return list(zip(BOTH, CONTEXTS, strict=True))


async def gone(one: Rig, resource: Any, name: str) -> bool:
    return not await one.get(resource, name)


async def test_a_context_that_leads_to_the_control_plane_needs_no_copy() -> None:
    async with rig(started=False) as one:
        one.register(DC1, server="")
        for obj in data_plane_crds():
            one.apply(obj)
        one.start()
        for obj in (stores(), passwords(), encrypted(datacenter("dc1"))):
            one.apply(obj)
        async with one.operating(""):
            await one.ready()
        assert await password(one, "dc1", "") == "word"
        assert REPLICATED_FROM not in (await one.get(SECRETS, "stores"))["metadata"]["labels"]
