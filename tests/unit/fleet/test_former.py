"""Whose fields are whose, when two operators' programs have one name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controller.fleet import former
from controller.kube import ownership
from controller.kube.objects import Object, parse

US = "k8ssandra-controller"
WRITTEN: dict[str, Any] = {
    "f:metadata": {
        "f:annotations": {".": {}, "f:k8ssandra.io/resource-hash": {}, "f:cassandra.datastax.com/other": {}},
        "f:finalizers": {
            ".": {},
            'v:"k8ssandracluster.k8ssandra.io/finalizer"': {},
            'v:"finalizer.cassandra.datastax.com"': {},
        },
        "f:labels": {".": {}, "f:k8ssandra.io/cluster-name": {}, "f:team": {}},
    },
    "f:spec": {".": {}, "f:size": {}, "f:config": {"f:a": {}}, "f:rollingRestartRequested": {}},
}
APPLIED = {
    "metadata": {
        "annotations": {"k8ssandra.io/resource-hash": "v1:0"},
        "finalizers": ["k8ssandracluster.k8ssandra.io/finalizer"],
        "labels": {"k8ssandra.io/cluster-name": "demo", "team": "a"},
    },
    "spec": {"size": 3},
}


def entry(fields: dict[str, Any], manager: str = "manager", **fields_of: Any) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-11-23T10:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **fields_of,
    }


def found(*entries: dict[str, Any], **fields: Any) -> Object:
    metadata = {"name": "a", "uid": "u", "resourceVersion": "7", "managedFields": list(entries)}
    return parse(msgspec.json.encode({"metadata": metadata, **fields}))


def adopted(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    live = found(*entries).decode(dict)
    after = ownership.adopt(live, US, former.share_of(live, APPLIED, US))
    assert after is not None
    return after.entries


def test_the_content_and_what_is_wanted_of_the_metadata_become_ours() -> None:
    ours, _ = adopted(entry(WRITTEN))
    assert (ours["manager"], ours["operation"]) == (US, "Apply")
    assert ours["fieldsV1"] == {
        "f:metadata": {
            "f:annotations": {"f:k8ssandra.io/resource-hash": {}},
            "f:finalizers": {'v:"k8ssandracluster.k8ssandra.io/finalizer"': {}},
            "f:labels": {".": {}, "f:k8ssandra.io/cluster-name": {}, "f:team": {}},
        },
        "f:spec": {".": {}, "f:size": {}, "f:config": {"f:a": {}}},
    }


def test_what_cass_operator_wrote_into_the_same_entry_stays() -> None:
    _, theirs = adopted(entry(WRITTEN))
    assert theirs == entry(
        {
            "f:metadata": {
                "f:annotations": {".": {}, "f:cassandra.datastax.com/other": {}},
                "f:finalizers": {".": {}, 'v:"finalizer.cassandra.datastax.com"': {}},
            },
            "f:spec": {"f:rollingRestartRequested": {}},
        }
    )


@pytest.mark.parametrize(
    "other",
    [
        entry({"f:metadata": {"f:finalizers": {'v:"finalizer.cassandra.datastax.com"': {}}}}),
        entry({"f:spec": {"f:size": {}}}),  # cass-operator, or another program called like it
        entry({"f:status": {"f:conditions": {}}}, subresource="status"),
        entry(WRITTEN, manager="kubectl-edit"),
        entry(WRITTEN, manager="velero-server"),
        entry(WRITTEN, operation="Apply"),
    ],
)
def test_nobody_elses_fields_are_taken(other: dict[str, Any]) -> None:
    assert not former.unadopted(found(other).decode(dict), APPLIED, US)
    assert former.last_write(found(other)) is None


def test_what_is_ours_already_is_no_longer_theirs_too_when_it_is_wanted_no_more() -> None:
    other = {"f:metadata": {"f:labels": {"f:costs": {}}}}
    theirs = entry(ownership.union(WRITTEN, other))
    after = adopted(entry(other, manager=US, operation="Apply"), theirs)
    costs = ("f:metadata", "f:labels", "f:costs")
    assert [ownership.holds(each["fieldsV1"], costs) for each in after] == [True, False]


def test_what_was_adopted_is_not_adopted_again() -> None:
    assert former.unadopted(found(entry(WRITTEN)).decode(dict), APPLIED, US)
    assert not former.unadopted(found(*adopted(entry(WRITTEN))).decode(dict), APPLIED, US)


def test_before_we_have_been_there_nothing_was_written_over_us() -> None:
    assert former.overwritten(found(entry(WRITTEN)), US) is None


def test_a_hash_that_is_theirs_alone_was_written_after_us() -> None:
    ours = entry({"f:spec": {"f:size": {}}}, manager=US, operation="Apply")
    written = former.overwritten(found(ours, entry(WRITTEN, time="2026-11-23T11:00:00Z")), US)
    assert written == former.Overwritten("manager", "2026-11-23T11:00:00Z")
    assert former.Overwritten("manager", "1970-01-01T00:01:00Z").seconds == 60.0


@pytest.mark.parametrize(
    "fields",
    [
        {"f:metadata": {"f:annotations": {"f:cassandra.datastax.com/resource-hash": {}}}},
        {"f:spec": {"f:replicationTargets": {}}},
        {"f:endpoints": {}},
    ],
)
def test_each_kind_has_a_field_that_tells(fields: dict[str, Any]) -> None:
    ours = {"f:metadata": {"f:labels": {"f:k8ssandra.io/cluster-name": {}}}}
    assert former.overwritten(found(entry(ours, manager=US, operation="Apply"), entry(fields)), US) is not None
    both = ownership.union(ours, fields)
    assert former.overwritten(found(entry(both, manager=US, operation="Apply"), entry(fields)), US) is None


def test_cass_operators_writes_after_us_are_no_foreign_ones() -> None:
    ours = entry(WRITTEN, manager=US, operation="Apply")
    finalizer = entry({"f:metadata": {"f:finalizers": {'v:"finalizer.cassandra.datastax.com"': {}}}})
    status = entry({"f:status": {"f:conditions": {}}}, subresource="status")
    assert former.overwritten(found(ours, finalizer, status), US) is None


def test_what_they_wrote_is_told_from_what_a_server_or_a_user_put_there() -> None:
    spec = {"size": 3, "config": {"a": 1, "b": 2}, "theirs": True, "defaulted": 1}
    live = found(entry(WRITTEN), entry({"f:spec": {"f:theirs": {}}}, manager="kubectl-edit"), spec=spec)
    assert former.written_part(live.decode(dict), US, "spec") == {"size": 3, "config": {"a": 1}}
    assert former.written_part(found(spec=spec).decode(dict), US, "spec") is None


@pytest.mark.parametrize(
    "managed",
    [
        "text",
        {"manager": "manager"},
        ["text", None, 7],
        [entry(None)],  # type: ignore[arg-type]
        [entry("text")],  # type: ignore[arg-type]
        [entry([1])],  # type: ignore[arg-type]
        [entry({"f:metadata": "text"})],
        [entry({"f:metadata": {"f:annotations": [1]}})],
        [entry(WRITTEN, time="yesterday")],
        [entry(WRITTEN, time=7)],
        [entry(WRITTEN, manager=["manager"])],
    ],
)
def test_whatever_a_server_sends_is_looked_at_without_harm(managed: Any) -> None:
    ours = entry({"f:spec": {"f:size": {}}}, manager=US, operation="Apply")
    metadata = {"name": "a", "uid": "u", "managedFields": [ours, *managed] if isinstance(managed, list) else managed}
    raw = msgspec.json.encode({"metadata": metadata, "spec": {"size": 3}})
    live = parse(raw)
    written = former.overwritten(live, US)
    assert written is None or written.seconds in (0.0, former.Overwritten("", "2026-11-23T10:00:00Z").seconds)
    assert former.written_part(live.decode(dict), US, "spec") in (None, {"size": 3})
    former.unadopted(live.decode(dict), APPLIED, US)
    former.last_write(live)
