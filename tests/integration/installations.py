"""What is taken over from the reference operator: its K8ssandraClusters, in a world where it has been at work."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
import yaml

from controller.sandbox.cass_operator import objects as cass_operator
from tests.integration.reference import MANAGER, Reference
from tests.integration.rig import CONTEXTS, SAMPLES, Rig, rig
from tests.servers import Server


def _cases() -> Iterator[tuple[str, dict[str, Any], tuple[dict[str, Any], ...]]]:
    """Name, K8ssandraCluster, and the Secrets and ConfigMaps that its users made."""
    plain = yaml.safe_load((SAMPLES / "demo.yaml").read_text("utf-8"))
    yield "plain", plain, ()
    *others, full = yaml.safe_load_all((SAMPLES / "full.yaml").read_text("utf-8"))
    for secret in others:  # the reference operator looks for them beside each datacenter only
        if secret["kind"] == "Secret":
            secret["metadata"]["annotations"] = {"sandbox.k8ssandra.io/contexts": ", ".join(CONTEXTS)}
    yield "full", full, tuple(others)
    tokens = copy.deepcopy(plain)
    tokens["spec"]["cassandra"]["config"] = {"cassandraYaml": {"num_tokens": 4}}
    yield "tokens", tokens, ()
    dse = copy.deepcopy(plain)
    dse["spec"]["cassandra"] |= {"serverType": "dse", "serverVersion": "6.8.44"}
    dse["spec"]["cassandra"]["datacenters"][0]["dseWorkloads"] = {"searchEnabled": True}
    yield "dse", dse, ()
    named = copy.deepcopy(plain)
    named["spec"]["cassandra"]["clusterName"] = "Weird Cluster Name"
    for number, entry in enumerate(named["spec"]["cassandra"]["datacenters"], 1):
        entry["datacenterName"] = f"Real_Dc{number}"
        entry["metadata"] |= {"labels": {"team": "blue"}, "annotations": {"example.com/contact": "ops"}}
    named["spec"]["cassandra"]["metadata"] = {"commonLabels": {"costs": "42"}}
    yield "names", named, ()


CASES: Final = {name: (manifest, others) for name, manifest, others in _cases()}


def installation(one: Rig, case: str = "plain") -> Reference:
    """The reference operator, before it installs one of ``CASES``."""
    return Reference(one, *CASES[case])


@asynccontextmanager
async def their_rig(namespace: str, servers: Sequence[Server]) -> AsyncIterator[Rig]:
    """A rig with the reference operator's definitions, and cass-operators that are called as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cass_operator, "MANAGER", MANAGER)
        async with rig(namespace, servers, published=True) as made:
            yield made
