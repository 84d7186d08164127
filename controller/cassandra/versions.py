"""Versions of Cassandra, DSE and HCD, read as semantic versions."""

from __future__ import annotations

import re
from typing import Final

import msgspec

_VERSION: Final = re.compile(
    r"v?([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)


class Version(msgspec.Struct, frozen=True, order=False):
    """A version of three numbers; ``pre`` is what follows a dash, ``build`` what follows a plus."""

    major: int
    minor: int
    patch: int
    pre: str = ""
    build: str = ""

    @property
    def numbers(self) -> tuple[int, int, int]:
        return (self.major, self.minor, self.patch)

    def at_least(self, major: int, minor: int = 0, patch: int = 0) -> bool:
        """Whether this is a release of at least that version; never for a pre-release."""
        return not self.pre and self.numbers >= (major, minor, patch)

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        if self.pre:
            text += f"-{self.pre}"
        return f"{text}+{self.build}" if self.build else text


def parse_version(text: str) -> Version | None:
    """The version that ``text`` says, with or without a leading ``v``; None when it has not three parts."""
    match = _VERSION.fullmatch(text)
    if match is None:
        return None
    major, minor, patch, pre, build = match.groups()
    return Version(int(major), int(minor), int(patch), pre or "", build or "")


def has_metrics_endpoint(version: Version) -> bool:
    """Whether the management API for this Cassandra serves metrics: since 3.11.13 and 4.0.4."""
    if version.numbers[:2] == (3, 11):
        return version.patch >= 13
    return version.numbers >= (4, 0, 4)
