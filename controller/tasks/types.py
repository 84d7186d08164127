"""K8ssandraTask: an operation on the datacenters of a K8ssandraCluster."""

# ruff: noqa: RUF012  (msgspec copies empty defaults)

from __future__ import annotations

from typing import Annotated, Final

from controller.kube.resources import Resource
from controller.kube.structs import CoreObject, ObjectMeta, StatusCondition, Struct, Time, schema

K8SSANDRA_TASKS: Final = Resource("control.k8ssandra.io", "v1alpha1", "K8ssandraTask", "k8ssandratasks")

_SNAKE = {
    name: name
    for name in (
        "keyspace_name",
        "source_datacenter",
        "pod_name",
        "no_validate",
        "no_snapshot",
        "skip_corrupted",
        "split_output",
        "start_token",
        "end_token",
        "new_tokens",
    )
}


class JobArguments(Struct, frozen=True, kw_only=True, rename=_SNAKE):
    """Arguments of a command; which ones count depends on the command."""

    keyspace_name: str = ""
    """Keyspace to work on."""

    source_datacenter: str = ""
    """Datacenter that a rebuild streams from."""

    pod_name: str = ""
    """The only pod to work on."""

    rack: str = ""
    """The only rack to work on."""

    tables: list[str] = []
    """Tables to work on."""

    jobs: int | None = None
    """Parallel jobs in a node."""

    no_validate: bool = False
    """Scrub: do not validate columns."""

    no_snapshot: bool = False
    """Scrub: take no snapshot first."""

    skip_corrupted: bool = False
    """Scrub: skip corrupt rows."""

    split_output: bool = False
    """Compaction: do not make one file of all."""

    start_token: str = ""
    """First token of a compaction's range."""

    end_token: str = ""
    """Last token of a compaction's range."""

    new_tokens: dict[str, str] = {}
    """Move: tokens by pod name."""

    fast: bool = False
    """Do it faster, with less care."""

    force: bool = False
    """Do it although something speaks against it."""


class Job(Struct, frozen=True, kw_only=True):
    """One command."""

    name: Annotated[str, schema(required=True)] = ""
    """Name of the job."""

    command: Annotated[str, schema(required=True)] = ""
    """cleanup, rebuild, restart, upgradesstables, scrub, compact, flush, garbagecollect, move, refresh …"""

    args: JobArguments | None = None
    """Arguments of the command."""


class TaskTemplate(Struct, frozen=True, kw_only=True):
    """The CassandraTask that is made for each datacenter."""

    scheduled_time: Time = ""
    """Do not begin before this."""

    jobs: list[Job] = []
    """The commands, in order."""

    restart_policy: str = ""
    """What to do when a job fails; Never when absent."""

    ttl_seconds_after_finished: Annotated[int, schema(format="int32")] | None = None
    """Seconds after which a finished task is deleted: a day when absent, never when 0."""

    concurrency_policy: str = ""
    """Allow: may run beside other tasks that allow it; Forbid when absent."""

    max_concurrent_pods: int | None = None
    """Pods that work at a time."""

    retries: int | None = None
    """How often a failed job is tried again."""


class K8ssandraTaskSpec(Struct, frozen=True, kw_only=True):
    """What is to be done, and where."""

    cluster: CoreObject = {}
    """The K8ssandraCluster: its name, and its namespace when that is another one."""

    datacenters: list[str] = []
    """Names of the datacenters, in the order in which they are worked on; all of them when absent."""

    dc_concurrency_policy: str = ""
    """Forbid: one datacenter after the other, which is the default. Allow: all at once."""

    template: TaskTemplate = TaskTemplate()
    """The CassandraTask that is made for each datacenter."""


class CassandraTaskStatus(Struct, frozen=True, kw_only=True):
    """How a task goes."""

    conditions: list[StatusCondition] = []
    """Running, Complete, Failed, Invalid."""

    start_time: Time = ""
    """When it began."""

    completion_time: Time = ""
    """When it ended, well or not."""

    active: int = 0
    """Pods that work now."""

    succeeded: int = 0
    """Pods that are done."""

    failed: int = 0
    """Pods that failed."""

    pod_statuses: CoreObject | None = None
    """State of single pods."""


class K8ssandraTaskStatus(CassandraTaskStatus, frozen=True, kw_only=True):
    """How the tasks of all datacenters go, together and each."""

    datacenters: dict[str, CassandraTaskStatus] = {}
    """The datacenters by name."""


class K8ssandraTask(Struct, frozen=True, kw_only=True):
    """An operation on the datacenters of a K8ssandraCluster."""

    metadata: ObjectMeta = ObjectMeta()
    spec: K8ssandraTaskSpec = K8ssandraTaskSpec()
    status: K8ssandraTaskStatus = K8ssandraTaskStatus()
