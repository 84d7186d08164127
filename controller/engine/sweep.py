"""Frees what has gone: connections and tasks are full of cycles, and the collector is told to look rarely."""

from __future__ import annotations

import asyncio
import gc
from typing import Final

AFTER: Final = 1.0  # s; what goes together is swept up together
AT: Final = 10  # things that have gone, after which the sweep is not put off


class Sweep:
    """One sweep for what goes within ``AFTER`` seconds of each other, or for ``AT`` things at the most.

    Not put off by what goes meanwhile: where something goes every second, nothing would ever be freed.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._gone = 0  # since the last sweep

    def soon(self) -> None:
        """Something has gone."""
        self._gone += 1
        if self._gone >= AT:
            self.cancel()
        if self._timer is None:
            after = AFTER if self._gone < AT else 0.0  # never at once: who ends it still holds it
            self._timer = asyncio.get_running_loop().call_later(after, self._sweep_up)

    def cancel(self) -> None:
        """Sweep no more what has gone until now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep_up(self) -> None:
        self._timer, self._gone = None, 0
        gc.collect()
