from __future__ import annotations

import pytest

from controller.sandbox.display import Lines
from controller.sandbox.progress import READY, WAITING, Row


def row(state: str, nodes: str, detail: str) -> Row:
    return Row("demo", "dc2", "kind-2", state, nodes, detail)


def test_a_line_comes_with_a_new_state_and_with_another_thing_to_wait_for(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    for each in (
        row(WAITING, "0/3", "dc2 waits for dc1"),
        row(WAITING, "0/3", "dc2 waits for dc1"),
        row(WAITING, "0/3", "no room"),
        row("Updating", "0/3", "dc2 is not Ready: 0 of 3 nodes are up"),
        row("Updating", "0/3", "other words about the same"),
        row(READY, "3/3", ""),
    ):
        lines.show([each])
    assert capsys.readouterr().out.splitlines() == [
        "demo/dc2 in kind-2: waiting, 0/3 nodes: dc2 waits for dc1",
        "demo/dc2 in kind-2: waiting, 0/3 nodes: no room",
        "demo/dc2 in kind-2: Updating, 0/3 nodes",
        "demo/dc2 in kind-2: Ready, 3/3 nodes",
    ]
