from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
import yaml

from controller.fleet.identity import ANNOTATION
from controller.fleet.registration import (
    CONTEXT_ANNOTATION,
    OWNER,
    OWNER_LABEL,
    Registration,
    RegistrationError,
    Wish,
    register,
)
from controller.fleet.service_account import NoToken
from controller.fleet.types import CLIENT_CONFIGS, ClientConfig
from controller.kube import kubeconfig
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.errors import Conflict, ConnectFailed, KubeError, NotFound, TLSFailed
from controller.kube.resources import CRDS, NAMESPACES, SECRETS, SERVICE_ACCOUNTS
from controller.kube.transport import LineStream, Request, Response
from controller.sandbox.apiserver import ApiServer, Fault, InProcessTransport

NAMESPACE = "k8ssandra-operator"
ACCOUNT = "k8ssandra-operator"
CRD = Path(__file__).parents[3] / "manifests" / "crds" / "clientconfigs.config.k8ssandra.io.yaml"
TOKEN_TYPE = "kubernetes.io/service-account-token"


class Network(InProcessTransport):
    """Reaches servers by URL, and verifies their certificates as TLS would."""

    def __init__(self, servers: dict[str, ApiServer], access: Access) -> None:
        self._found = servers.get(access.server)
        self._access = access
        super().__init__(self._found or next(iter(servers.values())), access.token)

    def _dial(self) -> None:
        if self._found is None:
            raise ConnectFailed("connection refused")
        if self._found.ca_pem.strip() != self._access.certificate_authority.strip():
            raise TLSFailed("certificate verify failed")

    async def request(self, request: Request) -> Response:
        self._dial()
        return await super().request(request)

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        self._dial()
        return await super().stream(request, silence=silence)


class World:
    """A control plane that knows ClientConfigs, and a data plane with a service account."""

    SERVER = "https://10.0.0.1:6443"

    def __init__(self) -> None:
        self.source_server, self.target_server = ApiServer(name="source"), ApiServer(name="target")
        self.servers = {self.SERVER: self.source_server}
        self.source = Client(InProcessTransport(self.source_server, self.source_server.admin_token))
        self.target = Client(InProcessTransport(self.target_server, self.target_server.admin_token))
        self.access = Access(
            server=self.SERVER,
            certificate_authority=self.source_server.ca_pem,
            token=self.source_server.admin_token,
        )
        self.wish = Wish(
            context="kind-k8ssandra-1", namespace=NAMESPACE, service_account=ACCOUNT, source_namespace=NAMESPACE
        )

    async def set_up(self) -> None:
        for client in (self.source, self.target):
            await client.create(NAMESPACES, "", {"metadata": {"name": NAMESPACE}})
        await self.target.create(CRDS, "", yaml.safe_load(CRD.read_text()))
        while not await self.target.served(CLIENT_CONFIGS):
            await asyncio.sleep(0)
        await self.source.create(SERVICE_ACCOUNTS, NAMESPACE, {"metadata": {"name": ACCOUNT}})

    async def register(self, **wish: Any) -> Registration:
        return await register(
            self.source,
            self.access,
            self.target,
            msgspec.structs.replace(self.wish, **wish),
            lambda access: Client(Network(self.servers, access)),
        )

    async def client_config(self, name: str = "kind-k8ssandra-1") -> ClientConfig:
        return (await self.target.get(CLIENT_CONFIGS, NAMESPACE, name)).decode(ClientConfig)

    async def secret(self, name: str = "kind-k8ssandra-1-config") -> dict[str, Any]:
        return (await self.target.get(SECRETS, NAMESPACE, name)).decode(dict[str, Any])

    async def loaded(self, name: str = "kind-k8ssandra-1-config", context: str = "kind-k8ssandra-1") -> Access:
        return kubeconfig.load(b64decode((await self.secret(name))["data"]["kubeconfig"]), context)

    def writes(self, server: ApiServer) -> list[tuple[str, str]]:
        return [(w.subject.verb, w.subject.resource) for w in server.record.writes if w.user != "system:apiserver"]


@pytest.fixture
async def world() -> World:
    world = World()
    await world.set_up()
    return world


async def token_secret(world: World, name: str, **metadata: Any) -> None:
    annotations = {"kubernetes.io/service-account.name": ACCOUNT}
    manifest = {"metadata": {"name": name, "annotations": annotations, **metadata}, "type": TOKEN_TYPE}
    await world.source.create(SECRETS, NAMESPACE, manifest)


