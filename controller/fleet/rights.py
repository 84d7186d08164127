"""What credentials may do in a data plane, compared with what the controller does there: too little, or too much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from controller.kube.client import Client
from controller.kube.errors import KubeError
from controller.kube.objects import decode

ALL: Final = "*"
_READ: Final = ("get", "list", "watch")

# By API group and resource, as manifests/datacenters-role grants them; a test holds the two equal.
NEEDED: Final[Mapping[tuple[str, str], Sequence[str]]] = {
    ("cassandra.datastax.com", "cassandradatacenters"): (*_READ, "create", "patch", "delete"),
    ("", "configmaps"): (*_READ, "create", "patch", "delete"),
    ("discovery.k8s.io", "endpointslices"): (*_READ, "create", "patch", "delete"),
    ("", "pods"): ("list", "watch"),
    ("", "secrets"): (*_READ, "create", "update", "delete"),
}
# Whoever may do this may do everything, or act as anybody.
_TOO_MUCH: Final = ("escalate", "bind", "impersonate")


class Rule(msgspec.Struct, frozen=True, rename="camel"):
    """One rule of a review: each of ``verbs`` on each of ``resources`` of each of ``api_groups``."""

    verbs: list[str] = []
    api_groups: list[str] = []
    resources: list[str] = []
    resource_names: list[str] = []

    def grants(self, verb: str, group: str, resource: str) -> bool:
        """Whether it allows this of every object."""
        return (
            not self.resource_names
            and (verb in self.verbs or ALL in self.verbs)
            and (group in self.api_groups or ALL in self.api_groups)
            and (resource in self.resources or ALL in self.resources)
        )


class _Status(msgspec.Struct, rename="camel"):
    resource_rules: list[Rule] = []
    incomplete: bool = False


class _Review(msgspec.Struct):
    status: _Status


def missing(rules: Sequence[Rule]) -> list[str]:
    """What the controller does and these rules do not allow, as ``create, patch of configmaps``."""
    found = []
    for (group, resource), verbs in NEEDED.items():
        lacking = [verb for verb in verbs if not any(rule.grants(verb, group, resource) for rule in rules)]
        if lacking:
            found.append(f"{', '.join(lacking)} of {resource}{f'.{group}' if group else ''}")
    return found


def excessive(rules: Iterable[Rule]) -> list[str]:
    """What these rules allow that opens everything else, as ``escalate`` or ``* of secrets``; [] for nothing."""
    found: dict[str, None] = {}
    for rule in rules:
        if ALL in rule.resources and (ALL in rule.api_groups or "" in rule.api_groups):
            found[f"{', '.join(rule.verbs)} of everything"] = None
        elif ALL in rule.verbs:
            found[f"* of {', '.join(rule.resources)}"] = None
        else:
            found.update((verb, None) for verb in rule.verbs if verb in _TOO_MUCH)
    return list(found)


async def preflight(client: Client, namespace: str) -> tuple[str, ...]:
    """Sentences about the rights of the client's credentials in ``namespace``; () when they are as they should be.

    Also () where the server does not tell: nobody is kept from anything by this.
    """
    group = "authorization.k8s.io/v1"
    review = {"apiVersion": group, "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    try:
        answer = await client.raw("POST", f"/apis/{group}/selfsubjectrulesreviews", body=review)
        status = decode(answer, _Review).status
    except KubeError:
        return ()
    found = []
    if too_much := excessive(status.resource_rules):
        found.append(
            f"OverPrivileged: the credentials may do more than the controller needs ({'; '.join(too_much)}); "
            "bind the account to the roles of manifests/data-plane only"
        )
    if not status.incomplete and (lacking := missing(status.resource_rules)):
        found.append(
            f"in namespace {namespace} the credentials may not: {'; '.join(lacking)}; apply manifests/data-plane there"
        )
    return tuple(found)
