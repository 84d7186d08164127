"""How fast a cluster may be spoken to, as annotations on its ClientConfig say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from controller.fleet.throttle import BURST, QPS
from controller.kube.errors import clean

CLIENT_QPS: Final = "k8ssandra.io/client-qps"
CLIENT_BURST: Final = "k8ssandra.io/client-burst"
QPS_CAP: Final = 10_000.0  # requests a second; far above what one event loop can send
BURST_CAP: Final = 100_000


class Pace(msgspec.Struct, frozen=True):
    """``qps`` in the long run, ``burst`` at once. ``complaint``: what is wrong with an annotation, "" when nothing."""

    qps: float = QPS
    burst: int = BURST
    complaint: str = ""


def pace(annotations: Mapping[str, str]) -> Pace:
    """What the annotations say; for one that cannot be right, its default. The burst's is twice the qps."""
    complaints = []
    qps, burst = QPS, 0
    if (text := annotations.get(CLIENT_QPS)) is not None:
        try:
            qps = float(text)
            if not 0.1 <= qps <= QPS_CAP:
                raise ValueError
        except ValueError:
            qps = QPS
            complaints.append(
                f"annotation {CLIENT_QPS}: {clean(text, 40)!r} is no number of requests a second from 0.1 to "
                f"{QPS_CAP:g}; {QPS:g} is used"
            )
    default = max(math.ceil(2 * qps), 1)
    if (text := annotations.get(CLIENT_BURST)) is not None:
        try:
            burst = int(text) if len(text) < 10 else 0
            if not 1 <= burst <= BURST_CAP:
                raise ValueError
        except ValueError:
            burst = 0
            complaints.append(
                f"annotation {CLIENT_BURST}: {clean(text, 40)!r} is no number of requests from 1 to {BURST_CAP}; "
                f"{default} is used"
            )
    return Pace(qps, burst or default, "; ".join(complaints))
