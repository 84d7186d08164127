"""What is said and not done while somebody else writes what this controller manages.

Two operators on one object would write against each other for ever. So after a write of the reference operator over one
of ours the object is left alone until it has been quiet for a while; then the next pass takes it over again. What it
wrote before the first take-over never counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from controller.cassandra.plan.model import Chain, Problem
from controller.cassandra.snapshot import ForeignWrite, Snapshot
from controller.engine.clock import rfc3339
from controller.fleet.actions import Create

REASON: Final = "ForeignController"


def problems(snapshot: Snapshot) -> Iterator[Problem]:
    """What people are told."""
    for each in snapshot.foreign:
        where = f"in {each.context}" if each.context else "in the control plane"
        until = rfc3339(datetime.fromtimestamp(each.until, UTC))
        message = (
            f"{each.subject} {where} was written by the field manager {each.manager!r} at {each.at}, after this "
            "controller: another operator is at work there; scale it to 0. Until it has been quiet this object is left "
            f"as it is, at least to {until}"
        )
        yield Problem(REASON, message, each.datacenter)


def restrained(chains: Mapping[str, Sequence[Chain]], foreign: Sequence[ForeignWrite]) -> dict[str, list[Chain]]:
    """``chains`` without what would be done to objects that are left alone now."""
    alone = {each.uid for each in foreign}
    if not alone:
        return {context: list(todo) for context, todo in chains.items()}

    def may(chain: Chain) -> Chain:
        kept = tuple(each for each in chain.actions if isinstance(each, Create) or each.live.head.uid not in alone)
        return msgspec.structs.replace(chain, actions=kept)

    return {context: [may(chain) for chain in todo] for context, todo in chains.items()}
