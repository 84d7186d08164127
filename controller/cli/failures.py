"""What a command says when something failed that its user can mend."""

from __future__ import annotations

from typing import TypeVar

E = TypeVar("E", bound=BaseException)


def first(error: BaseException, *kinds: type[E]) -> E | None:
    """The first error of one of ``kinds`` in ``error``, however deep in groups; None when there is another cause."""
    if isinstance(error, BaseExceptionGroup):
        found = [first(inner, *kinds) for inner in error.exceptions]
        return next((inner for inner in found if inner is not None), None)
    return error if isinstance(error, kinds) else None
