from __future__ import annotations

from typing import Any

import pytest

from controller.fleet.cache import Cache
from controller.kube.resources import SECRETS
from controller.replication.copier import candidates
from controller.replication.reconcile import LOCAL_WATCHES
from controller.replication.selections import selecting
from controller.replication.types import REPLICATED_SECRETS, LabelSelector
from tests.unit.cassandra.caches import bare, stored

Json = dict[str, Any]
TWO_LABELS = {"matchLabels": {"b": "2", "a": "1"}}
ANOTHER = {"matchLabels": {"c": "3"}}


@pytest.fixture
def cache() -> Cache:
    return Cache(LOCAL_WATCHES, ())


def put(cache: Cache, version: int = 5, **selectors: Json | None) -> None:
    """ReplicatedSecrets by name, with their selectors."""
    (store,) = cache.stores[REPLICATED_SECRETS].values()
    objects = [bare(REPLICATED_SECRETS, name, spec={"selector": selector}) for name, selector in selectors.items()]
    store.replace([stored(obj, version) for obj in objects], str(version))


def found(cache: Cache, namespace: str = "ns", **labels: str) -> list[str]:
    return sorted(each.head.name for each in selecting(cache, namespace, labels))


def test_a_secret_leads_to_those_that_ask_for_labels_which_it_has(cache: Cache) -> None:
    put(cache, one=TWO_LABELS, other=ANOTHER)
    assert found(cache, a="1", b="2", d="4") == ["one"]
    assert found(cache, a="1", b="2", c="3") == ["one", "other"]


def test_another_value_a_missing_label_or_another_namespace_leads_nowhere(cache: Cache) -> None:
    put(cache, one=TWO_LABELS)
    assert found(cache, a="1", b="3") == []
    assert found(cache, a="1") == []
    assert found(cache, "else", a="1", b="2") == []


def test_expressions_alone_may_select_every_secret_of_the_namespace(cache: Cache) -> None:
    put(cache, one={"matchExpressions": [{"key": "a", "operator": "Exists"}]})
    assert found(cache) == ["one"]
    assert found(cache, "else", a="1") == []


@pytest.mark.parametrize("selector", [None, "no selector", {"matchLabels": [1]}])
def test_what_has_no_selector_selects_nothing(cache: Cache, selector: Any) -> None:
    put(cache, one=selector, other=ANOTHER)
    assert found(cache, a="1", c="3") == ["other"]


def test_a_selector_that_changes_is_forgotten_and_so_is_one_that_is_gone(cache: Cache) -> None:
    put(cache, one=TWO_LABELS, other=TWO_LABELS)
    put(cache, 6, one=ANOTHER, other=TWO_LABELS)
    assert found(cache, a="1", b="2") == ["other"]
    assert found(cache, c="3") == ["one"]
    put(cache, 7)
    assert found(cache, a="1", b="2", c="3") == []


def test_secrets_are_looked_for_by_the_rarest_label(cache: Cache) -> None:
    (store,) = cache.stores[SECRETS].values()
    secrets = [bare(SECRETS, f"s{number}", {"all": "x", "name": f"n{number}"}) for number in range(9)]
    store.replace([stored(obj) for obj in secrets], "5")
    selector = LabelSelector(match_labels={"all": "x", "name": "n3"})
    assert [each.head.name for each in candidates(cache, "ns", selector)] == ["s3"]
    assert len(candidates(cache, "ns", LabelSelector(match_labels={"all": "x"}))) == 9
    assert len(candidates(cache, "ns", LabelSelector())) == 9
