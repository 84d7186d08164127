"""Admission webhooks that a cluster's API server calls: which there are, and which configuration asks for one."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from controller.kube import errors
from controller.kube.client import Client
from controller.kube.resources import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS

KINDS: Final = (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS)
REMEMBERED: Final = 300.0  # s; who fails again and again does not ask again and again


class Service(msgspec.Struct, frozen=True):
    """The Service that serves a webhook; "" for one at a plain URL."""

    name: str = ""
    namespace: str = ""


class _ClientConfig(msgspec.Struct, frozen=True):
    service: Service | None = None


class Webhook(msgspec.Struct, frozen=True, rename="camel"):
    """One webhook. ``failure_policy`` Fail: what it is to judge cannot be written while it does not answer."""

    name: str
    client_config: _ClientConfig = _ClientConfig()
    failure_policy: str = "Fail"

    @property
    def service(self) -> Service:
        return self.client_config.service or Service()


class _Content(msgspec.Struct):
    webhooks: list[Webhook] | None = None


class Configuration(msgspec.Struct, frozen=True):
    """A ValidatingWebhookConfiguration or MutatingWebhookConfiguration; ``kind`` says which."""

    kind: str
    name: str
    labels: dict[str, str]
    webhooks: tuple[Webhook, ...]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


async def configurations(client: Client) -> list[Configuration]:
    """Every configuration of a cluster, those that validate first; raises what the client raises."""
    found = []
    for resource in KINDS:
        try:
            objects = await client.list_all(resource)
        except errors.KindNotFound:
            continue
        for obj in objects:
            webhooks = tuple(obj.decode(_Content).webhooks or ())
            found.append(Configuration(resource.kind, obj.head.name, obj.head.labels or {}, webhooks))
    return found


class Configurations:
    """Tells the configuration of a webhook by its name, where the role of the moment allows to look."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[float, str]] = {}  # by context and webhook: until when, and answer

    async def of(self, context: str, client: Client, webhook: str) -> str:
        """Kind and name of the configuration; "" when there is none, or none may be seen."""
        now = asyncio.get_running_loop().time()
        until, known = self._known.get((context, webhook), (0.0, ""))
        if now < until:
            return known
        try:
            everything = await configurations(client)
        except errors.KubeError:
            everything = []
        named = [str(each) for each in everything if any(hook.name == webhook for hook in each.webhooks)]
        answer = " and ".join(named)
        self._known[context, webhook] = (now + REMEMBERED, answer)
        return answer
