"""Reads the Containerfile: its stages and their instructions, as far as our own file needs it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

PATH: Final = Path(__file__).parents[1] / "Containerfile"


class Instruction(NamedTuple):
    """One instruction; ``argument`` is what follows the word, on one line."""

    word: str
    argument: str


def stages(path: Path = PATH) -> list[list[Instruction]]:
    """The instructions of each stage, its FROM first; what is before the first FROM is left out."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE)
    found: list[list[Instruction]] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        word, _, argument = line.strip().partition(" ")
        if word == "FROM":
            found.append([])
        if word and found:
            found[-1].append(Instruction(word, argument.strip()))
    return found


def only(stage: list[Instruction], word: str) -> str:
    """The argument of the one instruction of that word."""
    (argument,) = (instruction.argument for instruction in stage if instruction.word == word)
    return argument
