"""k8ssandra-controller: one Apache Cassandra cluster across many Kubernetes clusters."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
