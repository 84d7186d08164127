"""The pages that name tests name such as there are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
CASES = TESTS / "golden" / "cases"
WORD = re.compile(r"`([^`]+)`")
NAMES = re.compile(r"`[\w/]+\.py`|cases `")
WEAKNESSES = 38


@cache
def defined(path: Path) -> frozenset[str]:
    """Names of the test functions of a file."""
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def named(text: str) -> list[tuple[str, str]]:
    """(file, test) of each test that a page names; a file counts for the rest of its line. ("", test) has no file."""
    found = []
    for line in text.splitlines():
        file = ""
        for word in WORD.findall(line):
            if word.endswith(".py"):
                file = word
            elif re.fullmatch(r"test_\w+", word):
                found.append((file, word))
    return found


def absent(text: str) -> list[str]:
    """Files of tests and golden cases (``kind/name``, with *) that a page names and that are not there."""
    kinds = {path.name for path in CASES.iterdir()}
    found = []
    for word in WORD.findall(text):
        kind, _, name = word.partition("/")
        if kind in kinds and name and not list(CASES.glob(f"{word}.yaml")):
            found.append(word)
        if word.endswith(".py") and "/" in word and not (TESTS / word.removeprefix("tests/")).is_file():
            found.append(word)
    return found


def missing(text: str) -> list[tuple[str, str]]:
    return [
        (file, test)
        for file, test in named(text)
        if not file or not (TESTS / file).is_file() or test not in defined(TESTS / file)
    ]


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    assert missing(text) == []
    assert absent(text) == []


def test_the_page_of_parity_names_tests_in_every_row() -> None:
    text = (ROOT / "docs" / "parity.md").read_text("utf-8")
    rows = [
        line
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith(("| |", "| There", "| What |"))
    ]
    silent = [row for row in rows if not NAMES.search(row) and "later" not in row and "tables below" not in row]
    assert silent == []
    assert len(named(text)) > 100


def test_every_weakness_has_its_row() -> None:
    text = (ROOT / "docs" / "parity.md").read_text("utf-8")
    section = text.partition("## The reference's weaknesses")[2].partition("\n## ")[0]
    numbers = [int(found) for found in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)]
    assert numbers == list(range(1, WEAKNESSES + 1))


def test_a_test_that_is_not_there_is_found() -> None:
    here = "unit/test_pages.py"
    assert missing(f"`{here}`: `test_a_test_that_is_not_there_is_found`, `test_nothing`") == [(here, "test_nothing")]
    assert missing("`test_of_no_file` and `unit/nowhere.py`: `test_x`") == [
        ("", "test_of_no_file"),
        ("unit/nowhere.py", "test_x"),
    ]
    assert absent("`unit/nowhere.py` `unit/test_pages.py` `tags/both` `tags/b*` `tags/nothing` `a/b`") == [
        "unit/nowhere.py",
        "tags/nothing",
    ]