# ── what comes of it ────────────────────────────────────────────────────────────────────────────────


async def test_a_secret_and_a_client_config_appear(world: World) -> None:
    done = await world.register()
    found = await world.client_config()
    assert (found.spec.context_name, found.spec.kube_config_secret.name) == ("kind-k8ssandra-1", done.secret)
    access = await world.loaded()
    assert (access.server, access.certificate_authority.strip()) == (World.SERVER, world.source_server.ca_pem.strip())
    assert done.user == f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
    assert done.changes == (
        f"Secret {NAMESPACE}/kind-k8ssandra-1-config created",
        f"ClientConfig {NAMESPACE}/kind-k8ssandra-1 created",
    )


async def test_the_kubeconfig_opens_the_data_plane_as_the_account(world: World) -> None:
    await world.register()
    client = Client(Network(world.servers, await world.loaded()))
    assert (await client.get(SERVICE_ACCOUNTS, NAMESPACE, ACCOUNT)).head.name == ACCOUNT


async def test_a_second_run_writes_nothing(world: World) -> None:
    await world.register()
    before = world.writes(world.source_server), world.writes(world.target_server)
    assert (await world.register()).changes == ()
    after = world.writes(world.source_server), world.writes(world.target_server)
    assert [w for w in after[0][len(before[0]) :] if not w[1].startswith("selfsubject")] == []  # questions, as POST
    assert after[1] == before[1]


async def test_a_new_address_changes_the_secret_in_place(world: World) -> None:
    await world.register()
    uid = (await world.secret())["metadata"]["uid"]
    world.servers["https://10.0.0.2:6443"] = world.source_server
    done = await world.register(server="https://10.0.0.2:6443/")
    assert done.changes == (f"Secret {NAMESPACE}/kind-k8ssandra-1-config updated",)
    assert (await world.loaded()).server == "https://10.0.0.2:6443"
    assert (await world.secret())["metadata"]["uid"] == uid


async def test_other_keys_and_labels_of_the_secret_stay(world: World) -> None:
    await world.register()
    patch = {"metadata": {"labels": {"mine": "x"}}, "data": {"other": "eA==", "kubeconfig": "eA=="}}
    await world.target.patch(SECRETS, NAMESPACE, "kind-k8ssandra-1-config", patch, kind="merge")
    await world.register()
    secret = await world.secret()
    assert (secret["metadata"]["labels"]["mine"], secret["data"]["other"]) == ("x", "eA==")


async def test_a_client_config_that_points_elsewhere_is_put_right(world: World) -> None:
    await world.register()
    patch = {"spec": {"kubeConfigSecret": {"name": ""}}}
    await world.target.patch(CLIENT_CONFIGS, NAMESPACE, "kind-k8ssandra-1", patch, kind="merge")
    done = await world.register()
    assert done.changes == (f"ClientConfig {NAMESPACE}/kind-k8ssandra-1 updated",)
    assert (await world.client_config()).spec.kube_config_secret.name == "kind-k8ssandra-1-config"


@pytest.mark.parametrize(
    ("context", "name"),
    [
        ("arn:aws:eks:eu-west-1:1234:cluster/East", "arn-aws-eks-eu-west-1-1234-cluster-east"),
        ("user@cluster.example.com", "user-cluster.example.com"),
        ("gke_project_zone_name", "gke-project-zone-name"),
    ],
)
async def test_any_context_can_be_registered(world: World, context: str, name: str) -> None:
    done = await world.register(context=context)
    assert (done.name, done.secret) == (name, f"{name}-config")
    assert (await world.client_config(name)).spec.context_name == context
    assert (await world.loaded(f"{name}-config", context)).server == World.SERVER
    assert (await world.secret(f"{name}-config"))["metadata"]["annotations"][CONTEXT_ANNOTATION] == context


async def test_contexts_that_read_alike_get_objects_of_their_own_and_keep_them(world: World) -> None:
    first, second = await world.register(context="a_b"), await world.register(context="a@b")
    assert first.name == "a-b"
    assert second.name.startswith("a-b-")
    assert [(await world.register(context=context)).name for context in ("a_b", "a@b")] == [first.name, second.name]
    assert (await world.register(context="a@b")).changes == ()


