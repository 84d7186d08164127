"""ClientConfigs that come, change and go after the pool was built."""

from __future__ import annotations

from typing import Any

import msgspec

from controller.fleet.pool import Moves, Pool
from controller.fleet.state import Reason
from controller.kube.objects import Object, parse
from tests.unit.fleet.test_pool import config, naming, pool_of, problem

NOTHING: dict[str, list[str]] = {"begun": [], "ended": [], "told": []}


def names(moves: Moves) -> dict[str, list[str]]:
    return {key: [member.name for member in getattr(moves, key)] for key in ("begun", "ended", "told")}


def follow(pool: Pool, found: Object) -> dict[str, list[str]]:
    return names(pool.follow(found.head.namespace, found.head.name, found))


def remove(pool: Pool, name: str) -> dict[str, list[str]]:
    return names(pool.follow("ns", name, None))


def at_generation(found: Object, generation: int, **spec: Any) -> Object:
    whole = found.decode(dict)
    whole["metadata"]["generation"] = generation
    return parse(msgspec.json.encode({**whole, "spec": {**whole["spec"], **spec}}))


def contexts(pool: Pool) -> list[str]:
    return [cluster.context for cluster in pool]


async def test_a_new_one_is_begun() -> None:
    pool = await pool_of(config("a", naming("east")))
    assert follow(pool, config("b", naming("west"))) == {"begun": ["b"], "ended": [], "told": ["b"]}
    assert contexts(pool) == ["", "east", "west"]
    assert problem(pool, "b") is None


async def test_what_does_not_touch_the_specification_moves_nothing() -> None:
    first = config("a", naming("east"))
    pool = await pool_of(first)
    before = pool.get("east")
    assert follow(pool, first) == NOTHING
    assert pool.get("east") is before


async def test_a_generation_that_leads_the_same_way_keeps_the_cluster() -> None:
    first = config("a", naming("east"))
    pool = await pool_of(first)
    before = pool.get("east")
    assert follow(pool, at_generation(first, 4, more=1)) == {"begun": [], "ended": [], "told": ["a"]}
    assert pool.get("east") is before
    assert follow(pool, at_generation(first, 4, more=1)) == NOTHING


async def test_one_of_another_context_has_another_cluster() -> None:
    first = config("a", naming("east"))
    pool = await pool_of(first)
    moved = at_generation(first, 4, contextName="west")
    assert follow(pool, moved) == {"begun": ["a"], "ended": ["a"], "told": ["a"]}
    assert contexts(pool) == ["", "west"]


async def test_one_made_anew_under_its_name_has_a_cluster_of_its_own() -> None:
    pool = await pool_of(config("a", naming("east"), uid="1"))
    before = pool.get("east")
    assert before is not None
    assert follow(pool, config("a", naming("east"), uid="2")) == {"begun": ["a"], "ended": ["a"], "told": ["a"]}
    assert pool.get("east") is not before
    assert not pool.present(before)


async def test_one_that_is_deleted_is_gone() -> None:
    pool = await pool_of(config("a", naming("east")), config("b", naming("west")))
    assert remove(pool, "a") == {"begun": [], "ended": ["a"], "told": []}
    assert contexts(pool) == ["", "west"]
    assert pool.member("ns", "a") is None
    assert pool.holder("east") is None
    assert remove(pool, "a") == NOTHING


async def test_a_context_passes_to_the_oldest_of_those_that_wait_for_it() -> None:
    pool = await pool_of(
        config("a", naming("east"), created="2026-01-01T00:00:00Z"),
        config("b", naming("east"), created="2026-03-01T00:00:00Z"),
        config("c", naming("east"), created="2026-02-01T00:00:00Z"),
    )
    assert remove(pool, "a") == {"begun": ["c"], "ended": ["a"], "told": ["b"]}
    assert problem(pool, "c") is None
    assert problem(pool, "b") == (
        Reason.DUPLICATE_CONTEXT,
        "ClientConfig ns/b: context 'east' belongs to the older ClientConfig ns/c; set another spec.contextName or "
        "delete one of them",
    )


async def test_a_connected_one_keeps_its_context_from_an_older_one() -> None:
    old = config("a", naming("west"), created="2026-01-01T00:00:00Z")
    pool = await pool_of(old, config("b", naming("east"), created="2026-02-01T00:00:00Z"))
    before = pool.get("east")
    assert follow(pool, at_generation(old, 4, contextName="east")) == {"begun": [], "ended": ["a"], "told": ["a", "a"]}
    assert pool.get("east") is before
    assert problem(pool, "a") == (
        Reason.DUPLICATE_CONTEXT,
        "ClientConfig ns/a: context 'east' belongs to the ClientConfig ns/b; set another spec.contextName or delete "
        "one of them",
    )


async def test_one_that_becomes_invalid_lets_its_context_go() -> None:
    first = config("a", naming("east"), uid="1")
    pool = await pool_of(first, config("b", naming("east"), uid="2"))
    changed = at_generation(first, 4, kubeConfigSecret={"name": ""})
    assert follow(pool, changed) == {"begun": ["b"], "ended": ["a"], "told": ["a"]}
    found = problem(pool, "a")
    assert found is not None
    assert found[0] is Reason.INVALID_SPEC


async def test_one_that_is_repaired_is_begun() -> None:
    broken = config("a", naming("east", ""))
    pool = await pool_of(broken)
    assert contexts(pool) == [""]
    repaired = at_generation(broken, 4, kubeConfigSecret={"name": "secret"})
    assert follow(pool, repaired) == {"begun": ["a"], "ended": [], "told": ["a"]}
    assert contexts(pool) == ["", "east"]
