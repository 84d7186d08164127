"""One control plane and some data planes, prepared and registered: embedded API servers or real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

import msgspec

from controller.definitions import definitions
from controller.engine.clock import Clock, SystemClock
from controller.fleet.registration import Registration, Wish, register
from controller.kube.access import Access
from controller.kube.client import Client
from controller.sandbox.applier import Applier
from controller.sandbox.cass_operator import CassOperator
from controller.sandbox.crds import data_plane_crds

NAMESPACE: Final = "k8ssandra-operator"  # of the ClientConfigs, and of the accounts in the data planes
ACCOUNT: Final = "k8ssandra-controller"

Connect = Callable[[Access], Client]


class Plane(msgspec.Struct):
    """One cluster, with an administrator's access."""

    context: str
    access: Access
    client: Client


class World:
    """A control plane and data planes. ``connect`` makes a client; every client is closed by ``close``.

    ``namespace``: of the ClientConfigs, and of the accounts in the data planes. ``accounts``: manifests of a data
    plane's account and roles, by default only the account; ``control_accounts``: those of the control plane.
    ``control_crds``: the definitions of the control plane's kinds, by default our own.
    """

    def __init__(
        self,
        control: Access,
        planes: Mapping[str, Access],
        connect: Connect,
        *,
        rng: Random,
        clock: Clock | None = None,
        namespace: str = NAMESPACE,
        accounts: Sequence[Mapping[str, Any]] | None = None,
        control_accounts: Sequence[Mapping[str, Any]] = (),
        control_crds: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self._connect = connect
        self._rng = rng
        self._clock = clock or SystemClock()
        self.namespace: Final = namespace
        self._accounts = accounts if accounts is not None else [_account()]
        self._control_accounts = control_accounts
        self._control_crds = control_crds if control_crds is not None else list(definitions().values())
        self.control: Final = Plane("", control, connect(control))
        self.planes: Final = {context: Plane(context, access, connect(access)) for context, access in planes.items()}
        self.registrations: list[Registration] = []

    async def prepare(self) -> None:
        """Install kinds, namespaces and accounts everywhere, and register every data plane."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._prepare_control())
            for plane in self.planes.values():
                group.create_task(self._prepare_data(plane))
        for plane in self.planes.values():
            self.registrations.append(await self.register(plane))

    async def register(self, plane: Plane, *, name: str = "") -> Registration:
        """Register one data plane, with the code of the command ``register``."""
        wish = Wish(
            context=plane.context,
            namespace=self.namespace,
            service_account=ACCOUNT,
            source_namespace=self.namespace,
            name=name,
        )
        return await register(plane.client, plane.access, self.control.client, wish, self._connect)

    async def operate(self, ready_after: float) -> None:
        """Run a simulated cass-operator in every data plane, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number, plane in enumerate(self.planes.values(), 1):
                operator = CassOperator(
                    plane.client, rng=self._rng, clock=self._clock, ready_after=ready_after, number=number
                )
                group.create_task(operator.run(), name=f"cass-operator of {plane.context}")

    async def close(self) -> None:
        for plane in (self.control, *self.planes.values()):
            await plane.client.close()

    async def _prepare_control(self) -> None:
        applier = Applier(self.control.client)
        await applier.apply(self._namespace_manifest())
        await applier.apply_all(self._control_crds)
        await applier.apply_all(self._control_accounts, namespace=self.namespace)

    async def _prepare_data(self, plane: Plane) -> None:
        applier = Applier(plane.client)
        await applier.apply(self._namespace_manifest())
        await applier.apply_all(data_plane_crds())
        await applier.apply_all(self._accounts, namespace=self.namespace)

    def _namespace_manifest(self) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}


def _account() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}}