async def test_a_registration_of_another_tool_is_recognised(world: World) -> None:
    reference = {"metadata": {"name": "old"}, "spec": {"contextName": "x", "kubeConfigSecret": {"name": "old-secret"}}}
    await world.target.create(CLIENT_CONFIGS, NAMESPACE, {**_type(), **reference})
    done = await world.register(context="x")
    assert (done.name, done.secret) == ("old", "old-secret")
    assert done.changes == (f"Secret {NAMESPACE}/old-secret created",)


def _type() -> dict[str, str]:
    return {"apiVersion": CLIENT_CONFIGS.api_version, "kind": CLIENT_CONFIGS.kind}


# ── the token ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_token_secret_that_exists_is_used(world: World) -> None:
    await token_secret(world, "by-hand")
    await world.register()
    with pytest.raises(NotFound):
        await world.source.get(SECRETS, NAMESPACE, f"{ACCOUNT}-token")


async def test_a_missing_token_secret_is_created_for_the_account(world: World) -> None:
    await world.register()
    created = (await world.source.get(SECRETS, NAMESPACE, f"{ACCOUNT}-token")).decode(dict[str, Any])
    assert created["type"] == TOKEN_TYPE
    assert created["metadata"]["annotations"]["kubernetes.io/service-account.name"] == ACCOUNT


async def test_it_waits_until_the_server_has_filled_the_secret() -> None:
    world = World()
    world.source_server.settle_delay = None
    await world.set_up()
    world.source_server.step()
    waiting = asyncio.ensure_future(world.register())
    while not any(key[:2] == ("watch", "secrets") for key in world.source_server.record.counts):
        await asyncio.sleep(0)
    assert not waiting.done()
    world.source_server.step()
    assert (await waiting).changes != ()


@pytest.mark.looptime
async def test_it_does_not_wait_for_ever() -> None:
    world = World()
    world.source_server.settle_delay = None
    await world.set_up()
    world.source_server.step()
    with pytest.raises(NoToken, match=f"Secret {NAMESPACE}/{ACCOUNT}-token.*within 30 s"):
        await world.register()
    assert world.writes(world.target_server)[-1] != ("create", "secrets")


async def test_a_bound_token_is_asked_for_and_its_end_is_told(world: World) -> None:
    done = await world.register(token_lifetime=3600)
    assert done.expires != ""
    assert [w for w in done.warnings if done.expires in w]
    with pytest.raises(NotFound):
        await world.source.get(SECRETS, NAMESPACE, f"{ACCOUNT}-token")
    assert (await world.loaded()).certificate_authority.strip() == world.source_server.ca_pem.strip()


async def test_the_secret_of_an_earlier_account_of_that_name_is_not_used() -> None:
    world = World()
    world.source_server.settle_delay = None  # or the server would remove it
    await world.set_up()
    stale = {"kubernetes.io/service-account.name": ACCOUNT, "kubernetes.io/service-account.uid": "earlier"}
    data = {"token": "eA==", "ca.crt": "eA=="}
    manifest = {"metadata": {"name": "stale", "annotations": stale}, "type": TOKEN_TYPE, "data": data}
    await world.source.create(SECRETS, NAMESPACE, manifest)
    with pytest.raises(NoToken, match="has no token Secret"):
        await world.register(dry_run=True)


async def test_a_foreign_secret_of_that_name_is_left_alone(world: World) -> None:
    await world.source.create(SECRETS, NAMESPACE, {"metadata": {"name": f"{ACCOUNT}-token"}, "data": {"a": "eA=="}})
    with pytest.raises(NoToken, match="is not a token of ServiceAccount"):
        await world.register()


async def test_an_unknown_account_is_said(world: World) -> None:
    with pytest.raises(NoToken, match=f"ServiceAccount {NAMESPACE}/nobody does not exist"):
        await world.register(service_account="nobody")


# ── the proof ───────────────────────────────────────────────────────────────────────────────────────


async def nothing_written(world: World, error: type[KubeError], match: str, **wish: Any) -> None:
    before = world.writes(world.target_server)
    with pytest.raises(error, match=match):
        await world.register(**wish)
    assert world.writes(world.target_server) == before


async def test_a_server_that_does_not_take_the_token_is_not_registered(world: World) -> None:
    world.servers["https://other:6443"] = other = ApiServer(name="other", authority=world.source_server.authority)
    await nothing_written(world, RegistrationError, "is it the same cluster", server="https://other:6443")
    assert other.record.requests() > 0


