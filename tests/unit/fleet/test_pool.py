from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from controller.engine.chance import Chance
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.fleet.state import Reason
from controller.kube.credentials import StaticCredentials
from controller.kube.objects import Object, parse


def config(
    name: str, spec: Any, *, namespace: str = "ns", uid: str = "", created: str = "2026-01-01T00:00:00Z"
) -> Object:
    metadata = {"name": name, "namespace": namespace, "uid": uid or name, "generation": 3, "creationTimestamp": created}
    return parse(msgspec.json.encode({"metadata": metadata, "spec": spec}))


def naming(context: str, secret: str = "kubeconfig") -> dict[str, Any]:
    return {"contextName": context, "kubeConfigSecret": {"name": secret}}


async def pool_of(*configs: Object) -> Pool:
    def no_client(_: StaticCredentials, context: str) -> Any:
        raise AssertionError("the pool connects to nothing by itself")

    made = Pool(
        Cluster("", [], (), Random(0)), lambda c: Cluster(c, [], (), Random(0)), no_client, Chance(Random(0)), ()
    )
    assert not made.built
    made.build(configs)
    return made


def problem(pool: Pool, name: str, namespace: str = "ns") -> tuple[Reason, str] | None:
    member = pool.member(namespace, name)
    assert member is not None
    assert (member.problem is None) is (member.cluster is not None) is (member.connection is not None)
    return None if member.problem is None else (member.problem.reason, member.problem.message)


async def test_every_client_config_has_a_cluster_of_its_own() -> None:
    pool = await pool_of(config("a", naming("east")), config("b", naming("west")))
    assert [cluster.context for cluster in pool] == ["", "east", "west"]
    assert pool.get("") is pool.local
    assert pool.get("north") is None
    assert pool.built


@pytest.mark.parametrize("context", [None, ""])
async def test_without_a_context_the_name_counts(context: str | None) -> None:
    spec = naming("x") | {"contextName": context}
    pool = await pool_of(config("dc-1", spec))
    assert pool.get("dc-1") is not None
    assert pool.get("") is pool.local


@pytest.mark.parametrize("spec", [None, {}, {"kubeConfigSecret": None}, {"kubeConfigSecret": {"name": ""}}])
async def test_a_spec_without_a_secret_is_invalid(spec: Any) -> None:
    pool = await pool_of(config("a", spec), config("b", naming("west")))
    assert problem(pool, "a") == (
        Reason.INVALID_SPEC,
        "ClientConfig ns/a: spec.kubeConfigSecret.name is empty; name the Secret of this namespace that holds the "
        "kubeconfig",
    )
    assert problem(pool, "b") is None


@pytest.mark.parametrize("name", ["../x", "a/b", "UPPER", "a..b", "-a", "a b", "a" * 254, "other/secret"])
async def test_a_name_that_no_secret_can_have_is_invalid(name: str) -> None:
    found = problem(await pool_of(config("a", naming("east", name))), "a")
    assert found is not None
    assert found[0] is Reason.INVALID_SPEC
    assert "ClientConfig ns/a: spec.kubeConfigSecret.name" in found[1]
    assert "only Secrets of namespace ns" in found[1]


@pytest.mark.parametrize("spec", ["text", [], {"kubeConfigSecret": "x"}, {"contextName": 5}, {"kubeConfigSecret": []}])
async def test_a_spec_of_another_shape_is_invalid_and_harms_nobody(spec: Any) -> None:
    pool = await pool_of(config("a", spec), config("b", naming("west")))
    found = problem(pool, "a")
    assert found is not None
    assert found[0] is Reason.INVALID_SPEC
    assert "$.spec" in found[1]
    assert problem(pool, "b") is None


async def test_unknown_fields_are_ignored() -> None:
    assert problem(await pool_of(config("a", naming("east") | {"more": {"x": 1}})), "a") is None


async def test_of_two_with_one_context_the_older_has_it() -> None:
    young = config("a", naming("east"), created="2026-02-01T00:00:00Z")
    old = config("b", naming("east"), namespace="other", created="2026-01-01T00:00:00Z")
    for order in ((young, old), (old, young)):
        pool = await pool_of(*order)
        assert problem(pool, "b", "other") is None
        assert problem(pool, "a") == (
            Reason.DUPLICATE_CONTEXT,
            "ClientConfig ns/a: context 'east' belongs to the older ClientConfig other/b; set another "
            "spec.contextName or delete one of them",
        )


async def test_of_two_of_one_age_the_lower_uid_has_it() -> None:
    one, two = config("a", naming("east"), uid="2"), config("b", naming("east"), uid="1")
    for order in ((one, two), (two, one)):
        pool = await pool_of(*order)
        assert problem(pool, "b") is None
        assert problem(pool, "a") is not None


async def test_an_invalid_one_takes_no_context_from_others() -> None:
    pool = await pool_of(config("a", naming("east", ""), uid="1"), config("b", naming("east"), uid="2"))
    assert problem(pool, "b") is None


async def test_a_changed_secret_wakes_those_that_use_it() -> None:
    pool = await pool_of(
        config("a", naming("east", "one")),
        config("b", naming("west", "one")),
        config("c", naming("north", "two")),
        config("d", naming("south", "one"), namespace="other"),
    )
    woken: list[str] = []
    for member in pool.members():
        assert member.connection is not None
        member.connection.wake = lambda name=member.name: woken.append(name)  # type: ignore[method-assign,misc]
    pool.secret_changed("ns", "one")
    assert woken == ["a", "b"]
