from __future__ import annotations

from typing import Any

import pytest

from controller.cassandra import labels
from controller.cassandra.snapshot import Away
from controller.fleet.actions import Apply, Merge
from tests.unit.cassandra.plan.worlds import World, condition, done, problems, said, touched, waits
from tests.unit.cassandra.samples import datacenter

AWAY = Away("DatacenterUnreachable", "context kind-dc1 is not connected: connection refused")


def size(number: int) -> Any:
    return lambda cassandra: [entry.update(size=number) for entry in cassandra["datacenters"]]


# ── from nothing ────────────────────────────────────────────────────────────────────────────────────


def test_the_first_pass_prepares_the_cluster_and_makes_nothing_elsewhere() -> None:
    result = World().plan()
    assert list(result.chains) == [""]
    assert done(result) == ["merge K8ssandraCluster demo", "create ReplicatedSecret demo"]
    assert result.superuser


def test_preparation_is_one_patch_with_finalizer_and_replication_guarded_by_the_version() -> None:
    world = World()
    world.metadata["finalizers"] = ["someone/else"]
    patch = world.plan().chains[""][0].actions[0]
    assert isinstance(patch, Merge)
    assert patch.patch == {
        "metadata": {
            "finalizers": ["someone/else", labels.FINALIZER],
            "annotations": {labels.INITIAL_SYSTEM_REPLICATION: '{"dc1":3}'},
        }
    }
    assert patch.exactly


def test_an_old_form_of_the_annotation_is_rewritten_and_a_users_own_is_kept() -> None:
    world = World().prepared()
    world.metadata["annotations"][labels.INITIAL_SYSTEM_REPLICATION] = (
        '{"datacenters": ["dc1"], "replicationFactor": 2}'
    )
    assert "merge K8ssandraCluster demo" in done(world.plan(), "")
    world.metadata["annotations"][labels.INITIAL_SYSTEM_REPLICATION] = '{ "dc1": 2 }'
    assert done(world.plan(), "") == []


def test_an_annotation_that_cannot_be_read_is_left_to_its_author_and_reported() -> None:
    world = World().prepared()
    world.metadata["annotations"][labels.INITIAL_SYSTEM_REPLICATION] = "three"
    result = world.plan()
    assert (done(result, ""), problems(result)) == ([], [("", "InvalidAnnotation")])


def test_secrets_come_before_datacenters() -> None:
    world = World().prepared()
    world.secrets_ready = False
    result = world.plan()
    assert touched(result) == []
    assert waits(result) == {"dc1": "SecretsNotReplicated", "dc2": "SecretsNotReplicated"}


def test_the_first_datacenter_is_made_after_its_config_map() -> None:
    assert done(World().prepared().plan(), "kind-dc1") == [
        "create ConfigMap demo-dc1-metrics-agent-config",
        "create CassandraDatacenter dc1",
    ]


def test_the_second_datacenter_waits_until_the_first_is_ready() -> None:
    world = World().prepared()
    world.carry_out(world.plan())
    world.seeds["dc1"] = ("10.1.0.1",)
    world.live["kind-dc1", "dc1"]["status"] = {}
    assert waits(world.plan()) == {"dc1": "DatacenterNotReady", "dc2": "WaitingForDatacenter"}
    world.ready("kind-dc1", "dc1")
    assert touched(world.plan()) == ["create dc2"]


@pytest.mark.parametrize(
    "status",
    [
        {"observedGeneration": 0},
        {"cassandraOperatorProgress": "Updating"},
        {"conditions": [{"type": "Ready", "status": "False"}]},
        {"conditions": []},
    ],
)
def test_ready_is_ready_only_for_the_present_generation(status: dict[str, Any]) -> None:
    world = World().converged()
    world.live["kind-dc2", "dc2"]["status"] |= status
    result = world.plan()
    assert condition(result) == ("False", "DatacenterNotReady")
    assert condition(result, "DatacenterReady.dc1") == ("True", "Ready")
    assert condition(result, "DatacenterReady.dc2") == ("False", "DatacenterNotReady")


# ── never a second ring ─────────────────────────────────────────────────────────────────────────────


def test_a_datacenter_without_known_seeds_waits_rather_than_founding_a_ring() -> None:
    world = World().converged()
    del world.live["kind-dc2", "dc2"]
    world.seeds.clear()
    result = world.plan()
    assert (touched(result), waits(result)) == ([], {"dc2": "WaitingForSeeds"})


def test_a_seed_that_no_endpoint_can_have_is_none() -> None:
    world = World(additionalSeeds=["seed.example.org", "127.0.0.1"]).converged()
    del world.live["kind-dc2", "dc2"]
    world.seeds.clear()
    assert waits(world.plan()) == {"dc2": "WaitingForSeeds"}


