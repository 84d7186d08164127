"""Shows datacenters to people: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Final, Protocol

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table as RichTable

from controller.sandbox.progress import READY, WAITING, Row

_STYLES: Final = {READY: "green", "Updating": "yellow", WAITING: "dim"}


class Display(Protocol):
    """Something that shows rows; a context manager, because a terminal has to be tidied up."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, rows: Sequence[Row]) -> None:
        """These are the datacenters now."""
        ...

    def say(self, text: str) -> None:
        """One line that stays."""
        ...


class Lines:
    """A line whenever the state of a datacenter changed, or what it waits for."""

    def __init__(self) -> None:
        self._shown: dict[tuple[str, str], str] = {}  # by cluster and datacenter

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, rows: Sequence[Row]) -> None:
        for row in rows:
            key = (row.cluster, row.datacenter)
            # What one waits for is news of its own; while it works, its nodes tell enough.
            detail = f": {row.detail}" if row.detail and row.state == WAITING else ""
            where = row.context or "control plane"
            line = f"{row.cluster}/{row.datacenter} in {where}: {row.state}, {row.nodes} nodes{detail}"
            if self._shown.get(key) != line:
                self.say(line)
            self._shown[key] = line

    def say(self, text: str) -> None:
        print(text, flush=True)  # noqa: T201 -- this is the program's output


class Table:
    """A table that is drawn anew whenever something changed."""

    def __init__(self, console: Console | None = None) -> None:
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Table:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, rows: Sequence[Row]) -> None:
        table = RichTable(box=box.SIMPLE_HEAD, expand=True)
        for title in ("cluster", "datacenter", "context", "state", "nodes"):
            table.add_column(title, no_wrap=True)
        table.add_column("waits for", overflow="ellipsis", no_wrap=True, ratio=1)  # what the others leave
        for row in rows:
            style = _STYLES.get(row.state, "")
            state = f"[{style}]{row.state}[/]" if style else row.state
            table.add_row(row.cluster, row.datacenter, row.context or "control plane", state, row.nodes, row.detail)
        self._live.update(table, refresh=True)

    def say(self, text: str) -> None:
        self._live.console.print(text, highlight=False)
