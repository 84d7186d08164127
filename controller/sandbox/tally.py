"""How much a controller in this process has asked of API servers."""

from __future__ import annotations

from typing import Final

import msgspec

from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.resources import PODS_PROXY
from controller.supervisor import Controller

_READS: Final = frozenset({"get", "list", "discover"})
# Probes are about no kind; ClientConfigs are the clusters' own; Events are written after everything else; and what pods
# were asked is no work of the API servers'.
_APART: Final = frozenset({"", str(CLIENT_CONFIGS), "events", str(PODS_PROXY)})


class Tally(msgspec.Struct, frozen=True):
    """Requests without watches, probes and Events; ``writes`` of them change something."""

    requests: int = 0
    writes: int = 0

    def __sub__(self, other: Tally) -> Tally:
        return Tally(self.requests - other.requests, self.writes - other.writes)

    def __str__(self) -> str:
        return f"{self.requests} requests to API servers ({self.writes} writes; watches, probes and Events not counted)"


def tally(controller: Controller | None) -> Tally:
    """What it has made so far; nothing when there is none."""
    requests = writes = 0
    for family in controller.metrics.requests.collect() if controller is not None else ():
        for sample in family.samples:
            verb, kind = sample.labels["verb"], sample.labels["resource"]
            if not sample.name.endswith("_total") or verb == "watch" or kind in _APART:
                continue
            requests += int(sample.value)
            writes += int(sample.value) if verb not in _READS else 0
    return Tally(requests, writes)