async def test_a_token_that_is_somebody_elses_is_not_registered(world: World) -> None:
    await token_secret(world, "token")
    secret = (await world.source.get(SECRETS, NAMESPACE, "token")).decode(dict[str, Any])
    while not secret.get("data"):
        await asyncio.sleep(0)
        secret = (await world.source.get(SECRETS, NAMESPACE, "token")).decode(dict[str, Any])
    token = b64encode(world.source_server.admin_token.encode()).decode()
    await world.source.patch(SECRETS, NAMESPACE, "token", {"data": {"token": token}}, kind="merge")
    await nothing_written(world, RegistrationError, f"not as system:serviceaccount:{NAMESPACE}:{ACCOUNT}")


async def test_a_server_with_another_authority_is_not_registered(world: World) -> None:
    world.servers["https://other:6443"] = ApiServer(name="other")
    await nothing_written(world, RegistrationError, "--certificate-authority", server="https://other:6443")


async def test_the_authority_of_the_users_kubeconfig_is_the_second_choice(world: World) -> None:
    proxy = trustme.CA()
    await world.register()  # fills the token Secret with the cluster's own CA
    world.source_server._authority = proxy
    world.access = msgspec.structs.replace(world.access, certificate_authority=proxy.cert_pem.bytes())
    await world.register()
    assert (await world.loaded()).certificate_authority.strip() == proxy.cert_pem.bytes().strip()


async def test_an_address_only_the_control_plane_reaches_is_proven_at_the_users(world: World) -> None:
    done = await world.register(server="https://inside:6443")
    assert (await world.loaded()).server == "https://inside:6443"
    assert any("https://inside:6443 cannot be reached from here" in warning for warning in done.warnings)


async def test_a_server_that_is_down_is_not_registered(world: World) -> None:
    world.servers.clear()
    world.servers["https://elsewhere"] = world.target_server
    await nothing_written(world, ConnectFailed, "refused")


async def test_a_loopback_address_is_noticed(world: World) -> None:
    world.servers["https://127.0.0.1:41234"] = world.source_server
    done = await world.register(server="https://127.0.0.1:41234")
    assert any("loopback" in warning and "--server" in warning for warning in done.warnings)
    assert [warning for warning in (await world.register()).warnings if "loopback" in warning] == []


async def test_servers_without_self_subject_reviews_are_proven_too(world: World) -> None:
    world.source_server.faults.add(Fault(resource="selfsubjectreviews", status=404, reason="NotFound", times=None))
    assert (await world.register()).changes != ()


async def test_a_kubeconfig_that_our_loader_refuses_is_not_registered(world: World) -> None:
    await nothing_written(world, RegistrationError, "would be refused", server="http://10.0.0.1")


# ── what belongs to others ──────────────────────────────────────────────────────────────────────────


async def test_a_foreign_secret_is_not_overwritten_unless_forced(world: World) -> None:
    foreign = {"metadata": {"name": "kind-k8ssandra-1-config"}, "data": {"kubeconfig": b64encode(b"x").decode()}}
    await world.target.create(SECRETS, NAMESPACE, foreign)
    await nothing_written(world, RegistrationError, "was not made by register.*--force")
    await world.register(force=True)
    assert (await world.secret())["metadata"]["labels"][OWNER_LABEL] == OWNER
    assert (await world.loaded()).server == World.SERVER


async def test_a_client_config_of_another_context_is_not_overwritten(world: World) -> None:
    await world.register(context="one", name="shared")
    await nothing_written(world, RegistrationError, "of another context", context="two", name="shared")


async def test_one_context_has_one_client_config(world: World) -> None:
    await world.register()
    await nothing_written(world, RegistrationError, "has this context already", name="another")


async def test_a_secret_that_changed_meanwhile_is_not_overwritten(world: World) -> None:
    await world.register()
    world.servers["https://10.0.0.2:6443"] = world.source_server
    meddling = {"data": {"kubeconfig": "eA=="}}

    class Meddler(Network):
        async def request(self, request: Request) -> Response:
            await world.target.patch(SECRETS, NAMESPACE, "kind-k8ssandra-1-config", meddling, kind="merge")
            return await super().request(request)

    wish = msgspec.structs.replace(world.wish, server="https://10.0.0.2:6443")
    with pytest.raises(Conflict):
        await register(
            world.source, world.access, world.target, wish, lambda access: Client(Meddler(world.servers, access))
        )
    assert (await world.secret())["data"] == meddling["data"]


