"""What a plan consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from controller.cassandra.problems import FieldProblem
from controller.cassandra.rounds import Round
from controller.fleet.actions import Action
from controller.kube.conditions import Condition


class Wait(msgspec.Struct, frozen=True):
    """Something that is waited for; nothing is wrong. ``datacenter`` is "" when it concerns all.

    ``brief``: as a rule it is over before anybody has read of it.
    """

    reason: str
    message: str
    datacenter: str = ""
    brief: bool = False


class Problem(msgspec.Struct, frozen=True):
    """Something that is wrong and that somebody has to mend. ``reason`` is CamelCase, ``message`` names the way out."""

    reason: str
    message: str
    datacenter: str = ""


class Status(msgspec.Struct, frozen=True):
    """The status to be shown; the times of conditions are put in when it is written.

    ``brief``: it is about to be another one, for what it speaks of is being done.
    """

    conditions: tuple[Condition, ...]
    datacenters: dict[str, dict[str, Any]]
    error: str
    observed_generation: int
    brief: bool = False


class Chain(msgspec.Struct, frozen=True):
    """Actions in an order that matters: after one that fails the rest waits. ``datacenter`` "" is the cluster's own."""

    datacenter: str
    actions: tuple[Action, ...]


class Plan(msgspec.Struct, frozen=True):
    """What is to be done, by context ("" is the control plane); chains do not depend on each other.

    ``superuser``: the superuser Secret has to be made (with a password that no plan knows). ``prove_absent``: contexts
    where a live read has to show that nothing is left. ``drift``: by datacenter, the fields of its live specification
    that differ while it may not be changed. ``kept``: fields of the specification that change nothing of what is
    there, because it cannot change. ``keyspaces``: the look at system keyspaces that is due.
    """

    chains: dict[str, tuple[Chain, ...]] = {}
    waits: tuple[Wait, ...] = ()
    problems: tuple[Problem, ...] = ()
    superuser: bool = False
    status: Status | None = None
    prove_absent: tuple[str, ...] = ()
    drift: dict[str, tuple[str, ...]] = {}
    kept: tuple[FieldProblem, ...] = ()
    keyspaces: Round | None = None


def pruned(chains: Mapping[str, Sequence[Chain]]) -> dict[str, tuple[Chain, ...]]:
    """``chains`` without those that have nothing to do."""
    kept = {context: tuple(chain for chain in todo if chain.actions) for context, todo in chains.items()}
    return {context: todo for context, todo in kept.items() if todo}
