from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controller.fleet.rights import NEEDED, Rule, excessive, missing, preflight
from controller.kube.client import Client
from controller.kube.transport import Request, Response
from controller.sandbox.apiserver import ApiServer, InProcessTransport
from tests import manifests

NAMESPACE = "k8ssandra-operator"
ADMIN = Rule(["*"], ["*"], ["*"])


def granted() -> list[Rule]:
    """What the roles of a data plane grant."""
    roles = [obj for obj in manifests.data_plane(NAMESPACE) if obj["kind"] == "Role"]
    return [Rule(rule["verbs"], rule["apiGroups"], rule["resources"]) for role in roles for rule in role["rules"]]


def without(verb: str, resource: str) -> list[Rule]:
    return [
        Rule([v for v in rule.verbs if (v, rule.resources) != (verb, [resource])], rule.api_groups, rule.resources)
        for rule in granted()
    ]


def test_what_is_needed_is_what_the_manifests_grant() -> None:
    found = {
        (group, name): set(rule.verbs) for rule in granted() for group in rule.api_groups for name in rule.resources
    }
    del found["discovery.k8s.io", "endpointslices/restricted"]  # OpenShift's admission asks for it, nobody else
    del found["", "pods/proxy"]  # without it the Management API is called at the pods' addresses
    assert {place: set(verbs) for place, verbs in NEEDED.items()} == found


def test_the_manifests_grant_neither_too_little_nor_too_much() -> None:
    assert (missing(granted()), excessive(granted())) == ([], [])


def test_a_verb_that_is_missing_is_named_exactly() -> None:
    assert missing(without("patch", "configmaps")) == ["patch of configmaps"]
    assert missing(without("watch", "cassandradatacenters")) == ["watch of cassandradatacenters.cassandra.datastax.com"]
    assert len(missing([])) == len(NEEDED)


def test_a_right_to_one_object_is_none_to_all() -> None:
    named = Rule(["get", "list", "watch", "create", "update", "delete"], [""], ["secrets"], ["one"])
    rest = [rule for rule in granted() if rule.resources != ["secrets"]]
    assert missing([*rest, named]) == ["get, list, watch, create, update, delete of secrets"]


@pytest.mark.parametrize(
    ("expected", "rule"),
    [
        (["* of everything"], ADMIN),
        (["get, list of everything"], Rule(["get", "list"], ["*"], ["*"])),
        (["* of secrets"], Rule(["*"], [""], ["secrets"])),
        (["escalate", "bind"], Rule(["escalate", "bind"], ["rbac.authorization.k8s.io"], ["roles"])),
        (["impersonate"], Rule(["impersonate"], [""], ["users"])),
        ([], Rule(["create"], ["authorization.k8s.io"], ["selfsubjectaccessreviews"])),
    ],
)
def test_what_opens_everything_is_named(expected: list[str], rule: Rule) -> None:
    assert excessive([rule]) == expected


def test_an_administrator_lacks_nothing() -> None:
    assert missing([ADMIN]) == []


async def test_an_administrators_credentials_are_too_much() -> None:
    server = ApiServer(name="data-plane", rbac=True)
    (said,) = await preflight(Client(InProcessTransport(server, server.admin_token)), NAMESPACE)
    assert said.startswith("OverPrivileged")
    assert "manifests/data-plane" in said


class Answering:
    """A server that answers every request alike."""

    def __init__(self, status: int, body: Any) -> None:
        self._response = Response(status=status, body=body if isinstance(body, bytes) else msgspec.json.encode(body))

    async def request(self, _: Request) -> Response:
        return self._response


@pytest.mark.parametrize(("status", "body"), [(403, {}), (404, {}), (200, b"<html>"), (200, {"status": {"x": []}})])
async def test_a_server_that_does_not_tell_keeps_nobody_from_anything(status: int, body: Any) -> None:
    said = await preflight(Client(Answering(status, body)), NAMESPACE)  # type: ignore[arg-type]
    assert [sentence for sentence in said if "OverPrivileged" in sentence] == []


async def test_an_incomplete_answer_accuses_nobody_of_lacking_anything() -> None:
    review = {"status": {"incomplete": True, "resourceRules": []}}
    assert await preflight(Client(Answering(201, review)), NAMESPACE) == ()  # type: ignore[arg-type]
