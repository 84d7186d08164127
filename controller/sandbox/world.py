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
from controller.kube.objects import Object
from controller.sandbox.applier import Applier, ManifestError
from controller.sandbox.cass_operator import CassOperator
from controller.sandbox.crds import data_plane_crds

NAMESPACE: Final = "k8ssandra-operator"  # of the ClientConfigs, and of the accounts in the data planes
ACCOUNT: Final = "k8ssandra-controller"
CONTEXTS: Final = "sandbox.k8ssandra.io/contexts"  # annotation of manifests that belong into data planes; with commas

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
        self._appliers = {plane.context: Applier(plane.client) for plane in (self.control, *self.planes.values())}

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

    async def apply(self, manifest: Mapping[str, Any], *, namespace: str = "default") -> Object:
        """Apply an object where it belongs: in the contexts that its annotation names, else in the control plane.

        Returns one of them. Raises ``ManifestError`` for a context that this world does not have.
        """
        metadata = manifest.get("metadata") or {}
        named = str((metadata.get("annotations") or {}).get(CONTEXTS, ""))
        contexts = [context.strip() for context in named.split(",")]
        if missing := [context for context in contexts if context not in self._appliers]:
            known = ", ".join(self.planes)
            name = f"{manifest.get('kind')} {metadata.get('name')}"
            raise ManifestError(f"{name}: annotation {CONTEXTS} names {missing[0]}; there are {known}")
        applied = [await self._appliers[context].apply(manifest, namespace=namespace) for context in contexts]
        return applied[-1]

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
        applier = self._appliers[""]
        await applier.apply(self._namespace_manifest())
        await applier.apply_all(self._control_crds)
        await applier.apply_all(self._control_accounts, namespace=self.namespace)

    async def _prepare_data(self, plane: Plane) -> None:
        applier = self._appliers[plane.context]
        await applier.apply(self._namespace_manifest())
        await applier.apply_all(data_plane_crds())
        await applier.apply_all(self._accounts, namespace=self.namespace)

    def _namespace_manifest(self) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}


def _account() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}}
