"""The faults, what a ClientConfig has to say of each, and what must not have happened in any run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import Final

import msgspec

from controller.cassandra.routing import CONTACTS_TOGETHER
from tests.faults import faults
from tests.faults.faults import Fault
from tests.faults.path import Seen
from tests.faults.script import EDITS, HEALTHY, LASTS, QUIET, SETTLING, SICK, SLOWLY, Phase, Told, tell

EVERY: Final = tuple(Phase)
REFUSED: Final = 4.0  # s until a cluster that refuses is said to be away
HOLE: Final = 13.0  # s until one that does not answer is
RETURN: Final = 6.0  # s until a cluster that is back is said to be
RECONCILE: Final = 8.0  # s until the first change there
TEN_MINUTES: Final = 600.0  # s for which nothing may be written after the outages that are most common
SHORT: Final = 5.0  # s of trouble at home at the start: its watches try again after up to 30 s


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """``reason``: what the condition has to say, ``within`` seconds; "" when nobody is to notice.

    ``back``: seconds until it says Connected again. ``prompt``: what waited is then done at once.
    ``flips``: how often it may have said so. ``repeats``: answers are lost, so some changes are sent again in vain.
    ``meanwhile``: seconds after which what somebody deleted is restored although the fault goes on; 0: not necessarily.
    """

    fault: Callable[[], Fault]
    reason: str = ""
    within: float = REFUSED
    back: float = RETURN
    prompt: bool = True
    phases: tuple[Phase, ...] = EVERY
    lasts: float = LASTS
    flips: int = 1
    meanwhile: float = 0.0
    repeats: bool = False

    @property
    def name(self) -> str:
        return f"{self.fault.__name__}" if self.lasts == LASTS else f"{self.fault.__name__} for {self.lasts:g} s"


AWAY: Final = "Unreachable"

CASES: Final = (
    Case(fault=faults.Refused, reason=AWAY),
    Case(fault=faults.Refused, lasts=2.0, phases=(Phase.STEADY, Phase.WRITE)),
    Case(fault=faults.Reset),
    Case(fault=faults.Lost),
    Case(fault=faults.BlackHole, reason=AWAY, within=HOLE),
    Case(fault=faults.BlackHole, lasts=2.0, phases=(Phase.STEADY, Phase.WRITE)),
    Case(fault=faults.HalfOpen, prompt=False),
    Case(fault=faults.Frozen, prompt=False),
    Case(fault=faults.NoSuchName, reason=AWAY),
    Case(fault=faults.NameHangs, reason=AWAY, within=HOLE),
    Case(fault=faults.HandshakeHangs, reason=AWAY, within=HOLE),
    Case(fault=faults.WrongAuthority, reason="TLSError"),
    Case(fault=faults.Lossy, lasts=600.0, phases=(Phase.CONNECT, Phase.STEADY)),
    Case(
        fault=faults.Flaky,
        lasts=600.0,
        reason=AWAY,
        within=600.0,
        flips=20,
        prompt=False,
        repeats=True,
        phases=(Phase.CONNECT, Phase.WRITE),
    ),
    Case(fault=faults.Trickle),
    Case(fault=faults.IdleCut, prompt=False),
    Case(fault=faults.Buffering, prompt=False),
    Case(fault=faults.Buffering, lasts=400.0, prompt=False, phases=(Phase.STEADY,), meanwhile=300.0),
    Case(fault=faults.Unauthorized, reason="Unauthorized"),
    Case(fault=faults.Unauthorized, lasts=2.0, phases=(Phase.STEADY, Phase.WRITE)),
    Case(fault=faults.Forbidden, reason="Forbidden", back=75.0, prompt=False),
    Case(fault=faults.NotServed, reason="CRDMissing", back=40.0, prompt=False),
    Case(fault=faults.Expired),
    Case(fault=faults.ExpiredAgain, prompt=False),
    Case(fault=faults.RefusesStreamingLists),
    Case(fault=faults.MarkerMissing),
    Case(fault=faults.Throttling, reason=AWAY, phases=(Phase.CONNECT, Phase.SYNC), prompt=False),
    Case(fault=faults.Throttling, phases=(Phase.STEADY, Phase.WRITE), prompt=False),
    Case(fault=faults.InternalError, reason=AWAY),
    Case(fault=faults.Unavailable, reason=AWAY),
    Case(fault=faults.GatewayTimeout, reason=AWAY),
    Case(fault=faults.Truncated, prompt=False),
    Case(fault=faults.Duplicated),
    Case(fault=faults.TimeTravel),
    Case(fault=faults.HugeEvent),
    Case(fault=faults.Rotated),
    Case(fault=faults.Moved, reason="IdentityChanged", phases=(Phase.STEADY, Phase.WRITE)),
    Case(fault=faults.ClockJumps),
)


@cache
def reference() -> Told:
    """The story without a fault."""
    return tell(quiet=TEN_MINUTES)


def breaches(case: Case, phase: Phase) -> list[str]:
    """What went wrong in one cell; [] when nothing did."""
    settling = SETTLING if case.prompt and case.back <= RETURN else SLOWLY
    quiet = TEN_MINUTES if phase is Phase.STEADY and case.fault in (faults.Refused, faults.BlackHole) else QUIET
    told = tell(case.fault, phase, case.lasts, settling=settling, quiet=quiet)
    plain = reference()
    return [
        *_others(told, plain),
        *_objects(case, told, plain),
        *_shown(case, told),
        *_promptness(case, told),
        *_load(case, told),
        *_logs(told),
    ]


def breaches_at_home(fault: Callable[[], Fault], phase: Phase) -> list[str]:
    """The same where the way to the control plane itself is ill: then everybody waits, and nobody is blamed."""
    # What the controller decides once, at first sight, it has to see before people change it.
    told = tell(fault, phase, LASTS if phase in (Phase.STEADY, Phase.WRITE) else SHORT, where="")
    plain = reference()
    case = Case(fault=fault, repeats=True)
    blamed = [shown for shown in told.shown if shown.reason != "Connected"]
    said = [f"a cluster was blamed: {blamed}"] if blamed else []
    return [*_objects(case, told, plain), *said, *_logs(told, known=True)]


def _alike(is_: list[Seen], was: list[Seen]) -> bool:
    """Whether the same was written at the same moments; what is bundled goes along with whatever is written earlier."""
    late, early = (
        sorted(filter(_bundled, each), key=lambda seen: (seen.path, seen.method, seen.time)) for each in (is_, was)
    )
    return [seen for seen in is_ if not _bundled(seen)] == [seen for seen in was if not _bundled(seen)] and (
        len(late) == len(early)
        and all(
            a._replace(time=b.time) == b and abs(a.time - b.time) <= CONTACTS_TOGETHER
            for a, b in zip(late, early, strict=True)
        )
    )


def _bundled(seen: Seen) -> bool:
    return "contact-points" in seen.name


def _others(told: Told, plain: Told) -> Iterator[str]:
    """What does not concern the sick cluster happened at the same moments."""
    for context in HEALTHY:
        is_, was = told.writes(context, about="near"), plain.writes(context, about="near")
        if not _alike(is_, was):
            yield f"{context or 'control plane'}: other writes for who is not concerned: {_difference(is_, was)}"
    is_, was = told.conditions("east"), plain.conditions("east")
    if is_ != was:
        yield f"the healthy cluster's condition changed: {is_}"


def _objects(case: Case, told: Told, plain: Told) -> Iterator[str]:
    """Everything is as without the fault, and nothing was made, deleted or changed in vain."""
    if told.state != plain.state:
        names = sorted(key for key in {*told.state, *plain.state} if told.state.get(key) != plain.state.get(key))
        yield f"the end is another: {names}"
    if told.made != plain.made:
        yield f"created or deleted: {dict(told.made - plain.made)} more, {dict(plain.made - told.made)} less"
    vain = Counter(told.idle_writes) - Counter(plain.idle_writes)
    if vain and not case.repeats:
        yield f"changes that changed nothing: {dict(vain)}"
    if told.strays:
        yield f"{told.strays} changes reached another cluster"


def _shown(case: Case, told: Told) -> Iterator[str]:
    shown = told.conditions(SICK)
    if not shown or shown[-1].reason != "Connected":
        yield f"the last condition is {shown[-1:]}"
        return
    bad = [entry for entry in shown if entry.reason != "Connected"]
    if not case.reason:
        if bad:
            yield f"the condition flipped: {[(e.time - told.began, e.reason, e.message) for e in bad]}"
        return
    if (found := {entry.reason for entry in bad}) - {case.reason}:
        yield f"the condition said {sorted(found)}, not {case.reason}: {[(e.time - told.began, *e[3:]) for e in bad]}"
    if case.flips == 1 and not bad:
        yield f"the condition never said {case.reason}"
    if bad and (took := bad[0].time - told.began) > case.within:
        yield f"{case.reason} was said after {took:.2f} s"
    if (took := shown[-1].time - told.ended) > case.back:
        yield f"Connected was said after {took:.2f} s"
    flips = sum(one.status != "True" and other.status == "True" for one, other in pairwise(shown))
    if flips > case.flips:
        yield f"the condition flipped {flips} times"


def _promptness(case: Case, told: Told) -> Iterator[str]:
    """What waited for the sick cluster is done soon after it is back."""
    restored = [seen.time - EDITS for seen in told.writes(SICK, about="agent-config") if seen.time >= EDITS]
    if case.meanwhile and not (restored and restored[0] <= case.meanwhile):
        yield f"what was deleted was restored after {restored[:1]} s"
    if not case.prompt or told.ended <= EDITS:
        return
    after = [seen.time - told.ended for seen in told.writes(SICK) if seen.time >= told.ended and seen.status]
    if after and after[0] > RECONCILE:
        yield f"the first change there came {after[0]:.2f} s after its return"


def _load(case: Case, told: Told) -> Iterator[str]:
    """A cluster that is known to be away is asked at most once a second."""
    known = next((entry.time for entry in told.conditions(SICK) if entry.reason == case.reason != ""), None)
    if known is None or case.reason not in (AWAY, "TLSError") or case.lasts != LASTS:
        return
    failed = [moment for moment, good in told.attempts if not good and known < moment < told.ended]
    busiest = max((sum(moment <= other < moment + 10 for other in failed) for moment in failed), default=0)
    if busiest > 10:
        yield f"{busiest} connections were tried within 10 s"


def _logs(told: Told, *, known: bool = False) -> Iterator[str]:
    """No error that nobody has thought of; ``known``: those of a server are to be expected."""
    loud = [
        entry
        for entry in told.logs
        if entry.get("exc_info") or (not known and entry["log_level"] in ("error", "critical"))
    ]
    if loud:
        first = loud[0]
        yield f"{len(loud)} errors in the log, first: {first['event']}: {first.get('exc_info') or first.get('error')}"


def _difference(is_: list[object], was: list[object]) -> str:
    at = next(
        (i for i, (one, other) in enumerate(zip(is_, was, strict=False)) if one != other), min(len(is_), len(was))
    )
    return f"at {at}: {is_[at : at + 1]} instead of {was[at : at + 1]} ({len(is_)} instead of {len(was)})"
