"""What the owner of a connection has counted, for metrics."""

from __future__ import annotations

from collections import Counter

import msgspec


class ConnectionCounters(msgspec.Struct):
    """Since the connection's owner was made. Times are of the event loop, in seconds."""

    attempts: Counter[str] = msgspec.field(default_factory=Counter)
    """Looks at the cluster, by result: ``ok`` or the cause of the failure (``connect_failed``)."""

    probe_failures: Counter[str] = msgspec.field(default_factory=Counter)
    """Looks over the connection in use that failed, by cause."""

    transitions: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """Changes of phase, by (from, to)."""

    probe_seconds: float = 0.0
    """How long the last look that was answered took."""

    next_retry: float | None = None
    """When the cluster is looked at next, while it is not usable."""

    last_success: float | None = None
    """When the cluster last answered, whatever the question."""
