"""The traps themselves: one that cannot spring proves nothing."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.hardening import traps


async def test_a_process_a_file_and_a_connection_are_noticed() -> None:
    with traps.armed() as deeds:
        async with traps.listener() as trap:
            os.system("true")
            Path("/dev/null").read_bytes()
            _, writer = await asyncio.open_connection("127.0.0.1", trap.port)
            writer.close()
            while not trap.callers:
                await asyncio.sleep(0.01)
    assert traps.peers(deeds) == {"127.0.0.1"}
    assert traps.files(deeds) == ["/dev/null"]
    assert [event for event, _ in deeds if event in traps.PROCESSES] == ["os.system"]


def test_what_is_not_armed_is_not_noticed() -> None:
    with traps.armed(traps.PROCESSES) as deeds:
        Path("/dev/null").read_bytes()
    Path("/dev/zero").open("rb").close()
    assert deeds == []
