"""What an installed CRD keeps of a status, learnt from the server's own answers.

Published CRDs prune fields that ours have (a condition's ``reason`` and ``message``). A desired status is compared
with a live one only after projection on what is kept; a naive comparison would write for ever.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]
_ANY = "*"  # any element of a list


class Projection:
    """The paths that one kind's CRD drops; empty until an answer showed one."""

    def __init__(self) -> None:
        self._dropped: set[Path] = set()

    @property
    def dropped(self) -> list[str]:
        """The dropped paths in order, as ``conditions[*].reason``."""
        return sorted(".".join(path).replace(".*", "[*]") for path in self._dropped)

    def learn(self, sent: Any, got: Any) -> bool:
        """Compare what was sent with what the server kept; True when something new was learnt.

        A path counts as dropped only when no element of a list kept it: an absent one may be a default's doing.
        """
        if sent == got and not self._dropped:
            return False  # nearly always, and a comparison in C
        found: set[Path] = set()
        kept: set[Path] = set()
        _compare(sent, got, (), found, kept)
        before = self._dropped
        self._dropped = (before - kept) | (found - kept)  # a CRD that was upgraded keeps more than it did
        return self._dropped != before

    def project(self, value: Any, path: Path = ()) -> Any:
        """``value`` without the dropped paths; itself when nothing is dropped."""
        if not self._dropped:
            return value
        if isinstance(value, dict):
            return {
                key: self.project(item, (*path, key))
                for key, item in value.items()
                if (*path, key) not in self._dropped
            }
        if isinstance(value, list):
            return [self.project(item, (*path, _ANY)) for item in value]
        return value


def _compare(sent: Any, got: Any, path: Path, dropped: set[Path], kept: set[Path]) -> None:
    if isinstance(sent, dict):
        live = got if isinstance(got, dict) else {}
        for key, value in sent.items():
            here = (*path, key)
            if key in live:
                kept.add(here)
                _compare(value, live[key], here, dropped, kept)
            elif value is not None and value != {} and value != []:
                dropped.add(here)
    elif isinstance(sent, list) and isinstance(got, list) and len(sent) == len(got):
        for one, other in zip(sent, got, strict=True):
            _compare(one, other, (*path, _ANY), dropped, kept)
