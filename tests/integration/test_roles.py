"""Every right that manifests/ grants to change something is used in the life of a cluster, or says why it is not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from controller.cassandra import labels
from controller.cassandra.contact_points import SUFFIX, is_of_all_pods
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.fleet.identity import ANNOTATION
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, ENDPOINTS, SECRETS, SERVICES, Resource
from controller.replication.types import REPLICATED_SECRETS
from tests import manifests
from tests.integration.rig import CONTEXTS, Rig, Seen, eventually

VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
FIRST: Final = CONTEXTS[0]

Right = tuple[str, str]  # verb and resource

NOT_USED_IN_THE_CONTROL_PLANE: Final[set[Right]] = {
    # Asked for by admission, where OwnerReferencesPermissionEnforcement is on.
    ("update", "k8ssandraclusters/finalizers"),
    ("delete", "replicatedsecrets"),
    ("patch", "events"),  # when the same thing happens twice
}
NOT_USED_IN_A_DATA_PLANE: Final[set[Right]] = {
    ("create", "endpointslices/restricted"),  # asked for by OpenShift's admission
}


def rights(objects: Iterable[dict[str, Any]], role: str) -> set[Right]:
    """What a role grants, but for reading."""
    (found,) = (obj for obj in objects if obj["kind"] == "Role" and obj["metadata"]["name"] == role)
    granted = {(verb, name) for rule in found["rules"] for name in rule["resources"] for verb in rule["verbs"]}
    return {(verb, name) for verb, name in granted if verb in VERBS.values()}


def used(seen: Iterable[Seen]) -> set[Right]:
    found = set()
    for request in seen:
        _, separator, rest = request.path.partition("/namespaces/")
        if separator and request.method in VERBS:
            _, resource, *name = rest.split("/")
            found.add((VERBS[request.method], "/".join([resource, *name[1:2]])))
    return found


async def test_every_right_to_change_something_is_used(one: Rig) -> None:
    await one.start()
    await one.apply(one.sample())
    await one.ready()
    await spoil(one, SECRETS, {"data": {"password": "d3Jvbmc="}}, "demo-superuser", FIRST)
    await spoil(one, SECRETS, {"metadata": {"labels": {labels.REPLICATED_BY: None}}}, "demo-superuser")
    await spoil(one, CONFIG_MAPS, {"data": None}, await ours(one, CONFIG_MAPS), FIRST)
    await spoil(one, ENDPOINT_SLICES, {"endpoints": []}, await ours(one, ENDPOINT_SLICES), FIRST)
    await spoil(one, SERVICES, {"metadata": {"labels": {labels.DATACENTER: None}}}, f"demo-dc1{SUFFIX}")
    await spoil(one, ENDPOINT_SLICES, {"endpoints": []}, f"demo-dc1{SUFFIX}-ipv4")
    await remove_what_leads_nowhere(one)
    await replicate_for_a_while(one)
    await unpin(one)
    await delete(one, K8SSANDRA_CLUSTERS, "demo")
    here = one.namespace
    control = rights(manifests.control_plane(here), "k8ssandra-controller")
    datacenters = rights(manifests.data_plane(here), "k8ssandra-controller-datacenters")
    assert control - used(seen for seen in one.seen if not seen.context) <= NOT_USED_IN_THE_CONTROL_PLANE
    assert datacenters - used(seen for seen in one.seen if seen.context) <= NOT_USED_IN_A_DATA_PLANE


async def remove_what_leads_nowhere(one: Rig) -> None:
    """Have contact points of a datacenter that is gone removed, and Endpoints of an old release."""
    name = f"demo-gone{SUFFIX}"
    marks = labels.owner("demo", one.namespace)
    legacy = await one.client().create(
        ENDPOINTS,
        one.namespace,
        {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name, "labels": marks}, "subsets": []},
    )
    owner = {"apiVersion": "v1", "kind": "Endpoints", "name": name, "uid": legacy.head.uid}
    mirrored = {labels.SERVICE_NAME: name, labels.ENDPOINT_SLICE_MANAGED_BY: labels.MIRRORING}
    await one.apply(
        {
            "apiVersion": ENDPOINT_SLICES.api_version,
            "kind": ENDPOINT_SLICES.kind,
            "metadata": {"name": name, "labels": {**marks, **mirrored}, "ownerReferences": [owner]},
            "addressType": "IPv4",
            "endpoints": [],
        }
    )
    metadata = {"name": name, "labels": {**marks, labels.DATACENTER: "gone"}}
    await one.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"clusterIP": "None"}})

    async def gone() -> bool:
        return not await one.get(SERVICES, name) and not await one.get(ENDPOINTS, name)

    await eventually(gone, "what leads nowhere is gone")


async def spoil(one: Rig, resource: Resource, patch: dict[str, Any], name: str, context: str = "") -> None:
    """Change an object of the controller's as an administrator, and wait until it is repaired."""
    before = await content(one, resource, name, context)
    await one.client(context).patch(resource, one.namespace, name, patch, kind="merge")

    async def repaired() -> bool:
        return await content(one, resource, name, context) == before

    await eventually(repaired, f"{resource} {name} is as it was")


async def content(one: Rig, resource: Resource, name: str, context: str) -> list[Any]:
    found = await one.get(resource, name, context) or {}
    return [found["metadata"].get("labels"), found.get("data"), found.get("endpoints")]


async def ours(one: Rig, resource: Resource) -> str:
    found = await one.client(FIRST).list_all(resource, one.namespace, label_selector=labels.CLUSTER_NAME)
    return next(each.head.name for each in found if not is_of_all_pods(each))


async def unpin(one: Rig) -> None:
    """Remove the pin of a cluster, and wait until it is written again."""

    async def pin() -> str:
        found = await one.get(CLIENT_CONFIGS, FIRST) or {}
        return str(found["metadata"].get("annotations", {}).get(ANNOTATION, ""))

    before = await pin()
    patch = {"metadata": {"annotations": {ANNOTATION: None}}}
    await one.client().patch(CLIENT_CONFIGS, one.namespace, FIRST, patch, kind="merge")

    async def pinned() -> bool:
        return await pin() == before

    await eventually(pinned, "the cluster is pinned again")


async def replicate_for_a_while(one: Rig) -> None:
    """Have a Secret copied to the first data plane, and the copy removed."""
    own = {"labels": {"copied": "yes"}}
    await one.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own", **own}, "data": {}})
    targets = [{"k8sContextName": FIRST}]
    wanted = {
        "apiVersion": REPLICATED_SECRETS.api_version,
        "kind": REPLICATED_SECRETS.kind,
        "metadata": {"name": "own"},
        "spec": {"selector": {"matchLabels": own["labels"]}, "replicationTargets": targets},
    }
    await one.apply(wanted)

    async def copied() -> bool:
        return "own" in await one.names(SECRETS, FIRST)

    await eventually(copied, "the Secret is copied")
    await delete(one, REPLICATED_SECRETS, "own")
    assert not await copied()


async def delete(one: Rig, resource: Resource, name: str) -> None:
    """Delete an object, and wait until its finalizers are gone too."""
    found = await one.client().get(resource, one.namespace, name)
    await one.client().delete(resource, one.namespace, name, uid=found.head.uid)

    async def gone() -> bool:
        return name not in await one.names(resource)

    await eventually(gone, f"{resource} {name} is gone")