def test_additional_seeds_are_enough_to_join() -> None:
    world = World(additionalSeeds=["192.0.2.7"]).converged()
    del world.live["kind-dc2", "dc2"]
    world.seeds.clear()
    assert touched(world.plan()) == ["create dc2"]


def test_a_new_first_datacenter_waits_while_the_ring_is_where_nobody_can_look() -> None:
    world = World("dc1").converged()
    world.cassandra["datacenters"].insert(0, datacenter("dc0"))
    world.unknown, world.away = {"kind-dc1"}, {"kind-dc1": AWAY}
    result = world.plan()
    assert waits(result)["dc0"] == "WaitingForSeeds"
    assert touched(result) == []


def test_a_new_first_datacenter_waits_while_the_ring_is_in_a_datacenter_with_errors() -> None:
    world = World("dc1").converged()
    world.cassandra["datacenters"].insert(0, datacenter("dc0"))
    world.cassandra["datacenters"][1]["size"] = 0
    world.seeds.clear()
    assert waits(world.plan())["dc0"] == "WaitingForSeeds"


def test_a_new_cluster_does_not_wait_for_a_context_that_was_never_there() -> None:
    world = World().prepared()
    world.unknown, world.away = {"kind-dc2"}, {"kind-dc2": Away("ContextNotFound", "no ClientConfig names it")}
    result = world.plan()
    assert touched(result) == ["create dc1"]
    assert condition(result, "DatacenterReady.dc2") == ("False", "ContextNotFound")


# ── seeds ───────────────────────────────────────────────────────────────────────────────────────────


def addresses(world: World, name: str) -> list[str]:
    """The seeds that the slices of a datacenter shall have."""
    found = [
        action.object["endpoints"][0]["addresses"]
        for chain in world.plan().chains.get(f"kind-{name}", ())
        for action in chain.actions
        if action.resource.kind == "EndpointSlice" and isinstance(action, Apply)
    ]
    return found[0] if found else []


def test_slices_follow_the_pods_of_the_others() -> None:
    world = World().converged()
    world.seeds["dc1"] = ("10.1.0.2", "10.1.0.3")
    assert addresses(world, "dc2") == ["10.1.0.2", "10.1.0.3"]


def test_a_slice_without_addresses_goes() -> None:
    world = World().converged()
    world.seeds["dc1"] = ()
    assert done(world.plan(), "kind-dc2") == ["delete EndpointSlice demo-demo-dc2-additional-seed-service-ipv4"]


def test_seeds_of_a_cluster_never_seen_stay() -> None:
    world = World("dc1", "dc2", "dc3").converged()
    world.unknown, world.away = {"kind-dc1"}, {"kind-dc1": AWAY}
    assert [entry for entry in done(world.plan()) if "EndpointSlice" in entry] == []
    world.seeds["dc2"] = ("10.2.0.9",)
    assert addresses(world, "dc3") == ["10.1.0.1", "10.2.0.1", "10.2.0.9"]


def test_seeds_of_a_cluster_that_went_away_stay() -> None:
    world = World().converged()
    world.away = {"kind-dc1": AWAY}
    assert done(world.plan()) == []


def test_seeds_of_a_datacenter_whose_specification_is_wrong_stay() -> None:
    world = World().converged()
    world.change(lambda cassandra: cassandra["datacenters"][0].update(size=0))
    result = world.plan()
    assert done(result) == []
    assert condition(result, "DatacenterReady.dc1") == ("False", "InvalidSpec")


def test_a_service_of_an_old_datacenter_is_called_by_the_name_in_its_status() -> None:
    world = World().converged()
    world.ready("kind-dc2", "dc2", datacenterName="Old")
    chain = world.plan().chains["kind-dc2"][0]
    (action,) = chain.actions
    assert isinstance(action, Apply)
    assert action.object["metadata"]["labels"][labels.SERVICE_NAME] == "demo-old-additional-seed-service"


# ── changes ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_change_is_rolled_on_one_datacenter_after_the_other() -> None:
    world = World("dc1", "dc2", "dc3").converged()
    world.change(size(6))
    assert touched(world.plan()) == ["apply dc1"]
    assert waits(world.plan()) == {"dc2": "WaitingForDatacenter", "dc3": "WaitingForDatacenter"}
    order = []
    for _ in range(4):
        result = world.plan()
        order += touched(result)
        world.carry_out(result)
    assert order == ["apply dc1", "apply dc2", "apply dc3"]
    assert condition(world.plan()) == ("True", "AllDatacentersReady")