async def test_an_immutable_secret_is_said(world: World) -> None:
    await world.register()
    patch = {"immutable": True, "data": {"kubeconfig": "eA=="}}
    await world.target.patch(SECRETS, NAMESPACE, "kind-k8ssandra-1-config", patch, kind="merge")
    await nothing_written(world, RegistrationError, "immutable")


async def test_a_control_plane_without_our_kinds_is_said(world: World) -> None:
    world.target, world.target_server = world.source, world.source_server
    with pytest.raises(RegistrationError, match="custom resource definitions"):
        await world.register()


@pytest.mark.parametrize(
    ("says", "wish"),
    [
        ("--context-name", {"context": ""}),
        ("--name", {"name": "Not A Name"}),
        ("--token-lifetime", {"token_lifetime": 5}),
        ("--token-lifetime", {"token_lifetime": -5}),
    ],
)
async def test_wishes_that_cannot_come_true_are_said_first(world: World, says: str, wish: dict[str, Any]) -> None:
    await nothing_written(world, RegistrationError, says, **wish)


# ── a dry run ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_dry_run_writes_nowhere_and_gives_the_manifests(world: World) -> None:
    await token_secret(world, f"{ACCOUNT}-token")
    before = world.writes(world.target_server)
    done = await world.register(dry_run=True)
    assert world.writes(world.target_server) == before
    assert [m["kind"] for m in done.manifests] == ["Secret", "ClientConfig"]
    assert done.changes[0].endswith("created")
    for resource, manifest in zip((SECRETS, CLIENT_CONFIGS), done.manifests, strict=True):
        await world.target.create(resource, NAMESPACE, manifest)
    assert (await world.register()).changes == ()


async def test_a_dry_run_creates_no_token_secret(world: World) -> None:
    with pytest.raises(NoToken, match="--token-lifetime"):
        await world.register(dry_run=True)
    assert ("create", "secrets") not in world.writes(world.source_server)


async def test_a_dry_run_needs_no_control_plane(world: World) -> None:
    await token_secret(world, "token")
    world.target = None  # type: ignore[assignment]
    done = await world.register(dry_run=True)
    assert (done.name, done.secret, done.changes) == ("kind-k8ssandra-1", "kind-k8ssandra-1-config", ())


async def test_credentials_are_not_shown(world: World) -> None:
    done = await world.register()
    token = (await world.loaded()).token
    assert token not in repr(done)
    assert token not in "".join((*done.changes, *done.warnings))


# ── which cluster it is ─────────────────────────────────────────────────────────────────────────────

UNSEEN = (
    "The account may not read namespace kube-system, so the controller cannot tell this cluster from another one at "
    "its address: apply manifests/data-plane there."
)


async def cluster_uid(world: World) -> str:
    return (await world.source.get(NAMESPACES, "", "kube-system")).head.uid


async def pin(world: World, uid: str) -> None:
    patch = {"metadata": {"annotations": {ANNOTATION: uid}}}
    await world.target.patch(CLIENT_CONFIGS, NAMESPACE, "kind-k8ssandra-1", patch, kind="merge")


async def test_a_registered_cluster_is_pinned_from_the_start(world: World) -> None:
    uid = await cluster_uid(world)
    done = await world.register()
    assert UNSEEN not in done.warnings
    assert (await world.client_config()).metadata.annotations[ANNOTATION] == uid
    assert (await world.register()).changes == ()


async def test_an_identity_that_the_account_may_not_see_is_said_and_fails_nothing(world: World) -> None:
    world.source_server.faults.add(Fault(verb="get", resource="namespaces", status=403, reason="Forbidden"))
    done = await world.register()
    assert UNSEEN in done.warnings
    assert ANNOTATION not in (await world.client_config()).metadata.annotations


async def test_another_cluster_is_not_registered_in_place_of_the_pinned_one(world: World) -> None:
    uid = await cluster_uid(world)
    await world.register()
    await pin(world, "another")
    secret = await world.secret()
    with pytest.raises(RegistrationError, match=f"annotation {ANNOTATION} says another, .* has UID {uid}: choose"):
        await world.register()
    assert await world.secret() == secret
    await world.register(force=True)
    assert (await world.client_config()).metadata.annotations[ANNOTATION] == uid
