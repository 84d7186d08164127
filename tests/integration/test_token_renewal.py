"""With --renew-tokens a service account's token is replaced by a new one before it ends."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any

import msgspec
import yaml

from controller.engine.clock import SystemClock
from controller.kube.client import Client
from controller.kube.credentials import StaticCredentials
from controller.kube.resources import EVENTS, SECRETS
from controller.kube.validity import of_token
from controller.sandbox.applier import Applier
from controller.sandbox.world import ACCOUNT
from tests import manifests
from tests.integration.rig import CONTEXTS, Rig, allowed, eventually

PLACE = CONTEXTS[1]
LATER = 2700.0  # s; three quarters of an hour's token


class ShiftedClock:
    """The clock of this machine, and ``ahead`` seconds more."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead

    def now(self) -> datetime:
        return SystemClock().now() + timedelta(seconds=self.ahead)


async def secret(one: Rig) -> dict[str, Any]:
    return dict((await one.client().get(SECRETS, one.namespace, f"{PLACE}-config")).decode(dict))


async def kubeconfig(one: Rig) -> str:
    return base64.b64decode((await secret(one))["data"]["kubeconfig"]).decode()


async def token(one: Rig) -> str:
    return str(yaml.safe_load(await kubeconfig(one))["users"][0]["user"]["token"])


async def use_a_token_that_ends(one: Rig) -> str:
    """Put a bound token into the Secret; the kubeconfig with it."""
    found = await secret(one)
    before = await kubeconfig(one)
    changed = before.replace(await token(one), await one.account_token(PLACE))
    found["data"]["kubeconfig"] = base64.b64encode(changed.encode()).decode()
    await one.client().replace(SECRETS, one.namespace, found["metadata"]["name"], found)
    return changed


async def grant(one: Rig) -> None:
    """Apply the component, and wait until the API server acts on it."""
    client = one.client(PLACE)
    await Applier(client).apply_all(manifests.data_plane(one.namespace, renewal=True), namespace=one.namespace)
    access = msgspec.structs.replace(one.access(PLACE), token=await one.account_token(PLACE))
    own = Client(one.make_transport(StaticCredentials(access), remote=True))
    attributes = {
        "namespace": one.namespace,
        "verb": "create",
        "group": "",
        "resource": "serviceaccounts",
        "subresource": "token",
        "name": ACCOUNT,
    }
    try:
        await eventually(lambda: allowed(own, attributes), "tokens may be asked for")
        assert not await allowed(own, {**attributes, "name": "default"})
    finally:
        await own.close()


async def told(one: Rig, reason: str) -> bool:
    found = [event.decode(dict) for event in await one.client().list_all(EVENTS, one.namespace)]
    return any(event["reason"] == reason and event["involvedObject"]["name"] == PLACE for event in found)


async def test_a_token_is_renewed_by_the_account_itself(one: Rig) -> None:
    await grant(one)
    before = await use_a_token_that_ends(one)
    old = await token(one)
    clock = ShiftedClock(LATER)
    controller = await one.start(clock=clock, renew_tokens=True)

    async def renewed() -> bool:
        return await token(one) != old

    await eventually(renewed, "there is another token in the Secret")
    clock.ahead = 0.0
    new = await token(one)
    ends, ended = of_token(new), of_token(old)
    assert ends is not None
    assert ended is not None
    assert ends.ends > ended.ends
    assert (await kubeconfig(one)) == before.replace(old, new)
    await eventually(lambda: told(one, "TokenRenewed"), "an event tells of it")

    async def in_use() -> bool:
        member = controller.pool.holder(PLACE)
        assert member is not None
        assert member.connection is not None
        return member.connection.access is not None and member.connection.access.token == new

    await eventually(in_use, "the new token is in use")
    await one.apply(one.sample())
    await one.ready()
    assert await one.reason(PLACE) == "Connected"


async def test_without_the_right_to_it_the_old_token_goes_on(one: Rig) -> None:
    one.provoked_forbidden = True
    await use_a_token_that_ends(one)
    old = await token(one)
    await one.start(clock=ShiftedClock(LATER), renew_tokens=True)
    await eventually(lambda: told(one, "TokenRenewalFailed"), "an event says so")
    assert await token(one) == old
    assert await one.reason(PLACE) == "Connected"
