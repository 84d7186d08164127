"""A CassandraDatacenter as cass-operator reports it."""

# ruff: noqa: RUF012  (msgspec copies empty defaults)

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType, field

from controller.kube.structs import FreeMap, ObjectMeta, Struct, Time, schema


class DatacenterCondition(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One aspect of a datacenter. The published schema requires reason and message, also when they are empty."""

    type: Annotated[str, schema(required=True)] = ""
    """What the condition is about."""

    status: Annotated[str, schema(required=True)] = ""
    """True, False or Unknown."""

    reason: Annotated[str, schema(required=True)] = ""
    """Why, as one CamelCase word."""

    message: Annotated[str, schema(required=True)] = ""
    """Why, for people."""

    last_transition_time: Time | UnsetType = UNSET
    """When the status last changed."""


class NodeStatus(Struct, frozen=True, kw_only=True):
    """One Cassandra node."""

    host_id: str = field(default="", name="hostID")
    """Cassandra's own identifier of the node."""

    ip: str = ""
    """Address of the node."""

    rack: str = ""
    """Rack of the node."""


class CassandraDatacenterStatus(Struct, frozen=True, kw_only=True):
    """What cass-operator says about a datacenter: the fields of its published schema."""

    conditions: list[DatacenterCondition] = []
    """Ready, Initialized, Stopped, Updating, ScalingUp, Decommission …"""

    super_user_upserted: Time = ""
    """When the superuser was last written."""

    users_upserted: Time = ""
    """When users were last written."""

    last_server_node_started: Time = ""
    """When a node was last started."""

    cassandra_operator_progress: str = ""
    """Ready or Updating."""

    last_rolling_restart: Time = ""
    """When the last rolling restart began."""

    node_statuses: dict[str, NodeStatus] = {}
    """The nodes by pod name."""

    node_replacements: list[str] = []
    """Pods whose nodes are being replaced."""

    quiet_period: Time = ""
    """Until when nothing is done."""

    observed_generation: int = 0
    """The generation that cass-operator has acted on."""

    tracked_tasks: list[FreeMap] = []
    """Tasks that are waited for."""

    datacenter_name: str = ""
    """The name inside Cassandra, of datacenters that old versions made."""

    metadata_version: int = 0
    """Layout of the labels of the datacenter's objects."""

    def condition(self, kind: str) -> DatacenterCondition | None:
        """The condition of a type, None when it is not there."""
        return next((condition for condition in self.conditions if condition.type == kind), None)

    def is_true(self, kind: str) -> bool:
        """Whether the condition of a type holds."""
        condition = self.condition(kind)
        return condition is not None and condition.status == "True"


class CassandraDatacenter(Struct, frozen=True, kw_only=True):
    """A CassandraDatacenter: head, specification as it is, status."""

    metadata: ObjectMeta = ObjectMeta()
    spec: FreeMap = {}
    status: CassandraDatacenterStatus = CassandraDatacenterStatus()
