"""Which way the Management API of a cluster is called, as its ClientConfig or a flag says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, get_args

from controller.fleet.member import annotations_of
from controller.fleet.pool import Pool
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.client import Client
from controller.kube.errors import KubeError, clean
from controller.management.credentials import client_certificate
from controller.management.routes import DirectRoute, OpenWay, ProxyRoute, Route

ANNOTATION: Final = "k8ssandra.io/management-api"
Way: TypeAlias = Literal["auto", "proxy", "direct"]
WAYS: Final[tuple[str, ...]] = get_args(Way)


class RouteImpossible(KubeError):
    """The way that was asked for cannot lead there; the text says which can."""


def chosen(pool: Pool, context: str, default: str) -> str:
    """One of ``WAYS``: what the ClientConfig's annotation says, else ``default``. Raises ``RouteImpossible``."""
    member = pool.holder(context)
    if member is None:
        return default
    found = pool.local.cache.get(CLIENT_CONFIGS, member.namespace, member.name)
    text = annotations_of(found).get(ANNOTATION, "") if found is not None else ""
    if not text:
        return default
    if text not in WAYS:
        raise RouteImpossible(
            f"ClientConfig {member.namespace}/{member.name}: annotation {ANNOTATION} is {clean(text, 40)!r}; it can be "
            f"{', '.join(WAYS)}"
        )
    return text


async def routes(
    way: str, client: Client, namespace: str, client_secret: str, open_way: OpenWay | None
) -> Sequence[Route]:
    """The routes in the order in which they are tried. ``client_secret``: of ``managementApiAuth.manual``, or "".

    A pod that asks for a client certificate can be called directly only: the pod proxy has none to show.
    Raises ``RouteImpossible``, ``ClientSecretInvalid``, and what the client raises.
    """
    if client_secret and way == "proxy":
        raise RouteImpossible(
            f"managementApiAuth.manual asks for a client certificate, which the pod proxy cannot show: annotate the "
            f"ClientConfig with {ANNOTATION}=direct, or remove the annotation"
        )
    direct: list[Route] = []
    if open_way is not None:
        certificate = await client_certificate(client, namespace, client_secret) if client_secret else None
        direct = [DirectRoute(client, open_way, certificate)]
    if client_secret or way == "direct":
        if not direct:
            raise RouteImpossible("there is no way from here to the addresses of pods")
        return direct
    proxy: list[Route] = [ProxyRoute(client)]
    return proxy if way == "proxy" else [*proxy, *direct]
