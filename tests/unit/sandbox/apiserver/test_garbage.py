"""Garbage collection along ownerReferences."""

from __future__ import annotations

import json

import pytest

from controller.sandbox.apiserver import ApiServer
from tests.unit.sandbox.apiserver.conftest import Asker, Json, owned_by

MAPS = "/api/v1/namespaces/default/configmaps"


def make(ask: Asker, name: str, metadata: Json | None = None, path: str = MAPS) -> Json:
    return ask.ok("POST", path, {"metadata": {"name": name} | (metadata or {})})


def there(ask: Asker, path: str = MAPS) -> list[str]:
    return [item["metadata"]["name"] for item in ask.ok("GET", path)["items"]]


def test_dependents_go_with_their_last_owner(ask: Asker) -> None:
    owner = make(ask, "owner")
    child = make(ask, "child", owned_by(owner))
    make(ask, "grandchild", owned_by(child))
    ask.ok("DELETE", f"{MAPS}/owner")
    assert there(ask) == []


def test_one_living_owner_is_enough_and_the_dead_one_is_unlinked(ask: Asker) -> None:
    one, two = make(ask, "one"), make(ask, "two")
    both = owned_by(one)["ownerReferences"] + owned_by(two)["ownerReferences"]
    make(ask, "child", {"ownerReferences": both})
    ask.ok("DELETE", f"{MAPS}/one")
    child = ask.ok("GET", f"{MAPS}/child")
    assert [owner["name"] for owner in child["metadata"]["ownerReferences"]] == ["two"]


def test_an_owner_of_another_uid_is_no_owner(ask: Asker) -> None:
    owner = make(ask, "owner")
    owner["metadata"]["uid"] = "another"
    make(ask, "child", owned_by(owner))
    assert there(ask) == ["owner"]


def test_an_owner_in_another_namespace_is_no_owner(ask: Asker) -> None:
    owner = make(ask, "owner")
    elsewhere = "/api/v1/namespaces/kube-public/configmaps"
    make(ask, "child", owned_by(owner), path=elsewhere)
    assert there(ask, elsewhere) == []


def test_an_owner_of_a_kind_that_is_not_served_proves_nothing(ask: Asker) -> None:
    reference = {"apiVersion": "nowhere.example.com/v1", "kind": "Gone", "name": "x", "uid": "y"}
    make(ask, "child", {"ownerReferences": [reference]})
    assert there(ask) == ["child"]


def test_a_cluster_scoped_owner_owns_in_every_namespace(ask: Asker) -> None:
    namespace = ask.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "owner"}})
    make(ask, "child", owned_by(namespace))
    assert there(ask) == ["child"]
    ask.ok("DELETE", "/api/v1/namespaces/owner")
    assert there(ask) == []


def test_foreground_deletion_waits_for_what_blocks_it(ask: Asker) -> None:
    owner = make(ask, "owner")
    make(ask, "held", owned_by(owner, blockOwnerDeletion=True) | {"finalizers": ["example.com/held"]})
    ask.ok("DELETE", f"{MAPS}/owner", propagationPolicy="Foreground")
    assert there(ask) == ["held", "owner"]
    assert "deletionTimestamp" in ask.ok("GET", f"{MAPS}/held")["metadata"]
    ask.merge(f"{MAPS}/held", {"metadata": {"finalizers": None}})
    assert there(ask) == []


def test_foreground_deletion_does_not_wait_for_what_does_not_block_it(ask: Asker) -> None:
    owner = make(ask, "owner")
    make(ask, "held", owned_by(owner) | {"finalizers": ["example.com/held"]})
    ask.ok("DELETE", f"{MAPS}/owner", propagationPolicy="Foreground")
    assert there(ask) == ["held"]


def test_orphaned_dependents_stay_without_their_owner(ask: Asker) -> None:
    owner = make(ask, "owner")
    make(ask, "child", owned_by(owner))
    ask.ok("DELETE", f"{MAPS}/owner", propagationPolicy="Orphan")
    assert there(ask) == ["child"]
    assert "ownerReferences" not in ask.ok("GET", f"{MAPS}/child")["metadata"]


def test_nothing_is_collected_between_steps(server: ApiServer, ask: Asker) -> None:
    server.settle_delay = None
    make(ask, "child", {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "y"}]})
    assert there(ask) == ["child"]
    server.settle()
    assert there(ask) == []


@pytest.mark.parametrize("policy", ["Foreground", "Background"])
def test_a_chain_goes_whole(ask: Asker, policy: str) -> None:
    last = make(ask, "n0")
    for number in range(1, 6):
        last = make(ask, f"n{number}", owned_by(last, blockOwnerDeletion=True))
    answer = ask("DELETE", f"{MAPS}/n0", propagationPolicy=policy)
    assert json.loads(answer.body)["kind"] == ("Status" if policy == "Background" else "ConfigMap")
    assert there(ask) == []
