"""Metrics of Cassandra pods."""

# ruff: noqa: RUF012  (msgspec copies empty defaults)

from __future__ import annotations

from typing import Annotated

from controller.kube.structs import FreeMap, Struct, schema

_FILES = {"ca": "ca.crt", "certificate": "tls.crt", "key": "tls.key"}
_WORDS = ("Replace", "Keep", "Drop", "HashMod", "LabelMap", "LabelDrop", "LabelKeep", "Lowercase", "Uppercase")
_ACTIONS = [form for word in (*_WORDS, "KeepEqual", "DropEqual") for form in (word.lower(), word)]


class Relabel(Struct, frozen=True, kw_only=True):
    """One relabelling rule, as Prometheus has them."""

    source_labels: list[str] | None = None
    """Labels whose values, joined, are matched."""

    separator: str | None = None
    """What the values are joined by."""

    target_label: str = ""
    """The label that is written."""

    regex: str = ""
    """What the joined values have to match."""

    modulus: int = 0
    """Modulus of the hash of the joined values."""

    replacement: str | None = None
    """What is written; may refer to groups of the expression."""

    action: Annotated[str, schema(enum=_ACTIONS, default="replace")] = "replace"
    """What is done on a match: replace, keep, drop, hashmod, labelmap, labeldrop, labelkeep …"""


class MetricsTls(Struct, frozen=True, kw_only=True, rename=_FILES):
    """Paths inside the container of what the agent needs for TLS."""

    ca: str = ""
    """Certificate of the authority that clients are checked against."""

    certificate: str = ""
    """Certificate of the agent."""

    key: str = ""
    """Key of the agent's certificate."""


class MetricsEndpoint(Struct, frozen=True, kw_only=True):
    """Where the metrics agent listens."""

    address: str = ""
    """Address to bind."""

    port: str = ""
    """Port to bind."""

    tls: MetricsTls | None = None
    """Paths of ca.crt, tls.crt and tls.key inside the container."""


class CassandraAgent(Struct, frozen=True, kw_only=True):
    """The metrics agent of the management API."""

    endpoint: MetricsEndpoint | None = None
    """Where it listens."""

    relabels: list[Relabel] | None = None
    """Rules that replace the default ones; an empty list removes them all."""


class Mcac(Struct, frozen=True, kw_only=True):
    """The former metrics collector."""

    enabled: bool | None = None
    """Whether it runs; false when absent."""

    metric_filters: list[str] | None = None
    """Which metrics it takes; a default list when absent, all of them when empty."""


class PrometheusTelemetry(Struct, frozen=True, kw_only=True):
    """ServiceMonitors, which this controller does not make."""

    enabled: bool | None = None
    """Whether ServiceMonitors are wanted."""

    common_labels: dict[str, str] = {}
    """Labels of the ServiceMonitors."""


class Telemetry(Struct, frozen=True, kw_only=True):
    """Metrics of Cassandra pods."""

    cassandra: CassandraAgent | None = None
    """The metrics agent of the management API."""

    mcac: Mcac | None = None
    """The former metrics collector."""

    prometheus: PrometheusTelemetry | None = None
    """ServiceMonitors; not supported."""

    vector: FreeMap | None = None
    """A Vector agent beside Cassandra; not supported."""