def racks(*names: str) -> Any:
    return lambda cassandra: [
        entry.update(racks=[{"name": name} for name in names]) for entry in cassandra["datacenters"]
    ]


@pytest.mark.parametrize(
    ("edit", "removes"),
    [
        (size(6), False),
        (size(2), True),
        (racks("r1", "r2", "r3"), False),
        (lambda cassandra: cassandra.update(serverVersion="4.0.18"), False),
    ],
)
def test_a_change_that_takes_nodes_away_says_so(edit: Any, removes: bool) -> None:
    world = World("dc1", racks=[{"name": "r1"}, {"name": "r2"}]).converged()
    world.change(edit)
    [chain] = world.plan().chains["kind-dc1"]
    assert [action.removes for action in chain.actions if isinstance(action, Apply)] == [removes]


def edited_by_hand(world: World) -> None:
    world.live["kind-dc2", "dc2"]["spec"]["size"] = 9


def rendered_otherwise(world: World) -> None:
    found = world.live["kind-dc2", "dc2"]
    found["spec"]["former"] = True
    found["metadata"]["annotations"][labels.RESOURCE_HASH] = "v1:of-an-older-release"


@pytest.mark.parametrize(("differ", "field"), [(edited_by_hand, "spec.size"), (rendered_otherwise, "spec.former")])
def test_what_differs_without_a_change_of_the_user_is_named_and_not_written(differ: Any, field: str) -> None:
    world = World().converged()
    differ(world)
    result = world.plan()
    assert touched(result) == []
    assert condition(result, "RequiresUpdate") == ("True", "SpecDiffers")
    assert condition(result) == ("False", "RequiresUpdate")
    assert field in said(result, "RequiresUpdate")


@pytest.mark.parametrize("differ", [edited_by_hand, rendered_otherwise])
@pytest.mark.parametrize("allowed", ["once", "always"])
def test_the_annotation_allows_to_write_it(differ: Any, allowed: str) -> None:
    world = World().converged()
    differ(world)
    world.metadata["annotations"][labels.AUTOUPDATE_SPEC] = allowed
    assert touched(world.plan()) == ["apply dc2"]


def test_the_annotation_once_goes_when_the_roll_out_is_complete() -> None:
    world = World().converged()
    world.metadata["annotations"][labels.AUTOUPDATE_SPEC] = "once"
    assert done(world.plan(), "") == ["merge K8ssandraCluster demo"]
    world.live["kind-dc2", "dc2"]["status"] = {}
    assert done(world.plan(), "") == []


def test_a_field_that_is_wanted_no_more_is_rolled_out() -> None:
    world = World(networking={"hostNetwork": True}).converged()
    world.change(lambda cassandra: cassandra.pop("networking"))
    assert touched(world.plan()) == ["apply dc1"]


def test_another_operators_hash_over_an_equal_spec_is_only_replaced() -> None:
    world = World().converged()
    world.live["kind-dc1", "dc1"]["metadata"]["annotations"][labels.RESOURCE_HASH] = "YmFzZTY0"
    result = world.plan()
    assert touched(result) == ["merge dc1"]
    (action,) = result.chains["kind-dc1"][0].actions
    assert isinstance(action, Merge)
    assert list(action.patch["metadata"]) == ["annotations"]


def test_metadata_that_alone_changed_is_written_without_asking() -> None:
    world = World().converged()
    stale = world.live["kind-dc1", "dc1"]["metadata"]
    stale["annotations"][labels.RESOURCE_HASH] = "v1:with-another-label"
    result = world.plan()
    (action,) = result.chains["kind-dc1"][0].actions
    assert isinstance(action, Apply)
    assert action.exactly
    assert condition(result, "RequiresUpdate") == ("False", "UpToDate")


@pytest.mark.parametrize("key", ["labels", "finalizers"])
def test_metadata_of_ours_that_somebody_removed_is_put_back_at_once(key: str) -> None:
    world = World().converged()
    former = world.live["kind-dc1", "dc1"]["metadata"].pop(key)
    (action,) = world.plan().chains["kind-dc1"][0].actions
    assert isinstance(action, Merge)
    assert action.patch == {"metadata": {key: former}}


def test_metadata_is_repaired_while_a_change_waits_for_its_turn() -> None:
    world = World().converged()
    world.change(size(6))
    del world.live["kind-dc2", "dc2"]["metadata"]["labels"][labels.CLEANED_UP_BY]
    assert touched(world.plan()) == ["apply dc1", "merge dc2"]


