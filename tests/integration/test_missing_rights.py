"""A data plane without cass-operator's kinds, or with too small a role: said on its ClientConfig, found when mended."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from controller.cassandra.contact_points import SUFFIX
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.engine import progress
from controller.kube import errors
from controller.kube.resources import CRDS, SERVICES, Resource
from controller.sandbox.applier import Applier
from controller.sandbox.crds import data_plane_crds
from tests import manifests
from tests.integration.rig import CONTEXTS, Rig, eventually, rig, two_of_three
from tests.servers import Server

BAD = CONTEXTS[2]
ROLES = Resource("rbac.authorization.k8s.io", "v1", "Role", "roles")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings")


@pytest_asyncio.fixture(loop_scope="session")
async def one(their_servers: list[Server], namespace: str) -> AsyncIterator[Rig]:
    """On servers of their own: a definition that is removed takes every object of its kind with it."""
    async with rig(namespace, their_servers) as made:
        yield made


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for mended things every second: in production it is half a minute and a minute."""
    monkeypatch.setattr(progress, "ABSENT_RECHECK", 1.0)
    monkeypatch.setattr(progress, "FORBIDDEN_RECHECK", 1.0)


async def test_a_kind_that_is_not_installed_is_said_and_found_later(one: Rig) -> None:
    await _uninstall(one)
    try:
        await one.start()
        await one.apply(one.sample())
        await two_of_three(one, BAD, "CRDMissing", CASSANDRA_DATACENTERS.name)
    finally:
        await Applier(one.client(BAD)).apply_all(data_plane_crds())
    await one.ready()
    assert await one.reason(BAD) == "Connected"


async def test_a_role_that_is_too_small_is_said_and_found_later(one: Rig) -> None:
    one.provoked_forbidden = True
    name = "k8ssandra-controller-datacenters"
    found = await one.client(BAD).get(ROLE_BINDINGS, one.namespace, name)
    await one.client(BAD).delete(ROLE_BINDINGS, one.namespace, name, uid=found.head.uid)
    await one.start()
    await one.apply(one.sample())
    await two_of_three(one, BAD, "Forbidden", "manifests/data-plane")
    await Applier(one.client(BAD)).apply_all(manifests.data_plane(one.namespace), namespace=one.namespace)
    await one.ready()
    assert await one.reason(BAD) == "Connected"


async def test_without_the_right_to_watch_services_only_contact_points_are_missing(one: Rig) -> None:
    one.provoked_forbidden = True
    role = await one.client().get(ROLES, one.namespace, "k8ssandra-controller")
    kept = [rule for rule in role.decode(dict)["rules"] if "services" not in rule["resources"]]
    await one.client().patch(ROLES, one.namespace, role.head.name, {"rules": kept}, kind="merge")
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    said = await one.condition(K8SSANDRA_CLUSTERS, "demo", "ContactPoints")
    assert (said["status"], said["reason"]) == ("False", "Forbidden")
    assert "manifests/control-plane-role" in said["message"]
    assert await contact_points(one) == []
    await Applier(one.client()).apply_all(manifests.control_plane(one.namespace), namespace=one.namespace)

    async def mended() -> bool:
        told = await one.condition(K8SSANDRA_CLUSTERS, "demo", "ContactPoints")
        return not told and len(await contact_points(one)) == len(CONTEXTS)

    await eventually(mended, "the contact points are there")


async def contact_points(one: Rig) -> list[str]:
    return [name for name in await one.names(SERVICES) if name.endswith(SUFFIX)]


async def _uninstall(one: Rig) -> None:
    client, name = one.client(BAD), CASSANDRA_DATACENTERS.name
    found = await client.get(CRDS, "", name)
    await client.delete(CRDS, "", name, uid=found.head.uid)

    async def gone() -> bool:
        try:
            await client.get(CRDS, "", name)
        except errors.NotFound:
            return not await client.served(CASSANDRA_DATACENTERS)
        return False

    await eventually(gone, "the definition is gone")
