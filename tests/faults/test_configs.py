"""ClientConfigs that come, go, miss their Secret or lead where another one leads: nobody else notices. Virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache

from controller.cassandra.resources import CASSANDRA_DATACENTERS
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.resources import SECRETS, Resource
from controller.kube.transport import Request, Response
from tests.faults import faults
from tests.faults.path import Seen
from tests.faults.virtual import simulate
from tests.faults.world import NAMESPACE, World, k8ssandra_cluster, until, world

AT = 30.0  # s at which it happens
END = 120.0  # s


def remove(one: World, resource: Resource, name: str, context: str = "") -> None:
    server = one.servers[context]
    answer = server.handle(Request(method="DELETE", path=resource.path(NAMESPACE, name)), token=server.admin_token)
    assert isinstance(answer, Response)
    assert answer.status == 200


async def east_while(
    happens: Callable[[World], Awaitable[None] | None] | None,
    before: Callable[[World], None] | None = None,
    **settings: bool,
) -> list[Seen]:
    """Every request that cluster ``east`` sees while something happens elsewhere, and a change at that moment."""
    async with world(["east", "west", "north"]) as one:
        one.register("east")
        if before is not None:
            before(one)
        one.apply(k8ssandra_cluster("near", {"east": 1}))
        one.start(**settings)
        await asyncio.sleep(AT)
        one.apply(k8ssandra_cluster("near", {"east": 2}))
        if happens is not None and (done := happens(one)) is not None:
            await done
        await asyncio.sleep(END - asyncio.get_running_loop().time())
        assert one.ready("near")
        assert not [entry for entry in one.logs if entry.get("exc_info")]
        await one.stop()
        return [seen for seen in one.seen if seen.context == "east"]


@cache
def plain() -> list[Seen]:
    return simulate(lambda: east_while(None))


def test_a_new_client_config_is_said_to_need_a_restart_and_nobody_notices() -> None:
    async def happens(one: World) -> None:
        one.register("west")
        await until(lambda: one.condition("west").get("reason") == "RestartRequired", "it is said", 2.0)

    assert simulate(lambda: east_while(happens)) == plain()


def test_with_hot_reload_a_new_client_config_is_connected_and_nobody_notices() -> None:
    async def happens(one: World) -> None:
        one.register("west")
        await until(lambda: one.condition("west").get("reason") == "Connected", "it is connected", 5.0)

    assert simulate(lambda: east_while(happens, hot_reload=True)) == plain()


def test_a_client_config_without_its_secret_hurts_itself_only_and_needs_nothing_but_the_secret() -> None:
    async def happens(one: World) -> None:
        assert one.condition("west")["reason"] == "SecretNotFound"
        assert next(shown.time for shown in one.shown_of("west")) <= 2.0
        one.put_secret("west", "west", "west")
        await until(lambda: one.condition("west")["reason"] == "Connected", "it is connected", 2.0)

    assert simulate(lambda: east_while(happens, lambda one: one.register("west", secret=False))) == plain()


def test_a_deleted_secret_disconnects_and_deletes_nothing() -> None:
    def before(one: World) -> None:
        one.register("west")
        one.apply(k8ssandra_cluster("far", {"west": 1}))

    async def happens(one: World) -> None:
        remove(one, SECRETS, "west-config")
        await until(lambda: one.condition("west")["reason"] == "SecretNotFound", "it is said", 2.0)
        await until(lambda: not one.paths["west"].streams, "there is no connection left", 5.0)
        await asyncio.sleep(60.0)
        assert one.writes("west", since=AT) == []
        assert one.get(CASSANDRA_DATACENTERS, "far-west", "west") is not None

    assert simulate(lambda: east_while(happens, before)) == plain()


def test_of_two_contexts_that_are_one_cluster_the_newer_is_not_used() -> None:
    def before(one: World) -> None:
        one.register("west")
        one.register("north", plane="west")  # created at the same second: the UID decides

    async def happens(one: World) -> None:
        reasons = sorted(one.condition(name)["reason"] for name in ("west", "north"))
        assert reasons == ["Connected", "SameCluster"]
        assert one.writes("west") == []

    assert simulate(lambda: east_while(happens, before)) == plain()


def test_a_cluster_that_was_replaced_waits_for_a_persons_word() -> None:
    def before(one: World) -> None:
        one.register("west")
        one.apply(k8ssandra_cluster("far", {"west": 1}))

    async def happens(one: World) -> None:
        path = one.paths["west"]
        path.begin(faults.Moved())
        another = path.server
        await until(lambda: one.condition("west")["reason"] == "IdentityChanged", "it is said", 4.0)
        await asyncio.sleep(30.0)
        assert not [entry for entry in another.record.writes if entry.user_agent == "controller"]
        one.apply(
            {
                "apiVersion": CLIENT_CONFIGS.api_version,
                "kind": CLIENT_CONFIGS.kind,
                "metadata": {"name": "west", "annotations": {"k8ssandra.io/cluster-uid": None}},
            }
        )
        await until(lambda: one.condition("west")["reason"] == "Connected", "it is taken", 5.0)
        created = [entry.subject.resource for entry in another.record.writes if entry.user_agent == "controller"]
        await until(lambda: bool(created), "it is worked on", 5.0)

    assert simulate(lambda: east_while(happens, before)) == plain()


def test_clusters_that_come_and_go_leave_nothing_behind() -> None:
    cycles = 50

    def before(one: World) -> None:
        one.register("west")
        one.apply(k8ssandra_cluster("far", {"west": 1}))

    async def happens(one: World) -> None:
        await until(lambda: one.ready("far"), "it is Ready", 20.0)
        tasks = len(asyncio.all_tasks())
        written = len(one.writes("west"))
        streams = len(one.paths["west"].streams)
        for _ in range(cycles):
            remove(one, CLIENT_CONFIGS, "west")
            await until(lambda: not one.paths["west"].wires, "every connection is closed", 5.0)
            one.register("west")
            await until(lambda: one.condition("west").get("reason") == "Connected", "it is back", 5.0)
            await until(lambda: len(one.paths["west"].streams) == streams, "it is watched", 5.0)
        await asyncio.sleep(5.0)
        assert len(asyncio.all_tasks()) == tasks
        assert len(one.writes("west")) == written
        assert one.servers["west"].watches == streams + 1  # and the operator's

    async def run() -> None:
        await east_while(happens, before, hot_reload=True)

    simulate(run)
