"""What the reference operator made stays as it is: the specification, and with it another script for single nodes."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from controller.cassandra import labels
from controller.cassandra.compare import canonical_hash
from controller.cassandra.takeover import keep_init_container
from controller.kube.objects import parse
from tests.unit.cassandra.plan.worlds import World, condition, touched
from tests.unit.cassandra.samples import cluster, datacenter, only

THEIRS = "bm90IG91cnM="
REFERENCE = {"perNodeConfigMapRef": {"name": "nodes"}}


def wanted(content: str = "v1:content", **fields: Any) -> dict[str, Any]:
    return only(cluster(datacenter(**REFERENCE, **fields)), per_node_config_hashes={"dc1": content})


def theirs(**fields: Any) -> dict[str, Any]:
    """The same datacenter as the reference operator made it."""
    found = copy.deepcopy(wanted(**fields))
    found["metadata"] |= {"uid": "u", "resourceVersion": "7"}
    found["metadata"]["annotations"][labels.RESOURCE_HASH] = THEIRS
    template = found["spec"]["podTemplateSpec"]
    template["metadata"]["annotations"][labels.PER_NODE_CONFIG_HASH] = THEIRS
    init_container(found).update(command=["sh", "-c", "their script"], image="their/client:v0")
    return found


def init_container(obj: dict[str, Any]) -> dict[str, Any]:
    containers = obj["spec"]["podTemplateSpec"]["spec"]["initContainers"]
    found: dict[str, Any] = next(each for each in containers if each["name"] == "per-node-config")
    return found


def kept(desired: dict[str, Any], live: dict[str, Any], **fields: Any) -> dict[str, Any]:
    raw = parse(msgspec.json.encode(live))
    return keep_init_container(cluster(datacenter(**REFERENCE, **fields)), desired, raw, live)


def test_the_specification_stays_as_it_is_and_the_configuration_is_remembered() -> None:
    live = theirs()
    found = kept(wanted(), live)
    assert found["spec"] == live["spec"]
    assert found["metadata"]["annotations"][labels.ADOPTED_PER_NODE_CONFIG] == "v1:content"
    assert found["metadata"]["annotations"][labels.RESOURCE_HASH] == canonical_hash(found)


def test_it_stays_so_while_the_configuration_does() -> None:
    live = theirs()
    live["metadata"]["annotations"][labels.ADOPTED_PER_NODE_CONFIG] = "v1:content"
    assert kept(wanted(), live)["spec"] == live["spec"]


def changed_content(live: dict[str, Any]) -> dict[str, Any]:
    live["metadata"]["annotations"][labels.ADOPTED_PER_NODE_CONFIG] = "v1:former content"
    return wanted()


def changed_pods(live: dict[str, Any]) -> dict[str, Any]:
    return wanted(podPriorityClassName="high")


def ours_already(live: dict[str, Any]) -> dict[str, Any]:
    template = live["spec"]["podTemplateSpec"]
    template["metadata"]["annotations"][labels.PER_NODE_CONFIG_HASH] = "v1:former content"
    return wanted()


@pytest.mark.parametrize("change", [changed_content, changed_pods, ours_already])
def test_when_pods_restart_anyway_everything_becomes_ours(change: Any) -> None:
    live = theirs()
    desired = change(live)
    assert kept(desired, live) is desired


def test_a_scale_up_restarts_nobody_for_a_script() -> None:
    found = kept(wanted(size=6), theirs())
    assert found["spec"]["size"] == 6
    assert init_container(found)["command"] == ["sh", "-c", "their script"]


def test_an_image_that_the_user_names_is_used() -> None:
    named = {"perNodeConfigInitContainerImage": "mine/client:v1"}
    desired = wanted(**named)
    assert kept(desired, theirs(**named), **named) is desired
    live = theirs(**named)
    init_container(live)["image"] = "mine/client:v1"
    assert kept(desired, live, **named)["spec"] == live["spec"]


def test_without_such_a_container_nothing_is_kept() -> None:
    desired = only(cluster())
    assert keep_init_container(cluster(), desired, parse(msgspec.json.encode(theirs())), theirs()) is desired


# ── the plan ────────────────────────────────────────────────────────────────────────────────────────


def taken_from_them(**spec: Any) -> World:
    """Converged, but made by the reference operator; ``spec``: what its dc1 has besides."""
    world = World().converged()
    found = world.live["kind-dc1", "dc1"]
    found["spec"] |= spec
    fields = {"f:annotations": {"f:k8ssandra.io/resource-hash": {}}, "f:labels": {"f:k8ssandra.io/cluster-name": {}}}
    written = {"f:metadata": fields, "f:spec": {f"f:{key}": {} for key in found["spec"]}}
    found["metadata"]["annotations"][labels.RESOURCE_HASH] = THEIRS
    found["metadata"]["managedFields"] = [{"manager": "manager", "operation": "Update", "fieldsV1": written}]
    return world


def test_a_datacenter_is_adopted_by_its_metadata_alone_and_only_once() -> None:
    world = taken_from_them()
    spec = copy.deepcopy(world.live["kind-dc1", "dc1"]["spec"])
    result = world.plan()
    assert touched(result) == ["adopt dc1"]
    assert condition(result, "RequiresUpdate") == ("False", "UpToDate")
    world.carry_out(result)
    assert world.live["kind-dc1", "dc1"]["spec"] == spec
    assert touched(world.plan()) == []


def test_what_they_wrote_besides_is_said_and_stays_until_updates_are_allowed() -> None:
    world = taken_from_them(rackless=True)
    result = world.plan()
    assert touched(result) == ["adopt dc1"]
    assert result.drift == {"dc1": ("spec.rackless",)}
    world.carry_out(result)
    assert condition(world.plan(), "RequiresUpdate") == ("True", "SpecDiffers")
    world.metadata["annotations"][labels.AUTOUPDATE_SPEC] = "once"
    assert touched(world.plan()) == ["apply dc1"]


def test_a_later_datacenter_is_adopted_while_an_earlier_one_is_changed() -> None:
    world = taken_from_them()
    world.live["kind-dc2", "dc2"]["metadata"] |= {
        "managedFields": world.live["kind-dc1", "dc1"]["metadata"]["managedFields"],
    }
    world.change(lambda cassandra: cassandra.update(serverVersion="4.0.18"))
    assert touched(world.plan()) == ["apply dc1", "adopt dc2"]