def test_labels_and_finalizers_of_others_stay() -> None:
    world = World().converged()
    found = world.live["kind-dc1", "dc1"]["metadata"]
    found["labels"]["theirs"] = "x"
    found["finalizers"].append("finalizer.cassandra.datastax.com")
    assert done(world.plan()) == []


def test_what_cannot_change_is_refused_and_named() -> None:
    world = World().converged()
    world.change(lambda cassandra: cassandra.update(config={"cassandraYaml": {"num_tokens": 8}}))
    result = world.plan()
    assert touched(result) == []
    assert condition(result, "DatacenterReady.dc1") == ("False", "ImmutableField")
    assert condition(result, "RequiresUpdate") == ("", "")
    assert "num_tokens" in said(result, "DatacenterReady.dc1")


def test_a_cluster_that_runs_is_not_renamed_and_nothing_is_made_under_the_new_name() -> None:
    world = World().converged()
    world.change(lambda cassandra: cassandra.update(clusterName="Other"))
    world.superuser = None  # of the new name
    result = world.plan()
    assert (done(result), result.superuser) == ([], False)
    assert condition(result) == ("False", "ImmutableField")
    assert "spec.cassandra.clusterName" in said(result)


def test_tokens_stay_as_they_are_over_an_upgrade_and_ever_after() -> None:
    world = World(serverVersion="3.11.14").converged()
    world.change(lambda cassandra: cassandra.update(serverVersion="4.0.17"))
    world.converged()
    assert condition(world.plan()) == ("True", "AllDatacentersReady")
    assert world.live["kind-dc1", "dc1"]["spec"]["config"]["cassandra-yaml"]["num_tokens"] == 256


# ── stopped, deleted, wrong, away ───────────────────────────────────────────────────────────────────


def test_a_stopped_datacenter_holds_nothing_up() -> None:
    world = World().converged()
    world.change(lambda cassandra: cassandra["datacenters"][0].update(stopped=True))
    world.carry_out(world.plan())
    result = world.plan()
    assert condition(result) == ("True", "AllDatacentersReady")
    assert condition(result, "DatacenterReady.dc1") == ("False", "Stopped")
    assert said(result) == "1 datacenter is Ready, 1 is stopped, as the specification says"


def test_a_cluster_with_every_datacenter_stopped_is_not_ready() -> None:
    world = World("dc1").converged()
    world.change(lambda cassandra: cassandra["datacenters"][0].update(stopped=True))
    world.carry_out(world.plan())
    result = world.plan()
    assert condition(result) == ("False", "Stopped")
    assert condition(result, "Progressing") == ("False", "Complete")
    assert result.status is not None
    assert result.status.observed_generation == 2


def test_a_datacenter_that_somebody_deleted_is_let_go() -> None:
    world = World().converged()
    world.live["kind-dc1", "dc1"]["metadata"] |= {"deletionTimestamp": "2026-11-23T00:00:00Z"}
    world.live["kind-dc1", "dc1"]["metadata"]["finalizers"].append("theirs")
    result = world.plan()
    (action,) = result.chains["kind-dc1"][0].actions
    assert isinstance(action, Merge)
    assert action.patch == {"metadata": {"finalizers": ["theirs"]}}
    assert condition(result) == ("False", "DatacenterTerminating")


def test_a_datacenter_with_errors_holds_up_what_comes_after_it() -> None:
    world = World().prepared()
    world.cassandra["datacenters"][0]["size"] = 0
    result = world.plan()
    assert touched(result) == []
    assert waits(result)["dc2"] == "WaitingForDatacenter"
    assert problems(result) == [("dc1", "InvalidSpec")]


def test_a_specification_that_is_wrong_as_a_whole_changes_nothing() -> None:
    world = World().converged()
    world.change(lambda cassandra: cassandra.update(serverType="oracle"))
    result = world.plan()
    assert done(result) == []
    assert condition(result) == ("False", "InvalidSpec")
    assert result.status is not None
    assert sorted(result.status.datacenters) == ["dc1", "dc2"]


@pytest.mark.parametrize("datacenters", [[], None])
def test_no_datacenters_delete_nothing(datacenters: Any) -> None:
    world = World().converged()
    world.change(lambda cassandra: cassandra.update(datacenters=datacenters or []))
    result = world.plan()
    assert (done(result), condition(result)) == ([], ("False", "InvalidSpec"))


def test_no_cassandra_at_all_deletes_nothing() -> None:
    world = World().converged()
    world.manifest["spec"]["cassandra"] = None
    assert (done(world.plan()), condition(world.plan())) == ([], ("False", "InvalidSpec"))


