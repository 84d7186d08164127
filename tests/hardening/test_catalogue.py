"""No number is without a proof, and no proof without a number."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.hardening.behaviours import BEHAVIOURS
from tests.hardening.catalogue import ELSEWHERE, FURTHER, NUMBERS, UNPROVEN
from tests.hardening.handshakes import HANDSHAKES
from tests.hardening.kubeconfigs import HOSTILE, SHAPES
from tests.hardening.test_clusters import CHANGES, COPIES, SPECS

ROOT = Path(__file__).parents[2]
ALL = [f"{letter}{number:02}" for letter, last in NUMBERS.items() for number in range(1, last + 1)]
BESIDE = {"Z29", "Z33", "Z34"}  # of the rest of the checklist, what is proven here


def functions(path: Path) -> list[str]:
    return [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, TESTS)]


TESTS = ast.FunctionDef | ast.AsyncFunctionDef


def proven_here() -> set[str]:
    rows = [*BEHAVIOURS, *HANDSHAKES, *CHANGES, *COPIES, *SPECS, *(row.id for row in (*SHAPES, *HOSTILE))]
    names = [name for path in Path(__file__).parent.glob("test_*.py") for name in functions(path)]
    found = [match[1] for name in names if (match := re.match(r"test_((?:[a-z][0-9]{2}_)+)", name))]
    return {row.partition("-")[0] for row in rows} | {
        part.upper() for name in found for part in name.split("_") if part
    }


def test_every_number_is_proven_or_said_not_to_be() -> None:
    proven = proven_here() | set(ELSEWHERE)
    assert [number for number in ALL if number not in proven] == list(UNPROVEN)
    assert proven - set(ALL) == BESIDE


@pytest.mark.parametrize("place", [place for places in (*ELSEWHERE.values(), *FURTHER.values()) for place in places])
def test_what_is_proven_elsewhere_is_there(place: str) -> None:
    path, _, name = place.partition("::")
    assert name in functions(ROOT / path)


def test_every_row_has_a_sentence_of_its_own() -> None:
    rows = [*SHAPES, *HOSTILE]
    assert len({row.id for row in rows}) == len(rows)
    assert [row.id for row in rows if len(row.sentence.split()) < 3] == []
    assert [name for name, row in {**BEHAVIOURS, **HANDSHAKES}.items() if len(row.sentence.split()) < 3] == []
