"""From a snapshot to what is to be done: pure, without I/O, clock or randomness."""

from __future__ import annotations

from controller.cassandra.plan.model import Plan, Problem, Wait
from controller.cassandra.plan.rollout import plan

__all__ = ["Plan", "Problem", "Wait", "plan"]
