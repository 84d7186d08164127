"""One kind of one cluster, read with whatever client reaches that cluster now."""

from __future__ import annotations

from collections.abc import Callable

from controller.kube.client import WATCH_SILENCE, Client, Page
from controller.kube.resources import Resource
from controller.kube.watch import EventStream


class ResourceSource:
    """A ``ListerWatcher`` over ``kube.client.Client``.

    ``client`` is asked for each call, so a new connection is taken over by the next one (and at once after
    ``Reflector.reconnect``); while there is none it raises a ``KubeError``. ``namespace`` "" is all of them.
    """

    def __init__(
        self,
        client: Callable[[], Client],
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        silence: float = WATCH_SILENCE,
    ) -> None:
        self._client = client
        self._resource = resource
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._metadata_only = metadata_only
        self._silence = silence

    async def page(self, *, limit: int, continue_token: str) -> Page:
        return await self._client().list_page(
            self._resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            limit=limit,
            continue_token=continue_token,
            metadata_only=self._metadata_only,
        )

    async def watch(self, *, resource_version: str, send_initial_events: bool, timeout_seconds: int) -> EventStream:
        return await self._client().watch(
            self._resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            resource_version=resource_version,
            send_initial_events=send_initial_events,
            timeout_seconds=timeout_seconds,
            metadata_only=self._metadata_only,
            silence=self._silence,
        )

    async def served(self) -> bool:
        return await self._client().served(self._resource)