def test_a_context_that_is_away_holds_up_only_what_depends_on_it() -> None:
    world = World("dc1", "dc2", "dc3").converged()
    world.away = {"kind-dc1": AWAY}
    world.seeds["dc2"] = ("10.2.0.9",)
    result = world.plan()
    assert list(result.chains) == ["kind-dc3"]
    assert problems(result) == [("dc1", "DatacenterUnreachable")]
    assert condition(result, "DatacenterReady.dc2") == ("True", "Ready")
    assert "kind-dc1" in said(result, "DatacenterReady.dc1")


def test_a_datacenter_that_left_the_specification_is_reported_and_nothing_is_deleted() -> None:
    world = World("dc1", "dc2").converged()
    world.change(lambda cassandra: cassandra["datacenters"].pop())
    world.seeds.pop("dc2")
    result = world.plan()
    assert [entry for entry in done(result) if "CassandraDatacenter" in entry] == []
    assert problems(result) == [("dc2", "DatacenterNotInSpec")]
    assert result.status is not None
    assert result.status.datacenters["dc2"]["contextName"] == "kind-dc2"


def test_a_datacenter_that_left_and_is_gone_leaves_the_status_too() -> None:
    world = World("dc1", "dc2").converged()
    world.change(lambda cassandra: cassandra["datacenters"].pop())
    del world.live["kind-dc2", "dc2"]
    status = world.plan().status
    assert status is not None
    assert list(status.datacenters) == ["dc1"]


@pytest.mark.parametrize("seen", [True, False])
def test_a_datacenter_does_not_move_to_another_context(seen: bool) -> None:
    world = World("dc1", "dc2").converged()
    world.change(lambda cassandra: cassandra["datacenters"][1].update(k8sContext="kind-elsewhere"))
    world.unknown = set() if seen else {"kind-dc2"}
    result = world.plan()
    assert touched(result) == []
    assert ("dc2", "DatacenterMoved") in problems(result)
    assert result.status is not None
    assert result.status.datacenters["dc2"]["contextName"] == "kind-dc2"


def test_a_datacenter_is_not_renamed_by_adding_and_removing_at_once() -> None:
    world = World("dc1", "dc2").converged()
    world.change(lambda cassandra: cassandra["datacenters"][1].update(metadata={"name": "dc9"}))
    result = world.plan()
    assert touched(result) == []
    assert ("dc9", "DatacenterMoved") in problems(result)


# ── objects of the control plane ────────────────────────────────────────────────────────────────────


def test_a_users_own_superuser_secret_gets_labels_and_survives() -> None:
    world = World(superuserSecretRef={"name": "mine"}).prepared()
    assert world.superuser is not None
    world.superuser["metadata"] |= {"name": "mine", "labels": {"theirs": "x"}}
    (action,) = [action for chain in world.plan().chains[""] for action in chain.actions]
    assert isinstance(action, Merge)
    assert action.patch["metadata"]["labels"] == labels.replicated("demo", "ns")
    assert action.patch["metadata"]["annotations"] == {"replicatedresource.k8ssandra.io/orphan": "true"}


def test_a_superuser_secret_of_another_cluster_is_not_taken() -> None:
    world = World().prepared()
    assert world.superuser is not None
    world.superuser["metadata"]["labels"] = labels.replicated("other", "ns")
    world.superuser_of, world.secrets_ready = "ns/other", False
    result = world.plan()
    assert (done(result, ""), problems(result)) == ([], [("", "NameConflict")])


def test_a_foreign_replicated_secret_is_left_alone() -> None:
    world = World().prepared()
    world.replicated = {"metadata": {"name": "demo", "namespace": "ns", "uid": "theirs"}, "spec": {}}
    result = world.plan()
    assert (done(result, ""), problems(result)) == ([], [("", "NameConflict")])


def test_a_changed_target_is_applied_to_the_replicated_secret() -> None:
    world = World().converged()
    world.change(lambda cassandra: cassandra["datacenters"].append(datacenter("dc3")))
    assert done(world.plan(), "") == ["apply ReplicatedSecret demo"]


def test_external_secrets_need_neither_secret_nor_replication() -> None:
    world = World(spec={"secretsProvider": "external"}).prepared()
    world.superuser = world.replicated = None
    result = world.plan()
    assert (done(result, ""), result.superuser, touched(result)) == ([], False, ["create dc1"])


def test_a_config_map_or_slice_with_another_operators_hash_is_written_once() -> None:
    world = World().converged()
    for store in (world.config_maps, world.slices):
        for obj in store.values():
            obj["metadata"]["annotations"][labels.RESOURCE_HASH] = "YmFzZTY0"
    result = world.plan()
    assert len(done(result)) == 4
    world.carry_out(result)
    assert done(world.plan()) == []
