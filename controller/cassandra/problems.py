"""What is wrong with a specification, said so that its author can mend it."""

from __future__ import annotations

import msgspec


class FieldProblem(msgspec.Struct, frozen=True):
    """One field, what is wrong with it, and the way out. Values are quoted only where they are names.

    ``field``: path in the K8ssandraCluster, as ``spec.cassandra.datacenters[1].size``. ``datacenter``: name of the
    datacenter that it belongs to, "" for the whole cluster. ``reason``: CamelCase, for a condition.
    """

    field: str
    message: str
    remedy: str = ""
    datacenter: str = ""
    reason: str = "InvalidSpec"

    def __str__(self) -> str:
        text = f"{self.field}: {self.message}"
        return f"{text}; {self.remedy}" if self.remedy else text
