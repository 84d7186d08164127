"""The security checklist (Z1 to Z20), as far as the tables of inputs do not prove it already."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections import Counter
from typing import Any

import pytest

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.kube import kubeconfig
from controller.kube.addresses import Resolver, policy
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.credentials import StaticCredentials
from controller.kube.errors import AddressNotAllowed, TransportError
from controller.kube.resources import SECRETS
from controller.kube.transport import Request
from tests.hardening import traps
from tests.hardening.stand import CANARY, NAMESPACE, STEADY, SUBJECT, cluster_of, data_plane, names_of, operated, stand
from tests.unit.kube.https import Received, https, reply
from tests.unit.kube.kubeconfigs import CONTEXT, document, dump, with_certificate

# Every field that kubectl knows (client-go's clientcmd/api/v1), by the part of the file that it belongs to.
KNOWN = {
    "user": {
        "client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile", "as",
        "as-uid", "as-groups", "as-user-extra", "username", "password", "auth-provider", "exec", "extensions",
    },
    "cluster": {
        "server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority", "proxy-url",
        "certificate-authority-data", "disable-compression", "extensions",
    },
    "context": {"cluster", "user", "namespace", "extensions"},
}  # fmt: skip
ALLOWED = {
    "user": {"client-certificate-data", "client-key-data", "token", "extensions"},
    "cluster": {"server", "tls-server-name", "certificate-authority-data", "disable-compression", "extensions"},
    "context": {"cluster", "user", "namespace", "extensions"},
}


@pytest.mark.parametrize(("part", "field"), [(part, f) for part in KNOWN for f in sorted(KNOWN[part] | {"future"})])
def test_z01_a_field_is_refused_unless_it_is_on_the_list(part: str, field: str) -> None:
    changed = document()
    entry = changed[f"{part}s"][0][part]
    entry.setdefault(field, {"proxy-url": "http://x", "extensions": None, "disable-compression": True}.get(field, "x"))
    if field.startswith("client-"):
        del entry["token"]
    try:
        kubeconfig.load(dump(changed), CONTEXT)
        refused = False
    except kubeconfig.KubeconfigError as error:
        refused = "not allowed" in error.message
    assert refused is (field not in ALLOWED[part])


async def test_z10_a_name_that_leads_inwards_the_second_time_is_not_followed() -> None:
    """DNS rebinding: the address is judged at each connection, where it is used."""
    addresses = iter(["127.0.0.2", *["127.0.0.1"] * 10])
    judged_by = policy(allow_loopback=False, allow_server_cidr=["127.0.0.2/32"])
    async with traps.listener("127.0.0.1") as trap, https(pong) as good:

        def lookup(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(addresses), 0))]

        access = good.access(server=f"https://rebound.example:{trap.port}")
        transport = AiohttpTransport(
            StaticCredentials(access), policy=judged_by, resolver=Resolver(judged_by, lookup=lookup)
        )
        request = Request(method="GET", path="/version", deadline=2.0)
        with traps.armed(traps.CONNECTIONS) as deeds:
            with pytest.raises(TransportError):
                await transport.request(request)
            with pytest.raises(AddressNotAllowed, match=r"is at 127\.0\.0\.1, a loopback address"):
                await transport.request(request)
        await transport.close()
    assert traps.peers(deeds) == {"127.0.0.2"}
    assert trap.callers == 0


async def pong(_: Received, writer: asyncio.StreamWriter) -> None:
    await reply(writer)


async def test_z12_a_token_goes_to_its_own_server_only() -> None:
    """Two servers and two identities at once, thousands of requests: not one token in a wrong place, none in a URL."""
    rounds = 1000
    async with https(pong) as first, https(pong) as second:
        transports = {
            name: AiohttpTransport(StaticCredentials(server.access(token=f"{CANARY}-{name}")))
            for name, server in (("first", first), ("second", second))
        }

        async def ask(name: str) -> None:
            for number in range(rounds):
                await transports[name].request(Request(method="GET", path=f"/{number}"))

        await asyncio.gather(*(ask(name) for name in transports for _ in range(2)))
        for transport in transports.values():
            await transport.close()
    for name, server in (("first", first), ("second", second)):
        assert Counter(seen.headers["authorization"] for seen in server.seen) == {f"Bearer {CANARY}-{name}": 2 * rounds}
        assert [seen.target for seen in server.seen if CANARY in seen.target] == []


@pytest.mark.looptime
async def test_z11_no_token_outlives_its_connection() -> None:
    """After the Secret is gone nothing that the controller holds has the token any more."""
    token = "-".join((CANARY, "short", "lived"))
    async with stand() as one:
        await one.put_secret(SUBJECT, one.kubeconfig(SUBJECT, token=token))
        await one.begin()
        assert one.controller is not None
        assert holders(one.controller, token) > 0
        await one.delete(SECRETS, SUBJECT)
        await one.until(lambda: one.open_at(one.urls[SUBJECT]) == 0, "it is disconnected", within=5.0)
        await asyncio.sleep(30)
        one.ways.clear()
        gc.collect()
        assert holders(one.controller, token) == 0


def holders(root: object, token: str) -> int:
    """How many strings and bytes with ``token`` can be reached from an object and from the tasks that run."""
    seen: set[int] = set()
    todo: list[object] = [root, *(task.get_coro() for task in asyncio.all_tasks() if "test" not in repr(task))]
    found = 0
    while todo:
        now = todo.pop()
        if id(now) in seen or isinstance(now, type) or type(now).__module__.startswith(SKIPPED):
            continue
        seen.add(id(now))
        if isinstance(now, str | bytes):
            found += token in (now if isinstance(now, str) else now.decode("latin-1"))
            continue
        if hasattr(now, "__struct_fields__"):
            todo += [getattr(now, field) for field in now.__struct_fields__]
        todo += [other for other in gc.get_referents(now) if not isinstance(other, dict) or "__builtins__" not in other]
    return found


SKIPPED = ("controller.sandbox", "tests.", "_pytest", "pytest", "looptime")


@pytest.mark.looptime
async def test_z14_a_client_key_is_on_no_disk() -> None:
    """A cluster with a client certificate is connected; the key went through anonymous memory only."""
    async with stand() as one:
        changed = document(cluster={"server": one.urls[SUBJECT]}, user=with_certificate())
        changed["contexts"][0]["name"] = SUBJECT
        await one.put_secret(SUBJECT, dump(changed))
        with traps.armed(traps.FILES) as deeds:
            await one.begin()
        assert traps.files(deeds) == []


@pytest.mark.looptime
async def test_z15_another_cluster_at_the_same_address_is_never_written_to() -> None:
    """The server behind the address is replaced while the controller does not look: it is noticed before a write."""
    async with stand() as one, operated(one.remotes()):
        await one.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, cluster_of(STEADY, SUBJECT))
        await one.begin()
        await one.until(lambda: one.says_of_datacenter("dc2", "", ""), "both are Ready", within=30.0)
        other = data_plane("another cluster")
        one.servers[one.urls[SUBJECT]], former = other, one.servers[one.urls[SUBJECT]]
        for way in one.made(one.urls[SUBJECT]):
            way.forget()
        former.drop_watches()
        await one.says(SUBJECT, "IdentityChanged", "nothing is written there", within=30.0)
        await asyncio.sleep(120)
        assert [entry for entry in other.record.writes if entry.user_agent.startswith("in-process")] == []
        assert names_of(other, CASSANDRA_DATACENTERS) == []
        assert one.alive
        assert one.watched() == one.steady


@pytest.mark.looptime
async def test_z18_a_rotation_fails_no_reconcile_and_drops_no_watch() -> None:
    async with stand() as one, operated(one.remotes()):
        await one.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, cluster_of(STEADY, SUBJECT))
        await one.begin()
        await one.until(lambda: one.says_of_datacenter("dc2", "", ""), "both are Ready", within=30.0)
        watched = one.watched(SUBJECT)
        for number in range(10):
            await one.put_secret(SUBJECT, one.kubeconfig(SUBJECT, token=f"{CANARY}-{number}"))
            changed = cluster_of(STEADY, SUBJECT)["spec"]["cassandra"]["datacenters"]
            changed[1]["size"] = 2 + number
            patch = {"spec": {"cassandra": {"datacenters": changed}}}
            await one.client.patch(K8SSANDRA_CLUSTERS, NAMESPACE, "demo", patch, kind="merge")
            started = asyncio.get_running_loop().time()
            await one.until(lambda n=number: one.bearers(SUBJECT) == {f"{CANARY}-{n}"}, "the new token is in use")
            assert asyncio.get_running_loop().time() - started <= 2.0
        await asyncio.sleep(10)
        assert one.watched(SUBJECT) == watched
        assert one.metric("reconciles_total", outcome="error") is None
        assert await one.leaks() == []
