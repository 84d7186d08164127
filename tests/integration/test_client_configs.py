"""ClientConfigs that are bad or whose cluster is dead: a condition on that one, and everything else goes on."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from controller.cassandra.resources import CASSANDRA_DATACENTERS
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.resources import CONFIG_MAPS, SECRETS
from tests.integration.forwarder import forwarder
from tests.integration.rig import CONTEXTS, Rig, eventually, two_of_three

BAD = CONTEXTS[2]


def only_sockets(server_kind: str) -> None:
    if server_kind == "embedded":
        pytest.skip("needs a server behind a socket; the same runs over HTTPS")


async def test_a_missing_secret_is_said_and_the_others_converge(one: Rig) -> None:
    secret = await _secret(one)
    await one.client().delete(SECRETS, one.namespace, secret["metadata"]["name"], uid=secret["metadata"]["uid"])
    await one.start()
    await one.apply(one.sample())
    await two_of_three(one, BAD, "SecretNotFound", secret["metadata"]["name"])
    await _create(one, secret)
    await one.ready()
    assert await one.reason(BAD) == "Connected"


async def test_a_secret_without_the_key_is_said_and_repaired(one: Rig) -> None:
    secret = await _secret(one)
    content = secret["data"]["kubeconfig"]
    await _put(one, secret, {"config": content})
    await one.start()
    await one.apply(one.sample())
    await two_of_three(one, BAD, "SecretKeyMissing", '"kubeconfig"')
    await _put(one, secret, {"kubeconfig": content})
    await one.ready()


async def test_a_broken_kubeconfig_is_said_and_repaired(one: Rig) -> None:
    secret = await _secret(one)
    content = secret["data"]["kubeconfig"]
    await _put(one, secret, {"kubeconfig": base64.b64encode(b"clusters: [").decode()})
    await one.start()
    await one.apply(one.sample())
    await two_of_three(one, BAD, "KubeconfigMalformed", secret["metadata"]["name"])
    await _put(one, secret, {"kubeconfig": content})
    await one.ready()


async def test_a_kubeconfig_without_the_context_is_said_and_repaired(one: Rig) -> None:
    secret = await _secret(one)
    content = secret["data"]["kubeconfig"]
    document = yaml.safe_load(base64.b64decode(content))
    document["contexts"][0]["name"] = "another"
    await _put(one, secret, {"kubeconfig": _encoded(document)})
    await one.start()
    await one.apply(one.sample())
    await two_of_three(one, BAD, "ContextNotFound", BAD)
    await _put(one, secret, {"kubeconfig": content})
    await one.ready()


async def test_a_kubeconfig_that_runs_a_program_is_refused(one: Rig) -> None:
    secret = await _secret(one)
    content = secret["data"]["kubeconfig"]
    document = yaml.safe_load(base64.b64decode(content))
    document["users"][0]["user"]["exec"] = {"command": "/bin/false", "apiVersion": "client.authentication.k8s.io/v1"}
    await _put(one, secret, {"kubeconfig": _encoded(document)})
    await one.start()
    await one.apply(one.sample())
    await two_of_three(one, BAD, "InsecureKubeconfig", "users[0].user.exec")
    await _put(one, secret, {"kubeconfig": content})
    await one.ready()


async def test_a_wrong_token_is_said_and_repaired(one: Rig) -> None:
    secret = await _secret(one)
    content = secret["data"]["kubeconfig"]
    document = yaml.safe_load(base64.b64decode(content))
    document["users"][0]["user"]["token"] = "not-the-token"
    await _put(one, secret, {"kubeconfig": _encoded(document)})
    await one.start()
    await one.apply(one.sample())
    await two_of_three(one, BAD, "Unauthorized", "401")
    await _put(one, secret, {"kubeconfig": content})
    await one.ready()


async def test_a_server_that_does_not_answer_is_said_and_found_again(one: Rig, server_kind: str) -> None:
    only_sockets(server_kind)
    async with forwarder(one.url(BAD), silent=True) as dead:
        await _redirect(one, dead.url)
        await one.start()
        await one.apply(one.sample())
        await two_of_three(one, BAD, "Unreachable", "no connection")
        dead.silent = False
        await one.ready()
        await one.stop()


async def test_a_server_that_refuses_connections_is_said_and_found_again(one: Rig, server_kind: str) -> None:
    only_sockets(server_kind)
    async with forwarder(one.url(BAD)) as gone:
        url = gone.url
    await _redirect(one, url)
    await one.start()
    await one.apply(one.sample())
    await two_of_three(one, BAD, "Unreachable", "refused")
    await _redirect(one, one.url(BAD))
    await one.ready()


async def test_a_certificate_of_another_authority_is_said(one: Rig, server_kind: str) -> None:
    only_sockets(server_kind)
    secret = await _secret(one)
    content = secret["data"]["kubeconfig"]
    document = yaml.safe_load(base64.b64decode(content))
    document["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(
        one.servers[CONTEXTS[0]].ca_pem
    ).decode()
    await _put(one, secret, {"kubeconfig": _encoded(document)})
    await one.start()
    await one.apply(one.sample())
    await two_of_three(one, BAD, "TLSError", "certificate")
    await _put(one, secret, {"kubeconfig": content})
    await one.ready()


async def test_of_two_client_configs_with_one_context_the_older_works(one: Rig) -> None:
    younger: dict[str, Any] = {
        "apiVersion": CLIENT_CONFIGS.api_version,
        "kind": CLIENT_CONFIGS.kind,
        "metadata": {"name": "younger", "namespace": one.namespace},
        "spec": {"contextName": BAD, "kubeConfigSecret": {"name": f"{BAD}-config"}},
    }
    found = await one.client().get(CLIENT_CONFIGS, one.namespace, BAD)
    await _until_older(one, found.decode(dict)["metadata"]["creationTimestamp"])
    await one.client().create(CLIENT_CONFIGS, one.namespace, younger)
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    await eventually(lambda: _is(one, "younger", "DuplicateContext"), "the younger one says so")
    assert await one.reason(BAD) == "Connected"


async def test_a_client_config_made_later_asks_for_a_restart(one: Rig) -> None:
    await one.start()
    await eventually(lambda: _is(one, BAD, "Connected"), "all is well first")
    later = {
        "apiVersion": CLIENT_CONFIGS.api_version,
        "kind": CLIENT_CONFIGS.kind,
        "metadata": {"name": "later", "namespace": one.namespace},
        "spec": {"kubeConfigSecret": {"name": "later-config"}},
    }
    await one.client().create(CLIENT_CONFIGS, one.namespace, later)
    await eventually(lambda: _is(one, "later", "RestartRequired"), "it says that it needs a restart")


async def test_a_changed_token_is_taken_over_without_a_restart(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    watches = [seen for seen in one.seen if seen.context == BAD and seen.method == "WATCH"]
    secret = await _secret(one)
    document = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))
    document["users"][0]["user"]["token"] = one.servers[BAD].admin_token
    await _put(one, secret, {"kubeconfig": _encoded(document)})
    changed = one.sample()
    changed["spec"]["cassandra"]["datacenters"][2]["size"] = 4
    await one.apply(changed)

    async def resized() -> bool:
        found = await one.get(CASSANDRA_DATACENTERS, "dc3", BAD) or {}
        return found["spec"]["size"] == 4 and await one.cluster_is_ready()

    await eventually(resized, "the change arrives with the new token")
    assert [seen for seen in one.seen if seen.context == BAD and seen.method == "WATCH"] == watches


# ── helpers ─────────────────────────────────────────────────────────────────────────────────────────────


async def _is(one: Rig, name: str, reason: str) -> bool:
    return await one.reason(name) == reason


async def _secret(one: Rig) -> dict[str, Any]:
    found = await one.client().get(SECRETS, one.namespace, f"{BAD}-config")
    return found.decode(dict)


async def _put(one: Rig, secret: dict[str, Any], data: dict[str, str]) -> None:
    metadata = {"name": secret["metadata"]["name"], "namespace": one.namespace}
    wanted = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": secret["type"], "data": data}
    await one.client().replace(SECRETS, one.namespace, metadata["name"], wanted)


async def _create(one: Rig, secret: dict[str, Any]) -> None:
    metadata = {"name": secret["metadata"]["name"], "namespace": one.namespace}
    wanted = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": secret["data"]}
    await one.client().create(SECRETS, one.namespace, wanted)


async def _redirect(one: Rig, url: str) -> None:
    """Have the kubeconfig name another server."""
    secret = await _secret(one)
    document = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))
    document["clusters"][0]["cluster"]["server"] = url
    await _put(one, secret, {"kubeconfig": _encoded(document)})


async def _until_older(one: Rig, created: str) -> None:
    """Wait until an object made now would be younger: creationTimestamp has whole seconds."""
    probe = {"metadata": {"generateName": "clock-"}, "apiVersion": "v1", "kind": "ConfigMap"}

    async def later() -> bool:
        made = await one.client().create(CONFIG_MAPS, one.namespace, probe)
        return str(made.decode(dict)["metadata"]["creationTimestamp"]) > created

    await eventually(later, "a second has passed")


def _encoded(document: dict[str, Any]) -> str:
    return base64.b64encode(yaml.safe_dump(document).encode()).decode()
