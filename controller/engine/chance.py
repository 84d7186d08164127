"""Randomness for many who do not know of each other: what one draws shifts nothing for the rest."""

from __future__ import annotations

from random import Random


class Chance:
    """Sources derived by name from one: a run with one seed stays the same wherever nothing else changed.

    With one source for all, a cluster that fails draws its backoffs between the draws of those that do not.
    """

    def __init__(self, rng: Random) -> None:
        self._seed = rng.getrandbits(64)

    def source(self, *names: str) -> Random:
        """The source called ``names``, at its beginning; for jitter and backoff only, never for secrets."""
        return Random("/".join((str(self._seed), *names)))  # noqa: S311
