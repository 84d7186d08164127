from __future__ import annotations

import msgspec

from controller.kube.objects import decode
from controller.tasks.types import K8ssandraTask

RAW = b"""{"metadata": {"name": "t", "namespace": "ns"},
  "spec": {"cluster": {"name": "demo"}, "datacenters": ["dc2", "dc1"], "dcConcurrencyPolicy": "Allow",
           "template": {"ttlSecondsAfterFinished": 0, "maxConcurrentPods": 2,
                        "jobs": [{"name": "j", "command": "rebuild",
                                  "args": {"source_datacenter": "dc1", "no_snapshot": true,
                                           "new_tokens": {"a": "1"}}}]}},
  "status": {"active": 1, "datacenters": {"dc1": {"succeeded": 3, "startTime": "t0"}}}}"""


def test_a_task_is_read_as_users_write_it() -> None:
    read = decode(RAW, K8ssandraTask)
    (job,) = read.spec.template.jobs
    assert job.args is not None
    assert (job.command, job.args.source_datacenter, job.args.no_snapshot) == ("rebuild", "dc1", True)
    assert (read.spec.template.ttl_seconds_after_finished, read.spec.dc_concurrency_policy) == (0, "Allow")
    assert (read.status.active, read.status.datacenters["dc1"].succeeded) == (1, 3)


def test_a_task_is_written_with_the_names_of_the_api() -> None:
    given = msgspec.json.decode(RAW)
    written = msgspec.to_builtins(decode(RAW, K8ssandraTask))
    assert {key: written[key] for key in ("spec", "status")} == {key: given[key] for key in ("spec", "status")}


def test_no_time_to_live_and_one_of_zero_are_told_apart() -> None:
    assert decode(b"{}", K8ssandraTask).spec.template.ttl_seconds_after_finished is None
