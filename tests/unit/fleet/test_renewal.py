"""With --renew-tokens a token that ends is replaced in its Secret before."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import msgspec
import pytest
import yaml

from controller.definitions import definitions
from controller.fleet.connection import Connection
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube import validity
from controller.kube.client import Client
from controller.kube.resources import CRDS, EVENTS, SECRETS, SERVICE_ACCOUNTS
from controller.sandbox.apiserver import ApiServer, Fault
from tests.unit.fleet.test_status import LoopClock
from tests.unit.fleet.world import AUTHORITY, FIRST, NAMESPACE, Fleet, eventually
from tests.unit.fleet.world import fleet as make_fleet
from tests.unit.kube.test_validity import jwt
from tests.unit.test_supervisor import Run, kubeconfig

pytestmark = pytest.mark.looptime

LIFETIME = 600  # s; the shortest that the API allows


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with make_fleet() as made:
        for name, definition in definitions().items():
            if not name.startswith("clientconfigs"):
                await made.client.create(CRDS, "", definition)
        # Tokens end in the same time as that of the controller.
        made.servers[FIRST] = ApiServer(name=FIRST, rng=Random(FIRST), authority=AUTHORITY, clock=LoopClock())
        yield made


async def account_token(fleet: Fleet, lifetime: int = LIFETIME) -> str:
    client = fleet.remote()
    await client.create(SERVICE_ACCOUNTS, "default", {"metadata": {"name": "k8ssandra-controller"}})
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": lifetime}}
    path = SERVICE_ACCOUNTS.path("default", "k8ssandra-controller", "token")
    return str(yaml.safe_load(await client.raw("POST", path, body=body))["status"]["token"])


async def started(fleet: Fleet, token: str, **settings: Any) -> Run:
    await fleet.put_secret(kubeconfig(fleet, FIRST, "east", token), "east", type="Opaque")
    await fleet.put_config("east", secret="east", context="east")
    run = Run(fleet, LoopClock(), **{"renew_tokens": True, **settings})
    run.start()
    await run.ready()
    await run.until("east", "CRDMissing")
    return run


async def content(fleet: Fleet) -> bytes:
    found = await fleet.client.get(SECRETS, NAMESPACE, "east")
    return base64.b64decode(found.decode(dict)["data"]["kubeconfig"])


async def token_in(fleet: Fleet) -> str:
    return str(yaml.safe_load(await content(fleet))["users"][0]["user"]["token"])


def connection(run: Run) -> Connection:
    member = run.controller.pool.member(NAMESPACE, "east")
    assert member is not None
    assert member.connection is not None
    return member.connection


def in_use(run: Run) -> str:
    access = connection(run).access
    assert access is not None
    return access.token


def json_of(token: str) -> dict[str, Any]:
    """The claims of a token."""
    payload = token.split(".")[1]
    found: dict[str, Any] = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


async def events(fleet: Fleet, reason: str) -> list[dict[str, Any]]:
    found = [event.decode(dict) for event in await fleet.client.list_all(EVENTS, NAMESPACE)]
    return [event for event in found if event["reason"] == reason]


async def test_a_token_is_renewed_before_a_fifth_of_its_life_is_left(fleet: Fleet) -> None:
    token = await account_token(fleet)
    run = await started(fleet, token)
    before = await content(fleet)
    made = connection(run).generation
    await asyncio.sleep(0.6 * LIFETIME)
    assert await token_in(fleet) == token
    await asyncio.sleep(0.15 * LIFETIME)
    renewed = await token_in(fleet)
    assert renewed != token
    ends = validity.of_token(renewed)
    assert ends is not None
    assert ends.ends - LoopClock().now().timestamp() > 0.7 * LIFETIME
    assert await content(fleet) == before.replace(token.encode(), renewed.encode())
    await eventually(lambda: in_use(run) == renewed, "the new token is in use", within=3.0)
    assert connection(run).generation == made  # the same connection, so no watch was dropped
    assert run.metric("remote_cluster_token_renewals_total", context="east", result="ok") == 1.0
    await asyncio.sleep(2)
    [event] = await events(fleet, "TokenRenewed")
    assert event["type"] == "Normal"
    assert renewed not in event["message"]
    assert await events(fleet, "CredentialsExpireSoon") == []


async def test_it_goes_on_and_on(fleet: Fleet) -> None:
    run = await started(fleet, await account_token(fleet))
    await asyncio.sleep(3 * LIFETIME)
    assert run.metric("remote_cluster_token_renewals_total", context="east", result="ok") == 4.0
    assert await run.reason("east") == "CRDMissing"


async def test_without_the_flag_nothing_is_renewed_and_people_are_warned(fleet: Fleet) -> None:
    token = await account_token(fleet)
    await started(fleet, token, renew_tokens=False)
    await asyncio.sleep(0.9 * LIFETIME)
    assert await token_in(fleet) == token
    assert len(await events(fleet, "CredentialsExpireSoon")) == 1


async def test_a_token_without_an_end_is_left_alone(fleet: Fleet) -> None:
    token = fleet.servers[FIRST].admin_token
    await started(fleet, token)
    await asyncio.sleep(2000)
    assert await token_in(fleet) == token
    assert fleet.servers[FIRST].record.requests(verb="create", resource="serviceaccounts") == 0


@pytest.mark.parametrize("status", [403, 500])
async def test_a_failure_is_said_and_the_old_token_goes_on(fleet: Fleet, status: int) -> None:
    token = await account_token(fleet)
    run = await started(fleet, token)
    server = fleet.servers[FIRST]
    fault = Fault(verb="create", resource="serviceaccounts", status=status, times=None)
    server.faults.add(fault)
    await asyncio.sleep(0.85 * LIFETIME)
    assert (await token_in(fleet), in_use(run)) == (token, token)
    found = await events(fleet, "TokenRenewalFailed")
    assert found
    assert {event["type"] for event in found} == {"Warning"}
    assert all(token not in event["message"] for event in found)
    assert ("manifests/token-renewal" in found[0]["message"]) is (status == 403)
    asked = run.metric("remote_cluster_token_renewals_total", context="east")
    assert asked is not None
    assert 1 <= asked < 12
    server.faults.remove(fault)
    await asyncio.sleep(0.14 * LIFETIME)
    assert await token_in(fleet) != token


async def test_it_goes_on_without_the_client_config_as_its_cluster_does(fleet: Fleet) -> None:
    token = await account_token(fleet)
    await started(fleet, token)
    await fleet.delete(CLIENT_CONFIGS, "east")
    await asyncio.sleep(0.8 * LIFETIME)
    assert await token_in(fleet) != token


@pytest.mark.parametrize("answer", [{}, {"token": ""}, {"token": "abc"}, "older", "another's"])
async def test_an_answer_that_is_no_later_token_of_the_account_is_not_taken(
    fleet: Fleet, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await account_token(fleet)
    if answer == "older":
        answer = {"token": token}
    elif answer == "another's":
        answer = {"token": jwt({"exp": 4_000_000_000, "sub": "system:serviceaccount:default:other"})}
    original = Client.raw

    async def raw(self: Client, method: str, path: str, **options: Any) -> bytes:
        if path.endswith("/token"):
            return msgspec.json.encode({"status": answer})
        return await original(self, method, path, **options)

    run = await started(fleet, token)
    monkeypatch.setattr(Client, "raw", raw)
    await asyncio.sleep(0.75 * LIFETIME)
    assert (await token_in(fleet), in_use(run)) == (token, token)
    assert run.metric("remote_cluster_token_renewals_total", context="east", result="not_renewed") is not None


async def test_a_token_that_is_no_accounts_is_said(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await account_token(fleet)
    run = await started(fleet, token)
    claims = validity.claims(jwt({**json_of(token), "sub": "somebody"}))
    monkeypatch.setattr(validity, "claims", lambda _: claims)
    await asyncio.sleep(0.75 * LIFETIME)
    assert in_use(run) == token
    assert "it is no service account's token" in (await events(fleet, "TokenRenewalFailed"))[0]["message"]


async def test_a_token_that_does_not_work_is_not_written(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await account_token(fleet)
    forged = jwt({"exp": 4_000_000_000, "sub": "system:serviceaccount:default:k8ssandra-controller"})
    original = Client.raw

    async def raw(self: Client, method: str, path: str, **options: Any) -> bytes:
        if path.endswith("/token"):
            return msgspec.json.encode({"status": {"token": forged}})
        return await original(self, method, path, **options)

    run = await started(fleet, token)
    monkeypatch.setattr(Client, "raw", raw)
    await asyncio.sleep(0.75 * LIFETIME)
    assert (await token_in(fleet), in_use(run)) == (token, token)
    assert run.metric("remote_cluster_token_renewals_total", context="east", result="unauthorized") is not None


async def test_a_secret_that_somebody_changed_is_not_overwritten(fleet: Fleet) -> None:
    token = await account_token(fleet)
    run = await started(fleet, token)
    broken = yaml.safe_load(await content(fleet))
    broken["users"][0]["user"]["token"] = "somebody-is-at-work-here"
    await asyncio.sleep(0.5 * LIFETIME)
    await fleet.put_secret(yaml.safe_dump(broken).encode(), "east", type="Opaque")
    await asyncio.sleep(0.35 * LIFETIME)
    assert await token_in(fleet) == "somebody-is-at-work-here"
    assert in_use(run) == token
    [message] = {event["message"] for event in await events(fleet, "TokenRenewalFailed")}
    assert "it is not overwritten" in message
